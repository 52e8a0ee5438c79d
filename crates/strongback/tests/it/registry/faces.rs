//! What one face writes, all faces show.

use serde_json::{Value, json};

use super::{GOVERNED, MLFLOW, UNITY, prod_risk, send};
use crate::support::{TestApp, ok, on_every_store};

const NAME: &str = "prod.risk.fraud";

/// A model as each face shows it, brought to one form: name, description, aliases, tags.
async fn models(test: &TestApp) -> [Value; 3] {
    let mlflow_form = |answer: &Value| {
        let model = &answer["registered_model"];
        json!([model["name"], model["description"], model["aliases"], model["tags"]])
    };
    let plain = test.get(&format!("{MLFLOW}/registered-models/get?name={NAME}")).await;
    let governed = test.get(&format!("{GOVERNED}/registered-models/get?name={NAME}")).await;
    let unity = test.get(&format!("{UNITY}/models/{NAME}?include_aliases=true")).await;
    let aliases = ok(&unity)["aliases"].as_array().unwrap().iter();
    let aliases: Vec<Value> = aliases
        .map(|alias| json!({ "alias": alias["alias_name"], "version": alias["version_num"].to_string() }))
        .collect();
    [
        mlflow_form(ok(&plain)),
        mlflow_form(ok(&governed)),
        json!([unity.json["full_name"], unity.json["comment"], aliases, unity.json["tags"]]),
    ]
}

/// The same of a version: number, status, source, description, tags.
async fn versions(test: &TestApp, number: &str) -> [Value; 3] {
    let mlflow_form = |answer: &Value| {
        let version = &answer["model_version"];
        json!([
            version["version"],
            version["status"],
            version["source"],
            // Where there is none, MLflow's face has an empty text and the others nothing.
            version["description"].as_str().unwrap_or_default(),
            version["tags"]
        ])
    };
    let query = format!("model-versions/get?name={NAME}&version={number}");
    let plain = test.get(&format!("{MLFLOW}/{query}")).await;
    let governed = test.get(&format!("{GOVERNED}/{query}")).await;
    let unity = test.get(&format!("{UNITY}/models/{NAME}/versions/{number}")).await;
    let version = ok(&unity);
    [
        mlflow_form(ok(&plain)),
        mlflow_form(ok(&governed)),
        json!([
            version["version"].to_string(),
            version["status"],
            version["source"],
            version["comment"].as_str().unwrap_or_default(),
            version["tags"]
        ]),
    ]
}

fn check_alike(seen: &[Value; 3]) -> &Value {
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    &seen[0]
}

#[test]
fn a_model_is_one_through_all_faces() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        let body = json!({ "name": "fraud", "catalog_name": "prod", "schema_name": "risk", "comment": "words",
            "tags": [{ "key": "team", "value": "risk" }] });
        ok(&test.post(&format!("{UNITY}/models"), body).await);
        let expected = json!([NAME, "words", null, [{ "key": "team", "value": "risk" }]]);
        let seen = models(&test).await;
        assert_eq!(seen[0], expected);

        let source = json!({ "name": NAME, "source": "s3://bucket/model" });
        ok(&test.post(&format!("{MLFLOW}/model-versions/create"), source.clone()).await);
        ok(&test.post(&format!("{GOVERNED}/model-versions/create"), source).await);
        let body = json!({ "model_name": "fraud", "catalog_name": "prod", "schema_name": "risk", "source": "s3://b/c",
            "comment": "third" });
        ok(&test.post(&format!("{UNITY}/models/versions"), body).await);
        for (number, status) in [("1", "READY"), ("2", "PENDING_REGISTRATION"), ("3", "PENDING_REGISTRATION")]
        {
            assert_eq!(check_alike(&versions(&test, number).await)[1], status);
        }
        ok(&test
            .post(&format!("{GOVERNED}/model-versions/finalize"), json!({ "name": NAME, "version": "2" }))
            .await);
        ok(&send(&test, "PATCH", &format!("{UNITY}/models/{NAME}/versions/3/finalize"), json!({})).await);

        // A change through each face.
        let alias = |alias: &str, version: &str| json!({ "name": NAME, "alias": alias, "version": version });
        ok(&test.post(&format!("{MLFLOW}/registered-models/alias"), alias("a", "1")).await);
        ok(&test.post(&format!("{GOVERNED}/registered-models/alias"), alias("b", "2")).await);
        ok(&send(&test, "PUT", &format!("{UNITY}/models/{NAME}/aliases/c"), json!({ "version_num": 3 }))
            .await);
        let tag = |key: &str| json!({ "name": NAME, "version": "3", "key": key, "value": "x" });
        ok(&test.post(&format!("{MLFLOW}/model-versions/set-tag"), tag("a")).await);
        ok(&test.post(&format!("{GOVERNED}/model-versions/set-tag"), tag("b")).await);
        let changes = json!({ "changes": { "add_tags": [{ "key": "c", "value": "x" }], "remove": ["a"] } });
        ok(&send(&test, "PATCH", &format!("{UNITY}/subentity-tags/FUNCTION/{NAME}/3"), changes).await);
        ok(&send(
            &test,
            "PATCH",
            &format!("{GOVERNED}/registered-models/update"),
            json!({ "name": NAME, "description": "other" }),
        )
        .await);

        let aliases = json!([{ "alias": "a", "version": "1" }, { "alias": "b", "version": "2" },
            { "alias": "c", "version": "3" }]);
        assert_eq!(
            *check_alike(&models(&test).await),
            json!([NAME, "other", aliases, [{ "key": "team", "value": "risk" }]])
        );
        let tags = json!([{ "key": "b", "value": "x" }, { "key": "c", "value": "x" }]);
        assert_eq!(
            *check_alike(&versions(&test, "3").await),
            json!(["3", "READY", "s3://b/c", "third", tags])
        );
    });
}

#[test]
fn a_change_without_a_comment_leaves_it() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        super::make_model(&test, NAME).await;
        super::make_version(&test, NAME).await;
        let path = format!("{UNITY}/models/{NAME}/versions/1");
        ok(&send(&test, "PATCH", &path, json!({ "comment": "words" })).await);
        assert_eq!(ok(&send(&test, "PATCH", &path, json!({})).await)["comment"], "words");
        assert_eq!(check_alike(&versions(&test, "1").await)[3], "words");
    });
}

#[test]
fn what_is_gone_is_gone_for_all_in_the_words_of_each() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        super::make_model(&test, NAME).await;
        let alias = format!("registered-models/alias?name={NAME}&alias=champion");
        // MLflow's plain client expects 400 for a missing alias, the others 404.
        let plain = test.get(&format!("{MLFLOW}/{alias}")).await;
        assert_eq!((plain.status, plain.error_code()), (400, "INVALID_PARAMETER_VALUE"));
        for path in [format!("{GOVERNED}/{alias}"), format!("{UNITY}/models/{NAME}/aliases/champion")] {
            let missing = test.get(&path).await;
            assert_eq!((missing.status, missing.error_code()), (404, "RESOURCE_DOES_NOT_EXIST"), "{path}");
        }
        ok(&send(&test, "DELETE", &format!("{UNITY}/models/{NAME}"), json!({})).await);
        for path in [
            format!("{MLFLOW}/registered-models/get?name={NAME}"),
            format!("{GOVERNED}/registered-models/get?name={NAME}"),
            format!("{UNITY}/models/{NAME}"),
            format!("{UNITY}/models/{NAME}/versions"),
        ] {
            let missing = test.get(&path).await;
            assert_eq!((missing.status, missing.error_code()), (404, "RESOURCE_DOES_NOT_EXIST"), "{path}");
        }
    });
}

#[test]
fn lists_of_unity_catalog_continue() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        for name in ["prod.risk.a", "prod.risk.b", "plain"] {
            super::make_model(&test, name).await;
        }
        for _ in 0..3 {
            super::make_version(&test, "prod.risk.a").await;
        }
        for (path, key, field, expected) in [
            (
                "models",
                "registered_models",
                "full_name",
                json!(["main.default.plain", "prod.risk.a", "prod.risk.b"]),
            ),
            ("models/prod.risk.a/versions", "model_versions", "version", json!([1, 2, 3])),
        ] {
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let page = test.get(&format!("{UNITY}/{path}?max_results=1&page_token={token}")).await;
                seen.extend(ok(&page)[key].as_array().unwrap().iter().map(|item| item[field].clone()));
                match page.json["next_page_token"].as_str() {
                    Some(next) => next.clone_into(&mut token),
                    None => break,
                }
            }
            seen.sort_by_key(Value::to_string);
            assert_eq!(json!(seen), expected);
        }
    });
}

#[test]
fn a_version_keeps_its_description_where_the_face_leaves_absent_things() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        super::make_model(&test, NAME).await;
        super::make_version(&test, NAME).await;
        let update = async |face: &str, body: Value| {
            let answer = send(&test, "PATCH", &format!("{face}/model-versions/update"), body).await;
            ok(&answer)["model_version"]["description"].clone()
        };
        let said = json!({ "name": NAME, "version": "1", "description": "hello" });
        assert_eq!(update(GOVERNED, said.clone()).await, "hello");
        let silent = json!({ "name": NAME, "version": "1" });
        assert_eq!(update(GOVERNED, silent.clone()).await, "hello");
        assert_eq!(check_alike(&versions(&test, "1").await)[3], "hello");
        // Empty text takes it away.
        let empty = json!({ "name": NAME, "version": "1", "description": "" });
        assert_eq!(update(GOVERNED, empty).await, Value::Null);
        // MLflow's own server stores what its plain client did not say as no description, and so does this face.
        assert_eq!(update(MLFLOW, said).await, "hello");
        assert_eq!(update(MLFLOW, silent).await, "");
    });
}

#[test]
fn prompts_stand_in_every_list_of_unity_catalog() {
    on_every_store(|test| async move {
        let tags = json!([{ "key": "mlflow.prompt.is_prompt", "value": "true" }]);
        let body = json!({ "name": "greeting", "tags": tags });
        ok(&test.post(&format!("{MLFLOW}/registered-models/create"), body).await);
        for query in ["", "?catalog_name=main&schema_name=default"] {
            let found = test.get(&format!("{UNITY}/models{query}")).await;
            let models = ok(&found)["registered_models"].as_array().unwrap();
            assert_eq!(models.len(), 1, "{query}: {models:?}");
            assert_eq!(models[0]["full_name"], "main.default.greeting");
        }
        // MLflow's faces keep them out of lists of models, as its own server does.
        for face in [MLFLOW, GOVERNED] {
            let found = test.get(&format!("{face}/registered-models/search")).await;
            assert!(!ok(&found).to_string().contains("greeting"), "{found:?}");
        }
    });
}
