//! Files of versions for MLflow's web pages.

use axum::{body::Body, response::Response};
use http::{Method, Request};
use syntax::paths::ArtifactPath;

use super::place::{Located, Root, Three};
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Error, Result},
    files::{self, http::query_value},
    router::{Limits, PathParams, Policy, Route},
    tracking::artifacts::Access,
};

pub(super) fn routes() -> Vec<Route> {
    let policy = Policy::Asset(Action::Read);
    let path = "/model-versions/get-artifact";
    vec![Route::raw(Method::GET, path, policy, Limits::STREAM, "Get a file of a model version", get)]
}

async fn get(ctx: Ctx, _: PathParams, request: Request<Body>) -> Result<Response> {
    let at = locate(&request)?;
    let from = at.resolve(&ctx, Access::Read).await?;
    files::serve(&ctx, &from.guard, &from.path, &request.into_parts().0).await
}

fn locate(request: &Request<Body>) -> Result<Located> {
    let value = |name| {
        query_value(request, name).filter(|text| !text.is_empty()).ok_or_else(|| Error::required(name))
    };
    let (name, version, whole) = (value("name")?, value("version")?, value("path")?);
    let number = version.parse().map_err(|_| {
        Error::invalid(format!(
            "Invalid value {version:?} for parameter 'version' supplied: it is not a number."
        ))
    })?;
    let path = ArtifactPath::parse(&whole)?;
    Ok(Located { root: Root::Version { name, levels: Three::Perhaps, number }, whole, path })
}
