//! Where versions come from: what is derived from the source, and what is refused.

use serde_json::{Value, json};

use super::{GOVERNED, MLFLOW, UNITY, make_model, prod_risk};
use crate::support::{Answer, TestApp, ok, on_every_store, request};

async fn make_run(test: &TestApp) -> Value {
    let made = test.post(&format!("{MLFLOW}/runs/create"), json!({ "experiment_id": "0" })).await;
    ok(&made)["run"]["info"].clone()
}

async fn make_logged_model(test: &TestApp, run: &Value) -> Value {
    let body = json!({ "experiment_id": "0", "name": "m", "source_run_id": run["run_id"],
        "params": [{ "key": "C", "value": "1" }] });
    let made = test.post(&format!("{MLFLOW}/logged-models"), body).await;
    ok(&made)["model"]["info"].clone()
}

async fn register(test: &TestApp, face: &str, body: Value) -> Answer {
    test.post(&format!("{face}/model-versions/create"), body).await
}

async fn download_uri(test: &TestApp, name: &str, version: &str) -> String {
    let path = format!("{MLFLOW}/model-versions/get-download-uri?name={name}&version={version}");
    ok(&test.get(&path).await)["artifact_uri"].as_str().unwrap().to_owned()
}

#[test]
fn run_and_logged_model_are_read_from_the_source() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, "prod.risk.m").await;
        let run = make_run(&test).await;
        let logged = make_logged_model(&test, &run).await;
        let root = logged["artifact_uri"].as_str().unwrap();
        let by_id = format!("models:/{}", logged["model_id"].as_str().unwrap());
        for (number, source) in [("1", by_id.as_str()), ("2", root)] {
            let made = register(&test, GOVERNED, json!({ "name": "prod.risk.m", "source": source })).await;
            let version = &ok(&made)["model_version"];
            assert_eq!((&version["run_id"], &version["model_id"]), (&run["run_id"], &logged["model_id"]));
            assert_eq!((&version["source"], &version["run_experiment_id"]), (&json!(source), &json!("0")));
            assert_eq!(version["storage_location"], format!("/Models/prod/risk/m/{number}"));
            assert_eq!(version["model_params"], json!([{ "name": "C", "value": "1" }]));
            let address = download_uri(&test, "prod.risk.m", number).await;
            assert!(
                address.starts_with("mlflow-artifacts:/versions/") && address.ends_with(number),
                "{address}"
            );
        }
    });
}

#[test]
fn a_copy_inherits_and_its_source_stays_a_version() {
    on_every_store(|test| async move {
        for name in ["m", "copy"] {
            make_model(&test, name).await;
        }
        let run = make_run(&test).await;
        let logged = make_logged_model(&test, &run).await;
        let source = format!("models:/{}", logged["model_id"].as_str().unwrap());
        ok(&register(&test, MLFLOW, json!({ "name": "m", "source": source })).await);
        let body = json!({ "name": "m", "alias": "champion", "version": "1" });
        ok(&test.post(&format!("{MLFLOW}/registered-models/alias"), body).await);
        let body = json!({ "name": "copy", "source": "models:/m@champion", "run_link": "" });
        let made = register(&test, MLFLOW, body).await;
        // The alias may move on; what the copy was made of does not.
        assert_eq!(ok(&made)["model_version"]["source"], "models:/m/1");
        assert_eq!(made.json["model_version"]["run_id"], run["run_id"]);
        // Its files are its own, as those of what it is a copy of are.
        assert_ne!(download_uri(&test, "copy", "1").await, download_uri(&test, "m", "1").await);
        let lineage = test.get("/api/1.0/lineage?name=copy&direction=up").await;
        assert!(ok(&lineage).to_string().contains("copies"), "{lineage:?}");
    });
}

#[test]
fn what_the_client_adds_must_agree_with_the_source() {
    on_every_store(|test| async move {
        make_model(&test, "m").await;
        let (run, other) = (make_run(&test).await, make_run(&test).await);
        let (logged, second) = (make_logged_model(&test, &run).await, make_logged_model(&test, &run).await);
        let below = format!("{}/model", run["artifact_uri"].as_str().unwrap());
        let relative = format!("runs:/{}/model", run["run_id"].as_str().unwrap());
        let by_id = format!("models:/{}", logged["model_id"].as_str().unwrap());
        let nobody = format!("m-{}", "0".repeat(32));
        for (source, run_id, model_id, status) in [
            (below.as_str(), &run["run_id"], None, 200),
            (&below, &other["run_id"], None, 400),
            (&relative, &other["run_id"], None, 400),
            (&by_id, &Value::Null, Some(&logged["model_id"]), 200),
            (&by_id, &Value::Null, Some(&second["model_id"]), 400),
            ("s3://bucket/x", &Value::Null, Some(&json!(nobody)), 404),
            ("/etc/passwd", &run["run_id"], None, 400),
            ("file:///etc", &run["run_id"], None, 400),
            ("mlflow-artifacts:/0/../x", &run["run_id"], None, 400),
            ("https://example.com/x", &Value::Null, None, 400),
            ("models:/nothing/1", &Value::Null, None, 404),
            ("models:/m/99", &Value::Null, None, 404),
        ] {
            let body = json!({ "name": "m", "source": source, "run_id": run_id, "model_id": model_id });
            let answer = register(&test, MLFLOW, body).await;
            assert_eq!(answer.status, status, "{source}: {answer:?}");
        }
    });
}

#[test]
fn a_place_on_the_disk_is_that_of_the_run_or_the_logged_model_that_is_named() {
    on_every_store(|test| async move {
        make_model(&test, "m").await;
        let body = json!({ "name": "elsewhere", "artifact_location": "file:///srv/shared/elsewhere" });
        let made = test.post(&format!("{MLFLOW}/experiments/create"), body).await;
        let experiment = &ok(&made)["experiment_id"];
        let made = test.post(&format!("{MLFLOW}/runs/create"), json!({ "experiment_id": experiment })).await;
        let run = ok(&made)["run"]["info"].clone();
        let mut logged = Vec::new();
        for name in ["first", "second"] {
            let body = json!({ "experiment_id": experiment, "name": name, "source_run_id": run["run_id"] });
            logged.push(
                ok(&test.post(&format!("{MLFLOW}/logged-models"), body).await)["model"]["info"].clone(),
            );
        }
        let of_run = format!("{}/model", run["artifact_uri"].as_str().unwrap());
        let of_model = logged[0]["artifact_uri"].as_str().unwrap();
        assert!(of_run.starts_with("file:") && of_model.starts_with("file:"), "{of_run} {of_model}");
        let (below, beside) = (format!("{of_model}/data"), format!("{of_model}-2"));
        let none = &Value::Null;
        for (source, run_id, model_id, refused) in [
            (of_model, none, &logged[0]["model_id"], None),
            (&below, none, &logged[0]["model_id"], None),
            (of_model, &run["run_id"], &logged[0]["model_id"], None),
            (&of_run, &run["run_id"], none, None),
            (&of_run, &run["run_id"], &logged[0]["model_id"], None),
            (of_model, none, &logged[1]["model_id"], Some("specified by the model_id")),
            (&beside, none, &logged[0]["model_id"], Some("specified by the model_id")),
            ("file:///srv/shared/elsewhere", none, &logged[0]["model_id"], Some("specified by the model_id")),
            ("file:///etc/passwd", none, &logged[0]["model_id"], Some("specified by the model_id")),
            (of_model, none, none, Some("specified by the run_id")),
            (of_model, &run["run_id"], none, Some("specified by the run_id")),
        ] {
            let body = json!({ "name": "m", "source": source, "run_id": run_id, "model_id": model_id });
            let answer = register(&test, MLFLOW, body).await;
            let Some(why) = refused else {
                let made = &ok(&answer)["model_version"];
                assert_eq!(made["run_id"], run["run_id"], "{source}");
                let number = made["version"].as_str().unwrap();
                // MLflow's own form of a version does not tell the logged model.
                let told = test.get(&format!("/api/1.0/model?name=m/{number}")).await;
                let version = &ok(&told)["versions"][0];
                let of = (&version["run_id"], &version["model_id"]);
                assert_eq!(of, (&run["run_id"], model_id), "{source}");
                continue;
            };
            assert_eq!((answer.status, answer.error_code()), (400, "INVALID_PARAMETER_VALUE"), "{source}");
            assert!(answer.json["message"].as_str().unwrap().contains(why), "{answer:?}");
        }
        // Another run than the model's, a model that is nowhere, and one that was deleted.
        let other = make_run(&test).await;
        let gone = &logged[1]["model_id"];
        let path = format!("{MLFLOW}/logged-models/{}", gone.as_str().unwrap());
        ok(&test.send(request("DELETE", &path, None)).await);
        let nobody = json!(format!("m-{}", "0".repeat(32)));
        for (source, run_id, model_id, status) in [
            (of_model, &other["run_id"], &logged[0]["model_id"], 400),
            (of_model, none, &nobody, 404),
            (logged[1]["artifact_uri"].as_str().unwrap(), none, gone, 404),
        ] {
            let body = json!({ "name": "m", "source": source, "run_id": run_id, "model_id": model_id });
            let answer = register(&test, MLFLOW, body).await;
            assert_eq!(answer.status, status, "{source}: {answer:?}");
        }
    });
}

#[test]
fn a_version_claims_no_other_run_than_that_of_its_source() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        for name in ["prod.risk.m", "prod.risk.copy"] {
            make_model(&test, name).await;
        }
        let (run, other) = (make_run(&test).await, make_run(&test).await);
        let (run_id, other_id) = (run["run_id"].as_str().unwrap(), other["run_id"].as_str().unwrap());
        let logged = make_logged_model(&test, &run).await;
        let (model_id, root) = (&logged["model_id"], logged["artifact_uri"].as_str().unwrap());
        let by_id = format!("models:/{}", model_id.as_str().unwrap());
        let nobody = "0".repeat(32);
        ok(&register(&test, MLFLOW, json!({ "name": "prod.risk.m", "source": by_id })).await);
        for (source, model) in [
            (by_id.as_str(), &Value::Null),
            (&by_id, model_id),
            (root, &Value::Null),
            ("s3://bucket/x", model_id),
            ("models:/prod.risk.m/1", &Value::Null),
            (&format!("runs:/{run_id}/model"), &Value::Null),
        ] {
            for face in [MLFLOW, GOVERNED] {
                for claimed in [other_id, &nobody] {
                    let body = json!({ "name": "prod.risk.copy", "source": source, "run_id": claimed, "model_id": model });
                    let refused = register(&test, face, body).await;
                    let answer = (refused.status, refused.error_code());
                    assert_eq!(answer, (400, "INVALID_PARAMETER_VALUE"), "{source}: {refused:?}");
                    let message = refused.json["message"].as_str().unwrap();
                    assert!(message.contains(run_id) && message.contains(claimed), "{message}");
                }
                for claimed in [json!(run_id), Value::Null] {
                    let body = json!({ "name": "prod.risk.copy", "source": source, "run_id": claimed, "model_id": model });
                    let made = register(&test, face, body).await;
                    assert_eq!(ok(&made)["model_version"]["run_id"], run_id, "{source}: {made:?}");
                }
            }
        }
        // A logged model of one run, said beside files of another.
        let body = json!({ "name": "prod.risk.copy", "source": format!("runs:/{other_id}/model"), "model_id": model_id });
        let refused = register(&test, MLFLOW, body).await;
        let message = refused.json["message"].as_str().unwrap_or_default();
        assert!(
            refused.status == 400 && message.contains(run_id) && message.contains(other_id),
            "{refused:?}"
        );
    });
}

#[test]
fn a_logged_model_of_no_run_leaves_the_claim_standing() {
    on_every_store(|test| async move {
        make_model(&test, "m").await;
        let run = make_run(&test).await;
        let made =
            test.post(&format!("{MLFLOW}/logged-models"), json!({ "experiment_id": "0", "name": "m" })).await;
        let source = format!("models:/{}", ok(&made)["model"]["info"]["model_id"].as_str().unwrap());
        let body = json!({ "name": "m", "source": source, "run_id": run["run_id"] });
        let made = register(&test, MLFLOW, body).await;
        assert_eq!(ok(&made)["model_version"]["run_id"], run["run_id"]);
    });
}

#[test]
fn where_files_are_is_told_alike_on_every_face() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, "prod.risk.m").await;
        let body = json!({ "name": "outside", "artifact_location": "s3://bucket/outside" });
        let made = test.post(&format!("{MLFLOW}/experiments/create"), body).await;
        let body = json!({ "experiment_id": ok(&made)["experiment_id"], "name": "m" });
        let made = test.post(&format!("{MLFLOW}/logged-models"), body).await;
        let logged = ok(&made)["model"]["info"].clone();
        let by_id = format!("models:/{}", logged["model_id"].as_str().unwrap());
        for (number, source, expected) in [
            ("1", "s3://bucket/x", "s3://bucket/x"),
            ("2", by_id.as_str(), logged["artifact_uri"].as_str().unwrap()),
        ] {
            ok(&register(&test, MLFLOW, json!({ "name": "prod.risk.m", "source": source })).await);
            let query = format!("name=prod.risk.m&version={number}");
            let get = async |path: String| ok(&test.get(&path).await).clone();
            assert_eq!(download_uri(&test, "prod.risk.m", number).await, expected);
            let told = get(format!("{GOVERNED}/model-versions/get-download-uri?{query}")).await;
            assert_eq!(told["artifact_uri"], expected);
            let told = get(format!("{GOVERNED}/model-versions/get?{query}")).await;
            assert_eq!(told["model_version"]["storage_location"], expected);
            let told = get(format!("{UNITY}/models/prod.risk.m/versions/{number}")).await;
            assert_eq!(told["storage_location"], expected);
            let filter = "filter=name='prod.risk.m'%20and%20version_number";
            let told = get(format!("{GOVERNED}/model-versions/search?{filter}={number}")).await;
            assert_eq!(told["model_versions"][0]["storage_location"], expected);
            let told = get(format!("{UNITY}/models/prod.risk.m/versions")).await;
            let versions = told["model_versions"].as_array().unwrap();
            assert_eq!(versions.last().unwrap()["storage_location"], expected);
        }
    });
}
