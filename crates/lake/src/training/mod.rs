//! Training sets: rows of a table of labels, each with the features that were published by then, in a fixed order.
//!
//! A set is made by a recipe that names every table at a version. Its order is part of it: by the time of the label, then by
//! all other columns in their order, ascending and nulls first, so that only rows that are equal in everything may change
//! places. So the same recipe makes the same rows in the same order, on every machine, and their digest proves it.
//!
//! What must stay true:
//! - a row never sees a feature that was published after its time;
//! - a row that finds no features has what nothing has: 0 where a feature counts, null elsewhere;
//! - a condition reads the row alone: neither the clock, nor chance, nor another table.

mod build;
mod canon;
mod filter;
mod judge;
mod plan;

pub use build::Built;
pub use judge::{Difference, Judged};

use serde::{Deserialize, Serialize};

use crate::root::TableId;

/// How a training set is made. Names of columns are to the letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The table with a row for each label, and its version.
    pub labels: At,
    /// Which of its rows, as SQL; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Which of its columns come along, in this order.
    pub columns: Vec<String>,
    /// Column of the time at which features must have been known; absent where there are no features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The feature tables, in order.
    pub features: Vec<Features>,
}

/// A table at a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Its id.
    pub table: uuid::Uuid,
    /// The version.
    pub version: u64,
}

impl At {
    /// The table's id.
    pub fn id(self) -> TableId {
        TableId(self.table)
    }
}

/// A feature table that labels are joined with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// The table and its version.
    pub at: At,
    /// Its keys, which the table of labels has under the same names.
    pub keys: Vec<String>,
    /// Column of the moment from which on a row's features are known.
    pub timestamp: String,
    /// The features that come along, in this order.
    pub take: Vec<Taken>,
}

/// A feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its column.
    pub column: String,
    /// Whether it counts: nothing is 0 then.
    #[serde(default)]
    pub is_count: bool,
}
