//! Endpoints on both faces, and scoring.

use serde_json::json;

use super::Example;

/// Said of scoring: worlds hold no model that runs.
const EMPTY: &str = "the version of a world is no model, and the endpoint says so";

/// Said of draining the log: it makes no event of its own where nothing waits.
const DRAINED: &str = "what lands by it leaves the events of its tables";

pub fn examples() -> Vec<Example> {
    [ours(), databricks(), scoring()].concat()
}

fn ours() -> Vec<Example> {
    const ALL: &str = "/api/1.0/endpoints";
    const ONE: &str = "/api/1.0/endpoints/{name}";
    vec![
        Example::new(
            "POST",
            ALL,
            json!({
                "name": "$fresh$", "model": "$gov$@champion", "full_name": "$schema$.$fresh$", "comment": "words",
            }),
        ),
        Example::new("GET", ALL, json!({})).note("lists what the caller may read"),
        Example::new("GET", ONE, json!({ "name": "$endpoint$" })),
        Example::new("PATCH", ONE, json!({ "name": "$endpoint$", "model": "$gov$/1" })),
        Example::new("DELETE", ONE, json!({ "name": "$endpoint$" })),
        Example::new("GET", "/api/1.0/endpoints/{name}/log", json!({ "name": "$endpoint$" })),
        Example::new("POST", "/api/1.0/endpoints/{name}/flush", json!({ "name": "$endpoint$" }))
            .note(DRAINED),
    ]
}

fn databricks() -> Vec<Example> {
    const ALL: &str = "/api/2.0/serving-endpoints";
    const ONE: &str = "/api/2.0/serving-endpoints/{name}";
    let entity = json!({ "name": "e", "entity_name": "$gov$", "entity_version": "1" });
    vec![
        Example::new(
            "POST",
            ALL,
            json!({ "name": "$fresh$", "description": "words", "config": { "served_entities": [entity.clone()] } }),
        ),
        Example::new("GET", ALL, json!({})).note("lists what the caller may read"),
        Example::new("GET", ONE, json!({ "name": "$endpoint$" })),
        Example::new(
            "PUT",
            "/api/2.0/serving-endpoints/{name}/config",
            json!({ "name": "$endpoint$", "served_entities": [entity] }),
        ),
        Example::new("DELETE", ONE, json!({ "name": "$endpoint$" })),
    ]
}

fn scoring() -> Vec<Example> {
    let rows = "{\"inputs\": {\"a\": [1]}}";
    let of = |method, path| Example::new(method, path, json!({ "name": "$endpoint$" })).note(EMPTY);
    vec![
        of("POST", "/serving-endpoints/{name}/invocations").bytes(rows),
        of("POST", "/endpoints/{name}/invocations").bytes(rows),
        of("GET", "/endpoints/{name}/ping"),
        of("GET", "/endpoints/{name}/health"),
        Example::new("GET", "/endpoints/{name}/version", json!({ "name": "$endpoint$" })),
    ]
}
