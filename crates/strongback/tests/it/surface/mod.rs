//! The whole surface, route by route: every route of the table has an example call ([`examples`]), and the tests here
//! walk through them: who may ([`roles`]), which events that leaves ([`roles`]), what happens to bad input
//! ([`bad_input`]), and what the OpenAPI document says of it ([`openapi`]).
//!
//! A route without an example fails [`every_route_has_an_example`], so that none is added past these tests.

mod bad_input;
mod crossings;
mod examples;
mod openapi;
mod roles;
mod unsupported;
mod world;

use std::collections::HashSet;

use axum::body::Body;
use http::{Request, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use strongback::router;
use world::World;

use crate::support::{Answer, TestApp};

/// A call that works. Fields whose names stand in the path go there, the rest into query or body; the field `?` is a
/// query as it is. Words that begin with `$` (`$run$`) stand for things of a [`World`], which makes them when they are named.
#[derive(Debug, Clone)]
pub struct Example {
    pub method: &'static str,
    pub path: &'static str,
    pub fields: Value,
    /// A body that is no JSON.
    pub bytes: Option<&'static str>,
    /// What a reviewer of the matrix may wonder about.
    pub note: &'static str,
}

impl Example {
    pub fn new(method: &'static str, path: &'static str, fields: Value) -> Self {
        Self { method, path, fields, bytes: None, note: "" }
    }

    pub fn bytes(mut self, bytes: &'static str) -> Self {
        self.bytes = Some(bytes);
        self
    }

    pub fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    pub fn reads(&self) -> bool {
        matches!(self.method, "GET" | "HEAD")
    }

    /// The request with these fields, which are filled already.
    pub fn request(&self, fields: &Value, token: Option<&str>) -> Request<Body> {
        self.request_with(fields, token, self.reads() || self.bytes.is_some())
    }

    /// The same, with the fields that are not in the path in the query or in the body.
    pub fn request_with(&self, fields: &Value, token: Option<&str>, in_query: bool) -> Request<Body> {
        let mut fields = fields.as_object().cloned().unwrap_or_default();
        let mut uri = path_of(self.path, &mut fields);
        let mut query: Vec<String> =
            fields.remove("?").map(|raw| raw.as_str().unwrap().to_owned()).into_iter().collect();
        if in_query {
            query.extend(query_of(&fields));
        }
        if !query.is_empty() {
            uri = format!("{uri}?{}", query.join("&"));
        }
        let mut builder =
            Request::builder().method(self.method).uri(uri).header(header::HOST, "localhost:5000");
        if let Some(token) = token {
            builder = builder.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match self.bytes {
            Some(bytes) => Body::from(bytes),
            None if in_query || fields.is_empty() => Body::empty(),
            None => Body::from(Value::Object(fields).to_string()),
        };
        builder.header(header::CONTENT_TYPE, "application/json").body(body).unwrap()
    }

    /// Sends it as it is written, in a world.
    pub async fn send(&self, world: &mut World<'_>, token: Option<&str>) -> Answer {
        let fields = world.fill(&self.fields).await;
        world.test.send(self.request(&fields, token)).await
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The path with its placeholders filled from the fields, which lose them.
fn path_of(path: &str, fields: &mut Map<String, Value>) -> String {
    let fill = |part: &str| {
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            return part.to_owned();
        };
        let (name, is_rest) = name.strip_prefix('*').map_or((name, false), |name| (name, true));
        let value = fields.remove(name).unwrap_or_else(|| panic!("{path}: the example has no {name}"));
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match is_rest {
            true => text.split('/').map(encode).collect::<Vec<_>>().join("/"),
            false => encode(&text),
        }
    };
    path.split('/').map(fill).collect::<Vec<_>>().join("/")
}

fn query_of(fields: &Map<String, Value>) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut pairs = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Array(values) => pairs.extend(values.iter().map(|value| (name, text(value)))),
            value => pairs.push((name, text(value))),
        }
    }
    pairs.into_iter().map(|(name, value)| format!("{name}={}", encode(&value))).collect()
}

/// How many events a request left, by its id.
pub async fn events_of(test: &TestApp, answer: &Answer, admin: Option<&str>) -> usize {
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let newest = Example::new("GET", "/api/1.0/audit-log", serde_json::json!({ "max_results": 200 }));
    let log = test.send(newest.request(&newest.fields, admin)).await;
    crate::support::ok(&log)["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["request_id"] == id)
        .count()
}

#[test]
fn every_route_has_an_example() {
    let examples = examples::all();
    let mut known: HashSet<(&str, &str)> = HashSet::new();
    for example in &examples {
        known.insert((example.method, example.path));
    }
    let routes = router::table();
    for route in routes.iter().filter(|route| !route.is_copy) {
        assert!(
            known.remove(&(route.method.as_str(), &*route.path)),
            "{} {} has no example in tests/it/surface/examples",
            route.method,
            route.path
        );
    }
    assert!(known.is_empty(), "examples of routes that are not there: {known:?}");
}

/// MLflow's web pages call routes under another prefix, and some clients with a slash behind; what holds of the route holds of its
/// copy.
#[test]
fn a_copy_is_its_route_under_another_prefix() {
    let routes = router::table();
    let copies: HashSet<_> =
        routes.iter().filter(|route| route.is_copy).map(|copy| (&copy.method, &*copy.path)).collect();
    let originals = routes.iter().filter(|route| {
        !route.is_copy && ["/api/2.0/mlflow/", "/api/3.0/mlflow/"].iter().any(|of| route.path.starts_with(of))
    });
    let mut found = 0;
    for route in originals {
        let of_pages = route.path.replacen("/api/", "/ajax-api/", 1);
        assert!(copies.contains(&(&route.method, &*of_pages)), "{} {of_pages} is not there", route.method);
        found += 1;
    }
    assert!(found > 100, "{found} routes of MLflow");
    for copy in routes.iter().filter(|route| route.is_copy) {
        let of_pages = copy.path.strip_prefix("/mlflow").unwrap_or(&copy.path);
        let of_pages = of_pages.trim_end_matches('/');
        let of_clients = of_pages.replacen("/ajax-api/", "/api/", 1);
        let original = routes.iter().find(|route| {
            let is_there = *route.path == *of_pages || *route.path == *of_clients;
            !route.is_copy && route.method == copy.method && is_there
        });
        let original = original.unwrap_or_else(|| panic!("{} {} copies nothing", copy.method, copy.path));
        assert_eq!((original.policy, original.summary), (copy.policy, copy.summary));
    }
}
