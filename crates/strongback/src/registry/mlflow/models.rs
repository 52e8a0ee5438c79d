//! Registered models: making, reading, renaming, describing, deleting, tags.

use http::Method;

use super::wire::{ModelOut, ModelRequest, ModelResponse, TagRequest, name};
use crate::{
    catalog::Action,
    context::Ctx,
    db::Change,
    error::{Error, Result},
    registry::{
        answered,
        models::{self, ModelChange},
        names::{self, Levels},
        tags::{Tags, checked_description, checked_key, checked_tag, checked_tags},
    },
    router::{Limits, Policy, Route, wire::Empty},
};

pub(super) fn routes() -> Vec<Route> {
    let edit = Policy::Asset(Action::Edit);
    vec![
        Route::json(
            Method::POST,
            "/api/2.0/mlflow/registered-models/create",
            Policy::Asset(Action::Create),
            Limits::JSON,
            "Create a registered model",
            create,
        ),
        Route::json(
            Method::GET,
            "/api/2.0/mlflow/registered-models/get",
            Policy::Asset(Action::Read),
            Limits::SMALL,
            "Get a registered model",
            get,
        ),
        Route::json(
            Method::POST,
            "/api/2.0/mlflow/registered-models/rename",
            edit,
            Limits::SMALL,
            "Rename a registered model",
            rename,
        ),
        Route::json(
            Method::PATCH,
            "/api/2.0/mlflow/registered-models/update",
            edit,
            Limits::JSON,
            "Describe a registered model",
            update,
        ),
        Route::json(
            Method::DELETE,
            "/api/2.0/mlflow/registered-models/delete",
            Policy::Asset(Action::Delete),
            Limits::SMALL,
            "Delete a registered model with its versions",
            delete,
        ),
        Route::json(
            Method::POST,
            "/api/2.0/mlflow/registered-models/set-tag",
            edit,
            Limits::JSON,
            "Set a tag of a registered model",
            set_tag,
        ),
        Route::json(
            Method::DELETE,
            "/api/2.0/mlflow/registered-models/delete-tag",
            edit,
            Limits::SMALL,
            "Delete a tag of a registered model",
            delete_tag,
        ),
    ]
}

async fn create(ctx: Ctx, request: ModelRequest) -> Result<ModelResponse> {
    let name = name(request.name.as_ref())?;
    let tags = checked_tags(&request.tags)?;
    let description = checked_description("description", request.description)?;
    ctx.write(move |tx| {
        let made = models::create(tx, &name, Levels::Any, &description, &tags)?;
        answered(made, |model| Ok(ModelResponse { registered_model: ModelOut::new(&model) }))
    })
    .await
}

async fn get(ctx: Ctx, request: ModelRequest) -> Result<ModelResponse> {
    let name = name(request.name.as_ref())?;
    ctx.read(move |sql| {
        let model = names::load(sql, &name, Levels::Any)?;
        Ok(ModelResponse { registered_model: ModelOut::one(sql, &model, true)? })
    })
    .await
}

async fn rename(ctx: Ctx, request: ModelRequest) -> Result<ModelResponse> {
    let new_name = request.new_name.filter(|name| !name.is_empty());
    let new_name = new_name.ok_or_else(|| Error::required("new_name"))?;
    change(ctx, request.name, ModelChange { new_name: Some(new_name), ..ModelChange::default() }).await
}

async fn update(ctx: Ctx, request: ModelRequest) -> Result<ModelResponse> {
    let description = Some(checked_description("description", request.description)?);
    change(ctx, request.name, ModelChange { description, ..ModelChange::default() }).await
}

async fn change(ctx: Ctx, given: Option<String>, wanted: ModelChange) -> Result<ModelResponse> {
    let name = name(given.as_ref())?;
    ctx.write(move |tx| {
        let changed = models::update(tx, &name, Levels::Any, &wanted)?;
        answered(changed, |model| Ok(ModelResponse { registered_model: ModelOut::one(tx, &model, true)? }))
    })
    .await
}

async fn delete(ctx: Ctx, request: ModelRequest) -> Result<Empty> {
    let name = name(request.name.as_ref())?;
    models::model_delete(&ctx, name, Levels::Any).await?;
    Ok(Empty {})
}

async fn set_tag(ctx: Ctx, request: TagRequest) -> Result<Empty> {
    let name = name(request.name.as_ref())?;
    let set = Tags::from([checked_tag(request.key.as_deref(), request.value.as_deref())?]);
    ctx.write(move |tx| empty(models::change_tags(tx, &name, Levels::Any, &set, &[])?)).await
}

async fn delete_tag(ctx: Ctx, request: TagRequest) -> Result<Empty> {
    let name = name(request.name.as_ref())?;
    let remove = [checked_key(request.key.as_deref())?];
    ctx.write(move |tx| empty(models::change_tags(tx, &name, Levels::Any, &Tags::new(), &remove)?)).await
}

fn empty(change: Change<()>) -> Result<Change<Empty>> {
    answered(change, |()| Ok(Empty {}))
}
