//! Compaction: from the pieces that batches leave to chunks a key.
//!
//! Keys with many points become chunks; what is left of the others becomes one piece. What is read is immutable, so
//! everything is worked out beside the writer, and the write only swaps rows, if they are still the same.
//!
//! What must stay true: a run that goes on for long is not rewritten by every pass. A chunk or a piece is merged only
//! with at least half as many newer points, so that the bytes that compaction writes for a point grow with the logarithm
//! of the history and not with its length. Readers put up with what is left: a few rows more, which may overlap.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::store;
use crate::{
    bind,
    db::{Db, Origin, Sql},
    error::{Error, Result},
    tracking::{
        document::{Point, Series},
        series::{Source, decode_piece, encode_piece, merge, tail},
    },
};

/// Loose points, beside the largest piece, from which a run is compacted while it goes on.
const POINTS_RUNNING: i64 = 16_384;
/// Pieces from which a run is compacted while it goes on.
const PIECES_RUNNING: i64 = 256;
/// Pieces from which a run is compacted once it has ended.
const PIECES_ENDED: i64 = 8;
/// Loose points from which a run is compacted once it has ended.
const POINTS_ENDED: i64 = 2_048;
/// Loose points from which a key gets chunks.
const POINTS_OF_CHUNK: usize = 512;

/// What the store holds of a run in pieces.
#[derive(Debug, Clone, Copy)]
pub(in crate::tracking) struct Loose {
    pieces: i64,
    points: i64,
    /// Points of the largest piece, which an earlier compaction may have left.
    largest: i64,
}

/// Pieces and points of runs, for those that have any.
pub(in crate::tracking) fn loose(sql: &mut Sql<'_>, run_ids: &[i64]) -> Result<HashMap<i64, Loose>> {
    let ids = serde_json::to_string(run_ids).map_err(Error::internal)?;
    let rows = sql.all(&store::PIECE_COUNTS, bind![&ids], |row| {
        Ok((row.get::<i64>(0)?, Loose { pieces: row.get(1)?, points: row.get(2)?, largest: row.get(3)? }))
    })?;
    Ok(rows.into_iter().collect())
}

impl Loose {
    /// Whether compacting pays.
    pub(in crate::tracking) fn is_due(self, has_ended: bool) -> bool {
        if has_ended {
            self.pieces >= PIECES_ENDED || (self.pieces > 1 && self.points >= POINTS_ENDED)
        } else {
            self.pieces >= PIECES_RUNNING || self.points - self.largest >= POINTS_RUNNING
        }
    }
}

/// Rows to take and rows to put.
#[derive(Debug, Default)]
struct Swap {
    pieces_out: Vec<i64>,
    chunks_out: Vec<(String, i64)>,
    chunks_in: Vec<(String, i64, i64, Vec<u8>)>,
    /// Number, points, bytes.
    piece_in: Option<(i64, i64, Vec<u8>)>,
}

/// Compacts one run. Nothing happens where somebody else did it meanwhile.
pub(in crate::tracking) async fn compact(db: &Db, run_id: i64, has_ended: bool) -> Result<()> {
    let swap = db.read(&Origin::system(), move |sql| plan(sql, run_id, has_ended)).await?;
    if swap.pieces_out.is_empty() {
        return Ok(());
    }
    db.derive(move |tx| apply(tx, run_id, &swap)).await
}

/// Number and points of each of a run's pieces, or of a key's chunks, oldest first.
type Sizes = Vec<(i64, i64)>;

fn plan(sql: &mut Sql<'_>, run_id: i64, has_ended: bool) -> Result<Swap> {
    let sizes: Sizes = sql.all(&store::PIECE_SIZES, bind![run_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let taken = worthwhile(&sizes, has_ended);
    let (Some((first, _)), Some((last, _))) = (taken.first(), taken.last()) else {
        return Ok(Swap::default());
    };
    let pieces: Vec<(i64, Vec<u8>)> =
        sql.all(&store::PIECES_FROM, bind![run_id, *first, *last], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let by_key = gather(&pieces)?;
    let keys = serde_json::to_string(&by_key.keys().collect::<Vec<_>>()).map_err(Error::internal)?;
    let mut chunks: HashMap<String, Sizes> = HashMap::new();
    sql.each(&store::CHUNK_SIZES, bind![run_id, &keys], |row| {
        chunks.entry(row.get(0)?).or_default().push((row.get(1)?, row.get(2)?));
        Ok(true)
    })?;
    let seqs = pieces.iter().map(|(seq, _)| *seq).collect();
    work_out(seqs, by_key, &chunks, |key, first| {
        sql.all(&store::CHUNKS_FROM, bind![run_id, key, first], |row| row.get(0))
    })
}

/// The newest pieces that are worth rewriting: all of a run that has ended, else without those old ones that hold more
/// than twice the points of all after them. One alone is as it should be.
fn worthwhile(sizes: &[(i64, i64)], has_ended: bool) -> &[(i64, i64)] {
    let mut newer: i64 = sizes.iter().map(|(_, points)| *points).sum();
    let mut taken = sizes;
    while let Some(((_, points), rest)) = taken.split_first() {
        newer -= points;
        if has_ended || *points <= newer.saturating_mul(2) {
            break;
        }
        taken = rest;
    }
    if taken.len() > 1 { taken } else { &[] }
}

/// The points of pieces by their key, each once.
fn gather(pieces: &[(i64, Vec<u8>)]) -> Result<BTreeMap<String, BTreeSet<Point>>> {
    let mut by_key: BTreeMap<String, BTreeSet<Point>> = BTreeMap::new();
    for (_, body) in pieces {
        for series in decode_piece(body)? {
            by_key.entry(series.key).or_default().extend(series.points);
        }
    }
    Ok(by_key)
}

/// What to swap for the pieces with these numbers and points. `bodies` loads the chunks of a key from a number on.
fn work_out(
    pieces: Vec<i64>,
    by_key: BTreeMap<String, BTreeSet<Point>>,
    chunks: &HashMap<String, Sizes>,
    mut bodies: impl FnMut(&str, i64) -> Result<Vec<Vec<u8>>>,
) -> Result<Swap> {
    let mut swap = Swap { pieces_out: pieces, ..Swap::default() };
    let mut rest: Vec<Series> = Vec::new();
    for (key, points) in by_key {
        let points: Vec<Point> = points.into_iter().collect();
        match chunks.get(&key) {
            None if points.len() < POINTS_OF_CHUNK => rest.push(Series { key, points }),
            stored => {
                let stored = stored.map_or(&[][..], Vec::as_slice);
                chunk_key(&mut swap, &key, points, stored, &mut bodies)?;
            }
        }
    }
    let count = rest.iter().map(|series| series.points.len()).sum::<usize>();
    match encode_piece(&rest) {
        _ if rest.is_empty() => {}
        Ok(body) => {
            let seq = swap.pieces_out.last().copied().unwrap_or_default();
            swap.piece_in = Some((seq, count as i64, body));
        }
        // So many keys do not fit into one piece.
        Err(_) => {
            for series in rest {
                chunk_key(&mut swap, &series.key, series.points, &[], &mut bodies)?;
            }
        }
    }
    Ok(swap)
}

/// Merges a key's loose points with the newest of its chunks, as many as are worth it.
fn chunk_key(
    swap: &mut Swap,
    key: &str,
    points: Vec<Point>,
    stored: &[(i64, i64)],
    bodies: &mut impl FnMut(&str, i64) -> Result<Vec<Vec<u8>>>,
) -> Result<()> {
    let sizes: Vec<usize> =
        stored.iter().map(|(_, points)| usize::try_from(*points).unwrap_or(usize::MAX)).collect();
    let merged = &stored[tail(&sizes, points.len())..];
    let loaded = match merged.first() {
        Some((first, _)) => bodies(key, *first)?,
        None => Vec::new(),
    };
    swap.chunks_out.extend(merged.iter().map(|(seq, _)| (key.to_owned(), *seq)));
    let mut sources: Vec<Source<'_>> = loaded.iter().map(|body| Source::Chunk(body)).collect();
    sources.push(Source::Points(points));
    let next = stored.last().map(|(seq, _)| seq + 1).unwrap_or_default();
    for (seq, chunk) in (next..).zip(merge(sources)?) {
        swap.chunks_in.push((key.to_owned(), seq, chunk.stats.points as i64, chunk.bytes));
    }
    Ok(())
}

fn apply(tx: &mut Sql<'_>, run_id: i64, swap: &Swap) -> Result<()> {
    // The run's row is the lock under which its history is rewritten.
    let held = tx.first(&store::RUN_HOLD, bind![run_id], |row| row.get::<i64>(0))?;
    let pieces = serde_json::to_string(&swap.pieces_out).map_err(Error::internal)?;
    let present: i64 = tx.one(&store::PIECES_PRESENT, bind![run_id, &pieces], |row| row.get(0))?;
    if held.is_none() || present != swap.pieces_out.len() as i64 {
        return Ok(());
    }
    tx.execute(&store::PIECES_DELETE, bind![run_id, &pieces])?;
    for (key, seq) in &swap.chunks_out {
        tx.execute(&store::CHUNK_DELETE, bind![run_id, key, *seq])?;
    }
    for (key, seq, points, body) in &swap.chunks_in {
        tx.execute(&store::CHUNK_INSERT, bind![run_id, key, *seq, *points, body])?;
    }
    if let Some((seq, points, body)) = &swap.piece_in {
        tx.execute(&crate::tracking::run::store::PIECE_INSERT, bind![run_id, *seq, *points, body])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
