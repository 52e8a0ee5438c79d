//! Chunks: up to [`POINTS_MAX`] points of one key in history order.
//!
//! Version 1: `01`, number of points, first time, last time less first time, smallest step, largest step less
//! smallest, then the [fields](super::fields).

use crate::tracking::document::bytes::{Reader, put_int, put_uint};
use crate::tracking::document::{Damaged, Point};

use super::fields::{Columns, put_points, read_points};
use super::{History, POINTS_MAX, Source, TooManyPoints};

const VERSION: u8 = 1;

/// Chunks are written once, by compaction, and kept.
const ZSTD_LEVEL: i32 = 3;

/// A chunk as it goes to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// What its header says.
    pub stats: ChunkStats,
    /// Its bytes, header included.
    pub bytes: Vec<u8>,
}

/// What a chunk's header says of its points. All bounds are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkStats {
    /// How many there are; at least 1.
    pub points: usize,
    /// Smallest time, in milliseconds since the epoch.
    pub time_min_ms: i64,
    /// Largest time.
    pub time_max_ms: i64,
    /// Smallest step.
    pub step_min: i64,
    /// Largest step.
    pub step_max: i64,
}

impl ChunkStats {
    /// Reads the header of a chunk and nothing else.
    pub fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        read_stats(&mut Reader::new("metric chunk", bytes))
    }

    /// Of points in any order; `None` of none.
    pub fn of(points: &[Point]) -> Option<Self> {
        let first = points.first()?;
        let start = Self {
            points: points.len(),
            time_min_ms: first.timestamp_ms,
            time_max_ms: first.timestamp_ms,
            step_min: first.step,
            step_max: first.step,
        };
        Some(points.iter().fold(start, |stats, point| Self {
            time_min_ms: stats.time_min_ms.min(point.timestamp_ms),
            time_max_ms: stats.time_max_ms.max(point.timestamp_ms),
            step_min: stats.step_min.min(point.step),
            step_max: stats.step_max.max(point.step),
            ..stats
        }))
    }
}

/// Encodes points that ascend, each once; `None` of none.
pub fn encode_chunk(points: &[Point]) -> Result<Option<Chunk>, TooManyPoints> {
    if points.len() > POINTS_MAX {
        return Err(TooManyPoints { points: points.len() });
    }
    Ok(ChunkStats::of(points).map(|stats| encode(points, stats)))
}

fn encode(points: &[Point], stats: ChunkStats) -> Chunk {
    let mut bytes = Vec::with_capacity(64 + 8 * points.len());
    bytes.push(VERSION);
    put_uint(&mut bytes, points.len() as u64);
    put_int(&mut bytes, stats.time_min_ms);
    put_uint(&mut bytes, stats.time_max_ms.abs_diff(stats.time_min_ms));
    put_int(&mut bytes, stats.step_min);
    put_uint(&mut bytes, stats.step_max.abs_diff(stats.step_min));
    put_points(&mut bytes, points.iter(), ZSTD_LEVEL);
    Chunk { stats, bytes }
}

/// The points of a chunk, ascending, each once.
pub fn decode_chunk(bytes: &[u8]) -> Result<Vec<Point>, Damaged> {
    let mut reader = Reader::new("metric chunk", bytes);
    let stats = read_stats(&mut reader)?;
    let points = read_points(&mut reader, stats.points)?;
    reader.end()?;
    if !points.is_sorted_by(|a, b| a < b) || ChunkStats::of(&points) != Some(stats) {
        return Err(reader.damaged("points do not ascend or do not fit the header"));
    }
    Ok(points)
}

/// Points of a chunk by their places in the order of steps, which ascend. Where the steps of a chunk ascend as its times do, which is
/// what training logs, nothing else of it becomes a point.
pub fn pick(bytes: &[u8], places: &[usize]) -> Result<Vec<Point>, Damaged> {
    let mut reader = Reader::new("metric chunk", bytes);
    let stats = read_stats(&mut reader)?;
    let columns = Columns::read(&mut reader, stats.points)?;
    reader.end()?;
    // Points ascend by time, step and value: if steps never fall, that is the order by step, time and value too.
    if columns.steps.is_sorted() && columns.times.is_sorted() {
        let ends = |values: &[i64]| values.first().copied().zip(values.last().copied());
        if ends(&columns.times) != Some((stats.time_min_ms, stats.time_max_ms))
            || ends(&columns.steps) != Some((stats.step_min, stats.step_max))
        {
            return Err(reader.damaged("points do not fit the header"));
        }
        return Ok(places.iter().filter_map(|at| columns.point(*at)).collect());
    }
    let mut points = decode_chunk(bytes)?;
    points.sort_by(Point::step_order);
    Ok(places.iter().filter_map(|at| points.get(*at).copied()).collect())
}

fn read_stats(reader: &mut Reader<'_>) -> Result<ChunkStats, Damaged> {
    reader.version(VERSION)?;
    let points = usize::try_from(reader.uint()?).unwrap_or(usize::MAX);
    let time_min_ms = reader.int()?;
    let time_max_ms = time_min_ms.checked_add_unsigned(reader.uint()?);
    let step_min = reader.int()?;
    let step_max = step_min.checked_add_unsigned(reader.uint()?);
    match (time_max_ms, step_max) {
        (Some(time_max_ms), Some(step_max)) if (1..=POINTS_MAX).contains(&points) => {
            Ok(ChunkStats { points, time_min_ms, time_max_ms, step_min, step_max })
        }
        _ => Err(reader.damaged("header out of range")),
    }
}

/// Merges all sources of one key into as few chunks as can hold their points; the chunks ascend.
pub fn merge(sources: Vec<Source<'_>>) -> Result<Vec<Chunk>, Damaged> {
    let points = History::open(sources)?.all()?;
    let chunks = points.chunks(POINTS_MAX);
    Ok(chunks.filter_map(|points| ChunkStats::of(points).map(|stats| encode(points, stats))).collect())
}

/// Where the tail of a key's stored chunks begins that a compaction merges with `added` new points. `stored` holds the
/// points of each chunk, oldest first. A chunk is rewritten only together with at least half as many newer points, and a
/// full one never: so a point is rewritten a number of times that grows with the logarithm of a chunk's size, whatever
/// the size of the batches, and a key has few chunks that are not full, each more than twice as large as all after it.
pub fn tail(stored: &[usize], added: usize) -> usize {
    let mut newer = added;
    let mut begin = stored.len();
    while let Some(points) = begin.checked_sub(1).and_then(|at| stored.get(at)) {
        if *points >= POINTS_MAX || *points > newer.saturating_mul(2) {
            break;
        }
        newer = newer.saturating_add(*points);
        begin -= 1;
    }
    begin
}
