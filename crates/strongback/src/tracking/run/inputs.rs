//! What a run read: data sets and logged models.

use http::Method;
use serde_json::json;

use super::{
    DATASET_CONTEXT_TAG, Run,
    get::READ,
    lock, save, sources, store, touch,
    wire::{self, Dataset, DatasetUse, InputsRequest},
};
use crate::{
    bind,
    catalog::{
        Action,
        lineage::{self, EdgeKind, Fact, NodeRef},
    },
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    events::EventKind,
    router::{Limits, Policy, Route, wire::Empty},
    tracking::{
        document::{AppendPlan, DatasetInput},
        experiment::Tags,
        limits,
    },
};

/// Data sets, and models, of one request.
const INPUTS: usize = 1_000;

pub(super) fn routes() -> Vec<Route> {
    let policy = Policy::Asset(Action::Edit);
    vec![Route::json(
        Method::POST,
        "/api/2.0/mlflow/runs/log-inputs",
        policy,
        Limits::LARGE,
        "Note the data sets and models that a run read",
        log_inputs,
    )]
}

/// A data set's use, checked.
#[derive(Debug, Clone)]
pub(super) struct Input {
    name: String,
    digest: String,
    source_type: String,
    source: String,
    schema: Option<String>,
    profile: Option<String>,
    tags: Tags,
}

impl Input {
    pub(super) fn new(given: &DatasetUse, at: usize) -> Result<Self> {
        let place = format!("datasets[{at}]");
        let dataset = given.dataset.as_ref().ok_or_else(|| Error::required(&format!("{place}.dataset")))?;
        let Dataset { name, digest, source_type, source, schema, profile } = dataset;
        let required = |field: &str, value: &Option<String>, most: usize| {
            let path = format!("{place}.dataset.{field}");
            let value =
                value.as_deref().filter(|value| !value.is_empty()).ok_or_else(|| Error::required(&path))?;
            limits::text(&path, value, most).map(str::to_owned)
        };
        let optional = |field: &str, value: &Option<String>, most: usize| {
            let path = format!("{place}.dataset.{field}");
            value.as_deref().map(|value| limits::text(&path, value, most).map(str::to_owned)).transpose()
        };
        let mut tags = Tags::new();
        for (at, tag) in given.tags.iter().enumerate() {
            let path = format!("{place}.tags[{at}]");
            let key = tag.key.as_deref().ok_or_else(|| Error::required(&format!("{path}.key")))?;
            limits::text(&format!("{path}.key"), key, 255)?;
            limits::text(&format!("{path}.value"), tag.value(), 500)?;
            tags.insert(key.to_owned(), tag.value().to_owned());
        }
        Ok(Self {
            name: required("name", name, 500)?,
            digest: required("digest", digest, 36)?,
            source_type: required("source_type", source_type, 36)?,
            source: required("source", source, 65_535)?,
            schema: optional("schema", schema, 1_048_575)?,
            profile: optional("profile", profile, 16_777_215)?,
            tags,
        })
    }

    /// Stores the description, once a digest, and its use, once a run.
    pub(super) fn store(&self, tx: &mut Sql<'_>, run: &mut Run) -> Result<bool> {
        let known = bind![run.experiment_id, &self.name, &self.digest];
        let dataset = match tx.first(&store::DATASET_FIND, known, |row| row.get::<i64>(0))? {
            Some(id) => id,
            None => tx.one(
                &store::DATASET_INSERT,
                bind![
                    run.experiment_id,
                    &self.name,
                    &self.digest,
                    &self.source_type,
                    &self.source,
                    self.schema.as_deref(),
                    self.profile.as_deref()
                ],
                |row| row.get(0),
            )?,
        };
        let before = tx.first(&store::INPUT_FIND, bind![run.id, dataset], |row| row.get::<String>(0))?;
        let mut tags = self.tags.clone();
        if let Some(before) = &before {
            let stored: Tags = serde_json::from_str(before).map_err(Error::internal)?;
            // What was said first stands, as in MLflow; new tags are added.
            tags.extend(stored);
        }
        let text = serde_json::to_string(&tags).map_err(Error::internal)?;
        if before.as_deref() == Some(text.as_str()) {
            return Ok(false);
        }
        tx.execute(&store::INPUT_PUT, bind![run.id, dataset, &text])?;
        if !sources::record_training_set(tx, run, &self.source_type, &self.source)? {
            let node = NodeRef::Dataset { name: &self.name, digest: &self.digest, source: &self.source };
            let fact = Fact { run_uuid: &run.uuid, ..Fact::default() };
            lineage::record(tx, node, NodeRef::Asset(run.experiment_id), EdgeKind::Reads, fact)?;
        }
        let context = tags.remove(DATASET_CONTEXT_TAG);
        run.document.add_dataset(DatasetInput { context, ..self.noted() });
        Ok(true)
    }

    /// As the document notes it.
    pub(super) fn noted(&self) -> DatasetInput {
        let context = self.tags.get(DATASET_CONTEXT_TAG).cloned();
        DatasetInput { name: self.name.clone(), digest: self.digest.clone(), context }
    }
}

async fn log_inputs(ctx: Ctx, request: InputsRequest) -> Result<Empty> {
    let id = wire::run_id(&request.run_id, &None)?.to_owned();
    if request.datasets.len().max(request.models.len()) > INPUTS {
        return Err(Error::invalid(format!(
            "'datasets' and 'models' can contain at most {INPUTS} entries each."
        )));
    }
    let inputs = request
        .datasets
        .iter()
        .enumerate()
        .map(|(at, given)| Input::new(given, at))
        .collect::<Result<Vec<_>>>()?;
    let mut models = Vec::new();
    for (at, model) in request.models.iter().enumerate() {
        let path = format!("models[{at}].model_id");
        models.push(limits::run_id(&path, model.model_id.as_deref())?.to_owned());
    }
    ctx.write(move |tx| {
        let mut run = lock(tx, &id, Action::Edit)?;
        run.require_active()?;
        let before = run.document.datasets().len();
        let mut is_changed = false;
        for input in &inputs {
            is_changed |= input.store(tx, &mut run)?;
        }
        for model in &models {
            is_changed |= put_model(tx, run.id, READ, model, 0)?;
        }
        if !is_changed {
            return Ok(Change::Nothing(Empty {}));
        }
        match run.document.datasets().len() == before {
            true => touch(tx, &mut run)?,
            false => save(tx, &mut run, &AppendPlan::default())?,
        }
        let datasets: Vec<_> =
            inputs.iter().map(|input| json!({ "name": input.name, "digest": input.digest })).collect();
        let event = run.event(EventKind::RunInputs).detail(json!({ "datasets": datasets, "models": models }));
        Ok(Change::Made(Empty {}, event))
    })
    .await
}

/// Notes a logged model that a run read or wrote; whether that is news.
pub(super) fn put_model(tx: &mut Sql<'_>, run: i64, direction: i64, model: &str, step: i64) -> Result<bool> {
    let stored = tx.first(&store::MODEL_FIND, bind![run, direction, model], |row| row.get::<i64>(0))?;
    if stored == Some(step) {
        return Ok(false);
    }
    tx.execute(&store::MODEL_PUT, bind![run, direction, model, step])?;
    Ok(true)
}
