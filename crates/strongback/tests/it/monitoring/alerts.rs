//! Alerts: raised once, kept while it lasts, over after so many windows; what they begin.

use strongback::db::Stmt;

use super::*;
use crate::support::on_every_store;

/// The monitor with a command that an alert begins.
fn with_trigger(cool_down: &str) -> String {
    format!(
        "{YAML}alerts: {{ severity: high, resolve_after: 2 }}
trigger:
  command: prod.risk.retrain
  parameters: {{ until: \"{{window_end}}\" }}
  budget: {{ wall: 10m }}
  cool_down: {cool_down}
"
    )
}

async fn command(test: &TestApp) {
    let definition = json!({ "argv": ["/bin/true", "{until}"], "params": { "until": { "type": "text" } } });
    let body = json!({ "name": "prod.risk.retrain", "definition": definition });
    ok(&test.post("/api/1.0/commands", body).await);
}

async fn queued(test: &TestApp) -> Vec<Value> {
    let jobs = test.get("/api/1.0/jobs?kind=command").await;
    ok(&jobs)["jobs"].as_array().unwrap().clone()
}

#[test]
fn one_alert_stands_until_it_is_over() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        command(&test).await;
        let rows = [hour(0, 200, 0.0), hour(1, 200, 40.0), hour(2, 200, 50.0)].concat();
        payload(&test, "first", &rows).await;
        ok(&apply(&test, &with_trigger("1d")).await);
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 3);
        let standing = alerts(&test, "standing").await;
        assert_eq!(standing.len(), 1, "{standing:?}");
        let alert = &standing[0];
        assert_eq!((alert["metric"].clone(), alert["column"].clone()), (json!("psi"), json!("x")));
        assert_eq!((alert["severity"].clone(), alert["owner"].clone()), (json!("high"), json!("local")));
        assert_eq!((alert["windows"].clone(), alert["limit"].clone()), (json!(2), json!(0.2)));
        assert_eq!(alert["first_window"], "2024-11-24T01:00:00Z");
        assert_eq!(alert["last_window"], "2024-11-24T02:00:00Z");
        assert!(alert["value"].as_f64().unwrap() > 0.2);
        assert_eq!(actions(&test, "alert.").await, ["alert.open", "alert.update"]);

        // Two windows, and one command: for the newest of those that were judged together.
        let jobs = queued(&test).await;
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        assert_eq!(jobs[0]["payload"]["params"]["until"], "2024-11-24T03:00:00Z");
        assert_eq!(jobs[0]["budget"]["wall_ms"], 600_000);

        let id = alert["alert_id"].as_str().unwrap().to_owned();
        let path = format!("/api/1.0/alerts/{id}/acknowledge");
        let taken = test.post(&path, json!({ "note": "we look at it" })).await;
        assert_eq!(
            (ok(&taken)["state"].clone(), ok(&taken)["note"].clone()),
            (json!("acknowledged"), json!("we look at it"))
        );
        assert_eq!(ok(&test.post(&path, json!({})).await)["acknowledged_by"], "local");

        payload(&test, "calm", &[hour(3, 200, 0.0), hour(4, 200, 0.0)].concat()).await;
        assert_eq!(computed(&test).await, 2);
        assert_eq!(alerts(&test, "standing").await, Vec::<Value>::new());
        let over = &alerts(&test, "resolved").await[0];
        assert_eq!((over["alert_id"].clone(), over["windows_under"].clone()), (json!(id), json!(2)));
        assert_eq!(
            actions(&test, "alert.").await,
            ["alert.open", "alert.update", "alert.acknowledge", "alert.update", "alert.resolve"]
        );
        // What drifts again is another alert.
        payload(&test, "again", &hour(5, 200, 60.0)).await;
        assert_eq!(computed(&test).await, 1);
        let standing = alerts(&test, "standing").await;
        assert_eq!((standing.len(), standing[0]["windows"].clone()), (1, json!(1)));
        let id = standing[0]["alert_id"].as_str().unwrap();
        let ended = test.post(&format!("/api/1.0/alerts/{id}/resolve"), json!({ "note": "known" })).await;
        assert_eq!(
            (ok(&ended)["state"].clone(), ok(&ended)["resolved_by"].clone()),
            (json!("resolved"), json!("local"))
        );
        assert_eq!(queued(&test).await.len(), 1, "still within the cool-down");
        worker.stop().await;
    });
}

#[test]
fn the_cool_down_outlives_a_restart() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        command(&test).await;
        payload(&test, "first", &[hour(0, 200, 0.0), hour(1, 200, 40.0)].concat()).await;
        ok(&apply(&test, &with_trigger("1d")).await);
        let worker = Worker::start(&test.app);
        computed(&test).await;
        assert_eq!(queued(&test).await.len(), 1);
        worker.stop().await;
        let test = test.reopen().await;
        let worker = Worker::start(&test.app);
        payload(&test, "second", &hour(2, 200, 40.0)).await;
        assert_eq!(computed(&test).await, 1);
        assert_eq!(queued(&test).await.len(), 1);
        assert_eq!(alerts(&test, "standing").await[0]["windows"], 2);
        worker.stop().await;
    });
}

/// Eighteen hours are two plans; those of the first are history when they are judged.
#[test]
fn catching_up_begins_nothing_because_of_what_is_over() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        command(&test).await;
        let hours = |drifting: i64| -> String {
            (0..18).map(|at| hour(at, 100, if at == drifting { 60.0 } else { 0.0 })).collect()
        };
        payload(&test, "first", &hours(1)).await;
        ok(&apply(&test, &with_trigger("1d")).await);
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 18);
        let over = alerts(&test, "resolved").await;
        assert_eq!((over.len(), over[0]["windows"].clone()), (1, json!(1)), "{over:?}");
        assert_eq!(queued(&test).await, Vec::<Value>::new());

        // The last window that there is drifts: that is how things are.
        payload(&test, "more", &hour(18, 100, 60.0)).await;
        assert_eq!(computed(&test).await, 1);
        let jobs = queued(&test).await;
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        assert_eq!(jobs[0]["payload"]["params"]["until"], "2024-11-24T19:00:00Z");
        assert_eq!(alerts(&test, "standing").await[0]["job_id"], jobs[0]["job_id"]);
        worker.stop().await;
    });
}

#[test]
fn a_column_that_loses_its_values_raises_an_alert() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        payload(&test, "first", &[hour(0, 200, 0.0), without_x(&hour(1, 200, 0.0))].concat()).await;
        ok(&apply(&test, YAML).await);
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        let told = sql(
            &test,
            "SELECT metric, status, value, missing, p_value FROM prod.risk.fraud_drift \
             WHERE column_name = 'x' AND window_start >= TIMESTAMP '2024-11-24T01:00:00Z' ORDER BY metric",
        )
        .await;
        assert_eq!((told[0]["metric"].clone(), told[0]["value"].clone()), (json!("missing"), json!(1.0)));
        assert_eq!((told[1]["status"].clone(), told[1]["missing"].clone()), (json!("ok"), json!(200)));
        assert!(told[1]["value"].as_f64().unwrap() > 1.0, "{told:?}");
        assert!(told[1]["p_value"].as_f64().unwrap() < 1e-6, "{told:?}");
        let standing = alerts(&test, "standing").await;
        let named: Vec<(Value, Value)> =
            standing.iter().map(|one| (one["metric"].clone(), one["column"].clone())).collect();
        assert_eq!(named, [(json!("psi"), json!("x"))]);
        worker.stop().await;
    });
}

/// The same rows without a value of `x`.
fn without_x(rows: &str) -> String {
    let without = |row: &str| {
        let mut cells: Vec<&str> = row.split(',').collect();
        cells[5] = "";
        cells.join(",") + "\n"
    };
    rows.lines().map(without).collect()
}

#[test]
fn chance_raises_no_alert() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        // 25 rows of the same population: an index far above the limit, and no discovery.
        let few: String = (0..25)
            .map(|row| {
                let x = (row * 37 + 11) % 100;
                let kind = if row % 4 == 0 { "a" } else { "b" };
                format!("few-{row},0,{},1,0.5,{x},{kind}\n", chrono(DAY + row * 60))
            })
            .collect();
        payload(&test, "few", &few).await;
        let strict = YAML.replace("above: 0.2", "above: 0.02");
        ok(&apply(&test, &strict).await);
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 1);
        let told = sql(
            &test,
            "SELECT value, adjusted_p_value AS p FROM prod.risk.fraud_drift WHERE metric = 'psi' AND column_name = 'x'",
        )
        .await;
        assert!(told[0]["value"].as_f64().unwrap() > 0.02, "{told:?}");
        assert!(told[0]["p"].as_f64().unwrap() > 0.05, "{told:?}");
        assert_eq!(alerts(&test, "all").await, Vec::<Value>::new());
        worker.stop().await;
    });
}

#[test]
fn a_trigger_that_is_refused_leaves_the_alert() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        command(&test).await;
        payload(&test, "first", &[hour(0, 200, 0.0), hour(1, 200, 40.0)].concat()).await;
        ok(&apply(&test, &with_trigger("1h")).await);
        ok(&test.send(request("DELETE", "/api/1.0/commands/prod.risk.retrain", None)).await);
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        assert_eq!(alerts(&test, "standing").await.len(), 1);
        assert_eq!(queued(&test).await, Vec::<Value>::new());
        worker.stop().await;
    });
}

#[test]
fn a_command_that_finds_no_room_is_queued_later() {
    static FILL: Stmt = Stmt::new(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        INSERT INTO job (uuid, kind, idempotency_key, payload_version, payload, label, state, queued_by_id, run_as_id,
            not_before, attempts, attempts_max, fencing, progress_done, progress_of, progress_message,
            processor_ms_before, wall_ms_before, processor_ms, wall_ms, bytes_read, bytes_written, queued_at, revision)
        SELECT 'filler-' || i, 'filler', 'filler-' || i, 1, '{}', '', 'queued', 2, 2, 0, 0, 1, 0, 0, 0, '', 0, 0, 0, 0, 0, 0,
            0, 1 FROM n",
    );
    static EMPTY: Stmt = Stmt::new("DELETE FROM job WHERE kind = 'filler'");
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        command(&test).await;
        payload(&test, "first", &[hour(0, 200, 0.0), hour(1, 200, 40.0)].concat()).await;
        ok(&apply(&test, &with_trigger("1d")).await);
        let asked = test.post("/api/1.0/monitors/prod.risk.fraud/run", json!({})).await;
        test.app.db.derive(|tx| tx.execute(&FILL, &[])).await.unwrap();
        let worker = Worker::start(&test.app);
        let job = ended(&test, ok(&asked)["job_id"].as_str().unwrap()).await;
        assert_eq!(job["state"], "failed", "{job}");
        assert!(job["error"]["message"].as_str().unwrap().contains("wait already"), "{job}");
        assert_eq!(alerts(&test, "standing").await.len(), 1);
        assert_eq!(queued(&test).await, Vec::<Value>::new());

        test.app.db.derive(|tx| tx.execute(&EMPTY, &[])).await.unwrap();
        assert_eq!(run(&test, json!({})).await["state"], "succeeded");
        assert_eq!(queued(&test).await.len(), 1);
        let standing = alerts(&test, "standing").await;
        assert_eq!((standing.len(), standing[0]["windows"].clone()), (1, json!(1)), "{standing:?}");
        worker.stop().await;
    });
}
