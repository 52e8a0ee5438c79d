//! Experiments: what an answer looks like, and how deleting one reaches its runs.

use serde_json::json;

use super::{M, experiment, run, settled};
use crate::support::{TestApp, ok, on_every_store};

#[test]
fn an_experiment_as_clients_get_it() {
    on_every_store(|test| async move {
        let body = json!({ "name": "/Shared/Fraud v3", "tags": [{ "key": "team", "value": "risk" }] });
        let made = test.post(&format!("{M}/experiments/create"), body).await;
        let id = ok(&made)["experiment_id"].as_str().unwrap().to_owned();
        let got = test.get(&format!("{M}/experiments/get?experiment_id={id}")).await;
        assert_eq!(
            settled(ok(&got)),
            json!({ "experiment": {
                "experiment_id": "[18]",
                "name": "/Shared/Fraud v3",
                "artifact_location": "mlflow-artifacts:/[18]",
                "lifecycle_stage": "active",
                "creation_time": "[now]",
                "last_update_time": "[now]",
                "tags": [{ "key": "team", "value": "risk" }],
            }})
        );
    });
}

#[test]
fn names_that_differ_in_case_are_two_experiments() {
    on_every_store(|test| async move {
        assert_ne!(experiment(&test, "Fraud").await, experiment(&test, "fraud").await);
    });
}

async fn names_in_view(test: &TestApp, experiment: &str, view: &str) -> usize {
    let body = json!({ "experiment_ids": [experiment], "run_view_type": view });
    let found = test.post(&format!("{M}/runs/search"), body).await;
    ok(&found)["runs"].as_array().map_or(0, Vec::len)
}

#[test]
fn runs_follow_their_experiment_in_and_out_of_deletion() {
    on_every_store(|test| async move {
        let id = experiment(&test, "gone").await;
        run(&test, &id, "kept").await;
        let single = run(&test, &id, "deleted by itself").await;
        ok(&test.post(&format!("{M}/runs/delete"), json!({ "run_id": single })).await);
        // Before and after indexing: the index says what the documents say.
        for _ in 0..2 {
            assert_eq!(names_in_view(&test, &id, "ACTIVE_ONLY").await, 1);
            strongback::tracking::catch_up(&test.app).await.unwrap();
        }
        ok(&test.post(&format!("{M}/experiments/delete"), json!({ "experiment_id": id })).await);
        for _ in 0..2 {
            assert_eq!(names_in_view(&test, &id, "ACTIVE_ONLY").await, 0);
            assert_eq!(names_in_view(&test, &id, "DELETED_ONLY").await, 2);
            strongback::tracking::catch_up(&test.app).await.unwrap();
        }
        ok(&test.post(&format!("{M}/experiments/restore"), json!({ "experiment_id": id })).await);
        for _ in 0..2 {
            assert_eq!(names_in_view(&test, &id, "ACTIVE_ONLY").await, 1);
            assert_eq!(names_in_view(&test, &id, "DELETED_ONLY").await, 1);
            strongback::tracking::catch_up(&test.app).await.unwrap();
        }
    });
}

#[test]
fn bad_fields_are_named() {
    on_every_store(|test| async move {
        for (body, part) in [
            (json!({}), "name"),
            (json!({ "name": "a\0b" }), "NUL"),
            (json!({ "name": 5 }), "name"),
            (json!({ "name": "a", "artifact_location": "runs:/x" }), "runs:/"),
            (json!({ "name": "a", "artifact_location": "/b/a;b" }), "fragments or params"),
            (json!({ "name": "a", "artifact_location": "http://h/a" }), "The scheme 'http'"),
            (json!({ "name": "a", "artifact_location": "s3://b/%252e%252e/a" }), "artifact_location"),
            (json!({ "name": "a", "tags": [{ "key": "../x", "value": "1" }] }), "tags[0].key"),
            (json!({ "name": "a", "tags": [{ "key": "x", "value": "v".repeat(20_001) }] }), "tags[0].value"),
        ] {
            let answer = test.post(&format!("{M}/experiments/create"), body).await;
            assert_eq!((answer.status, answer.error_code()), (400, "INVALID_PARAMETER_VALUE"), "{answer:?}");
            assert!(answer.json["message"].as_str().unwrap().contains(part), "{part}: {answer:?}");
        }
    });
}

#[test]
fn experiments_are_found_and_ordered_by_their_tags() {
    on_every_store(|test| async move {
        for (name, tags) in [
            ("a", json!([{ "key": "team", "value": "risk" }])),
            ("b", json!([])),
            ("c", json!([{ "key": "team", "value": "fraud" }])),
            ("d", json!([{ "key": "team", "value": "" }])),
        ] {
            let body = json!({ "name": name, "tags": tags });
            ok(&test.post(&format!("{M}/experiments/create"), body).await);
        }
        let found = async |filter: &str, order: &[&str]| {
            let (mut names, mut token) = (Vec::new(), String::new());
            loop {
                let filter = format!("name != 'Default' AND {filter}");
                let body =
                    json!({ "filter": filter, "order_by": order, "max_results": 2, "page_token": token });
                let answer = test.post(&format!("{M}/experiments/search"), body).await;
                let page = ok(&answer);
                for experiment in page["experiments"].as_array().into_iter().flatten() {
                    names.push(experiment["name"].as_str().unwrap().to_owned());
                }
                match page["next_page_token"].as_str().filter(|next| !next.is_empty()) {
                    Some(next) => next.clone_into(&mut token),
                    None => return names.join(""),
                }
            }
        };
        for (filter, order, expect) in [
            ("name LIKE '_'", &["tags.team"][..], "dcab"),
            ("name LIKE '_'", &["tags.team DESC", "name"], "acdb"),
            ("name LIKE '_'", &["tag.`other`", "name DESC"], "dcba"),
            ("name IN ('a', 'c')", &["name"], "ac"),
            ("name NOT IN ('a', 'c')", &["name"], "bd"),
            ("tags.team IN ('risk', '')", &["name"], "ad"),
            ("tags.team NOT IN ('risk')", &["name"], "cd"),
            ("name IS NULL", &[], ""),
            ("last_update_time IS NOT NULL AND experiment_id IS NOT NULL", &["name"], "abcd"),
        ] {
            assert_eq!(found(filter, order).await, expect, "{filter} by {order:?}");
        }
    });
}

#[test]
fn an_experiment_that_comes_from_elsewhere_has_no_id_below_zero() {
    on_every_store(|test| async move {
        let item = json!({ "experiment_id": "-7", "name": "odd", "created_time": 1, "updated_time": 1 });
        let body = json!({ "source": "old.db", "experiments": [{ "from": "-7", "digest": "d".repeat(64), "item": item }] });
        let answer = test.post("/api/1.0/exchange/take", body).await;
        assert!(answer.json.to_string().contains("Invalid experiment ID '-7'"), "{}", answer.json);
        let found = test.post(&format!("{M}/experiments/search"), json!({ "max_results": 100 })).await;
        assert_eq!(ok(&found)["experiments"].as_array().map(Vec::len), Some(1), "{}", found.json);
    });
}
