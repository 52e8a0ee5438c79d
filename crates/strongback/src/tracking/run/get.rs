//! Reading a run, with what it read and wrote.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use http::Method;

use super::{
    Run, load, store,
    wire::{self, Dataset, DatasetUseOut, IdRequest, ModelInput, ModelOutput, RunOut, RunResponse},
};
use crate::{
    bind,
    catalog::Action,
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    router::{Limits, Policy, Route, wire::Int64},
    tracking::{experiment::Tags, wire::KeyValue},
};

/// `run_model.direction` of models that a run read.
pub(super) const READ: i64 = 0;
/// `run_model.direction` of models that a run wrote.
pub(super) const WROTE: i64 = 1;

pub(super) fn routes() -> Vec<Route> {
    let policy = Policy::Asset(Action::Read);
    vec![Route::json(Method::GET, "/api/2.0/mlflow/runs/get", policy, Limits::SMALL, "Get a run", get)]
}

pub(crate) async fn get(ctx: Ctx, request: IdRequest) -> Result<RunResponse> {
    let id = wire::run_id(&request.run_id, &request.run_uuid)?.to_owned();
    ctx.read(move |sql| {
        let run = load(sql, &id)?;
        let mut found = complete(sql, std::slice::from_ref(&run))?;
        found.pop().map(|run| RunResponse { run }).ok_or_else(|| super::unknown(&id))
    })
    .await
}

/// Runs as clients see them, with inputs and outputs, in the same order. Three statements however many they are; a data
/// set is read once however many runs read it.
pub(in crate::tracking) fn complete(sql: &mut Sql<'_>, runs: &[Run]) -> Result<Vec<RunOut>> {
    let ids =
        serde_json::to_string(&runs.iter().map(|run| run.id).collect::<Vec<_>>()).map_err(Error::internal)?;
    let mut inputs = inputs(sql, &ids)?;
    let mut models = models_by_run(sql, &ids)?;
    let complete = |run: &Run| {
        let mut out = RunOut::from(run);
        out.inputs.dataset_inputs = inputs.remove(&run.id).unwrap_or_default();
        for (direction, model_id, step) in models.remove(&run.id).unwrap_or_default() {
            let model_id = Some(model_id);
            if direction == READ {
                out.inputs.model_inputs.push(ModelInput { model_id });
            } else {
                out.outputs.model_outputs.push(ModelOutput { model_id, step: Some(Int64(step)) });
            }
        }
        out
    };
    Ok(runs.iter().map(complete).collect())
}

/// A logged model of a run: whether it read or wrote it, its id, and at which step.
type ModelUse = (i64, String, i64);

/// The logged models of runs, by run.
fn models_by_run(sql: &mut Sql<'_>, run_ids: &str) -> Result<HashMap<i64, Vec<ModelUse>>> {
    let mut models: HashMap<i64, Vec<ModelUse>> = HashMap::new();
    sql.each(&store::MODEL_LIST, bind![run_ids], |row| {
        models.entry(row.get(0)?).or_default().push((row.get(1)?, row.get(2)?, row.get(3)?));
        Ok(true)
    })?;
    Ok(models)
}

/// Ids of the logged models that a run read, and of those that it wrote.
pub fn models(sql: &mut Sql<'_>, run: &Run) -> Result<(Vec<String>, Vec<String>)> {
    let found = models_by_run(sql, &format!("[{}]", run.id))?.remove(&run.id).unwrap_or_default();
    let (read, written): (Vec<_>, Vec<_>) = found.into_iter().partition(|(direction, ..)| *direction == READ);
    let ids = |models: Vec<ModelUse>| models.into_iter().map(|(_, id, _)| id).collect();
    Ok((ids(read), ids(written)))
}

/// What runs read, by run.
fn inputs(sql: &mut Sql<'_>, run_ids: &str) -> Result<HashMap<i64, Vec<DatasetUseOut>>> {
    let uses = sql.all(&store::INPUT_LIST, bind![run_ids], |row| {
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<String>(2)?))
    })?;
    let named: BTreeSet<i64> = uses.iter().map(|(_, dataset, _)| *dataset).collect();
    let mut inputs: HashMap<i64, Vec<DatasetUseOut>> = HashMap::new();
    if named.is_empty() {
        return Ok(inputs);
    }
    let ids = serde_json::to_string(&named).map_err(Error::internal)?;
    let datasets = sql.all(&store::DATASET_BY_IDS, bind![&ids], |row| {
        let dataset = Dataset {
            name: row.get(1)?,
            digest: row.get(2)?,
            source_type: row.get(3)?,
            source: row.get(4)?,
            schema: row.get(5)?,
            profile: row.get(6)?,
        };
        Ok((row.get::<i64>(0)?, Arc::new(dataset)))
    })?;
    let datasets: HashMap<i64, Arc<Dataset>> = datasets.into_iter().collect();
    for (run, dataset, tags) in uses {
        let tags: Tags = serde_json::from_str(&tags).map_err(Error::internal)?;
        let tags = tags.iter().map(|(key, value)| KeyValue::new(key, value)).collect();
        if let Some(dataset) = datasets.get(&dataset) {
            inputs.entry(run).or_default().push(DatasetUseOut { tags, dataset: Arc::clone(dataset) });
        }
    }
    Ok(inputs)
}
