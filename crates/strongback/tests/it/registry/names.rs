//! Names: plain ones byte for byte, three-level ones without case, and the places where they meet.

use serde_json::json;
use strongback::db::Origin;

use super::{GOVERNED, MLFLOW, UNITY, make_model, make_version, prod_risk, send};
use crate::support::{TestApp, ok, on_every_store};

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
fn a_name_of_three_parts_is_governed_once_its_schema_is_there() {
    on_every_store(|test| async move {
        let early = make_model(&test, "prod.risk.Early").await;
        make_version(&test, "prod.risk.Early").await;
        let alias = json!({ "name": "prod.risk.Early", "alias": "champion", "version": "1" });
        ok(&test.post(&format!("{MLFLOW}/registered-models/alias"), alias).await);
        prod_risk(&test).await;
        let now = "main.default.prod~0risk~0~early";
        // No face serves it under the governed name; who may read it is told where it is.
        for path in [
            format!("{MLFLOW}/registered-models/get?name=prod.risk.Early"),
            format!("{MLFLOW}/model-versions/get?name=prod.risk.early&version=1"),
            format!("{MLFLOW}/registered-models/alias?name=prod.risk.Early&alias=champion"),
            format!("{GOVERNED}/registered-models/alias?name=prod.risk.Early&alias=champion"),
            format!("{UNITY}/models/prod.risk.Early"),
            format!("{UNITY}/models/PROD.risk.early/aliases/champion"),
            "/api/1.0/model?name=prod.risk.Early".to_owned(),
            "/api/1.0/history?name=prod.risk.Early@champion".to_owned(),
            "/api/1.0/lineage?name=prod.risk.Early".to_owned(),
        ] {
            let missing = test.get(&path).await;
            assert_eq!((missing.status, missing.error_code()), (404, "RESOURCE_DOES_NOT_EXIST"), "{path}");
            assert!(missing.json["message"].as_str().unwrap().contains(now), "{path}: {missing:?}");
        }
        // Its files' path is not that of the governed model either.
        let file = test.get("/api/2.0/fs/files/Models/prod/risk/Early/1/MLmodel").await;
        assert!(
            file.json["message"].as_str().unwrap().contains("name=prod.risk.Early not found"),
            "{file:?}"
        );
        // What lists show is what finds it, with its versions and its history.
        for name in listed(&test).await {
            assert_eq!(name, now);
            let version = test.get(&format!("{MLFLOW}/model-versions/get?name={name}&version=1")).await;
            assert_eq!(ok(&version)["model_version"]["name"], now);
            let moves = test.get(&format!("/api/1.0/history?name={name}@champion")).await;
            assert_eq!(ok(&moves)["moves"][0]["to_version"], 1);
            assert_eq!(ok(&test.get(&format!("{UNITY}/models/{name}")).await)["full_name"], now);
        }
        // The governed one is another model, under its own rules.
        let governed = make_model(&test, "prod.risk.early").await;
        assert_ne!(governed, early);
        let found = test.get(&format!("{GOVERNED}/registered-models/get?name=prod.risk.EARLY")).await;
        assert_eq!(ok(&found)["registered_model"]["name"], "prod.risk.early");
        let missing = test.get(&format!("{MLFLOW}/model-versions/get?name=prod.risk.early&version=1")).await;
        assert_eq!(missing.status, 404);
        assert_eq!(listed(&test).await, [now, "prod.risk.early"]);
    });
}

/// The names that the lists of all faces show, which must be the same.
async fn listed(test: &TestApp) -> Vec<String> {
    let mut seen: Vec<Vec<String>> = Vec::new();
    for (path, list, field) in [
        (format!("{MLFLOW}/registered-models/search?order_by=name"), "registered_models", "name"),
        (format!("{GOVERNED}/registered-models/search?order_by=name"), "registered_models", "name"),
        (format!("{UNITY}/models"), "registered_models", "full_name"),
        ("/api/1.0/overview".to_owned(), "models", "name"),
    ] {
        let answer = test.get(&path).await;
        let mut names: Vec<String> = ok(&answer)[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model[field].as_str().unwrap().to_owned())
            .collect();
        names.sort_unstable();
        seen.push(names);
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    seen.remove(0)
}

#[test]
fn a_plain_name_is_its_own_again_when_the_schema_goes_and_can_be_moved_into_it() {
    on_every_store(|test| async move {
        let early = make_model(&test, "prod.risk.early").await;
        prod_risk(&test).await;
        ok(&send(&test, "DELETE", &format!("{UNITY}/schemas/prod.risk"), json!({})).await);
        let found = test.get(&format!("{MLFLOW}/registered-models/get?name=prod.risk.early")).await;
        assert_eq!(ok(&found)["registered_model"]["name"], "prod.risk.early");
        ok(&test.post(&format!("{UNITY}/schemas"), json!({ "name": "risk", "catalog_name": "prod" })).await);
        // A change that says nothing of the name leaves it.
        let now = "main.default.prod~0risk~0early";
        let body = json!({ "name": now, "description": "words" });
        ok(&send(&test, "PATCH", &format!("{MLFLOW}/registered-models/update"), body).await);
        let body = json!({ "name": now, "new_name": "prod.risk.early" });
        let moved = test.post(&format!("{MLFLOW}/registered-models/rename"), body).await;
        assert_eq!(ok(&moved)["registered_model"]["name"], "prod.risk.early");
        let path = format!("{UNITY}/models/prod.risk.early");
        assert_eq!(ok(&test.get(&path).await)["comment"], "words");
        let found = test
            .app
            .db
            .read(&Origin::system(), |sql| strongback::registry::names::find(sql, "prod.risk.early"))
            .await;
        assert_eq!(found.unwrap(), Some(early));
    });
}

#[test]
fn a_long_plain_name_is_found_by_the_three_levels_that_lists_show() {
    on_every_store(|test| async move {
        // Escaped, it is longer than a leaf and than a plain name may be.
        for name in ["X".repeat(256), format!("prod.risk.{}", "Y".repeat(246))] {
            make_model(&test, &name).await;
        }
        prod_risk(&test).await;
        let page = test.get(&format!("{UNITY}/models?max_results=10")).await;
        let models = ok(&page)["registered_models"].as_array().unwrap().clone();
        assert_eq!(models.len(), 2);
        for model in models {
            let name = model["full_name"].as_str().unwrap();
            assert!(name.len() > 500, "{name}");
            for path in [
                format!("{UNITY}/models/{name}"),
                format!("{MLFLOW}/registered-models/get?name={name}"),
                format!("/api/1.0/model?name={name}"),
                format!("/api/1.0/lineage?name={name}"),
            ] {
                ok(&test.get(&path).await);
            }
            // What says again what the model is called changes nothing of it.
            let leaf = name.strip_prefix("main.default.").unwrap();
            let again =
                json!({ "name": leaf, "catalog_name": "main", "schema_name": "default", "comment": "c" });
            let changed = send(&test, "PATCH", &format!("{UNITY}/models/{name}"), again).await;
            assert_eq!(ok(&changed)["comment"], "c");
        }
        let long = format!("main.default.{}", "x".repeat(257));
        let refused = test.get(&format!("{MLFLOW}/registered-models/get?name={long}")).await;
        assert_eq!((refused.status, refused.error_code()), (400, "INVALID_PARAMETER_VALUE"));
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
