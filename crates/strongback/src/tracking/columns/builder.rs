//! Building and updating a segment.
//!
//! A segment may be large where runs have many long texts, so its columns are never in memory at once: the runs that
//! changed are applied first, then the stored columns pass through one by one ([`SegmentBuilder::merge`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::tracking::document::Damaged;

use super::encode::{encode_floats, encode_ints, encode_texts, encode_uuids};
use super::{Cell, Column, ColumnId, Kind, RunFacts, SEGMENT_RUNS_MAX};

/// The runs of a segment, and what is new of some of them.
#[derive(Debug, Default)]
pub struct SegmentBuilder {
    stored_ids: Vec<i64>,
    ids: BTreeSet<i64>,
    /// Of each run that was applied or removed, which application is the valid one.
    applied: HashMap<i64, u32>,
    applications: u32,
    /// Columns of the runs that were applied.
    tracks: BTreeMap<Kind, BTreeMap<String, Track>>,
    changes: SegmentChanges,
}

/// What has to be stored so that a segment is as its builder has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentChanges {
    /// Columns to write, by ascending id.
    pub written: Vec<(ColumnId, Vec<u8>)>,
    /// Columns of which no value is left.
    pub removed: Vec<ColumnId>,
    /// Runs of the segment.
    pub runs: usize,
    /// Smallest and largest internal run id; `None` of an empty segment.
    pub run_ids: Option<(i64, i64)>,
    /// What its columns take up unpacked, in bytes.
    pub bytes: u64,
}

/// The segment has its [`SEGMENT_RUNS_MAX`] runs; this one goes into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the index segment already has {SEGMENT_RUNS_MAX} runs")]
pub struct SegmentFull;

/// The cells of one column: as stored, and as applied since.
#[derive(Debug)]
enum Track {
    Ints(Cells<i64>),
    /// By their bits.
    Floats(Cells<u64>),
    /// By their number in the interner.
    Texts(Cells<u32>, Interner),
    Uuids(Cells<[u8; 16]>),
}

#[derive(Debug)]
struct Cells<T> {
    /// (run id, value), ascending.
    stored: Vec<(i64, T)>,
    /// (run id, application, value).
    applied: Vec<(i64, u32, T)>,
}

/// Numbers for texts.
#[derive(Debug, Default)]
struct Interner {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
    /// Of all texts together, in bytes.
    length: u64,
}

impl SegmentBuilder {
    /// Takes the stored run ids of a segment.
    pub fn from_rows(rows: &[u8]) -> Result<Self, Damaged> {
        let rows = Column::read(rows)?;
        let ids: Vec<i64> =
            (0..rows.rows()).filter_map(|row| rows.slot(row)).filter_map(|slot| rows.int_at(slot)).collect();
        if !ids.is_sorted_by(|a, b| a < b) || ids.len() != rows.rows() {
            return Err(Damaged { format: "index column", at: 0, why: "run ids do not ascend" });
        }
        Ok(Self { ids: ids.iter().copied().collect(), stored_ids: ids, ..Self::default() })
    }

    /// Runs of the segment.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether it has no run.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The internal ids of its runs, ascending.
    pub fn run_ids(&self) -> Vec<i64> {
        self.ids.iter().copied().collect()
    }

    /// Whether this run is in the segment.
    pub fn contains(&self, run_id: i64) -> bool {
        self.ids.contains(&run_id)
    }

    /// Sets everything that the index says of a run; what the run no longer has vanishes.
    pub fn apply(&mut self, run_id: i64, facts: &RunFacts<'_>) -> Result<(), SegmentFull> {
        if self.ids.len() >= SEGMENT_RUNS_MAX && !self.ids.contains(&run_id) {
            return Err(SegmentFull);
        }
        self.ids.insert(run_id);
        let application = self.begin(run_id);
        let tracks = &mut self.tracks;
        facts.visit(|kind, key, cell| {
            let tracks = tracks.entry(kind).or_default();
            if let Some(track) = tracks.get_mut(key) {
                track.push(run_id, application, cell);
            } else {
                let mut track = Track::for_cell(cell);
                track.push(run_id, application, cell);
                tracks.insert(key.to_owned(), track);
            }
        });
        Ok(())
    }

    /// Takes a run out of the segment, for runs that are purged; whether it was there.
    pub fn remove(&mut self, run_id: i64) -> bool {
        self.begin(run_id);
        self.ids.remove(&run_id)
    }

    /// Takes one stored column, once all runs are applied. Every column must pass, but that of the run ids.
    pub fn merge(&mut self, id: ColumnId, bytes: &[u8]) -> Result<(), Damaged> {
        let column = Column::read(bytes)?;
        let applied = self.tracks.get_mut(&id.kind).and_then(|tracks| tracks.remove(&id.key));
        let mut track = applied.unwrap_or_else(|| Track::for_column(&column));
        track.load(&column, &self.stored_ids);
        let (ids, moved) = self.rows();
        self.put(id, track, &ids, moved);
        Ok(())
    }

    /// Encodes what changed since [`SegmentBuilder::from_rows`].
    pub fn finish(mut self) -> SegmentChanges {
        let (ids, moved) = self.rows();
        for (kind, tracks) in std::mem::take(&mut self.tracks) {
            for (key, track) in tracks {
                self.put(ColumnId { kind, key }, track, &ids, moved);
            }
        }
        if ids != self.stored_ids {
            let id = ColumnId { kind: Kind::Rows, key: String::new() };
            if ids.is_empty() {
                self.changes.removed.push(id);
            } else {
                let cells: Vec<(u16, i64)> = (0..).zip(ids.iter().copied()).collect();
                self.changes.written.push((id, encode_ints(ids.len(), &cells)));
            }
        }
        let mut changes = self.changes;
        changes.written.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        changes.removed.sort_unstable();
        changes.runs = ids.len();
        changes.run_ids = ids.first().copied().zip(ids.last().copied());
        changes
    }

    /// The run ids, and whether rows moved: rows are places, so when a run comes in between or goes, all columns change.
    fn rows(&self) -> (Vec<i64>, bool) {
        let ids: Vec<i64> = self.ids.iter().copied().collect();
        let moved = !ids.starts_with(&self.stored_ids);
        (ids, moved)
    }

    fn put(&mut self, id: ColumnId, track: Track, ids: &[i64], moved: bool) {
        let (outcome, bytes) = track.finish(ids, moved, &self.applied);
        self.changes.bytes += bytes;
        match outcome {
            Outcome::Same => {}
            Outcome::Written(bytes) => self.changes.written.push((id, bytes)),
            Outcome::Removed => self.changes.removed.push(id),
        }
    }

    fn begin(&mut self, run_id: i64) -> u32 {
        self.applications += 1;
        self.applied.insert(run_id, self.applications);
        self.applications
    }
}

/// What became of a column.
enum Outcome {
    Same,
    Written(Vec<u8>),
    Removed,
}

impl Track {
    fn for_cell(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Int(_) => Self::Ints(Cells::new()),
            Cell::Float(_) => Self::Floats(Cells::new()),
            Cell::Text(_) => Self::Texts(Cells::new(), Interner::default()),
            Cell::Uuid(_) => Self::Uuids(Cells::new()),
        }
    }

    fn for_column(column: &Column) -> Self {
        if column.ints().is_some() {
            Self::Ints(Cells::new())
        } else if column.floats().is_some() {
            Self::Floats(Cells::new())
        } else if column.texts().is_some() {
            Self::Texts(Cells::new(), Interner::default())
        } else {
            Self::Uuids(Cells::new())
        }
    }

    /// Takes the stored cells in. A key's data never changes its type within a kind, so cells of another type are none
    /// of ours and fall away.
    fn load(&mut self, column: &Column, ids: &[i64]) {
        match self {
            Self::Ints(cells) => cells.load(column, ids, |slot| column.int_at(slot)),
            Self::Floats(cells) => cells.load(column, ids, |slot| column.float_at(slot).map(f64::to_bits)),
            Self::Uuids(cells) => cells.load(column, ids, |slot| column.uuid_at(slot).copied()),
            Self::Texts(cells, texts) => {
                let Some(view) = column.texts() else { return };
                let numbers: Vec<u32> =
                    (0..view.entries()).map(|code| texts.number(view.entry(code))).collect();
                cells.load(column, ids, |slot| numbers.get(view.code_at(slot)).copied());
                cells.stored.sort_unstable();
            }
        }
    }

    /// The same of types as in [`Track::load`].
    fn push(&mut self, run_id: i64, application: u32, cell: Cell<'_>) {
        match (self, cell) {
            (Self::Ints(cells), Cell::Int(value)) => cells.applied.push((run_id, application, value)),
            (Self::Floats(cells), Cell::Float(value)) => {
                cells.applied.push((run_id, application, value.to_bits()));
            }
            (Self::Texts(cells, texts), Cell::Text(text)) => {
                cells.applied.push((run_id, application, texts.number(text)));
            }
            (Self::Uuids(cells), Cell::Uuid(uuid)) => cells.applied.push((run_id, application, uuid)),
            (track, cell) => {
                *track = Self::for_cell(cell);
                track.push(run_id, application, cell);
            }
        }
    }

    /// What became of it, and how many bytes its cells take up.
    fn finish(self, ids: &[i64], moved: bool, applied: &HashMap<i64, u32>) -> (Outcome, u64) {
        match self {
            Self::Ints(cells) => cells.finish(ids, moved, applied, encode_ints),
            Self::Floats(cells) => cells.finish(ids, moved, applied, encode_floats),
            Self::Uuids(cells) => cells.finish(ids, moved, applied, encode_uuids),
            Self::Texts(cells, texts) => {
                let length = texts.length;
                let (outcome, bytes) =
                    cells.finish(ids, moved, applied, |rows, cells| texts.encode(rows, cells));
                (outcome, bytes + length)
            }
        }
    }
}

impl<T: Copy + Ord> Cells<T> {
    fn new() -> Self {
        Self { stored: Vec::new(), applied: Vec::new() }
    }

    fn load(&mut self, column: &Column, ids: &[i64], value: impl Fn(usize) -> Option<T>) {
        let cells = column.cells().filter_map(|(row, slot)| Some((*ids.get(row)?, value(slot)?)));
        self.stored = cells.collect();
    }

    fn finish(
        self,
        ids: &[i64],
        moved: bool,
        applied: &HashMap<i64, u32>,
        encode: impl FnOnce(usize, &[(u16, T)]) -> Vec<u8>,
    ) -> (Outcome, u64) {
        let kept = self.stored.iter().filter(|(id, _)| !applied.contains_key(id)).copied();
        let valid = self.applied.iter().filter(|(id, application, _)| applied.get(id) == Some(application));
        let mut cells: Vec<(i64, T)> = kept.chain(valid.map(|(id, _, value)| (*id, *value))).collect();
        cells.sort();
        cells.dedup();
        let bytes = size_of_val(cells.as_slice()) as u64;
        if cells == self.stored && (cells.is_empty() || !moved) {
            return (Outcome::Same, bytes);
        }
        if cells.is_empty() {
            return (Outcome::Removed, bytes);
        }
        let mut row = 0;
        let placed: Vec<(u16, T)> = cells
            .iter()
            .map(|(id, value)| {
                row += ids[row..].partition_point(|other| other < id);
                (row as u16, *value)
            })
            .collect();
        (Outcome::Written(encode(ids.len(), &placed)), bytes)
    }
}

impl Interner {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.length += text.len() as u64;
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn encode(&self, rows: usize, cells: &[(u16, u32)]) -> Vec<u8> {
        let text = |number: u32| self.texts.get(number as usize).map_or("", String::as_str);
        let used: BTreeSet<u32> = cells.iter().map(|(_, number)| *number).collect();
        let mut dictionary: Vec<(&str, u32)> =
            used.into_iter().map(|number| (text(number), number)).collect();
        dictionary.sort_unstable();
        let codes: HashMap<u32, u32> =
            (0..).zip(&dictionary).map(|(code, (_, number))| (*number, code)).collect();
        let mut coded: Vec<(u16, u32)> = cells
            .iter()
            .map(|(row, number)| (*row, codes.get(number).copied().unwrap_or_default()))
            .collect();
        coded.sort_unstable();
        let entries: Vec<&str> = dictionary.into_iter().map(|(entry, _)| entry).collect();
        encode_texts(rows, &coded, &entries)
    }
}
