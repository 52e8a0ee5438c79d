//! Labels: they land once, the latest of a row counts, and windows are told of again.

use super::*;
use crate::support::on_every_store;

fn yaml() -> String {
    YAML.replace(
        "metrics: [psi, missing]",
        "labels: { lateness: 7d, baseline: y, metrics: [accuracy, roc_auc, brier] }\nmetrics: [psi]",
    )
}

/// Labels of an hour: 1 where the prediction is at least `cutoff`.
fn labels(hour: i64, rows: i64, cutoff: f64, at: &str) -> String {
    let mut csv = "request_id,label,labelled_at\n".to_owned();
    for row in 0..rows {
        let label = i32::from((row % 10) as f64 / 10.0 >= cutoff);
        let _ = writeln!(csv, "{hour}-{row},{label},{at}");
    }
    csv
}

async fn import(test: &TestApp, batch: &str, csv: &str) -> Answer {
    put(test, &format!("/api/1.0/labels/prod.risk.fraud/batches/{batch}?format=csv"), csv).await
}

#[test]
fn labels_land_once_with_what_they_lack() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        payload(&test, "served", &hour(0, 10, 0.0)).await;
        let first = import(&test, "a", "request_id,label\nr1,1\nr2,0\n").await;
        assert_eq!((ok(&first)["rows"].clone(), ok(&first)["is_repeat"].clone()), (json!(2), json!(false)));
        assert_eq!(ok(&first)["table"], "prod.risk.fraud_labels");
        assert_eq!((ok(&first)["matched"].clone(), ok(&first)["unmatched"].clone()), (json!(0), json!(2)));
        tokio::time::sleep(Duration::from_millis(20)).await;
        let again = import(&test, "a", "request_id,label\nr1,1\nr2,0\n").await;
        assert_eq!(ok(&again)["is_repeat"], true, "although the moment that is filled in is another");
        assert_eq!(import(&test, "a", "request_id,label\nr1,0\n").await.status, 409);
        let bad = import(&test, "b", "request_id,label\nr1,yes\n").await;
        let said = bad.json["message"].as_str().unwrap();
        assert!(said.contains("line 2, column label, 'yes': it is no number"), "{said}");
        assert!(said.ends_with("Mend the file."), "there is no quarantine here: {said}");
        let other = import(&test, "c", "request_id,label,score\nr1,1,0.5\n").await;
        assert!(other.json["message"].as_str().unwrap().contains("score"), "{other:?}");
        let rows = sql(
            &test,
            "SELECT request_id, row, label, labelled_at > TIMESTAMP '2024-01-01T00:00:00Z' AS dated \
             FROM prod.risk.fraud_labels ORDER BY request_id",
        )
        .await;
        assert_eq!(
            rows,
            [
                json!({ "request_id": "r1", "row": 0, "label": 1.0, "dated": true }),
                json!({ "request_id": "r2", "row": 0, "label": 0.0, "dated": true }),
            ]
        );
    });
}

#[test]
fn an_import_says_how_many_labels_have_a_row() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        payload(&test, "served", &hour(0, 10, 0.0)).await;
        let counted = |answer: &Answer| (ok(answer)["matched"].clone(), ok(answer)["unmatched"].clone());
        // Two labels of one row, one of a row that is not there, one of the second row of a request that has one.
        let csv = "request_id,row,label\n0-3,0,1\n0-3,,0\n0-4,0,1\n9-9,0,1\n0-5,1,1\n";
        let first = import(&test, "a", csv).await;
        assert_eq!(counted(&first), (json!(3), json!(2)), "{first:?}");
        // Asked again it looks again.
        payload(&test, "late", &hour(9, 10, 0.0)).await;
        let again = import(&test, "a", csv).await;
        assert_eq!((ok(&again)["is_repeat"].clone(), counted(&again)), (json!(true), (json!(4), json!(1))));
        let none = import(&test, "empty", "request_id,label\n").await;
        assert_eq!(counted(&none), (json!(0), json!(0)), "{none:?}");
        // What can be the label of no row is refused, whole.
        let wrong = import(&test, "b", "request_id,row,label\n0-1,0,1\n0-2,-1,1\n").await;
        assert_eq!(wrong.status, 400, "{wrong:?}");
        let said = wrong.json["message"].as_str().unwrap();
        assert!(said.contains("'0-2' has the row -1; the first row of a request is 0"), "{said}");
        let rows = sql(&test, "SELECT count(*) AS n FROM prod.risk.fraud_labels").await;
        assert_eq!(rows, [json!({ "n": 5 })]);
    });
}

#[test]
fn labels_of_a_table_without_ids_say_that_none_can_match() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        land(&test, "prod.risk.fraud", "a", "x:double", "x\n1\n").await;
        let done = import(&test, "a", "request_id,label\nr1,1\n").await;
        assert_eq!(ok(&done)["rows"], 1);
        assert!(ok(&done)["matched"].is_null(), "{done:?}");
        assert!(
            ok(&done)["note"]
                .as_str()
                .unwrap()
                .contains("has no column '_request_id', by which rows and labels"),
            "{done:?}"
        );
    });
}

#[test]
fn the_latest_label_of_a_row_counts_and_windows_are_told_of_again() {
    on_every_store(async |test: TestApp| {
        world(&test, &yaml()).await;
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        assert_eq!(windows(&test).await[1]["labelled_rows"], 0);

        ok(&import(&test, "a", &labels(1, 200, 0.5, "2024-11-25T00:00:00Z")).await);
        let job = run(&test, json!({})).await;
        assert_eq!(job["result"], json!({ "windows": 1, "revised": 1 }), "{job}");
        let window = windows(&test).await.pop().unwrap();
        assert_eq!((window["labelled_rows"].clone(), window["rows"].clone()), (json!(200), json!(200)));
        let figures = sql(
            &test,
            "SELECT metric, value, n, status FROM prod.risk.fraud_drift WHERE revision = 2 ORDER BY metric",
        )
        .await;
        let of = |metric: &str| figures.iter().find(|one| one["metric"] == metric).unwrap().clone();
        assert_eq!((of("accuracy")["value"].clone(), of("accuracy")["n"].clone()), (json!(1.0), json!(200)));
        assert_eq!(of("roc_auc")["value"], 1.0);
        // (0.5 - 0.1): half of the rows are positive, a tenth of the baseline's.
        assert!((of("label_rate")["value"].as_f64().unwrap() - 0.4).abs() < 1e-12, "{figures:?}");
        assert!(of("label_drift")["value"].as_f64().unwrap() > 0.2);
        assert!(
            figures.iter().all(|one| one["metric"] != "psi"),
            "nothing but labels has changed: {figures:?}"
        );

        // All labels are turned round by later ones; an earlier one changes nothing.
        let turned: String = labels(1, 200, 0.5, "2024-11-26T00:00:00Z")
            .replace(",1,2024", ",x,2024")
            .replace(",0,2024", ",1,2024")
            .replace(",x,2024", ",0,2024");
        ok(&import(&test, "b", &turned).await);
        ok(&import(&test, "c", &labels(1, 10, 0.0, "2024-11-24T12:00:00Z")).await);
        let job = run(&test, json!({})).await;
        assert_eq!(job["result"]["windows"], 1, "{job}");
        let accuracy: Vec<f64> = series(&test, "accuracy").await.iter().map(|point| point.2).collect();
        assert_eq!(accuracy, [1.0, 0.0]);
        worker.stop().await;
    });
}

#[test]
fn labels_of_what_is_not_there_are_refused() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let refused = import(&test, "a", "request_id,label\nr1,1\n").await;
        assert_eq!(refused.status, 404, "{refused:?}");
        let message = refused.json["message"].as_str().unwrap();
        assert!(message.contains("neither an endpoint nor a table 'prod.risk.fraud'"), "{message}");
        let made = test.get("/api/2.1/unity-catalog/tables/prod.risk.fraud_labels").await;
        assert_eq!(made.status, 404, "{made:?}");
    });
}

#[test]
fn a_label_that_is_corrected_is_seen_whatever_the_newest_is() {
    on_every_store(async |test: TestApp| {
        world(&test, &yaml()).await;
        let worker = Worker::start(&test.app);
        ok(&import(&test, "a", &labels(1, 200, 0.5, "2024-11-25T00:00:00Z")).await);
        ok(&import(&test, "b", "request_id,label,labelled_at\n1-199,1,2024-11-27T00:00:00Z\n").await);
        assert_eq!(computed(&test).await, 2);
        // As many labels, and the newest of them is the same.
        ok(&import(&test, "c", "request_id,label,labelled_at\n1-5,0,2024-11-26T00:00:00Z\n").await);
        let job = run(&test, json!({})).await;
        assert_eq!(job["result"], json!({ "windows": 1, "revised": 1 }), "{job}");
        let accuracy: Vec<f64> = series(&test, "accuracy").await.iter().map(|point| point.2).collect();
        assert_eq!(accuracy, [1.0, 0.995]);
        assert_eq!(computed(&test).await, 0, "and nothing is left");
        worker.stop().await;
    });
}

#[test]
fn labels_leave_the_other_figures_to_the_definition_that_they_are_of() {
    on_every_store(async |test: TestApp| {
        world(&test, &yaml()).await;
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        ok(&apply(&test, &yaml().replace("metrics: [psi]", "metrics: [psi, missing]")).await);
        ok(&import(&test, "a", &labels(1, 200, 0.5, "2024-11-25T00:00:00Z")).await);
        assert_eq!(computed(&test).await, 1);
        let told: Vec<(Value, Value)> = windows(&test)
            .await
            .iter()
            .map(|one| (one["revision"].clone(), one["definition"].clone()))
            .collect();
        assert_eq!(told, [(json!(1), json!(1)), (json!(2), json!(1))]);
        // So both are computed by the new one where somebody asks for that.
        let asked = json!({ "from": "2024-11-24T00:00:00Z", "to": "2024-11-24T02:00:00Z" });
        let job = run(&test, asked).await;
        assert_eq!(job["result"], json!({ "windows": 2, "revised": 2 }), "{job}");
        assert!(windows(&test).await.iter().all(|one| one["definition"] == 2));
        worker.stop().await;
    });
}
