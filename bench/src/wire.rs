//! The requests of MLflow's protocol that the workloads send, each acknowledged before the next.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::http::{Client, with_query};

use crate::data::{API, Run};
use bench::load::expect_ok;

/// The id of the experiment with this name, made where it does not exist.
pub fn experiment(client: &mut Client, name: &str) -> Result<String> {
    let found =
        client.get(&with_query(&format!("{API}/experiments/get-by-name"), &[("experiment_name", name)]))?;
    let answer = if found.status == 200 {
        found.json()["experiment"].take()
    } else {
        expect_ok(client.post(&format!("{API}/experiments/create"), &json!({"name": name}))?)?.json()
    };
    answer["experiment_id"].as_str().map(str::to_string).context("an experiment has an id")
}

/// Creates a run and gives its id.
pub fn create_run(client: &mut Client, experiment: &str, name: &str, start_time: u64) -> Result<String> {
    let body = json!({"experiment_id": experiment, "run_name": name, "start_time": start_time});
    let answer = expect_ok(client.post(&format!("{API}/runs/create"), &body)?)?.json();
    answer["run"]["info"]["run_id"].as_str().map(str::to_string).context("a run has an id")
}

/// The three requests of a complete run; its id.
pub fn complete_run(client: &mut Client, experiment: &str, run: &Run) -> Result<String> {
    let id = create_run(client, experiment, &run.name(), run.start_time())?;
    expect_ok(client.post(&format!("{API}/runs/log-batch"), &run.batch(&id))?)?;
    let end = json!({"run_id": id, "status": "FINISHED", "end_time": run.start_time() + 1_000});
    expect_ok(client.post(&format!("{API}/runs/update"), &end)?)?;
    Ok(id)
}

/// A run as stored.
pub fn get_run(client: &mut Client, id: &str) -> Result<Value> {
    let path = with_query(&format!("{API}/runs/get"), &[("run_id", id)]);
    Ok(expect_ok(client.get(&path)?)?.json()["run"].take())
}
