//! What a declaration may say.

use std::collections::HashSet;

use super::{
    BINS_MAX, ENTRIES_MAX, LENGTH_MICROS_MAX, Labels, Length, Metric, Monitor, Subject, Task, Threshold,
    WINDOW_MICROS_MIN,
};
use crate::names::{FullName, shown};

/// Which part of a declaration is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// `watch`.
    Watch,
    /// `baseline`.
    Baseline,
    /// `event_time`.
    EventTime,
    /// `window`.
    Window,
    /// `lateness`.
    Lateness,
    /// `features`.
    Features,
    /// `prediction`.
    Prediction,
    /// `labels`.
    Labels,
    /// `metrics`.
    Metrics,
    /// `thresholds` as a whole.
    Thresholds,
    /// The threshold of that position, from 0.
    Threshold(usize),
    /// `minimum_rows`.
    MinimumRows,
    /// `bins`.
    Bins,
    /// `false_discovery_rate`.
    FalseDiscoveryRate,
    /// `alerts`.
    Alerts,
    /// `trigger`.
    Trigger,
}

/// Why a declaration is refused: the first reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MonitorError {
    /// Where it stands.
    pub place: Place,
    /// Which value, what is wrong with it, and what to do.
    pub message: String,
}

fn refuse<T>(place: Place, message: impl Into<String>) -> Result<T, MonitorError> {
    Err(MonitorError { place, message: message.into() })
}

impl Monitor {
    /// Whether this can be computed; if not, the first reason.
    pub fn check(&self) -> Result<(), MonitorError> {
        check_name(Place::Watch, "watch", &self.watch)?;
        check_name(Place::Baseline, "baseline", &self.baseline.name)?;
        check_column(Place::EventTime, "event_time", &self.event_time)?;
        self.check_window()?;
        self.check_columns()?;
        self.check_metrics()?;
        for (at, threshold) in self.thresholds.iter().enumerate() {
            self.check_threshold(Place::Threshold(at), threshold)?;
        }
        if !(2..=BINS_MAX).contains(&self.bins) {
            return refuse(Place::Bins, format!("'bins' is {}; it is from 2 to {BINS_MAX}", self.bins));
        }
        if self.minimum_rows == 0 {
            return refuse(
                Place::MinimumRows,
                "'minimum_rows' is 0; a window without rows has no figures, so say at least 1",
            );
        }
        let rate = self.false_discovery_rate;
        if !(rate > 0.0 && rate < 1.0) {
            return refuse(
                Place::FalseDiscoveryRate,
                format!("'false_discovery_rate' is {rate}; it is above 0 and below 1, like 0.05"),
            );
        }
        if !(1..=1_000).contains(&self.alerts.resolve_after) {
            return refuse(Place::Alerts, "'resolve_after' is from 1 to 1000 windows");
        }
        self.check_trigger()
    }

    fn check_window(&self) -> Result<(), MonitorError> {
        let window = self.window;
        if window.length.micros() < WINDOW_MICROS_MIN {
            return refuse(
                Place::Window,
                format!("the window of {} is shorter than a minute; lengthen it", window.length),
            );
        }
        if window.offset.micros() >= window.length.micros() {
            return refuse(
                Place::Window,
                format!("the offset {} is not less than the length {}", window.offset, window.length),
            );
        }
        check_length(Place::Window, "length", window.length)?;
        check_length(Place::Window, "delay", window.delay)?;
        check_length(Place::Lateness, "lateness", self.lateness)
    }

    fn check_columns(&self) -> Result<(), MonitorError> {
        for (what, columns) in [("include", &self.features.include), ("exclude", &self.features.exclude)] {
            if columns.len() > ENTRIES_MAX {
                return refuse(
                    Place::Features,
                    format!("'{what}' names {} columns, at most {ENTRIES_MAX}", columns.len()),
                );
            }
            let mut seen = HashSet::new();
            for column in columns {
                check_column(Place::Features, what, column)?;
                if !seen.insert(column.to_lowercase()) {
                    return refuse(Place::Features, format!("'{what}' names '{}' twice", shown(column)));
                }
            }
        }
        if let Some(prediction) = &self.prediction {
            check_column(Place::Prediction, "column", &prediction.column)?;
            if let Some(column) = &prediction.baseline {
                check_column(Place::Prediction, "baseline", column)?;
            }
        }
        match &self.labels {
            Some(labels) => self.check_labels(labels),
            None => Ok(()),
        }
    }

    fn check_labels(&self, labels: &Labels) -> Result<(), MonitorError> {
        if let Some(table) = &labels.table {
            check_name(Place::Labels, "table", table)?;
        }
        if let Some(column) = &labels.baseline {
            check_column(Place::Labels, "baseline", column)?;
        }
        check_length(Place::Labels, "lateness", labels.lateness)?;
        if !labels.cutoff.is_finite() {
            return refuse(Place::Labels, "'cutoff' is no finite number");
        }
        if labels.task == Task::Classification && !(0.0..=1.0).contains(&labels.cutoff) {
            return refuse(
                Place::Labels,
                format!("'cutoff' is {}; predictions of a classification are from 0 to 1", labels.cutoff),
            );
        }
        let fits = match labels.task {
            Task::Classification => Subject::Classification,
            Task::Regression => Subject::Regression,
        };
        if labels.minimum_per_class == 0 {
            return refuse(
                Place::Labels,
                "'minimum_per_class' is 0; nothing is known of a class without rows, so say at least 1",
            );
        }
        for metric in &labels.metrics {
            if metric.subject() != fits {
                return refuse(
                    Place::Labels,
                    format!("'{}' is no figure of this task; known are {}", metric.name(), names(&[fits])),
                );
            }
        }
        if !labels.metrics.is_empty() && self.prediction.is_none() {
            return refuse(Place::Labels, "figures of how well it predicts need 'prediction'; add it");
        }
        Ok(())
    }

    fn check_metrics(&self) -> Result<(), MonitorError> {
        if self.metrics.is_empty() {
            return refuse(Place::Metrics, "'metrics' is empty; name at least one, like psi");
        }
        for metric in &self.metrics {
            if metric.subject() != Subject::Column {
                return refuse(
                    Place::Metrics,
                    format!(
                        "'{}' is no figure of every column; known are {}",
                        metric.name(),
                        names(&[Subject::Column])
                    ),
                );
            }
        }
        if self.thresholds.len() > ENTRIES_MAX {
            return refuse(Place::Thresholds, format!("'thresholds' has more than {ENTRIES_MAX} entries"));
        }
        Ok(())
    }

    /// A threshold on what is not computed would never be crossed, and nobody would know.
    fn check_threshold(&self, place: Place, threshold: &Threshold) -> Result<(), MonitorError> {
        let metric = threshold.metric;
        if !threshold.limit.is_finite() {
            return refuse(place, "the limit is no finite number");
        }
        let (least, most) = metric.values();
        if !(least..=most).contains(&threshold.limit) {
            let values = match (least.is_finite(), most.is_finite()) {
                (true, true) => format!("from {least} to {most}"),
                (true, false) => format!("at least {least}"),
                _ => format!("at most {most}"),
            };
            return refuse(
                place,
                format!(
                    "the limit is {}, and '{}' is {values}: it would be crossed always, or never",
                    threshold.limit,
                    metric.name()
                ),
            );
        }
        let labels = self.labels.as_ref();
        let computed = match metric.subject() {
            Subject::Column => self.metrics.contains(&metric),
            Subject::Prediction => self.prediction.is_some(),
            Subject::Labels => labels.is_some_and(|labels| {
                labels.baseline.is_some()
                    && (metric != Metric::LabelRate || labels.task == Task::Classification)
            }),
            Subject::Classification | Subject::Regression => {
                labels.is_some_and(|labels| labels.metrics.contains(&metric))
            }
        };
        if !computed {
            let remedy = match metric.subject() {
                Subject::Column => "add it to 'metrics'",
                Subject::Prediction => "add 'prediction'",
                Subject::Labels => {
                    "give 'labels' a 'baseline' column, and for label_rate the task classification"
                }
                Subject::Classification | Subject::Regression => "add it to the 'metrics' of 'labels'",
            };
            return refuse(place, format!("'{}' is not computed; {remedy}", metric.name()));
        }
        match &threshold.column {
            Some(column) if metric.subject() == Subject::Column => check_column(place, "column", column),
            Some(_) => {
                refuse(place, format!("'{}' is not a figure of a column; drop 'column'", metric.name()))
            }
            None => Ok(()),
        }
    }

    fn check_trigger(&self) -> Result<(), MonitorError> {
        let Some(trigger) = &self.trigger else { return Ok(()) };
        check_name(Place::Trigger, "command", &trigger.command)?;
        if self.thresholds.is_empty() {
            return refuse(Place::Trigger, "a trigger follows an alert; declare 'thresholds' that raise one");
        }
        if trigger.parameters.len() > ENTRIES_MAX {
            return refuse(Place::Trigger, format!("'parameters' has more than {ENTRIES_MAX} entries"));
        }
        if trigger.cool_down.micros() < WINDOW_MICROS_MIN {
            return refuse(
                Place::Trigger,
                format!("the cool-down of {} is shorter than a minute; lengthen it", trigger.cool_down),
            );
        }
        check_length(Place::Trigger, "cool_down", trigger.cool_down)?;
        for (what, length) in [("wall", trigger.wall), ("processor", trigger.processor)] {
            let Some(length) = length else { continue };
            if length.micros() < 1_000 {
                return refuse(Place::Trigger, format!("the budget '{what}' is {length}; give it more"));
            }
            check_length(Place::Trigger, what, length)?;
        }
        Ok(())
    }
}

/// Names of the figures of some subjects.
fn names(subjects: &[Subject]) -> String {
    let known = Metric::ALL.iter().filter(|metric| subjects.contains(&metric.subject()));
    known.map(|metric| metric.name()).collect::<Vec<_>>().join(", ")
}

fn check_name(place: Place, what: &str, name: &str) -> Result<(), MonitorError> {
    match FullName::parse(name) {
        Ok(_) => Ok(()),
        Err(error) => refuse(place, format!("'{what}' is no name of three levels: {error}")),
    }
}

fn check_column(place: Place, what: &str, column: &str) -> Result<(), MonitorError> {
    let chars = column.chars().count();
    if chars == 0 || chars > 255 || column.chars().any(char::is_control) {
        return refuse(
            place,
            format!(
                "'{}' in '{what}' is no name of a column; it has 1 to 255 characters, none of control",
                shown(column)
            ),
        );
    }
    Ok(())
}

fn check_length(place: Place, what: &str, length: Length) -> Result<(), MonitorError> {
    if length.micros() > LENGTH_MICROS_MAX {
        return refuse(place, format!("'{what}' is {length}, longer than ten years (3660d); shorten it"));
    }
    Ok(())
}
