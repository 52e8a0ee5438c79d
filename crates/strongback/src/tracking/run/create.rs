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
        let source = sources::resolve(tx, &mut run.document, |_| true)?;
        insert(tx, &mut run)?;
        sources::record(tx, &run, &source)?;
        let event = created(&run);
        Ok(Change::Made(RunResponse { run: (&run).into() }, event))
    })
    .await
}

/// A run that the server makes by itself.
#[derive(Debug)]
pub struct NewRun<'a> {
    /// Its id, 32 hexadecimal digits, by which it is found again.
    pub uuid: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its tags.
    pub tags: &'a [KeyValue],
    /// When it began, milliseconds since the epoch.
    pub start_time: i64,
}

/// Starts a run in an experiment for a caller who may, unless it is there.
pub fn start(tx: &mut Sql<'_>, home: &experiment::Experiment, new: &NewRun<'_>) -> Result<Change<Run>> {
    authorize(tx, Action::Create, home.id)?;
    home.require_active()?;
    if let Some(found) = super::find(tx, new.uuid)? {
        return Ok(Change::Nothing(found));
    }
    let mut run = Run {
        id: 0,
        uuid: new.uuid.to_owned(),
        experiment_id: home.id,
        owner_id: tx.caller().id,
        user: tx.caller().name.clone(),
        status: Status::Running,
        deleted: false,
        start_time: new.start_time,
        end_time: None,
        revision: 1,
        document: first_document(new.tags, Some(new.name))?,
        home: Home {
            mlflow_id: home.mlflow_id,
            artifact_location: home.artifact_location.clone(),
            deleted: false,
        },
    };
    insert(tx, &mut run)?;
    let event = created(&run);
    Ok(Change::Made(run, event))
}

fn created(run: &Run) -> Event {
    run.event(EventKind::RunCreate).detail(json!({ "name": run.name(), "tags": run.document.tags().len() }))
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
        if !sources::is_servers(key) {
            document.set_tag(key, limits::cut(tag.value(), limits::TAG_VALUE_CHARS));
        }
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
