//! Creating logged models.

use http::Method;
use serde_json::json;
use syntax::names::check_logged_model_name;

use super::{
    Document, LoggedModel, Status, params, store, tags,
    wire::{CreateRequest, ModelResponse},
};
use crate::{
    bind,
    catalog::{Action, names::refused},
    context::Ctx,
    db::Change,
    error::Result,
    events::EventKind,
    router::{Limits, Policy, Route, wire::required},
    tracking::{
        experiment, limits,
        run::{self, names},
    },
};

pub(super) fn routes() -> Vec<Route> {
    let policy = Policy::Asset(Action::Create);
    vec![Route::json(
        Method::POST,
        "/api/2.0/mlflow/logged-models",
        policy,
        Limits::LARGE,
        "Create a logged model",
        create,
    )]
}

async fn create(ctx: Ctx, request: CreateRequest) -> Result<ModelResponse> {
    let mlflow_id = limits::experiment_id(required(&request.experiment_id, "experiment_id")?)?;
    let name = match request.name.filter(|name| !name.is_empty()) {
        Some(name) => {
            check_logged_model_name(&name).map_err(refused)?;
            name
        }
        None => names::generate(),
    };
    let model_type = request.model_type.unwrap_or_default();
    limits::text("model_type", &model_type, 500)?;
    let source_run = request.source_run_id.unwrap_or_default();
    if !source_run.is_empty() {
        limits::run_id("source_run_id", Some(&source_run))?;
    }
    let mut document = Document::default();
    for (key, value) in tags::checked(&request.tags)? {
        document.tags.insert(key, value);
    }
    for (key, value) in params::checked(&request.params)? {
        document.params.insert(key, value);
    }
    let uuid = format!("m-{}", uuid::Uuid::new_v4().simple());
    let text = document.encode(&uuid)?;
    ctx.write(move |tx| {
        let home = experiment::load(tx, mlflow_id, Action::Create)?;
        home.require_active()?;
        // Whoever registers `runs:/<run>/<name>` trusts that the run's own people made it. An id that is no run here
        // came from elsewhere, and nothing here is reached by it.
        if let Some(run) = run::find(tx, &source_run)? {
            run::authorize_change(tx, &run, Action::Edit)?;
        }
        let (now, owner_id) = (tx.now(), tx.caller().id);
        let model = LoggedModel {
            uuid: uuid.clone(),
            experiment_id: home.id,
            name: name.clone(),
            model_type: model_type.clone(),
            source_run: source_run.clone(),
            status: Status::Pending,
            status_message: String::new(),
            owner_id,
            created_at: now,
            updated_at: now,
            deleted: false,
            revision: 1,
            document: document.clone(),
            mlflow_id,
            artifact_location: home.artifact_location,
        };
        tx.execute(
            &store::LOGGED_MODEL_INSERT,
            bind![&model.uuid, home.id, &name, &model_type, &source_run, owner_id, now, &text],
        )?;
        let event =
            model.event(EventKind::LoggedModelCreate).detail(json!({ "name": name, "run": source_run }));
        Ok(Change::Made(ModelResponse { model: (&model).into() }, event))
    })
    .await
}
