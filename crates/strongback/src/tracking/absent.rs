//! Parts of MLflow's interface that this product does not have: each answers with one sentence instead of a 404, so
//! that nobody looks for a mistake of their own.

use http::Method;

use crate::{
    error::{Code, Error},
    router::{Limits, Policy, Route},
};

macro_rules! areas {
    ($($path:literal: $what:literal,)+) => {
        /// Paths, the same with a slash and with anything below, and what they are about.
        const AREAS: &[([&str; 3], &str)] = &[
            $(([concat!("/api/", $path), concat!("/api/", $path, "/"), concat!("/api/", $path, "/{*rest}")], $what),)+
        ];
    };
}

areas! {
    "2.0/endpoints": "The AI gateway is",
    "2.0/mlflow/comments": "Comments on model versions (which have descriptions and tags) are",
    "2.0/mlflow/databricks": "Databricks' own calls for many runs (runs/delete and runs/restore take one) are",
    "2.0/mlflow/get-online-trace-details": "Traces are",
    "2.0/mlflow/get-trace-artifact": "Traces are",
    "2.0/mlflow/registry-webhooks": "Databricks' webhooks (MLflow's are, at /api/2.0/mlflow/webhooks) are",
    "2.0/mlflow/runs/create-promptlab-run": "The prompt lab is",
    "2.0/mlflow/traces": "Traces are",
    "2.0/mlflow/transition-requests": "Requests to move a version to another stage (aliases move through gates: `strongback gate run`) are",
    "2.0/mlflow/unified-traces": "Traces are",
    "2.0/permissions": "Permissions of Databricks' workspaces (catalogs and schemas have owners) are",
    "3.0/jobs": "MLflow's own jobs are",
    "3.0/mlflow/assistant": "The assistant is",
    "3.0/mlflow/traces": "Traces are",
    "4.0/mlflow/traces": "Traces are",
    "3.0/mlflow/assessments": "Assessments are",
    "3.0/mlflow/datasets": "Evaluation data sets are",
    "3.0/mlflow/demo": "MLflow's demonstration data is",
    "3.0/mlflow/gateway": "The AI gateway is",
    "3.0/mlflow/genai": "Evaluation of language models is",
    "3.0/mlflow/get-trace-artifact": "Traces are",
    "3.0/mlflow/guardrails": "Guardrails are",
    "3.0/mlflow/issues": "Issues of traces are",
    "3.0/mlflow/jobs": "MLflow's own jobs are",
    "3.0/mlflow/label-schemas": "Label schemas are",
    "3.0/mlflow/mcp-servers": "A registry of MCP servers is",
    "3.0/mlflow/prompt-optimization": "Prompt optimization is",
    "3.0/mlflow/review-queues": "Review queues are",
    "3.0/mlflow/scorer": "Scorers are",
    "3.0/mlflow/scorers": "Scorers are",
    "3.0/mlflow/workspaces": "Workspaces are",
}

const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![
        absent(Method::POST, "/v1/traces", "Traces are"),
        absent(Method::POST, "/v1/metrics", "Metrics of OpenTelemetry are"),
    ];
    routes.extend(METHODS.map(|method| absent(method, "/gateway/{*rest}", "The AI gateway is")));
    for (paths, what) in AREAS {
        for path in paths {
            routes.extend(METHODS.map(|method| absent(method, path, what)));
        }
    }
    routes
}

/// A route that says of something that it is not part of this product.
pub fn absent(method: Method, path: &'static str, what: &'static str) -> Route {
    let answer = move || {
        Err(Error::new(
            Code::NotImplemented,
            format!("{what} not part of this server; runs, models and artifacts work without."),
        ))
    };
    Route::raw(
        method,
        path,
        Policy::Authenticated,
        Limits::SMALL,
        "Not part of this product",
        move |_, _, _| std::future::ready(answer()),
    )
}
