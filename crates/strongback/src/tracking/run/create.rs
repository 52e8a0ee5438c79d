//! Starting runs.

use http::Method;
use serde_json::json;

use super::{
    Home, RUN_NAME_TAG, Run, Status, USER_TAG, mark_fresh, names, sources, store,
    wire::{CreateRequest, RunResponse},
};
use crate::{
    bind,
    catalog::{Action, authorize},
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    router::wire::required,
    router::{Limits, Policy, Route},
    tracking::{document::RunDocument, experiment, limits, wire::KeyValue},
};

pub(super) fn routes() -> Vec<Route> {
    let policy = Policy::Asset(Action::Create);
    vec![Route::json(
        Method::POST,
        "/api/2.0/mlflow/runs/create",
        policy,
        Limits::JSON,
        "Start a run",
        create,
    )]
}

async fn create(ctx: Ctx, request: CreateRequest) -> Result<RunResponse> {
    let mlflow_id = limits::experiment_id(required(&request.experiment_id, "experiment_id")?)?;
    let document = first_document(&request.tags, request.run_name.as_deref())?;
    let claimed = request.user_id.filter(|user| !user.is_empty());
    let user = match claimed.as_deref().or_else(|| document.tag(USER_TAG)) {
        Some(user) => limits::text("user_id", user, 256)?.to_owned(),
        None => String::new(),
    };
    let start_time = request.start_time.unwrap_or_default().0;
    ctx.write(move |tx| {
        let home = experiment::load(tx, mlflow_id, Action::Create)?;
        home.require_active()?;
        let mut run = Run {
            id: 0,
            uuid: uuid::Uuid::new_v4().simple().to_string(),
            experiment_id: home.id,
            owner_id: tx.caller().id,
            user: user.clone(),
            status: Status::Running,
            deleted: false,
            start_time,
            end_time: None,
            revision: 1,
            document: document.clone(),
            home: Home { mlflow_id, artifact_location: home.artifact_location, deleted: false },
        };
        let source = sources::resolve(tx, &mut run.document)?;
        insert(tx, &mut run)?;
        sources::record(tx, &run, Some(&source))?;
        let event = run
            .event(EventKind::RunCreate)
            .detail(json!({ "name": run.name(), "tags": run.document.tags().len() }));
        Ok(Change::Made(RunResponse { run: (&run).into() }, event))
    })
    .await
}

/// Starts a run in an experiment by its name, for what the server itself logs: the run, and what to answer the change with.
pub fn start_in_tx(
    tx: &mut Sql<'_>,
    experiment_name: &str,
    run_name: &str,
    tags: &[(&str, &str)],
) -> Result<(Run, Event)> {
    let home = experiment::by_name(tx, experiment_name)?
        .ok_or_else(|| Error::missing(format!("Could not find experiment with name '{experiment_name}'")))?;
    authorize(tx, Action::Create, home.id)?;
    home.require_active()?;
    let mut document = RunDocument::default();
    for (key, value) in tags.iter().chain([&(RUN_NAME_TAG, run_name)]) {
        document.set_tag(key, limits::cut(value, limits::TAG_VALUE_CHARS));
    }
    let (owner_id, user, now) = (tx.caller().id, tx.caller().name.clone(), tx.now());
    let mut run = Run {
        id: 0,
        uuid: uuid::Uuid::new_v4().simple().to_string(),
        experiment_id: home.id,
        owner_id,
        user,
        status: Status::Running,
        deleted: false,
        start_time: now,
        end_time: None,
        revision: 1,
        document,
        home: Home { mlflow_id: home.mlflow_id, artifact_location: home.artifact_location, deleted: false },
    };
    insert(tx, &mut run)?;
    let event = run.event(EventKind::RunCreate).detail(json!({ "name": run.name(), "tags": tags.len() }));
    Ok((run, event))
}

fn insert(tx: &mut Sql<'_>, run: &mut Run) -> Result<()> {
    let document = run.document.encode();
    run.id = tx.one(
        &store::RUN_INSERT,
        bind![
            &run.uuid,
            run.experiment_id,
            run.owner_id,
            &run.user,
            run.status as i64,
            run.start_time,
            &document
        ],
        |row| row.get(0),
    )?;
    mark_fresh(tx, run)
}

/// The document of a new run: its tags, the name among them.
fn first_document(tags: &[KeyValue], name: Option<&str>) -> Result<RunDocument> {
    let mut document = RunDocument::default();
    for (at, tag) in tags.iter().enumerate() {
        let key = limits::key(&format!("tags[{at}].key"), tag.key.as_deref())?;
        document.set_tag(key, limits::cut(tag.value(), limits::TAG_VALUE_CHARS));
    }
    let name = name.filter(|name| !name.is_empty());
    let tagged = document.tag(RUN_NAME_TAG).filter(|name| !name.is_empty());
    let name = match (name, tagged) {
        (Some(name), Some(tagged)) if name != tagged => {
            return Err(Error::invalid(format!(
                "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values \
                 (run_name='{name}', mlflow.runName='{tagged}')."
            )));
        }
        (Some(name), _) | (None, Some(name)) => limits::cut(name, limits::TAG_VALUE_CHARS).to_owned(),
        (None, None) => names::generate(),
    };
    document.set_tag(RUN_NAME_TAG, &name);
    Ok(document)
}
