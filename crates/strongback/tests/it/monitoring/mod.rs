//! Monitors: windows, figures, alerts, triggers, labels, over payload tables that these tests import.

mod alerts;
mod broken;
mod declared;
mod edges;
mod full;
mod labels;
mod rights;
mod sets;
mod windows;

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use strongback::{context::App, jobs, monitoring};
use tokio::{sync::watch, task::JoinHandle};
use tower::ServiceExt as _;

use crate::{
    catalog::prod_risk,
    support::{Answer, TestApp, ok, request},
};

const PATIENCE: Duration = Duration::from_mins(2);
/// 2024-11-24T00:00:00Z in seconds since the epoch: a whole hour.
const DAY: i64 = 1_732_406_400;

/// A small monitor over windows of an hour.
const YAML: &str = "version: 1
watch: prod.risk.fraud
baseline: prod.risk.train@1
window: { length: 1h }
lateness: 6h
prediction: _prediction
metrics: [psi, missing]
thresholds:
  - { metric: psi, above: 0.2 }
minimum_rows: 20
";

/// The server's worker.
struct Worker {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Worker {
    fn start(app: &Arc<App>) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(jobs::work(Arc::clone(app), stopped)) }
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the worker does not end").unwrap();
    }
}

async fn put(test: &TestApp, path: &str, body: &str) -> Answer {
    let mut request = request("PUT", path, None);
    *request.body_mut() = Body::from(body.to_owned());
    test.send(request).await
}

/// Lets rows of CSV land.
async fn land(test: &TestApp, table: &str, batch: &str, types: &str, csv: &str) -> Value {
    let path = format!("/api/1.0/tables/{table}/batches/{batch}?format=csv&create=true&types={types}");
    ok(&put(test, &path, csv).await).clone()
}

/// The baseline: `x` is 0 to 99, `kind` is a or b, `y` is 1 in one row of ten.
fn train_rows() -> String {
    let mut csv = "x,kind,y\n".to_owned();
    for row in 0..1_000 {
        let kind = if row % 4 == 0 { "a" } else { "b" };
        let _ = writeln!(csv, "{},{kind},{}", row % 100, i32::from(row % 10 == 0));
    }
    csv
}

async fn train(test: &TestApp) {
    land(test, "prod.risk.train", "train", "x:double,y:double", &train_rows()).await;
}

/// Rows of one hour of the payload table: `x` is moved by `shift`. Ids are `<hour>-<row>`.
fn hour(hour: i64, rows: i64, shift: f64) -> String {
    let mut csv = String::new();
    for row in 0..rows {
        let at = DAY + hour * 3_600 + row * 3_600 / rows.max(1);
        let at = chrono(at);
        let kind = if row % 4 == 0 { "a" } else { "b" };
        let x = (row % 100) as f64 + shift;
        let _ = writeln!(csv, "{hour}-{row},0,{at},1,{},{x},{kind}", (row % 10) as f64 / 10.0);
    }
    csv
}

/// The moment in RFC 3339.
fn chrono(seconds: i64) -> String {
    let (day, second) = ((seconds - DAY).div_euclid(86_400), (seconds - DAY).rem_euclid(86_400));
    format!("2024-11-{:02}T{:02}:{:02}:{:02}Z", 24 + day, second / 3_600, second / 60 % 60, second % 60)
}

const PAYLOAD_TYPES: &str =
    "_request_id:string,_row:int,_event_time:timestamp,_model_version:long,_prediction:double,x:double";

fn payload_rows(rows: &str) -> String {
    format!("_request_id,_row,_event_time,_model_version,_prediction,x,kind\n{rows}")
}

async fn payload(test: &TestApp, batch: &str, rows: &str) {
    land(test, "prod.risk.fraud_payload", batch, PAYLOAD_TYPES, &payload_rows(rows)).await;
}

async fn apply(test: &TestApp, yaml: &str) -> Answer {
    test.post("/api/1.0/monitors", json!({ "yaml": yaml })).await
}

/// Queues a job of the monitor and waits for its end.
async fn run(test: &TestApp, range: Value) -> Value {
    let queued = test.post("/api/1.0/monitors/prod.risk.fraud/run", range).await;
    ended(test, ok(&queued)["job_id"].as_str().unwrap()).await
}

async fn ended(test: &TestApp, id: &str) -> Value {
    let job = jobs::wait(&test.system(), id.parse().unwrap(), PATIENCE).await.unwrap();
    assert!(job.state.is_ended(), "it does not end: {job:?}");
    ok(&test.get(&format!("/api/1.0/jobs/{id}")).await).clone()
}

/// The same, which must succeed; answers how many windows were computed.
async fn computed(test: &TestApp) -> i64 {
    let job = run(test, json!({})).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    job["result"]["windows"].as_i64().unwrap()
}

/// Rows of a query.
async fn sql(test: &TestApp, statement: &str) -> Vec<Value> {
    let request = request("POST", "/api/1.0/sql", Some(json!({ "statement": statement })));
    let response = test.router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(status, 200, "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Points of a series: step, timestamp, value.
async fn series(test: &TestApp, key: &str) -> Vec<(i64, i64, f64)> {
    let monitor = test.get("/api/1.0/monitors/prod.risk.fraud").await;
    let run_id = ok(&monitor)["run_id"].as_str().unwrap().to_owned();
    let path = format!("/api/2.0/mlflow/metrics/get-history?run_id={run_id}&metric_key={key}");
    let found = test.get(&path).await;
    let points = ok(&found)["metrics"].as_array().cloned().unwrap_or_default();
    let point = |one: &Value| {
        (one["step"].as_i64().unwrap(), one["timestamp"].as_i64().unwrap(), one["value"].as_f64().unwrap())
    };
    points.iter().map(point).collect()
}

async fn alerts(test: &TestApp, state: &str) -> Vec<Value> {
    let found = test.get(&format!("/api/1.0/alerts?state={state}")).await;
    ok(&found)["alerts"].as_array().unwrap().clone()
}

async fn windows(test: &TestApp) -> Vec<Value> {
    let found = test.get("/api/1.0/monitors/prod.risk.fraud/windows").await;
    let mut windows = ok(&found)["windows"].as_array().unwrap().clone();
    windows.reverse();
    windows
}

/// Actions of the log that begin with a word, oldest first.
async fn actions(test: &TestApp, word: &str) -> Vec<String> {
    let log = test.get("/api/1.0/audit-log?max_results=1000").await;
    let events = ok(&log)["events"].as_array().unwrap().clone();
    let all = events.iter().rev().map(|event| event["action"].as_str().unwrap().to_owned());
    all.filter(|action| action.starts_with(word)).collect()
}

/// Baseline, hours 0 (as the baseline) and 1 (moved), a row in hour 2 so that they are complete, and the monitor.
async fn world(test: &TestApp, yaml: &str) {
    prod_risk(test).await;
    train(test).await;
    let rows = [hour(0, 200, 0.0), hour(1, 200, 40.0)].concat();
    payload(test, "first", &rows).await;
    ok(&apply(test, yaml).await);
}
