//! Endpoints: names, configurations, rights, and what becomes of them. What models answer is shown with real clients, in
//! `tests/clients/test_serving.py`.

mod kill;

use serde_json::{Value, json};
use strongback::serving::follow;

use crate::support::{Answer, TestApp, call, ok, on_every_store, on_every_store_with, token_of};

const M: &str = "/api/2.0/mlflow";
const UC: &str = "/api/2.1/unity-catalog";
const ENDPOINTS: &str = "/api/1.0/endpoints";

/// `prod.risk.m` with two ready versions of one file each, which is no model, and `@champion` at the first.
async fn model(test: &TestApp) {
    ok(&test.post(&format!("{UC}/catalogs"), json!({ "name": "prod" })).await);
    ok(&test.post(&format!("{UC}/schemas"), json!({ "name": "risk", "catalog_name": "prod" })).await);
    let models = format!("{M}/unity-catalog");
    ok(&test.post(&format!("{models}/registered-models/create"), json!({ "name": "prod.risk.m" })).await);
    for version in ["1", "2"] {
        let body = json!({ "name": "prod.risk.m", "source": "s3://elsewhere/m" });
        ok(&test.post(&format!("{models}/model-versions/create"), body).await);
        let path = format!("/api/2.0/fs/files/Models/prod/risk/m/{version}/f.txt");
        let mut put = crate::support::request("PUT", &path, None);
        *put.body_mut() = axum::body::Body::from(version);
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
        let changed = test.send(crate::support::request("PATCH", &path, Some(patched.clone()))).await;
        assert_eq!(ok(&changed)["config"]["n"], 2);
        let again = test.send(crate::support::request("PATCH", &path, Some(patched))).await;
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
        ok(&test.send(crate::support::request("DELETE", &path, None)).await);
        assert_eq!(test.get(&path).await.status, 404);
        assert_eq!(test.post("/endpoints/fraud/invocations", json!({})).await.status, 404);
        ok(&make(&test, "fraud", "prod.risk.m").await);
        assert_eq!(get(&test, "fraud").await["config"]["version"], 2, "the newest version");
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
        alias(&test, "2").await;
        look(&test).await;
        let found = get(&test, "fraud").await;
        assert_eq!((&found["config"]["n"], &found["config"]["version"]), (&json!(1), &json!(1)), "{found}");
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
        let delete = crate::support::request("DELETE", &format!("{UC}/schemas/prod.risk?force=true"), None);
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
        let revoked = std::time::Instant::now();
        ok(&post(&root, "/api/2.0/token/delete", json!({ "token_id": id })).await);
        while post(&ada, path, json!({})).await.status != 401 {
            assert!(revoked.elapsed().as_millis() < 1_000, "the revoked token is let in still");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
}
