//! Which fields a route takes and of which types, as the OpenAPI document says.

use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::{Map, Value};
use strongback::router;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| router::openapi::document(&router::table()));

/// A step from a value to one within it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    /// The first entry of a list.
    First,
}

/// A field, e.g. `tags[0].key`.
#[derive(Debug, Clone)]
pub struct Field {
    steps: Vec<Step>,
    /// JSON types that it takes; `map` for an object of texts.
    pub types: BTreeSet<String>,
    /// Whether it stands in the path.
    pub in_path: bool,
}

impl Field {
    /// The name that a refusal has to say.
    pub fn name(&self) -> &str {
        let named = self.steps.iter().rev().find_map(|step| match step {
            Step::Field(name) => Some(name.as_str()),
            Step::First => None,
        });
        named.unwrap_or_default()
    }

    pub fn takes(&self, kind: &str) -> bool {
        self.types.contains(kind)
    }

    /// Whether the outermost field that it lies in is one of these.
    pub fn is_among(&self, fields: &Value) -> bool {
        matches!(&self.steps[0], Step::Field(name) if !fields[name].is_null())
    }

    pub fn is_nested(&self) -> bool {
        self.steps.len() > 1
    }

    /// Puts a value there; what is above it is made where it is missing.
    pub fn put(&self, fields: &mut Value, value: Value) {
        let mut at = fields;
        for step in &self.steps {
            at = match step {
                Step::Field(name) => {
                    if !at.is_object() {
                        *at = Value::Object(Map::new());
                    }
                    at.as_object_mut().unwrap().entry(name.clone()).or_insert(Value::Null)
                }
                Step::First => {
                    if at.as_array().is_none_or(Vec::is_empty) {
                        *at = Value::Array(vec![Value::Null]);
                    }
                    &mut at[0]
                }
            };
        }
        *at = value;
    }
}

/// The fields of a route, from the outside inward.
pub fn of(method: &str, path: &str) -> Vec<Field> {
    let operation = &DOCUMENT["paths"][path.replace("{*", "{")][method.to_lowercase()];
    let mut found = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let steps = vec![Step::Field(parameter["name"].as_str().unwrap().to_owned())];
        let before = found.len();
        collect(&parameter["schema"], steps, &mut found);
        found[before..].iter_mut().for_each(|field| field.in_path = parameter["in"] == "path");
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    // A DELETE takes its fields in the query or in the body: they are the same.
    if !body.is_null() && found.iter().all(|field| field.in_path) {
        below(body, &[], &mut found);
    }
    found
}

/// Whether a route takes a JSON body.
pub fn takes_json(method: &str, path: &str) -> bool {
    let operation = &DOCUMENT["paths"][path.replace("{*", "{")][method.to_lowercase()];
    !operation["requestBody"]["content"]["application/json"].is_null()
}

fn resolve(schema: &Value) -> &Value {
    match schema["$ref"].as_str() {
        Some(target) => DOCUMENT.pointer(target.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

fn collect(schema: &Value, steps: Vec<Step>, found: &mut Vec<Field>) {
    let types = types_of(schema);
    if types.is_empty() {
        return;
    }
    found.push(Field { steps: steps.clone(), types, in_path: false });
    below(schema, &steps, found);
}

/// What lies within a schema: fields of an object, the entries of a list.
fn below(schema: &Value, steps: &[Step], found: &mut Vec<Field>) {
    let schema = resolve(schema);
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        collect(inner, [steps, &[Step::Field(name.clone())]].concat(), found);
    }
    if !schema["items"].is_null() {
        collect(&schema["items"], [steps, &[Step::First]].concat(), found);
    }
    for inner in schema["anyOf"].as_array().into_iter().flatten() {
        below(inner, steps, found);
    }
}

fn types_of(schema: &Value) -> BTreeSet<String> {
    let schema = resolve(schema);
    let mut types = BTreeSet::new();
    let one_or_more = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        Value::Null => Vec::new(),
        kind => vec![kind.clone()],
    };
    types.extend(one_or_more.iter().filter_map(Value::as_str).map(str::to_owned));
    if schema["additionalProperties"]["type"] == "string" {
        types.insert("map".into());
    }
    for inner in ["anyOf", "oneOf"].iter().filter_map(|word| schema[*word].as_array()).flatten() {
        types.extend(types_of(inner));
    }
    for value in schema["enum"].as_array().into_iter().flatten() {
        types.insert(if value.is_string() { "string".into() } else { "integer".into() });
    }
    types
}
