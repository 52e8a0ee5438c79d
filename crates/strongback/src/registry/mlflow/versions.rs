//! Model versions: making, reading, describing, deleting, tags, and where their files are.

use http::Method;

use super::wire::{
    CreateVersionRequest, DownloadUriResponse, TagRequest, VersionOut, VersionRequest, VersionResponse, name,
    number,
};
use crate::{
    catalog::Action,
    context::Ctx,
    error::Result,
    registry::{
        answered, location,
        names::Levels,
        tags::{Tags, checked_description, checked_key, checked_link, checked_tag, checked_tags},
        versions::{self, NewVersion},
    },
    router::{
        Limits, Policy, Route,
        wire::{Empty, required},
    },
};

pub(super) fn routes() -> Vec<Route> {
    let (read, edit) = (Policy::Asset(Action::Read), Policy::Asset(Action::Edit));
    vec![
        Route::json(
            Method::POST,
            "/api/2.0/mlflow/model-versions/create",
            edit,
            Limits::JSON,
            "Create a model version",
            create,
        ),
        Route::json(
            Method::GET,
            "/api/2.0/mlflow/model-versions/get",
            read,
            Limits::SMALL,
            "Get a model version",
            get,
        ),
        Route::json(
            Method::GET,
            "/api/2.0/mlflow/model-versions/get-download-uri",
            read,
            Limits::SMALL,
            "Where the files of a model version are",
            download_uri,
        ),
        Route::json(
            Method::PATCH,
            "/api/2.0/mlflow/model-versions/update",
            edit,
            Limits::JSON,
            "Describe a model version",
            update,
        ),
        Route::json(
            Method::DELETE,
            "/api/2.0/mlflow/model-versions/delete",
            Policy::Asset(Action::Delete),
            Limits::SMALL,
            "Delete a model version",
            delete,
        ),
        Route::json(
            Method::POST,
            "/api/2.0/mlflow/model-versions/set-tag",
            edit,
            Limits::JSON,
            "Set a tag of a model version",
            set_tag,
        ),
        Route::json(
            Method::DELETE,
            "/api/2.0/mlflow/model-versions/delete-tag",
            edit,
            Limits::SMALL,
            "Delete a tag of a model version",
            delete_tag,
        ),
    ]
}

/// A new version as a request describes it.
pub(in crate::registry) fn new_version(
    request: CreateVersionRequest,
    awaits_files: bool,
) -> Result<(String, NewVersion)> {
    let name = name(request.name.as_ref())?;
    let new = NewVersion {
        source: required(&request.source, "source")?.to_owned(),
        run_id: request.run_id.unwrap_or_default(),
        model_id: request.model_id.unwrap_or_default(),
        run_link: checked_link(request.run_link)?,
        description: checked_description("description", request.description)?,
        tags: checked_tags(&request.tags)?,
        awaits_files,
    };
    Ok((name, new))
}

async fn create(ctx: Ctx, request: CreateVersionRequest) -> Result<VersionResponse> {
    let (name, new) = new_version(request, false)?;
    versions::version_create(&ctx, name, Levels::Any, new, |_, model, version| {
        Ok(VersionResponse { model_version: VersionOut::new(&model.name(), version, &[]) })
    })
    .await
}

async fn get(ctx: Ctx, request: VersionRequest) -> Result<VersionResponse> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    ctx.read(move |sql| {
        let (model, version) = versions::load(sql, &name, Levels::Any, number)?;
        Ok(VersionResponse { model_version: VersionOut::load(sql, &model.name(), &version)? })
    })
    .await
}

async fn download_uri(ctx: Ctx, request: VersionRequest) -> Result<DownloadUriResponse> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    ctx.read(move |sql| {
        let (model, version) = versions::load(sql, &name, Levels::Any, number)?;
        Ok(DownloadUriResponse { artifact_uri: location::download_uri(sql, &model, &version)? })
    })
    .await
}

async fn update(ctx: Ctx, request: VersionRequest) -> Result<VersionResponse> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    // Absent is empty here: MLflow's own server stores what its client did not say as no description.
    let description = checked_description("description", request.description)?;
    ctx.write(move |tx| {
        let changed = versions::describe(tx, &name, Levels::Any, number, Some(&description))?;
        answered(changed, |(model, version)| {
            Ok(VersionResponse { model_version: VersionOut::load(tx, &model.name(), &version)? })
        })
    })
    .await
}

async fn delete(ctx: Ctx, request: VersionRequest) -> Result<Empty> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    versions::version_delete(&ctx, name, Levels::Any, number).await?;
    Ok(Empty {})
}

async fn set_tag(ctx: Ctx, request: TagRequest) -> Result<Empty> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    let set = Tags::from([checked_tag(request.key.as_deref(), request.value.as_deref())?]);
    ctx.write(move |tx| {
        answered(versions::change_tags(tx, &name, Levels::Any, number, &set, &[])?, |_| Ok(Empty {}))
    })
    .await
}

async fn delete_tag(ctx: Ctx, request: TagRequest) -> Result<Empty> {
    let (name, number) = (name(request.name.as_ref())?, number(request.version)?);
    let remove = [checked_key(request.key.as_deref())?];
    ctx.write(move |tx| {
        let none = Tags::new();
        answered(versions::change_tags(tx, &name, Levels::Any, number, &none, &remove)?, |_| Ok(Empty {}))
    })
    .await
}
