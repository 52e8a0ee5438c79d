//! Tags of experiments.

use http::Method;
use serde_json::json;

use super::{change::save, lock, wire::TagRequest};
use crate::{
    catalog::{Action, asset},
    context::Ctx,
    db::Change,
    error::{Error, Result},
    events::{Event, EventKind},
    router::{
        Limits, Policy, Route,
        wire::{Empty, required},
    },
    tracking::limits,
};

pub(super) fn routes() -> Vec<Route> {
    let policy = Policy::Asset(Action::Edit);
    vec![
        Route::json(
            Method::POST,
            "/api/2.0/mlflow/experiments/set-experiment-tag",
            policy,
            Limits::JSON,
            "Set a tag of an experiment",
            set,
        ),
        Route::json(
            Method::POST,
            "/api/2.0/mlflow/experiments/delete-experiment-tag",
            policy,
            Limits::SMALL,
            "Delete a tag of an experiment",
            delete,
        ),
    ]
}

async fn set(ctx: Ctx, request: TagRequest) -> Result<Empty> {
    let id = limits::experiment_id(required(&request.experiment_id, "experiment_id")?)?;
    let key = limits::key("key", request.key.as_deref())?.to_owned();
    let value = request.value.unwrap_or_default();
    limits::text("value", &value, limits::EXPERIMENT_TAG_VALUE_CHARS)?;
    ctx.write(move |tx| {
        let mut experiment = lock(tx, id, Action::Edit)?;
        experiment.require_active()?;
        if experiment.tags.get(&key) == Some(&value) {
            return Ok(Change::Nothing(Empty {}));
        }
        experiment.tags.insert(key.clone(), value.clone());
        let revision = asset::touch(tx, experiment.id)?;
        save(tx, &experiment)?;
        let event = Event::new(EventKind::ExperimentTagSet)
            .asset(experiment.id, revision)
            .subject(id.to_string())
            .detail(json!({ "key": key, "value": value }));
        Ok(Change::Made(Empty {}, event))
    })
    .await
}

async fn delete(ctx: Ctx, request: TagRequest) -> Result<Empty> {
    let id = limits::experiment_id(required(&request.experiment_id, "experiment_id")?)?;
    let key = required(&request.key, "key")?.to_owned();
    ctx.write(move |tx| {
        let mut experiment = lock(tx, id, Action::Edit)?;
        experiment.require_active()?;
        if experiment.tags.remove(&key).is_none() {
            return Err(Error::missing(format!(
                "No tag with key '{}' in experiment with id {id}.",
                limits::cut(&key, 250)
            )));
        }
        let revision = asset::touch(tx, experiment.id)?;
        save(tx, &experiment)?;
        let event = Event::new(EventKind::ExperimentTagDelete)
            .asset(experiment.id, revision)
            .subject(id.to_string())
            .detail(json!({ "key": key }));
        Ok(Change::Made(Empty {}, event))
    })
    .await
}
