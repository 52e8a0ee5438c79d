//! Which marked runs go into which segment, and whose history is due for compaction.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use super::{
    build::{runs, segments},
    store,
};
use crate::{
    bind,
    db::Sql,
    error::Result,
    tracking::{
        columns::{ColumnId, Kind, SEGMENT_RUNS_MAX, SegmentBuilder},
        metrics::compact,
        run::Status,
        scan::Segment,
    },
};

/// A mark: the run, and the revision that it was marked with.
pub(super) type Mark = (i64, i64);

/// Where runs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// Into the segment with this id.
    Stored(i64),
    /// Into the n-th new one.
    New(usize),
}

/// What there is to do for one experiment.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Marked runs by their segment.
    pub groups: BTreeMap<Target, Vec<Mark>>,
    /// Runs whose history is to be compacted, and whether each has ended.
    pub due: Vec<(i64, bool)>,
}

/// Takes at most `batch` marks of an experiment.
pub(super) fn assign(sql: &mut Sql<'_>, experiment: i64, batch: i64) -> Result<Work> {
    let mark = |row: &crate::db::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let marks: Vec<Mark> = sql.all(&store::FRESH_BATCH, bind![experiment, batch], mark)?;
    let segments = segments(sql, &[experiment])?;
    let mut filling = Filling::new(&segments);
    let mut homes = Homes::default();
    let mut work = Work::default();
    for mark in &marks {
        let target = match homes.find(sql, &segments, mark.0)? {
            Some(id) => Target::Stored(id),
            None => filling.next(),
        };
        work.groups.entry(target).or_default().push(*mark);
    }
    work.due = due(sql, &marks)?;
    Ok(work)
}

fn due(sql: &mut Sql<'_>, marks: &[Mark]) -> Result<Vec<(i64, bool)>> {
    let ids: Vec<i64> = marks.iter().map(|(id, _)| *id).collect();
    let loose = compact::loose(sql, &ids)?;
    let mut due = Vec::new();
    for run in runs(sql, &loose.keys().copied().collect::<Vec<_>>())? {
        let has_ended = !matches!(run.status, Status::Running | Status::Scheduled);
        if loose.get(&run.id).is_some_and(|loose| loose.is_due(has_ended)) {
            due.push((run.id, has_ended));
        }
    }
    Ok(due)
}

/// New runs fill up the newest segment, then new ones.
struct Filling {
    target: Target,
    room: usize,
}

impl Filling {
    fn new(segments: &[Segment]) -> Self {
        match segments.iter().max_by_key(|segment| segment.last_run) {
            Some(newest) => {
                Self { target: Target::Stored(newest.id), room: SEGMENT_RUNS_MAX.saturating_sub(newest.runs) }
            }
            None => Self { target: Target::New(0), room: SEGMENT_RUNS_MAX },
        }
    }

    fn next(&mut self) -> Target {
        if self.room == 0 {
            self.target = match self.target {
                Target::Stored(_) => Target::New(0),
                Target::New(n) => Target::New(n + 1),
            };
            self.room = SEGMENT_RUNS_MAX;
        }
        self.room -= 1;
        self.target
    }
}

/// Which segment holds a run already. Ranges of segments may overlap, since runs of several writers become visible out
/// of order, so the range only says where to look.
#[derive(Default)]
struct Homes(HashMap<i64, SegmentBuilder>);

impl Homes {
    fn find(&mut self, sql: &mut Sql<'_>, segments: &[Segment], run_id: i64) -> Result<Option<i64>> {
        for segment in segments.iter().filter(|s| (s.first_run..=s.last_run).contains(&run_id)) {
            let ids = match self.0.entry(segment.id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(free) => free.insert(run_ids(sql, segment.id)?),
            };
            if ids.contains(run_id) {
                return Ok(Some(segment.id));
            }
        }
        Ok(None)
    }
}

/// A segment of which only the run ids are read.
fn run_ids(sql: &mut Sql<'_>, segment: i64) -> Result<SegmentBuilder> {
    let rows = ColumnId { kind: Kind::Rows, key: String::new() };
    let code = i64::from(rows.kind.code());
    let bytes = sql.first(&store::COLUMN_GET, bind![segment, code, ""], |row| row.get::<Vec<u8>>(0))?;
    Ok(SegmentBuilder::from_columns(bytes.map(|bytes| (rows, bytes)))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_runs_fill_the_newest_segment_first() {
        let segment = |id, last_run, runs| Segment { id, experiment: 1, runs, first_run: 1, last_run };
        let mut filling = Filling::new(&[segment(7, 90, 10), segment(8, 50, 10)]);
        assert_eq!(filling.next(), Target::Stored(7));
        let mut filling = Filling::new(&[segment(7, 90, SEGMENT_RUNS_MAX - 1)]);
        assert_eq!((filling.next(), filling.next()), (Target::Stored(7), Target::New(0)));
        let mut filling = Filling::new(&[]);
        let last = (0..=SEGMENT_RUNS_MAX).map(|_| filling.next()).last();
        assert_eq!(last, Some(Target::New(1)));
    }
}
