//! Experiments, runs, histories and logged models in process. What the real client sees is in `tests/clients`.

mod experiments;
mod histories;
mod models;
mod pages;
mod races;
mod runs;
mod search;

use serde_json::{Value, json};

use crate::support::{TestApp, ok};

const M: &str = "/api/2.0/mlflow";

/// Makes an experiment and answers its id.
async fn experiment(test: &TestApp, name: &str) -> String {
    let answer = test.post(&format!("{M}/experiments/create"), json!({ "name": name })).await;
    ok(&answer)["experiment_id"].as_str().unwrap().to_owned()
}

/// Starts a run and answers its id.
async fn run(test: &TestApp, experiment: &str, name: &str) -> String {
    let body = json!({ "experiment_id": experiment, "run_name": name, "start_time": 1_700_000_000_000_i64 });
    let answer = test.post(&format!("{M}/runs/create"), body).await;
    ok(&answer)["run"]["info"]["run_id"].as_str().unwrap().to_owned()
}

/// Logs a batch.
async fn log(test: &TestApp, run: &str, mut batch: Value) {
    batch["run_id"] = json!(run);
    ok(&test.post(&format!("{M}/runs/log-batch"), batch).await);
}

/// What differs from one execution to the next, replaced: ids and times.
fn settled(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), settled(value))).collect(),
        Value::Array(values) => values.iter().map(settled).collect(),
        Value::Number(number) if number.as_i64().is_some_and(|n| n > 1_750_000_000_000) => json!("[now]"),
        Value::String(text) => json!(settled_text(text)),
        other => other.clone(),
    }
}

fn settled_text(text: &str) -> String {
    let is_id = |part: &str| match part.len() {
        18 => part.bytes().all(|byte| byte.is_ascii_digit()),
        32 => part.bytes().all(|byte| byte.is_ascii_hexdigit()),
        34 => part.starts_with("m-"),
        _ => false,
    };
    let parts: Vec<String> = text
        .split('/')
        .map(|part| if is_id(part) { format!("[{}]", part.len()) } else { part.to_owned() })
        .collect();
    parts.join("/")
}
