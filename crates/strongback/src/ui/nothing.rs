//! What MLflow's pages ask on their way about things that are not part of this product: traces, scorers, the assistant.
//!
//! The true answer to "which are there?" is "none", and with it the pages show an empty list instead of a failure. Only
//! the pages get it: a client that asks the interface itself is told that the area is absent. Nothing is taken, either;
//! the pages' own telemetry is answered with "disabled", so that no usage data is collected.

use http::Method;
use serde_json::{Value, json};

use crate::{
    router::{Limits, Policy, Route},
    tracking::absent::absent,
};

pub(super) fn routes() -> Vec<Route> {
    let (get, post) = (Method::GET, Method::POST);
    vec![
        none(get.clone(), "/ajax-api/2.0/mlflow/gateway-proxy", || json!({ "endpoints": [] })),
        none(
            get.clone(),
            "/ajax-api/3.0/mlflow/assistant/config",
            || json!({ "providers": {}, "projects": {}, "remote_access_allowed": false }),
        ),
        none(get.clone(), "/ajax-api/3.0/mlflow/assistant/providers", || json!({ "providers": [] })),
        none(get.clone(), "/ajax-api/3.0/mlflow/scorers/list", || json!({ "scorers": [] })),
        none(
            get.clone(),
            "/ajax-api/3.0/mlflow/ui-telemetry",
            || json!({ "disable_ui_telemetry": true, "disable_ui_events": [], "ui_rollout_percentage": 0 }),
        ),
        none(post.clone(), "/ajax-api/3.0/mlflow/ui-telemetry", || json!({ "status": "disabled" })),
        none(post.clone(), "/ajax-api/3.0/mlflow/datasets/search", || json!({ "datasets": [] })),
        none(post.clone(), "/ajax-api/3.0/mlflow/traces/search", || json!({ "traces": [] })),
        none(post.clone(), "/ajax-api/3.0/mlflow/traces/metrics", || json!({ "data_points": [] })),
        // What is there under the same paths besides, and is asked for by no page.
        absent(post, "/ajax-api/2.0/mlflow/gateway-proxy", "The AI gateway is"),
        absent(get, "/ajax-api/3.0/mlflow/datasets/search", "Evaluation data sets are"),
    ]
}

fn none(method: Method, path: &'static str, answer: fn() -> Value) -> Route {
    Route::raw(
        method,
        path,
        Policy::Authenticated,
        Limits::SMALL,
        "For MLflow's pages: none of these are here",
        move |_, _, _| async move { crate::router::wire::json_response(&answer()) },
    )
    .giving_content("application/json")
}
