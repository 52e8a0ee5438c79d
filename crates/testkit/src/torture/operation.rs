//! What a writing client can ask for, and the content each request carries.
//!
//! Invariant: all content follows from (client, number), so that a verifier can tell for every stored part which
//! request wrote it, and a repeated request carries the same bytes.

use serde_json::{Value, json};

use super::ledger::RunLedger;
use crate::http::{Client, Error, Response};
use crate::random::Random;

pub(super) const API: &str = "/api/2.0/mlflow";
pub(super) const TOKEN_TAG: &str = "torture.token";
/// 2024-01-01; each point has its own millisecond.
const EPOCH_MS: u64 = 1_704_067_200_000;
const POINTS_PER_BATCH: u32 = 10;
const FILE_BYTES_MAX: u64 = 200_000;

/// What a round works on: an experiment, a model and a run that all clients share.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) experiment: String,
    pub(super) model: String,
}

/// One request that changes something. Runs are indexes into the client's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    CreateRun { token: String },
    LogBatch { run: usize, batch: u32 },
    LogMetric { run: usize, step: u32 },
    SetTag { run: usize, value: u32 },
    Finish { run: usize },
    Upload { run: usize, file: u32 },
    CreateVersion { token: String },
    MoveAlias { version: u64 },
}

impl Operation {
    /// Whether the protocol makes sending it again harmless. Creating a run or a version twice makes two.
    pub(super) fn is_repeatable(&self) -> bool {
        !matches!(self, Self::CreateRun { .. } | Self::CreateVersion { .. })
    }

    /// How many events it leaves when it changes something: one, and where a second system takes part intent and outcome.
    pub(super) fn events(&self) -> u64 {
        if matches!(self, Self::Upload { .. }) { 2 } else { 1 }
    }

    /// How many events the recovery after a kill may add to it: the reversal of an intent that has no outcome.
    pub(super) fn events_of_recovery(&self) -> u64 {
        u64::from(matches!(self, Self::Upload { .. }))
    }

    /// Sends it on behalf of client number `client`.
    pub(super) fn send(
        &self,
        http: &mut Client,
        world: &World,
        client: usize,
        runs: &[RunLedger],
    ) -> Result<Response, Error> {
        let run_id = |run: &usize| runs[*run].id.as_str();
        match self {
            Self::CreateRun { token } => http.post(
                &format!("{API}/runs/create"),
                &json!({"experiment_id": world.experiment, "run_name": token, "start_time": EPOCH_MS,
                        "tags": [{"key": TOKEN_TAG, "value": token}]}),
            ),
            Self::LogBatch { run, batch } => {
                let mut body = Batch::new(client, *batch).to_json();
                body["run_id"] = json!(run_id(run));
                http.post(&format!("{API}/runs/log-batch"), &body)
            }
            Self::LogMetric { run, step } => {
                let mut body = Point::single(client, *step).to_json();
                body["run_id"] = json!(run_id(run));
                http.post(&format!("{API}/runs/log-metric"), &body)
            }
            Self::SetTag { run, value } => http.post(
                &format!("{API}/runs/set-tag"),
                &json!({"run_id": run_id(run), "key": progress_tag(client), "value": value.to_string()}),
            ),
            Self::Finish { run } => http.post(
                &format!("{API}/runs/update"),
                &json!({"run_id": run_id(run), "status": "FINISHED", "end_time": EPOCH_MS + 1}),
            ),
            Self::Upload { run, file } => {
                http.put(&artifact_path(&runs[*run], client, *file), &file_content(client, *file))
            }
            Self::CreateVersion { token } => http.post(
                &format!("{API}/model-versions/create"),
                &json!({"name": world.model, "source": version_source(token),
                        "tags": [{"key": TOKEN_TAG, "value": token}]}),
            ),
            Self::MoveAlias { version } => http.post(
                &format!("{API}/registered-models/alias"),
                &json!({"name": world.model, "alias": alias(client), "version": version.to_string()}),
            ),
        }
    }
}

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

    fn of(key: String, step: u32) -> Self {
        let value = Random::new(u64::from(step)).unit();
        Self { key, value, timestamp: EPOCH_MS + u64::from(step), step: u64::from(step) }
    }

    fn to_json(&self) -> Value {
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

    fn to_json(&self) -> Value {
        let pairs = |pairs: &[(String, String)]| -> Vec<Value> {
            pairs.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
        };
        json!({"metrics": self.points.iter().map(Point::to_json).collect::<Vec<_>>(),
               "params": pairs(&self.params), "tags": pairs(&self.tags)})
    }
}

pub(super) fn loss_key(client: usize) -> String {
    format!("c{client}.loss")
}

/// The tag a client overwrites again and again.
pub(super) fn progress_tag(client: usize) -> String {
    format!("c{client}.progress")
}

pub(super) fn alias(client: usize) -> String {
    format!("candidate-{client}")
}

pub(super) fn version_source(token: &str) -> String {
    format!("s3://torture/{token}")
}

pub(super) fn file_name(client: usize, file: u32) -> String {
    format!("c{client}-f{file}.bin")
}

pub(super) fn artifact_path(run: &RunLedger, client: usize, file: u32) -> String {
    let root = run.artifact_uri.trim_start_matches("mlflow-artifacts:/").trim_start_matches('/');
    format!("/api/2.0/mlflow-artifacts/artifacts/{root}/{}", file_name(client, file))
}

pub(super) fn file_content(client: usize, file: u32) -> Vec<u8> {
    let mut random = Random::new(((client as u64) << 32) | u64::from(file));
    let length = random.below(FILE_BYTES_MAX) + 1;
    random.bytes(length as usize)
}
