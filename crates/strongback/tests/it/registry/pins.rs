//! Pins: a ready version is made of exactly the files that its digest says, on every face, whatever happens to what it
//! was made of.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tower::ServiceExt;

use super::{GOVERNED, MLFLOW, UNITY, make_model, prod_risk, send};
use crate::support::{TestApp, ok, on_every_store};

const PROXY: &str = "/api/2.0/mlflow-artifacts/artifacts";
const NAME: &str = "prod.risk.m";
/// By path, in its order.
const FILES: [(&str, &str); 2] = [("MLmodel", "flavors: {}\n"), ("data/model.pkl", "weights")];

async fn call(test: &TestApp, method: &str, path: &str, bytes: &'static str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path).header("host", "localhost:5000");
    let response = test.router.clone().oneshot(request.body(Body::from(bytes)).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn put_all(test: &TestApp, root: &str) {
    for (path, text) in FILES {
        let (status, body) = call(test, "PUT", &format!("{root}/{path}"), text).await;
        assert!(status < 300, "{root}/{path}: {status} {body}");
    }
}

/// A run with a logged model, both with files: the run's in `model`.
async fn log_model(test: &TestApp) -> (String, String) {
    let made = test.post(&format!("{MLFLOW}/runs/create"), json!({ "experiment_id": "0" })).await;
    let run = ok(&made)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let body = json!({ "experiment_id": "0", "name": "scorer", "source_run_id": run });
    let made = test.post(&format!("{MLFLOW}/logged-models"), body).await;
    let model = ok(&made)["model"]["info"]["model_id"].as_str().unwrap().to_owned();
    put_all(test, &format!("{PROXY}/0/models/{model}/artifacts")).await;
    put_all(test, &format!("{PROXY}/0/{run}/artifacts/model")).await;
    (run, model)
}

/// Registers through MLflow's own face.
async fn register(test: &TestApp, body: Value) -> String {
    let made = test.post(&format!("{MLFLOW}/model-versions/create"), body).await;
    ok(&made)["model_version"]["version"].as_str().unwrap().to_owned()
}

async fn pending(test: &TestApp, source: &str) -> String {
    let body = json!({ "name": NAME, "source": source });
    let made = test.post(&format!("{GOVERNED}/model-versions/create"), body).await;
    ok(&made)["model_version"]["version"].as_str().unwrap().to_owned()
}

async fn finalize(test: &TestApp, number: &str) -> crate::support::Answer {
    let body = json!({ "name": NAME, "version": number });
    test.post(&format!("{GOVERNED}/model-versions/finalize"), body).await
}

async fn view(test: &TestApp, number: &str) -> Value {
    ok(&test.get(&format!("/api/1.0/model?name={NAME}/{number}")).await)["versions"][0].clone()
}

/// The root of a version's files, as the plain client is told and as the proxy takes it.
async fn address(test: &TestApp, number: &str) -> String {
    let path = format!("{MLFLOW}/model-versions/get-download-uri?name={NAME}&version={number}");
    let uri = ok(&test.get(&path).await)["artifact_uri"].as_str().unwrap().to_owned();
    uri.strip_prefix("mlflow-artifacts:/").unwrap_or_else(|| panic!("{uri}")).to_owned()
}

/// The digest of what is given out below an address, in these files.
async fn digest(test: &TestApp, root: &str, files: &[&str]) -> String {
    let mut lines = vec!["strongback files 1\n".to_owned()];
    for path in files {
        let (status, bytes) = call(test, "GET", &format!("{root}/{path}"), "").await;
        assert_eq!(status, 200, "{root}/{path}: {bytes}");
        lines.push(format!("{} {} {path}\n", hex::encode(Sha256::digest(&bytes)), bytes.len()));
    }
    format!("files1:{}", hex::encode(Sha256::digest(lines.concat())))
}

/// Every face gives out the pinned bytes.
async fn check(test: &TestApp, number: &str) {
    let shown = view(test, number).await;
    assert_eq!((&shown["files"]["count"], &shown["files"]["bytes"]), (&json!(2), &json!(19)), "{shown}");
    let names = FILES.map(|(path, _)| path);
    let root = address(test, number).await;
    for root in [format!("/api/2.0/fs/files/Models/prod/risk/m/{number}"), format!("{PROXY}/{root}")] {
        assert_eq!(digest(test, &root, &names).await, shown["files"]["digest"], "{root}");
    }
    for (path, text) in FILES {
        let page = format!("/model-versions/get-artifact?name={NAME}&version={number}&path={path}");
        assert_eq!(call(test, "GET", &page, "").await, (200, text.to_owned()));
    }
    let listed = test.get(&format!("{PROXY}?path={root}")).await;
    let found: Vec<&Value> =
        ok(&listed)["files"].as_array().unwrap().iter().map(|file| &file["path"]).collect();
    assert_eq!(found, ["MLmodel", "data"], "{listed:?}");
    let signed = test.get(&format!("/api/2.0/mlflow-artifacts/presigned/{root}/MLmodel")).await;
    assert_eq!(ok(&signed)["file_size"], 12);
}

#[test]
fn changes_of_what_it_was_made_of_do_not_reach_a_version() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, NAME).await;
        let (run, model) = log_model(&test).await;
        let mut numbers = vec![
            register(&test, json!({ "name": NAME, "source": format!("models:/{model}") })).await,
            // As clients before logged models register.
            register(
                &test,
                json!({ "name": NAME, "source": format!("mlflow-artifacts:/0/{run}/artifacts/model"), "run_id": run }),
            )
            .await,
            register(&test, json!({ "name": NAME, "source": format!("runs:/{run}/model") })).await,
            // The run has no directory of this name: it is what the run called its model.
            register(&test, json!({ "name": NAME, "source": format!("runs:/{run}/scorer") })).await,
        ];
        let of_name = test.get(&format!("{GOVERNED}/model-versions/get?name={NAME}&version=4")).await;
        assert_eq!(ok(&of_name)["model_version"]["model_id"], model);
        let uploaded = pending(&test, &format!("models:/{model}")).await;
        put_all(&test, &format!("/api/2.0/fs/files/Models/prod/risk/m/{uploaded}")).await;
        ok(&finalize(&test, &uploaded).await);
        numbers.push(uploaded);
        numbers.push(register(&test, json!({ "name": NAME, "source": format!("models:/{NAME}/1") })).await);
        let source = format!("mlflow-artifacts:/{}", address(&test, "1").await);
        numbers.push(register(&test, json!({ "name": NAME, "source": source })).await);
        let below = json!({ "name": NAME, "source": format!("{source}/data") });
        assert_eq!(test.post(&format!("{MLFLOW}/model-versions/create"), below).await.status, 400);
        for number in &numbers {
            check(&test, number).await;
        }
        let root = format!("{PROXY}/0/models/{model}/artifacts");
        assert_eq!(call(&test, "PUT", &format!("{root}/data/model.pkl"), "poison!").await.0, 200);
        assert_eq!(call(&test, "PUT", &format!("{root}/new"), "x").await.0, 200);
        for number in &numbers {
            check(&test, number).await;
        }
        for root in [root, format!("{PROXY}/0/{run}/artifacts")] {
            assert_eq!(call(&test, "DELETE", &root, "").await.0, 200);
        }
        let model = format!("{MLFLOW}/logged-models/{model}");
        assert_eq!(send(&test, "DELETE", &model, json!({})).await.status, 200);
        ok(&send(
            &test,
            "DELETE",
            &format!("{MLFLOW}/model-versions/delete"),
            json!({ "name": NAME, "version": "1" }),
        )
        .await);
        for number in &numbers[1..] {
            check(&test, number).await;
        }
    });
}

#[test]
fn nobody_changes_the_files_of_a_version_through_the_proxy() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, NAME).await;
        let (_, model) = log_model(&test).await;
        let number = register(&test, json!({ "name": NAME, "source": format!("models:/{model}") })).await;
        let root = format!("{PROXY}/{}", address(&test, &number).await);
        for (method, path) in [("PUT", "new"), ("PUT", "MLmodel"), ("DELETE", "MLmodel"), ("DELETE", "data")]
        {
            let (status, body) = call(&test, method, &format!("{root}/{path}"), "x").await;
            assert_eq!(status, 409, "{method} {path}: {body}");
            assert!(body.contains("Register a new one"), "{body}");
        }
        let begin = root.replace("/artifacts/versions", "/mpu/create/versions");
        assert_eq!(test.post(&begin, json!({ "path": "/x/new", "num_parts": 1 })).await.status, 409);
        check(&test, &number).await;
        let other = uuid::Uuid::now_v7();
        for nothing in
            [format!("versions/{other}/1/MLmodel"), root[PROXY.len() + 1..].to_owned() + "9/MLmodel"]
        {
            assert_eq!(call(&test, "GET", &format!("{PROXY}/{nothing}"), "").await.0, 404, "{nothing}");
        }
    });
}

#[test]
fn files_elsewhere_are_said_not_to_be_pinned() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, NAME).await;
        let plain = register(&test, json!({ "name": NAME, "source": "s3://bucket/model" })).await;
        let waiting = pending(&test, "s3://bucket/model").await;
        let shown = view(&test, &waiting).await;
        assert_eq!(shown["not_pinned"], "its files are on their way");
        ok(&finalize(&test, &waiting).await);
        for number in [plain, waiting] {
            let shown = view(&test, &number).await;
            assert_eq!(shown["files"], Value::Null);
            assert!(shown["not_pinned"].as_str().unwrap().starts_with("external: "), "{shown}");
            let path = format!("{MLFLOW}/model-versions/get-download-uri?name={NAME}&version={number}");
            assert_eq!(ok(&test.get(&path).await)["artifact_uri"], "s3://bucket/model");
        }
        // A prompt's source is a word, and it has no files.
        let tags = json!([{ "key": "mlflow.prompt.is_prompt", "value": "true" }]);
        let prompt = register(&test, json!({ "name": NAME, "source": "dummy-source", "tags": tags })).await;
        assert_eq!(view(&test, &prompt).await["not_pinned"], "it has no files");
    });
}

#[test]
fn a_version_whose_files_are_missing() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, NAME).await;
        let (run, model) = log_model(&test).await;
        // Who says to upload files must do so.
        for source in [format!("models:/{model}"), "/home/ana/model".to_owned()] {
            let number = pending(&test, &source).await;
            let refused = finalize(&test, &number).await;
            assert_eq!(refused.error_code(), "INVALID_PARAMETER_VALUE", "{refused:?}");
            let upload = format!("Upload them to /Models/prod/risk/m/{number} ");
            assert!(refused.json["message"].as_str().unwrap().contains(&upload), "{refused:?}");
            put_all(&test, &format!("/api/2.0/fs/files/Models/prod/risk/m/{number}")).await;
            let path = format!("{UNITY}/models/{NAME}/versions/{number}/finalize");
            ok(&send(&test, "PATCH", &path, json!({})).await);
            check(&test, &number).await;
        }
        // MLflow's own registry takes a source where nothing lies. It is said, and what comes there later is not taken.
        let source = format!("mlflow-artifacts:/0/{run}/artifacts/none");
        let body = json!({ "name": NAME, "source": source, "run_id": run });
        let made = test.post(&format!("{MLFLOW}/model-versions/create"), body).await;
        let version = &ok(&made)["model_version"];
        assert!(version["status_message"].as_str().unwrap().contains("No file"), "{version}");
        assert_eq!(call(&test, "PUT", &format!("{PROXY}/0/{run}/artifacts/none/late"), "x").await.0, 200);
        let number = version["version"].as_str().unwrap();
        assert_eq!(view(&test, number).await["files"]["count"], 0);
        assert_eq!(
            call(&test, "GET", &format!("{PROXY}/{}/late", address(&test, number).await), "").await.0,
            404
        );
    });
}

#[test]
fn the_log_tells_what_was_made_ready_and_what_an_alias_moved_to() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, NAME).await;
        let (_, model) = log_model(&test).await;
        let plain = register(&test, json!({ "name": NAME, "source": format!("models:/{model}") })).await;
        let uploaded = pending(&test, "s3://bucket/model").await;
        put_all(&test, &format!("/api/2.0/fs/files/Models/prod/risk/m/{uploaded}")).await;
        ok(&finalize(&test, &uploaded).await);
        let digest = view(&test, &plain).await["files"]["digest"].clone();
        assert_eq!(view(&test, &uploaded).await["files"]["digest"], digest);
        for number in [&plain, &uploaded] {
            let body = json!({ "name": NAME, "alias": "champion", "version": number });
            ok(&test.post(&format!("{MLFLOW}/registered-models/alias"), body).await);
        }
        for (action, most) in [("model_version.create", 2), ("model_version.finalize", 1), ("alias.move", 2)]
        {
            let log = test.get(&format!("/api/1.0/audit-log?action={action}")).await;
            let events = ok(&log)["events"].as_array().unwrap();
            assert_eq!(events.len(), most, "{action}: {log:?}");
            for event in events {
                let is_pending = event["detail"]["status"] == "PENDING_REGISTRATION";
                let expected = if is_pending { &Value::Null } else { &digest };
                assert_eq!(&event["detail"]["pinned"]["digest"], expected, "{action}: {event}");
            }
        }
    });
}

/// On PostgreSQL a file is stored by one writer while another makes the version ready: it is there, and in the digest, or
/// it is refused. The signature is that of the file that is there.
#[test]
fn no_file_lands_once_a_version_is_ready() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, NAME).await;
        for _ in 0..12 {
            let number = pending(&test, "s3://bucket/model").await;
            let root = format!("/api/2.0/fs/files/Models/prod/risk/m/{number}");
            put_all(&test, &root).await;
            let (late, model) = (format!("{root}/data/late"), format!("{root}/MLmodel?overwrite=true"));
            let (put, changed, ready) = tokio::join!(
                call(&test, "PUT", &late, "late"),
                call(&test, "PUT", &model, "changed"),
                finalize(&test, &number),
            );
            if ready.status != 200 {
                // It was read for its signature just before it was replaced.
                assert_eq!((ready.status, ready.error_code()), (409, "RESOURCE_CONFLICT"), "{ready:?}");
                ok(&finalize(&test, &number).await);
            }
            assert!([204, 409].contains(&put.0) && [204, 409].contains(&changed.0), "{put:?} {changed:?}");
            let mut names = vec!["MLmodel", "data/model.pkl"];
            if put.0 == 204 {
                names.insert(1, "data/late");
            }
            assert_eq!(digest(&test, &root, &names).await, view(&test, &number).await["files"]["digest"]);
        }
    });
}
