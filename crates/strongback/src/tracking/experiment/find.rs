//! Looking up experiments, and the data sets of their runs.

use std::collections::BTreeSet;

use http::Method;

use super::{
    Experiment, load, read, store,
    wire::{DatasetSummary, DatasetsRequest, DatasetsResponse, ExperimentResponse, IdRequest, NameRequest},
};
use crate::{
    bind,
    catalog::{Action, Kind, asset, authorize},
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    router::{Limits, Policy, Route, wire::required},
    tracking::{experiment::Tags, limits, run::DATASET_CONTEXT_TAG},
};

/// Experiments that one request may ask for data sets of.
const DATASET_EXPERIMENTS: usize = 20;
/// Data sets that are listed; MLflow's number.
const DATASET_SUMMARIES: usize = 1_000;
/// Uses of data sets, told apart by their tags, that are looked at in one experiment.
const DATASET_USES: i64 = 20_000;

pub(super) fn routes() -> Vec<Route> {
    let policy = Policy::Asset(Action::Read);
    vec![
        Route::json(
            Method::GET,
            "/api/2.0/mlflow/experiments/get",
            policy,
            Limits::SMALL,
            "Get an experiment by id",
            get,
        ),
        Route::json(
            Method::GET,
            "/api/2.0/mlflow/experiments/get-by-name",
            policy,
            Limits::SMALL,
            "Get an experiment by name",
            get_by_name,
        ),
        Route::json(
            Method::POST,
            "/api/2.0/mlflow/experiments/search-datasets",
            policy,
            Limits::SMALL,
            "List the data sets that runs of experiments read",
            search_datasets,
        ),
    ]
}

pub(crate) async fn get(ctx: Ctx, request: IdRequest) -> Result<ExperimentResponse> {
    let id = limits::experiment_id(required(&request.experiment_id, "experiment_id")?)?;
    ctx.read(move |sql| {
        let experiment = load(sql, id, Action::Read)?;
        Ok(ExperimentResponse { experiment: (&experiment).into() })
    })
    .await
}

async fn get_by_name(ctx: Ctx, request: NameRequest) -> Result<ExperimentResponse> {
    let name =
        limits::text("experiment_name", required(&request.experiment_name, "experiment_name")?, 10_000)?
            .to_owned();
    ctx.read(move |sql| {
        let found = by_name(sql, &name)?;
        let experiment =
            found.ok_or_else(|| Error::missing(format!("Could not find experiment with name '{name}'")))?;
        authorize(sql, Action::Read, experiment.id)?;
        Ok(ExperimentResponse { experiment: (&experiment).into() })
    })
    .await
}

/// By the name it was given, deleted ones too, without asking whether the caller may see it.
pub(in crate::tracking) fn by_name(sql: &mut Sql<'_>, name: &str) -> Result<Option<Experiment>> {
    match asset::find_by_wire_name(sql, Kind::Experiment, name)? {
        Some(asset) => sql.first(&store::EXPERIMENT_BY_ASSET, bind![asset.id], read),
        None => Ok(None),
    }
}

async fn search_datasets(ctx: Ctx, request: DatasetsRequest) -> Result<DatasetsResponse> {
    let ids = &request.experiment_ids;
    if ids.is_empty() {
        return Err(Error::invalid("SearchDatasets request must specify at least one experiment_id."));
    }
    if ids.len() > DATASET_EXPERIMENTS {
        return Err(Error::invalid(format!(
            "SearchDatasets request cannot specify more than {DATASET_EXPERIMENTS} experiment_ids. Received {} experiment_ids.",
            ids.len()
        )));
    }
    let ids = ids.iter().map(|id| limits::experiment_id(id)).collect::<Result<Vec<_>>>()?;
    ctx.read(move |sql| {
        // One line for each experiment, data set and context: other tags of a use do not make another.
        let mut found = BTreeSet::new();
        for id in ids {
            let experiment = load(sql, id, Action::Read)?;
            let rows = sql.all(&store::EXPERIMENT_DATASETS, bind![experiment.id, DATASET_USES], |row| {
                Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<String>(2)?))
            })?;
            for (name, digest, tags) in rows {
                let mut tags: Tags = serde_json::from_str(&tags).map_err(Error::internal)?;
                let context = tags.remove(DATASET_CONTEXT_TAG);
                found.insert((id, name, digest, context));
            }
        }
        let summary = |(id, name, digest, context): (i64, _, _, _)| DatasetSummary {
            experiment_id: id.to_string(),
            name,
            digest,
            context,
        };
        Ok(DatasetsResponse {
            dataset_summaries: found.into_iter().take(DATASET_SUMMARIES).map(summary).collect(),
        })
    })
    .await
}
