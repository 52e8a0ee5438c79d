//! The OpenAPI document, made from the route table.

use http::Method;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Limits, Policy, Route, table};
use crate::context::Ctx;

/// Where the document is.
pub fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::GET,
        "/api/openapi.json",
        Policy::Public,
        Limits::SMALL,
        "This document",
        |_: Ctx, _: Nothing| async { Ok(Document(document(&table_once()))) },
    )]
}

/// A request without fields.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Nothing {}

#[derive(Serialize, JsonSchema)]
struct Document(Value);

fn table_once() -> Vec<Route> {
    let mirrored = ["/ajax-api/", "/mlflow"];
    table()
        .into_iter()
        .filter(|route| !mirrored.iter().any(|prefix| route.path.starts_with(prefix)))
        .collect()
}

/// The document over a table.
pub fn document(routes: &[Route]) -> Value {
    let mut schemas = SchemaSettings::openapi3().into_generator();
    let mut paths = Map::new();
    for route in routes {
        let path = route.path.replace("{*", "{");
        let operations = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(operations) = operations.as_object_mut() {
            operations.insert(route.method.as_str().to_lowercase(), operation(route, &mut schemas));
        }
    }
    let definitions = schemas.take_definitions(true);
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Strongback",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Tracking, registry and governance behind the interfaces that mlflow and databricks-sdk call."
        },
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "basic": { "type": "http", "scheme": "basic" }
            }
        }
    })
}

fn operation(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "summary": route.summary,
        "operationId": format!("{} {}", route.method, route.path),
        "x-policy": format!("{:?}", route.policy),
        "responses": {
            "200": { "description": "Done" },
            "default": { "description": "Refused: error_code and message" }
        }
    });
    if route.policy != Policy::Public {
        operation["security"] = json!([{ "token": [] }, { "basic": [] }]);
    }
    let parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            json!({ "name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": { "type": "string" } })
        })
        .collect();
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(schema) = route.request
        && route.is_mutation()
    {
        operation["requestBody"] =
            json!({ "content": { "application/json": { "schema": schema(schemas) } } });
    }
    if let Some(schema) = route.response {
        operation["responses"]["200"]["content"] =
            json!({ "application/json": { "schema": schema(schemas) } });
    }
    operation
}
