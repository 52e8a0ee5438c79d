//! Monitors as they are declared: what is watched, against what, over which windows, and what happens when it drifts.
//!
//! Event time is cut into windows `[start, end)` of one length, in UTC, from an offset on. Which figures come out of a window
//! is not computed here; this module decides what may be asked.
//!
//! What must stay true:
//! - [`Monitor::check`] passes nothing that cannot be computed within the limits below.
//! - A trigger names a declared command and values of its parameters; nothing here can hold a command line.
//! - A refusal names the value, what was wrong with it and what to do; [`from_yaml`] adds line and column.

mod check;
mod metric;
mod yaml;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use check::{MonitorError, Place};
pub use metric::{Metric, Subject};
pub use yaml::from_yaml;

pub use crate::features::Length;
pub use crate::yaml::YamlError;

/// Columns that a monitor may name, thresholds that it may have, parameters that its trigger may set.
pub const ENTRIES_MAX: usize = 1_000;
/// Shortest window, in microseconds: a minute, which is also how often the server looks.
pub const WINDOW_MICROS_MIN: i64 = 60_000_000;
/// Longest window, delay, lateness and cool-down, in microseconds: ten years.
pub const LENGTH_MICROS_MAX: i64 = 3_660 * 86_400_000_000;
/// Bins that a column may be cut into.
pub const BINS_MAX: usize = 100;

/// A monitor, as declared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Monitor {
    /// The endpoint or table that is watched: `catalog.schema.leaf`.
    pub watch: String,
    /// What it is compared with.
    pub baseline: Baseline,
    /// Column of the event time.
    pub event_time: String,
    /// How event time is cut.
    pub window: Window,
    /// How long after a window's end a row or label that belongs to it may arrive and still be counted.
    pub lateness: Length,
    /// Which columns are compared.
    pub features: Features,
    /// Where the predictions stand.
    pub prediction: Option<Prediction>,
    /// Where the labels come from.
    pub labels: Option<Labels>,
    /// Figures of every compared column.
    pub metrics: Vec<Metric>,
    /// What raises an alert.
    pub thresholds: Vec<Threshold>,
    /// A window with fewer rows, or a figure of fewer labelled ones, is not judged.
    pub minimum_rows: u64,
    /// Bins of a column, made from the baseline.
    pub bins: usize,
    /// The share of false alerts among those that many columns raise together.
    pub false_discovery_rate: f64,
    /// Whom alerts belong to.
    pub alerts: Alerts,
    /// What is begun when an alert stands.
    pub trigger: Option<Trigger>,
}

/// A table at a version, `catalog.schema.table@3`, or a training set by its name alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// `catalog.schema.leaf`
    pub name: String,
    /// The table's version.
    pub version: Option<u64>,
}

impl std::fmt::Display for Baseline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// How event time is cut: a window begins at every `offset + n · length` after the epoch, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// How long one is.
    pub length: Length,
    /// How far the borders are moved.
    pub offset: Length,
    /// How long after its end one waits until it is computed.
    pub delay: Length,
}

impl Window {
    /// Start of the window that holds a moment, in microseconds since the epoch.
    pub fn start_of(self, micros: i64) -> i64 {
        let (length, offset) = (self.length.micros().max(1), self.offset.micros());
        micros.saturating_sub(offset).div_euclid(length).saturating_mul(length).saturating_add(offset)
    }

    /// Its number: windows count from the epoch, and their numbers are the steps of the metric series.
    pub fn index_of(self, start_micros: i64) -> i64 {
        start_micros.saturating_sub(self.offset.micros()).div_euclid(self.length.micros().max(1))
    }
}

/// Columns that are compared: those of the baseline that the watched table has too, less those that have another part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// Only these; all where it is empty.
    pub include: Vec<String>,
    /// Not these.
    pub exclude: Vec<String>,
}

/// Where the predictions stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prediction {
    /// The column of scores.
    pub column: String,
    /// The baseline's column of scores. Without one, the first window that has enough rows is the reference.
    pub baseline: Option<String>,
}

/// What a model is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Whether a row is of the positive class: labels are 0 or 1, predictions its probability.
    Classification,
    /// A number.
    Regression,
}

/// Where labels come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// The table, `catalog.schema.leaf`; the watched name with `_labels` behind it where it is not said.
    pub table: Option<String>,
    /// How long after a window's end a label may arrive and still be counted.
    pub lateness: Length,
    /// The baseline's column of labels, which label drift is told against.
    pub baseline: Option<String>,
    /// What is predicted.
    pub task: Task,
    /// A row that scores at least this is predicted positive.
    pub cutoff: f64,
    /// Figures of how well it predicts.
    pub metrics: Vec<Metric>,
    /// Those of them that rest on the rows of one class are not told of a window with fewer rows of either.
    #[serde(default = "minimum_per_class")]
    pub minimum_per_class: u64,
}

/// As many as a gate asks for at least.
fn minimum_per_class() -> u64 {
    10
}

/// How much an alert matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// To be looked at some day.
    Low,
    /// To be looked at soon.
    Medium,
    /// To be looked at now.
    High,
}

impl Severity {
    /// All there are, as they are written.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Low, "low"), (Self::Medium, "medium"), (Self::High, "high")];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Which side of a limit is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// More than the limit.
    Above,
    /// Less than the limit.
    Below,
}

/// What raises an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Of which figure.
    pub metric: Metric,
    /// Of which column alone; of all where it is not said.
    pub column: Option<String>,
    /// Which side of the limit is wrong.
    pub side: Side,
    /// The limit.
    pub limit: f64,
    /// How much it matters, where that differs from the monitor's other alerts.
    pub severity: Option<Severity>,
}

impl Threshold {
    /// Whether a value is on the wrong side.
    pub fn is_crossed_by(&self, value: f64) -> bool {
        match self.side {
            Side::Above => value > self.limit,
            Side::Below => value < self.limit,
        }
    }
}

/// Whom alerts belong to, and when they end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// A user or group; the monitor's owner where it is not said.
    pub owner: Option<String>,
    /// How much they matter.
    pub severity: Severity,
    /// After so many windows in a row on the right side of the limit an alert ends by itself.
    pub resolve_after: u32,
}

/// A declared command that is queued when an alert stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// Its name, `catalog.schema.leaf`.
    pub command: String,
    /// Values of its parameters. A whole value that is `{window_start}` or `{window_end}` stands for that moment of the window
    /// whose alert it was, in RFC 3339; `{watch}` for the name of what is watched.
    pub parameters: BTreeMap<String, String>,
    /// Time that the job may take; never more than the command allows.
    pub wall: Option<Length>,
    /// Processor time that it may use; never more than the command allows.
    pub processor: Option<Length>,
    /// The least time between two of its jobs.
    pub cool_down: Length,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(length: &str, offset: &str) -> Window {
        Window { length: length.parse().unwrap(), offset: offset.parse().unwrap(), delay: Length::default() }
    }

    #[test]
    fn windows_are_aligned_to_the_epoch_and_the_offset() {
        let hour = 3_600_000_000;
        let plain = window("1h", "0s");
        assert_eq!([plain.start_of(hour - 1), plain.start_of(hour), plain.start_of(-1)], [0, hour, -hour]);
        let moved = window("1h", "15m");
        assert_eq!(moved.start_of(0), hour / 4 - hour);
        assert_eq!(moved.start_of(hour / 4), hour / 4);
        for start in [-3 * hour, 0, 7 * hour] {
            let start = moved.start_of(start);
            assert_eq!(moved.index_of(start + hour), moved.index_of(start) + 1);
        }
    }
}
