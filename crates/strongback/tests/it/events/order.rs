//! The order of the events of one subject, whichever writer wrote them.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Value, json};
use strongback::db::Location;

use crate::support::{TestApp, ok, on_every_store};

async fn made(test: &TestApp, path: &str, body: Value) -> Value {
    let answer = test.post(&format!("/api/2.0/mlflow/{path}"), body).await;
    ok(&answer).clone()
}

async fn events_of(test: &TestApp, subject: &str) -> Vec<Value> {
    let listed = test.get(&format!("/api/1.0/audit-log?subject={subject}&max_results=10000")).await;
    let mut events = ok(&listed)["events"].as_array().unwrap().clone();
    events.sort_by_key(|event| event["subject_revision"].as_i64().unwrap());
    events
}

fn revisions(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| event["subject_revision"].as_i64().unwrap()).collect()
}

/// Writes a tag from many callers at once until every writer that there is had its turn, or some of them.
async fn write_at_once(test: &TestApp, run: &str) -> Vec<Value> {
    let slots_wanted = if matches!(test.app.db.location(), Location::Sqlite(_)) { 1 } else { 2 };
    for round in 0..50 {
        let writes = (0..16).map(|n| {
            let body = json!({ "run_id": run, "key": "last", "value": format!("{round}.{n}") });
            test.post("/api/2.0/mlflow/runs/set-tag", body)
        });
        for answer in futures::future::join_all(writes).await {
            ok(&answer);
        }
        let events = events_of(test, run).await;
        let slots: HashSet<&str> =
            events.iter().filter_map(|event| event["block"].as_str()?.split(':').next()).collect();
        if slots.len() >= slots_wanted {
            return events;
        }
    }
    panic!("one writer took everything");
}

#[test]
fn the_events_of_a_run_are_ordered_by_its_revision() {
    on_every_store(|test| async move {
        let home = made(&test, "experiments/create", json!({ "name": "order" })).await;
        let run = made(&test, "runs/create", json!({ "experiment_id": home["experiment_id"] })).await;
        let id = run["run"]["info"]["run_id"].as_str().unwrap();
        let events = write_at_once(&test, id).await;
        let dense: Vec<i64> = (1..=events.len() as i64).collect();
        assert_eq!(revisions(&events), dense, "each event has a place of its own");
        assert_eq!(events[0]["action"], "run.create");
        // The last in this order is what the run says now.
        let now = test.get(&format!("/api/2.0/mlflow/runs/get?run_id={id}")).await;
        let tags = ok(&now)["run"]["data"]["tags"].as_array().unwrap().clone();
        let last = tags.iter().find(|tag| tag["key"] == "last").unwrap();
        assert_eq!(events.last().unwrap()["detail"]["value"], last["value"]);

        // What lies beside the run's row counts as well.
        let model =
            made(&test, "logged-models", json!({ "experiment_id": home["experiment_id"], "name": "m" }))
                .await;
        let model_id = model["model"]["info"]["model_id"].as_str().unwrap();
        made(&test, "runs/outputs", json!({ "run_id": id, "models": [{ "model_id": model_id, "step": 0 }] }))
            .await;
        made(&test, "runs/log-inputs", json!({ "run_id": id, "models": [{ "model_id": model_id }] })).await;
        let actions: Vec<Value> =
            events_of(&test, id).await[events.len()..].iter().map(|event| event["action"].clone()).collect();
        assert_eq!(actions, ["run.outputs", "run.inputs"]);
        let distinct: BTreeSet<i64> = revisions(&events_of(&test, id).await).into_iter().collect();
        assert_eq!(distinct.len(), events.len() + 2);
    });
}

#[test]
fn the_events_of_a_logged_model_are_ordered_by_its_revision() {
    on_every_store(|test| async move {
        let home = made(&test, "experiments/create", json!({ "name": "order" })).await;
        let model =
            made(&test, "logged-models", json!({ "experiment_id": home["experiment_id"], "name": "m" }))
                .await;
        let id = model["model"]["info"]["model_id"].as_str().unwrap();
        for n in 0..3 {
            let params = json!({ "params": [{ "key": format!("p{n}"), "value": "1" }] });
            made(&test, &format!("logged-models/{id}/params"), params).await;
        }
        let events = events_of(&test, id).await;
        assert_eq!(revisions(&events), [1, 2, 3, 4]);
        assert_eq!(events[0]["action"], "logged_model.create");
    });
}
