//! The Files API over versions of models, whose files change only until the version is ready.

use std::collections::BTreeMap;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use strongback::{
    catalog::{
        asset::{self, Kind, NewAsset},
        authorize_admin, bootstrap, principal,
    },
    db::{Change, Sql},
    events::{Event, EventKind},
    registry::{
        aliases, models,
        names::{self, Levels},
        versions::{self, NewVersion},
    },
};
use tower::ServiceExt;

use crate::support::{Answer, TestApp, ok, on_every_store, request};

const MODEL: &str = "prod.risk.fraud";
const FILES: &str = "/api/2.0/fs/files/Models/prod/risk/fraud";

/// Sends bytes and answers status, headers and bytes.
async fn send(
    test: &TestApp,
    method: &str,
    path: &str,
    bytes: &'static str,
) -> (u16, http::HeaderMap, Bytes) {
    let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost:5000");
    let response = test.router.clone().oneshot(request.body(Body::from(bytes)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes())
}

async fn make_schema(test: &TestApp) {
    let make = |parent_id, kind, leaf| NewAsset {
        parent_id,
        kind,
        leaf,
        leaf_key: leaf,
        wire_name: None,
        owner_id: principal::ADMINS,
        comment: None,
        properties: None,
    };
    let ctx = test.system();
    ctx.write(move |tx| {
        authorize_admin(tx, "test")?;
        let root = bootstrap::metastore(tx)?;
        let catalog = asset::create(tx, &make(Some(root.id), Kind::Catalog, "prod"))?;
        let schema = asset::create(tx, &make(Some(catalog.id), Kind::Schema, "risk"))?;
        Ok(Change::Made((), Event::new(EventKind::SchemaCreate).asset(schema.id, 1)))
    })
    .await
    .unwrap();
    let made = |tx: &mut Sql<'_>| models::create(tx, MODEL, Levels::Three, "", &BTreeMap::default());
    ctx.write(made).await.unwrap();
}

async fn make_version(test: &TestApp, source: &str, awaits_files: bool) -> i64 {
    let new = NewVersion { source: source.to_owned(), awaits_files, ..NewVersion::default() };
    let number = |_: &mut Sql<'_>, _: &models::Model, version: &versions::Version| Ok(version.version);
    versions::version_create(&test.system(), MODEL.into(), Levels::Three, new, number).await.unwrap()
}

async fn finalize(test: &TestApp, number: i64) {
    versions::version_finalize(&test.system(), MODEL.into(), Levels::Three, number, |_, _, _| Ok(()))
        .await
        .unwrap();
}

async fn make_logged_model(test: &TestApp) -> String {
    let body = json!({ "experiment_id": "0", "name": "m" });
    let made = test.post("/api/2.0/mlflow/logged-models", body).await;
    ok(&made)["model"]["info"]["model_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_version_takes_files_until_it_is_final() {
    on_every_store(|test| async move {
        make_schema(&test).await;
        let model = make_logged_model(&test).await;
        let number = make_version(&test, &format!("models:/{model}"), true).await;
        let file = format!("{FILES}/{number}/data/model.bin");
        assert_eq!(send(&test, "PUT", &file, "weights").await.0, 204);
        let (status, _, body) = send(&test, "PUT", &file, "other").await;
        assert_eq!(status, 409, "{body:?}");
        assert_eq!(send(&test, "PUT", &format!("{file}?overwrite=true"), "weights!").await.0, 204);
        let (status, headers, body) = send(&test, "GET", &file, "").await;
        assert_eq!((status, &body[..]), (200, &b"weights!"[..]));
        assert_eq!(headers[header::CONTENT_LENGTH], "8");
        assert!(headers[header::LAST_MODIFIED].to_str().unwrap().ends_with("GMT"));
        finalize(&test, number).await;
        let (status, _, body) = send(&test, "PUT", &format!("{file}?overwrite=true"), "changed").await;
        assert_eq!(status, 409, "{body:?}");
        assert_eq!(send(&test, "DELETE", &file, "").await.0, 409);
        assert_eq!(&send(&test, "GET", &file, "").await.2[..], b"weights!");
    });
}

/// Sends one file in one part and answers the path that completes it, with what it needs.
async fn upload_in_parts(test: &TestApp, file: &str, overwrite: bool, text: &'static str) -> (String, Value) {
    let begun = test.post(&format!("{file}?action=initiate-upload&overwrite={overwrite}"), json!({})).await;
    let token = ok(&begun)["multipart_upload"]["session_token"].as_str().unwrap().to_owned();
    let path = file.strip_prefix("/api/2.0/fs/files").unwrap();
    let wanted = json!({ "path": path, "session_token": token, "start_part_number": 1, "count": 1 });
    let urls = test.post("/api/2.0/fs/create-upload-part-urls", wanted).await;
    let url = local(&ok(&urls)["upload_part_urls"][0]["url"]);
    let (status, headers, _) = send(test, "PUT", &url, text).await;
    assert_eq!(status, 200);
    let parts = json!({ "parts": [{ "part_number": 1, "etag": headers[header::ETAG].to_str().unwrap() }] });
    (format!("{file}?action=complete-upload&upload_type=multipart&session_token={token}"), parts)
}

#[test]
fn of_many_that_store_a_file_without_overwriting_one_does() {
    on_every_store(|test| async move {
        make_schema(&test).await;
        let number = make_version(&test, "s3://bucket/model", true).await;
        let file = format!("{FILES}/{number}/race");
        let texts = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let sent = futures::future::join_all(texts.map(|text| send(&test, "PUT", &file, text))).await;
        let stored: Vec<usize> =
            sent.iter().enumerate().filter(|(_, answer)| answer.0 == 204).map(|(at, _)| at).collect();
        let refused = sent.iter().filter(|answer| answer.0 == 409).count();
        assert_eq!((stored.len(), refused), (1, 7), "{sent:?}");
        assert_eq!(&send(&test, "GET", &file, "").await.2[..], texts[stored[0]].as_bytes());
        assert_eq!(super::recovery::open_operations(&test.system()).await, 0);
        assert_eq!(super::objects(&test.system()), 1);

        // Whoever began before the file was there, and did not say that it may be replaced, does not replace it.
        let file = format!("{FILES}/{number}/parts");
        let (first, first_parts) = upload_in_parts(&test, &file, false, "first").await;
        let (second, second_parts) = upload_in_parts(&test, &file, false, "second").await;
        let (third, third_parts) = upload_in_parts(&test, &file, true, "third").await;
        ok(&test.post(&first, first_parts.clone()).await);
        let late = test.post(&second, second_parts).await;
        assert_eq!((late.status, late.error_code()), (409, "ALREADY_EXISTS"), "{late:?}");
        assert!(late.json["message"].as_str().unwrap().contains("overwrite=true"), "{late:?}");
        // Completing twice is no second file.
        ok(&test.post(&first, first_parts).await);
        assert_eq!(&send(&test, "GET", &file, "").await.2[..], b"first");
        ok(&test.post(&third, third_parts).await);
        assert_eq!(&send(&test, "GET", &file, "").await.2[..], b"third");
        let early = test.post(&format!("{file}?action=initiate-upload"), json!({})).await;
        assert_eq!((early.status, early.error_code()), (409, "ALREADY_EXISTS"), "{early:?}");
    });
}

#[test]
fn directories_of_a_version_are_listed_with_absolute_paths() {
    on_every_store(|test| async move {
        make_schema(&test).await;
        let model = make_logged_model(&test).await;
        let number = make_version(&test, &format!("models:/{model}"), true).await;
        let dir = format!("/api/2.0/fs/directories/Models/prod/risk/fraud/{number}");
        assert_eq!(send(&test, "HEAD", &dir, "").await.0, 404);
        assert_eq!(send(&test, "PUT", &format!("{dir}/data"), "").await.0, 204);
        for name in ["MLmodel", "data/a", "data/b"] {
            assert_eq!(send(&test, "PUT", &format!("{FILES}/{number}/{name}"), "x").await.0, 204);
        }
        assert_eq!(send(&test, "HEAD", &dir, "").await.0, 200);
        let listed = test.get(&format!("{dir}/")).await;
        let contents = ok(&listed)["contents"].as_array().unwrap();
        let root = format!("/Models/prod/risk/fraud/{number}");
        assert_eq!(contents[0]["path"], format!("{root}/MLmodel"));
        assert_eq!((&contents[0]["is_directory"], &contents[0]["file_size"]), (&json!(false), &json!(1)));
        assert_eq!((&contents[1]["name"], &contents[1]["is_directory"]), (&json!("data"), &json!(true)));
        let page = test.get(&format!("{dir}?page_size=1")).await;
        let token = ok(&page)["next_page_token"].as_str().unwrap().to_owned();
        let rest = test.get(&format!("{dir}?page_size=1&page_token={token}")).await;
        assert_eq!(ok(&rest)["contents"][0]["name"], "data");
        assert_eq!(ok(&rest)["next_page_token"], Value::Null);
        let missing = test.get(&format!("{dir}/none")).await;
        assert_eq!((missing.status, missing.error_code()), (404, "NOT_FOUND"));
        assert_eq!(send(&test, "DELETE", &dir, "").await.0, 400);
    });
}

#[test]
fn a_version_that_was_not_uploaded_has_the_files_of_its_source() {
    on_every_store(|test| async move {
        make_schema(&test).await;
        let model = make_logged_model(&test).await;
        let put = format!("/api/2.0/mlflow-artifacts/artifacts/0/models/{model}/artifacts/MLmodel");
        assert_eq!(send(&test, "PUT", &put, "flavors: {}").await.0, 200);
        let number = make_version(&test, &format!("models:/{model}"), false).await;
        let copy = make_version(&test, &format!("models:/{MODEL}/{number}"), false).await;
        for number in [number, copy] {
            let (status, _, body) = send(&test, "GET", &format!("{FILES}/{number}/MLmodel"), "").await;
            assert_eq!((status, &body[..]), (200, &b"flavors: {}"[..]));
            let page = format!("/model-versions/get-artifact?name={MODEL}&version={number}&path=MLmodel");
            assert_eq!(&send(&test, "GET", &page, "").await.2[..], b"flavors: {}");
            assert_eq!(send(&test, "PUT", &format!("{FILES}/{number}/new"), "x").await.0, 409);
        }
    });
}

/// Path and query of an absolute address.
fn local(url: &Value) -> String {
    url.as_str().unwrap().strip_prefix("http://localhost:5000").unwrap().to_owned()
}

#[test]
fn signed_addresses_serve_files_and_parts() {
    on_every_store(|test| async move {
        make_schema(&test).await;
        let model = make_logged_model(&test).await;
        let number = make_version(&test, &format!("models:/{model}"), true).await;
        let path = format!("/Models/prod/risk/fraud/{number}/sp ace/ü.bin");
        let up = test.post("/api/2.0/fs/create-upload-url", json!({ "path": path })).await;
        assert_eq!(ok(&up)["headers"], json!([]));
        assert_eq!(send(&test, "PUT", &local(&up.json["url"]), "signed").await.0, 200);
        let down = test.post("/api/2.0/fs/create-download-url", json!({ "path": path })).await;
        let url = local(&ok(&down)["url"]);
        assert_eq!(&send(&test, "GET", &url, "").await.2[..], b"signed");
        assert_eq!(send(&test, "PUT", &url, "x").await.0, 403);
        let other = test.post("/api/2.0/fs/create-download-url", json!({ "path": format!("{path}x") })).await;
        assert_eq!((other.status, other.error_code()), (404, "NOT_FOUND"));

        let file = format!("{FILES}/{number}/big.bin");
        let begun = test.post(&format!("{file}?action=initiate-upload&overwrite=true"), json!({})).await;
        let token = ok(&begun)["multipart_upload"]["session_token"].as_str().unwrap().to_owned();
        let path = format!("/Models/prod/risk/fraud/{number}/big.bin");
        let wanted = json!({ "path": path, "session_token": token, "start_part_number": 1, "count": 2 });
        let urls = test.post("/api/2.0/fs/create-upload-part-urls", wanted).await;
        let mut parts = Vec::new();
        for (part, text) in ok(&urls)["upload_part_urls"].as_array().unwrap().iter().zip(["one", "two"]) {
            let (status, headers, _) = send(&test, "PUT", &local(&part["url"]), text).await;
            assert_eq!(status, 200);
            parts.push(json!({ "part_number": part["part_number"], "etag": headers[header::ETAG].to_str().unwrap() }));
        }
        let complete = format!("{file}?action=complete-upload&upload_type=multipart&session_token={token}");
        ok(&test.post(&complete, json!({ "parts": parts })).await);
        assert_eq!(&send(&test, "GET", &file, "").await.2[..], b"onetwo");

        let begun = test.post(&format!("{file}2?action=initiate-upload"), json!({})).await;
        let token = begun.json["multipart_upload"]["session_token"].as_str().unwrap().to_owned();
        let wanted = json!({ "path": format!("{path}2"), "session_token": token });
        let abort: Answer = test.post("/api/2.0/fs/create-abort-upload-url", wanted).await;
        let url = local(&ok(&abort)["abort_upload_url"]["url"]);
        assert_eq!(test.send(request("DELETE", &url, None)).await.status, 204);
        assert_eq!(super::recovery::open_operations(&test.system()).await, 0);
    });
}

/// Makes a governed version with one file, final.
async fn make_ready(test: &TestApp, text: &'static str) -> i64 {
    let number = make_version(test, "s3://bucket/model", true).await;
    assert_eq!(send(test, "PUT", &format!("{FILES}/{number}/MLmodel"), text).await.0, 204);
    finalize(test, number).await;
    number
}

async fn delete(test: &TestApp, path: &str, body: Value) {
    ok(&test.send(request("DELETE", path, Some(body))).await);
}

#[test]
fn files_go_with_their_version_but_not_those_of_a_copy() {
    on_every_store(|test| async move {
        make_schema(&test).await;
        let number = make_ready(&test, "flavors: {a: 1}").await;
        let kept = make_ready(&test, "flavors: {b: 2}").await;
        let copy = make_version(&test, &format!("models:/{MODEL}/{number}"), false).await;
        assert_eq!(super::objects(&test.system()), 2);
        let path = "/api/2.0/mlflow/model-versions/delete";
        delete(&test, path, json!({ "name": MODEL, "version": number.to_string() })).await;
        assert_eq!(send(&test, "GET", &format!("{FILES}/{number}/MLmodel"), "").await.0, 404);
        assert_eq!(
            &send(&test, "GET", &format!("{FILES}/{copy}/MLmodel"), "").await.2[..],
            b"flavors: {a: 1}"
        );
        assert_eq!(super::objects(&test.system()), 2);
        delete(&test, path, json!({ "name": MODEL, "version": copy.to_string() })).await;
        assert_eq!(super::objects(&test.system()), 1);
        assert_eq!(
            &send(&test, "GET", &format!("{FILES}/{kept}/MLmodel"), "").await.2[..],
            b"flavors: {b: 2}"
        );
        delete(&test, "/api/2.0/mlflow/registered-models/delete", json!({ "name": MODEL })).await;
        assert_eq!(super::objects(&test.system()), 0);
    });
}

#[test]
fn files_and_aliases_go_with_the_schema_too() {
    on_every_store(|test| async move {
        make_schema(&test).await;
        let number = make_ready(&test, "flavors: {a: 1}").await;
        let alias = json!({ "name": MODEL, "alias": "champion", "version": number.to_string() });
        ok(&test.post("/api/2.0/mlflow/registered-models/alias", alias).await);
        let ctx = test.system();
        assert_eq!(models::clear_orphans(&ctx).await.unwrap(), 0);
        let id = ctx.app.db.read(&ctx.origin, |sql| names::find(sql, MODEL)).await.unwrap().unwrap();
        delete(&test, "/api/2.1/unity-catalog/schemas/prod.risk?force=true", json!({})).await;
        assert_eq!(models::clear_orphans(&ctx).await.unwrap(), 1);
        assert_eq!((super::objects(&ctx), models::clear_orphans(&ctx).await.unwrap()), (0, 0));
        let moves =
            ctx.app.db.read(&ctx.origin, move |sql| aliases::moves(sql, id, "champion")).await.unwrap();
        assert_eq!(moves.iter().map(|step| step.to).collect::<Vec<_>>(), [Some(number), None]);
        assert_eq!(moves[1].reason, "the model was deleted with its schema");
    });
}

#[test]
fn files_in_a_bucket_are_said_to_be_there() {
    on_every_store(|test| async move {
        make_schema(&test).await;
        let body = json!({ "name": "outside", "artifact_location": "s3://bucket/outside" });
        let made = test.post("/api/2.0/mlflow/experiments/create", body).await;
        let body = json!({ "experiment_id": ok(&made)["experiment_id"], "name": "m" });
        let made = test.post("/api/2.0/mlflow/logged-models", body).await;
        let model = ok(&made)["model"]["info"]["model_id"].as_str().unwrap();
        for source in [format!("models:/{model}"), "s3://bucket/model".to_owned()] {
            let number = make_version(&test, &source, false).await;
            let missing = test.get(&format!("{FILES}/{number}/MLmodel")).await;
            assert_eq!((missing.status, missing.error_code()), (404, "NOT_FOUND"));
            assert!(missing.json["message"].as_str().unwrap().contains(&source), "{missing:?}");
        }
    });
}
