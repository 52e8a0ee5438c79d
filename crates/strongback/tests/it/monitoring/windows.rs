//! Which windows are computed, and what of them lands where.

use strongback::db::Stmt;

use super::*;
use crate::support::on_every_store;

/// The stability index over bins, by its definition, with half a row in the place of none as the crate states it... computed
/// from counts alone.
fn psi(reference: &[f64], current: &[f64]) -> f64 {
    let (n, m): (f64, f64) = (reference.iter().sum(), current.iter().sum());
    let pairs = reference.iter().zip(current);
    pairs.map(|(own, other)| (other / m - own / n) * ((other / m) / (own / n)).ln()).sum()
}

#[test]
fn a_figure_is_computed_once_and_lands_twice() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        assert_eq!(computed(&test).await, 0, "nothing is left");

        let told: Vec<(Value, Value)> =
            windows(&test).await.iter().map(|one| (one["start"].clone(), one["outcome"].clone())).collect();
        assert_eq!(
            told,
            [(json!("2024-11-24T00:00:00Z"), json!("ok")), (json!("2024-11-24T01:00:00Z"), json!("ok")),]
        );
        let drift = sql(
            &test,
            "SELECT window_start, metric, column_name, status, value, low, high, n, reference FROM prod.risk.fraud_drift \
             ORDER BY window_start, metric, column_name",
        )
        .await;
        let of = |start: &str, metric: &str, column: &str| {
            let found = drift.iter().find(|one| {
                one["window_start"].as_str().unwrap().starts_with(start)
                    && one["metric"] == metric
                    && one["column_name"] == column
            });
            found.unwrap_or_else(|| panic!("no {metric} of {column} at {start}: {drift:?}")).clone()
        };
        let still = of("2024-11-24T00", "psi", "x");
        assert_eq!(
            (still["status"].clone(), still["reference"].clone()),
            (json!("ok"), json!("prod.risk.train@1"))
        );
        assert!(still["value"].as_f64().unwrap() < 0.01, "{still}");
        // Of 0 … 99 moved by 40 every bin below 40 is empty, and a part of the last holds what is above 99.
        let moved = of("2024-11-24T01", "psi", "x");
        assert!(moved["value"].as_f64().unwrap() > 1.0, "{moved}");
        assert!(moved["low"].as_f64().unwrap() > 0.2, "{moved}");
        let kind = of("2024-11-24T01", "psi", "kind")["value"].as_f64().unwrap();
        assert!((kind - psi(&[250.0, 750.0], &[50.0, 150.0])).abs() < 1e-3, "{kind}");
        assert_eq!(of("2024-11-24T01", "missing", "x")["value"], 0.0);
        assert_eq!(of("2024-11-24T00", "prediction_shift", "")["status"], "undefined");
        assert_eq!(of("2024-11-24T01", "prediction_shift", "")["value"], 0.0);
        assert_eq!(of("2024-11-24T01", "prediction_shift", "")["reference"], "window 2024-11-24T00:00:00Z");

        let points = series(&test, "psi/x").await;
        let values: Vec<f64> = points.iter().map(|point| point.2).collect();
        assert_eq!(
            values,
            [still["value"].as_f64().unwrap(), moved["value"].as_f64().unwrap()],
            "the same bits"
        );
        assert_eq!(points[1].0, points[0].0 + 1, "a step a window");
        assert_eq!(points[1].1, (DAY + 7_200) * 1_000, "at its end");

        let sketches = sql(
            &test,
            "SELECT role, count(*) AS n, count(DISTINCT model_version) AS m FROM prod.risk.fraud_sketch GROUP BY role ORDER BY role",
        )
        .await;
        assert_eq!(
            sketches,
            [
                json!({ "role": "baseline", "n": 3, "m": 0 }),
                json!({ "role": "feature", "n": 4, "m": 1 }),
                json!({ "role": "prediction", "n": 2, "m": 1 }),
            ]
        );
        assert_eq!(actions(&test, "monitor.").await, ["monitor.declare", "monitor.plan", "monitor.compute"]);
        worker.stop().await;
    });
}

#[test]
fn small_and_empty_windows_say_so() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        payload(&test, "later", &[hour(2, 5, 0.0), hour(4, 30, 0.0)].concat()).await;
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 5);
        let outcomes: Vec<String> =
            windows(&test).await.iter().map(|one| one["outcome"].as_str().unwrap().to_owned()).collect();
        assert_eq!(outcomes, ["ok", "ok", "small", "empty", "ok"]);
        let told = sql(
            &test,
            "SELECT metric, status, value, n, note FROM prod.risk.fraud_drift \
             WHERE window_start >= TIMESTAMP '2024-11-24T02:00:00Z' AND window_start < TIMESTAMP '2024-11-24T04:00:00Z' \
             ORDER BY window_start",
        )
        .await;
        assert_eq!(
            told,
            [
                json!({ "metric": "rows", "status": "small", "value": null, "n": 5, "note": "5 rows, at least 20 are wanted" }),
                json!({ "metric": "rows", "status": "empty", "value": null, "n": 0, "note": "no row is in this window" }),
            ]
        );
        let steps: Vec<i64> = series(&test, "psi/x").await.iter().map(|point| point.0).collect();
        assert_eq!(steps, [steps[0], steps[0] + 1, steps[0] + 4], "no point where nothing is known");
        worker.stop().await;
    });
}

#[test]
fn a_late_row_opens_its_window_again_within_the_lateness() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        payload(&test, "late", &hour(1, 50, 0.0)).await;
        let job = run(&test, json!({})).await;
        assert_eq!(job["result"], json!({ "windows": 1, "revised": 1 }), "{job}");
        let window = windows(&test).await.pop().unwrap();
        assert_eq!((window["revision"].clone(), window["rows"].clone()), (json!(2), json!(250)));
        let points = series(&test, "psi/x").await;
        assert_eq!(points.len(), 3);
        let revised: Vec<_> = points.iter().filter(|point| point.0 == points[2].0).collect();
        assert_eq!((revised.len(), revised[1].1 - revised[0].1), (2, 1), "a millisecond behind the first");

        // Hour 9 is the newest event: hour 1 is over for good, 6 hours behind its end.
        payload(&test, "newer", &hour(9, 30, 0.0)).await;
        payload(&test, "too-late", &hour(1, 40, 0.0)).await;
        let job = run(&test, json!({})).await;
        assert_eq!(job["result"]["revised"], 0, "{job}");
        // Who asks for it gets it.
        let asked = json!({ "from": "2024-11-24T01:00:00Z", "to": "2024-11-24T02:00:00Z" });
        let job = run(&test, asked).await;
        assert_eq!(job["result"], json!({ "windows": 1, "revised": 1 }), "{job}");
        worker.stop().await;
    });
}

#[test]
fn due_windows_are_queued_by_the_clock() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        assert_eq!(monitoring::look(&test.app).await.unwrap(), 1);
        assert_eq!(monitoring::look(&test.app).await.unwrap(), 0, "the same state of the world is one job");
        let worker = Worker::start(&test.app);
        let jobs = test.get("/api/1.0/jobs?kind=monitor_run").await;
        let id = ok(&jobs)["jobs"][0]["job_id"].as_str().unwrap().to_owned();
        assert_eq!(ended(&test, &id).await["result"]["windows"], 2);
        assert_eq!(monitoring::look(&test.app).await.unwrap(), 0, "nothing is new");
        worker.stop().await;
    });
}

#[test]
fn what_is_declared_wrong_is_told() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        let said = async |from: &str, to: &str| {
            let yaml = YAML.replacen(from, to, 1);
            assert_ne!(yaml, YAML);
            let answer = apply(&test, &yaml).await;
            assert!(answer.status >= 400, "{answer:?}");
            answer.json["message"].as_str().unwrap().to_owned()
        };
        assert!(said("metrics: [psi", "metrics: [psy").await.contains("line 7, column 11"));
        assert!(said("train@1", "train").await.contains("prod.risk.train@1"));
        assert!(said("train@1", "train@9").await.contains("no version 9"));
        assert!(said("watch: prod.risk.fraud", "watch: prod.risk.nothing").await.contains("does not exist"));
        assert!(said("prediction: _prediction", "prediction: score").await.contains("no column 'score'"));
        assert!(said("lateness", "event_time: x\nlateness").await.contains("event time is a timestamp"));
        assert!(said("lateness", "alerts: { owner: nobody-here }\nlateness").await.contains("nobody-here"));
        let trigger = "trigger: { command: prod.risk.c, cool_down: 1h }\nlateness";
        assert!(said("lateness", trigger).await.contains("command 'prod.risk.c' does not exist"));
        // The same once more changes nothing; another one is the next version, and the pin of the baseline moves along.
        assert_eq!(ok(&apply(&test, YAML).await)["version"], 1);
        assert_eq!(ok(&apply(&test, &YAML.replace("20", "30")).await)["version"], 2);
        let pins = test.get("/api/1.0/tables/prod.risk.train/versions").await;
        assert!(ok(&pins).to_string().contains("windows are compared with it"), "{pins:?}");
        let gone = test.send(request("DELETE", "/api/1.0/monitors/prod.risk.fraud", None)).await;
        ok(&gone);
        assert_eq!(test.get("/api/1.0/monitors/prod.risk.fraud").await.status, 404);
        let pins = test.get("/api/1.0/tables/prod.risk.train/versions").await;
        assert!(!ok(&pins).to_string().contains("windows are compared with it"), "{pins:?}");
    });
}

/// The look of one minute finds that nothing is complete yet, and a later one that it is, whatever the hour.
#[test]
fn a_window_is_queued_as_soon_as_it_is_complete() {
    /// As if the delay were over: all else that is known of the monitor stays.
    static LATER: Stmt = Stmt::new(
        "UPDATE monitor_definition SET definition = REPLACE(definition, '\"delay\":\"2h\"', '\"delay\":\"1h\"')",
    );
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        // It ended an hour and a half ago.
        let at = ::chrono::DateTime::from_timestamp_millis(strongback::time::now_ms() - 5_400_000).unwrap();
        payload(&test, "first", &format!("r-0,0,{},1,0.5,1,a\n", at.to_rfc3339())).await;
        ok(&apply(&test, &YAML.replace("length: 1h", "length: 1m, delay: 2h")).await);
        let worker = Worker::start(&test.app);
        assert_eq!(monitoring::look(&test.app).await.unwrap(), 1);
        let newest = async || {
            let jobs = test.get("/api/1.0/jobs?kind=monitor_run&max_results=1").await;
            ended(&test, ok(&jobs)["jobs"][0]["job_id"].as_str().unwrap()).await
        };
        assert_eq!(newest().await["result"]["windows"], 0);
        assert_eq!(monitoring::look(&test.app).await.unwrap(), 0, "nothing is complete");
        test.app.db.derive(|tx| tx.execute(&LATER, &[])).await.unwrap();
        assert_eq!(monitoring::look(&test.app).await.unwrap(), 1);
        assert_eq!(newest().await["result"]["windows"], 1);
        assert_eq!(windows(&test).await[0]["rows"], 1);
        worker.stop().await;
    });
}

#[test]
fn a_row_at_a_border_belongs_to_the_window_that_begins_there() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        train(&test).await;
        let row = |id: &str, at: &str| format!("{id},0,2024-11-24T{at}Z,1,0.5,1,a\n");
        let rows = [
            row("first", "00:00:00"),
            row("last", "00:59:59.999999"),
            row("border", "01:00:00"),
            row("behind", "01:00:00.000001"),
        ];
        payload(&test, "first", &rows.concat()).await;
        let labels = "labels: { lateness: 7d, baseline: y }";
        let yaml = YAML.replace("minimum_rows: 20", &format!("minimum_rows: 1\n{labels}"));
        ok(&apply(&test, &yaml).await);
        let csv = "request_id,label\nlast,1\nborder,0\n";
        ok(&put(&test, "/api/1.0/labels/prod.risk.fraud/batches/first", csv).await);
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        let told: Vec<Value> = windows(&test)
            .await
            .iter()
            .map(|one| json!([one["start"], one["rows"], one["labelled_rows"]]))
            .collect();
        assert_eq!(
            told,
            [json!(["2024-11-24T00:00:00Z", 2, 1]), json!(["2024-11-24T01:00:00Z", 2, 1])],
            "[start, end)"
        );
        // The one in the first window is positive.
        let rates = series(&test, "label_rate").await;
        let rates: Vec<f64> = rates.iter().map(|point| point.2).collect();
        assert!(
            rates.len() == 2 && (rates[0] - 0.9).abs() < 1e-12 && (rates[1] + 0.1).abs() < 1e-12,
            "{rates:?}"
        );
        worker.stop().await;
    });
}

#[test]
fn a_monitor_of_labels_alone_counts_rows() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        let nothing = YAML.replace("prediction: _prediction\n", "features: { exclude: [X, kind] }\n");
        let refused = apply(&test, &nothing).await;
        let message = refused.json["message"].as_str().unwrap();
        assert!(message.contains("no column of numbers or texts in common"), "{refused:?}");
        assert!(
            message.contains("prod.risk.fraud_payload") && message.contains("prod.risk.train"),
            "{message}"
        );

        let labels = nothing.replace(
            "thresholds:\n  - { metric: psi, above: 0.2 }\n",
            "labels: { lateness: 7d, baseline: y }\n",
        );
        ok(&apply(&test, &labels).await);
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        let told = async || -> Vec<Value> {
            windows(&test).await.iter().map(|one| json!([one["outcome"], one["rows"]])).collect()
        };
        assert_eq!(told().await, [json!(["ok", 200]), json!(["ok", 200])]);
        // Another version of the table does not make them anew.
        payload(&test, "next", &hour(2, 100, 0.0)).await;
        let job = run(&test, json!({})).await;
        assert_eq!(job["result"], json!({ "windows": 1, "revised": 0 }), "{job}");
        worker.stop().await;
    });
}
