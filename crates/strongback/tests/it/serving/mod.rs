//! Endpoints: names, configurations, rights, and what becomes of them. What models answer is shown with real clients, in
//! `tests/clients/test_serving.py`.

mod full;
mod hidden;
mod idle;
mod kill;
mod lineage;
mod lookup;
mod superseded;
mod why;

use std::time::{Duration, Instant};

use axum::body::Body;
use http::header;
use serde_json::{Value, json};
use strongback::serving::follow;

use crate::{
    promotion::{lab::library, onnx::logistic},
    support::{Answer, TestApp, call, ok, on_every_store, on_every_store_with, request, token_of},
};

const M: &str = "/api/2.0/mlflow";
const UC: &str = "/api/2.1/unity-catalog";
const ENDPOINTS: &str = "/api/1.0/endpoints";

/// `prod.risk.m` with two ready versions of one file each, which is no model, and `@champion` at the first.
async fn model(test: &TestApp) {
    ok(&test.post(&format!("{UC}/catalogs"), json!({ "name": "prod" })).await);
    ok(&test.post(&format!("{UC}/schemas"), json!({ "name": "risk", "catalog_name": "prod" })).await);
    versions(test).await;
}

/// The same in a schema that is there.
async fn versions(test: &TestApp) {
    let models = format!("{M}/unity-catalog");
    ok(&test.post(&format!("{models}/registered-models/create"), json!({ "name": "prod.risk.m" })).await);
    for version in ["1", "2"] {
        let body = json!({ "name": "prod.risk.m", "source": "s3://elsewhere/m" });
        ok(&test.post(&format!("{models}/model-versions/create"), body).await);
        let path = format!("/api/2.0/fs/files/Models/prod/risk/m/{version}/f.txt");
        let mut put = request("PUT", &path, None);
        *put.body_mut() = Body::from(version);
        assert!(matches!(test.send(put).await.status, 200 | 204));
        let body = json!({ "name": "prod.risk.m", "version": version });
        ok(&test.post(&format!("{models}/model-versions/finalize"), body).await);
    }
    alias(test, "1").await;
}

async fn alias(test: &TestApp, version: &str) {
    let body = json!({ "name": "prod.risk.m", "alias": "champion", "version": version });
    ok(&test.post(&format!("{M}/unity-catalog/registered-models/alias"), body).await);
}

async fn look(test: &TestApp) {
    for begun in follow::look(&test.app).await.unwrap() {
        begun.await.unwrap();
    }
}

async fn make(test: &TestApp, name: &str, model: &str) -> Answer {
    test.post(ENDPOINTS, json!({ "name": name, "model": model })).await
}

async fn get(test: &TestApp, name: &str) -> Value {
    ok(&test.get(&format!("{ENDPOINTS}/{name}")).await).clone()
}

#[test]
fn an_endpoint_is_named_twice_and_configured_in_numbers() {
    on_every_store(async |test: TestApp| {
        model(&test).await;
        let made = make(&test, "fraud", "prod.risk.m@champion").await;
        let made = ok(&made);
        assert_eq!((&made["full_name"], &made["state"]), (&json!("prod.risk.fraud"), &json!("NOT_READY")));
        assert_eq!((&made["config"]["version"], &made["config"]["alias"]), (&json!(1), &json!("champion")));
        assert!(made["config"]["digest"].as_str().unwrap().starts_with("files1:"));
        // By either name, on either face.
        assert_eq!(get(&test, "prod.risk.fraud").await["name"], "fraud");
        let flat = test.get("/api/2.0/serving-endpoints/fraud").await;
        assert_eq!(ok(&flat)["config"]["served_entities"][0]["entity_name"], "prod.risk.m");
        assert_eq!(flat.json["state"], json!({ "ready": "NOT_READY", "config_update": "IN_PROGRESS" }));
        let patched = json!({ "model": "prod.risk.m/2" });
        let path = format!("{ENDPOINTS}/fraud");
        let changed = test.send(request("PATCH", &path, Some(patched.clone()))).await;
        assert_eq!(ok(&changed)["config"]["n"], 2);
        let again = test.send(request("PATCH", &path, Some(patched))).await;
        assert_eq!(ok(&again)["config"]["n"], 2, "nothing changed");
        for (name, model, status, words) in [
            ("fraud", "prod.risk.m/1", 400, "exists already"),
            ("fra ud", "prod.risk.m/1", 400, "letters, digits"),
            ("other", "prod.risk.m/9", 404, "version=9"),
            ("other", "prod.risk.m@nobody", 404, "nobody"),
            ("other", "prod.risk.x@champion", 404, "prod.risk.x"),
        ] {
            let answer = make(&test, name, model).await;
            assert_eq!(answer.status, status, "{answer:?}");
            assert!(answer.json["message"].as_str().unwrap().contains(words), "{answer:?}");
        }
        ok(&test.send(request("DELETE", &path, None)).await);
        assert_eq!(test.get(&path).await.status, 404);
        assert_eq!(test.post("/endpoints/fraud/invocations", json!({})).await.status, 404);
        ok(&make(&test, "fraud", "prod.risk.m").await);
        assert_eq!(get(&test, "fraud").await["config"]["version"], 2, "the newest version");
    });
}

#[test]
fn a_name_that_somebody_gave_to_what_is_served_stays() {
    on_every_store(async |test: TestApp| {
        model(&test).await;
        let entity = json!({ "name": "mine", "entity_name": "prod.risk.m", "entity_version": "1" });
        let body = json!({ "name": "flat", "config": { "served_entities": [entity] } });
        ok(&test.post("/api/2.0/serving-endpoints", body).await);
        ok(&make(&test, "plain", "prod.risk.m/1").await);
        let patch = async |name: &str, model: &str| {
            let body = Some(json!({ "model": model }));
            ok(&test.send(request("PATCH", &format!("{ENDPOINTS}/{name}"), body)).await)["config"].clone()
        };
        let told = |config: Value| (config["n"].clone(), config["served_name"].clone());
        assert_eq!(told(patch("flat", "prod.risk.m/1").await), (json!(1), json!("mine")), "nothing changed");
        assert_eq!(told(patch("flat", "prod.risk.m/2").await), (json!(2), json!("mine")));
        assert_eq!(told(patch("plain", "prod.risk.m/1").await), (json!(1), json!("m-1")));
        assert_eq!(
            told(patch("plain", "prod.risk.m/2").await),
            (json!(2), json!("m-2")),
            "it is made after the version"
        );
        let config = json!({ "served_entities": [{ "name": "other", "entity_name": "prod.risk.m", "entity_version": "2" }] });
        let put = test.send(request("PUT", "/api/2.0/serving-endpoints/flat/config", Some(config))).await;
        assert_eq!(ok(&put)["config"]["served_entities"][0]["name"], "other");
        assert_eq!(told(get(&test, "flat").await["config"].clone()), (json!(3), json!("other")));
    });
}

#[test]
fn what_cannot_be_loaded_says_why_and_an_alias_moves_no_configuration_before_its_version_is_loaded() {
    on_every_store(async |test: TestApp| {
        model(&test).await;
        ok(&make(&test, "fraud", "prod.risk.m@champion").await);
        look(&test).await;
        let found = get(&test, "fraud").await;
        assert_eq!(found["state"], "FAILED");
        assert!(found["reason"].as_str().unwrap().contains("MLmodel"), "{found}");
        let flat = test.get("/api/2.0/serving-endpoints/fraud").await;
        assert_eq!(flat.json["state"]["config_update"], "UPDATE_FAILED");
        let refused = test.post("/endpoints/fraud/invocations", json!({ "inputs": [1] })).await;
        assert_eq!((refused.status, refused.error_code()), (409, "RESOURCE_CONFLICT"));
        assert!(refused.json["message"].as_str().unwrap().contains("MLmodel"));
        // What another configuration could not do says nothing about this one.
        let patch =
            |model: &str| request("PATCH", &format!("{ENDPOINTS}/fraud"), Some(json!({ "model": model })));
        ok(&test.send(patch("prod.risk.m/1")).await);
        let found = get(&test, "fraud").await;
        assert_eq!((&found["state"], &found["reason"]), (&json!("NOT_READY"), &Value::Null), "{found}");
        ok(&test.send(patch("prod.risk.m@champion")).await);
        look(&test).await;
        alias(&test, "2").await;
        look(&test).await;
        let found = get(&test, "fraud").await;
        assert_eq!((&found["config"]["n"], &found["config"]["version"]), (&json!(3), &json!(1)), "{found}");
        assert_eq!((&found["requests"], &found["errors"]), (&json!(1), &json!(1)));
    });
}

#[test]
fn endpoints_go_with_their_schema_and_are_found_again_after_a_restart() {
    on_every_store(async |test: TestApp| {
        model(&test).await;
        ok(&make(&test, "fraud", "prod.risk.m@champion").await);
        let test = test.reopen().await;
        look(&test).await;
        assert_eq!(get(&test, "fraud").await["state"], "FAILED");
        let delete = request("DELETE", &format!("{UC}/schemas/prod.risk?force=true"), None);
        ok(&test.send(delete).await);
        look(&test).await;
        assert_eq!(test.post("/endpoints/fraud/invocations", json!({})).await.status, 404);
        assert_eq!(ok(&test.get(ENDPOINTS).await)["endpoints"], json!([]));
    });
}

#[test]
fn whoever_may_not_execute_an_endpoint_is_refused_and_a_revoked_token_ends_within_a_second() {
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let root = token_of(&test, "root", true).await;
        let (ada, eve) = (token_of(&test, "ada", false).await, token_of(&test, "eve", false).await);
        let post =
            async |token: &str, path: &str, body: Value| call(&test, token, "POST", path, Some(body)).await;
        let models = format!("{M}/registered-models");
        ok(&post(&ada, &format!("{models}/create"), json!({ "name": "plain" })).await);
        let body = json!({ "name": "plain", "source": "s3://elsewhere/plain" });
        ok(&post(&ada, &format!("{M}/model-versions/create"), body).await);
        let refused = post(&ada, ENDPOINTS, json!({ "name": "plain", "model": "plain/1" })).await;
        assert_eq!(refused.error_code(), "INVALID_STATE", "its files are elsewhere: {refused:?}");
        let list = call(&test, &ada, "GET", "/api/2.0/token/list", None).await;
        let id = ok(&list)["token_infos"][0]["token_id"].as_str().unwrap().to_owned();
        let path = "/endpoints/none/invocations";
        assert_eq!(post(&ada, path, json!({})).await.status, 404);
        assert_eq!(post(&eve, path, json!({})).await.status, 404);
        assert_eq!(post("sbt_wrong", path, json!({})).await.status, 401);
        let revoked = Instant::now();
        ok(&post(&root, "/api/2.0/token/delete", json!({ "token_id": id })).await);
        while post(&ada, path, json!({})).await.status != 401 {
            assert!(revoked.elapsed().as_millis() < 1_000, "the revoked token is let in still");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

async fn put(test: &TestApp, token: &str, path: &str, bytes: Vec<u8>) {
    let mut put = request("PUT", path, None);
    *put.body_mut() = Body::from(bytes);
    put.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    assert!(matches!(test.send(put).await.status, 200 | 204), "{path}");
}

/// Version 1 of `plain` in the default schema: a logistic regression that was logged as ONNX, by whose token this is.
async fn regression(test: &TestApp, token: &str) {
    let post = async |path: &str, body: Value| {
        ok(&call(test, token, "POST", &format!("{M}/{path}"), Some(body)).await).clone()
    };
    let experiment = post("experiments/create", json!({ "name": "training" })).await;
    let experiment = experiment["experiment_id"].as_str().unwrap();
    let run = post("runs/create", json!({ "experiment_id": experiment })).await;
    let run = run["run"]["info"]["run_id"].as_str().unwrap();
    let columns = json!([{ "name": "x1", "type": "double" }, { "name": "x2", "type": "double" }]);
    let mlmodel = format!("flavors:\n  onnx:\n    data: model.onnx\nsignature:\n  inputs: '{columns}'\n");
    let root = format!("{M}-artifacts/artifacts/{experiment}/{run}/artifacts/model");
    put(test, token, &format!("{root}/MLmodel"), mlmodel.into_bytes()).await;
    put(test, token, &format!("{root}/model.onnx"), logistic(&[3.0, -2.0], 0.0)).await;
    post("registered-models/create", json!({ "name": "plain" })).await;
    let body = json!({ "name": "plain", "source": format!("runs:/{run}/model"), "run_id": run });
    post("model-versions/create", body).await;
}

#[test]
fn a_stranger_is_refused_and_so_is_an_owner_within_a_second_of_losing_the_endpoint() {
    let library = library();
    on_every_store_with(&[("auth", "tokens"), ("onnxruntime_library", &library)], async |test: TestApp| {
        let root = token_of(&test, "root", true).await;
        let (ada, eve) = (token_of(&test, "ada", false).await, token_of(&test, "eve", false).await);
        regression(&test, &ada).await;
        let body = json!({ "name": "scores", "model": "plain/1" });
        let made = call(&test, &ada, "POST", ENDPOINTS, Some(body)).await;
        let full_name = ok(&made)["full_name"].clone();
        look(&test).await;
        let score = async |token: &str, rows: Value| {
            call(&test, token, "POST", "/endpoints/scores/invocations", Some(rows)).await
        };
        let rows = json!({ "dataframe_records": [{ "x1": 0.0, "x2": 0.0 }] });
        let answer = score(&ada, rows.clone()).await;
        assert_eq!(ok(&answer)["predictions"].as_array().unwrap().len(), 1, "{answer:?}");
        assert_eq!(score(&eve, rows.clone()).await.status, 403);
        let beyond = score(&ada, json!({ "dataframe_records": [{ "x1": 1e300, "x2": 0.0 }] })).await;
        assert_eq!(beyond.status, 400, "{beyond:?}");
        assert!(beyond.json["message"].as_str().unwrap().contains("Column 'x1', row 0"), "{beyond:?}");
        let given = json!({ "name": full_name, "owner": "eve" });
        ok(&call(&test, &root, "PATCH", "/api/1.0/owner", Some(given)).await);
        let changed = Instant::now();
        while score(&ada, rows.clone()).await.status != 403 {
            assert!(changed.elapsed() < Duration::from_secs(1), "the old owner is let in still");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ok(&score(&eve, rows.clone()).await);
    });
}

#[test]
fn the_flat_face_takes_one_entity_that_is_told_one_way() {
    on_every_store(async |test: TestApp| {
        model(&test).await;
        let one = json!({ "entity_name": "prod.risk.m", "entity_version": "1" });
        let following = json!({ "entity_name": "prod.risk.m@champion", "entity_version": "1" });
        for (config, words) in [
            (json!({ "served_entities": [one, one] }), "2 came"),
            (json!({ "served_entities": [] }), "0 came"),
            (json!({ "served_entities": [one], "served_models": [one] }), "served_models"),
            (json!({ "served_entities": [following] }), "entity_version"),
        ] {
            let body = json!({ "name": "flat", "config": config });
            let refused = test.post("/api/2.0/serving-endpoints", body).await;
            assert_eq!(refused.status, 400, "{refused:?}");
            assert!(refused.json["message"].as_str().unwrap().contains(words), "{refused:?}");
        }
    });
}
