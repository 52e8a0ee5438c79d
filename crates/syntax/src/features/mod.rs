//! Feature tables as they are declared: what is read, by what it is keyed, and which aggregates over which windows come out.
//!
//! Event time is cut into panes of one width, and a window is a whole number of panes before the moment that is asked for.
//! How panes are folded is not decided here; this module decides what may be asked.
//!
//! What must stay true:
//! - [`FeatureTable::check`] passes nothing that cannot be computed within the limits below.
//! - [`FeatureTable::digest`] is the same for definitions that compute the same columns, whoever wrote them and however a
//!   length of time was spelled; any difference in what is computed changes it.
//! - A refusal names the value, what was wrong with it and what to do; [`from_yaml`] adds line and column.

mod check;
mod length;
mod yaml;

use serde::{Deserialize, Serialize};

use crate::digest::sha256_hex;

pub use check::{FeatureError, Place};
pub use length::Length;
pub use yaml::{YamlError, file_from_yaml, from_yaml};

/// Features that one table may declare.
pub const FEATURES_MAX: usize = 1_000;

/// Expressions that one table may declare.
pub const EXPRESSIONS_MAX: usize = 100;

/// Characters of an expression.
pub const EXPRESSION_CHARS_MAX: usize = 4_096;

/// Key columns, and columns of a row's key, that a table may have.
pub const KEYS_MAX: usize = 16;

/// Panes that a window may consist of.
pub const WINDOW_PANES_MAX: i64 = 100_000;

/// Panes that the windows of a table may consist of together, each length of window once, for each column that is aggregated: what
/// one row, and one request, merges.
pub const MERGED_PANES_MAX: i64 = 1_000_000;

/// Largest pane, window and lateness, in microseconds: ten years.
pub const LENGTH_MICROS_MAX: i64 = 3_660 * 86_400_000_000;

/// Characters of a column's or a feature's name.
pub const COLUMN_CHARS_MAX: usize = 255;

/// A feature table, as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureTable {
    /// Its name.
    pub name: String,
    /// The table whose rows are aggregated.
    pub source: String,
    /// Columns whose values say whose features a row belongs to. None: there is one sequence for all.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Column of the event time.
    pub timestamp: String,
    /// Columns that tell rows of one entity and one time apart. They fix the order in which such rows are folded.
    pub row_key: Vec<String>,
    /// Width of a pane.
    pub pane: Length,
    /// How far behind the newest event a row may arrive and still count.
    #[serde(default)]
    pub lateness: Length,
    /// Columns that are computed from each row of the source, before anything is aggregated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expressions: Vec<Expression>,
    /// What comes out, in this order.
    pub features: Vec<Feature>,
}

/// A column that is computed from a row of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// What features call it.
    pub name: String,
    /// A scalar expression in SQL over the source's columns. Whether it is one, only the engine knows.
    pub sql: String,
}

/// One column of a feature table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// What is computed.
    pub aggregate: Aggregate,
    /// Of which column's values. A count without a column counts rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Over which trailing window.
    pub window: Length,
}

/// What is computed over the values of a window. Nulls are passed over by all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// How many values, or rows where no column is named.
    Count,
    /// Their sum.
    Sum,
    /// Sum by count.
    Mean,
    /// Standard deviation of a sample: by n − 1.
    Std,
    /// Standard deviation of the whole: by n.
    StdPopulation,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The one of the newest row.
    Last,
}

impl Aggregate {
    /// All there are, as they are written.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Count, "count"),
        (Self::Sum, "sum"),
        (Self::Mean, "mean"),
        (Self::Std, "std"),
        (Self::StdPopulation, "std_population"),
        (Self::Min, "min"),
        (Self::Max, "max"),
        (Self::Last, "last"),
    ];
}

/// When a feature table is computed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refresh {
    /// When somebody asks for it.
    #[default]
    Manual,
    /// After each commit to its source too.
    OnCommit,
}

impl Refresh {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::OnCommit => "on_commit",
        }
    }

    /// From how it is written.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Manual, Self::OnCommit].into_iter().find(|one| one.name() == name)
    }
}

/// What the digest is taken of. The table's own name is left out: a renamed table computes the same.
#[derive(Serialize)]
struct Canonical<'t> {
    format: u8,
    source: &'t str,
    keys: &'t [String],
    timestamp: &'t str,
    row_key: &'t [String],
    pane: Length,
    lateness: Length,
    #[serde(skip_serializing_if = "Option::is_none")]
    expressions: Option<&'t [Expression]>,
    features: &'t [Feature],
}

impl FeatureTable {
    /// SHA-256 of the canonical form, in lower-case hex: compact JSON, fields in the order of this module, lengths in their
    /// largest whole unit, the name left out, and a format number first.
    pub fn digest(&self) -> String {
        let canonical = Canonical {
            format: 1,
            source: &self.source,
            keys: &self.keys,
            timestamp: &self.timestamp,
            row_key: &self.row_key,
            pane: self.pane,
            lateness: self.lateness,
            // Definitions without any have the digest that they had before there were expressions.
            expressions: (!self.expressions.is_empty()).then_some(self.expressions.as_slice()),
            features: &self.features,
        };
        // A struct of texts and lists always has a JSON form; should that change, different ones must still differ.
        let bytes = serde_json::to_vec(&canonical).unwrap_or_else(|_| format!("{self:?}").into_bytes());
        sha256_hex(&bytes)
    }
}
