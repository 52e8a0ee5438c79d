//! Tags of logged models.

use http::Method;
use serde_json::json;

use super::{
    lock_living, registered,
    wire::{ModelResponse, TagRequest, TagsRequest},
};
use crate::{
    catalog::Action,
    context::Ctx,
    db::Change,
    error::{Error, Result},
    events::EventKind,
    router::{
        Limits, Policy, Route,
        wire::{Empty, required},
    },
    tracking::{limits, wire::KeyValue},
};

/// Tags of one request.
const TAGS: usize = 100;

pub(super) fn routes() -> Vec<Route> {
    let policy = Policy::Asset(Action::Edit);
    vec![
        Route::json(
            Method::PATCH,
            "/api/2.0/mlflow/logged-models/{model_id}/tags",
            policy,
            Limits::LARGE,
            "Set tags of a logged model",
            set,
        ),
        Route::json(
            Method::DELETE,
            "/api/2.0/mlflow/logged-models/{model_id}/tags/{tag_key}",
            policy,
            Limits::SMALL,
            "Delete a tag of a logged model",
            delete,
        ),
    ]
}

/// Checks the tags of a request.
pub(super) fn checked(tags: &[KeyValue]) -> Result<Vec<(String, String)>> {
    if tags.len() > TAGS {
        return Err(Error::invalid(format!(
            "'tags' can contain at most {TAGS} tags; it has {}.",
            tags.len()
        )));
    }
    let checked = |(at, tag): (usize, &KeyValue)| {
        let key = limits::key(&format!("tags[{at}].key"), tag.key.as_deref())?;
        let path = format!("tags[{at}].value");
        Ok((key.to_owned(), limits::text(&path, tag.value(), limits::LOGGED_MODEL_VALUE_CHARS)?.to_owned()))
    };
    tags.iter().enumerate().map(checked).collect()
}

async fn set(ctx: Ctx, request: TagsRequest) -> Result<ModelResponse> {
    let id = limits::run_id("model_id", request.model_id.as_deref())?.to_owned();
    let tags: Vec<_> = checked(&request.tags)?.into_iter().map(registered::kept).collect();
    ctx.write(move |tx| {
        let mut model = lock_living(tx, &id)?;
        let before = model.document.tags.clone();
        model.document.tags.extend(tags.iter().cloned());
        if model.document.tags == before {
            return Ok(Change::Nothing(ModelResponse { model: (&model).into() }));
        }
        model.save(tx)?;
        let event = model.event(EventKind::LoggedModelTagSet).detail(json!({ "tags": tags }));
        Ok(Change::Made(ModelResponse { model: (&model).into() }, event))
    })
    .await
}

async fn delete(ctx: Ctx, request: TagRequest) -> Result<Empty> {
    let id = limits::run_id("model_id", request.model_id.as_deref())?.to_owned();
    let key = required(&request.tag_key, "tag_key")?.to_owned();
    ctx.write(move |tx| {
        let mut model = lock_living(tx, &id)?;
        if model.document.tags.remove(&key).is_none() {
            return Err(Error::missing(format!(
                "No tag with key '{}' found for model with ID '{id}'.",
                limits::cut(&key, 250)
            )));
        }
        model.save(tx)?;
        let event = model.event(EventKind::LoggedModelTagDelete).detail(json!({ "key": key }));
        Ok(Change::Made(Empty {}, event))
    })
    .await
}
