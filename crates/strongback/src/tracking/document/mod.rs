//! The one document of a run: its params, tags, latest metrics and data set inputs.
//!
//! A run's row carries this document as bytes, so that logging a batch rewrites one value instead of adding rows, and
//! reading a run reads one value.
//!
//! What must stay true:
//! - Equal documents have equal bytes. Keys ascend, each once; [`RunDocument::decode`] refuses anything else.
//! - **History rule.** A metric of which one point is known has its history here alone. When a second, different point
//!   arrives, [`RunDocument::log_points`] hands out *both* for the history outside, and from then on the history
//!   outside holds every point of that key. A run that logs each metric once therefore has no history rows.
//! - Points follow MLflow: identity is (key, time, step, value), sending a point again changes nothing, and the latest
//!   value is the maximum by (step, time, value), whatever arrived last.
//! - A metric's bounds are the smallest and the largest of its numbers; NaN is neither. Documents of version 1 did not keep them, so
//!   that of such a metric only the points that came since are known, until somebody [settles](RunDocument::settle) it by its history.

mod bounds;
pub(in crate::tracking) mod bytes;
mod point;
mod sorted;
#[cfg(test)]
mod tests;
mod wire;

pub use bounds::Bounds;
pub use bytes::Damaged;
pub use point::{Point, Value};

use sorted::SortedMap;

/// What a run holds besides its own columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunDocument {
    params: SortedMap<String>,
    tags: SortedMap<String>,
    metrics: SortedMap<Metric>,
    datasets: Vec<DatasetInput>,
}

/// A metric as the document knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The maximum of all its points by (step, time, value).
    pub latest: Point,
    /// How many points were logged. Exact while 1; above, a point that was sent again may be counted again, because
    /// only the history could tell.
    pub points: u64,
    /// The smallest and the largest of its numbers, as far as they are known.
    bounds: Bounds,
    /// Whether they are those of all points.
    is_settled: bool,
}

/// A data set that the run took as input: what searches look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DatasetInput {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// What it was used for: the input tag `mlflow.data.context`.
    pub context: Option<String>,
}

/// Points of one key, in history order and each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The metric's key.
    pub key: String,
    /// Its points, ascending.
    pub points: Vec<Point>,
}

/// What a batch of points asks of the history outside the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppendPlan {
    /// To be appended as *one* piece for the whole batch; keys ascend. Empty: nothing to append.
    pub series: Vec<Series>,
    /// Points that were not recognised as sent again; 0 means that the document did not change.
    pub accepted: usize,
}

/// A param already has another value; params are written once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("param {key:?} is already {stored:?} and cannot become {sent:?}")]
pub struct ParamConflict {
    /// The param's key.
    pub key: String,
    /// The value it has.
    pub stored: String,
    /// The value that was sent.
    pub sent: String,
}

impl Metric {
    /// Whether the history outside the document holds this metric's points (all of them), rather than none.
    pub fn is_in_history(&self) -> bool {
        self.points > 1
    }

    /// The smallest and the largest of its numbers; `None` where they are known only by its history.
    pub fn bounds(&self) -> Option<Bounds> {
        self.is_settled.then_some(self.bounds)
    }
}

impl RunDocument {
    /// Reads a stored document.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        wire::decode(bytes)
    }

    /// The document's canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Params by ascending key.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.params.iter().map(|(key, value)| (key, value.as_str()))
    }

    /// One param's value.
    pub fn param(&self, key: &str) -> Option<&str> {
        self.params.get(key).map(String::as_str)
    }

    /// Tags by ascending key.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.tags.iter().map(|(key, value)| (key, value.as_str()))
    }

    /// One tag's value.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.get(key).map(String::as_str)
    }

    /// Metrics by ascending key.
    pub fn metrics(&self) -> impl ExactSizeIterator<Item = (&str, &Metric)> {
        self.metrics.iter()
    }

    /// One metric.
    pub fn metric(&self, key: &str) -> Option<&Metric> {
        self.metrics.get(key)
    }

    /// Keys of the metrics whose bounds are known only by their history.
    pub fn unsettled(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().filter(|(_, metric)| !metric.is_settled).map(|(key, _)| key)
    }

    /// Notes the bounds that a metric's history had at some moment: the points that came since are in them already.
    pub fn settle(&mut self, key: &str, history: Bounds) {
        if let Some(metric) = self.metrics.get_mut(key) {
            metric.bounds.join(history);
            metric.is_settled = true;
        }
    }

    /// Data set inputs by ascending (name, digest, context), each once.
    pub fn datasets(&self) -> &[DatasetInput] {
        &self.datasets
    }

    /// Writes a param once. `Ok(false)`: it has this value already.
    pub fn set_param(&mut self, key: &str, value: &str) -> Result<bool, ParamConflict> {
        match self.params.get(key) {
            Some(stored) if stored == value => Ok(false),
            Some(stored) => {
                Err(ParamConflict { key: key.to_owned(), stored: stored.clone(), sent: value.to_owned() })
            }
            None => {
                self.params.insert(key, value.to_owned());
                Ok(true)
            }
        }
    }

    /// Writes a tag; whether that changed anything.
    pub fn set_tag(&mut self, key: &str, value: &str) -> bool {
        if self.tags.get(key).is_some_and(|stored| stored == value) {
            return false;
        }
        self.tags.insert(key, value.to_owned());
        true
    }

    /// Removes a tag; whether it was there.
    pub fn delete_tag(&mut self, key: &str) -> bool {
        self.tags.remove(key).is_some()
    }

    /// Notes a data set input; whether it is new.
    pub fn add_dataset(&mut self, input: DatasetInput) -> bool {
        match self.datasets.binary_search(&input) {
            Ok(_) => false,
            Err(at) => {
                self.datasets.insert(at, input);
                true
            }
        }
    }

    /// Takes one request's points, updates the latest values and says what the history must append.
    pub fn log_points(&mut self, mut batch: Vec<(&str, Point)>) -> AppendPlan {
        batch.sort_unstable();
        batch.dedup();
        let mut plan = AppendPlan::default();
        let mut added = Vec::new();
        for group in batch.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(key, _)) = group.first() else { continue };
            let sent = group.iter().map(|(_, point)| *point);
            let appended = if let Some(metric) = self.metrics.get_mut(key) {
                metric.extend(sent, &mut plan.accepted)
            } else {
                let points: Vec<Point> = sent.collect();
                plan.accepted += points.len();
                if let Some(latest) = points.iter().copied().max_by(Point::step_order) {
                    let bounds = points.iter().map(|point| point.value).collect();
                    let metric = Metric { latest, points: points.len() as u64, bounds, is_settled: true };
                    added.push((key.to_owned(), metric));
                }
                if points.len() > 1 { points } else { Vec::new() }
            };
            if !appended.is_empty() {
                plan.series.push(Series { key: key.to_owned(), points: appended });
            }
        }
        self.metrics.extend_new(added);
        plan
    }
}

impl Metric {
    /// Takes further points (ascending, each once); returns what the history must append.
    fn extend(&mut self, sent: impl Iterator<Item = Point>, accepted: &mut usize) -> Vec<Point> {
        let only = self.latest;
        let mut fresh: Vec<Point> = sent.filter(|point| *point != only).collect();
        if fresh.is_empty() {
            return fresh;
        }
        *accepted += fresh.len();
        let was_in_history = self.is_in_history();
        self.points = self.points.saturating_add(fresh.len() as u64);
        for point in &fresh {
            self.bounds.add(point.value);
            if point.step_order(&self.latest).is_gt() {
                self.latest = *point;
            }
        }
        if !was_in_history {
            let at = fresh.partition_point(|point| *point < only);
            fresh.insert(at, only);
        }
        fresh
    }
}
