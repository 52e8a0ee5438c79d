//! Registered models and their versions on three faces.

use serde_json::{Value, json};

use super::{Example, OPEN};

/// MLflow's plain registry.
pub fn mlflow() -> Vec<Example> {
    [plain_models(), plain_versions()].concat()
}

fn plain_models() -> Vec<Example> {
    const ALIAS: &str = "/api/2.0/mlflow/registered-models/alias";
    const LATEST: &str = "/api/2.0/mlflow/registered-models/get-latest-versions";
    const SEARCH: &str = "/api/2.0/mlflow/registered-models/search";
    let model = json!({ "name": "$model$" });
    let made = json!({ "name": "$fresh$", "description": "words", "tags": [{ "key": "a", "value": "b" }] });
    let stages = json!({ "name": "$model$", "stages": ["None"] });
    let search = json!({ "filter": "name LIKE 'n%'", "max_results": 5, "order_by": ["name ASC"] });
    let alias = json!({ "name": "$model$", "alias": "champion" });
    vec![
        Example::new("POST", "/api/2.0/mlflow/registered-models/create", made).note(OPEN),
        Example::new("GET", "/api/2.0/mlflow/registered-models/get", model.clone()).note(OPEN),
        Example::new("GET", SEARCH, search.clone()).note(OPEN),
        Example::new("POST", SEARCH, search).note(OPEN),
        Example::new("GET", "/api/2.0/mlflow/registered-models/list", json!({ "max_results": 5 })).note(OPEN),
        Example::new("GET", "/api/2.0/mlflow/databricks/registered-models/get", model.clone()).note(OPEN),
        Example::new("GET", LATEST, stages.clone()).note(OPEN),
        Example::new("POST", LATEST, stages).note(OPEN),
        Example::new(
            "POST",
            "/api/2.0/mlflow/registered-models/rename",
            json!({ "name": "$model$", "new_name": "$fresh$" }),
        ),
        Example::new(
            "PATCH",
            "/api/2.0/mlflow/registered-models/update",
            json!({ "name": "$model$", "description": "other words" }),
        ),
        Example::new("DELETE", "/api/2.0/mlflow/registered-models/delete", model),
        Example::new("POST", "/api/2.0/mlflow/registered-models/set-tag", tag("$model$")),
        Example::new("DELETE", "/api/2.0/mlflow/registered-models/delete-tag", key("$model$")),
        Example::new("POST", ALIAS, json!({ "name": "$model$", "alias": "challenger", "version": "1" })),
        Example::new("GET", ALIAS, alias.clone()).note(OPEN),
        Example::new("DELETE", ALIAS, alias),
    ]
}

fn plain_versions() -> Vec<Example> {
    const SEARCH: &str = "/api/2.0/mlflow/model-versions/search";
    let version = json!({ "name": "$model$", "version": "1" });
    let made = json!({
        "name": "$model$", "source": "models:/$logged$", "run_id": "$run$", "model_id": "$logged$",
        "run_link": "https://example.com/run", "description": "words", "tags": [{ "key": "a", "value": "b" }],
    });
    let search =
        json!({ "filter": "name = '$model$'", "max_results": 5, "order_by": ["version_number DESC"] });
    let stage = json!({
        "name": "$model$", "version": "1", "stage": "Staging", "archive_existing_versions": true,
    });
    vec![
        Example::new("POST", "/api/2.0/mlflow/model-versions/create", made),
        Example::new("GET", "/api/2.0/mlflow/model-versions/get", version.clone()).note(OPEN),
        Example::new("GET", "/api/2.0/mlflow/model-versions/get-download-uri", version.clone()).note(OPEN),
        Example::new("GET", SEARCH, search.clone()).note(OPEN),
        Example::new("POST", SEARCH, search).note(OPEN),
        Example::new("POST", "/api/2.0/mlflow/databricks/model-versions/transition-stage", stage.clone()),
        Example::new("PATCH", "/api/2.0/mlflow/model-versions/update", described("$model$")),
        Example::new("POST", "/api/2.0/mlflow/model-versions/transition-stage", stage),
        Example::new("POST", "/api/2.0/mlflow/model-versions/set-tag", of_version(tag("$model$"))),
        Example::new("DELETE", "/api/2.0/mlflow/model-versions/delete-tag", of_version(key("$model$"))),
        Example::new("DELETE", "/api/2.0/mlflow/model-versions/delete", version),
    ]
}

/// Who is told of what happens to models.
pub fn webhooks() -> Vec<Example> {
    const ALL: &str = "/api/2.0/mlflow/webhooks";
    const ONE: &str = "/api/2.0/mlflow/webhooks/{webhook_id}";
    let event = json!({ "entity": "MODEL_VERSION", "action": "CREATED" });
    let wanted = |mut more: Value| {
        more["name"] = json!("ci");
        more["description"] = json!("words");
        more["url"] = json!("https://127.0.0.1:9/hook");
        more["events"] = json!([event]);
        more["secret"] = json!("hush");
        more["status"] = json!("ACTIVE");
        more
    };
    let one = json!({ "webhook_id": "$webhook$" });
    let page = json!({ "max_results": 5, "page_token": "" });
    vec![
        Example::new("POST", ALL, wanted(json!({})))
            .note("what leaves the server is a matter of administrators"),
        Example::new("GET", ALL, page.clone()),
        Example::new("GET", ONE, one.clone()),
        Example::new("PATCH", ONE, wanted(one.clone())),
        Example::new("DELETE", ONE, one),
        Example::new(
            "POST",
            "/api/2.0/mlflow/webhooks/{webhook_id}/test",
            json!({ "webhook_id": "$webhook$", "event": event }),
        )
        .note("sends an example, and changes nothing"),
        Example::new(
            "GET",
            "/api/1.0/webhooks/{webhook_id}/deliveries",
            json!({ "webhook_id": "$webhook$", "state": "failed", "max_results": 5, "page_token": "" }),
        ),
    ]
}

/// MLflow's client of governed models.
pub fn databricks() -> Vec<Example> {
    [governed_models(), governed_versions()].concat()
}

fn governed_models() -> Vec<Example> {
    const ALIAS: &str = "/api/2.0/mlflow/unity-catalog/registered-models/alias";
    const SWITCH: &str = "/api/2.0/mlflow/unity-catalog/registered-models:is-databricks-sdk-models-artifact-repository-enabled";
    let model = json!({ "name": "$gov$" });
    let made =
        json!({ "name": "$schema$.$fresh$", "description": "words", "tags": [{ "key": "a", "value": "b" }] });
    let alias = json!({ "name": "$gov$", "alias": "champion" });
    vec![
        Example::new("POST", "/api/2.0/mlflow/unity-catalog/registered-models/create", made),
        Example::new("GET", "/api/2.0/mlflow/unity-catalog/registered-models/get", model.clone()),
        Example::new(
            "GET",
            "/api/2.0/mlflow/unity-catalog/registered-models/search",
            json!({ "max_results": 5 }),
        )
        .note("lists what the caller may read"),
        Example::new(
            "PATCH",
            "/api/2.0/mlflow/unity-catalog/registered-models/update",
            json!({ "name": "$gov$", "new_name": "$schema$.$fresh$", "description": "other words" }),
        ),
        Example::new("DELETE", "/api/2.0/mlflow/unity-catalog/registered-models/delete", model),
        Example::new("POST", "/api/2.0/mlflow/unity-catalog/registered-models/set-tag", tag("$gov$")),
        Example::new("DELETE", "/api/2.0/mlflow/unity-catalog/registered-models/delete-tag", key("$gov$")),
        Example::new("POST", ALIAS, json!({ "name": "$gov$", "alias": "challenger", "version": "1" })),
        Example::new("GET", ALIAS, alias.clone()),
        Example::new("DELETE", ALIAS, alias),
        Example::new("GET", SWITCH, json!({})),
    ]
}

fn governed_versions() -> Vec<Example> {
    const ON: &str = "POST";
    let version = json!({ "name": "$gov$", "version": "1" });
    let made = json!({
        "name": "$gov$", "source": "models:/$logged$", "run_id": "$run$", "model_id": "$logged$",
        "description": "words", "tags": [{ "key": "a", "value": "b" }],
    });
    let search = json!({ "filter": "name = '$gov$'", "max_results": 5 });
    let operation = json!({ "name": "$gov$", "version": "1", "operation": "MODEL_VERSION_OPERATION_READ" });
    vec![
        Example::new(ON, "/api/2.0/mlflow/unity-catalog/model-versions/create", made),
        Example::new(
            ON,
            "/api/2.0/mlflow/unity-catalog/model-versions/finalize",
            json!({ "name": "$gov$", "version": "$gov2$" }),
        ),
        Example::new("GET", "/api/2.0/mlflow/unity-catalog/model-versions/get", version.clone()),
        Example::new("GET", "/api/2.0/mlflow/unity-catalog/model-versions/get-download-uri", version.clone()),
        Example::new("GET", "/api/2.0/mlflow/unity-catalog/model-versions/search", search)
            .note("lists what the caller may read"),
        Example::new("PATCH", "/api/2.0/mlflow/unity-catalog/model-versions/update", described("$gov$")),
        Example::new("DELETE", "/api/2.0/mlflow/unity-catalog/model-versions/delete", version.clone()),
        Example::new(ON, "/api/2.0/mlflow/unity-catalog/model-versions/set-tag", of_version(tag("$gov$"))),
        Example::new(
            "DELETE",
            "/api/2.0/mlflow/unity-catalog/model-versions/delete-tag",
            of_version(key("$gov$")),
        ),
        Example::new(ON, "/api/2.0/mlflow/unity-catalog/model-versions/emit-lineage", version),
        Example::new(
            ON,
            "/api/2.0/mlflow/unity-catalog/model-versions/generate-temporary-credentials",
            operation,
        ),
    ]
}

/// Unity Catalog's models.
pub fn unity() -> Vec<Example> {
    [unity_models(), unity_versions()].concat()
}

fn unity_models() -> Vec<Example> {
    const ALL: &str = "/api/2.1/unity-catalog/models";
    const ONE: &str = "/api/2.1/unity-catalog/models/{full_name}";
    const ALIAS: &str = "/api/2.1/unity-catalog/models/{full_name}/aliases/{alias}";
    const TAGS: &str = "/api/2.1/unity-catalog/securable-tags/{securable_type}/{full_name}";
    let made = json!({
        "name": "$fresh$", "catalog_name": "$catalog$", "schema_name": "$s$", "comment": "words",
        "tags": [{ "key": "a", "value": "b" }],
    });
    let model = json!({ "full_name": "$gov$" });
    let alias = json!({ "full_name": "$gov$", "alias": "champion" });
    let tags = json!({ "securable_type": "FUNCTION", "full_name": "$gov$", "changes": changes() });
    vec![
        Example::new("POST", ALL, made),
        Example::new(
            "GET",
            ALL,
            json!({ "catalog_name": "$catalog$", "schema_name": "$s$", "max_results": 5 }),
        )
        .note("lists what the caller may read"),
        Example::new("GET", ONE, model.clone()),
        Example::new(
            "PATCH",
            ONE,
            json!({ "full_name": "$gov$", "new_name": "$fresh$", "comment": "other" }),
        ),
        Example::new("DELETE", ONE, model),
        Example::new("GET", ALIAS, alias.clone()),
        Example::new("PUT", ALIAS, json!({ "full_name": "$gov$", "alias": "challenger", "version_num": 1 })),
        Example::new("DELETE", ALIAS, alias),
        Example::new("PATCH", TAGS, tags),
    ]
}

fn unity_versions() -> Vec<Example> {
    const ALL: &str = "/api/2.1/unity-catalog/models/{full_name}/versions";
    const ONE: &str = "/api/2.1/unity-catalog/models/{full_name}/versions/{version}";
    const TAGS: &str = "/api/2.1/unity-catalog/subentity-tags/{securable_type}/{full_name}/{version}";
    let made = json!({
        "model_name": "m", "catalog_name": "$catalog$", "schema_name": "$s_of_gov$", "source": "models:/$logged$",
        "run_id": "$run$", "model_id": "$logged$", "comment": "words", "tags": [{ "key": "a", "value": "b" }],
    });
    let version = json!({ "full_name": "$gov$", "version": 1 });
    let tags =
        json!({ "securable_type": "FUNCTION", "full_name": "$gov$", "version": 1, "changes": changes() });
    let files =
        json!({ "catalog_name": "$catalog$", "schema_name": "$s_of_gov$", "model_name": "m", "version": 1 });
    vec![
        Example::new("POST", "/api/2.1/unity-catalog/models/versions", made),
        Example::new("GET", ALL, json!({ "full_name": "$gov$", "max_results": 5 })),
        Example::new("GET", ONE, version.clone()),
        Example::new("PATCH", ONE, json!({ "full_name": "$gov$", "version": 1, "comment": "other words" })),
        Example::new("DELETE", ONE, version),
        Example::new(
            "PATCH",
            "/api/2.1/unity-catalog/models/{full_name}/versions/{version}/finalize",
            json!({ "full_name": "$gov$", "version": "$gov2$" }),
        ),
        Example::new("PATCH", TAGS, tags),
        Example::new("POST", "/api/2.1/unity-catalog/temporary-model-version-credentials", files),
    ]
}

fn tag(name: &str) -> Value {
    json!({ "name": name, "key": "k", "value": "v" })
}

fn key(name: &str) -> Value {
    json!({ "name": name, "key": "t" })
}

fn of_version(mut fields: Value) -> Value {
    fields["version"] = json!("1");
    fields
}

fn described(name: &str) -> Value {
    json!({ "name": name, "version": "1", "description": "other words" })
}

fn changes() -> Value {
    json!({ "add_tags": [{ "key": "a", "value": "b" }], "remove": ["t"] })
}
