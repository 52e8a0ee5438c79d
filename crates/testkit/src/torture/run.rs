//! Runs: what a client writes into them, and what it knows of them.

use serde_json::{Value, json};

use super::content::{
    API, Batch, EPOCH_MS, Point, TOKEN_TAG, artifact_path, artifact_root, dataset, file_content, file_name,
    pair, param, progress_tag, sorted,
};
use super::ledger::Ledger;
use crate::http::{Client, Error, Response};

/// Parts of a file that is sent in parts.
const FILE_PARTS: usize = 3;

/// A write to a run that is there. Numbers count from 0, the values of the progress tag from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RunWrite {
    Batch(u32),
    Metric(u32),
    Tag(u32),
    Param(u32),
    Finish,
    File {
        number: u32,
        in_parts: bool,
    },
    /// Data sets, the common one among them, and the client's logged model of the same number.
    Inputs(u32),
    /// The client's logged model of this number.
    Outputs(u32),
    Delete,
    Restore,
}

/// One run as its writer knows it. Batches, steps and so on are numbered from 0; the counts are of acknowledged ones.
#[derive(Debug, Clone)]
pub(super) struct RunLedger {
    pub(super) id: String,
    /// `None` for the run that all clients share.
    pub(super) token: Option<String>,
    pub(super) artifact_uri: String,
    pub(super) batches: u32,
    pub(super) steps: u32,
    /// The last value of the progress tag, which counts from 1; 0 while there is none.
    pub(super) progress: u32,
    pub(super) params: u32,
    pub(super) finished: bool,
    pub(super) files: u32,
    pub(super) inputs: u32,
    pub(super) outputs: u32,
    pub(super) deleted: bool,
}

impl RunLedger {
    pub(super) fn new(id: String, token: Option<String>, artifact_uri: String) -> Self {
        Self {
            id,
            token,
            artifact_uri,
            batches: 0,
            steps: 0,
            progress: 0,
            params: 0,
            finished: false,
            files: 0,
            inputs: 0,
            outputs: 0,
            deleted: false,
        }
    }

    /// Takes over a write. Taking over a repeated one changes nothing.
    pub(super) fn take(&mut self, write: &RunWrite) {
        match write {
            RunWrite::Batch(number) => self.batches = number + 1,
            RunWrite::Metric(step) => self.steps = step + 1,
            RunWrite::Tag(value) => self.progress = *value,
            RunWrite::Param(number) => self.params = number + 1,
            RunWrite::Finish => self.finished = true,
            RunWrite::File { number, .. } => self.files = number + 1,
            RunWrite::Inputs(number) => self.inputs = number + 1,
            RunWrite::Outputs(number) => self.outputs = number + 1,
            RunWrite::Delete => self.deleted = true,
            RunWrite::Restore => self.deleted = false,
        }
    }

    /// What `ledger`'s client must have left in it, beside points, batches and files.
    pub(super) fn look(&self, ledger: &Ledger) -> Value {
        let client = ledger.client;
        let params = (0..self.params).map(|number| param(client, number));
        let mut datasets: Vec<_> = (0..self.inputs).map(|number| dataset(client, Some(number))).collect();
        datasets.extend((self.inputs > 0).then(|| dataset(client, None)));
        let model = |number: u32| ledger.logged[number as usize].id.as_str();
        let written = (0..self.outputs).map(|number| json!({"model_id": model(number), "step": number}));
        json!({
            "token": self.token, "progress": self.progress, "params": sorted(params),
            "finished": self.finished, "deleted": self.deleted,
            "inputs": {"datasets": sorted(datasets), "models": sorted((0..self.inputs).map(model))},
            "outputs": sorted(written),
        })
    }
}

impl RunWrite {
    /// Sends it on behalf of the ledger's client.
    pub(super) fn send(
        &self,
        http: &mut Client,
        ledger: &Ledger,
        run: &RunLedger,
    ) -> Result<Response, Error> {
        let client = ledger.client;
        let (call, mut body) = match self {
            Self::Batch(number) => ("log-batch", Batch::new(client, *number).to_json()),
            Self::Metric(step) => ("log-metric", Point::single(client, *step).to_json()),
            Self::Tag(value) => ("set-tag", pair(&progress_tag(client), &value.to_string())),
            Self::Param(number) => ("log-parameter", param(client, *number)),
            Self::Finish => ("update", json!({"status": "FINISHED", "end_time": EPOCH_MS + 1})),
            Self::File { number, in_parts: false } => {
                let content = file_content(client, *number);
                return http.put(&artifact_path(run, client, *number), &content);
            }
            Self::File { number, in_parts: true } => return send_parts(http, client, run, *number),
            Self::Inputs(number) => {
                let model = &ledger.logged[*number as usize].id;
                let datasets = [dataset(client, Some(*number)), dataset(client, None)];
                ("log-inputs", json!({"datasets": datasets, "models": [{"model_id": model}]}))
            }
            Self::Outputs(number) => {
                let model = &ledger.logged[*number as usize].id;
                ("outputs", json!({"models": [{"model_id": model, "step": number}]}))
            }
            Self::Delete => ("delete", json!({})),
            Self::Restore => ("restore", json!({})),
        };
        body["run_id"] = json!(run.id);
        http.post(&format!("{API}/runs/{call}"), &body)
    }

    /// How many events it leaves: one a request; a file in one piece leaves an intent and an outcome.
    pub(super) fn events(&self) -> u64 {
        match self {
            Self::File { in_parts: false, .. } => 2,
            Self::File { in_parts: true, .. } => FILE_PARTS as u64 + 2,
            _ => 1,
        }
    }
}

/// Sends a file in parts: begins, sends each part to its signed address, completes. The answer is the first refusal, or
/// the last one.
fn send_parts(http: &mut Client, client: usize, run: &RunLedger, file: u32) -> Result<Response, Error> {
    let call = |verb: &str| format!("/api/2.0/mlflow-artifacts/mpu/{verb}/{}", artifact_root(run));
    let (name, content) = (file_name(client, file), file_content(client, file));
    let begun = http.post(&call("create"), &json!({"path": name, "num_parts": FILE_PARTS}))?;
    if begun.status != 200 {
        return Ok(begun);
    }
    let begun = begun.json();
    let mut parts = Vec::new();
    let length = content.len().div_ceil(FILE_PARTS);
    for index in 0..FILE_PARTS {
        let part = content.chunks(length).nth(index).unwrap_or_default();
        let address = begun["credentials"][index]["url"].as_str().unwrap_or_default();
        let path = address.find("/api/").map_or(address, |at| &address[at..]);
        let stored = http.put(path, part)?;
        if stored.status != 200 {
            return Ok(stored);
        }
        parts.push(json!({"part_number": index + 1, "etag": stored.header("etag")}));
    }
    http.post(&call("complete"), &json!({"path": name, "upload_id": begun["upload_id"], "parts": parts}))
}

/// What a run is made with; its name is its token.
pub(super) fn new_run(experiment: &str, token: &str) -> Value {
    json!({"experiment_id": experiment, "run_name": token, "start_time": EPOCH_MS,
           "tags": [pair(TOKEN_TAG, token)]})
}
