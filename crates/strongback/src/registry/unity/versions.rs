//! Versions on Unity Catalog's face.

use http::Method;

use super::wire::{
    CreateVersionRequest, UpdateVersionRequest, VersionInfo, VersionListRequest, VersionRequest,
    VersionsResponse, full_name, joined, number,
};
use crate::{
    catalog::{Action, securable::Paging},
    context::Ctx,
    error::Result,
    registry::{
        aliases, answered,
        databricks::wire::Background,
        location::Addresses,
        names::{self, Levels},
        tags::{changed_description, checked_description, checked_tags},
        versions::{self, NewVersion},
    },
    router::{
        Limits, Policy, Route,
        wire::{Empty, required},
    },
    tracking::page::{self, Question},
};

pub(super) fn routes() -> Vec<Route> {
    let all = "/api/2.1/unity-catalog/models/{full_name}/versions";
    let one = "/api/2.1/unity-catalog/models/{full_name}/versions/{version}";
    let finish = "/api/2.1/unity-catalog/models/{full_name}/versions/{version}/finalize";
    let make = "/api/2.1/unity-catalog/models/versions";
    let (read, edit, small) = (Policy::Asset(Action::Read), Policy::Asset(Action::Edit), Limits::SMALL);
    let remove = Policy::Asset(Action::Delete);
    vec![
        Route::json(Method::POST, make, edit, Limits::JSON, "Create a version, to be uploaded", create),
        Route::json(Method::GET, all, read, small, "List the versions of a model", list),
        Route::json(Method::GET, one, read, small, "Get a version", get),
        Route::json(Method::PATCH, one, edit, Limits::JSON, "Describe a version", update),
        Route::json(Method::PATCH, finish, edit, small, "Declare a version's files complete", finalize),
        Route::json(Method::DELETE, one, remove, small, "Delete a version", delete),
    ]
}

async fn create(ctx: Ctx, request: CreateVersionRequest) -> Result<VersionInfo> {
    let name = joined(&request.catalog_name, &request.schema_name, &request.model_name, "model_name")?;
    let new = NewVersion {
        source: required(&request.source, "source")?.to_owned(),
        run_id: request.run_id.unwrap_or_default(),
        model_id: request.model_id.unwrap_or_default(),
        run_link: String::new(),
        description: checked_description("comment", request.comment)?,
        tags: checked_tags(&request.tags)?,
        awaits_files: true,
    };
    versions::version_create(&ctx, name, Levels::Three, new, VersionInfo::load).await
}

async fn list(ctx: Ctx, request: VersionListRequest) -> Result<VersionsResponse> {
    let name = full_name(&request.full_name)?;
    let paging = Paging::new(request.max_results, request.page_token);
    let most = paging.limit()?;
    let question = Question::of(&("versions", &name))?;
    let after: Option<i64> = page::anchor(question, paging.page_token.as_deref())?;
    ctx.read(move |sql| {
        let model = names::load(sql, &name, Levels::Three)?;
        let mut found = versions::page(sql, model.id, after.unwrap_or(0), most as i64 + 1)?;
        let more = found.len() > most;
        found.truncate(most);
        let next_page_token = match found.last().filter(|_| more) {
            Some(last) => Some(page::token(question, &last.version)?),
            None => None,
        };
        let aliases = aliases::list(sql, &[model.id])?;
        let mut addresses = Addresses::default();
        let model_versions = found
            .iter()
            .map(|version| {
                let storage = addresses.storage(sql, &model, version)?;
                Ok(VersionInfo::new(&model, version, storage, &aliases, Background::default()))
            })
            .collect::<Result<_>>()?;
        Ok(VersionsResponse { model_versions, next_page_token })
    })
    .await
}

async fn get(ctx: Ctx, request: VersionRequest) -> Result<VersionInfo> {
    let (name, number) = (full_name(&request.full_name)?, number(request.version)?);
    ctx.read(move |sql| {
        let (model, version) = versions::load(sql, &name, Levels::Three, number)?;
        VersionInfo::load(sql, &model, &version)
    })
    .await
}

async fn update(ctx: Ctx, request: UpdateVersionRequest) -> Result<VersionInfo> {
    let (name, number) = (full_name(&request.full_name)?, number(request.version)?);
    request.check()?;
    let comment = changed_description("comment", request.comment)?;
    ctx.write(move |tx| {
        let changed = versions::describe(tx, &name, Levels::Three, number, comment.as_deref())?;
        answered(changed, |(model, version)| VersionInfo::load(tx, &model, &version))
    })
    .await
}

async fn finalize(ctx: Ctx, request: VersionRequest) -> Result<VersionInfo> {
    let (name, number) = (full_name(&request.full_name)?, number(request.version)?);
    versions::version_finalize(&ctx, name, Levels::Three, number, VersionInfo::load).await
}

async fn delete(ctx: Ctx, request: VersionRequest) -> Result<Empty> {
    let (name, number) = (full_name(&request.full_name)?, number(request.version)?);
    versions::version_delete(&ctx, name, Levels::Three, number).await?;
    Ok(Empty {})
}
