//! Reading one key's history from any mixture of chunks and loose points.

use std::cmp::Ordering;

use crate::tracking::document::{Damaged, Point};

use super::chunk::{ChunkStats, decode_chunk, pick};
use super::sample::sample_ordinals;

/// A part of one key's history.
#[derive(Debug, Clone)]
pub enum Source<'a> {
    /// A stored chunk.
    Chunk(&'a [u8]),
    /// Loose points in any order: a piece's series, or the only point that the run's document holds.
    Points(Vec<Point>),
}

/// One key's history. Chunks are unfolded only where their points are asked for.
#[derive(Debug, Clone)]
pub struct History<'a> {
    parts: Vec<(ChunkStats, Source<'a>)>,
}

type Group<'h, 'a> = Vec<&'h (ChunkStats, Source<'a>)>;

impl<'a> History<'a> {
    /// Takes the sources in any order; they may overlap and repeat points.
    pub fn open(sources: Vec<Source<'a>>) -> Result<Self, Damaged> {
        let mut parts = Vec::with_capacity(sources.len());
        for source in sources {
            let stats = match &source {
                Source::Chunk(bytes) => Some(ChunkStats::read(bytes)?),
                Source::Points(points) => ChunkStats::of(points),
            };
            parts.extend(stats.map(|stats| (stats, source)));
        }
        Ok(Self { parts })
    }

    /// Every point once, by (time, step, value).
    pub fn all(&self) -> Result<Vec<Point>, Damaged> {
        self.page(None, usize::MAX)
    }

    /// At most `limit` points after `after` (from the start without it), by (time, step, value). The last point of a
    /// page is where the next one goes on, whatever is logged in between.
    pub fn page(&self, after: Option<Point>, limit: usize) -> Result<Vec<Point>, Damaged> {
        let mut page = Vec::new();
        for group in self.groups(|stats| (stats.time_min_ms, stats.time_max_ms)) {
            let time_max_ms = group.iter().map(|(stats, _)| stats.time_max_ms).max();
            if page.len() >= limit {
                break;
            }
            if after.is_some_and(|after| time_max_ms < Some(after.timestamp_ms)) {
                continue;
            }
            let points = load(&group, Point::cmp)?;
            let start = after.map_or(0, |after| points.partition_point(|point| *point <= after));
            page.extend(points.iter().skip(start).take(limit - page.len()));
        }
        Ok(page)
    }

    /// At most `max` points, spread evenly over the order (step, time, value) as [`sample_ordinals`] does; `steps`
    /// bounds them, both ends included.
    pub fn sample(&self, steps: Option<(i64, i64)>, max: usize) -> Result<Vec<Point>, Damaged> {
        let (from, to) = steps.unwrap_or((i64::MIN, i64::MAX));
        // First count, unfolding only what overlaps with something else or with a bound; then pick.
        let mut runs: Vec<StepRun<'a>> = Vec::new();
        for group in self.groups(|stats| (stats.step_min, stats.step_max)) {
            match group.as_slice() {
                [(stats, Source::Chunk(bytes))] if from <= stats.step_min && stats.step_max <= to => {
                    runs.push(StepRun { len: stats.points, points: None, bytes });
                }
                _ if group.iter().all(|(stats, _)| stats.step_max < from || stats.step_min > to) => {}
                _ => {
                    let mut points = load(&group, Point::step_order)?;
                    points.retain(|point| (from..=to).contains(&point.step));
                    runs.push(StepRun { len: points.len(), points: Some(points), bytes: &[] });
                }
            }
        }
        let mut ordinals = sample_ordinals(runs.iter().map(|run| run.len).sum(), max).into_iter().peekable();
        let mut sample = Vec::with_capacity(ordinals.len());
        let mut start = 0;
        for run in runs {
            let end = start + run.len;
            if ordinals.peek().is_none_or(|ordinal| *ordinal >= end) {
                start = end;
                continue;
            }
            let mut places = Vec::new();
            while let Some(ordinal) = ordinals.next_if(|ordinal| *ordinal < end) {
                places.push(ordinal - start);
            }
            match &run.points {
                Some(points) => sample.extend(places.iter().filter_map(|place| points.get(*place))),
                None => sample.append(&mut pick(run.bytes, &places)?),
            }
            start = end;
        }
        Ok(sample)
    }

    /// Parts whose ranges touch belong together; the groups ascend and share no point.
    fn groups(&self, range: impl Fn(&ChunkStats) -> (i64, i64)) -> Vec<Group<'_, 'a>> {
        let mut parts: Group<'_, 'a> = self.parts.iter().collect();
        parts.sort_by_key(|(stats, _)| range(stats));
        let mut groups: Vec<Group<'_, 'a>> = Vec::new();
        let mut reach = i64::MIN;
        for part in parts {
            let (low, high) = range(&part.0);
            match groups.last_mut() {
                Some(group) if low <= reach => group.push(part),
                _ => groups.push(vec![part]),
            }
            reach = reach.max(high);
        }
        groups
    }
}

/// A stretch of the order by step: a whole chunk not unfolded yet, or points.
struct StepRun<'a> {
    len: usize,
    points: Option<Vec<Point>>,
    bytes: &'a [u8],
}

/// Every point of a group once, in this order.
fn load(
    group: &[&(ChunkStats, Source<'_>)],
    order: impl Fn(&Point, &Point) -> Ordering,
) -> Result<Vec<Point>, Damaged> {
    let mut points = Vec::new();
    for (_, source) in group {
        match source {
            Source::Chunk(bytes) if points.is_empty() => points = decode_chunk(bytes)?,
            Source::Chunk(bytes) => points.append(&mut decode_chunk(bytes)?),
            Source::Points(loose) => points.extend_from_slice(loose),
        }
    }
    Ok(ordered(points, order))
}

fn ordered(mut points: Vec<Point>, order: impl Fn(&Point, &Point) -> Ordering) -> Vec<Point> {
    if !points.is_sorted_by(|a, b| order(a, b).is_lt()) {
        // The stable sort merges ascending runs, which is what sources mostly are.
        points.sort_by(order);
        points.dedup();
    }
    points
}
