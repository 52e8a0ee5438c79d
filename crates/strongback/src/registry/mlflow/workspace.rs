//! What Databricks' SDK asks of the registry of a workspace (`w.model_registry`) beyond what MLflow's client asks.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    search::search_models,
    stages::{TransitionRequest, transition},
    wire::{ModelOut, ModelRequest, ModelsResponse, SearchRequest, VersionOut, name},
};
use crate::{
    catalog::{Action, authorize::is_allowed},
    context::Ctx,
    db::Sql,
    error::Result,
    registry::names::{self, Levels},
    router::{Limits, Policy, Route, wire::Int64},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::json(
            Method::GET,
            "/api/2.0/mlflow/registered-models/list",
            Policy::Visible,
            Limits::SMALL,
            "List registered models",
            list,
        ),
        Route::json(
            Method::GET,
            "/api/2.0/mlflow/databricks/registered-models/get",
            Policy::Asset(Action::Read),
            Limits::SMALL,
            "Get a registered model, with its id and what the caller may do with it",
            get,
        ),
        Route::json(
            Method::POST,
            "/api/2.0/mlflow/databricks/model-versions/transition-stage",
            Policy::Asset(Action::Edit),
            Limits::SMALL,
            "Move a model version to a stage",
            move_to_stage,
        ),
    ]
}

/// Which page.
#[derive(Debug, Deserialize, JsonSchema)]
struct ListRequest {
    /// At most so many.
    max_results: Option<Int64>,
    /// Where the page before ended.
    page_token: Option<String>,
}

/// A model, as a workspace describes it.
#[derive(Debug, Serialize, JsonSchema)]
struct GetResponse {
    /// The model.
    registered_model_databricks: WorkspaceModel,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WorkspaceModel {
    /// Its id, which stays where it is renamed.
    id: String,
    /// The most that the caller may do: `CAN_MANAGE`, `CAN_EDIT` or `CAN_READ`.
    permission_level: &'static str,
    #[serde(flatten)]
    model: ModelOut,
}

/// A version after its move.
#[derive(Debug, Serialize, JsonSchema)]
struct TransitionResponse {
    /// The version.
    model_version_databricks: VersionOut,
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ModelsResponse> {
    let ListRequest { max_results, page_token } = request;
    search_models(ctx, SearchRequest { max_results, page_token, ..SearchRequest::default() }).await
}

async fn get(ctx: Ctx, request: ModelRequest) -> Result<GetResponse> {
    let name = name(request.name.as_ref())?;
    ctx.read(move |sql| {
        let model = names::load(sql, &name, Levels::Any)?;
        let registered_model_databricks = WorkspaceModel {
            id: model.uuid.clone(),
            permission_level: level(sql, model.id)?,
            model: ModelOut::one(sql, &model, true)?,
        };
        Ok(GetResponse { registered_model_databricks })
    })
    .await
}

/// In a workspace's words. Whoever got here may read it.
fn level(sql: &mut Sql<'_>, model_id: i64) -> Result<&'static str> {
    for (action, level) in [(Action::Manage, "CAN_MANAGE"), (Action::Edit, "CAN_EDIT")] {
        if is_allowed(sql, action, model_id)? {
            return Ok(level);
        }
    }
    Ok("CAN_READ")
}

async fn move_to_stage(ctx: Ctx, request: TransitionRequest) -> Result<TransitionResponse> {
    let moved = transition(ctx, request).await?;
    Ok(TransitionResponse { model_version_databricks: moved.model_version })
}
