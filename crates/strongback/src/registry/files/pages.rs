//! Files of versions for MLflow's web pages.

use axum::{body::Body, response::Response};
use http::{Method, Request};
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::paths::ArtifactPath;

use super::place::{Located, Root, Three};
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Error, Result},
    files::{self, http::read_query},
    router::{
        Limits, PathParams, Policy, Route,
        wire::{Int64, required},
    },
    tracking::artifacts::Access,
};

pub(super) fn routes() -> Vec<Route> {
    let policy = Policy::Asset(Action::Read);
    let path = "/model-versions/get-artifact";
    vec![
        Route::raw(Method::GET, path, policy, Limits::STREAM, "Get a file of a model version", get)
            .taking_query::<FileRequest>()
            .giving_content("application/octet-stream"),
    ]
}

/// Which file of which version.
#[derive(Debug, Deserialize, JsonSchema)]
struct FileRequest {
    /// Name of the model.
    name: Option<String>,
    /// The number.
    version: Option<Int64>,
    /// The file, relative to the version's root.
    path: Option<String>,
}

async fn get(ctx: Ctx, _: PathParams, request: Request<Body>) -> Result<Response> {
    let at = locate(read_query(request.uri().query())?)?;
    let from = at.resolve(&ctx, Access::Read).await?;
    files::serve(&ctx, &from.guard, &from.path, &request.into_parts().0).await
}

fn locate(asked: FileRequest) -> Result<Located> {
    let name = required(&asked.name, "name")?.to_owned();
    let number = asked.version.ok_or_else(|| Error::required("version"))?.0;
    let whole = required(&asked.path, "path")?.to_owned();
    let path = ArtifactPath::parse(&whole)?;
    Ok(Located { root: Root::Version { name, levels: Three::Perhaps, number }, whole, path })
}
