//! A validated batch of points, params and tags, and how it is applied to a run.

use std::collections::HashSet;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{RUN_NAME_TAG, Run, lock, save, sources, touch};
use crate::{
    catalog::Action,
    db::{Change, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    router::wire::Empty,
    tracking::{
        document::{AppendPlan, Point},
        limits,
        model::{self, Measurement},
        wire::{KeyValue, MetricIn},
    },
};

/// What a request wants to log, checked: applying it fails only for what the run already holds.
#[derive(Debug, Default)]
pub struct Batch {
    points: Vec<(String, Point)>,
    params: Vec<(String, String)>,
    tags: Vec<(String, String)>,
    measurements: Vec<Measurement>,
}

impl Batch {
    /// Checks the three lists of `log-batch`.
    pub fn new(metrics: &[MetricIn], params: &[KeyValue], tags: &[KeyValue]) -> Result<Self> {
        let limit = |what: &str, most: usize, got: usize| {
            if got <= most {
                return Ok(());
            }
            Err(Error::invalid(format!(
                "A batch logging request can contain at most {most} {what}. Got {got} {what}. \
                 Please split up {what} across multiple requests and try again."
            )))
        };
        limit("metrics", limits::BATCH_METRICS, metrics.len())?;
        limit("params", limits::BATCH_PARAMS, params.len())?;
        limit("tags", limits::BATCH_PARAMS, tags.len())?;
        limit("metrics, params, and tags", limits::BATCH_ALL, metrics.len() + params.len() + tags.len())?;
        let mut batch = Self::default();
        for (at, metric) in metrics.iter().enumerate() {
            batch.add_metric(metric, || format!("metrics[{at}]."))?;
        }
        for (at, param) in params.iter().enumerate() {
            batch.add_param(param, || format!("params[{at}]."))?;
        }
        for (at, tag) in tags.iter().enumerate() {
            batch.add_tag(tag, || format!("tags[{at}]."))?;
        }
        batch.refuse_repeated_params()?;
        Ok(batch)
    }

    /// Checks and adds a point; `place` is put before the names of fields in errors.
    pub fn add_metric(&mut self, metric: &MetricIn, place: impl Fn() -> String) -> Result<()> {
        let key = key_at(metric.key.as_deref(), &place)?;
        let value = metric.value.ok_or_else(|| Error::required(&format!("{}value", place())))?.0;
        let timestamp = metric.timestamp.ok_or_else(|| Error::required(&format!("{}timestamp", place())))?.0;
        if timestamp < 0 {
            return Err(Error::invalid(format!(
                "Invalid value {timestamp} for parameter '{}timestamp' supplied: metric '{key}' (value={value}). \
                 Timestamp must be a nonnegative long (64-bit integer)",
                place()
            )));
        }
        let is_given = |field: &Option<String>| field.as_deref().is_some_and(|text| !text.is_empty());
        if is_given(&metric.dataset_name) != is_given(&metric.dataset_digest) {
            return Err(Error::invalid(format!(
                "Both '{0}dataset_name' and '{0}dataset_digest' must be provided if one is provided.",
                place()
            )));
        }
        let point = Point::new(timestamp, metric.step.unwrap_or_default().0, value);
        if let Some(model_id) = metric.model_id.as_deref().filter(|id| !id.is_empty()) {
            let measurement = Measurement::new(key, point, model_id, metric);
            measurement.check(&place())?;
            self.measurements.push(measurement);
        }
        self.points.push((key.to_owned(), point));
        Ok(())
    }

    /// Checks and adds a param; a long value is cut.
    pub fn add_param(&mut self, param: &KeyValue, place: impl Fn() -> String) -> Result<()> {
        let key = key_at(param.key.as_deref(), &place)?;
        self.params.push((key.to_owned(), limits::cut(param.value(), limits::PARAM_VALUE_CHARS).to_owned()));
        Ok(())
    }

    /// Checks and adds a tag; a long value is cut. A run keeps its name: an empty one changes nothing, as in MLflow. What is the
    /// server's alone is passed over.
    pub fn add_tag(&mut self, tag: &KeyValue, place: impl Fn() -> String) -> Result<()> {
        let key = key_at(tag.key.as_deref(), &place)?;
        let value = limits::cut(tag.value(), limits::TAG_VALUE_CHARS);
        if (key != RUN_NAME_TAG || !value.is_empty()) && !sources::is_servers(key) {
            self.tags.push((key.to_owned(), value.to_owned()));
        }
        Ok(())
    }

    /// Adds a tag that the server itself writes, whole: half a JSON text would be none.
    pub(super) fn add_uncut_tag(&mut self, key: &str, value: String) {
        self.tags.push((key.to_owned(), value));
    }

    fn refuse_repeated_params(&self) -> Result<()> {
        let mut seen = HashSet::with_capacity(self.params.len());
        let repeated: Vec<&str> =
            self.params.iter().map(|(key, _)| key.as_str()).filter(|key| !seen.insert(*key)).collect();
        if repeated.is_empty() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "Duplicate parameter keys have been submitted: {repeated:?}. Please ensure the request contains only one \
             param value per param key."
        )))
    }

    /// Applies everything or nothing. `kind` is what the event calls it.
    pub fn apply(&self, tx: &mut Sql<'_>, run_id: &str, kind: EventKind) -> Result<Change<Empty>> {
        let mut run = lock(tx, run_id, Action::Edit)?;
        run.require_active()?;
        let models = model::lock_measured(tx, &self.measurements)?;
        let mut is_changed = self.write_texts(&mut run)?;
        // Also where the tag has this value already: the table may have been declared since.
        let is_set = |tag: &str| self.tags.iter().any(|(key, _)| key == tag);
        let source = sources::resolve(tx, &mut run.document, is_set)?;
        is_changed |= source.is_changed;
        let plan =
            run.document.log_points(self.points.iter().map(|(key, point)| (key.as_str(), *point)).collect());
        is_changed |= plan.accepted > 0;
        let measured = model::measure(tx, models, &run.uuid, &self.measurements)?;
        let is_linked = sources::record(tx, &run, &source)?;
        if !is_changed && measured == 0 && !is_linked {
            return Ok(Change::Nothing(Empty {}));
        }
        match is_changed {
            true => save(tx, &mut run, &plan)?,
            false => touch(tx, &mut run)?,
        }
        Ok(Change::Made(Empty {}, self.event(&run, &plan, kind)))
    }

    /// Params and tags: whether anything changed.
    fn write_texts(&self, run: &mut Run) -> Result<bool> {
        let mut is_changed = false;
        for (key, value) in &self.params {
            is_changed |= run.document.set_param(key, value).map_err(|conflict| {
                Error::invalid(format!(
                    "Changing param values is not allowed. Param with key='{}' was already logged with value='{}' for \
                     run ID='{}'. Attempted logging new value '{}'.",
                    conflict.key,
                    limits::cut(&conflict.stored, 500),
                    run.uuid,
                    limits::cut(&conflict.sent, 500),
                ))
            })?;
        }
        for (key, value) in &self.tags {
            is_changed |= run.document.set_tag(key, value);
        }
        Ok(is_changed)
    }

    /// One compact entry: counts, and a digest of what was sent.
    fn event(&self, run: &Run, plan: &AppendPlan, kind: EventKind) -> Event {
        let detail = match (kind, self.tags.as_slice()) {
            (EventKind::RunTagSet, [(key, value)]) => json!({ "key": key, "value": value }),
            _ => json!({
                "points": plan.accepted,
                "params": self.params.len(),
                "tags": self.tags.len(),
                "sha256": self.digest(),
            }),
        };
        run.event(kind).detail(detail)
    }

    /// SHA-256 over the batch as it was applied: each text with its length before it, numbers as little-endian bytes.
    fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        let mut text = |text: &str| {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        };
        for (key, value) in self.params.iter().chain(&self.tags) {
            text(key);
            text(value);
        }
        let mut bytes = Vec::with_capacity(self.points.len() * 48);
        for (key, point) in &self.points {
            bytes.extend_from_slice(&(key.len() as u64).to_le_bytes());
            bytes.extend_from_slice(key.as_bytes());
            bytes.extend_from_slice(&point.timestamp_ms.to_le_bytes());
            bytes.extend_from_slice(&point.step.to_le_bytes());
            bytes.extend_from_slice(&point.value.get().to_bits().to_le_bytes());
        }
        hasher.update(&bytes);
        hex::encode(hasher.finalize())
    }
}

/// Checks a key; the path of the field is put together only for an error.
fn key_at(key: Option<&str>, place: impl Fn() -> String) -> Result<&str> {
    match limits::key("key", key) {
        Ok(key) => Ok(key),
        Err(_) => limits::key(&format!("{}key", place()), key),
    }
}
