//! Deleting tags of runs. Setting one is a batch of one, see [`super::log`].
//!
//! A run's name is its tag `mlflow.runName`, so that it goes with the tag until the run is given another one. (MLflow has
//! the name in a column too, which then says what no tag says.)

use http::Method;
use serde_json::json;

use super::{
    lock, save, sources,
    wire::{self, PairRequest},
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
    tracking::{document::AppendPlan, limits},
};

pub(super) fn routes() -> Vec<Route> {
    let policy = Policy::Asset(Action::Edit);
    vec![Route::json(
        Method::POST,
        "/api/2.0/mlflow/runs/delete-tag",
        policy,
        Limits::SMALL,
        "Delete a tag of a run",
        delete,
    )]
}

async fn delete(ctx: Ctx, request: PairRequest) -> Result<Empty> {
    let id = wire::run_id(&request.run_id, &request.run_uuid)?.to_owned();
    let key = required(&request.key, "key")?.to_owned();
    ctx.write(move |tx| {
        let mut run = lock(tx, &id, Action::Edit)?;
        run.require_active()?;
        sources::refuse_servers(&key)?;
        if !run.document.delete_tag(&key) {
            return Err(Error::missing(format!(
                "No tag with name: {} in run with id {id}",
                limits::cut(&key, 250)
            )));
        }
        sources::resolve(tx, &mut run.document, |tag| tag == key)?;
        save(tx, &mut run, &AppendPlan::default())?;
        let event = run.event(EventKind::RunTagDelete).detail(json!({ "key": key }));
        Ok(Change::Made(Empty {}, event))
    })
    .await
}
