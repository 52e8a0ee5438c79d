//! Signatures: read from a version's own files when it becomes ready, whatever the file looks like.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use super::{GOVERNED, MLFLOW, UNITY, make_model, prod_risk, send};
use crate::support::{TestApp, ok, on_every_store};

const INPUTS: &str = r#"[{"type": "double", "name": "amount", "required": true}]"#;
const NAME: &str = "prod.risk.m";

fn mlmodel() -> String {
    format!(
        "flavors: {{}}\nsignature:\n  inputs: '{INPUTS}'\n  outputs: '[{{\"type\": \"long\"}}]'\n  params: null\n"
    )
}

fn signature() -> Value {
    json!({ "inputs": serde_json::from_str::<Value>(INPUTS).unwrap(), "outputs": [{ "type": "long" }] })
}

async fn upload(test: &TestApp, path: &str, bytes: impl Into<Body>) {
    let request = Request::builder().method("PUT").uri(path).header("host", "localhost:5000");
    let answer = test.send(request.body(bytes.into()).unwrap()).await;
    assert!(answer.status < 300, "{path}: {answer:?}");
}

/// A logged model with this MLmodel file; its id.
async fn log_model(test: &TestApp, mlmodel: impl Into<Body>) -> String {
    let made =
        test.post(&format!("{MLFLOW}/logged-models"), json!({ "experiment_id": "0", "name": "m" })).await;
    let id = ok(&made)["model"]["info"]["model_id"].as_str().unwrap().to_owned();
    let path = format!("/api/2.0/mlflow-artifacts/artifacts/0/models/{id}/artifacts/MLmodel");
    upload(test, &path, mlmodel).await;
    id
}

/// Registers a governed version with this MLmodel file, as the client does; its number.
async fn register(test: &TestApp, mlmodel: impl Into<Body>) -> String {
    let body = json!({ "name": NAME, "source": "s3://bucket/model" });
    let made = test.post(&format!("{GOVERNED}/model-versions/create"), body).await;
    let number = ok(&made)["model_version"]["version"].as_str().unwrap().to_owned();
    upload(test, &format!("/api/2.0/fs/files/Models/prod/risk/m/{number}/MLmodel"), mlmodel).await;
    let body = json!({ "name": NAME, "version": number });
    ok(&test.post(&format!("{GOVERNED}/model-versions/finalize"), body).await);
    number
}

async fn view(test: &TestApp, name: &str) -> Value {
    ok(&test.get(&format!("/api/1.0/model?name={name}")).await).clone()
}

#[test]
fn it_is_read_when_a_version_becomes_ready() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        for name in ["plain", NAME] {
            make_model(&test, name).await;
        }
        let id = log_model(&test, mlmodel()).await;
        for source in [format!("models:/{id}"), format!("mlflow-artifacts:/0/models/{id}/artifacts")] {
            let body = json!({ "name": "plain", "source": source });
            ok(&test.post(&format!("{MLFLOW}/model-versions/create"), body).await);
        }
        let number = register(&test, mlmodel()).await;
        for name in ["plain/1", "plain/2", &format!("{NAME}/{number}")] {
            assert_eq!(view(&test, name).await["versions"][0]["signature"], signature(), "{name}");
        }
        // A copy has it from the version it is a copy of.
        let body = json!({ "name": "plain", "source": format!("models:/{NAME}/1") });
        ok(&test.post(&format!("{MLFLOW}/model-versions/create"), body).await);
        assert_eq!(view(&test, "models:/plain/3").await["versions"][0]["signature"], signature());
        // Through Unity Catalog's face as well; finalizing twice changes nothing.
        let body =
            json!({ "catalog_name": "prod", "schema_name": "risk", "model_name": "m", "source": "s3://b/c" });
        ok(&test.post(&format!("{UNITY}/models/versions"), body).await);
        upload(&test, "/api/2.0/fs/files/Models/prod/risk/m/2/MLmodel", mlmodel()).await;
        for _ in 0..2 {
            ok(&send(&test, "PATCH", &format!("{UNITY}/models/{NAME}/versions/2/finalize"), json!({})).await);
        }
        assert_eq!(view(&test, &format!("{NAME}/2")).await["versions"][0]["signature"], signature());
    });
}

#[test]
fn an_odd_file_is_no_reason_not_to_register() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, NAME).await;
        let large = "#".repeat(3 << 20);
        for (file, why) in [
            (Body::from("a: 'b"), "not YAML"),
            (Body::from(&b"\xff\xfe"[..]), "not UTF-8"),
            (Body::from("signature: {inputs: words}"), "'signature.inputs'"),
            (Body::from(large), "larger than"),
        ] {
            let number = register(&test, file).await;
            let found = view(&test, &format!("{NAME}/{number}")).await;
            assert_eq!(found["versions"][0]["status"], "READY");
            assert_eq!(found["versions"][0]["signature"], Value::Null);
            let problem = found["versions"][0]["signature_problem"].as_str().unwrap();
            assert!(problem.contains(why), "{problem}");
        }
        // A file without one, and no file at all, are nothing to complain about.
        let number = register(&test, "flavors: {}").await;
        ok(&test
            .post(&format!("{MLFLOW}/model-versions/create"), json!({ "name": NAME, "source": "s3://b/c" }))
            .await);
        for number in [number, "6".to_owned()] {
            let found = view(&test, &format!("{NAME}/{number}")).await;
            assert_eq!(found["versions"][0]["signature"], Value::Null);
            assert_eq!(found["versions"][0]["signature_problem"], Value::Null);
        }
    });
}

#[test]
fn a_model_is_shown_whole_or_by_version() {
    on_every_store(|test| async move {
        make_model(&test, "m").await;
        for _ in 0..3 {
            super::make_version(&test, "m").await;
        }
        for (alias, version) in [("champion", "1"), ("champion", "3"), ("old", "1")] {
            let body = json!({ "name": "m", "alias": alias, "version": version });
            ok(&test.post(&format!("{MLFLOW}/registered-models/alias"), body).await);
        }
        let whole = view(&test, "m").await;
        let numbers = |found: &Value| {
            let versions = found["versions"].as_array().unwrap().iter();
            versions.map(|version| version["version"].as_i64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!((numbers(&whole), &whole["owner"]), (vec![3, 2, 1], &json!("local")));
        assert_eq!(whole["aliases"].as_array().unwrap().len(), 2);
        assert_eq!(whole["aliases"][0]["by"], "local");
        assert_eq!(whole["moves"].as_array().unwrap().len(), 3);
        for (name, version, moves) in [("m@champion", 3, 1), ("models:/m@old", 1, 3), ("m/2", 2, 0)] {
            let found = view(&test, name).await;
            assert_eq!(numbers(&found), [version], "{name}");
            assert_eq!(found["moves"].as_array().unwrap().len(), moves, "{name}: {found}");
        }
        for (name, status) in
            [("m@none", 404), ("none", 404), ("m/9", 404), ("m/x", 400), ("", 400), ("m/1/2", 400)]
        {
            assert_eq!(test.get(&format!("/api/1.0/model?name={name}")).await.status, status, "{name}");
        }
        // A plain name may have an @ in it.
        make_model(&test, "m@champion").await;
        assert_eq!(view(&test, "m@champion").await["name"], "m@champion");
    });
}
