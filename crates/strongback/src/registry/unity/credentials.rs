//! How the files of a version travel, asked on Unity Catalog's face: always through this server's Files API.

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::wire::{joined, number};
use crate::{
    catalog::Action,
    context::Ctx,
    error::Result,
    registry::{
        databricks::wire::Credentials,
        names::{self, Levels},
        versions,
    },
    router::{Limits, Policy, Route, wire::Int64},
};

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::POST,
        "/api/2.1/unity-catalog/temporary-model-version-credentials",
        Policy::Asset(Action::Read),
        Limits::SMALL,
        "How a version's files travel",
        credentials,
    )]
}

/// Whose files.
#[derive(Debug, Deserialize, JsonSchema)]
struct CredentialsRequest {
    /// The catalog.
    catalog_name: Option<String>,
    /// The schema.
    schema_name: Option<String>,
    /// Last part of the model's name.
    model_name: Option<String>,
    /// The number.
    version: Option<Int64>,
}

async fn credentials(ctx: Ctx, request: CredentialsRequest) -> Result<Credentials> {
    let name = joined(&request.catalog_name, &request.schema_name, &request.model_name, "model_name")?;
    let number = number(request.version)?;
    ctx.read(move |sql| {
        let model = names::load(sql, &name, Levels::Three)?;
        versions::require(sql, &model, number)?;
        Ok(Credentials { storage_mode: "DEFAULT_STORAGE" })
    })
    .await
}
