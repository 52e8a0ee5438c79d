//! One pass of the index builder.
//!
//! What must stay true: columns are stored only while the lease that the pass began with is still held. A builder that
//! was slow, and whose lease somebody else had meanwhile, read what is no longer so; that its lease ran out is not
//! enough to know, so nobody renews a lease that had another holder in between.

use super::{
    assign::{self, Mark, Target},
    store,
};
use crate::{
    bind,
    db::{Db, Origin, Sql},
    error::{Error, Result},
    events::store::LEASE_TAKE,
    tracking::{
        columns::{ColumnId, Kind, RunFacts, SegmentBuilder, SegmentChanges},
        metrics::compact,
        run::{self, Run},
        scan::Segment,
    },
};

/// Runs that one pass takes of an experiment: enough that a column is rewritten rarely, few enough to hold in memory.
const BATCH: i64 = 3_000;
const LEASE: &str = "tracking.index";
const LEASE_MS: i64 = 10_000;

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// What was marked when it began is indexed.
    CaughtUp,
    /// There was more than one pass takes.
    Behind,
    /// Somebody else builds.
    Elsewhere,
}

/// Indexes a batch of every experiment that has marked runs.
pub(super) async fn pass(db: &Db, holder: &str) -> Result<Pass> {
    let fresh = |sql: &mut Sql<'_>| {
        sql.all(&store::FRESH_EXPERIMENTS, bind![], |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)))
    };
    let fresh = db.read(&Origin::system(), fresh).await?;
    if fresh.is_empty() {
        return Ok(Pass::CaughtUp);
    }
    if !take_lease(db, holder).await? {
        return Ok(Pass::Elsewhere);
    }
    let mut behind = false;
    for (experiment, count) in fresh {
        behind |= count > BATCH;
        if !index_experiment(db, holder, experiment).await? {
            return Ok(Pass::Elsewhere);
        }
    }
    Ok(if behind { Pass::Behind } else { Pass::CaughtUp })
}

async fn take_lease(db: &Db, holder: &str) -> Result<bool> {
    let holder = holder.to_owned();
    db.derive(move |tx| {
        let now = tx.now();
        Ok(tx.execute(&LEASE_TAKE, bind![LEASE, &holder, now + LEASE_MS, now])? > 0)
    })
    .await
}

/// Renews the lease; whether nobody had it since it was taken.
fn keep_lease(tx: &mut Sql<'_>, holder: &str) -> Result<bool> {
    let until = tx.now() + LEASE_MS;
    Ok(tx.execute(&store::LEASE_KEEP, bind![LEASE, holder, until])? > 0)
}

/// Lets the lease go, so that the next builder need not wait until it has run out.
pub(super) async fn release(db: &Db, holder: &str) -> Result<()> {
    let holder = holder.to_owned();
    db.derive(move |tx| tx.execute(&store::LEASE_KEEP, bind![LEASE, &holder, 0]).map(drop)).await
}

/// Indexes a batch of one experiment; whether the lease held.
async fn index_experiment(db: &Db, holder: &str, experiment: i64) -> Result<bool> {
    let work = db.read(&Origin::system(), move |sql| assign::assign(sql, experiment, BATCH)).await?;
    for (run_id, has_ended) in work.due {
        if let Err(error) = compact::compact(db, run_id, has_ended).await {
            tracing::warn!(?error, run_id, "a run's metric history could not be compacted");
        }
    }
    for (target, marks) in work.groups {
        let (holder, read) = (holder.to_owned(), marks.clone());
        let changes = db.read(&Origin::system(), move |sql| build(sql, target, &read)).await?;
        let is_held = db
            .derive(move |tx| {
                let is_held = keep_lease(tx, &holder)?;
                if is_held {
                    store_segment(tx, experiment, target, &changes, &marks)?;
                }
                Ok(is_held)
            })
            .await?;
        if !is_held {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Segments of experiments, by first run.
pub(in crate::tracking) fn segments(sql: &mut Sql<'_>, experiments: &[i64]) -> Result<Vec<Segment>> {
    let ids = serde_json::to_string(experiments).map_err(Error::internal)?;
    sql.all(&store::SEGMENTS, bind![&ids], |row| {
        Ok(Segment {
            id: row.get(0)?,
            experiment: row.get(1)?,
            runs: row.get::<i64>(2)? as usize,
            first_run: row.get(3)?,
            last_run: row.get(4)?,
        })
    })
}

pub(super) fn runs(sql: &mut Sql<'_>, ids: &[i64]) -> Result<Vec<Run>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids = serde_json::to_string(ids).map_err(Error::internal)?;
    sql.all(&run::store::RUN_BY_IDS, bind![&ids], run::read)
}

/// A segment's columns with the marked runs as they are now.
fn build(sql: &mut Sql<'_>, target: Target, marks: &[Mark]) -> Result<SegmentChanges> {
    let mut columns = Vec::new();
    if let Target::Stored(id) = target {
        sql.each(&store::COLUMNS_OF, bind![id], |row| {
            let code = row.get::<i64>(0)?;
            let kind = u8::try_from(code).ok().and_then(Kind::from_code);
            let kind =
                kind.ok_or_else(|| Error::internal(format!("an index column has the unknown kind {code}")))?;
            columns.push((ColumnId { kind, key: row.get(1)? }, row.get::<Vec<u8>>(2)?));
            Ok(true)
        })?;
    }
    let mut builder = SegmentBuilder::from_columns(columns)?;
    let ids: Vec<i64> = marks.iter().map(|(id, _)| *id).collect();
    for run in runs(sql, &ids)? {
        builder.apply(run.id, &facts(&run)?).map_err(Error::internal)?;
    }
    Ok(builder.finish())
}

/// What the index says of a run. Whether its experiment was deleted is no fact of the run: searches look that up.
pub(in crate::tracking) fn facts(run: &Run) -> Result<RunFacts<'_>> {
    let mut uuid = [0; 16];
    hex::decode_to_slice(&run.uuid, &mut uuid).map_err(Error::internal)?;
    Ok(RunFacts {
        uuid,
        user: &run.user,
        status: run.status.name(),
        start_time_ms: run.start_time,
        end_time_ms: run.end_time,
        deleted: run.deleted,
        document: &run.document,
    })
}

fn store_segment(
    tx: &mut Sql<'_>,
    experiment: i64,
    target: Target,
    changes: &SegmentChanges,
    marks: &[Mark],
) -> Result<()> {
    let Some((first, last)) = changes.run_ids else { return Ok(()) };
    let runs = changes.runs as i64;
    let segment = match target {
        Target::Stored(id) => {
            tx.execute(&store::SEGMENT_UPDATE, bind![id, first, last, runs])?;
            id
        }
        Target::New(_) => {
            tx.one(&store::SEGMENT_INSERT, bind![experiment, first, last, runs], |row| row.get(0))?
        }
    };
    for (id, body) in &changes.written {
        tx.execute(&store::COLUMN_PUT, bind![segment, i64::from(id.kind.code()), &id.key, body])?;
    }
    for id in &changes.removed {
        tx.execute(&store::COLUMN_DELETE, bind![segment, i64::from(id.kind.code()), &id.key])?;
    }
    let ids = serde_json::to_string(&marks.iter().map(|(id, _)| id).collect::<Vec<_>>())
        .map_err(Error::internal)?;
    let pairs: Vec<String> = marks.iter().map(|(id, revision)| format!("{id}:{revision}")).collect();
    let pairs = serde_json::to_string(&pairs).map_err(Error::internal)?;
    tx.execute(&store::FRESH_DELETE, bind![experiment, &ids, &pairs])?;
    Ok(())
}
