//! The run index in columnar form: what a search reads instead of documents.
//!
//! The runs of one experiment are cut into segments of at most [`SEGMENT_RUNS_MAX`] runs, ascending by internal run
//! id. A segment has one column of run ids and one column for each (kind, key) that any of its runs has, so a search
//! reads the few columns that it names and nothing of the rest. Columns are built a moment after the runs were
//! written, many runs at once; a search is this index overridden by the documents that are newer than it.
//!
//! What must stay true:
//! - A row is a run's place in the segment's run ids. A column may know fewer rows than the segment has (it was not
//!   touched when runs were added): the rest has no value there.
//! - A column without a single value does not exist.
//! - Equal values have equal bytes, so a builder writes only what changed.

mod bitmap;
mod builder;
mod column;
mod encode;
mod facts;
#[cfg(test)]
mod tests;

pub(in crate::tracking) use bitmap::Bitmap;
pub use builder::{SegmentBuilder, SegmentChanges, SegmentFull};
pub(in crate::tracking) use column::{Column, Presence, Texts, Zone};
pub use facts::{Cell, RunFacts, attribute, dataset};

/// Most runs of one segment.
pub const SEGMENT_RUNS_MAX: usize = 4_096;

/// What segments are made of today. Those of format 1 have no [`Kind::MetricMin`] and [`Kind::MetricMax`].
pub const SEGMENT_FORMAT: i64 = 2;

/// Name of the tag that holds a run's name.
pub const RUN_NAME_TAG: &str = "mlflow.runName";

/// What a column holds. The codes are stored; they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Internal run ids: the column with the empty key that every segment has.
    Rows = 0,
    /// One of [`attribute`].
    Attribute = 1,
    /// Latest values of a metric.
    Metric = 2,
    /// A param.
    Param = 3,
    /// A tag.
    Tag = 4,
    /// One of [`dataset`]: any number of texts a run.
    Dataset = 5,
    /// Smallest values of a metric, of the runs where it is not the latest one.
    MetricMin = 6,
    /// Largest values of a metric, in the same way.
    MetricMax = 7,
}

/// Names a column within its segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnId {
    /// What it holds.
    pub kind: Kind,
    /// The attribute's, metric's, param's or tag's key.
    pub key: String,
}

impl Kind {
    /// Every kind, by ascending code.
    pub const ALL: [Kind; 8] = [
        Kind::Rows,
        Kind::Attribute,
        Kind::Metric,
        Kind::Param,
        Kind::Tag,
        Kind::Dataset,
        Kind::MetricMin,
        Kind::MetricMax,
    ];

    /// The stored code.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The kind of a stored code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}
