//! Versions of governed models.

use http::Method;
use syntax::search::Grammar;

use super::wire::{
    Background, Credentials, CredentialsRequest, CredentialsResponse, VersionOut, VersionResponse,
    VersionsResponse,
};
use crate::{
    catalog::Action,
    context::Ctx,
    db::Sql,
    error::Result,
    registry::{
        answered,
        location::{self, Addresses},
        mlflow::{
            versions::new_version,
            wire::{
                CreateVersionRequest, DownloadUriResponse, SearchRequest, TagRequest, VersionRequest, name,
                number,
            },
        },
        models::Model,
        names::Levels,
        search::Search,
        tags::{Tags, changed_description, checked_key, checked_tag},
        versions::{self, Version},
    },
    router::{Limits, Policy, Route, wire::Empty},
    tracking::limits,
};

/// Versions a page when nothing is asked for, and at most.
const PAGE: (i64, i64) = (10_000, 200_000);

/// A path of this face.
macro_rules! path {
    ($end:literal) => {
        concat!("/api/2.0/mlflow/unity-catalog/model-versions/", $end)
    };
}

pub(super) fn routes() -> Vec<Route> {
    let (read, edit) = (Policy::Asset(Action::Read), Policy::Asset(Action::Edit));
    let (remove, visible) = (Policy::Asset(Action::Delete), Policy::Visible);
    let (json, small) = (Limits::JSON, Limits::SMALL);
    let (get_, post, patch, delete_) = (Method::GET, Method::POST, Method::PATCH, Method::DELETE);
    let (uri, lineage) = (path!("get-download-uri"), path!("emit-lineage"));
    let travel = path!("generate-temporary-credentials");
    let make_text = "Create a governed version, to be uploaded";
    let finalize_text = "Declare a version's files complete";
    let untag_text = "Delete a tag of a governed version";
    vec![
        Route::json(post.clone(), path!("create"), edit, json, make_text, create),
        Route::json(post.clone(), path!("finalize"), edit, small, finalize_text, finalize),
        Route::json(get_.clone(), path!("get"), read, small, "Get a governed version", get),
        Route::json(patch, path!("update"), edit, json, "Describe a governed version", update),
        Route::json(delete_.clone(), path!("delete"), remove, small, "Delete a governed version", delete),
        Route::json(get_.clone(), path!("search"), visible, json, "Search governed versions", search),
        Route::json(get_, uri, read, small, "Where a governed version's files are", download_uri),
        Route::json(post.clone(), path!("set-tag"), edit, json, "Set a tag of a governed version", set_tag),
        Route::json(delete_, path!("delete-tag"), edit, small, untag_text, delete_tag),
        Route::json(post.clone(), lineage, read, json, "Who loads a governed version", emit_lineage),
        Route::json(post, travel, read, small, "How a version's files travel", credentials),
    ]
}

fn response(sql: &mut Sql<'_>, model: &Model, version: &Version) -> Result<VersionResponse> {
    Ok(VersionResponse { model_version: VersionOut::load(sql, model, version)? })
}

async fn create(ctx: Ctx, request: CreateVersionRequest) -> Result<VersionResponse> {
    let (name, new) = new_version(request, true)?;
    versions::version_create(&ctx, name, Levels::Three, new, response).await
}

async fn finalize(ctx: Ctx, request: VersionRequest) -> Result<VersionResponse> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    versions::version_finalize(&ctx, name, Levels::Three, number, response).await
}

async fn get(ctx: Ctx, request: VersionRequest) -> Result<VersionResponse> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    ctx.read(move |sql| {
        let (model, version) = versions::load(sql, &name, Levels::Three, number)?;
        response(sql, &model, &version)
    })
    .await
}

async fn update(ctx: Ctx, request: VersionRequest) -> Result<VersionResponse> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    let description = changed_description("description", request.description)?;
    ctx.write(move |tx| {
        let changed = versions::describe(tx, &name, Levels::Three, number, description.as_deref())?;
        answered(changed, |(model, version)| response(tx, &model, &version))
    })
    .await
}

async fn delete(ctx: Ctx, request: VersionRequest) -> Result<Empty> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    versions::version_delete(&ctx, name, Levels::Three, number).await?;
    Ok(Empty {})
}

async fn search(ctx: Ctx, request: SearchRequest) -> Result<VersionsResponse> {
    let most = limits::max_results(request.max_results.map(|n| n.0).filter(|n| *n != 0), PAGE.0, PAGE.1)?;
    let filter = request.filter.as_deref().unwrap_or_default();
    let search =
        Search::new(Grammar::ModelVersions, filter, &request.order_by, most, request.page_token.as_deref())?;
    ctx.read(move |sql| {
        let found = search.versions(sql)?;
        let mut addresses = Addresses::default();
        let model_versions = found.show(|model, version, aliases| {
            let storage = addresses.storage(sql, model, version)?;
            Ok(VersionOut::new(model, version, storage, aliases.iter().copied(), Background::default()))
        })?;
        Ok(VersionsResponse { model_versions, next_page_token: found.next_page_token })
    })
    .await
}

async fn download_uri(ctx: Ctx, request: VersionRequest) -> Result<DownloadUriResponse> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    ctx.read(move |sql| {
        let (model, version) = versions::load(sql, &name, Levels::Three, number)?;
        Ok(DownloadUriResponse { artifact_uri: location::storage(sql, &model, &version)? })
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
