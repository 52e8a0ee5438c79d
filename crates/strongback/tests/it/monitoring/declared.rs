//! What becomes of windows, references and names when a monitor is declared anew, or what it lies in is renamed.

use super::*;
use crate::support::on_every_store;

#[test]
fn a_series_has_windows_of_one_kind() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        let longer = YAML.replace("length: 1h", "length: 2h");
        // Nothing is computed yet.
        assert_eq!(ok(&apply(&test, &longer).await)["version"], 2);
        assert_eq!(ok(&apply(&test, YAML).await)["version"], 3);
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        for other in [longer.clone(), YAML.replace("length: 1h", "length: 1h, offset: 15m")] {
            let refused = apply(&test, &other).await;
            assert_eq!((refused.status, refused.error_code()), (400, "INVALID_PARAMETER_VALUE"));
            let message = refused.json["message"].as_str().unwrap();
            assert!(message.contains("windows of 1h with the offset 0s"), "{message}");
            assert!(message.contains("2h and 0s") || message.contains("1h and 15m"), "{message}");
            assert!(message.contains("strongback monitor delete prod.risk.fraud"), "{message}");
        }
        assert_eq!(
            ok(&apply(&test, &YAML.replace("length: 1h", "length: 1h, delay: 1m")).await)["version"],
            4
        );

        // Another monitor is another series.
        ok(&test.send(request("DELETE", "/api/1.0/monitors/prod.risk.fraud", None)).await);
        assert_eq!(ok(&apply(&test, &longer).await)["version"], 1);
        assert_eq!(computed(&test).await, 1);
        assert_eq!(series(&test, "psi/x").await.len(), 1);
        worker.stop().await;
    });
}

#[test]
fn predictions_are_compared_with_what_the_figure_names() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        // Other predictions are not compared with those of before.
        ok(&apply(&test, &YAML.replace("prediction: _prediction", "prediction: x")).await);
        payload(&test, "next", &[hour(2, 200, 0.0), hour(3, 200, 0.0)].concat()).await;
        assert_eq!(computed(&test).await, 2);
        let from_training = "prediction: { column: _prediction, baseline: y }";
        ok(&apply(&test, &YAML.replace("prediction: _prediction", from_training)).await);
        payload(&test, "last", &hour(4, 200, 0.0)).await;
        assert_eq!(computed(&test).await, 1);
        let told = sql(
            &test,
            "SELECT status, reference FROM prod.risk.fraud_drift WHERE metric = 'prediction_shift' ORDER BY window_start",
        )
        .await;
        let expected = [
            ("undefined", ""),
            ("ok", "window 2024-11-24T00:00:00Z"),
            ("undefined", ""),
            ("ok", "window 2024-11-24T02:00:00Z"),
            ("ok", "prod.risk.train@1, column y"),
        ];
        assert_eq!(
            told,
            expected.map(|(status, reference)| json!({ "status": status, "reference": reference }))
        );
        worker.stop().await;
    });
}

#[test]
fn a_plan_that_cannot_be_carried_out_is_discarded_with_its_definition() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        // Figures cannot land in a table that lives elsewhere: the plan is begun, and stays open.
        let taken = json!({ "catalog_name": "prod", "schema_name": "risk", "name": "fraud_drift" });
        ok(&test.post("/api/2.1/unity-catalog/tables", taken).await);
        let worker = Worker::start(&test.app);
        let job = run(&test, json!({})).await;
        assert_eq!(job["state"], "failed", "{job}");
        in_the_way(&job);
        assert!(windows(&test).await.iter().all(|one| one["state"] == "planned"));

        let path = "/api/2.1/unity-catalog/tables/prod.risk.fraud_drift";
        ok(&test.send(request("DELETE", path, None)).await);
        ok(&apply(&test, &YAML.replace("metrics: [psi, missing]", "metrics: [psi]")).await);
        assert_eq!(computed(&test).await, 2);
        let told: Vec<Value> = windows(&test)
            .await
            .iter()
            .map(|one| json!([one["state"], one["revision"], one["definition"]]))
            .collect();
        assert_eq!(told, [json!(["computed", 1, 2]), json!(["computed", 1, 2])]);
        let figures = sql(
            &test,
            "SELECT metric, count(*) AS n FROM prod.risk.fraud_drift WHERE column_name = 'x' GROUP BY metric",
        )
        .await;
        assert_eq!(figures, [json!({ "metric": "psi", "n": 2 })]);
        worker.stop().await;
    });
}

#[test]
fn a_monitor_goes_on_where_its_schema_is_renamed() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        let renamed = Some(json!({ "new_name": "cards" }));
        ok(&test.send(request("PATCH", "/api/2.1/unity-catalog/schemas/prod.risk", renamed)).await);
        let csv =
            format!("_request_id,_row,_event_time,_model_version,_prediction,x,kind\n{}", hour(2, 200, 0.0));
        let types = "_request_id:string,_row:int,_event_time:timestamp,_model_version:long,_prediction:double,x:double";
        land(&test, "prod.cards.fraud_payload", "next", types, &csv).await;
        let queued = test.post("/api/1.0/monitors/prod.cards.fraud/run", json!({})).await;
        let job = ended(&test, ok(&queued)["job_id"].as_str().unwrap()).await;
        assert_eq!(
            (job["state"].clone(), job["result"]["windows"].clone()),
            (json!("succeeded"), json!(1)),
            "{job}"
        );
        let landed = sql(
            &test,
            "SELECT count(DISTINCT window_start) AS n FROM prod.cards.fraud_drift WHERE metric = 'psi'",
        )
        .await;
        assert_eq!(landed, [json!({ "n": 3 })]);
        let shown = test.get("/api/1.0/monitors/prod.cards.fraud").await;
        assert_eq!(ok(&shown)["drift_table"], "prod.cards.fraud_drift");
        worker.stop().await;
    });
}

fn in_the_way(job: &Value) {
    let message = job["error"]["message"].as_str().unwrap_or_default();
    for part in [
        "lands in 'prod.risk.fraud_drift', and another table has that name",
        "strongback monitor run prod.risk.fraud",
    ] {
        assert!(message.contains(part), "{job}");
    }
}

#[test]
fn windows_wait_until_nothing_else_has_the_name_of_their_table() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        // The plan is open; then somebody puts a table of his own there.
        land(&test, "prod.risk.fraud_drift", "mine", "a:long", "a\n1\n").await;
        let worker = Worker::start(&test.app);
        for _ in 0..2 {
            let job = run(&test, json!({})).await;
            assert_eq!(job["state"], "failed", "{job}");
            in_the_way(&job);
        }
        assert!(windows(&test).await.iter().all(|one| one["state"] == "planned"));
        let path = "/api/2.1/unity-catalog/tables/prod.risk.fraud_drift";
        ok(&test.send(request("DELETE", path, None)).await);
        assert_eq!(computed(&test).await, 2);
        let told: Vec<Value> =
            windows(&test).await.iter().map(|one| json!([one["state"], one["revision"]])).collect();
        assert_eq!(told, [json!(["computed", 1]), json!(["computed", 1])]);
        assert_eq!(series(&test, "psi/x").await.len(), 2);
        worker.stop().await;
    });
}

/// What is written in the place of what, where the mistake is, and what is said of it.
fn mistakes() -> Vec<(&'static str, String, &'static str, &'static str)> {
    let after = |more: &str| format!("lateness: 6h\n{more}");
    let predicted = "prediction: _prediction";
    let limit = "{ metric: psi, above: 0.2 }";
    vec![
        (predicted, "prediction: _predicton".to_owned(), "line 6, column 13", "did you mean '_prediction'?"),
        (
            predicted,
            "prediction: { column: _prediction, baseline: why }".to_owned(),
            "line 6, column 46",
            "'prod.risk.train' has no column 'why'; did you mean 'y'?",
        ),
        (
            predicted,
            "prediction: { column: kind, baseline: x }".to_owned(),
            "line 6, column 39",
            "they cannot be compared",
        ),
        (predicted, "prediction: _event_time".to_owned(), "line 6, column 13", "is of type timestamp"),
        ("lateness: 6h", after("event_time: _event_tim"), "line 6, column 13", "did you mean '_event_time'?"),
        ("lateness: 6h", after("event_time: x"), "line 6, column 13", "event time is a timestamp"),
        (
            "lateness: 6h",
            after("features: { include: [x, kinds] }"),
            "line 6, column 26",
            "did you mean 'kind'?",
        ),
        (
            "lateness: 6h",
            after("features: { exclude: [amount] }"),
            "line 6, column 23",
            "it has _request_id, _row",
        ),
        (
            limit,
            "{ metric: psi, column: xx, above: 0.2 }".to_owned(),
            "line 9, column 28",
            "did you mean 'x'?",
        ),
        (
            limit,
            "{ metric: psi, column: x, above: 0.2 }\nfeatures: { include: [kind] }".to_owned(),
            "line 9, column 28",
            "none of the columns that are compared",
        ),
        (
            "minimum_rows: 20",
            "labels: { baseline: kind }".to_owned(),
            "line 10, column 21",
            "of type string; labels are numbers",
        ),
    ]
}

#[test]
fn a_column_that_is_not_there_is_told_with_its_place_before_anything_is_stored() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        for (from, to, place, said) in mistakes() {
            let yaml = YAML.replacen(from, &to, 1);
            assert_ne!(yaml, YAML);
            let refused = apply(&test, &yaml).await;
            let message = refused.json["message"].as_str().unwrap_or_default();
            assert_eq!(
                (refused.status, refused.error_code()),
                (400, "INVALID_PARAMETER_VALUE"),
                "{to}: {message}"
            );
            assert!(message.contains(place) && message.contains(said), "{to}: {message}");
        }
        let shown = test.get("/api/1.0/monitors/prod.risk.fraud").await;
        assert_eq!(ok(&shown)["version"], 1, "nothing of it was stored");
    });
}
