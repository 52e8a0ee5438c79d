//! Copies of versions: what they are made of is settled when they are made, whatever happens to names afterwards.

use serde_json::{Value, json};

use super::{GOVERNED, MLFLOW, make_model, prod_risk, send};
use crate::support::{Answer, TestApp, ok, on_every_store};

async fn register(test: &TestApp, name: &str, source: &str) -> Answer {
    let body = json!({ "name": name, "source": source });
    test.post(&format!("{MLFLOW}/model-versions/create"), body).await
}

async fn download_uri(test: &TestApp, name: &str) -> Answer {
    test.get(&format!("{MLFLOW}/model-versions/get-download-uri?name={name}&version=1")).await
}

#[test]
fn a_copy_does_not_follow_a_name_that_was_given_again() {
    on_every_store(|test| async move {
        for (name, source) in
            [("m", "s3://bucket/first"), ("copy", "models:/m/1"), ("second", "models:/copy/1")]
        {
            make_model(&test, name).await;
            ok(&register(&test, name, source).await);
        }
        let rename = json!({ "name": "m", "new_name": "old" });
        ok(&test.post(&format!("{MLFLOW}/registered-models/rename"), rename).await);
        make_model(&test, "m").await;
        ok(&register(&test, "m", "s3://bucket/other").await);
        for name in ["copy", "second"] {
            assert_eq!(ok(&download_uri(&test, name).await)["artifact_uri"], "s3://bucket/first", "{name}");
        }
        // Nor is it lost with what it was copied from.
        ok(&send(&test, "DELETE", &format!("{MLFLOW}/registered-models/delete"), json!({ "name": "old" }))
            .await);
        assert_eq!(ok(&download_uri(&test, "second").await)["artifact_uri"], "s3://bucket/first");
    });
}

#[test]
fn what_cannot_be_copied_is_said() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, "prod.risk.m").await;
        make_model(&test, "copy").await;
        let body = json!({ "name": "prod.risk.m", "source": "s3://bucket/model" });
        ok(&test.post(&format!("{GOVERNED}/model-versions/create"), body).await);
        for (source, words) in [
            ("models:/prod.risk.m/1", "finalize it"),
            ("models:/prod.risk.m@champion", "champion not found"),
            ("/Models/prod/risk/m/1/data", "Name the version itself"),
            ("dummy-source", "addresses nothing"),
        ] {
            let refused = register(&test, "copy", source).await;
            assert_eq!(refused.error_code(), "INVALID_PARAMETER_VALUE", "{source}: {refused:?}");
            assert!(refused.json["message"].as_str().unwrap().contains(words), "{source}: {refused:?}");
        }
        ok(&test
            .post(
                &format!("{GOVERNED}/model-versions/finalize"),
                json!({ "name": "prod.risk.m", "version": "1" }),
            )
            .await);
        ok(&register(&test, "copy", "/Models/prod/risk/m/1").await);
        // A prompt's source is a word.
        let tags = json!([{ "key": "mlflow.prompt.is_prompt", "value": "true" }]);
        let body = json!({ "name": "copy", "source": "dummy-source", "tags": tags });
        ok(&test.post(&format!("{MLFLOW}/model-versions/create"), body).await);
    });
}

#[test]
fn a_client_uploads_from_its_own_disk_and_others_do_not_read_there() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, "prod.risk.m").await;
        let body = json!({ "name": "prod.risk.m", "source": "/home/ana/model" });
        let plain = test.post(&format!("{MLFLOW}/model-versions/create"), body.clone()).await;
        assert_eq!(plain.status, 400, "{plain:?}");
        let made = test.post(&format!("{GOVERNED}/model-versions/create"), body).await;
        assert_eq!(ok(&made)["model_version"]["source"], "/home/ana/model");
        assert_eq!(made.json["model_version"]["model_id"], Value::Null);
        // Where it was on that disk is a note: the files are in the registry.
        let address = download_uri(&test, "prod.risk.m").await;
        let address = ok(&address)["artifact_uri"].as_str().unwrap();
        assert!(address.starts_with("mlflow-artifacts:/versions/"), "{address}");
    });
}

/// A run of the default experiment that read this data set.
async fn run_reading(test: &TestApp, dataset: &str) -> String {
    let body = json!({ "experiment_id": "0", "start_time": 1 });
    let made = test.post(&format!("{MLFLOW}/runs/create"), body).await;
    let run = ok(&made)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let dataset = json!({ "name": dataset, "digest": "d", "source_type": "http", "source": dataset });
    let body = json!({ "run_id": run, "datasets": [{ "tags": [], "dataset": dataset }] });
    ok(&test.post(&format!("{MLFLOW}/runs/log-inputs"), body).await);
    run
}

/// What lineage names in one direction, and how often each copying was seen.
async fn lineage(test: &TestApp, name: &str, direction: &str) -> (Vec<String>, Vec<i64>) {
    let answer = test.get(&format!("/api/1.0/lineage?name={name}&direction={direction}")).await;
    assert_eq!(ok(&answer)["is_cut"], false);
    let nodes = answer.json["nodes"].as_array().unwrap();
    let mut names: Vec<String> = nodes.iter().map(|node| node["name"].as_str().unwrap().to_owned()).collect();
    names.retain(|name| name != "Default");
    names.sort();
    let edges = answer.json["edges"].as_array().unwrap();
    let copies = edges.iter().filter(|edge| edge["kind"] == "copies");
    (names, copies.map(|edge| edge["count"].as_i64().unwrap()).collect())
}

/// Two runs make two versions of `dev`; each goes on into `prod`, and from there into `live` or `shadow`.
#[test]
fn lineage_follows_the_version_that_was_copied() {
    on_every_store(|test| async move {
        for name in ["dev", "prod", "live", "shadow"] {
            make_model(&test, name).await;
        }
        for dataset in ["clean", "dirty"] {
            let run = run_reading(&test, dataset).await;
            let body = json!({ "name": "dev", "source": "s3://bucket/m", "run_id": run });
            ok(&test.post(&format!("{MLFLOW}/model-versions/create"), body).await);
        }
        for (name, source) in [
            ("prod", "models:/dev/1"),
            ("live", "models:/prod/1"),
            ("prod", "models:/dev/2"),
            ("shadow", "models:/prod/2"),
            ("prod", "models:/dev/1"),
        ] {
            ok(&register(&test, name, source).await);
        }
        for (name, direction, names, copies) in [
            ("models:/prod/1", "up", &["clean", "dev", "prod"][..], &[1][..]),
            ("models:/prod/2", "up", &["dev", "dirty", "prod"], &[1]),
            ("models:/live/1", "up", &["clean", "dev", "live", "prod"], &[1, 1]),
            ("models:/shadow/1", "up", &["dev", "dirty", "prod", "shadow"], &[1, 1]),
            ("models:/dev/1", "down", &["dev", "live", "prod"], &[2, 1]),
            ("models:/dev/2", "down", &["dev", "prod", "shadow"], &[1, 1]),
            // A model that was asked about as a whole has only what its own versions were made of.
            ("live", "up", &["clean", "dev", "live", "prod"], &[1, 1]),
            ("prod", "up", &["clean", "dev", "dirty", "prod"], &[3]),
            ("dev", "down", &["dev", "live", "prod", "shadow"], &[3, 1, 1]),
        ] {
            assert_eq!(
                lineage(&test, name, direction).await,
                (names.iter().map(|name| (*name).to_owned()).collect(), copies.to_vec()),
                "{name} {direction}"
            );
        }
    });
}

#[test]
fn lineage_of_a_run_goes_down_to_copies_of_its_own_version() {
    on_every_store(|test| async move {
        for name in ["dev", "prod", "live"] {
            make_model(&test, name).await;
        }
        let mut runs = Vec::new();
        for dataset in ["clean", "dirty"] {
            let run = run_reading(&test, dataset).await;
            let body = json!({ "name": "dev", "source": "s3://bucket/m", "run_id": run });
            ok(&test.post(&format!("{MLFLOW}/model-versions/create"), body).await);
            runs.push(run);
        }
        ok(&register(&test, "prod", "models:/dev/1").await);
        ok(&register(&test, "live", "models:/dev/2").await);
        for (run, names) in [(&runs[0], ["dev", "prod"]), (&runs[1], ["dev", "live"])] {
            assert_eq!(lineage(&test, &format!("runs:/{run}"), "down").await.0, names);
        }
    });
}

/// Versions that go back and forth between two models share their edges: each way is counted.
#[test]
fn lineage_passes_an_edge_as_often_as_versions_do() {
    on_every_store(|test| async move {
        for name in ["dev", "prod"] {
            make_model(&test, name).await;
        }
        for (name, source) in [
            ("dev", "s3://bucket/first"),
            ("prod", "models:/dev/1"),
            ("dev", "models:/prod/1"),
            ("prod", "models:/dev/2"),
            ("dev", "s3://bucket/other"),
            ("prod", "models:/dev/3"),
        ] {
            ok(&register(&test, name, source).await);
        }
        let both = vec!["dev".to_owned(), "prod".to_owned()];
        for (name, direction, copies) in [
            ("models:/prod/2", "up", &[2, 1][..]),
            ("models:/dev/1", "down", &[2, 1]),
            ("models:/prod/3", "up", &[1]),
            ("models:/dev/2", "both", &[1, 2]),
        ] {
            assert_eq!(lineage(&test, name, direction).await, (both.clone(), copies.to_vec()), "{name}");
        }
    });
}
