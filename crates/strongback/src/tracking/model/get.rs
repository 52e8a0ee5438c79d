//! Reading a logged model.

use http::Method;

use super::{
    load,
    wire::{IdRequest, ModelResponse},
};
use crate::{
    catalog::Action,
    context::Ctx,
    error::Result,
    router::{Limits, Policy, Route},
    tracking::limits,
};

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::GET,
        "/api/2.0/mlflow/logged-models/{model_id}",
        Policy::Asset(Action::Read),
        Limits::SMALL,
        "Get a logged model",
        get,
    )]
}

async fn get(ctx: Ctx, request: IdRequest) -> Result<ModelResponse> {
    let id = limits::run_id("model_id", request.model_id.as_deref())?.to_owned();
    ctx.read(move |sql| Ok(ModelResponse { model: (&load(sql, &id)?).into() })).await
}
