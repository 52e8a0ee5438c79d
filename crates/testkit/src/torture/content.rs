//! The content that each request carries, and the names of what clients write.
//!
//! Invariant: all content follows from (client, number), so that a verifier can tell for every stored part which
//! request wrote it, and a repeated request carries the same bytes.

use serde_json::{Value, json};

use super::run::RunLedger;
use crate::random::Random;

pub(super) const API: &str = "/api/2.0/mlflow";
pub(super) const TOKEN_TAG: &str = "torture.token";
/// 2024-01-01; each point has its own millisecond.
pub(super) const EPOCH_MS: u64 = 1_704_067_200_000;
const POINTS_PER_BATCH: u32 = 10;
const POINTS_PER_MEASUREMENT: u32 = 2;
const FILE_BYTES_MAX: u64 = 200_000;

/// One metric point as it is sent and read back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub(super) key: String,
    pub(super) value: f64,
    pub(super) timestamp: u64,
    pub(super) step: u64,
}

impl Point {
    /// The `step`-th point that a client logs on its own.
    pub(super) fn single(client: usize, step: u32) -> Self {
        Self::of(format!("c{client}.single"), step)
    }

    /// The points of a client's `number`-th measurement of its logged model `model`, oldest first.
    pub(super) fn measured(client: usize, model: usize, number: u32) -> Vec<Self> {
        let first = number * POINTS_PER_MEASUREMENT;
        let key = measured_key(client, model);
        (first..first + POINTS_PER_MEASUREMENT).map(|step| Self::of(key.clone(), step)).collect()
    }

    fn of(key: String, step: u32) -> Self {
        let value = Random::new(u64::from(step)).unit();
        Self { key, value, timestamp: EPOCH_MS + u64::from(step), step: u64::from(step) }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"key": self.key, "value": self.value, "timestamp": self.timestamp, "step": self.step})
    }
}

/// Everything that one log-batch carries, and that must be stored wholly or not at all.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) points: Vec<Point>,
    pub(super) params: Vec<(String, String)>,
    pub(super) tags: Vec<(String, String)>,
}

impl Batch {
    pub(super) fn new(client: usize, batch: u32) -> Self {
        let first = batch * POINTS_PER_BATCH;
        let pair = |kind: &str, index: u32| {
            (format!("c{client}.b{batch}.{kind}{index}"), format!("{kind} {index} of batch {batch}"))
        };
        Self {
            points: (first..first + POINTS_PER_BATCH).map(|step| Point::of(loss_key(client), step)).collect(),
            params: (0..5).map(|index| pair("p", index)).collect(),
            tags: (0..4).map(|index| pair("t", index)).collect(),
        }
    }

    pub(super) fn parts(&self) -> usize {
        self.points.len() + self.params.len() + self.tags.len()
    }

    pub(super) fn to_json(&self) -> Value {
        let pairs = |pairs: &[(String, String)]| -> Vec<Value> {
            pairs.iter().map(|(key, value)| pair(key, value)).collect()
        };
        json!({"metrics": self.points.iter().map(Point::to_json).collect::<Vec<_>>(),
               "params": pairs(&self.params), "tags": pairs(&self.tags)})
    }
}

/// A tag or param as MLflow writes it.
pub(super) fn pair(key: &str, value: &str) -> Value {
    json!({"key": key, "value": value})
}

/// The tags of a thing that was made with its token, and of which these were set to `count`, which is 0 before.
pub(super) fn counted_tags<const N: usize>(token: &str, keys: [String; N], count: u32) -> Vec<Value> {
    let counts = keys.iter().map(|key| pair(key, &count.to_string())).filter(|_| count > 0);
    sorted(std::iter::once(pair(TOKEN_TAG, token)).chain(counts))
}

/// As JSON, in an order that everybody can make.
pub(super) fn sorted(values: impl IntoIterator<Item = impl Into<Value>>) -> Vec<Value> {
    let mut values: Vec<Value> = values.into_iter().map(Into::into).collect();
    values.sort_by_cached_key(Value::to_string);
    values
}

pub(super) fn loss_key(client: usize) -> String {
    format!("c{client}.loss")
}

pub(super) fn measured_key(client: usize, model: usize) -> String {
    format!("c{client}.measured{model}")
}

/// The tag a client overwrites again and again, on whatever has tags.
pub(super) fn progress_tag(client: usize) -> String {
    format!("c{client}.progress")
}

/// Before the keys of the params that a client sets one by one.
pub(super) fn param_prefix(client: usize) -> String {
    format!("c{client}.param")
}

pub(super) fn param(client: usize, number: u32) -> Value {
    pair(&format!("{}{number}", param_prefix(client)), &format!("param {number}"))
}

/// Before the names of the data sets that a client's runs read.
pub(super) fn dataset_prefix(client: usize) -> String {
    format!("c{client}.data")
}

/// Name and digest of the data set that every measurement and every note of inputs names.
pub(super) fn common_dataset(client: usize) -> (String, String) {
    (format!("{}.common", dataset_prefix(client)), format!("digest{client}"))
}

/// A data set as a note of inputs carries it, with its tags: the `number`-th, or the common one.
pub(super) fn dataset(client: usize, number: Option<u32>) -> Value {
    let (name, digest) = number.map_or_else(
        || common_dataset(client),
        |number| (format!("{}{number}", dataset_prefix(client)), format!("digest{client}.{number}")),
    );
    let tags = json!([pair("mlflow.data.context", "training"), pair(TOKEN_TAG, &name)]);
    let place = json!({"uri": format!("s3://torture/{name}")}).to_string();
    json!({"dataset": {"name": name, "digest": digest, "source_type": "s3", "source": place}, "tags": tags})
}

pub(super) fn alias(client: usize) -> String {
    format!("candidate-{client}")
}

pub(super) fn version_source(token: &str) -> String {
    format!("s3://torture/{token}")
}

/// The name of a registered model or an experiment that a client makes beside those of its round; `round` is theirs.
pub(super) fn name_in(round: &str, token: &str) -> String {
    format!("{}{token}", name_prefix(round))
}

pub(super) fn name_prefix(round: &str) -> String {
    format!("{round}-")
}

pub(super) fn file_name(client: usize, file: u32) -> String {
    format!("c{client}-f{file}.bin")
}

/// The place of a run's files, as the proxy of files names it.
pub(super) fn artifact_root(run: &RunLedger) -> &str {
    run.artifact_uri.trim_start_matches("mlflow-artifacts:/").trim_start_matches('/')
}

pub(super) fn artifact_path(run: &RunLedger, client: usize, file: u32) -> String {
    format!("/api/2.0/mlflow-artifacts/artifacts/{}/{}", artifact_root(run), file_name(client, file))
}

pub(super) fn file_content(client: usize, file: u32) -> Vec<u8> {
    let mut random = Random::new(((client as u64) << 32) | u64::from(file));
    let length = random.below(FILE_BYTES_MAX) + 1;
    random.bytes(length as usize)
}
