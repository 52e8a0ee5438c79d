//! The registry: one model of the world through three faces, and the rules that no face has of its own.

mod aliases;
mod copies;
mod faces;
mod limits;
mod names;
mod owners;
mod pins;
mod search;
mod signatures;
mod sources;
mod stages;
mod versions;

use serde_json::{Value, json};
use strongback::db::Origin;

use crate::support::{Answer, TestApp, ok, request};

const MLFLOW: &str = "/api/2.0/mlflow";
const GOVERNED: &str = "/api/2.0/mlflow/unity-catalog";
const UNITY: &str = "/api/2.1/unity-catalog";

async fn send(test: &TestApp, method: &str, path: &str, body: Value) -> Answer {
    test.send(request(method, path, Some(body))).await
}

/// Catalog `prod`, schema `prod.risk`.
async fn prod_risk(test: &TestApp) {
    ok(&test.post(&format!("{UNITY}/catalogs"), json!({ "name": "prod" })).await);
    ok(&test.post(&format!("{UNITY}/schemas"), json!({ "name": "risk", "catalog_name": "prod" })).await);
}

/// Makes a model through MLflow's plain face and answers its `asset.id`.
async fn make_model(test: &TestApp, name: &str) -> i64 {
    ok(&test.post(&format!("{MLFLOW}/registered-models/create"), json!({ "name": name })).await);
    let name = name.to_owned();
    let found =
        test.app.db.read(&Origin::system(), move |sql| strongback::registry::names::find(sql, &name)).await;
    found.unwrap().unwrap()
}

/// Makes a version of something in a bucket and answers its number.
async fn make_version(test: &TestApp, name: &str) -> String {
    let body = json!({ "name": name, "source": "s3://bucket/model" });
    let made = test.post(&format!("{MLFLOW}/model-versions/create"), body).await;
    ok(&made)["model_version"]["version"].as_str().unwrap().to_owned()
}
