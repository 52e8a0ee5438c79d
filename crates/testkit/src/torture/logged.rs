//! Logged models: made by a run, measured in that run, and what their maker knows of them.

use serde_json::{Value, json};

use super::content::{API, Point, TOKEN_TAG, common_dataset, counted_tags, pair, progress_tag};
use super::ledger::Ledger;
use crate::http::{Client, Error, Response};

const PARAMS: u32 = 3;

/// A write to a logged model that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LoggedWrite {
    Finalize,
    Tag(u32),
    /// A batch of points in its run that name the model and the data set.
    Measure(u32),
}

/// One logged model as its maker knows it.
#[derive(Debug, Clone)]
pub(super) struct LoggedLedger {
    pub(super) id: String,
    pub(super) token: String,
    /// Which of the client's runs made it, and measures it.
    pub(super) run: usize,
    pub(super) ready: bool,
    pub(super) progress: u32,
    /// How many measurements were acknowledged.
    pub(super) measured: u32,
}

impl LoggedLedger {
    pub(super) fn new(id: String, token: String, run: usize) -> Self {
        Self { id, token, run, ready: false, progress: 0, measured: 0 }
    }

    /// Takes over a write. Taking over a repeated one changes nothing.
    pub(super) fn take(&mut self, write: &LoggedWrite) {
        match write {
            LoggedWrite::Finalize => self.ready = true,
            LoggedWrite::Tag(value) => self.progress = *value,
            LoggedWrite::Measure(number) => self.measured = number + 1,
        }
    }

    /// The points that its run must have of it; it is the client's `number`-th.
    pub(super) fn points(&self, client: usize, number: usize) -> Vec<Point> {
        (0..self.measured).flat_map(|measurement| Point::measured(client, number, measurement)).collect()
    }

    /// How the server must show it; it is the client's `number`-th. It keeps the newest of its points, its run all.
    pub(super) fn look(&self, ledger: &Ledger, number: usize) -> Value {
        let run = ledger.runs[self.run].id.as_str();
        let points = self.points(ledger.client, number);
        let newest = points.last().map(|point| {
            let mut point = with_dataset(point, ledger.client);
            point["run_id"] = json!(run);
            point["model_id"] = json!(self.id);
            point
        });
        let metrics = Vec::from_iter(newest);
        let status = if self.ready { "LOGGED_MODEL_READY" } else { "LOGGED_MODEL_PENDING" };
        json!({"name": self.token, "run": run, "status": status, "metrics": metrics,
               "points": points.iter().map(Point::to_json).collect::<Vec<_>>(),
               "params": new_params(&self.token),
               "tags": counted_tags(&self.token, progress_tags(ledger.client), self.progress)})
    }
}

impl LoggedWrite {
    /// Sends it on behalf of the ledger's client, whose model number `number` this is.
    pub(super) fn send(&self, http: &mut Client, ledger: &Ledger, number: usize) -> Result<Response, Error> {
        let model = &ledger.logged[number];
        let path = format!("{API}/logged-models/{}", model.id);
        match self {
            Self::Finalize => {
                http.patch(&path, &json!({"model_id": model.id, "status": "LOGGED_MODEL_READY"}))
            }
            Self::Tag(value) => {
                let tags = progress_tags(ledger.client).map(|key| pair(&key, &value.to_string()));
                http.patch(&format!("{path}/tags"), &json!({"model_id": model.id, "tags": tags}))
            }
            Self::Measure(measurement) => {
                let points = Point::measured(ledger.client, number, *measurement).into_iter().map(|point| {
                    let mut point = with_dataset(&point, ledger.client);
                    point["model_id"] = json!(model.id);
                    point
                });
                let body =
                    json!({"run_id": ledger.runs[model.run].id, "metrics": points.collect::<Vec<_>>()});
                http.post(&format!("{API}/runs/log-batch"), &body)
            }
        }
    }
}

/// The two tags that are set together, always to the same value.
fn progress_tags(client: usize) -> [String; 2] {
    let key = progress_tag(client);
    [format!("{key}.again"), key]
}

/// What a logged model is made with; its name is its token.
pub(super) fn new_model(ledger: &Ledger, token: &str, run: usize) -> Value {
    json!({"experiment_id": ledger.world.experiment, "name": token, "source_run_id": ledger.runs[run].id,
           "params": new_params(token), "tags": [pair(TOKEN_TAG, token)]})
}

fn new_params(token: &str) -> Vec<Value> {
    (0..PARAMS).map(|index| pair(&format!("p{index}"), &format!("{index} of {token}"))).collect()
}

fn with_dataset(point: &Point, client: usize) -> Value {
    let (name, digest) = common_dataset(client);
    let mut point = point.to_json();
    point["dataset_name"] = json!(name);
    point["dataset_digest"] = json!(digest);
    point
}
