//! Runs: what an answer looks like, what is refused, and that a repeated write changes nothing and leaves no event.

use serde_json::json;

use super::{M, experiment, log, run, settled};
use crate::{
    catalog::{declare, prod_risk},
    support::{TestApp, ok, on_every_store, request},
};

#[test]
fn a_run_as_clients_get_it() {
    on_every_store(|test| async move {
        let home = experiment(&test, "runs").await;
        let id = run(&test, &home, "first").await;
        log(
            &test,
            &id,
            json!({
                "metrics": [{ "key": "auc", "value": 0.5, "timestamp": 7, "step": 1 }, { "key": "nan", "value": "NaN", "timestamp": "8" }],
                "params": [{ "key": "depth", "value": "3" }],
                "tags": [{ "key": "team", "value": "risk" }],
            }),
        )
        .await;
        let got = test.get(&format!("{M}/runs/get?run_id={id}")).await;
        assert_eq!(
            settled(ok(&got)),
            json!({ "run": {
                "info": {
                    "run_id": "[32]",
                    "run_uuid": "[32]",
                    "run_name": "first",
                    "experiment_id": "[18]",
                    "status": "RUNNING",
                    "start_time": 1_700_000_000_000_i64,
                    "artifact_uri": "mlflow-artifacts:/[18]/[32]/artifacts",
                    "lifecycle_stage": "active",
                },
                "data": {
                    "metrics": [
                        { "key": "auc", "value": 0.5, "timestamp": 7, "step": 1 },
                        { "key": "nan", "value": "NaN", "timestamp": 8, "step": 0 },
                    ],
                    "params": [{ "key": "depth", "value": "3" }],
                    "tags": [{ "key": "mlflow.runName", "value": "first" }, { "key": "team", "value": "risk" }],
                },
                "inputs": {},
                "outputs": {},
            }})
        );
    });
}

async fn events_of(test: &TestApp, run: &str) -> Vec<String> {
    let listed = test.get(&format!("/api/1.0/audit-log?subject={run}")).await;
    let events = ok(&listed)["events"].as_array().unwrap().clone();
    events.iter().rev().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_change_is_one_event_and_a_repetition_is_none() {
    on_every_store(|test| async move {
        let home = experiment(&test, "events").await;
        let id = run(&test, &home, "r").await;
        let batch = json!({
            "metrics": [{ "key": "m", "value": 1, "timestamp": 1, "step": 0 }, { "key": "m", "value": 2, "timestamp": 2, "step": 1 }],
            "params": [{ "key": "p", "value": "1" }],
        });
        for _ in 0..2 {
            // The second time both points are in the history already: it may append them, it must not double them.
            log(&test, &id, batch.clone()).await;
        }
        for (path, body) in [
            ("set-tag", json!({ "run_id": id, "key": "t", "value": "1" })),
            ("set-tag", json!({ "run_id": id, "key": "t", "value": "1" })),
            ("log-parameter", json!({ "run_id": id, "key": "p", "value": "1" })),
            ("update", json!({ "run_id": id, "status": "FINISHED", "end_time": 9 })),
            ("update", json!({ "run_id": id, "status": "FINISHED", "end_time": 9 })),
            ("delete", json!({ "run_id": id })),
            ("delete", json!({ "run_id": id })),
            ("restore", json!({ "run_id": id })),
            ("delete-tag", json!({ "run_id": id, "key": "t" })),
        ] {
            ok(&test.post(&format!("{M}/runs/{path}"), body).await);
        }
        let mut events = events_of(&test, &id).await;
        events.dedup();
        assert_eq!(
            events,
            [
                "run.create",
                "run.log",
                "run_tag.set",
                "run.update",
                "run.delete",
                "run.restore",
                "run_tag.delete"
            ]
        );
        let history = test.get(&format!("{M}/metrics/get-history?run_id={id}&metric_key=m")).await;
        assert_eq!(ok(&history)["metrics"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn nothing_of_a_refused_batch_is_stored() {
    on_every_store(|test| async move {
        let home = experiment(&test, "refused").await;
        let id = run(&test, &home, "r").await;
        log(&test, &id, json!({ "params": [{ "key": "p", "value": "1" }] })).await;
        let before = ok(&test.get(&format!("{M}/runs/get?run_id={id}")).await).clone();
        for (batch, part) in [
            (json!({ "params": [{ "key": "q", "value": "1" }, { "key": "p", "value": "2" }] }), "'p'"),
            (json!({ "metrics": [{ "key": "m", "value": 1, "timestamp": -1 }] }), "metrics[0].timestamp"),
            (json!({ "metrics": [{ "key": "m", "timestamp": 1 }] }), "metrics[0].value"),
            (json!({ "metrics": [{ "key": "m", "value": 1 }] }), "metrics[0].timestamp"),
            (json!({ "metrics": [{ "key": "m", "value": "x", "timestamp": 1 }] }), "metrics[0].value"),
            (
                json!({ "metrics": [{ "key": "m", "value": 1, "timestamp": 1, "step": 1.5 }] }),
                "metrics[0].step",
            ),
            (json!({ "tags": [{ "key": "a//b", "value": "1" }] }), "tags[0].key"),
            (json!({ "tags": "x" }), "tags"),
        ] {
            let mut body = batch;
            body["run_id"] = json!(id);
            let answer = test.post(&format!("{M}/runs/log-batch"), body).await;
            assert_eq!((answer.status, answer.error_code()), (400, "INVALID_PARAMETER_VALUE"), "{answer:?}");
            assert!(answer.json["message"].as_str().unwrap().contains(part), "{part}: {answer:?}");
        }
        assert_eq!(*ok(&test.get(&format!("{M}/runs/get?run_id={id}")).await), before);
    });
}

const TABLE: &str = "prod.risk.features";

async fn warning(test: &TestApp, run: &str) -> Option<String> {
    let got = test.get(&format!("{M}/runs/get?run_id={run}")).await;
    let tags = ok(&got)["run"]["data"]["tags"].as_array().unwrap().clone();
    let found = tags.iter().find(|tag| tag["key"] == "strongback.warning.feature_store_table");
    found.map(|tag| tag["value"].as_str().unwrap().to_owned())
}

/// How many runs are known to have read the table.
async fn readers(test: &TestApp) -> i64 {
    let answer = test.get(&format!("/api/1.0/lineage?name={TABLE}&direction=down")).await;
    let edges = ok(&answer)["edges"].as_array().unwrap();
    edges.iter().map(|edge| edge["count"].as_i64().unwrap()).sum()
}

#[test]
fn a_table_tag_becomes_lineage_or_a_warning_however_it_is_set() {
    on_every_store(|test| async move {
        let home = experiment(&test, "lineage").await;
        let tag = json!({ "key": "feature_store_table", "value": TABLE });
        let set = |id: &str| {
            let mut body = tag.clone();
            body["run_id"] = json!(id);
            body
        };
        let (first, second) = (run(&test, &home, "a").await, run(&test, &home, "b").await);
        ok(&test.post(&format!("{M}/runs/set-tag"), set(&first)).await);
        log(&test, &second, json!({ "tags": [tag] })).await;
        let started =
            test.post(&format!("{M}/runs/create"), json!({ "experiment_id": home, "tags": [tag] })).await;
        let third = ok(&started)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        for id in [&first, &second, &third] {
            assert!(warning(&test, id).await.unwrap().contains(TABLE));
        }

        prod_risk(&test).await;
        declare(&test, TABLE).await;
        assert_eq!(readers(&test).await, 0);
        // As the warning says: the same value once more, one by one and in a batch.
        ok(&test.post(&format!("{M}/runs/set-tag"), set(&first)).await);
        log(&test, &second, json!({ "tags": [tag] })).await;
        let started =
            test.post(&format!("{M}/runs/create"), json!({ "experiment_id": home, "tags": [tag] })).await;
        let fourth = ok(&started)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        for id in [&first, &second, &fourth] {
            assert_eq!(warning(&test, id).await, None);
        }
        assert_eq!(readers(&test).await, 3);
        let before = events_of(&test, &first).await;
        ok(&test.post(&format!("{M}/runs/set-tag"), set(&first)).await);
        assert_eq!(events_of(&test, &first).await, before, "nothing is new");

        // The warning goes with the tag that it is about.
        let body = json!({ "run_id": third, "key": "feature_store_table" });
        ok(&test.post(&format!("{M}/runs/delete-tag"), body).await);
        assert_eq!(warning(&test, &third).await, None);
        let wrong = json!({ "run_id": third, "key": "feature_store_table", "value": "two.parts" });
        ok(&test.post(&format!("{M}/runs/set-tag"), wrong).await);
        assert!(warning(&test, &third).await.unwrap().contains("three levels"));
    });
}

#[test]
fn what_is_not_part_of_the_product_says_so() {
    on_every_store(|test| async move {
        for path in
            ["/api/3.0/mlflow/traces/search", "/api/2.0/mlflow/traces", "/api/3.0/mlflow/scorers/list"]
        {
            let answer = test.post(path, json!({})).await;
            assert_eq!((answer.status, answer.error_code()), (501, "NOT_IMPLEMENTED"), "{path}");
        }
    });
}

async fn name_of(test: &TestApp, run: &str) -> String {
    let got = test.get(&format!("{M}/runs/get?run_id={run}")).await;
    let got = ok(&got)["run"].clone();
    let tags = got["data"]["tags"].as_array().unwrap();
    let tag = tags.iter().find(|tag| tag["key"] == "mlflow.runName").unwrap();
    assert_eq!(tag["value"], got["info"]["run_name"]);
    got["info"]["run_name"].as_str().unwrap().to_owned()
}

#[test]
fn a_run_keeps_its_name() {
    on_every_store(|test| async move {
        let home = experiment(&test, "named").await;
        let id = run(&test, &home, "first").await;
        let key = "mlflow.runName";
        ok(&test.post(&format!("{M}/runs/set-tag"), json!({ "run_id": id, "key": key, "value": "" })).await);
        log(&test, &id, json!({ "tags": [{ "key": key, "value": "" }, { "key": "other", "value": "" }] }))
            .await;
        ok(&test.post(&format!("{M}/runs/update"), json!({ "run_id": id, "run_name": "" })).await);
        assert_eq!(name_of(&test, &id).await, "first");
        // It goes with its tag alone.
        ok(&test.post(&format!("{M}/runs/delete-tag"), json!({ "run_id": id, "key": key })).await);
        let got = test.get(&format!("{M}/runs/get?run_id={id}")).await;
        assert_eq!(ok(&got)["run"]["info"]["run_name"].as_str().unwrap_or_default(), "");
        let renamed = json!({ "run_id": id, "key": key, "value": "second" });
        ok(&test.post(&format!("{M}/runs/set-tag"), renamed).await);
        assert_eq!(name_of(&test, &id).await, "second");
        assert_eq!(events_of(&test, &id).await, ["run.create", "run.log", "run_tag.delete", "run_tag.set"]);
    });
}

#[test]
fn the_models_that_older_clients_note_are_bounded() {
    on_every_store(|test| async move {
        let home = experiment(&test, "noted").await;
        let id = run(&test, &home, "r").await;
        let note = async |name: String, size: usize| {
            let model = json!({
                "run_id": id, "artifact_path": name, "flavors": { "x": "x".repeat(size) }, "utc_time_created": "now",
            });
            let body = json!({ "run_id": id, "model_json": model.to_string() });
            test.post(&format!("{M}/runs/log-model"), body).await
        };
        let refused = |answer: &crate::support::Answer| {
            assert_eq!((answer.status, answer.error_code()), (400, "INVALID_PARAMETER_VALUE"), "{answer:?}");
            assert!(answer.json["message"].as_str().unwrap().contains("'model_json'"), "{answer:?}");
        };
        refused(&note("large".into(), 300 << 10).await);
        for n in 0..4 {
            ok(&note(format!("m{n}"), 250 << 10).await);
        }
        refused(&note("one too many".into(), 250 << 10).await);
        // What is there already is no more than there was.
        ok(&note("m0".into(), 250 << 10).await);
    });
}

#[test]
fn null_is_the_same_as_absent() {
    on_every_store(|test| async move {
        let made = json!({ "name": "null", "tags": null });
        let made = test.post(&format!("{M}/experiments/create"), made).await;
        let home = ok(&made)["experiment_id"].as_str().unwrap().to_owned();
        let run =
            test.post(&format!("{M}/runs/create"), json!({ "experiment_id": home, "tags": null })).await;
        let id = ok(&run)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        log(&test, &id, json!({ "metrics": null, "params": null, "tags": null })).await;
        let source = json!({ "name": "d", "digest": "1", "source_type": "x", "source": "y", "schema": null });
        let inputs =
            json!({ "run_id": id, "datasets": [{ "tags": null, "dataset": source }], "models": null });
        ok(&test.post(&format!("{M}/runs/log-inputs"), inputs).await);
        let search =
            json!({ "experiment_ids": [home], "run_view_type": null, "order_by": null, "filter": null });
        let found = test.post(&format!("{M}/runs/search"), search).await;
        assert_eq!(ok(&found)["runs"].as_array().unwrap().len(), 1);
        for path in ["experiments/search", "experiments/search-datasets"] {
            let body =
                json!({ "view_type": null, "order_by": null, "experiment_ids": [home], "max_results": 5 });
            ok(&test.post(&format!("{M}/{path}"), body).await);
        }
        let model = json!({ "name": "null", "tags": null });
        ok(&test.post(&format!("{M}/registered-models/create"), model).await);
        let model = json!({ "experiment_id": home, "name": "null", "params": null, "tags": null });
        let made = test.post(&format!("{M}/logged-models"), model).await;
        let model = ok(&made)["model"]["info"]["model_id"].as_str().unwrap().to_owned();
        ok(&test.post(&format!("{M}/logged-models/{model}/params"), json!({ "params": null })).await);
        let tags =
            request("PATCH", &format!("{M}/logged-models/{model}/tags"), Some(json!({ "tags": null })));
        ok(&test.send(tags).await);
        let search = json!({ "experiment_ids": [home], "datasets": null, "order_by": null });
        let found = test.post(&format!("{M}/logged-models/search"), search).await;
        assert_eq!(ok(&found)["models"].as_array().unwrap().len(), 1);
        let unity = "/api/2.1/unity-catalog";
        let model =
            json!({ "catalog_name": "main", "schema_name": "default", "name": "null-too", "tags": null });
        ok(&test.post(&format!("{unity}/models"), model).await);
        let version = json!({ "catalog_name": "main", "schema_name": "default", "model_name": "null-too",
            "source": "s3://bucket/x", "tags": null });
        ok(&test.post(&format!("{unity}/models/versions"), version).await);
        let path = format!("{unity}/subentity-tags/FUNCTION/main.default.null-too/1");
        let changes = json!({ "changes": { "add_tags": null, "remove": null } });
        ok(&test.send(request("PATCH", &path, Some(changes))).await);
        // A required one is still missing.
        let refused = test.post(&format!("{M}/runs/outputs"), json!({ "run_id": id, "models": null })).await;
        assert_eq!(refused.status, 400, "{refused:?}");
    });
}

#[test]
fn a_wrong_field_of_a_point_is_named() {
    on_every_store(|test| async move {
        let home = experiment(&test, "wrong").await;
        let id = run(&test, &home, "r").await;
        let point =
            json!({ "run_id": id, "key": "m", "value": 1, "timestamp": 1, "step": 1, "model_id": null });
        let path = format!("{M}/runs/log-metric");
        ok(&test.post(&path, point.clone()).await);
        for (field, value) in [("value", "x"), ("timestamp", "later"), ("step", "next")] {
            let mut wrong = point.clone();
            wrong[field] = json!(value);
            let answer = test.post(&path, wrong).await;
            assert_eq!(answer.status, 400);
            let message = answer.json["message"].as_str().unwrap();
            let start = format!("Invalid value \"{value}\" for parameter '{field}' supplied");
            assert!(message.starts_with(&start), "{message}");
        }
    });
}

/// Clients say when a run began and ended, and when a point was measured; whatever it is, what shows runs goes on.
#[test]
fn times_at_the_ends_of_64_bits_break_nothing() {
    on_every_store(|test| async move {
        let home = experiment(&test, "times").await;
        let ends = [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX];
        let (mut first, mut last) = (String::new(), String::new());
        for start in ends {
            let body = json!({ "experiment_id": home, "start_time": start });
            let made = test.post(&format!("{M}/runs/create"), body).await;
            ok(&made)["run"]["info"]["run_id"].as_str().unwrap().clone_into(&mut last);
            if first.is_empty() {
                first.clone_from(&last);
            }
            let points: Vec<_> = ends
                .iter()
                .map(|at| json!({ "key": "loss", "value": 0.5, "timestamp": (*at).max(0), "step": at }))
                .collect();
            log(&test, &last, json!({ "metrics": points })).await;
            for end in ends {
                let body = json!({ "run_id": last, "status": "FINISHED", "end_time": end });
                ok(&test.post(&format!("{M}/runs/update"), body).await);
                assert_eq!(test.get("/").await.status, 200, "from {start} to {end}");
            }
        }
        strongback::tracking::catch_up(&test.app).await.unwrap();
        for order in ["start_time", "attributes.end_time DESC", "metrics.loss"] {
            let body = json!({
                "experiment_ids": [home], "order_by": [order], "filter": format!("start_time <= {}", i64::MAX),
            });
            let found = test.post(&format!("{M}/runs/search"), body).await;
            assert_eq!(ok(&found)["runs"].as_array().unwrap().len(), ends.len(), "{order}");
        }
        for path in [
            "/api/1.0/overview".to_owned(),
            format!("/api/1.0/runs/compare?run_id={first}&run_id={last}"),
            format!("{M}/metrics/get-history?run_id={last}&metric_key=loss"),
            format!("{M}/metrics/get-history-bulk-interval?run_ids={last}&metric_key=loss&max_results=3"),
        ] {
            let answer = test.get(&path).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
    });
}
