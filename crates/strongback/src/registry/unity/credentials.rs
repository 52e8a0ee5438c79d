//! How the files of a version travel, asked by the open-source client of Unity Catalog (`uc:` in mlflow). It knows files
//! on a disk that it shares with the server, and clouds; this server's files go through the Files API, which that client
//! does not speak. It is told so.

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::wire::{joined, number};
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Code, Error, Result},
    registry::{names::Levels, versions},
    router::{
        Limits, Policy, Route,
        wire::{Empty, Int64},
    },
};

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::POST,
        "/api/2.1/unity-catalog/temporary-model-version-credentials",
        Policy::Asset(Action::Read),
        Limits::SMALL,
        "Credentials of a cloud for a version's files: there are none",
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

async fn credentials(ctx: Ctx, request: CredentialsRequest) -> Result<Empty> {
    let name = joined(&request.catalog_name, &request.schema_name, &request.model_name, "model_name")?;
    let number = number(request.version)?;
    ctx.read(move |sql| {
        versions::load(sql, &name, Levels::Three, number)?;
        Err(Error::new(
            Code::NotImplemented,
            format!(
                "The files of version {number} of {name} are kept by this server, which gives out no credentials of a \
                 cloud; mlflow's 'uc:' registry cannot transfer them. Use mlflow.set_registry_uri(\"databricks-uc\") \
                 with DATABRICKS_HOST and DATABRICKS_TOKEN set, or MLflow's own registry: both see the same models."
            ),
        ))
    })
    .await
}
