//! Versions of governed models.

use http::Method;
use syntax::search::Grammar;

use super::wire::{
    Credentials, CredentialsRequest, CredentialsResponse, VersionOut, VersionResponse, VersionsResponse,
};
use crate::{
    catalog::Action,
    context::Ctx,
    error::Result,
    registry::{
        answered,
        mlflow::{
            versions::new_version,
            wire::{
                CreateVersionRequest, DownloadUriResponse, SearchRequest, TagRequest, VersionRequest, name,
                number,
            },
        },
        names::{self, Levels},
        search::Search,
        tags::{Tags, checked_description, checked_key, checked_tag},
        versions,
    },
    router::{Limits, Policy, Route, wire::Empty},
    tracking::limits,
};

/// Versions a page when nothing is asked for, and at most.
const PAGE: (i64, i64) = (10_000, 200_000);

pub(super) fn routes() -> Vec<Route> {
    let (read, edit) = (Policy::Asset(Action::Read), Policy::Asset(Action::Edit));
    let (json, small) = (Limits::JSON, Limits::SMALL);
    let path = |end| match end {
        "create" => "/api/2.0/mlflow/unity-catalog/model-versions/create",
        "finalize" => "/api/2.0/mlflow/unity-catalog/model-versions/finalize",
        "get" => "/api/2.0/mlflow/unity-catalog/model-versions/get",
        "update" => "/api/2.0/mlflow/unity-catalog/model-versions/update",
        "delete" => "/api/2.0/mlflow/unity-catalog/model-versions/delete",
        "search" => "/api/2.0/mlflow/unity-catalog/model-versions/search",
        "uri" => "/api/2.0/mlflow/unity-catalog/model-versions/get-download-uri",
        "set-tag" => "/api/2.0/mlflow/unity-catalog/model-versions/set-tag",
        "delete-tag" => "/api/2.0/mlflow/unity-catalog/model-versions/delete-tag",
        "lineage" => "/api/2.0/mlflow/unity-catalog/model-versions/emit-lineage",
        _ => "/api/2.0/mlflow/unity-catalog/model-versions/generate-temporary-credentials",
    };
    vec![
        Route::json(
            Method::POST,
            path("create"),
            edit,
            json,
            "Create a governed version, to be uploaded",
            create,
        ),
        Route::json(
            Method::POST,
            path("finalize"),
            edit,
            small,
            "Declare a version's files complete",
            finalize,
        ),
        Route::json(Method::GET, path("get"), read, small, "Get a governed version", get),
        Route::json(Method::PATCH, path("update"), edit, json, "Describe a governed version", update),
        Route::json(
            Method::DELETE,
            path("delete"),
            Policy::Asset(Action::Delete),
            small,
            "Delete a governed version",
            delete,
        ),
        Route::json(Method::GET, path("search"), Policy::Visible, json, "Search governed versions", search),
        Route::json(
            Method::GET,
            path("uri"),
            read,
            small,
            "Where a governed version's files are",
            download_uri,
        ),
        Route::json(Method::POST, path("set-tag"), edit, json, "Set a tag of a governed version", set_tag),
        Route::json(
            Method::DELETE,
            path("delete-tag"),
            edit,
            small,
            "Delete a tag of a governed version",
            delete_tag,
        ),
        Route::json(Method::POST, path("lineage"), read, json, "Who loads a governed version", emit_lineage),
        Route::json(
            Method::POST,
            path("credentials"),
            read,
            small,
            "How a version's files travel",
            credentials,
        ),
    ]
}

async fn create(ctx: Ctx, request: CreateVersionRequest) -> Result<VersionResponse> {
    let (name, new) = new_version(request, true)?;
    ctx.write(move |tx| {
        answered(versions::create(tx, &name, Levels::Three, &new)?, |(model, version)| {
            Ok(VersionResponse { model_version: VersionOut::load(tx, &model, &version)? })
        })
    })
    .await
}

async fn finalize(ctx: Ctx, request: VersionRequest) -> Result<VersionResponse> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    ctx.write(move |tx| {
        answered(versions::finalize(tx, &name, Levels::Three, number)?, |(model, version)| {
            Ok(VersionResponse { model_version: VersionOut::load(tx, &model, &version)? })
        })
    })
    .await
}

async fn get(ctx: Ctx, request: VersionRequest) -> Result<VersionResponse> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    ctx.read(move |sql| {
        let (model, version) = versions::load(sql, &name, Levels::Three, number)?;
        Ok(VersionResponse { model_version: VersionOut::load(sql, &model, &version)? })
    })
    .await
}

async fn update(ctx: Ctx, request: VersionRequest) -> Result<VersionResponse> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    let description = checked_description("description", request.description)?;
    ctx.write(move |tx| {
        let changed = versions::describe(tx, &name, Levels::Three, number, &description)?;
        answered(changed, |(model, version)| {
            Ok(VersionResponse { model_version: VersionOut::load(tx, &model, &version)? })
        })
    })
    .await
}

async fn delete(ctx: Ctx, request: VersionRequest) -> Result<Empty> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    ctx.write(move |tx| answered(versions::delete(tx, &name, Levels::Three, number)?, |()| Ok(Empty {})))
        .await
}

async fn search(ctx: Ctx, request: SearchRequest) -> Result<VersionsResponse> {
    let most = limits::max_results(request.max_results.map(|n| n.0).filter(|n| *n != 0), PAGE.0, PAGE.1)?;
    let filter = request.filter.as_deref().unwrap_or_default();
    let search =
        Search::new(Grammar::ModelVersions, filter, &request.order_by, most, request.page_token.as_deref())?;
    ctx.read(move |sql| {
        let found = search.versions(sql)?;
        let mut model_versions = Vec::with_capacity(found.items.len());
        for (name, version) in &found.items {
            let model = names::load(sql, name, Levels::Any)?;
            model_versions.push(VersionOut::load(sql, &model, version)?);
        }
        Ok(VersionsResponse { model_versions, next_page_token: found.next_page_token })
    })
    .await
}

async fn download_uri(ctx: Ctx, request: VersionRequest) -> Result<DownloadUriResponse> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    ctx.read(move |sql| {
        let (model, version) = versions::load(sql, &name, Levels::Three, number)?;
        let artifact_uri = VersionOut::new(&model, &version, &[], Vec::new()).storage_location;
        Ok(DownloadUriResponse { artifact_uri })
    })
    .await
}

async fn set_tag(ctx: Ctx, request: TagRequest) -> Result<Empty> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    let set = Tags::from([checked_tag(request.key.as_deref(), request.value.as_deref())?]);
    ctx.write(move |tx| {
        answered(versions::change_tags(tx, &name, Levels::Three, number, &set, &[])?, |_| Ok(Empty {}))
    })
    .await
}

async fn delete_tag(ctx: Ctx, request: TagRequest) -> Result<Empty> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    let remove = [checked_key(request.key.as_deref())?];
    ctx.write(move |tx| {
        let none = Tags::new();
        answered(versions::change_tags(tx, &name, Levels::Three, number, &none, &remove)?, |_| Ok(Empty {}))
    })
    .await
}

/// The client tells that somebody loads a version, without saying who beyond the caller. What was loaded is checked;
/// nothing is stored, because a load is a read.
async fn emit_lineage(ctx: Ctx, request: VersionRequest) -> Result<Empty> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    ctx.read(move |sql| versions::load(sql, &name, Levels::Three, number).map(|_| Empty {})).await
}

async fn credentials(ctx: Ctx, request: CredentialsRequest) -> Result<CredentialsResponse> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    ctx.read(move |sql| {
        versions::load(sql, &name, Levels::Three, number)?;
        Ok(CredentialsResponse { credentials: Credentials { storage_mode: "DEFAULT_STORAGE" } })
    })
    .await
}
