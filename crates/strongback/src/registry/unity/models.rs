//! Models on Unity Catalog's face.

use http::Method;
use syntax::search::Grammar;

use super::wire::{
    CreateModelRequest, ListRequest, ModelInfo, ModelRequest, ModelsResponse, UpdateModelRequest, full_name,
    joined,
};
use crate::{
    catalog::{
        Action, Kind,
        names::schema_of,
        securable::{self, Paging},
    },
    context::Ctx,
    error::Result,
    registry::{
        answered,
        models::{self, Model, ModelChange},
        names::{self, Levels},
        search::Search,
        tags::{changed_description, checked_description, checked_tags},
    },
    router::{
        Limits, Policy, Route,
        wire::{Empty, required},
    },
};

pub(super) fn routes() -> Vec<Route> {
    let (all, one) = ("/api/2.1/unity-catalog/models", "/api/2.1/unity-catalog/models/{full_name}");
    let policy = Policy::Asset;
    vec![
        Route::json(Method::POST, all, policy(Action::Create), Limits::JSON, "Create a model", create),
        Route::json(Method::GET, all, Policy::Visible, Limits::SMALL, "List models", list),
        Route::json(Method::GET, one, policy(Action::Read), Limits::SMALL, "Get a model", get),
        Route::json(
            Method::PATCH,
            one,
            policy(Action::Edit),
            Limits::JSON,
            "Rename, describe or give away a model",
            update,
        ),
        Route::json(Method::DELETE, one, policy(Action::Delete), Limits::SMALL, "Delete a model", delete),
    ]
}

async fn create(ctx: Ctx, request: CreateModelRequest) -> Result<ModelInfo> {
    let name = joined(&request.catalog_name, &request.schema_name, &request.name, "name")?;
    request.check(&ctx.origin.caller.name)?;
    let comment = checked_description("comment", request.comment)?;
    let tags = checked_tags(&request.tags)?;
    ctx.write(move |tx| {
        let made = models::create(tx, &name, Levels::Three, &comment, &tags)?;
        answered(made, |model| ModelInfo::one(tx, &model))
    })
    .await
}

async fn get(ctx: Ctx, request: ModelRequest) -> Result<ModelInfo> {
    let name = full_name(&request.full_name)?;
    ctx.read(move |sql| {
        let model = names::load(sql, &name, Levels::Three)?;
        ModelInfo::one(sql, &model)
    })
    .await
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ModelsResponse> {
    let paging = Paging::new(request.max_results, request.page_token);
    ctx.read(move |sql| {
        let named = [&request.catalog_name, &request.schema_name].iter().any(|part| part.is_some());
        let (found, next_page_token): (Vec<Model>, _) = if named {
            let catalog = required(&request.catalog_name, "catalog_name")?;
            let schema = required(&request.schema_name, "schema_name")?;
            let (_, schema) = schema_of(sql, catalog, schema)?;
            let (assets, next) = securable::page(sql, schema.id, Kind::Model, &paging)?;
            let mut models = Vec::with_capacity(assets.len());
            for asset in assets {
                models.extend(models::get(sql, asset.id)?);
            }
            (models, next)
        } else {
            let token = paging.page_token.as_deref();
            let found = Search::new(Grammar::RegisteredModels, "", &[], paging.limit()?, token)?
                .with_prompts()
                .models(sql)?;
            (found.items, found.next_page_token)
        };
        let registered_models = ModelInfo::complete(sql, &found)?;
        Ok(ModelsResponse { registered_models, next_page_token })
    })
    .await
}

async fn update(ctx: Ctx, request: UpdateModelRequest) -> Result<ModelInfo> {
    let name = full_name(&request.full_name)?;
    request.check(&name)?;
    let description = changed_description("comment", request.comment)?;
    let new_name = request.new_name.filter(|name| !name.is_empty());
    let wanted =
        ModelChange { new_name, description, owner: request.owner.filter(|owner| !owner.is_empty()) };
    ctx.write(move |tx| {
        let changed = models::update(tx, &name, Levels::Three, &wanted)?;
        answered(changed, |model| ModelInfo::one(tx, &model))
    })
    .await
}

async fn delete(ctx: Ctx, request: ModelRequest) -> Result<Empty> {
    let name = full_name(&request.full_name)?;
    models::model_delete(&ctx, name, Levels::Three).await?;
    Ok(Empty {})
}
