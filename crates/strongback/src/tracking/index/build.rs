//! One pass of the index builder.
//!
//! What must stay true: columns are stored only while the lease that the pass began with is still held. A builder that
//! was slow, and whose lease somebody else had meanwhile, read what is no longer so; that its lease ran out is not
//! enough to know, so nobody renews a lease that had another holder in between.
//!
//! Once there is nothing else to do, segments of an older format are built anew: all runs of one are marked, in the transaction that
//! says that it is of today's. From then on searches read their documents, until they are indexed like any others.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use super::{
    assign::{self, Mark, Target},
    store,
};
use crate::{
    bind,
    db::{Db, Origin, Row, Sql},
    error::{Error, Result},
    events::store::LEASE_TAKE,
    tracking::{
        columns::{ColumnId, Kind, RunFacts, SEGMENT_FORMAT, SegmentBuilder, SegmentChanges},
        metrics::{self, compact},
        run::{self, Run},
        scan::Segment,
    },
};

const LEASE: &str = "tracking.index";
const LEASE_MS: i64 = 10_000;
/// How long a run that cannot be read is left alone before it is tried again: it may have been mended where it lies.
pub(super) const RETRY: Duration = Duration::from_mins(5);

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

/// One who builds, pass by pass.
pub(super) struct Builder<'a> {
    db: &'a Db,
    holder: String,
    /// Marks of runs that cannot be read, and when each was tried: said once, and tried again after `retry`.
    damaged: HashMap<Mark, Instant>,
    retry: Duration,
    /// Whether every segment was seen to be of today's format. None becomes older.
    is_renewed: bool,
}

/// What became of one experiment in one pass.
enum Indexed {
    /// Whether there is more to do, and it can be done.
    Batch { is_behind: bool },
    /// Somebody else has had the lease.
    LeaseLost,
}

impl<'a> Builder<'a> {
    pub(super) fn new(db: &'a Db, retry: Duration) -> Self {
        Self {
            db,
            holder: uuid::Uuid::now_v7().to_string(),
            damaged: HashMap::new(),
            retry,
            is_renewed: false,
        }
    }

    /// Indexes a batch of every experiment that has marked runs. What cannot be read in one of them is logged and does
    /// not keep the others waiting.
    pub(super) async fn pass(&mut self) -> Result<Pass> {
        let fresh = |sql: &mut Sql<'_>| sql.all(&store::FRESH_EXPERIMENTS, bind![], |row| row.get::<i64>(0));
        let fresh = self.db.read(&Origin::system(), fresh).await?;
        if fresh.is_empty() {
            return self.renew().await;
        }
        if !self.take_lease().await? {
            return Ok(Pass::Elsewhere);
        }
        let mut is_behind = false;
        for experiment in fresh {
            match self.index_experiment(experiment).await {
                Ok(Indexed::Batch { is_behind: more }) => is_behind |= more,
                Ok(Indexed::LeaseLost) => return Ok(Pass::Elsewhere),
                Err(error) => {
                    tracing::warn!(
                        ?error,
                        experiment,
                        "the search index of an experiment could not be brought up to date; it is tried again"
                    );
                }
            }
        }
        if is_behind { Ok(Pass::Behind) } else { self.renew().await }
    }

    /// Marks the runs of a segment of an older format, if there is one.
    async fn renew(&mut self) -> Result<Pass> {
        if self.is_renewed {
            return Ok(Pass::CaughtUp);
        }
        let old = |sql: &mut Sql<'_>| {
            let read = |row: &Row<'_>| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?));
            let found = sql.first(&store::SEGMENT_OLD, bind![SEGMENT_FORMAT], read)?;
            found
                .map(|(id, experiment)| Ok((id, experiment, assign::run_ids(sql, id)?.run_ids())))
                .transpose()
        };
        let Some((segment, experiment, runs)) = self.db.read(&Origin::system(), old).await? else {
            self.is_renewed = true;
            return Ok(Pass::CaughtUp);
        };
        if !self.take_lease().await? {
            return Ok(Pass::Elsewhere);
        }
        let holder = self.holder.clone();
        let runs = serde_json::to_string(&runs).map_err(Error::internal)?;
        let mark = move |tx: &mut Sql<'_>| {
            let is_held = keep_lease(tx, &holder)?;
            if is_held {
                tx.execute(&store::FRESH_ALL, bind![experiment, &runs])?;
                tx.execute(&store::SEGMENT_RENEW, bind![segment, SEGMENT_FORMAT])?;
            }
            Ok(is_held)
        };
        Ok(if self.db.derive(mark).await? { Pass::Behind } else { Pass::Elsewhere })
    }

    async fn take_lease(&self) -> Result<bool> {
        let holder = self.holder.clone();
        self.db
            .derive(move |tx| {
                let now = tx.now();
                Ok(tx.execute(&LEASE_TAKE, bind![LEASE, &holder, now + LEASE_MS, now])? > 0)
            })
            .await
    }

    /// Lets the lease go, so that the next builder need not wait until it has run out.
    pub(super) async fn release(&self) -> Result<()> {
        let holder = self.holder.clone();
        self.db.derive(move |tx| tx.execute(&store::LEASE_KEEP, bind![LEASE, &holder, 0]).map(drop)).await
    }

    async fn index_experiment(&mut self, experiment: i64) -> Result<Indexed> {
        let is_left = |tried: &Instant| tried.elapsed() < self.retry;
        let damaged: HashSet<Mark> =
            self.damaged.iter().filter(|(_, tried)| is_left(tried)).map(|(mark, _)| *mark).collect();
        let assigned = move |sql: &mut Sql<'_>| assign::assign(sql, experiment, &damaged);
        let work = self.db.read(&Origin::system(), assigned).await?;
        for (run_id, has_ended) in work.due {
            if let Err(error) = compact::compact(self.db, run_id, has_ended).await {
                tracing::warn!(?error, run_id, "a run's metric history could not be compacted");
            }
        }
        let mut is_behind = work.is_behind;
        for (target, marks) in work.groups {
            let marked = marks.clone();
            let built = self.db.read(&Origin::system(), move |sql| build(sql, target, &marks)).await?;
            let unsettled = self.settle(&built.unsettled, &marked).await?;
            is_behind |= unsettled.len() < built.unsettled.len();
            for (mark, error) in built.damaged.into_iter().chain(unsettled) {
                self.leave_out(experiment, mark, &error);
            }
            for mark in &built.marks {
                self.damaged.remove(mark);
            }
            let (holder, changes, marks) = (self.holder.clone(), built.changes, built.marks);
            let is_held = self
                .db
                .derive(move |tx| {
                    let is_held = keep_lease(tx, &holder)?;
                    if is_held {
                        store_segment(tx, experiment, target, &changes, &marks)?;
                    }
                    Ok(is_held)
                })
                .await?;
            if !is_held {
                return Ok(Indexed::LeaseLost);
            }
        }
        Ok(Indexed::Batch { is_behind })
    }

    /// Settles runs, so that the next pass can index them; answers those of which it cannot be done.
    async fn settle(&self, runs: &[i64], marks: &[Mark]) -> Result<Vec<(Mark, Error)>> {
        let damaged = metrics::settle_stored(self.db, runs).await?;
        Ok(damaged.into_iter().filter_map(|(run, error)| Some((mark_of(run, marks)?, error))).collect())
    }

    /// Leaves a run alone for a while, and says so once.
    fn leave_out(&mut self, experiment: i64, mark: Mark, error: &Error) {
        if self.damaged.insert(mark, Instant::now()).is_none() {
            tracing::error!(
                ?error,
                experiment,
                run_id = mark.0,
                "a run cannot be read and is left out of the search index"
            );
        }
    }
}

fn mark_of(run: i64, marks: &[Mark]) -> Option<Mark> {
    marks.iter().find(|(id, _)| *id == run).copied()
}

/// Renews the lease; whether nobody had it since it was taken.
fn keep_lease(tx: &mut Sql<'_>, holder: &str) -> Result<bool> {
    let until = tx.now() + LEASE_MS;
    Ok(tx.execute(&store::LEASE_KEEP, bind![LEASE, holder, until])? > 0)
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
            revision: row.get(5)?,
        })
    })
}

/// Runs in those segments of experiments that are of an older format, segment by segment.
pub(in crate::tracking) fn runs_of_old(sql: &mut Sql<'_>, experiments: &[i64]) -> Result<Vec<i64>> {
    let ids = serde_json::to_string(experiments).map_err(Error::internal)?;
    let old = sql.all(&store::SEGMENTS_OLD, bind![&ids, SEGMENT_FORMAT], |row| row.get::<i64>(0))?;
    let mut runs = Vec::new();
    for segment in old {
        runs.extend(assign::run_ids(sql, segment)?.run_ids());
    }
    Ok(runs)
}

/// A segment as it is to be.
struct Built {
    changes: SegmentChanges,
    /// Of the runs that are in it as they are now.
    marks: Vec<Mark>,
    /// Of the runs that cannot be read, and why.
    damaged: Vec<(Mark, Error)>,
    /// Runs that have to be settled first.
    unsettled: Vec<i64>,
}

/// A segment's columns with the marked runs as they are now.
fn build(sql: &mut Sql<'_>, target: Target, marks: &[Mark]) -> Result<Built> {
    let mut builder = match target {
        Target::Stored(id) => assign::run_ids(sql, id)?,
        Target::New(_) => SegmentBuilder::default(),
    };
    let ids: Vec<i64> = marks.iter().map(|(id, _)| *id).collect();
    let ids = serde_json::to_string(&ids).map_err(Error::internal)?;
    let (mut unread, mut unsettled) = (Vec::<(i64, Error)>::new(), Vec::<i64>::new());
    sql.each(&run::store::RUN_BY_IDS, bind![&ids], |row| {
        let id = row.get(0)?;
        match run::read(row) {
            Ok(run) if run.document.unsettled().next().is_some() => unsettled.push(id),
            run => match run.and_then(|run| builder.apply(id, &facts(&run)?).map_err(Error::internal)) {
                Ok(()) => {}
                Err(error) => unread.push((id, error)),
            },
        }
        Ok(true)
    })?;
    if let Target::Stored(id) = target {
        merge_stored(sql, id, &mut builder)?;
    }
    let left: HashSet<i64> = unread.iter().map(|(run, _)| *run).chain(unsettled.iter().copied()).collect();
    let read = marks.iter().filter(|(run, _)| !left.contains(run)).copied().collect();
    let damaged = unread.into_iter().filter_map(|(run, error)| Some((mark_of(run, marks)?, error))).collect();
    Ok(Built { changes: builder.finish(), marks: read, damaged, unsettled })
}

/// Lets the stored columns of a segment pass through its builder, one at a time.
fn merge_stored(sql: &mut Sql<'_>, segment: i64, builder: &mut SegmentBuilder) -> Result<()> {
    let columns = sql.all(&store::COLUMN_IDS, bind![segment], |row| {
        let code = row.get::<i64>(0)?;
        let kind = u8::try_from(code).ok().and_then(Kind::from_code);
        let kind =
            kind.ok_or_else(|| Error::internal(format!("an index column has the unknown kind {code}")))?;
        Ok(ColumnId { kind, key: row.get(1)? })
    })?;
    for id in columns.into_iter().filter(|id| id.kind != Kind::Rows) {
        let code = i64::from(id.kind.code());
        let bytes: Vec<u8> = sql.one(&store::COLUMN_GET, bind![segment, code, &id.key], |row| row.get(0))?;
        builder.merge(id, &bytes)?;
    }
    Ok(())
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
    let (runs, bytes) = (changes.runs as i64, changes.bytes.cast_signed());
    let segment = match target {
        Target::Stored(id) => {
            tx.execute(&store::SEGMENT_UPDATE, bind![id, first, last, runs, bytes])?;
            id
        }
        Target::New(_) => {
            let made = bind![experiment, first, last, runs, bytes, SEGMENT_FORMAT];
            tx.one(&store::SEGMENT_INSERT, made, |row| row.get(0))?
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
