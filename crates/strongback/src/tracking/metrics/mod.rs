//! Histories of metrics: reading them whole, in pages or as samples, and compacting what was appended.
//!
//! What must stay true: a point is in the run's document alone while it is the only one of its key, and else in pieces
//! and chunks (see [`super::series`]); compaction changes how points lie, never which there are.

mod bounds;
pub(crate) mod bulk;
pub(in crate::tracking) mod compact;
mod history;
pub(in crate::tracking) mod store;
mod wire;

pub(in crate::tracking) use bounds::{settle, settle_stored};

use std::collections::BTreeMap;

use crate::{
    bind,
    db::Sql,
    error::Result,
    router::Route,
    tracking::{
        document::Point,
        run::Run,
        series::{History, Source, decode_piece, piece_series},
    },
};

/// Stored bytes that a key's history is read from.
struct Stored {
    chunks: Vec<Vec<u8>>,
    loose: Vec<Point>,
}

impl Stored {
    /// Loads what there is of a key. Nothing is read but the run's document where it has no history outside.
    fn load(sql: &mut Sql<'_>, run: &Run, key: &str) -> Result<Self> {
        let mut stored = Self { chunks: Vec::new(), loose: Vec::new() };
        let Some(metric) = run.document.metric(key) else { return Ok(stored) };
        if !metric.is_in_history() {
            stored.loose.push(metric.latest);
            return Ok(stored);
        }
        stored.chunks = sql.all(&store::CHUNKS_OF_KEY, bind![run.id, key], |row| row.get(0))?;
        let pieces: Vec<Vec<u8>> = sql.all(&store::PIECES_OF_RUN, bind![run.id], |row| row.get(1))?;
        for piece in &pieces {
            stored.loose.extend(piece_series(piece, key)?);
        }
        Ok(stored)
    }

    fn history(&self) -> Result<History<'_>> {
        let mut sources: Vec<Source<'_>> = self.chunks.iter().map(|bytes| Source::Chunk(bytes)).collect();
        if !self.loose.is_empty() {
            sources.push(Source::Points(self.loose.clone()));
        }
        Ok(History::open(sources)?)
    }
}

/// The newest points of a key, at most so many, by step: for charts that the server draws itself. Of points of one step the
/// latest stands. The caller has authorised the run.
pub fn newest_points(sql: &mut Sql<'_>, run: &Run, key: &str, most: usize) -> Result<Vec<Point>> {
    let mut points = Stored::load(sql, run, key)?.history()?.all()?;
    points.sort_by_key(|point| (point.step, point.timestamp_ms));
    let mut newest: Vec<Point> = Vec::new();
    for point in points {
        match newest.last_mut() {
            Some(last) if last.step == point.step => *last = point,
            _ => newest.push(point),
        }
    }
    newest.drain(..newest.len().saturating_sub(most));
    Ok(newest)
}

/// Every point of a run, by key and in the order of a history. The caller has authorised the run.
pub(in crate::tracking) fn all_points(sql: &mut Sql<'_>, run: &Run) -> Result<BTreeMap<String, Vec<Point>>> {
    let mut stored: BTreeMap<String, Stored> = BTreeMap::new();
    let mut has_history = false;
    for (key, metric) in run.document.metrics() {
        let is_alone = !metric.is_in_history();
        has_history |= !is_alone;
        let loose = if is_alone { vec![metric.latest] } else { Vec::new() };
        stored.insert(key.to_owned(), Stored { chunks: Vec::new(), loose });
    }
    if has_history {
        sql.each(&store::CHUNKS_OF_RUN, bind![run.id], |row| {
            if let Some(own) = stored.get_mut(&row.get::<String>(0)?) {
                own.chunks.push(row.get(1)?);
            }
            Ok(true)
        })?;
        sql.each(&store::PIECES_OF_RUN, bind![run.id], |row| {
            for series in decode_piece(&row.get::<Vec<u8>>(1)?)? {
                if let Some(own) = stored.get_mut(&series.key) {
                    own.loose.extend(series.points);
                }
            }
            Ok(true)
        })?;
    }
    stored.into_iter().map(|(key, stored)| Ok((key, stored.history()?.all()?))).collect()
}

/// Routes of metric histories.
pub(super) fn routes() -> Vec<Route> {
    [history::routes(), bulk::routes()].concat()
}
