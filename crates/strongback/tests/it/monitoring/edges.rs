//! What others do that a monitor must live with: rows from the future, full queues, names that are taken, endless ranges.

use strongback::db::Stmt;

use super::*;
use crate::support::on_every_store;

#[test]
fn a_row_from_the_future_stops_neither_windows_nor_late_rows() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        payload(&test, "ahead", "ahead-0,0,2999-01-01T00:00:00Z,1,0.5,1,a\n").await;
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        let shown = test.get("/api/1.0/monitors/prod.risk.fraud").await;
        let newest = ok(&shown)["newest_event"].as_str().unwrap().to_owned();
        assert!(newest.starts_with("2024-11-24T01:59"), "{newest}");
        assert_eq!(ok(&shown)["computed_to"], "2024-11-24T02:00:00Z");

        payload(&test, "late", &hour(1, 50, 0.0)).await;
        let job = run(&test, json!({})).await;
        assert_eq!(job["result"], json!({ "windows": 1, "revised": 1 }), "{job}");
        payload(&test, "next", &hour(2, 200, 0.0)).await;
        assert_eq!(computed(&test).await, 1);
        worker.stop().await;
    });
}

#[test]
fn a_monitor_has_one_job_at_a_time() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        assert_eq!(monitoring::look(&test.app).await.unwrap(), 1);
        payload(&test, "more", &hour(2, 200, 0.0)).await;
        assert_eq!(monitoring::look(&test.app).await.unwrap(), 0, "the one that waits finds these too");
        let worker = Worker::start(&test.app);
        let jobs = test.get("/api/1.0/jobs?kind=monitor_run").await;
        let jobs = ok(&jobs)["jobs"].as_array().unwrap().clone();
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        assert_eq!(ended(&test, jobs[0]["job_id"].as_str().unwrap()).await["result"]["windows"], 3);
        payload(&test, "again", &hour(3, 200, 0.0)).await;
        assert_eq!(monitoring::look(&test.app).await.unwrap(), 1);
        worker.stop().await;
    });
}

#[test]
fn a_monitor_that_cannot_be_read_stops_no_other() {
    static SPOIL: Stmt = Stmt::new(
        "UPDATE monitor_definition SET definition = '{}' WHERE asset_id = (SELECT MIN(asset_id) FROM monitor)",
    );
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        let csv =
            format!("_request_id,_row,_event_time,_model_version,_prediction,x,kind\n{}", hour(0, 200, 0.0));
        let types = "_request_id:string,_row:int,_event_time:timestamp,_prediction:double,x:double";
        land(&test, "prod.risk.other", "first", types, &csv).await;
        ok(&apply(&test, &YAML.replace("watch: prod.risk.fraud", "watch: prod.risk.other")).await);
        test.app.db.derive(|tx| tx.execute(&SPOIL, &[])).await.unwrap();
        assert_eq!(monitoring::look(&test.app).await.unwrap(), 1);
    });
}

#[test]
fn what_waits_already_is_not_queued_again() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        let path = "/api/1.0/monitors/prod.risk.fraud/run";
        let ask = async |body: Value| ok(&test.post(path, body).await)["job_id"].clone();
        let first = ask(json!({})).await;
        assert_eq!(ask(json!({})).await, first);
        let range = json!({ "from": "2026-11-24T00:00:00Z", "to": "2026-11-24T01:00:00Z" });
        let ranged = ask(range.clone()).await;
        assert_ne!(ranged, first, "that asks for something else");
        assert_eq!(ask(range).await, ranged);
    });
}

#[test]
fn a_range_without_end_is_refused_before_anything_is_queued() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        let asked = json!({ "from": "1990-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z" });
        let refused = test.post("/api/1.0/monitors/prod.risk.fraud/run", asked).await;
        assert_eq!((refused.status, refused.error_code()), (400, "INVALID_PARAMETER_VALUE"));
        let message = refused.json["message"].as_str().unwrap();
        assert!(message.contains("windows of 1h; at most 1000 are computed at once"), "{message}");
        let jobs = test.get("/api/1.0/jobs?kind=monitor_run").await;
        assert_eq!(ok(&jobs)["jobs"], json!([]));
    });
}

#[test]
fn an_experiment_of_somebody_else_is_left_to_them() {
    on_every_store(async |test: TestApp| {
        let body = json!({ "name": "/Monitors/prod.risk.fraud" });
        let made = test.post("/api/2.0/mlflow/experiments/create", body).await;
        let theirs = ok(&made)["experiment_id"].clone();
        world(&test, YAML).await;
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        assert_eq!(series(&test, "psi/x").await.len(), 2);
        let monitor = test.get("/api/1.0/monitors/prod.risk.fraud").await;
        let run_id = ok(&monitor)["run_id"].as_str().unwrap().to_owned();
        let run = test.get(&format!("/api/2.0/mlflow/runs/get?run_id={run_id}")).await;
        let own = ok(&run)["run"]["info"]["experiment_id"].as_str().unwrap().to_owned();
        assert_ne!(json!(own), theirs);
        let found = test.get(&format!("/api/2.0/mlflow/experiments/get?experiment_id={own}")).await;
        let uuid = ok(&monitor)["monitor_id"].as_str().unwrap();
        assert_eq!(ok(&found)["experiment"]["name"], format!("/Monitors/prod.risk.fraud {uuid}"));
        worker.stop().await;
    });
}
