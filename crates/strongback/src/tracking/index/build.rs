//! One pass of the index builder.

use std::collections::{BTreeMap, HashMap};

use super::store;
use crate::{
    bind,
    db::{Db, Origin, Sql},
    error::{Error, Result},
    events::store::LEASE_TAKE,
    tracking::{
        columns::{ColumnId, Kind, RunFacts, SEGMENT_RUNS_MAX, SegmentBuilder, SegmentChanges},
        metrics::compact,
        run::{self, Run, Status},
        scan::Segment,
    },
};

/// Runs that one pass takes of an experiment: enough that a column is rewritten rarely, few enough to hold in memory.
const BATCH: i64 = 3_000;
const LEASE: &str = "tracking.index";
const LEASE_MS: i64 = 30_000;

/// A mark: the run, and the revision that it was marked with.
type Mark = (i64, i64);

/// Where runs go: a stored segment, or a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Stored(i64),
    New(usize),
}

/// Indexes a batch of every experiment that has marked runs. Answers whether some have more.
pub(super) async fn pass(db: &Db, holder: &str) -> Result<bool> {
    let fresh = |sql: &mut Sql<'_>| {
        sql.all(&store::FRESH_EXPERIMENTS, bind![], |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)))
    };
    let fresh = db.read(&Origin::system(), fresh).await?;
    if fresh.is_empty() || !take_lease(db, holder).await? {
        return Ok(false);
    }
    let mut behind = false;
    for (experiment, count) in fresh {
        behind |= count > BATCH;
        index_experiment(db, experiment).await?;
    }
    Ok(behind)
}

async fn take_lease(db: &Db, holder: &str) -> Result<bool> {
    let holder = holder.to_owned();
    db.derive(move |tx| {
        let now = tx.now();
        Ok(tx.execute(&LEASE_TAKE, bind![LEASE, &holder, now + LEASE_MS, now])? > 0)
    })
    .await
}

async fn index_experiment(db: &Db, experiment: i64) -> Result<()> {
    let (groups, due) = db.read(&Origin::system(), move |sql| assign(sql, experiment)).await?;
    for run_id in due {
        if let Err(error) = compact::compact(db, run_id).await {
            tracing::warn!(?error, run_id, "a run's metric history could not be compacted");
        }
    }
    for (target, marks) in groups {
        let changes = {
            let marks = marks.clone();
            db.read(&Origin::system(), move |sql| build(sql, target, &marks)).await?
        };
        db.derive(move |tx| store_segment(tx, experiment, target, &changes, &marks)).await?;
    }
    Ok(())
}

/// Marked runs by the segment that they belong to, and those whose history is to be compacted.
fn assign(sql: &mut Sql<'_>, experiment: i64) -> Result<(BTreeMap<Target, Vec<Mark>>, Vec<i64>)> {
    let marks =
        sql.all(&store::FRESH_BATCH, bind![experiment, BATCH], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let marks: Vec<Mark> = marks;
    let mut segments = segments(sql, &[experiment])?;
    let mut homes = Homes::default();
    // New runs fill up the newest segment.
    segments.sort_by_key(|segment| segment.last_run);
    let mut room = segments.last().map_or(0, |segment| SEGMENT_RUNS_MAX.saturating_sub(segment.runs));
    let mut newest = segments.last().map_or(Target::New(0), |segment| Target::Stored(segment.id));
    if segments.is_empty() {
        room = SEGMENT_RUNS_MAX;
    }
    let mut groups: BTreeMap<Target, Vec<Mark>> = BTreeMap::new();
    for mark in &marks {
        let target = match homes.find(sql, &segments, mark.0)? {
            Some(id) => Target::Stored(id),
            None => {
                if room == 0 {
                    newest = match newest {
                        Target::Stored(_) => Target::New(0),
                        Target::New(n) => Target::New(n + 1),
                    };
                    room = SEGMENT_RUNS_MAX;
                }
                room -= 1;
                newest
            }
        };
        groups.entry(target).or_default().push(*mark);
    }
    let due = due(sql, &marks)?;
    Ok((groups, due))
}

fn due(sql: &mut Sql<'_>, marks: &[Mark]) -> Result<Vec<i64>> {
    let ids: Vec<i64> = marks.iter().map(|(id, _)| *id).collect();
    let loose = compact::loose(sql, &ids)?;
    let mut due = Vec::new();
    for run in runs(sql, &loose.keys().copied().collect::<Vec<_>>())? {
        let has_ended = !matches!(run.status, Status::Running | Status::Scheduled);
        if loose.get(&run.id).is_some_and(|loose| loose.is_due(has_ended)) {
            due.push(run.id);
        }
    }
    Ok(due)
}

/// Which segment holds a run already.
#[derive(Default)]
struct Homes(HashMap<i64, SegmentBuilder>);

impl Homes {
    fn find(&mut self, sql: &mut Sql<'_>, segments: &[Segment], run_id: i64) -> Result<Option<i64>> {
        for segment in segments.iter().filter(|s| (s.first_run..=s.last_run).contains(&run_id)) {
            if !self.0.contains_key(&segment.id) {
                let rows = ColumnId { kind: Kind::Rows, key: String::new() };
                let code = i64::from(rows.kind.code());
                let bytes =
                    sql.first(&store::COLUMN_GET, bind![segment.id, code, ""], |row| row.get::<Vec<u8>>(0))?;
                let builder = SegmentBuilder::from_columns(bytes.map(|bytes| (rows, bytes)))?;
                self.0.insert(segment.id, builder);
            }
            if self.0.get(&segment.id).is_some_and(|ids| ids.contains(run_id)) {
                return Ok(Some(segment.id));
            }
        }
        Ok(None)
    }
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

fn runs(sql: &mut Sql<'_>, ids: &[i64]) -> Result<Vec<Run>> {
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

/// What a search can ask of a run.
pub(in crate::tracking) fn facts(run: &Run) -> Result<RunFacts<'_>> {
    let mut uuid = [0; 16];
    hex::decode_to_slice(&run.uuid, &mut uuid).map_err(Error::internal)?;
    Ok(RunFacts {
        uuid,
        user: &run.user,
        status: run.status.name(),
        start_time_ms: run.start_time,
        end_time_ms: run.end_time,
        deleted: run.is_deleted(),
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
