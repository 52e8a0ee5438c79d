//! Aliases on Unity Catalog's face.

use http::Method;

use super::wire::{AliasInfo, AliasRequest, VersionInfo, full_name};
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Error, Result},
    registry::{
        aliases::{self, alias_set},
        answered,
        governance::Authority,
        names::{self, Levels},
    },
    router::{
        Limits, Policy, Route,
        wire::{Empty, required},
    },
};

/// Why an alias moves, as this face can tell.
const REASON: &str = "through the Unity Catalog API";

pub(super) fn routes() -> Vec<Route> {
    let path = "/api/2.1/unity-catalog/models/{full_name}/aliases/{alias}";
    let (read, edit, small) = (Policy::Asset(Action::Read), Policy::Asset(Action::Edit), Limits::SMALL);
    vec![
        Route::json(Method::GET, path, read, small, "The version behind an alias", get),
        Route::json(Method::PUT, path, edit, small, "Point an alias to a version", set),
        Route::json(Method::DELETE, path, edit, small, "Delete an alias", delete),
    ]
}

async fn get(ctx: Ctx, request: AliasRequest) -> Result<VersionInfo> {
    let (name, alias) = (full_name(&request.full_name)?, required(&request.alias, "alias")?.to_owned());
    ctx.read(move |sql| {
        let model = names::load(sql, &name, Levels::Three)?;
        let version = aliases::resolve(sql, &model, &alias)?.ok_or_else(|| aliases::missing(&alias))?;
        VersionInfo::load(sql, &model, &version)
    })
    .await
}

async fn set(ctx: Ctx, request: AliasRequest) -> Result<AliasInfo> {
    let (name, alias) = (full_name(&request.full_name)?, required(&request.alias, "alias")?.to_owned());
    let version_num = request.version_num.ok_or_else(|| Error::required("version_num"))?.0;
    ctx.write(move |tx| {
        let moved =
            alias_set(tx, &name, Levels::Three, &alias, Some(version_num), REASON, &Authority::Ungoverned)?;
        answered(moved, |_| Ok(AliasInfo { alias_name: alias.clone(), version_num }))
    })
    .await
}

async fn delete(ctx: Ctx, request: AliasRequest) -> Result<Empty> {
    let (name, alias) = (full_name(&request.full_name)?, required(&request.alias, "alias")?.to_owned());
    ctx.write(move |tx| {
        answered(alias_set(tx, &name, Levels::Three, &alias, None, REASON, &Authority::Ungoverned)?, |_| {
            Ok(Empty {})
        })
    })
    .await
}
