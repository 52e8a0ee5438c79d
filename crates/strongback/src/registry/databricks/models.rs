//! Governed models and their aliases.

use http::Method;
use syntax::search::Grammar;

use super::wire::{ModelOut, ModelResponse, ModelsResponse, VersionOut, VersionResponse};
use crate::{
    catalog::Action,
    context::Ctx,
    error::Result,
    registry::{
        aliases::{self, alias_set},
        answered,
        governance::Authority,
        mlflow::wire::{AliasRequest, ModelRequest, SearchRequest, TagRequest, alias, name, number},
        models::{self, ModelChange},
        names::{self, Levels},
        search::Search,
        tags::{Tags, changed_description, checked_description, checked_key, checked_tag, checked_tags},
    },
    router::{Limits, Policy, Route, wire::Empty},
    tracking::limits,
};

/// Why an alias moves, as this face can tell.
const REASON: &str = "through the databricks-uc registry";
/// Models a page when nothing is asked for, and at most.
const PAGE: (i64, i64) = (100, 1_000);

/// A path of this face.
macro_rules! path {
    ($end:literal) => {
        concat!("/api/2.0/mlflow/unity-catalog/registered-models/", $end)
    };
}

pub(super) fn routes() -> Vec<Route> {
    const ALIAS: &str = path!("alias");
    let (make, remove) = (Policy::Asset(Action::Create), Policy::Asset(Action::Delete));
    let (read, edit) = (Policy::Asset(Action::Read), Policy::Asset(Action::Edit));
    let (json, small) = (Limits::JSON, Limits::SMALL);
    let (get_, post, patch, delete_) = (Method::GET, Method::POST, Method::PATCH, Method::DELETE);
    let set_alias_text = "Point an alias of a governed model to a version";
    let get_alias_text = "The version behind an alias of a governed model";
    vec![
        Route::json(post.clone(), path!("create"), make, json, "Create a governed model", create),
        Route::json(get_.clone(), path!("get"), read, small, "Get a governed model", get),
        Route::json(patch, path!("update"), edit, json, "Rename or describe a governed model", update),
        Route::json(delete_.clone(), path!("delete"), remove, small, "Delete a governed model", delete),
        Route::json(get_.clone(), path!("search"), Policy::Visible, json, "Search governed models", search),
        Route::json(post.clone(), path!("set-tag"), edit, json, "Set a tag of a governed model", set_tag),
        Route::json(
            delete_.clone(),
            path!("delete-tag"),
            edit,
            small,
            "Delete a tag of a governed model",
            delete_tag,
        ),
        Route::json(post, ALIAS, edit, small, set_alias_text, set_alias),
        Route::json(get_, ALIAS, read, small, get_alias_text, get_alias),
        Route::json(delete_, ALIAS, edit, small, "Delete an alias of a governed model", delete_alias),
    ]
}

async fn create(ctx: Ctx, request: ModelRequest) -> Result<ModelResponse> {
    let name = name(request.name.as_ref())?;
    let tags = checked_tags(&request.tags)?;
    let description = checked_description("description", request.description)?;
    ctx.write(move |tx| {
        let made = models::create(tx, &name, Levels::Three, &description, &tags)?;
        answered(made, |model| Ok(ModelResponse { registered_model: ModelOut::one(tx, &model)? }))
    })
    .await
}

async fn get(ctx: Ctx, request: ModelRequest) -> Result<ModelResponse> {
    let name = name(request.name.as_ref())?;
    ctx.read(move |sql| {
        let model = names::load(sql, &name, Levels::Three)?;
        Ok(ModelResponse { registered_model: ModelOut::one(sql, &model)? })
    })
    .await
}

async fn update(ctx: Ctx, request: ModelRequest) -> Result<ModelResponse> {
    let name = name(request.name.as_ref())?;
    let description = changed_description("description", request.description)?;
    let new_name = request.new_name.filter(|name| !name.is_empty());
    let wanted = ModelChange { new_name, description, ..ModelChange::default() };
    ctx.write(move |tx| {
        let changed = models::update(tx, &name, Levels::Three, &wanted)?;
        answered(changed, |model| Ok(ModelResponse { registered_model: ModelOut::one(tx, &model)? }))
    })
    .await
}

async fn delete(ctx: Ctx, request: ModelRequest) -> Result<Empty> {
    let name = name(request.name.as_ref())?;
    models::model_delete(&ctx, name, Levels::Three).await?;
    Ok(Empty {})
}

async fn search(ctx: Ctx, request: SearchRequest) -> Result<ModelsResponse> {
    let most = limits::max_results(request.max_results.map(|n| n.0).filter(|n| *n != 0), PAGE.0, PAGE.1)?;
    let filter = request.filter.as_deref().unwrap_or_default();
    let search = Search::new(
        Grammar::RegisteredModels,
        filter,
        &request.order_by,
        most,
        request.page_token.as_deref(),
    )?;
    ctx.read(move |sql| {
        let found = search.models(sql)?;
        let registered_models = ModelOut::complete(sql, &found.items)?;
        Ok(ModelsResponse { registered_models, next_page_token: found.next_page_token })
    })
    .await
}

async fn set_tag(ctx: Ctx, request: TagRequest) -> Result<Empty> {
    let name = name(request.name.as_ref())?;
    let set = Tags::from([checked_tag(request.key.as_deref(), request.value.as_deref())?]);
    ctx.write(move |tx| {
        answered(models::change_tags(tx, &name, Levels::Three, &set, &[])?, |()| Ok(Empty {}))
    })
    .await
}

async fn delete_tag(ctx: Ctx, request: TagRequest) -> Result<Empty> {
    let name = name(request.name.as_ref())?;
    let remove = [checked_key(request.key.as_deref())?];
    ctx.write(move |tx| {
        answered(models::change_tags(tx, &name, Levels::Three, &Tags::new(), &remove)?, |()| Ok(Empty {}))
    })
    .await
}

async fn set_alias(ctx: Ctx, request: AliasRequest) -> Result<Empty> {
    let (name, alias) = (name(request.name.as_ref())?, alias(request.alias)?);
    let to = Some(number(request.version)?);
    ctx.write(move |tx| {
        answered(alias_set(tx, &name, Levels::Three, &alias, to, REASON, &Authority::Ungoverned)?, |_| {
            Ok(Empty {})
        })
    })
    .await
}

async fn delete_alias(ctx: Ctx, request: AliasRequest) -> Result<Empty> {
    let (name, alias) = (name(request.name.as_ref())?, alias(request.alias)?);
    ctx.write(move |tx| {
        answered(alias_set(tx, &name, Levels::Three, &alias, None, REASON, &Authority::Ungoverned)?, |_| {
            Ok(Empty {})
        })
    })
    .await
}

async fn get_alias(ctx: Ctx, request: AliasRequest) -> Result<VersionResponse> {
    let (name, alias) = (name(request.name.as_ref())?, alias(request.alias)?);
    ctx.read(move |sql| {
        let model = names::load(sql, &name, Levels::Three)?;
        let version = aliases::resolve(sql, &model, &alias)?.ok_or_else(|| aliases::missing(&alias))?;
        Ok(VersionResponse { model_version: VersionOut::load(sql, &model, &version)? })
    })
    .await
}
