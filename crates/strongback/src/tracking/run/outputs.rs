//! What a run wrote: logged models.

use http::Method;
use serde_json::json;

use super::{
    get::WROTE,
    inputs::put_model,
    lock, touch,
    wire::{self, OutputsRequest},
};
use crate::{
    catalog::Action,
    context::Ctx,
    db::Change,
    error::{Error, Result},
    events::EventKind,
    router::{Limits, Policy, Route, wire::Empty},
    tracking::limits,
};

/// Models of one request.
const OUTPUTS: usize = 1_000;

pub(super) fn routes() -> Vec<Route> {
    let policy = Policy::Asset(Action::Edit);
    vec![Route::json(
        Method::POST,
        "/api/2.0/mlflow/runs/outputs",
        policy,
        Limits::LARGE,
        "Note the models that a run wrote",
        log_outputs,
    )]
}

async fn log_outputs(ctx: Ctx, request: OutputsRequest) -> Result<Empty> {
    let id = wire::run_id(&request.run_id, &None)?.to_owned();
    if request.models.is_empty() {
        return Err(Error::required("models"));
    }
    if request.models.len() > OUTPUTS {
        return Err(Error::invalid(format!("'models' can contain at most {OUTPUTS} entries.")));
    }
    let mut models = Vec::new();
    for (at, model) in request.models.iter().enumerate() {
        let path = format!("models[{at}].model_id");
        let model_id = limits::run_id(&path, model.model_id.as_deref())?;
        models.push((model_id.to_owned(), model.step.unwrap_or_default().0));
    }
    ctx.write(move |tx| {
        let mut run = lock(tx, &id, Action::Edit)?;
        run.require_active()?;
        let mut is_changed = false;
        for (model, step) in &models {
            is_changed |= put_model(tx, run.id, WROTE, model, *step)?;
        }
        if !is_changed {
            return Ok(Change::Nothing(Empty {}));
        }
        touch(tx, &mut run)?;
        let event = run.event(EventKind::RunOutputs).detail(json!({ "models": models }));
        Ok(Change::Made(Empty {}, event))
    })
    .await
}
