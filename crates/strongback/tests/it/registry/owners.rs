//! Who may do what: owners and strangers, in a schema of their own and in the default one, on every face.

use http::header;
use serde_json::{Value, json};
use strongback::{
    auth::Caller,
    catalog::{
        principals::{CreateRequest, principal_create},
        tokens::{self, token_create},
    },
    db::{Origin, Sql},
    registry::names::{self, Levels},
};

use super::{GOVERNED, MLFLOW, UNITY};
use crate::support::{Answer, TestApp, ok, on_every_store_with, request};

const DENIED: &str = "PERMISSION_DENIED";

/// Somebody with a token.
struct Person<'t> {
    test: &'t TestApp,
    token: String,
}

impl<'t> Person<'t> {
    async fn new(test: &'t TestApp, name: &str, admin: bool) -> Self {
        let ctx = test.system();
        principal_create(&ctx, CreateRequest { name: name.into(), kind: None, admin }).await.unwrap();
        let asked = tokens::CreateRequest { principal: Some(name.into()), ..Default::default() };
        Self { test, token: token_create(&ctx, asked).await.unwrap().token_value }
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        let mut request = request(method, path, (method != "GET").then_some(body));
        let bearer = format!("Bearer {}", self.token).parse().unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        self.test.send(request).await
    }

    async fn make(&self, name: &str) -> Answer {
        self.call("POST", &format!("{MLFLOW}/registered-models/create"), json!({ "name": name })).await
    }

    async fn make_version(&self, name: &str) -> Answer {
        let body = json!({ "name": name, "source": "s3://bucket/model" });
        self.call("POST", &format!("{MLFLOW}/model-versions/create"), body).await
    }

    /// Names of the models that a search shows.
    async fn sees(&self) -> Vec<String> {
        let found = self.call("GET", &format!("{MLFLOW}/registered-models/search"), json!({})).await;
        let models = ok(&found)["registered_models"].as_array().cloned().unwrap_or_default();
        models.iter().map(|model| model["name"].as_str().unwrap().to_owned()).collect()
    }

    /// What happens when everything is tried that changes a model; last comes its deletion.
    async fn tries(&self, name: &str) -> Vec<String> {
        let version = json!({ "name": name, "version": "1", "key": "a", "value": "b", "description": "words",
            "alias": "champion", "source": "s3://bucket/model", "stage": "Staging", "new_name": format!("{name}2") });
        let calls = [
            ("POST", format!("{MLFLOW}/model-versions/create")),
            ("POST", format!("{GOVERNED}/model-versions/create")),
            ("PATCH", format!("{MLFLOW}/model-versions/update")),
            ("POST", format!("{MLFLOW}/model-versions/set-tag")),
            ("POST", format!("{GOVERNED}/model-versions/set-tag")),
            ("DELETE", format!("{MLFLOW}/model-versions/delete-tag")),
            ("POST", format!("{MLFLOW}/model-versions/transition-stage")),
            ("POST", format!("{GOVERNED}/model-versions/finalize")),
            ("POST", format!("{MLFLOW}/registered-models/alias")),
            ("POST", format!("{GOVERNED}/registered-models/alias")),
            ("DELETE", format!("{MLFLOW}/registered-models/alias")),
            ("POST", format!("{MLFLOW}/registered-models/set-tag")),
            ("PATCH", format!("{MLFLOW}/registered-models/update")),
            ("POST", format!("{MLFLOW}/registered-models/rename")),
            ("DELETE", format!("{MLFLOW}/model-versions/delete")),
            ("DELETE", format!("{GOVERNED}/registered-models/delete")),
            ("DELETE", format!("{MLFLOW}/registered-models/delete")),
        ];
        let mut outcomes = Vec::new();
        for (method, path) in calls {
            let answer = self.call(method, &path, version.clone()).await;
            outcomes.push(answer.json["error_code"].as_str().unwrap_or("ok").to_owned());
        }
        outcomes
    }
}

async fn set_up(test: &TestApp) -> Person<'_> {
    let admin = Person::new(test, "admin", true).await;
    ok(&admin.call("POST", &format!("{UNITY}/catalogs"), json!({ "name": "prod" })).await);
    let schema = json!({ "name": "risk", "catalog_name": "prod" });
    ok(&admin.call("POST", &format!("{UNITY}/schemas"), schema).await);
    for name in ["prod.risk.m", "plain"] {
        ok(&admin.make(name).await);
        ok(&admin.make_version(name).await);
    }
    admin
}

fn with_tokens<F: Future<Output = ()>>(test: impl Fn(TestApp) -> F) {
    on_every_store_with(&[("auth", "tokens")], test);
}

#[test]
fn a_stranger_changes_nothing_and_sees_the_default_schema() {
    with_tokens(async |test: TestApp| {
        let admin = set_up(&test).await;
        let ana = Person::new(&test, "ana", false).await;
        for name in ["prod.risk.m", "plain"] {
            let outcomes = ana.tries(name).await;
            assert!(outcomes.iter().all(|outcome| outcome == DENIED), "{name}: {outcomes:?}");
        }
        assert_eq!(ana.make("prod.risk.hers").await.error_code(), DENIED);
        assert_eq!(ana.sees().await, ["plain"]);
        assert_eq!(admin.sees().await, ["plain", "prod.risk.m"]);
        for path in [
            format!("{MLFLOW}/registered-models/get?name=prod.risk.m"),
            format!("{MLFLOW}/model-versions/get-download-uri?name=prod.risk.m&version=1"),
            format!("{GOVERNED}/model-versions/get?name=prod.risk.m&version=1"),
            format!("{UNITY}/models/prod.risk.m"),
            format!("{UNITY}/models/prod.risk.m/versions"),
            format!("{UNITY}/models/prod.risk.m/aliases/latest"),
        ] {
            assert_eq!(ana.call("GET", &path, json!({})).await.error_code(), DENIED, "{path}");
        }
        // Not through a search by its name, nor by what it was made of.
        for filter in ["name='prod.risk.m'", "source_path='s3://bucket/model'"] {
            let path = format!("{MLFLOW}/model-versions/search?filter={filter}");
            let found = ana.call("GET", &path, json!({})).await;
            assert!(!ok(&found).to_string().contains("prod.risk.m"), "{filter}: {found:?}");
        }
        // Nor by copying it into a model of her own.
        ok(&ana.make("of-ana").await);
        let body = json!({ "name": "of-ana", "source": "models:/prod.risk.m/1" });
        let copied = ana.call("POST", &format!("{MLFLOW}/model-versions/create"), body).await;
        assert_eq!(copied.error_code(), DENIED);
    });
}

#[test]
fn whoever_makes_a_model_owns_it() {
    with_tokens(async |test: TestApp| {
        set_up(&test).await;
        let (ana, bob) = (Person::new(&test, "ana", false).await, Person::new(&test, "bob", false).await);
        ok(&ana.make("of-ana").await);
        ok(&ana.make_version("of-ana").await);
        assert_eq!(bob.sees().await, ["of-ana", "plain"]);
        assert_eq!(bob.make_version("of-ana").await.error_code(), DENIED);
        let body = json!({ "name": "of-ana", "alias": "champion", "version": "1" });
        let alias = format!("{MLFLOW}/registered-models/alias");
        assert_eq!(bob.call("POST", &alias, body.clone()).await.error_code(), DENIED);
        ok(&ana.call("POST", &alias, body).await);
        // She may give it away, and then it is hers no more.
        let path = format!("{UNITY}/models/main.default.of-ana");
        assert_eq!(bob.call("PATCH", &path, json!({ "owner": "bob" })).await.error_code(), DENIED);
        ok(&ana.call("PATCH", &path, json!({ "owner": "bob" })).await);
        assert_eq!(ana.make_version("of-ana").await.error_code(), DENIED);
        ok(&bob.make_version("of-ana").await);
        // Moving it into a schema needs a right there.
        let body = json!({ "name": "of-ana", "new_name": "prod.risk.of-bob" });
        let moved = bob.call("POST", &format!("{MLFLOW}/registered-models/rename"), body).await;
        assert_eq!(moved.error_code(), DENIED);
        ok(&bob
            .call("DELETE", &format!("{MLFLOW}/registered-models/delete"), json!({ "name": "of-ana" }))
            .await);
    });
}

#[test]
fn an_older_plain_model_stands_in_no_ones_way_and_only_its_readers_are_told_of_it() {
    with_tokens(async |test: TestApp| {
        let admin = Person::new(&test, "admin", true).await;
        let ana = Person::new(&test, "ana", false).await;
        ok(&ana.make("newcat.s.m").await);
        ok(&ana.make_version("newcat.s.m").await);
        ok(&admin.call("POST", &format!("{UNITY}/catalogs"), json!({ "name": "newcat" })).await);
        let schema = json!({ "name": "s", "catalog_name": "newcat" });
        ok(&admin.call("POST", &format!("{UNITY}/schemas"), schema).await);
        let path = format!("{MLFLOW}/registered-models/get?name=newcat.s.m");
        let missing = admin.call("GET", &path, json!({})).await;
        let told =
            |answer: &Answer| answer.json["message"].as_str().unwrap().contains("main.default.newcat~0s~0m");
        assert!(missing.status == 404 && told(&missing), "{missing:?}");
        // Whoever has a token may read the default schema; whoever has none is told nothing.
        let nobody = Origin { caller: Caller::nobody(), ..Origin::system() };
        let load = |sql: &mut Sql<'_>| names::load(sql, "newcat.s.m", Levels::Any).map(|_| ());
        let error = test.app.db.read(&nobody, load).await.unwrap_err();
        assert_eq!(error.message(), "Registered Model with name=newcat.s.m not found");
        // What was put there is served to nobody under the governed name, and blocks nothing.
        let alias = format!("{GOVERNED}/registered-models/alias?name=newcat.s.m&alias=latest");
        assert_eq!(admin.call("GET", &alias, json!({})).await.status, 404);
        assert_eq!(ana.make("newcat.s.m").await.error_code(), DENIED);
        let body = json!({ "name": "newcat.s.m" });
        ok(&admin.call("POST", &format!("{GOVERNED}/registered-models/create"), body).await);
        assert_eq!(ana.call("GET", &path, json!({})).await.error_code(), DENIED);
    });
}

#[test]
fn a_rename_tells_no_stranger_which_names_are_there() {
    with_tokens(async |test: TestApp| {
        let admin = set_up(&test).await;
        ok(&admin.make("prod.risk.Secret_Model").await);
        let bob = Person::new(&test, "bob", false).await;
        ok(&bob.make("of-bob").await);
        for new_name in ["PROD.RISK.secret_model", "PROD.RISK.none"] {
            for (method, path) in [
                ("POST", format!("{MLFLOW}/registered-models/rename")),
                ("PATCH", format!("{GOVERNED}/registered-models/update")),
            ] {
                let name = if path.starts_with(GOVERNED) { "main.default.of-bob" } else { "of-bob" };
                let body = json!({ "name": name, "new_name": new_name });
                let refused = bob.call(method, &path, body).await;
                assert_eq!(refused.error_code(), DENIED, "{new_name}: {refused:?}");
                assert!(!refused.json.to_string().contains("Secret_Model"), "{refused:?}");
            }
            let body = json!({ "new_name": new_name });
            let path = format!("{UNITY}/models/main.default.of-bob");
            assert_eq!(bob.call("PATCH", &path, body).await.error_code(), DENIED, "{new_name}");
        }
    });
}
