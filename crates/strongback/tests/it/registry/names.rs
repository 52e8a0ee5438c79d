//! Names: plain ones byte for byte, three-level ones without case, and the places where they meet.

use serde_json::json;

use super::{GOVERNED, MLFLOW, UNITY, make_model, make_version, prod_risk, send};
use crate::support::{ok, on_every_store};

#[test]
fn three_level_names_compare_without_case_and_say_so() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, "prod.risk.Fraud").await;
        for path in [MLFLOW, GOVERNED] {
            let body = json!({ "name": "PROD.risk.fraud" });
            let taken = test.post(&format!("{path}/registered-models/create"), body).await;
            assert_eq!((taken.status, taken.error_code()), (400, "RESOURCE_ALREADY_EXISTS"));
            let message = taken.json["message"].as_str().unwrap();
            assert!(message.contains("'prod.risk.Fraud'") && message.contains("without case"), "{message}");
            let found = test.get(&format!("{path}/registered-models/get?name=Prod.Risk.FRAUD")).await;
            assert_eq!(ok(&found)["registered_model"]["name"], "prod.risk.Fraud");
        }
        let found = test.get(&format!("{UNITY}/models/PROD.RISK.fraud")).await;
        assert_eq!(ok(&found)["full_name"], "prod.risk.Fraud");
        let found =
            test.get(&format!("{MLFLOW}/registered-models/search?filter=name='prod.risk.FRAUD'")).await;
        assert_eq!(ok(&found)["registered_models"][0]["name"], "prod.risk.Fraud");
    });
}

#[test]
fn plain_names_differ_by_case_and_a_miss_says_so() {
    on_every_store(|test| async move {
        let names = ["fraud", "Fraud", "a.b", "my model v2", "ü ~ 100%", "never.a.catalog"];
        for name in names {
            make_model(&test, name).await;
        }
        let found = test.get(&format!("{MLFLOW}/registered-models/search?order_by=name")).await;
        let mut expected = names;
        expected.sort_unstable();
        let found: Vec<&str> = ok(&found)["registered_models"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["name"].as_str().unwrap())
            .collect();
        assert_eq!(found, expected);
        let missing = test.get(&format!("{MLFLOW}/registered-models/get?name=FRAUD")).await;
        assert_eq!((missing.status, missing.error_code()), (404, "RESOURCE_DOES_NOT_EXIST"));
        assert!(missing.json["message"].as_str().unwrap().contains("case sensitive"), "{missing:?}");
    });
}

#[test]
fn a_plain_model_has_a_three_level_name_too() {
    on_every_store(|test| async move {
        make_model(&test, "fraud").await;
        make_version(&test, "fraud").await;
        let found = test.get(&format!("{UNITY}/models/main.default.fraud/versions/1")).await;
        assert_eq!((&ok(&found)["model_name"], &found.json["version"]), (&json!("fraud"), &json!(1)));
        let found = test.get(&format!("{GOVERNED}/registered-models/get?name=main.default.fraud")).await;
        assert_eq!(ok(&found)["registered_model"]["name"], "fraud");
        for (path, name) in
            [(GOVERNED, "main.default.fraud"), (MLFLOW, "main.default.FRAUD"), (MLFLOW, "fraud")]
        {
            let taken = test.post(&format!("{path}/registered-models/create"), json!({ "name": name })).await;
            assert_eq!(taken.error_code(), "RESOURCE_ALREADY_EXISTS", "{name}: {taken:?}");
        }
        let few =
            test.post(&format!("{GOVERNED}/registered-models/create"), json!({ "name": "other" })).await;
        assert_eq!(few.status, 400);
        assert!(few.json["message"].as_str().unwrap().contains("specify all three levels"), "{few:?}");
    });
}

#[test]
fn a_name_made_before_its_catalog_stays_the_same_model() {
    on_every_store(|test| async move {
        make_model(&test, "prod.risk.early").await;
        make_version(&test, "prod.risk.early").await;
        prod_risk(&test).await;
        for path in [MLFLOW, GOVERNED] {
            let found = test.get(&format!("{path}/model-versions/get?name=prod.risk.early&version=1")).await;
            assert_eq!(ok(&found)["model_version"]["name"], "prod.risk.early");
            let body = json!({ "name": "prod.risk.early" });
            let taken = test.post(&format!("{path}/registered-models/create"), body).await;
            assert_eq!(taken.error_code(), "RESOURCE_ALREADY_EXISTS");
        }
    });
}

#[test]
fn renaming_moves_between_plain_and_governed() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        let id = make_model(&test, "draft").await;
        make_version(&test, "draft").await;
        let rename = format!("{MLFLOW}/registered-models/rename");
        for (from, to) in
            [("draft", "prod.risk.fraud"), ("prod.risk.fraud", "prod.risk.Fraud"), ("prod.risk.Fraud", "old")]
        {
            let done = test.post(&rename, json!({ "name": from, "new_name": to })).await;
            assert_eq!(ok(&done)["registered_model"]["name"], to);
            let version = test.get(&format!("{MLFLOW}/model-versions/get?name={to}&version=1")).await;
            assert_eq!(ok(&version)["model_version"]["name"], to);
        }
        assert_eq!(test.get(&format!("{UNITY}/models/prod.risk.fraud")).await.status, 404);
        assert_ne!(make_model(&test, "prod.risk.fraud").await, id);
    });
}

#[test]
fn a_renamed_model_keeps_its_history_and_a_deleted_name_begins_anew() {
    on_every_store(|test| async move {
        make_model(&test, "m").await;
        let alias = |name: &str| json!({ "name": name, "alias": "champion", "version": "1" });
        make_version(&test, "m").await;
        ok(&test.post(&format!("{MLFLOW}/registered-models/alias"), alias("m")).await);
        let rename = json!({ "name": "m", "new_name": "n" });
        ok(&test.post(&format!("{MLFLOW}/registered-models/rename"), rename).await);
        let moves = async |name: &str| test.get(&format!("/api/1.0/history?name={name}@champion")).await;
        assert_eq!(ok(&moves("n").await)["moves"][0]["to_version"], 1);
        assert_eq!(moves("m").await.status, 404);
        ok(&send(&test, "DELETE", &format!("{MLFLOW}/registered-models/delete"), json!({ "name": "n" }))
            .await);
        make_model(&test, "n").await;
        assert_eq!(moves("n").await.status, 404);
        assert_eq!(make_version(&test, "n").await, "1");
        ok(&test.post(&format!("{MLFLOW}/registered-models/alias"), alias("n")).await);
        assert_eq!(ok(&moves("n").await)["moves"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn a_model_called_like_a_run_is_found_by_its_name() {
    on_every_store(|test| async move {
        let name = "0123456789abcdef0123456789abcdef";
        make_model(&test, name).await;
        make_version(&test, name).await;
        let alias = json!({ "name": name, "alias": "champion", "version": "1" });
        ok(&test.post(&format!("{MLFLOW}/registered-models/alias"), alias).await);
        for path in [
            format!("/api/1.0/lineage?name={name}"),
            format!("/api/1.0/lineage?name={name}&kind=model"),
            format!("/api/1.0/history?name={name}@champion"),
        ] {
            let found = test.get(&path).await;
            assert_eq!(ok(&found)["name"], name, "{path}");
        }
        // What is neither is still told as the run that it looks like.
        let absent = test.get("/api/1.0/lineage?name=fedcba9876543210fedcba9876543210").await;
        assert_eq!(absent.status, 404);
        assert!(absent.json["message"].as_str().unwrap().contains("The run 'fedcba"), "{absent:?}");
        let as_run = test.get(&format!("/api/1.0/lineage?name=runs:/{name}")).await;
        assert_eq!(as_run.status, 404, "{as_run:?}");
    });
}
