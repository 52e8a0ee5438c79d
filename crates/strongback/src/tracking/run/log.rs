//! Logging points, params and tags into a run: one by one, or as a batch.

use http::Method;
use serde_json::Value as Json;

use super::{
    batch::Batch,
    wire::{self, BatchRequest, LogModelRequest, MetricRequest, PairRequest},
};
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Error, Result},
    events::EventKind,
    router::{
        Limits, Policy, Route,
        wire::{Empty, required},
    },
    tracking::{limits, wire::KeyValue},
};

/// Where clients before 3.0 keep the models of a run: a tag with a JSON list.
pub const MODEL_HISTORY_TAG: &str = "mlflow.log-model.history";
/// Longest description of a model, in characters.
const MODEL_CHARS: usize = 256 << 10;
/// Longest list of them, in bytes: it is part of the run's document, which every write to the run writes anew.
const MODEL_HISTORY_BYTES: usize = 1 << 20;

pub(super) fn routes() -> Vec<Route> {
    let (policy, limits, post) = (Policy::Asset(Action::Edit), Limits::LARGE, Method::POST);
    vec![
        Route::json(
            post.clone(),
            "/api/2.0/mlflow/runs/log-batch",
            policy,
            limits,
            "Log points, params and tags at once",
            log_batch,
        ),
        Route::json(
            post.clone(),
            "/api/2.0/mlflow/runs/log-metric",
            policy,
            limits,
            "Log a point",
            log_metric,
        ),
        Route::json(
            post.clone(),
            "/api/2.0/mlflow/runs/log-parameter",
            policy,
            limits,
            "Log a param",
            log_param,
        ),
        Route::json(
            post.clone(),
            "/api/2.0/mlflow/runs/set-tag",
            policy,
            limits,
            "Set a tag of a run",
            set_tag,
        ),
        Route::json(
            post,
            "/api/2.0/mlflow/runs/log-model",
            policy,
            limits,
            "Note a model, as clients before 3.0 do",
            log_model,
        ),
    ]
}

async fn apply(ctx: Ctx, run_id: String, batch: Batch, kind: EventKind) -> Result<Empty> {
    ctx.write(move |tx| batch.apply(tx, &run_id, kind)).await
}

async fn log_batch(ctx: Ctx, request: BatchRequest) -> Result<Empty> {
    let run_id = wire::run_id(&request.run_id, &request.run_uuid)?.to_owned();
    let batch = Batch::new(&request.metrics, &request.params, &request.tags)?;
    apply(ctx, run_id, batch, EventKind::RunLog).await
}

async fn log_metric(ctx: Ctx, request: MetricRequest) -> Result<Empty> {
    let run_id = wire::run_id(&request.run_id, &request.run_uuid)?.to_owned();
    let mut batch = Batch::default();
    batch.add_metric(&request.metric, String::new)?;
    apply(ctx, run_id, batch, EventKind::RunLog).await
}

async fn log_param(ctx: Ctx, request: PairRequest) -> Result<Empty> {
    let run_id = wire::run_id(&request.run_id, &request.run_uuid)?.to_owned();
    let mut batch = Batch::default();
    batch.add_param(&KeyValue { key: request.key, value: request.value }, String::new)?;
    apply(ctx, run_id, batch, EventKind::RunLog).await
}

async fn set_tag(ctx: Ctx, request: PairRequest) -> Result<Empty> {
    let run_id = wire::run_id(&request.run_id, &request.run_uuid)?.to_owned();
    let mut batch = Batch::default();
    batch.add_tag(&KeyValue { key: request.key, value: request.value }, String::new)?;
    apply(ctx, run_id, batch, EventKind::RunTagSet).await
}

/// Appends a model's description to the tag that older clients read. A model with the same id is not added twice.
async fn log_model(ctx: Ctx, request: LogModelRequest) -> Result<Empty> {
    let run_id = wire::run_id(&request.run_id, &None)?.to_owned();
    let text = limits::text("model_json", required(&request.model_json, "model_json")?, MODEL_CHARS)?;
    let model: Json = serde_json::from_str(text).map_err(|error| {
        Error::invalid(format!(
            "Malformed model info for parameter 'model_json': it is not valid JSON ({error})."
        ))
    })?;
    let missing: Vec<&str> = ["artifact_path", "flavors", "utc_time_created", "run_id"]
        .into_iter()
        .filter(|field| model.get(field).is_none())
        .collect();
    if !missing.is_empty() {
        return Err(Error::invalid(format!(
            "Model json is missing mandatory fields: {missing:?}. See 'model_json'."
        )));
    }
    ctx.write(move |tx| {
        let run = super::lock(tx, &run_id, Action::Edit)?;
        let mut models: Vec<Json> = match run.document.tag(MODEL_HISTORY_TAG) {
            Some(text) => serde_json::from_str(text).unwrap_or_default(),
            None => Vec::new(),
        };
        if !models.contains(&model) {
            models.push(model.clone());
        }
        let value = Json::Array(models).to_string();
        if value.len() > MODEL_HISTORY_BYTES {
            return Err(Error::invalid(format!(
                "Invalid value for parameter 'model_json' supplied: with it, the run's models would take up {} bytes; a \
                 run keeps at most {MODEL_HISTORY_BYTES} in this way. Log further models into another run.",
                value.len()
            )));
        }
        let mut batch = Batch::default();
        batch.add_uncut_tag(MODEL_HISTORY_TAG, value);
        batch.apply(tx, &run_id, EventKind::RunTagSet)
    })
    .await
}
