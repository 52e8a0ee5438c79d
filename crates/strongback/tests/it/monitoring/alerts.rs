//! Alerts: raised once, kept while it lasts, over after so many windows; what they begin.

use strongback::db::Stmt;

use super::*;
use crate::support::{call, on_every_store, on_every_store_with, token_of};

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

        // Another command of that name is not the one that the monitor was declared with.
        command(&test).await;
        payload(&test, "second", &hour(2, 200, 40.0)).await;
        assert_eq!(computed(&test).await, 1);
        assert_eq!(queued(&test).await, Vec::<Value>::new());
        assert_eq!(ok(&apply(&test, &with_trigger("1h")).await)["version"], 2, "of the other command");
        payload(&test, "third", &hour(3, 200, 40.0)).await;
        assert_eq!(computed(&test).await, 1);
        assert_eq!(queued(&test).await.len(), 1);
        worker.stop().await;
    });
}

#[test]
fn a_command_goes_on_under_another_name() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        command(&test).await;
        payload(&test, "first", &[hour(0, 200, 0.0), hour(1, 200, 40.0)].concat()).await;
        ok(&apply(&test, &with_trigger("1h")).await);
        let renamed = Some(json!({ "new_name": "cards" }));
        ok(&test.send(request("PATCH", "/api/2.1/unity-catalog/schemas/prod.risk", renamed)).await);
        let worker = Worker::start(&test.app);
        let asked = test.post("/api/1.0/monitors/prod.cards.fraud/run", json!({})).await;
        let job = ended(&test, ok(&asked)["job_id"].as_str().unwrap()).await;
        assert_eq!(job["state"], "succeeded", "{job}");
        assert_eq!(queued(&test).await.len(), 1);
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

/// Rows of an hour with a prediction of each of ten tenths so often as is said.
fn predicted(hour: i64, often: [i64; 10]) -> String {
    let tenths = (0..10).flat_map(|tenth| (0..often[tenth as usize]).map(move |_| tenth));
    let row = |(row, tenth): (usize, i64)| {
        let at = chrono(DAY + hour * 3_600 + row as i64);
        format!("{hour}-{row},0,{at},1,{},{},a\n", tenth as f64 / 10.0, row % 100)
    };
    tenths.enumerate().map(row).collect()
}

/// Labels of the first rows of an hour, of which so many are 1.
fn labelled(hour: i64, rows: i64, positives: i64) -> String {
    let label = |row: i64| format!("{hour}-{row},{}\n", i32::from(row < positives));
    format!("request_id,label\n{}", (0..rows).map(label).collect::<String>())
}

async fn import(test: &TestApp, batch: &str, csv: &str) {
    let path = format!("/api/1.0/labels/prod.risk.fraud/batches/{batch}");
    ok(&put(test, &path, csv).await);
}

/// Metrics and values of a window, by its hour.
async fn figures_of(test: &TestApp, hour: i64) -> Vec<Value> {
    let start = chrono(DAY + hour * 3_600);
    let statement = format!(
        "SELECT metric, value, status, adjusted_p_value AS p, note FROM prod.risk.fraud_drift \
         WHERE window_start = TIMESTAMP '{start}' AND column_name = '' ORDER BY metric, revision DESC"
    );
    sql(test, &statement).await
}

fn figure<'f>(figures: &'f [Value], metric: &str) -> &'f Value {
    figures.iter().find(|one| one["metric"] == metric).unwrap_or_else(|| panic!("no {metric}: {figures:?}"))
}

#[test]
fn chance_raises_no_alert_of_predictions_and_labels() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        // Thirty rows of the same population as the first window's and the baseline's, beyond both limits by chance.
        let few = predicted(1, [1, 5, 2, 4, 3, 3, 6, 1, 2, 3]);
        payload(&test, "first", &[predicted(0, [100; 10]), few].concat()).await;
        import(&test, "first", &labelled(1, 30, 5)).await;
        let yaml = YAML
            .replace(
                "  - { metric: psi, above: 0.2 }",
                "  - { metric: prediction_shift, above: 0.2 }\n  - { metric: label_drift, above: 0.02 }",
            )
            .replace("metrics: [psi, missing]", "metrics: [psi]\nlabels: { lateness: 7d, baseline: y }");
        ok(&apply(&test, &yaml).await);
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        let told = figures_of(&test, 1).await;
        for (metric, limit) in [("prediction_shift", 0.2), ("label_drift", 0.02)] {
            let one = figure(&told, metric);
            assert!(one["value"].as_f64().unwrap() > limit && one["p"].as_f64().unwrap() > 0.05, "{one}");
        }
        assert_eq!(alerts(&test, "all").await, Vec::<Value>::new());

        payload(&test, "moved", &predicted(2, [0, 0, 0, 0, 0, 0, 0, 0, 0, 200])).await;
        import(&test, "moved", &labelled(2, 200, 150)).await;
        assert_eq!(computed(&test).await, 1);
        let mut raised: Vec<Value> =
            alerts(&test, "standing").await.iter().map(|one| one["metric"].clone()).collect();
        raised.sort_by_key(Value::to_string);
        assert_eq!(raised, ["label_drift", "prediction_shift"]);
        worker.stop().await;
    });
}

/// Labels of an hour of [`hour`]'s rows that make the prediction right in so many tenths of them.
fn right(hour: i64, rows: i64, tenths: i64) -> String {
    let label = |row: i64| {
        let (is_positive, is_right) = (row % 10 >= 5, row / 10 % 10 < tenths);
        format!("{hour}-{row},{}\n", i32::from(is_positive == is_right))
    };
    format!("request_id,label\n{}", (0..rows).map(label).collect::<String>())
}

#[test]
fn a_figure_of_performance_counts_with_its_whole_interval() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        payload(&test, "first", &[hour(0, 30, 0.0), hour(1, 200, 0.0)].concat()).await;
        let yaml = YAML.replace("{ metric: psi, above: 0.2 }", "{ metric: accuracy, below: 0.7 }").replace(
            "metrics: [psi, missing]",
            "metrics: [psi]\nlabels: { lateness: 7d, metrics: [accuracy] }\nalerts: { resolve_after: 1 }",
        );
        ok(&apply(&test, &yaml).await);
        let worker = Worker::start(&test.app);
        // 20 of 30 are right: less than the limit, and [0.49, 0.81] says nothing.
        import(&test, "few", &right(0, 30, 2)).await;
        assert_eq!(computed(&test).await, 2);
        let told = figures_of(&test, 0).await;
        assert!((figure(&told, "accuracy")["value"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-12, "{told:?}");
        assert_eq!(alerts(&test, "all").await, Vec::<Value>::new());

        // Half of 200.
        import(&test, "many", &right(1, 200, 5)).await;
        assert_eq!(computed(&test).await, 1);
        let standing = alerts(&test, "standing").await;
        assert_eq!((standing.len(), standing[0]["metric"].clone()), (1, json!("accuracy")), "{standing:?}");

        // What says nothing ends no alert; what is on the right side does.
        payload(&test, "more", &hour(2, 30, 0.0)).await;
        import(&test, "more", &right(2, 30, 2)).await;
        assert_eq!(computed(&test).await, 1);
        let standing = alerts(&test, "standing").await;
        assert_eq!((standing.len(), standing[0]["windows_under"].clone()), (1, json!(0)), "{standing:?}");
        payload(&test, "good", &hour(3, 200, 0.0)).await;
        import(&test, "good", &right(3, 200, 10)).await;
        assert_eq!(computed(&test).await, 1);
        assert_eq!(alerts(&test, "standing").await, Vec::<Value>::new());
        worker.stop().await;
    });
}

#[test]
fn a_few_rows_of_a_class_say_nothing_of_it() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        payload(&test, "first", &hour(0, 200, 0.0)).await;
        let labels = "labels: { lateness: 7d, metrics: [accuracy, recall, roc_auc, average_precision] }";
        let yaml = YAML
            .replace("{ metric: psi, above: 0.2 }", "{ metric: recall, below: 0.9 }")
            .replace("metrics: [psi, missing]", &format!("metrics: [psi]\n{labels}"));
        ok(&apply(&test, &yaml).await);
        let worker = Worker::start(&test.app);
        // The first five rows are positive; all of them are predicted negative.
        import(&test, "few", &labelled(0, 200, 5)).await;
        assert_eq!(computed(&test).await, 1);
        let told = figures_of(&test, 0).await;
        for metric in ["recall", "roc_auc", "average_precision"] {
            let one = figure(&told, metric);
            assert_eq!((one["status"].clone(), one["value"].clone()), (json!("small"), Value::Null), "{one}");
            assert_eq!(one["note"], "5 of 200 rows are positive, at least 10 of either class are wanted");
        }
        assert_eq!(figure(&told, "accuracy")["status"], "ok");
        assert_eq!(alerts(&test, "all").await, Vec::<Value>::new());

        let fewer = yaml.replace("lateness: 7d", "lateness: 7d, minimum_per_class: 5");
        ok(&apply(&test, &fewer).await);
        let asked = json!({ "from": "2024-11-24T00:00:00Z", "to": "2024-11-24T01:00:00Z" });
        assert_eq!(run(&test, asked).await["result"]["windows"], 1);
        assert_eq!(figure(&figures_of(&test, 0).await, "recall")["value"], 0.0);
        assert_eq!(alerts(&test, "standing").await.len(), 1);
        worker.stop().await;
    });
}

#[test]
fn labels_of_an_earlier_window_queue_the_command_once() {
    static COOL: Stmt = Stmt::new("UPDATE monitor SET triggered_at = 0");
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        command(&test).await;
        let rows: String = (0..5).map(|at| hour(at, 200, if at == 4 { 60.0 } else { 0.0 })).collect();
        payload(&test, "first", &rows).await;
        let yaml = with_trigger("1d")
            .replace(
                "metrics: [psi, missing]",
                "metrics: [psi]\nlabels: { lateness: 7d, metrics: [accuracy] }",
            )
            .replace("thresholds:", "thresholds:\n  - { metric: accuracy, below: 0.7 }");
        ok(&apply(&test, &yaml).await);
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 5);
        let until = async || -> Vec<Value> {
            queued(&test).await.iter().map(|job| job["payload"]["params"]["until"].clone()).collect()
        };
        assert_eq!(until().await, ["2024-11-24T05:00:00Z"]);

        // Labels come out of order: what they say of hour 2 is news, although a later window began something already.
        import(&test, "bad", &right(2, 200, 5)).await;
        assert_eq!(computed(&test).await, 1);
        assert_eq!(until().await.len(), 1, "within the cool-down");
        test.app.db.derive(|tx| tx.execute(&COOL, &[])).await.unwrap();
        import(&test, "worse", &right(2, 200, 4)).await;
        assert_eq!(computed(&test).await, 1);
        assert_eq!(until().await, ["2024-11-24T03:00:00Z", "2024-11-24T05:00:00Z"]);
        assert_eq!(actions(&test, "monitor.trigger").await.len(), 2);

        // Once a window, however often it is judged, and nothing is said to have been queued then.
        test.app.db.derive(|tx| tx.execute(&COOL, &[])).await.unwrap();
        import(&test, "worst", &right(2, 200, 3)).await;
        assert_eq!(computed(&test).await, 1);
        assert_eq!(until().await.len(), 2);
        assert_eq!(actions(&test, "monitor.trigger").await.len(), 2);
        worker.stop().await;
    });
}

/// The definition becomes another between the figures and the alerts, in the transaction that records the figures.
#[test]
fn a_definition_that_is_another_by_now_raises_nothing() {
    static SQLITE: [Stmt; 2] = [
        Stmt::new("UPDATE monitor SET definition_n = 1"),
        Stmt::new(
            "CREATE TRIGGER declared_anew AFTER UPDATE OF state ON monitor_window WHEN NEW.state = 'computed'
            BEGIN UPDATE monitor SET definition_n = 2; END",
        ),
    ];
    static POSTGRES: [Stmt; 3] = [
        Stmt::new("UPDATE monitor SET definition_n = 1"),
        Stmt::new(
            "CREATE FUNCTION declared_anew() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN UPDATE monitor SET definition_n = 2; RETURN NULL; END'",
        ),
        Stmt::new(
            "CREATE TRIGGER declared_anew AFTER UPDATE OF state ON monitor_window
            FOR EACH ROW EXECUTE FUNCTION declared_anew()",
        ),
    ];
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        command(&test).await;
        payload(&test, "first", &[hour(0, 200, 0.0), hour(1, 200, 40.0)].concat()).await;
        ok(&apply(&test, &with_trigger("1d")).await);
        // The next version has a limit that nothing is beyond.
        let second = with_trigger("1d").replace("psi, above: 0.2", "psi, above: 100");
        assert_eq!(ok(&apply(&test, &second).await)["version"], 2);
        let is_postgres = test.app.config.database_url.value.is_some();
        let steps: &'static [Stmt] = if is_postgres { &POSTGRES } else { &SQLITE };
        for step in steps {
            test.app.db.derive(move |tx| tx.execute(step, &[])).await.unwrap();
        }
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        assert_eq!(series(&test, "psi/x").await.len(), 2, "the figures stand");
        assert_eq!(alerts(&test, "all").await, Vec::<Value>::new());
        assert_eq!(queued(&test).await, Vec::<Value>::new());
        worker.stop().await;
    });
}

/// Thousands of alerts of which the caller may see none are not all looked at for one page.
#[test]
fn a_page_of_alerts_looks_through_a_bounded_number() {
    static FILL: Stmt = Stmt::new(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5200)
        INSERT INTO alert (uuid, asset_id, metric, column_name, state, severity, owner_id, figure, first_window, last_window,
            judged_to, window_count, under, opened_at, updated_at, note, revision)
        SELECT 'filler-' || i, asset_id, metric, 'c' || i, state, severity, owner_id, figure, first_window, last_window,
            judged_to, window_count, under, opened_at, updated_at, note, revision FROM n, alert",
    );
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let root = token_of(&test, "root", true).await;
        let eve = token_of(&test, "eve", false).await;
        let test = test.acting_as(&root);
        world(&test, YAML).await;
        let worker = Worker::start(&test.app);
        computed(&test).await;
        test.app.db.derive(|tx| tx.execute(&FILL, &[])).await.unwrap();
        let page = async |token: &str| {
            let path = format!("/api/1.0/alerts?max_results=20&page_token={token}");
            ok(&call(&test, &eve, "GET", &path, None).await).clone()
        };
        let first = page("").await;
        assert_eq!(first["alerts"], json!([]));
        let second = page(first["next_page_token"].as_str().expect("there are more to look at")).await;
        assert_eq!((second["alerts"].clone(), second["next_page_token"].clone()), (json!([]), Value::Null));
        assert_eq!(alerts(&test, "all").await.len(), 100);
        worker.stop().await;
    });
}
