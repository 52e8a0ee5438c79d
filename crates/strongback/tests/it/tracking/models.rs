//! Logged models: what an answer looks like, and what belongs to whom.

use serde_json::json;

use super::{M, experiment, log, run, settled};
use crate::support::{ok, on_every_store};

#[test]
fn a_logged_model_as_clients_get_it() {
    on_every_store(|test| async move {
        let home = experiment(&test, "models").await;
        let id = run(&test, &home, "r").await;
        let body = json!({
            "experiment_id": home, "name": "scorer", "source_run_id": id, "model_type": "classifier",
            "params": [{ "key": "depth", "value": "3" }], "tags": [{ "key": "tier", "value": "gold" }],
        });
        let made = test.post(&format!("{M}/logged-models"), body).await;
        let model = ok(&made)["model"]["info"]["model_id"].as_str().unwrap().to_owned();
        log(
            &test,
            &id,
            json!({ "metrics": [{ "key": "auc", "value": 0.9, "timestamp": 5, "step": 1, "model_id": model, "dataset_name": "d", "dataset_digest": "1" }] }),
        )
        .await;
        let got = test.get(&format!("{M}/logged-models/{model}")).await;
        assert_eq!(
            settled(ok(&got)),
            json!({ "model": {
                "info": {
                    "model_id": "[34]",
                    "experiment_id": "[18]",
                    "name": "scorer",
                    "creation_timestamp_ms": "[now]",
                    "last_updated_timestamp_ms": "[now]",
                    "artifact_uri": "mlflow-artifacts:/[18]/models/[34]/artifacts",
                    "status": "LOGGED_MODEL_PENDING",
                    "model_type": "classifier",
                    "source_run_id": "[32]",
                    "tags": [{ "key": "tier", "value": "gold" }],
                },
                "data": {
                    "params": [{ "key": "depth", "value": "3" }],
                    "metrics": [{
                        "key": "auc", "value": 0.9, "timestamp": 5, "step": 1, "run_id": "[32]", "model_id": "[34]",
                        "dataset_name": "d", "dataset_digest": "1",
                    }],
                },
            }})
        );
    });
}

#[test]
fn a_point_of_an_unknown_model_stores_nothing() {
    on_every_store(|test| async move {
        let home = experiment(&test, "unknown").await;
        let id = run(&test, &home, "r").await;
        let body = json!({
            "run_id": id,
            "metrics": [{ "key": "auc", "value": 0.9, "timestamp": 5, "model_id": format!("m-{}", "0".repeat(32)) }],
        });
        let answer = test.post(&format!("{M}/runs/log-batch"), body).await;
        assert_eq!((answer.status, answer.error_code()), (404, "RESOURCE_DOES_NOT_EXIST"), "{answer:?}");
        let got = test.get(&format!("{M}/runs/get?run_id={id}")).await;
        assert!(ok(&got)["run"]["data"]["metrics"].is_null());
    });
}
