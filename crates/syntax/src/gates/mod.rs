//! Gates as they are declared: what a candidate is judged on before it may take the place of the champion.
//!
//! This module decides what may be asked; how a figure is computed is not decided here. The names of figures are those of
//! the product's statistics.
//!
//! What must stay true:
//! - a file that is read asks for something: at least one gate, and nothing in it is passed over. A key that is not known, a
//!   section without a value and an empty list are refused, so that no gate is lost by a slip of the pen;
//! - [`Gates::digest`] is the same for files that ask for the same, however they are laid out;
//! - a refusal names the value, what was wrong with it and what to do, with line and column.

mod condition;
mod sections;
mod values;
mod yaml;

use serde::{Deserialize, Serialize};

use crate::{digest::sha256_hex, features::Length};

pub use yaml::from_yaml;

/// Entries of a list of gates.
pub const ENTRIES_MAX: usize = 100;

/// Columns that a gate may name.
pub const COLUMNS_MAX: usize = 1_000;

/// All that a file asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gates {
    /// The rows that both models score.
    pub evaluation: Evaluation,
    /// How long a report moves aliases.
    pub expires: Length,
    /// The candidate is not worse than the champion.
    pub accuracy: Vec<Accuracy>,
    /// The evaluation rows are like those that the candidate learned from.
    pub data_drift: Option<DataDrift>,
    /// The candidate answers in time.
    pub latency: Option<Latency>,
    /// The champion's callers are understood.
    pub compatibility: Option<Compatibility>,
    /// Groups are treated alike.
    pub fairness: Vec<Fairness>,
    /// What decides in place of `accuracy` where there is no champion yet.
    pub first_champion: Vec<Floor>,
}

/// A table, at a version or at its newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRef {
    /// `catalog.schema.table`
    pub name: String,
    /// The version; the newest when the gates are run, where none is named.
    pub version: Option<u64>,
}

/// Rows with a known outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Where they lie.
    pub table: TableRef,
    /// Column of the outcome.
    pub label: String,
    /// The outcome that is looked for, where the column holds texts.
    pub positive: Option<String>,
    /// Column of the event time: the report says from when to when the rows are.
    pub timestamp: Option<String>,
    /// Which rows, as a condition of SQL; all where none is given.
    pub condition: Option<String>,
}

/// A figure of a model, and from how many rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Its name.
    pub metric: String,
    /// A score of at least this is a yes, for figures of decisions.
    pub threshold: f64,
    /// Fewer rows judge nothing.
    pub min_rows: u64,
    /// Fewer rows of either class judge nothing; figures of two classes only.
    pub min_per_class: u64,
    /// How sure an interval is.
    pub confidence: f64,
    /// Resamples of the bootstrap, for figures that need it.
    pub resamples: u32,
}

/// The candidate's figure may fall behind the champion's by no more than a margin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// The figure.
    pub figure: Figure,
    /// By how much it may be worse; below 0 it has to be better by that much.
    pub margin: f64,
}

/// On which side of a number a figure has to be; the number itself is good enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// At least that much.
    AtLeast(f64),
    /// At most that much.
    AtMost(f64),
}

/// What of an estimate is compared with a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The whole interval.
    Interval,
    /// The value alone.
    Value,
}

/// What the first champion has to reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// The figure.
    pub figure: Figure,
    /// The number.
    pub bound: Bound,
    /// What is compared with it.
    pub basis: Basis,
}

/// Population stability index a column, the evaluation rows against the training set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataDrift {
    /// The most that a column may have.
    pub max_psi: f64,
    /// Which columns; the candidate's inputs where none is named.
    pub columns: Vec<String>,
    /// Bins of a column.
    pub bins: u32,
    /// The training set, where the candidate's run names none, or another is meant.
    pub against: Option<TableRef>,
    /// What is compared with `max_psi`.
    pub basis: Basis,
    /// Fewer rows on either side judge nothing.
    pub min_rows: u64,
    /// How sure an interval is.
    pub confidence: f64,
}

/// Time of a request, at its 99th percentile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// At most so many milliseconds.
    pub p99_ms: Option<f64>,
    /// At most so many times the champion's.
    pub p99_ratio: Option<f64>,
    /// Rows of a request.
    pub rows: u32,
    /// Requests to each model.
    pub requests: u32,
    /// Who ask it at once.
    pub callers: u32,
    /// The machine judges nothing when a model's typical time changes by more than this share of itself.
    pub max_noise: f64,
    /// How sure an interval is.
    pub confidence: f64,
}

/// What the champion's callers send is taken by the candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compatibility {
    /// The endpoint whose recorded requests are asked again.
    pub endpoint: Option<String>,
    /// How many of its newest rows.
    pub requests: u32,
}

/// A figure that compares groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fairness {
    /// Its name.
    pub metric: String,
    /// Column of the evaluation table that says which group a row is of.
    pub group: String,
    /// A score of at least this is a yes.
    pub threshold: f64,
    /// The number.
    pub bound: Bound,
    /// What is compared with it.
    pub basis: Basis,
    /// Whether the candidate stays out when this is not met.
    pub blocking: bool,
    /// Groups with fewer rows take no part.
    pub min_rows: u64,
    /// How sure an interval is.
    pub confidence: f64,
}

/// Figures of two classes, the better the greater.
const GREATER: [&str; 11] = [
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "f2",
    "f0.5",
    "mcc",
    "roc_auc",
    "average_precision",
];

/// Figures of two classes, the better the smaller.
const SMALLER: [&str; 3] = ["log_loss", "brier", "calibration_error"];

/// Figures of numbers, the better the smaller.
const ERRORS: [&str; 4] = ["mae", "rmse", "mape", "median_absolute_error"];

/// The one figure of numbers that is the better the greater.
const R2: &str = "r2";

/// Figures that compare groups; the ratio is the better the greater.
const FAIRNESS: [&str; 4] = [
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equal_opportunity_difference",
    "equalized_odds_difference",
];

/// The figures of a model that gates know.
pub fn metrics() -> impl Iterator<Item = &'static str> {
    GREATER.into_iter().chain(SMALLER).chain(ERRORS).chain([R2])
}

/// The figures that compare groups.
pub fn fairness_metrics() -> impl Iterator<Item = &'static str> {
    FAIRNESS.into_iter()
}

/// Whether a figure is the better the greater it is.
fn greater_is_better(metric: &str) -> bool {
    GREATER.contains(&metric) || metric == R2 || metric == "demographic_parity_ratio"
}

impl Figure {
    /// Whether it is a figure of numbers and not of two classes.
    pub fn is_of_numbers(&self) -> bool {
        self.metric == R2 || ERRORS.contains(&self.metric.as_str())
    }
}

/// What the digest is taken of.
#[derive(Serialize)]
struct Canonical<'g> {
    format: u8,
    gates: &'g Gates,
}

impl Gates {
    /// SHA-256 of the canonical form, in lower-case hex: compact JSON, fields in the order of this module, what was left out
    /// written as its default, and a format number first.
    pub fn digest(&self) -> String {
        // Texts, numbers and lists always have a JSON form; should that change, different ones must still differ.
        let bytes = serde_json::to_vec(&Canonical { format: 1, gates: self })
            .unwrap_or_else(|_| format!("{self:?}").into_bytes());
        sha256_hex(&bytes)
    }
}
