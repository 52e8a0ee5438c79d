//! What Unity Catalog's clients can ask for and this product does not have is refused by name, and nothing is changed.

use serde_json::{Value, json};

use crate::support::{TestApp, ok, on_every_store, request};

const UNITY: &str = "/api/2.1/unity-catalog";

async fn events(test: &TestApp) -> usize {
    let log = test.get("/api/1.0/audit-log?max_results=1000").await;
    ok(&log)["events"].as_array().unwrap().len()
}

/// Adds a field to the body of a call.
async fn with(
    test: &TestApp,
    call: (&str, &str, &Value),
    field: &str,
    value: Value,
) -> crate::support::Answer {
    let (method, path, body) = call;
    let mut body = body.clone();
    body[field] = value;
    test.send(request(method, &format!("{UNITY}/{path}"), Some(body))).await
}

#[test]
fn what_would_be_dropped_is_refused_and_what_is_so_anyway_is_not() {
    on_every_store(async |test: TestApp| {
        ok(&test.post(&format!("{UNITY}/catalogs"), json!({ "name": "prod" })).await);
        let schema = json!({ "name": "risk", "catalog_name": "prod" });
        ok(&test.post(&format!("{UNITY}/schemas"), schema).await);
        let model = json!({ "name": "m", "catalog_name": "prod", "schema_name": "risk" });
        ok(&test.post(&format!("{UNITY}/models"), model).await);
        let version =
            json!({ "model_name": "m", "catalog_name": "prod", "schema_name": "risk", "source": "s3://b/m" });
        ok(&test.post(&format!("{UNITY}/models/versions"), version).await);

        let catalog = [
            "isolation_mode",
            "options",
            "connection_name",
            "provider_name",
            "share_name",
            "managed_encryption_settings",
        ];
        let both = ["storage_root", "enable_predictive_optimization", "custom_max_retention_hours"];
        let model = ["aliases", "storage_location", "owner"];
        let model_update = ["aliases", "storage_location", "name", "catalog_name", "schema_name"];
        let version =
            ["aliases", "storage_location", "source", "run_id", "status", "model_version_dependencies"];
        let new_schema = json!({ "name": "other", "catalog_name": "prod" });
        let new_model = json!({ "name": "other", "catalog_name": "prod", "schema_name": "risk" });
        let (new_catalog, comment) = (json!({ "name": "other" }), json!({ "comment": "words" }));
        for (method, path, body, fields) in [
            ("POST", "catalogs", &new_catalog, [&catalog[..], &both].concat()),
            ("PATCH", "catalogs/prod", &comment, [&catalog[..], &both].concat()),
            ("POST", "schemas", &new_schema, both.to_vec()),
            ("PATCH", "schemas/prod.risk", &comment, both.to_vec()),
            ("POST", "models", &new_model, model.to_vec()),
            ("PATCH", "models/prod.risk.m", &comment, model_update.to_vec()),
            ("PATCH", "models/prod.risk.m/versions/1", &comment, version.to_vec()),
        ] {
            let before = events(&test).await;
            for field in fields {
                let value = match field {
                    "options" | "managed_encryption_settings" | "model_version_dependencies" => {
                        json!({ "k": "v" })
                    }
                    "aliases" => json!([{ "alias_name": "champion", "version_num": 1 }]),
                    "custom_max_retention_hours" => json!(24),
                    _ => json!("ISOLATED"),
                };
                let refused = with(&test, (method, path, body), field, value).await;
                assert_eq!(
                    (refused.status, refused.error_code()),
                    (400, "INVALID_PARAMETER_VALUE"),
                    "{method} {path} {field}: {refused:?}"
                );
                let message = refused.json["message"].as_str().unwrap();
                assert!(message.contains(&format!("'{field}'")), "{field}: {message}");
            }
            assert_eq!(events(&test).await, before, "{method} {path}");
        }
        for (path, field, value) in [
            ("catalogs/prod", "isolation_mode", json!("OPEN")),
            ("catalogs/prod", "enable_predictive_optimization", json!("INHERIT")),
            ("catalogs/prod", "options", json!({})),
            ("catalogs/prod", "storage_root", json!("")),
            ("catalogs/prod", "custom_max_retention_hours", json!(null)),
            ("schemas/prod.risk", "enable_predictive_optimization", json!("INHERIT")),
            ("models/prod.risk.m", "name", json!("M")),
            ("models/prod.risk.m", "aliases", json!([])),
            ("models/prod.risk.m/versions/1", "aliases", json!([])),
        ] {
            ok(&with(&test, ("PATCH", path, &comment), field, value).await);
        }
        ok(&with(&test, ("POST", "models", &new_model), "owner", json!("local")).await);
    });
}
