//! Experiments: what runs belong to, and by which they are authorised.
//!
//! An experiment is an asset of the default schema whose wire name is the name or path that clients give it, and a row
//! with MLflow's id. What must stay true: a deleted experiment keeps its name (the asset lives on, the row's life cycle
//! says that it is deleted); deleting and restoring change this one row, and the runs follow because a run is active
//! only in an active experiment; an id is never used twice.

pub mod carried;
mod change;
pub(crate) mod find;
pub(in crate::tracking) mod search;
pub(in crate::tracking) mod store;
mod tags;
pub mod wire;

use std::collections::BTreeMap;

use crate::{
    bind,
    catalog::{Action, authorize, authorize::is_allowed, bootstrap::default_schema},
    db::{Row, Sql},
    error::{Error, Result},
    router::Route,
};

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// An experiment.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// `asset.id`
    pub id: i64,
    /// MLflow's id: 0 for the default one, else 18 random digits.
    pub mlflow_id: i64,
    /// Name or path, as given.
    pub name: String,
    /// Where its runs' files lie, as a URI.
    pub artifact_location: String,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Its tags.
    pub tags: Tags,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
}

impl Experiment {
    /// Refuses what needs an active experiment.
    pub fn require_active(&self) -> Result<()> {
        if self.deleted {
            return Err(Error::invalid(format!(
                "The experiment {} must be in the 'active' state. Current state is deleted.",
                self.mlflow_id
            )));
        }
        Ok(())
    }
}

/// The experiment with this MLflow id, for a caller who may do `action` with it.
pub fn load(sql: &mut Sql<'_>, mlflow_id: i64, action: Action) -> Result<Experiment> {
    let found = find(sql, mlflow_id)?.ok_or_else(|| unknown(mlflow_id))?;
    authorize(sql, action, found.id)?;
    Ok(found)
}

/// The same, kept from others until the transaction ends.
fn lock(tx: &mut Sql<'_>, mlflow_id: i64, action: Action) -> Result<Experiment> {
    let found = tx.first(&store::EXPERIMENT_LOCK, bind![mlflow_id], read)?;
    let found = found.ok_or_else(|| unknown(mlflow_id))?;
    authorize(tx, action, found.id)?;
    Ok(found)
}

/// The experiment with this MLflow id, without asking whether the caller may see it.
pub fn find(sql: &mut Sql<'_>, mlflow_id: i64) -> Result<Option<Experiment>> {
    sql.first(&store::EXPERIMENT_BY_ID, bind![mlflow_id], read)
}

/// The experiment of an asset id, without asking whether the caller may see it.
pub fn find_by_asset(sql: &mut Sql<'_>, asset_id: i64) -> Result<Option<Experiment>> {
    sql.first(&store::EXPERIMENT_BY_ASSET, bind![asset_id], read)
}

/// The experiments with these MLflow ids, for a search that names them. Unknown ids are left out, as in MLflow; one
/// that the caller may not read is refused.
pub fn named(sql: &mut Sql<'_>, mlflow_ids: &[i64]) -> Result<Vec<Experiment>> {
    let ids = serde_json::to_string(mlflow_ids).map_err(Error::internal)?;
    let found = sql.all(&store::EXPERIMENT_BY_IDS, bind![&ids], read)?;
    for experiment in &found {
        authorize(sql, Action::Read, experiment.id)?;
    }
    if found.is_empty() {
        // An empty answer tells nobody anything; the decision is the one about where experiments live.
        let schema = default_schema(sql)?;
        is_allowed(sql, Action::Read, schema.id)?;
    }
    Ok(found)
}

/// The error for an id that is nowhere.
pub fn unknown(mlflow_id: i64) -> Error {
    Error::missing(format!("No Experiment with id={mlflow_id} exists"))
}

/// A row of the statements that list an experiment's columns.
fn read(row: &Row<'_>) -> Result<Experiment> {
    Ok(Experiment {
        id: row.get(0)?,
        mlflow_id: row.get(1)?,
        name: row.get(2)?,
        artifact_location: row.get(3)?,
        deleted: row.get::<String>(4)? == store::DELETED,
        tags: serde_json::from_str(&row.get::<String>(5)?).map_err(Error::internal)?,
        created_at: row.get(6)?,
        updated_at: row.get(7)?,
    })
}

/// Routes of experiments.
pub(super) fn routes() -> Vec<Route> {
    [find::routes(), change::routes(), tags::routes(), search::routes()].concat()
}

pub(super) use change::bootstrap;
pub use change::{Kept, hand_over, keep};
