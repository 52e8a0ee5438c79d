//! Finalizing and deleting logged models.

use http::Method;
use serde_json::json;

use super::{
    Status, lock, lock_living,
    wire::{FinalizeRequest, IdRequest, ModelResponse},
};
use crate::{
    catalog::Action,
    context::Ctx,
    db::Change,
    error::{Error, Result},
    events::EventKind,
    router::{Limits, Policy, Route, wire::Empty},
    tracking::{limits, wire::EnumIn},
};

pub(super) fn routes() -> Vec<Route> {
    let path = "/api/2.0/mlflow/logged-models/{model_id}";
    let (edit, gone) = (Policy::Asset(Action::Edit), Policy::Asset(Action::Delete));
    vec![
        Route::json(
            Method::PATCH,
            path,
            edit,
            Limits::SMALL,
            "Say how the upload of a logged model ended",
            finalize,
        ),
        Route::json(Method::DELETE, path, gone, Limits::SMALL, "Delete a logged model", delete),
    ]
}

fn final_status(given: Option<&EnumIn>) -> Result<Status> {
    let Some(given) = given else { return Err(Error::required("status")) };
    let found = match given {
        EnumIn::Name(name) => Status::ALL.into_iter().find(|status| status.name() == name),
        EnumIn::Number(number) => Status::from_number(*number),
    };
    found.filter(|status| *status != Status::Pending).ok_or_else(|| {
        let shown = match given {
            EnumIn::Name(name) => limits::cut(name, 100).to_owned(),
            EnumIn::Number(number) => number.to_string(),
        };
        Error::invalid(format!(
            "Invalid model status: '{shown}' for parameter 'status'. Expected LOGGED_MODEL_READY or \
             LOGGED_MODEL_UPLOAD_FAILED."
        ))
    })
}

async fn finalize(ctx: Ctx, request: FinalizeRequest) -> Result<ModelResponse> {
    let id = limits::run_id("model_id", request.model_id.as_deref())?.to_owned();
    let status = final_status(request.status.as_ref())?;
    ctx.write(move |tx| {
        let mut model = lock_living(tx, &id)?;
        if model.status == status {
            return Ok(Change::Nothing(ModelResponse { model: (&model).into() }));
        }
        model.status = status;
        model.save(tx)?;
        let event = model.event(EventKind::LoggedModelUpdate).detail(json!({ "status": status.name() }));
        Ok(Change::Made(ModelResponse { model: (&model).into() }, event))
    })
    .await
}

async fn delete(ctx: Ctx, request: IdRequest) -> Result<Empty> {
    let id = limits::run_id("model_id", request.model_id.as_deref())?.to_owned();
    ctx.write(move |tx| {
        let mut model = lock(tx, &id, Action::Delete)?;
        if model.deleted {
            return Ok(Change::Nothing(Empty {}));
        }
        model.deleted = true;
        model.save(tx)?;
        let event = model.event(EventKind::LoggedModelDelete).detail(json!({ "name": model.name }));
        Ok(Change::Made(Empty {}, event))
    })
    .await
}
