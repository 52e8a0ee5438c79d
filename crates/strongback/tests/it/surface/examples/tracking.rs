//! Experiments, runs, metrics and logged models.

use serde_json::json;

use super::{Example, OPEN};

pub fn examples() -> Vec<Example> {
    [experiments(), runs(), logging(), metrics(), models()].concat()
}

fn experiments() -> Vec<Example> {
    let post = |path, fields| Example::new("POST", path, fields);
    let get = |path, fields| Example::new("GET", path, fields).note(OPEN);
    let tags = json!([{ "key": "a", "value": "b" }]);
    let search =
        json!({ "max_results": 5, "filter": "name = 'x'", "order_by": ["name"], "view_type": "ALL" });
    vec![
        post("/api/2.0/mlflow/experiments/create", json!({ "name": "$fresh$", "tags": tags })).note(OPEN),
        get("/api/2.0/mlflow/experiments/get", json!({ "experiment_id": "$exp$" })),
        get("/api/2.0/mlflow/experiments/get-by-name", json!({ "experiment_name": "$exp_name$" })),
        get("/api/2.0/mlflow/experiments/search", search.clone()),
        post("/api/2.0/mlflow/experiments/search", search).note(OPEN),
        get("/api/2.0/mlflow/experiments/list", json!({ "max_results": 5, "view_type": "ALL" })).note(OPEN),
        post("/api/2.0/mlflow/experiments/search-datasets", json!({ "experiment_ids": ["$exp$"] }))
            .note(OPEN),
        post(
            "/api/2.0/mlflow/experiments/update",
            json!({ "experiment_id": "$exp$", "new_name": "$fresh$" }),
        ),
        post("/api/2.0/mlflow/experiments/delete", json!({ "experiment_id": "$exp$" })),
        post("/api/2.0/mlflow/experiments/restore", json!({ "experiment_id": "$dead_exp$" })),
        post(
            "/api/2.0/mlflow/experiments/set-experiment-tag",
            json!({ "experiment_id": "$exp$", "key": "k", "value": "v" }),
        ),
        post(
            "/api/2.0/mlflow/experiments/delete-experiment-tag",
            json!({ "experiment_id": "$exp$", "key": "t" }),
        ),
    ]
}

fn runs() -> Vec<Example> {
    let post = |path, fields| Example::new("POST", path, fields);
    let made = json!({
        "experiment_id": "$exp$", "run_name": "name", "start_time": 1, "user_id": "ada",
        "tags": [{ "key": "a", "value": "b" }],
    });
    let search = json!({
        "experiment_ids": ["$exp$"], "filter": "metrics.m > 0.1", "order_by": ["metrics.m"], "max_results": 5,
        "run_view_type": "ALL",
    });
    vec![
        post("/api/2.0/mlflow/runs/create", made).note(OPEN),
        Example::new("GET", "/api/2.0/mlflow/runs/get", json!({ "run_id": "$run$" })).note(OPEN),
        post("/api/2.0/mlflow/runs/search", search).note(OPEN),
        post(
            "/api/2.0/mlflow/runs/update",
            json!({ "run_id": "$run$", "status": "FINISHED", "end_time": 5, "run_name": "other" }),
        ),
        post("/api/2.0/mlflow/runs/delete", json!({ "run_id": "$run$" })),
        post("/api/2.0/mlflow/runs/restore", json!({ "run_id": "$dead_run$" })),
        post("/api/2.0/mlflow/runs/set-tag", json!({ "run_id": "$run$", "key": "k", "value": "v" })),
        post("/api/2.0/mlflow/runs/delete-tag", json!({ "run_id": "$run$", "key": "t" })),
    ]
}

fn logging() -> Vec<Example> {
    let post = |path, fields| Example::new("POST", path, fields);
    let batch = json!({
        "run_id": "$run$",
        "metrics": [{
            "key": "b", "value": 1, "timestamp": 1, "step": 0, "model_id": "$logged$", "dataset_name": "d",
            "dataset_digest": "1",
        }],
        "params": [{ "key": "b", "value": "1" }],
        "tags": [{ "key": "b", "value": "1" }],
    });
    let metric = json!({
        "run_id": "$run$", "key": "other", "value": 1.5, "timestamp": 1, "step": 0, "model_id": "$logged$",
        "dataset_name": "d", "dataset_digest": "1",
    });
    let inputs = json!({
        "run_id": "$run$",
        "datasets": [{
            "dataset": {
                "name": "d", "digest": "1", "source_type": "local", "source": "{}", "schema": "{}", "profile": "{}",
            },
            "tags": [{ "key": "mlflow.data.context", "value": "train" }],
        }],
        "models": [{ "model_id": "$logged$" }],
    });
    let described =
        "{\"artifact_path\": \"m\", \"flavors\": {}, \"utc_time_created\": \"x\", \"run_id\": \"$run$\"}";
    vec![
        post("/api/2.0/mlflow/runs/log-batch", batch),
        post("/api/2.0/mlflow/runs/log-metric", metric),
        post("/api/2.0/mlflow/runs/log-parameter", json!({ "run_id": "$run$", "key": "q", "value": "1" })),
        post("/api/2.0/mlflow/runs/log-inputs", inputs),
        post(
            "/api/2.0/mlflow/runs/outputs",
            json!({ "run_id": "$run$", "models": [{ "model_id": "$logged$", "step": 1 }] }),
        ),
        post("/api/2.0/mlflow/runs/log-model", json!({ "run_id": "$run$", "model_json": described })),
    ]
}

fn metrics() -> Vec<Example> {
    let get = |path, fields| Example::new("GET", path, fields).note(OPEN);
    let interval = json!({
        "run_ids": ["$run$"], "metric_key": "m", "start_step": 0, "end_step": 5, "max_results": 5,
    });
    vec![
        get(
            "/api/2.0/mlflow/metrics/get-history",
            json!({ "run_id": "$run$", "metric_key": "m", "max_results": 5 }),
        ),
        get(
            "/api/2.0/mlflow/metrics/get-history-bulk",
            json!({ "run_id": ["$run$"], "metric_key": "m", "max_results": 5 }),
        ),
        get("/api/2.0/mlflow/metrics/get-history-bulk-interval", interval),
    ]
}

fn models() -> Vec<Example> {
    const MODEL: &str = "/api/2.0/mlflow/logged-models/{model_id}";
    const TAG: &str = "/api/2.0/mlflow/logged-models/{model_id}/tags/{tag_key}";
    let pair = json!([{ "key": "a", "value": "b" }]);
    let made = json!({
        "experiment_id": "$exp$", "name": "model", "model_type": "x", "source_run_id": "$run$", "params": pair,
        "tags": pair,
    });
    let search = json!({
        "experiment_ids": ["$exp$"], "filter": "name = 'l'", "max_results": 5,
        "order_by": [{ "field_name": "name", "ascending": true }],
        "datasets": [{ "dataset_name": "d", "dataset_digest": "1" }],
    });
    let one = json!({ "model_id": "$logged$" });
    vec![
        Example::new("POST", "/api/2.0/mlflow/logged-models", made).note(OPEN),
        Example::new("POST", "/api/2.0/mlflow/logged-models/search", search).note(OPEN),
        Example::new("GET", MODEL, one.clone()).note(OPEN),
        Example::new("PATCH", MODEL, json!({ "model_id": "$logged$", "status": "LOGGED_MODEL_READY" })),
        Example::new("DELETE", MODEL, one),
        Example::new(
            "PATCH",
            "/api/2.0/mlflow/logged-models/{model_id}/tags",
            json!({ "model_id": "$logged$", "tags": pair }),
        ),
        Example::new("DELETE", TAG, json!({ "model_id": "$logged$", "tag_key": "t" })),
        Example::new(
            "POST",
            "/api/2.0/mlflow/logged-models/{model_id}/params",
            json!({ "model_id": "$logged$", "params": pair }),
        ),
    ]
}
