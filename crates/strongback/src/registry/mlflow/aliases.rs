//! Aliases: setting, resolving, deleting.

use http::Method;

use super::wire::{AliasRequest, VersionOut, VersionResponse, alias, name, number};
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Code, Result},
    registry::{
        aliases::{self, alias_set},
        answered,
        governance::Authority,
        names::{self, Levels},
    },
    router::{Limits, Policy, Route, wire::Empty},
};

/// Why an alias moves, as this face can tell.
const REASON: &str = "through the MLflow API";

pub(super) fn routes() -> Vec<Route> {
    let path = "/api/2.0/mlflow/registered-models/alias";
    let edit = Policy::Asset(Action::Edit);
    vec![
        Route::json(Method::POST, path, edit, Limits::SMALL, "Point an alias to a version", set),
        Route::json(
            Method::GET,
            path,
            Policy::Asset(Action::Read),
            Limits::SMALL,
            "The version that an alias points to",
            get,
        ),
        Route::json(Method::DELETE, path, edit, Limits::SMALL, "Delete an alias", delete),
    ]
}

async fn set(ctx: Ctx, request: AliasRequest) -> Result<Empty> {
    let (name, alias) = (name(request.name.as_ref())?, alias(request.alias)?);
    let to = Some(number(request.version)?);
    ctx.write(move |tx| {
        answered(alias_set(tx, &name, Levels::Any, &alias, to, REASON, &Authority::Ungoverned)?, |_| {
            Ok(Empty {})
        })
    })
    .await
}

async fn delete(ctx: Ctx, request: AliasRequest) -> Result<Empty> {
    let (name, alias) = (name(request.name.as_ref())?, alias(request.alias)?);
    ctx.write(move |tx| {
        answered(alias_set(tx, &name, Levels::Any, &alias, None, REASON, &Authority::Ungoverned)?, |_| {
            Ok(Empty {})
        })
    })
    .await
}

async fn get(ctx: Ctx, request: AliasRequest) -> Result<VersionResponse> {
    let (name, alias) = (name(request.name.as_ref())?, alias(request.alias)?);
    ctx.read(move |sql| {
        let model = names::load(sql, &name, Levels::Any)?;
        // MLflow's plain client expects this code where the model is there and the alias is not.
        let version = aliases::resolve(sql, &model, &alias)?
            .ok_or_else(|| aliases::missing(&alias).with_code(Code::InvalidParameterValue))?;
        Ok(VersionResponse { model_version: VersionOut::load(sql, &model.name(), &version)? })
    })
    .await
}
