//! One call that works for every route, slice by slice.

mod artifacts;
mod catalog;
mod exchange;
mod features;
mod files;
mod jobs;
mod monitoring;
mod promotion;
mod registry;
mod serving;
mod tables;
mod tracking;

use serde_json::json;
use strongback::router;

use super::Example;

/// Said of reads and creations in the default schema.
pub(super) const OPEN: &str = "the default schema is open: everybody may read and create there";
/// Said of addresses that carry their own right.
pub const SIGNED: &str = "the address is signed on the owner's behalf";

/// Every example.
pub fn all() -> Vec<Example> {
    [
        operations(),
        catalog::examples(),
        tables::examples(),
        features::examples(),
        tracking::examples(),
        artifacts::examples(),
        registry::mlflow(),
        registry::databricks(),
        registry::unity(),
        registry::webhooks(),
        exchange::examples(),
        promotion::examples(),
        files::examples(),
        jobs::examples(),
        serving::examples(),
        monitoring::examples(),
        answers(),
        for_pages(),
        absent(),
    ]
    .concat()
}

fn operations() -> Vec<Example> {
    let page = |path| Example::new("GET", path, json!({}));
    vec![
        page("/health"),
        page("/ready"),
        page("/version"),
        page("/metrics"),
        page("/api/openapi.json"),
        page("/api/3.0/mlflow/server-info"),
        page("/.well-known/databricks-config"),
        page("/"),
        page("/why"),
        Example::new("GET", "/why/{request_id}", json!({ "request_id": "$served$" })),
        page("/mlflow"),
        page("/mlflow/").note("no pages are installed where this runs"),
        Example::new("GET", "/mlflow/static-files/{*file}", json!({ "file": "index.html" }))
            .note("no pages are installed where this runs"),
    ]
}

fn answers() -> Vec<Example> {
    let question =
        "query { mlflowGetExperiment(input: { experimentId: \"$exp$\" }) { experiment { name } } }";
    vec![
        Example::new(
            "GET",
            "/api/1.0/lineage",
            json!({ "name": "$table$", "direction": "both", "depth": 3 }),
        ),
        Example::new(
            "GET",
            "/api/1.0/history",
            json!({ "name": "$gov$", "alias": "champion", "max_results": 5 }),
        ),
        Example::new("GET", "/api/1.0/requests/{request_id}/why", json!({ "request_id": "$served$" })),
        Example::new(
            "GET",
            "/api/1.0/runs/compare",
            json!({ "run_id": ["$run$", "$other_run$"], "higher": ["m"], "lower": [], "all": true }),
        )
        .note(OPEN),
        Example::new("GET", "/api/1.0/model", json!({ "name": "$gov$" })),
        Example::new("GET", "/api/1.0/overview", json!({})).note("lists what the caller may read"),
        Example::new("POST", "/graphql", json!({ "query": question, "variables": {} })).note(OPEN),
    ]
}

/// What MLflow's pages ask about things that are not here: nothing of it.
fn for_pages() -> Vec<Example> {
    let page = |method, path| Example::new(method, path, json!({}));
    vec![
        page("GET", "/ajax-api/2.0/mlflow/gateway-proxy"),
        page("GET", "/ajax-api/3.0/mlflow/assistant/config"),
        page("GET", "/ajax-api/3.0/mlflow/assistant/providers"),
        page("GET", "/ajax-api/3.0/mlflow/scorers/list"),
        page("GET", "/ajax-api/3.0/mlflow/ui-telemetry"),
        page("POST", "/ajax-api/3.0/mlflow/ui-telemetry"),
        page("POST", "/ajax-api/3.0/mlflow/datasets/search"),
        page("POST", "/ajax-api/3.0/mlflow/traces/search"),
        page("POST", "/ajax-api/3.0/mlflow/traces/metrics"),
    ]
}

/// What MLflow has and this product does not, which all answers alike.
fn absent() -> Vec<Example> {
    let routes = router::table();
    let absent = routes.iter().filter(|route| is_absent(route) && !route.is_copy);
    absent
        .map(|route| {
            let fields = if route.path.contains("{*rest}") { json!({ "rest": "a/b" }) } else { json!({}) };
            // The table of a test lives as long as the test.
            let (method, path) = (route.method.to_string().leak(), route.path.to_string().leak());
            Example::new(method, path, fields)
        })
        .collect()
}

pub fn is_absent(route: &router::Route) -> bool {
    route.summary == "Not part of this product"
}
