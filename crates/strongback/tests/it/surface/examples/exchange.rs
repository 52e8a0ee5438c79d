//! What comes from other stores and goes back.

use serde_json::{Value, json};

use super::super::Example;

fn run() -> Value {
    json!({
        "run_id": "$fresh$", "experiment_id": "$exp$", "user": "ada", "status": "FINISHED", "start_time": 1,
        "end_time": 2, "deleted_time": 3, "params": { "a": "b" }, "tags": { "mlflow.runName": "old" },
        "metrics": { "m": [[1, 0, 0.5], [2, 1, "NaN"]] },
        "datasets": [{
            "name": "d", "digest": "x", "source_type": "local", "source": "{}", "schema": "{}", "profile": "{}",
            "tags": { "mlflow.data.context": "train" },
        }],
        "models_read": ["$logged$"], "models_written": [["$logged$", 3]],
    })
}

pub fn examples() -> Vec<Example> {
    let plan = json!({
        "source": "old.db", "kind": "experiment",
        "items": [{ "id": "7", "name": "fraud", "artifact_location": "s3://bucket/7" }],
    });
    let take = json!({ "source": "old.db", "runs": [{ "from": "r", "digest": "00", "more": false, "item": run() }] });
    vec![
        Example::new("POST", "/api/1.0/exchange/plan", plan)
            .note("whoever takes what another store holds writes a past"),
        Example::new(
            "POST",
            "/api/1.0/exchange/known",
            json!({ "source": "old.db", "kind": "run", "after": "" }),
        )
        .note("whoever takes what another store holds writes a past"),
        Example::new("POST", "/api/1.0/exchange/take", take),
        Example::new("POST", "/api/1.0/exchange/check", json!({ "kind": "run", "ids": ["$run$"] }))
            .note("reads everything that is kept"),
        Example::new(
            "POST",
            "/api/1.0/exchange/give",
            json!({ "kind": "run", "of": "$exp$", "max_results": 5, "page_token": "" }),
        )
        .note("reads everything that is kept"),
        Example::new("POST", "/api/1.0/exchange/files", json!({ "kind": "run", "ids": ["$run$"] }))
            .note("reads everything that is kept"),
        Example::new(
            "PUT",
            "/api/1.0/exchange/files/{kind}/{id}/{*path}",
            json!({ "kind": "run", "id": "$run$", "path": "notes/a.txt" }),
        )
        .bytes("text"),
    ]
}
