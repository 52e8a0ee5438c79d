//! Logged models: what an answer looks like, and what belongs to whom.

use std::collections::HashSet;

use serde_json::{Value, json};
use strongback::{bind, db};

use super::{M, experiment, log, run, settled};
use crate::support::{TestApp, ok, on_every_store, on_every_store_with, request, token_of};

#[test]
fn a_logged_model_as_clients_get_it() {
    on_every_store(|test| async move {
        let home = experiment(&test, "models").await;
        let id = run(&test, &home, "r").await;
        let body = json!({
            "experiment_id": home, "name": "scorer", "source_run_id": id, "model_type": "classifier",
            "params": [{ "key": "depth", "value": "3" }], "tags": [{ "key": "tier", "value": "gold" }],
        });
        let made = test.post(&format!("{M}/logged-models"), body).await;
        let model = ok(&made)["model"]["info"]["model_id"].as_str().unwrap().to_owned();
        log(
            &test,
            &id,
            json!({ "metrics": [{ "key": "auc", "value": 0.9, "timestamp": 5, "step": 1, "model_id": model, "dataset_name": "d", "dataset_digest": "1" }] }),
        )
        .await;
        let got = test.get(&format!("{M}/logged-models/{model}")).await;
        assert_eq!(
            settled(ok(&got)),
            json!({ "model": {
                "info": {
                    "model_id": "[34]",
                    "experiment_id": "[18]",
                    "name": "scorer",
                    "creation_timestamp_ms": "[now]",
                    "last_updated_timestamp_ms": "[now]",
                    "artifact_uri": "mlflow-artifacts:/[18]/models/[34]/artifacts",
                    "status": "LOGGED_MODEL_PENDING",
                    "model_type": "classifier",
                    "source_run_id": "[32]",
                    "tags": [{ "key": "tier", "value": "gold" }],
                },
                "data": {
                    "params": [{ "key": "depth", "value": "3" }],
                    "metrics": [{
                        "key": "auc", "value": 0.9, "timestamp": 5, "step": 1, "run_id": "[32]", "model_id": "[34]",
                        "dataset_name": "d", "dataset_digest": "1",
                    }],
                },
            }})
        );
    });
}

#[test]
fn a_point_of_an_unknown_model_stores_nothing() {
    on_every_store(|test| async move {
        let home = experiment(&test, "unknown").await;
        let id = run(&test, &home, "r").await;
        let body = json!({
            "run_id": id,
            "metrics": [{ "key": "auc", "value": 0.9, "timestamp": 5, "model_id": format!("m-{}", "0".repeat(32)) }],
        });
        let answer = test.post(&format!("{M}/runs/log-batch"), body).await;
        assert_eq!((answer.status, answer.error_code()), (404, "RESOURCE_DOES_NOT_EXIST"), "{answer:?}");
        let got = test.get(&format!("{M}/runs/get?run_id={id}")).await;
        assert!(ok(&got)["run"]["data"]["metrics"].is_null());
    });
}

/// Makes a logged model of a run and answers its id.
async fn model(test: &TestApp, home: &str, run: &str, name: &str) -> String {
    let body = json!({ "experiment_id": home, "name": name, "source_run_id": run });
    let made = test.post(&format!("{M}/logged-models"), body).await;
    ok(&made)["model"]["info"]["model_id"].as_str().unwrap().to_owned()
}

#[test]
fn nobody_puts_a_model_into_the_run_of_another() {
    on_every_store_with(&[("auth", "tokens")], |test| async move {
        let (ana, bo) = (token_of(&test, "ana", false).await, token_of(&test, "bo", false).await);
        let call = async |token: &str, path: &str, body| {
            let mut request = request("POST", &format!("{M}{path}"), Some(body));
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            test.send(request).await
        };
        let made = call(&ana, "/experiments/create", json!({ "name": "hers" })).await;
        let home = ok(&made)["experiment_id"].as_str().unwrap().to_owned();
        let made = call(&ana, "/runs/create", json!({ "experiment_id": home })).await;
        let run = ok(&made)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        let body = json!({ "experiment_id": home, "name": "model", "source_run_id": run });

        let refused = call(&bo, "/logged-models", body.clone()).await;
        assert_eq!((refused.status, refused.error_code()), (403, "PERMISSION_DENIED"), "{refused:?}");
        ok(&call(&ana, "/logged-models", body).await);
        // Without a run, or of one that is none here, it is nobody's but the maker's.
        for run in ["", "0123456789abcdef0123456789abcdef"] {
            let body = json!({ "experiment_id": home, "name": "model", "source_run_id": run });
            ok(&call(&bo, "/logged-models", body).await);
        }
    });
}

#[test]
fn long_values_are_kept_whole_or_refused() {
    on_every_store(|test| async move {
        let home = experiment(&test, "long").await;
        let id = run(&test, &home, "r").await;
        let model = model(&test, &home, &id, "m").await;
        // The client keeps a JSON list in a tag, which grows with every registration.
        let long = "x".repeat(100_000);
        let tags = json!({ "tags": [{ "key": "mlflow.modelVersions", "value": long }] });
        let path = format!("{M}/logged-models/{model}");
        ok(&test.send(request("PATCH", &format!("{path}/tags"), Some(tags))).await);
        ok(&test.post(&format!("{path}/params"), json!({ "params": [{ "key": "p", "value": long }] })).await);
        let got = test.get(&path).await;
        assert_eq!(ok(&got)["model"]["info"]["tags"][0]["value"], json!(long));
        assert_eq!(got.json["model"]["data"]["params"][0]["value"], json!(long));

        let longer = json!({ "tags": [{ "key": "t", "value": "x".repeat(100_001) }] });
        let refused = test.send(request("PATCH", &format!("{path}/tags"), Some(longer))).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(
            refused.json["message"].as_str().unwrap().contains("'tags[0].value' exceeds the maximum length"),
            "{refused:?}"
        );
    });
}

#[test]
fn a_logged_model_has_a_largest_size() {
    on_every_store(|test| async move {
        let home = experiment(&test, "large").await;
        let id = run(&test, &home, "r").await;
        let model = model(&test, &home, &id, "m").await;
        let batch = |n: usize| {
            let tag = |k: usize| json!({ "key": format!("{n}-{k}"), "value": "x".repeat(100_000) });
            json!({ "tags": (0..80).map(tag).collect::<Vec<_>>() })
        };
        let path = format!("{M}/logged-models/{model}/tags");
        ok(&test.send(request("PATCH", &path, Some(batch(1)))).await);
        let refused = test.send(request("PATCH", &path, Some(batch(2)))).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(
            refused.json["message"].as_str().unwrap().contains("Log large values as artifacts"),
            "{refused:?}"
        );
    });
}

#[test]
fn a_choice_of_data_sets_finds_what_was_measured_on_them() {
    on_every_store(|test| async move {
        let home = experiment(&test, "choice").await;
        let id = run(&test, &home, "r").await;
        let (measured, other) =
            (model(&test, &home, &id, "measured").await, model(&test, &home, &id, "other").await);
        let point = json!({ "key": "acc", "value": 0.9, "timestamp": 5, "step": 1, "model_id": measured,
            "dataset_name": "d", "dataset_digest": "1" });
        let elsewhere = json!({ "key": "acc", "value": 0.9, "timestamp": 5, "step": 1, "model_id": other });
        log(&test, &id, json!({ "metrics": [point, elsewhere] })).await;
        for (name, filter, found) in [
            ("d", "", 1),
            ("nope", "", 0),
            ("d", "name = 'other'", 0),
            ("d", "metrics.acc > 0.1", 1),
            ("d", "metrics.loss > 0.1", 0),
        ] {
            let body =
                json!({ "experiment_ids": [home], "filter": filter, "datasets": [{ "dataset_name": name }] });
            let answer = test.post(&format!("{M}/logged-models/search"), body).await;
            let models = ok(&answer)["models"].as_array().map_or(0, Vec::len);
            assert_eq!(models, found, "{name} {filter}: {answer:?}");
        }
    });
}

#[test]
fn the_newest_metric_of_a_model_is_the_latest_in_time() {
    on_every_store(|test| async move {
        let home = experiment(&test, "latest").await;
        let id = run(&test, &home, "r").await;
        let (a, b) = (model(&test, &home, &id, "a").await, model(&test, &home, &id, "b").await);
        let point = |model: &str, value: f64, timestamp: i64, step: i64| json!({ "key": "z", "value": value, "timestamp": timestamp, "step": step, "model_id": model });
        let points = json!([point(&a, 1.0, 5, 1), point(&a, 9.0, 1, 7), point(&b, 4.0, 3, 3)]);
        log(&test, &id, json!({ "metrics": points })).await;
        let body = json!({ "experiment_ids": [home], "order_by": [{ "field_name": "metrics.z" }] });
        let answer = test.post(&format!("{M}/logged-models/search"), body).await;
        let found = ok(&answer)["models"].as_array().unwrap();
        let names: Vec<_> = found.iter().map(|model| model["info"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "b"]);
    });
}

#[test]
fn a_data_set_is_listed_once_an_experiment_and_context() {
    on_every_store(|test| async move {
        let (one, two) = (experiment(&test, "one").await, experiment(&test, "two").await);
        let data = json!({ "name": "day", "digest": "1", "source_type": "local", "source": "{}" });
        for (home, other) in [(&one, "x"), (&one, "y"), (&two, "x")] {
            let id = run(&test, home, "r").await;
            // Another tag than the context sorts before it, so that equal lines are no neighbours.
            let tags =
                json!([{ "key": "a", "value": other }, { "key": "mlflow.data.context", "value": "train" }]);
            let body = json!({ "run_id": id, "datasets": [{ "dataset": data, "tags": tags }] });
            ok(&test.post(&format!("{M}/runs/log-inputs"), body).await);
        }
        let body = json!({ "experiment_ids": [one, two] });
        let answer = test.post(&format!("{M}/experiments/search-datasets"), body).await;
        let summaries = ok(&answer)["dataset_summaries"].as_array().unwrap();
        let mut homes: Vec<_> =
            summaries.iter().map(|line| line["experiment_id"].as_str().unwrap().to_owned()).collect();
        homes.sort();
        let mut expected = vec![one, two];
        expected.sort();
        assert_eq!(homes, expected, "{answer:?}");
        assert!(summaries.iter().all(|line| line["context"] == "train" && line["name"] == "day"));
    });
}

/// Ids of the models of all pages of a search, and how many each page has.
async fn pages(test: &TestApp, search: Value) -> (Vec<String>, Vec<usize>) {
    let (mut found, mut pages, mut token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let mut body = search.clone();
        body["page_token"] = json!(token);
        let answer = test.post(&format!("{M}/logged-models/search"), body).await;
        let models = ok(&answer)["models"].as_array().cloned().unwrap_or_default();
        pages.push(models.len());
        found.extend(models.iter().map(|model| model["info"]["model_id"].as_str().unwrap().to_owned()));
        match answer.json["next_page_token"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => return (found, pages),
        }
    }
}

static REWRITE: db::Stmt = db::Stmt::new("UPDATE logged_model SET document = $2 WHERE experiment_id = $1");
static HOME: db::Stmt = db::Stmt::new("SELECT experiment_id FROM logged_model WHERE uuid = $1");

#[test]
fn a_damaged_model_keeps_nobody_from_the_others() {
    on_every_store(|test| async move {
        let (bad, good) = (experiment(&test, "bad").await, experiment(&test, "good").await);
        let mut made = Vec::new();
        for home in [&bad, &good] {
            let id = run(&test, home, "r").await;
            made.push(model(&test, home, &id, "m").await);
        }
        let (first, kept) = (made[0].clone(), made[1].clone());
        let spoil = move |tx: &mut db::Sql<'_>| {
            let home: i64 = tx.one(&HOME, bind![&first], |row| row.get(0))?;
            tx.execute(&REWRITE, bind![home, "no document"])
        };
        assert_eq!(test.app.db.derive(spoil).await.unwrap(), 1);
        assert_eq!(pages(&test, json!({ "experiment_ids": [bad, good] })).await.0, [kept]);
    });
}

#[test]
fn a_page_of_models_ends_by_its_bytes_and_pages_join() {
    on_every_store(|test| async move {
        let home = experiment(&test, "pages").await;
        let id = run(&test, &home, "r").await;
        let mut made = Vec::new();
        for n in 0..6 {
            // Ties in what is ordered by.
            let name = ["a", "b"][n % 2];
            made.push((name, model(&test, &home, &id, name).await));
        }
        let first = made[0].1.clone();
        let document = json!({ "tags": { "t": "x".repeat(7 << 20) } }).to_string();
        let enlarge = move |tx: &mut db::Sql<'_>| {
            let home: i64 = tx.one(&HOME, bind![&first], |row| row.get(0))?;
            tx.execute(&REWRITE, bind![home, &document])
        };
        assert_eq!(test.app.db.derive(enlarge).await.unwrap(), 6);
        for (ascending, names) in
            [(true, ["a", "a", "a", "b", "b", "b"]), (false, ["b", "b", "b", "a", "a", "a"])]
        {
            let order = json!([{ "field_name": "name", "ascending": ascending }]);
            let (found, pages) = pages(&test, json!({ "experiment_ids": [home], "order_by": order })).await;
            assert_eq!(pages, [4, 2]);
            let name = |id: &String| made.iter().find(|(_, model)| model == id).unwrap().0;
            assert_eq!(found.iter().map(name).collect::<Vec<_>>(), names);
            let distinct: HashSet<&String> = found.iter().collect();
            assert_eq!(distinct.len(), 6, "nothing is lost or repeated");
        }
    });
}

#[test]
fn models_are_found_and_ordered_by_params_tags_and_what_is_missing() {
    on_every_store(|test| async move {
        let home = experiment(&test, "everything").await;
        let id = run(&test, &home, "r").await;
        let mut made = Vec::new();
        for (name, source, params, tags) in [
            ("a", id.as_str(), json!([{ "key": "depth", "value": "2" }]), json!([])),
            ("b", "", json!([]), json!([{ "key": "tier", "value": "gold" }])),
            (
                "c",
                "",
                json!([{ "key": "depth", "value": "1" }]),
                json!([{ "key": "tier", "value": "bronze" }]),
            ),
        ] {
            let body = json!({ "experiment_id": home, "name": name, "source_run_id": source, "params": params, "tags": tags });
            let answer = test.post(&format!("{M}/logged-models"), body).await;
            made.push((name, ok(&answer)["model"]["info"]["model_id"].as_str().unwrap().to_owned()));
        }
        let point = json!({ "key": "auc", "value": "NaN", "timestamp": 1, "step": 1, "model_id": made[1].1 });
        log(&test, &id, json!({ "metrics": [point] })).await;
        let found = async |filter: &str, field: &str, ascending: bool| {
            let order = json!([{ "field_name": field, "ascending": ascending }, { "field_name": "name" }]);
            let body =
                json!({ "experiment_ids": [home], "filter": filter, "order_by": order, "max_results": 2 });
            let name = |id: &String| made.iter().find(|(_, model)| model == id).unwrap().0;
            pages(&test, body).await.0.iter().map(name).collect::<String>()
        };
        for (filter, expect) in [
            ("name = \"a\"", "a"),
            ("name != \"a\" AND tags.tier = \"gold\"", "b"),
            ("name LIKE \"%\"", "abc"),
            ("source_run_id IS NULL", "bc"),
            ("source_run_id IS NOT NULL", "a"),
            ("model_type IS NULL AND status_message IS NULL", "abc"),
            ("params.depth IS NULL", "b"),
            ("tags.tier IS NOT NULL", "bc"),
            ("metrics.auc IS NULL", "ac"),
            ("metrics.auc IS NOT NULL", "b"),
            ("creation_timestamp IS NULL OR name IS NULL", ""),
        ] {
            assert_eq!(found(filter, "name", true).await, expect, "{filter}");
        }
        for (fields, status) in [(64, 200), (65, 400)] {
            let order = vec![json!({ "field_name": "tags.tier" }); fields];
            let body = json!({ "experiment_ids": [home], "order_by": order });
            let answer = test.post(&format!("{M}/logged-models/search"), body).await;
            assert_eq!(answer.status, status, "{}", answer.json);
            let says = answer.json["message"].as_str().unwrap_or_default();
            assert_eq!(says.contains("'order_by' can hold at most 64"), status == 400, "{says}");
        }
        for (field, ascending, expect) in [
            ("params.depth", true, "cab"),
            ("params.`depth`", false, "acb"),
            ("tags.tier", true, "cba"),
            ("tags.tier", false, "bca"),
            ("metrics.auc", true, "bac"),
            ("attributes.name", false, "cba"),
            ("experiment_id", false, "abc"),
        ] {
            assert_eq!(found("", field, ascending).await, expect, "{field} {ascending}");
        }
    });
}
