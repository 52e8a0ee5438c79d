//! The smallest and the largest value of a metric, where its run's document does not know them: documents of version 1 did not keep
//! them. They are read off the history, once.

use std::collections::{BTreeMap, BTreeSet};

use super::store;
use crate::{
    bind,
    db::{Db, Origin, Sql},
    error::{Error, Result},
    tracking::{
        document::{Bounds, Damaged, RunDocument},
        run::Run,
        series::{decode_chunk, decode_piece},
    },
};

/// Runs whose documents are written in one transaction.
const RUNS_AT_ONCE: usize = 50;

/// What the histories of metrics say, by key.
pub(in crate::tracking) type Settled = BTreeMap<String, Bounds>;

/// Bounds of the metrics with these keys, of one run; the inner error is of a history that cannot be read.
pub(in crate::tracking) fn settled(
    sql: &mut Sql<'_>,
    run_id: i64,
    keys: &BTreeSet<String>,
) -> Result<std::result::Result<Settled, Damaged>> {
    let mut found: Settled = keys.iter().map(|key| (key.clone(), Bounds::default())).collect();
    let mut damaged = None;
    let until = sql.limit();
    sql.each(&store::PIECES_OF_RUN, bind![run_id], |row| {
        until.check()?;
        match decode_piece(&row.get::<Vec<u8>>(1)?) {
            Ok(batch) => {
                for series in batch {
                    if let Some(bounds) = found.get_mut(&series.key) {
                        bounds.join(series.points.iter().map(|point| point.value).collect());
                    }
                }
            }
            Err(error) => damaged = Some(error),
        }
        Ok(damaged.is_none())
    })?;
    for (key, bounds) in &mut found {
        sql.each(&store::CHUNKS_OF_KEY, bind![run_id, key], |row| {
            until.check()?;
            match decode_chunk(&row.get::<Vec<u8>>(0)?) {
                Ok(points) => bounds.join(points.iter().map(|point| point.value).collect()),
                Err(error) => damaged = Some(error),
            }
            Ok(damaged.is_none())
        })?;
    }
    Ok(damaged.map_or(Ok(found), Err))
}

/// Settles the metrics of a run that is looked at, of those with these keys. Nothing is stored.
pub(in crate::tracking) fn settle(
    sql: &mut Sql<'_>,
    run: &mut Run,
    keys: &BTreeSet<String>,
) -> Result<std::result::Result<(), Damaged>> {
    let open = run.document.unsettled().filter(|key| keys.contains(*key)).map(str::to_owned).collect();
    Ok(settled(sql, run.id, &open)?.map(|found| note(&mut run.document, &found)))
}

/// Settles all metrics of runs and stores that; answers the runs of which it cannot be read, and why.
pub(in crate::tracking) async fn settle_stored(db: &Db, run_ids: &[i64]) -> Result<Vec<(i64, Error)>> {
    let mut damaged = Vec::new();
    for part in run_ids.chunks(RUNS_AT_ONCE) {
        let mut known: Vec<(i64, Settled)> = Vec::new();
        for run_id in part.iter().copied() {
            match db.read(&Origin::system(), move |sql| stored(sql, run_id)).await? {
                Ok(found) => known.push((run_id, found)),
                Err(error) => damaged.push((run_id, error.into())),
            }
        }
        // In one order for everybody, so that two of them cannot wait for each other.
        known.sort_unstable_by_key(|(run_id, _)| *run_id);
        db.derive(move |tx| known.iter().try_for_each(|(run_id, found)| store(tx, *run_id, found))).await?;
    }
    Ok(damaged)
}

fn stored(sql: &mut Sql<'_>, run_id: i64) -> Result<std::result::Result<Settled, Damaged>> {
    let body = sql.first(&store::DOCUMENT_GET, bind![run_id], |row| row.get::<Vec<u8>>(0))?;
    match body.map(|body| RunDocument::decode(&body)).transpose() {
        Ok(document) => {
            let open = document.iter().flat_map(RunDocument::unsettled).map(str::to_owned).collect();
            settled(sql, run_id, &open)
        }
        Err(error) => Ok(Err(error)),
    }
}

/// What was logged since the history was read is in the document's own bounds, so that nothing of it is lost here. The revision
/// stays: nothing is new of the run.
fn store(tx: &mut Sql<'_>, run_id: i64, found: &Settled) -> Result<()> {
    let body = tx.first(&store::DOCUMENT_LOCK, bind![run_id], |row| row.get::<Vec<u8>>(0))?;
    let Some(mut document) = body.map(|body| RunDocument::decode(&body)).transpose()? else { return Ok(()) };
    note(&mut document, found);
    tx.execute(&store::DOCUMENT_PUT, bind![run_id, &document.encode()]).map(drop)
}

fn note(document: &mut RunDocument, found: &Settled) {
    for (key, bounds) in found {
        document.settle(key, *bounds);
    }
}
