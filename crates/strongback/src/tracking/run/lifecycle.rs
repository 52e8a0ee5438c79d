//! Updating, ending, deleting and restoring runs.

use http::Method;
use serde_json::json;

use super::{
    RUN_NAME_TAG, Run, Status, lock, save,
    wire::{self, IdRequest, UpdateRequest, UpdateResponse},
};
use crate::{
    catalog::Action,
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    router::{Limits, Policy, Route, wire::Empty},
    tracking::{document::AppendPlan, limits, wire::EnumIn},
};

pub(super) fn routes() -> Vec<Route> {
    let (edit, gone) = (Policy::Asset(Action::Edit), Policy::Asset(Action::Delete));
    let post = Method::POST;
    vec![
        Route::json(
            post.clone(),
            "/api/2.0/mlflow/runs/update",
            edit,
            Limits::SMALL,
            "Update or end a run",
            update,
        ),
        Route::json(post.clone(), "/api/2.0/mlflow/runs/delete", gone, Limits::SMALL, "Delete a run", delete),
        Route::json(post, "/api/2.0/mlflow/runs/restore", gone, Limits::SMALL, "Restore a run", restore),
    ]
}

fn status_of(given: Option<EnumIn>) -> Result<Option<Status>> {
    let Some(given) = given else { return Ok(None) };
    let status = match &given {
        EnumIn::Name(name) => Status::from_name(name),
        EnumIn::Number(number) => Status::from_number(*number),
    };
    status.map(Some).ok_or_else(|| {
        let shown = match given {
            EnumIn::Name(name) => format!("\"{}\"", limits::cut(&name, 100)),
            EnumIn::Number(number) => number.to_string(),
        };
        let names = Status::ALL.map(Status::name).join(", ");
        Error::invalid(format!(
            "Invalid value {shown} for parameter 'status' supplied: it is one of {names}."
        ))
    })
}

async fn update(ctx: Ctx, request: UpdateRequest) -> Result<UpdateResponse> {
    let id = wire::run_id(&request.run_id, &request.run_uuid)?.to_owned();
    let status = status_of(request.status)?;
    let end_time = request.end_time.map(|at| at.0);
    let name = request.run_name.filter(|name| !name.is_empty());
    ctx.write(move |tx| {
        let mut run = lock(tx, &id, Action::Edit)?;
        run.require_active()?;
        let before = (run.status, run.end_time);
        run.status = status.unwrap_or(run.status);
        // A run that goes on again keeps its end, as in MLflow, until it ends again.
        run.end_time = end_time.or(run.end_time);
        let named = name.as_deref().is_some_and(|name| {
            run.document.set_tag(RUN_NAME_TAG, limits::cut(name, limits::TAG_VALUE_CHARS))
        });
        if before == (run.status, run.end_time) && !named {
            return Ok(Change::Nothing(UpdateResponse { run_info: (&run).into() }));
        }
        save(tx, &mut run, &AppendPlan::default())?;
        let event = updated(&run, named);
        Ok(Change::Made(UpdateResponse { run_info: (&run).into() }, event))
    })
    .await
}

/// Ends a run that the caller may change. Nothing happens to one that stands so already.
pub fn end(tx: &mut Sql<'_>, id: &str, status: Status, at: i64) -> Result<Change<()>> {
    let mut run = lock(tx, id, Action::Edit)?;
    run.require_active()?;
    if run.status == status && run.end_time.is_some() {
        return Ok(Change::Nothing(()));
    }
    (run.status, run.end_time) = (status, Some(at));
    save(tx, &mut run, &AppendPlan::default())?;
    let event = updated(&run, false);
    Ok(Change::Made((), event))
}

fn updated(run: &Run, is_named: bool) -> Event {
    run.event(EventKind::RunUpdate).detail(json!({
        "status": run.status.name(), "end_time": run.end_time, "name": is_named.then(|| run.name()),
    }))
}

async fn delete(ctx: Ctx, request: IdRequest) -> Result<Empty> {
    set_deleted(ctx, request, true).await
}

async fn restore(ctx: Ctx, request: IdRequest) -> Result<Empty> {
    set_deleted(ctx, request, false).await
}

async fn set_deleted(ctx: Ctx, request: IdRequest, deleted: bool) -> Result<Empty> {
    let id = wire::run_id(&request.run_id, &request.run_uuid)?.to_owned();
    ctx.write(move |tx| {
        let mut run = lock(tx, &id, Action::Delete)?;
        if run.home.deleted && !deleted {
            return Err(Error::invalid(format!(
                "The experiment {} must be in the 'active' state. Current state is deleted. Restore it first.",
                run.home.mlflow_id
            )));
        }
        if run.deleted == deleted {
            return Ok(Change::Nothing(Empty {}));
        }
        run.deleted = deleted;
        save(tx, &mut run, &AppendPlan::default())?;
        let kind = if deleted { EventKind::RunDelete } else { EventKind::RunRestore };
        Ok(Change::Made(Empty {}, run.event(kind)))
    })
    .await
}
