//! The OpenAPI document, made from the route table.
//!
//! What must stay true: every route stands in it, with what it takes and gives; copies of routes for MLflow's web pages
//! are left out, since the pages are not ours. The tests of bad input read it to learn which fields there are.

use axum::{body::Body, response::Response};
use http::{Method, Request};
use schemars::{
    JsonSchema, SchemaGenerator,
    generate::{Contract, SchemaSettings},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Gives, Limits, PathParams, Policy, Route, Takes, prefix::Prefix, table, wire};
use crate::{
    context::Ctx,
    error::{Code, Result},
};

/// Where schemas are referred to while the document is made: what is taken and what is given may have one name.
const TAKEN: &str = "/components/schemas";
const GIVEN: &str = "/components/given";

/// Where the document is.
pub fn routes() -> Vec<Route> {
    let path = "/api/openapi.json";
    vec![
        Route::raw(Method::GET, path, Policy::Public, Limits::SMALL, "This document", give)
            .giving::<Document>(),
    ]
}

/// The document, of the server as the request reached it.
async fn give(_: Ctx, _: PathParams, request: Request<Body>) -> Result<Response> {
    let mut document = document(&table());
    let prefix = Prefix::of(request.extensions());
    if !prefix.is_empty() {
        document["servers"] = json!([{ "url": prefix }]);
    }
    wire::json_response(&Document(document))
}

/// A request without fields.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Nothing {}

#[derive(Serialize, JsonSchema)]
struct Document(Value);

/// Schemas of both directions: a field that may be left out of an answer is another thing than one of a request.
struct Schemas {
    taken: SchemaGenerator,
    given: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let generator = |contract: Contract, path: &'static str| {
            let settings = SchemaSettings::draft2020_12().with(|settings| {
                settings.meta_schema = None;
                settings.definitions_path = path.into();
                settings.contract = contract;
            });
            settings.into_generator()
        };
        Self { taken: generator(Contract::Deserialize, TAKEN), given: generator(Contract::Serialize, GIVEN) }
    }
}

/// The document over a table.
pub fn document(routes: &[Route]) -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for route in routes.iter().filter(|route| !route.is_copy) {
        let path = route.path.replace("{*", "{");
        let operations = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(operations) = operations.as_object_mut() {
            operations.insert(route.method.as_str().to_lowercase(), operation(route, &mut schemas));
        }
    }
    let mut definitions = schemas.taken.take_definitions(true);
    definitions.insert("Error".into(), error_schema());
    let mut paths = Value::Object(paths);
    // A schema that is given under the name of another one that is taken gets a name of its own.
    let mut given = schemas.given.take_definitions(true);
    let names: Vec<(String, String)> = given
        .iter()
        .map(|(name, schema)| {
            let is_free = definitions.get(name).is_none_or(|taken| taken == schema);
            (name.clone(), if is_free { name.clone() } else { format!("{name}Given") })
        })
        .collect();
    for (name, new_name) in names {
        let (from, to) = (format!("#{GIVEN}/{name}"), format!("#{TAKEN}/{new_name}"));
        rename(&mut paths, &from, &to);
        given.values_mut().for_each(|schema| rename(schema, &from, &to));
        if let Some(schema) = given.get(&name).cloned() {
            given.remove(&name);
            given.insert(new_name, schema);
        }
    }
    definitions.extend(given);
    let mut definitions = Value::Object(definitions);
    for schemas in [&mut paths, &mut definitions] {
        write_out(schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Strongback",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Tracking, registry and governance behind the interfaces that mlflow and databricks-sdk call."
        },
        "paths": paths,
        "components": {
            "schemas": definitions,
            "responses": {
                "Refused": {
                    "description": "Refused: what was wrong, with which value, and what to do",
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } }
                }
            },
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "basic": { "type": "http", "scheme": "basic" }
            }
        }
    })
}

fn error_schema() -> Value {
    let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    codes.sort_unstable();
    json!({
        "type": "object",
        "required": ["error_code", "message"],
        "properties": {
            "error_code": { "type": "string", "enum": codes },
            "message": { "type": "string" }
        }
    })
}

/// Writes a schema that takes anything as `{}`: `true` says the same, and is more than many programs read.
fn write_out(value: &mut Value) {
    let whole = |value: &mut Value| {
        if *value == Value::Bool(true) {
            *value = json!({});
        }
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), &mut *value) {
                    ("properties", Value::Object(properties)) => properties.values_mut().for_each(whole),
                    ("items" | "schema", value) => whole(value),
                    _ => {}
                }
                write_out(value);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(write_out),
        _ => {}
    }
}

fn rename(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref")
                && target == from
            {
                to.clone_into(target);
            }
            fields.values_mut().for_each(|value| rename(value, from, to));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, from, to)),
        _ => {}
    }
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let mut done = json!({ "description": "Done" });
    match route.shape.gives {
        Gives::Nothing => {}
        Gives::Json(schema) => {
            done["content"] = json!({ "application/json": { "schema": schema(&mut schemas.given) } });
        }
        Gives::Content(kind) => done["content"] = json!({ kind: {} }),
    }
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "x-policy": format!("{:?}", route.policy),
        "responses": { "200": done, "default": { "$ref": "#/components/responses/Refused" } }
    });
    if route.deprecated.is_some() {
        operation["deprecated"] = json!(true);
    }
    if route.policy != Policy::Public {
        operation["security"] = json!([{ "token": [] }, { "basic": [] }]);
    }
    let mut fields =
        route.shape.fields.map_or_else(|| json!({}), |schema| schema(&mut schemas.taken).to_value());
    let mut parameters = path_parameters(route, &mut fields);
    // A DELETE has its fields in the query from databricks-sdk and in the body from mlflow.
    let body = route.shape.body;
    if !route.is_mutation() || body != Takes::Json || route.method == Method::DELETE {
        parameters.extend(query_parameters(&fields));
    }
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    let has_fields = fields["properties"].as_object().is_some_and(|fields| !fields.is_empty());
    if body == Takes::Bytes {
        operation["requestBody"] = json!({ "content": { "application/octet-stream": {} } });
    } else if body == Takes::Json && route.is_mutation() && has_fields {
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": fields } } });
    }
    operation
}

/// `GET /api/2.0/mlflow/runs/get` as `get_api_2_0_mlflow_runs_get`.
fn operation_id(route: &Route) -> String {
    let words: Vec<&str> =
        route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    // Paths that differ in a slash at the end are different routes.
    let end = if route.path.ends_with('/') { "_" } else { "" };
    format!("{}_{}{end}", route.method.as_str().to_lowercase(), words.join("_"))
}

/// The path's placeholders, which are taken out of the fields.
fn path_parameters(route: &Route, fields: &mut Value) -> Vec<Value> {
    let named = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    named
        .map(|name| name.trim_start_matches('*'))
        .map(|name| {
            let known = fields.get_mut("properties").and_then(Value::as_object_mut);
            let schema = known.and_then(|known| known.remove(name)).unwrap_or_else(|| json!({}));
            if let Some(required) = fields.get_mut("required").and_then(Value::as_array_mut) {
                required.retain(|other| other != name);
            }
            parameter(name, "path", schema)
        })
        .collect()
}

/// The fields that are left, as they stand in a query.
fn query_parameters(fields: &Value) -> Vec<Value> {
    let Some(known) = fields["properties"].as_object() else { return Vec::new() };
    known.iter().map(|(name, schema)| parameter(name, "query", schema.clone())).collect()
}

/// A parameter of a schema. There is no null in an address: what is absent is left out.
fn parameter(name: &str, place: &str, mut schema: Value) -> Value {
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    if let Some(kinds) = schema.get("type").and_then(Value::as_array) {
        let mut kinds = kinds.iter().filter(|kind| *kind != "null");
        if let (Some(kind), None) = (kinds.next().cloned(), kinds.next()) {
            schema["type"] = kind;
        }
    }
    if ["type", "anyOf", "oneOf", "$ref"].iter().all(|word| schema.get(word).is_none()) {
        schema = json!({ "type": "string" });
    }
    let mut parameter = json!({ "name": name, "in": place, "required": place == "path", "schema": schema });
    if let Some(description) = description {
        parameter["description"] = description;
    }
    parameter
}
