//! Which marked runs go into which segment, and whose history is due for compaction.

use std::collections::{BTreeMap, HashMap, HashSet, hash_map::Entry};

use super::{build::segments, store};
use crate::{
    bind,
    db::Sql,
    error::{Error, Result},
    tracking::{
        columns::{Kind, SEGMENT_RUNS_MAX, SegmentBuilder},
        metrics::compact,
        run::Status,
        scan::Segment,
    },
};

/// Runs that one pass takes of an experiment: enough that a column is rewritten rarely.
const BATCH_RUNS: usize = 3_000;
/// Bytes of documents from which a batch takes no further run, few enough to hold in memory.
const BATCH_BYTES: u64 = 16 << 20;
/// Unpacked bytes from which a segment takes no further run: each of its columns is rewritten whole.
const SEGMENT_BYTES: u64 = 64 << 20;

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
    /// Whether there was more than one batch takes.
    pub is_behind: bool,
}

/// Takes a batch of an experiment's marks, without those that are known to be of damaged runs.
pub(super) fn assign(sql: &mut Sql<'_>, experiment: i64, damaged: &HashSet<Mark>) -> Result<Work> {
    let most = BATCH_RUNS + damaged.len() + 1;
    let marked = sql.all(&store::FRESH_BATCH, bind![experiment, most as i64], |row| {
        Ok(((row.get(0)?, row.get(1)?), row.get::<i64>(2)?.cast_unsigned()))
    })?;
    let marked: Vec<(Mark, u64)> = marked.into_iter().filter(|(mark, _)| !damaged.contains(mark)).collect();
    let batch = batch(&marked);
    let segments = segments(sql, &[experiment])?;
    let sizes = sql.all(&store::SEGMENT_SIZES, bind![experiment], |row| {
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?.cast_unsigned()))
    })?;
    let mut filling = Filling::new(&segments, &sizes.into_iter().collect());
    let mut homes = Homes::default();
    let mut work = Work { is_behind: batch.len() < marked.len(), ..Work::default() };
    for (mark, bytes) in batch {
        let target = match homes.find(sql, &segments, mark.0)? {
            Some(id) => Target::Stored(id),
            None => filling.next(*bytes),
        };
        work.groups.entry(target).or_default().push(*mark);
    }
    work.due = due(sql, batch)?;
    Ok(work)
}

/// As many as fit into a batch, the first always.
fn batch(marked: &[(Mark, u64)]) -> &[(Mark, u64)] {
    let mut bytes = 0_u64;
    let fits = |(_, size): &&(Mark, u64)| {
        let fits = bytes < BATCH_BYTES;
        bytes += *size;
        fits
    };
    let count = marked.iter().take(BATCH_RUNS).take_while(fits).count();
    &marked[..count]
}

fn due(sql: &mut Sql<'_>, marks: &[(Mark, u64)]) -> Result<Vec<(i64, bool)>> {
    let ids: Vec<i64> = marks.iter().map(|((id, _), _)| *id).collect();
    let loose = compact::loose(sql, &ids)?;
    if loose.is_empty() {
        return Ok(Vec::new());
    }
    let ids = serde_json::to_string(&loose.keys().collect::<Vec<_>>()).map_err(Error::internal)?;
    let states = sql.all(&store::RUN_STATES, bind![&ids], |row| Ok((row.get::<i64>(0)?, row.get(1)?)))?;
    let has_ended = |(id, status): (i64, i64)| {
        (id, !matches!(Status::from_number(status), Some(Status::Running | Status::Scheduled)))
    };
    let is_due = |(id, has_ended): &(i64, bool)| loose.get(id).is_some_and(|loose| loose.is_due(*has_ended));
    Ok(states.into_iter().map(has_ended).filter(is_due).collect())
}

/// New runs fill up the newest segment, then new ones.
struct Filling {
    target: Target,
    /// Runs that still fit.
    room: usize,
    /// Bytes that are there.
    bytes: u64,
}

impl Filling {
    fn new(segments: &[Segment], sizes: &HashMap<i64, u64>) -> Self {
        match segments.iter().max_by_key(|segment| segment.last_run) {
            Some(newest) => Self {
                target: Target::Stored(newest.id),
                room: SEGMENT_RUNS_MAX.saturating_sub(newest.runs),
                bytes: sizes.get(&newest.id).copied().unwrap_or_default(),
            },
            None => Self { target: Target::New(0), room: SEGMENT_RUNS_MAX, bytes: 0 },
        }
    }

    /// Where a run with a document of so many bytes goes.
    fn next(&mut self, bytes: u64) -> Target {
        if self.room == 0 || self.bytes >= SEGMENT_BYTES {
            let target = match self.target {
                Target::Stored(_) => Target::New(0),
                Target::New(n) => Target::New(n + 1),
            };
            *self = Self { target, room: SEGMENT_RUNS_MAX, bytes: 0 };
        }
        self.room -= 1;
        self.bytes += bytes;
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

/// A segment's builder, to which nothing was applied yet.
pub(super) fn run_ids(sql: &mut Sql<'_>, segment: i64) -> Result<SegmentBuilder> {
    let code = i64::from(Kind::Rows.code());
    let rows = sql.first(&store::COLUMN_GET, bind![segment, code, ""], |row| row.get::<Vec<u8>>(0))?;
    Ok(rows.map(|rows| SegmentBuilder::from_rows(&rows)).transpose()?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(id: i64, last_run: i64, runs: usize) -> Segment {
        Segment { id, revision: 0, experiment: 1, runs, first_run: 1, last_run }
    }

    #[test]
    fn new_runs_fill_the_newest_segment_first() {
        let sizes = HashMap::new();
        let mut filling = Filling::new(&[segment(7, 90, 10), segment(8, 50, 10)], &sizes);
        assert_eq!(filling.next(1), Target::Stored(7));
        let mut filling = Filling::new(&[segment(7, 90, SEGMENT_RUNS_MAX - 1)], &sizes);
        assert_eq!((filling.next(1), filling.next(1)), (Target::Stored(7), Target::New(0)));
        let mut filling = Filling::new(&[], &sizes);
        let last = (0..=SEGMENT_RUNS_MAX).map(|_| filling.next(1)).last();
        assert_eq!(last, Some(Target::New(1)));
    }

    #[test]
    fn a_segment_closes_by_its_bytes_too() {
        let sizes = HashMap::from([(7, SEGMENT_BYTES - 1)]);
        let mut filling = Filling::new(&[segment(7, 90, 10)], &sizes);
        let targets: Vec<Target> = [1, 1, SEGMENT_BYTES, 1].map(|bytes| filling.next(bytes)).to_vec();
        assert_eq!(targets, [Target::Stored(7), Target::New(0), Target::New(0), Target::New(1)]);
    }

    #[test]
    fn a_batch_ends_by_its_bytes_too() {
        let sized = |size: u64| ((1, 1), size);
        assert_eq!(batch(&vec![sized(1); BATCH_RUNS + 9]).len(), BATCH_RUNS);
        assert_eq!(batch(&[sized(BATCH_BYTES + 1), sized(1)]).len(), 1);
        assert_eq!(batch(&[sized(BATCH_BYTES - 1), sized(1), sized(1)]).len(), 2);
        assert_eq!(batch(&[]).len(), 0);
    }
}
