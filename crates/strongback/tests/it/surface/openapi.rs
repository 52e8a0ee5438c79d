//! The OpenAPI document: whole, true to the table, and nothing in it points nowhere. That it is a valid document by the
//! standard's own schema is checked by a validator in the client tests.

use std::collections::HashSet;

use serde_json::Value;
use strongback::router::{self, Policy};

use crate::support::{TestApp, ok, on_every_store_with};

fn document() -> Value {
    router::openapi::document(&router::table())
}

/// Calls `look` with everything in a document.
fn walk(value: &Value, look: &mut impl FnMut(&Value)) {
    look(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|value| walk(value, look)),
        Value::Array(values) => values.iter().for_each(|value| walk(value, look)),
        _ => {}
    }
}

#[test]
fn every_route_is_in_the_document_with_what_it_takes_and_gives() {
    let document = document();
    let mut ids = HashSet::new();
    for route in router::table().iter().filter(|route| !route.is_copy) {
        let what = format!("{} {}", route.method, route.path);
        let operation =
            &document["paths"][route.path.replace("{*", "{")][route.method.as_str().to_lowercase()];
        assert_eq!(operation["summary"], route.summary, "{what}");
        assert!(!route.summary.is_empty(), "{what}");
        assert!(ids.insert(operation["operationId"].clone()), "{what}: its operationId is taken");
        assert_eq!(operation["security"].is_array(), route.policy != Policy::Public, "{what}");
        assert!(
            operation["responses"]["200"].is_object() && operation["responses"]["default"].is_object(),
            "{what}"
        );
        for name in route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            let name = name.trim_start_matches('*');
            let parameters = operation["parameters"].as_array().unwrap();
            let found =
                parameters.iter().any(|parameter| parameter["in"] == "path" && parameter["name"] == name);
            assert!(found, "{what}: {name} is not among the parameters");
        }
    }
}

/// Routes that answer with nothing but a status and headers.
const BARE: &[&str] = &[
    "GET /mlflow",
    "HEAD /api/2.0/fs/directories/{*path}",
    "HEAD /api/2.0/fs/files/{*path}",
    "HEAD /api/2.0/mlflow-artifacts/artifacts/{*path}",
    "PUT /api/2.0/fs/directories/{*path}",
    "DELETE /api/2.0/fs/directories/{*path}",
    "PUT /api/2.0/fs/files/{*path}",
    "DELETE /api/2.0/fs/files/{*path}",
    "PUT /api/2.0/fs/signed/files/{*path}",
    "PUT /api/2.0/fs/signed/parts/{upload}/{part}/{*path}",
    "DELETE /api/2.0/fs/signed/uploads/{upload}/{*path}",
    "PUT /api/2.0/mlflow-artifacts/artifacts/{*path}",
    "PUT /api/2.0/mlflow-artifacts/mpu/part/{upload}/{part}/{*path}",
];

#[test]
fn an_answer_has_a_body_that_is_described_or_none() {
    let document = document();
    for route in router::table().iter().filter(|route| !route.is_copy && !super::examples::is_absent(route)) {
        let what = format!("{} {}", route.method, route.path);
        let operation =
            &document["paths"][route.path.replace("{*", "{")][route.method.as_str().to_lowercase()];
        let is_described = operation["responses"]["200"]["content"].is_object();
        assert_eq!(is_described, !BARE.contains(&what.as_str()), "{what}");
    }
}

#[test]
fn nothing_in_the_document_points_nowhere_or_is_left_unsaid() {
    let document = document();
    let mut targets = HashSet::new();
    walk(&document, &mut |value| {
        // More programs read `{}` than `true`.
        if value["type"] == "object" {
            let mut properties = value["properties"].as_object().into_iter().flatten();
            assert!(properties.all(|(_, schema)| schema.is_object()), "{value}");
        }
        if let Some(target) = value["$ref"].as_str() {
            assert!(
                document.pointer(target.trim_start_matches('#')).is_some(),
                "{target} is not in the document"
            );
            targets.insert(target.to_owned());
        }
    });
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(
            targets.contains(&format!("#/components/schemas/{name}")),
            "the schema {name} is used by nothing"
        );
    }
}

#[test]
fn the_document_is_served_without_a_credential() {
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let served = test.get("/api/openapi.json").await;
        assert_eq!(ok(&served), &document());
        assert_eq!(served.json["openapi"], "3.1.0");
    });
}
