//! An experiment in whole, as it travels between stores: with its id and its times.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::names;

pub use super::change::check_location;
use super::{Experiment, Tags, change, find as find_by_id, find::by_name, store};
use crate::{
    bind,
    catalog::names::refused,
    db::Sql,
    error::{Code, Error, Result},
    tracking::{
        limits,
        wire::{CARRIED_CHARS, Taken},
    },
};

/// MLflow's id of the experiment that every store begins with.
pub const DEFAULT: i64 = 0;

/// An experiment in whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CarriedExperiment {
    /// MLflow's id: decimal text.
    pub experiment_id: String,
    /// Its name or path.
    pub name: String,
    /// Where its runs' files stay, as a URI; none where they come into the server's own store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_location: Option<String>,
    /// Whether it was deleted.
    #[serde(default)]
    pub deleted: bool,
    /// Milliseconds since the epoch.
    pub created_time: i64,
    /// Milliseconds since the epoch.
    pub updated_time: i64,
    /// By key.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl CarriedExperiment {
    fn check(&self) -> Result<i64> {
        names::check_experiment_name(&self.name).map_err(refused)?;
        if let Some(location) = &self.artifact_location {
            check_location(location)?;
        }
        for (key, value) in &self.tags {
            limits::key("tags", Some(key))?;
            limits::text("tags", value, CARRIED_CHARS)?;
        }
        let id = limits::experiment_id(&self.experiment_id)?;
        if id < 0 {
            return Err(Error::invalid(format!(
                "Invalid experiment ID '{id}'. Experiments have none below 0."
            )));
        }
        Ok(id)
    }
}

/// The experiment with one of these: the id, the name.
pub fn present(sql: &mut Sql<'_>, mlflow_id: Option<i64>, name: &str) -> Result<[Option<Experiment>; 2]> {
    let by_id = mlflow_id.map(|id| find_by_id(sql, id)).transpose()?.flatten();
    Ok([by_id, by_name(sql, name)?])
}

/// Whether the runs of another store's default experiment can come into the one that is here: their files are in the same place, or
/// nobody has used it yet.
pub fn fits_default(sql: &mut Sql<'_>, location: Option<&str>) -> Result<bool> {
    let Some(found) = find_by_id(sql, DEFAULT)? else { return Ok(true) };
    let wanted = location.map_or_else(|| change::own_location(DEFAULT), str::to_owned);
    if found.artifact_location == wanted {
        return Ok(true);
    }
    Ok(sql.first(&store::EXPERIMENT_HAS_RUNS, bind![found.id], |_| Ok(()))?.is_none())
}

/// Takes an experiment into the default schema, or what is new of one that is here. The one that every store begins with keeps its
/// times and its place. The caller has authorised it, and leaves the event.
pub fn take(tx: &mut Sql<'_>, carried: &CarriedExperiment) -> Result<Taken> {
    let mlflow_id = carried.check()?;
    let Some(mut found) = find_by_id(tx, mlflow_id)? else {
        let location = carried.artifact_location.as_deref();
        let made = change::insert(tx, mlflow_id, &carried.name, location, &carried.tags)?;
        put(tx, &made, carried)?;
        return Ok(Taken::Made);
    };
    if found.name != carried.name && mlflow_id != DEFAULT {
        change::rename(tx, &found, &carried.name)?;
    }
    if mlflow_id == DEFAULT {
        let location = carried.artifact_location.clone();
        if !fits_default(tx, location.as_deref())? {
            return Err(Error::new(
                Code::ResourceConflict,
                format!(
                    "The runs of the experiment {DEFAULT} have their files at {} here.",
                    found.artifact_location
                ),
            ));
        }
        let wanted = location.unwrap_or_else(|| change::own_location(DEFAULT));
        if found.artifact_location != wanted {
            tx.execute(&store::EXPERIMENT_MOVE, bind![found.id, &wanted])?;
        }
    }
    let before = found.clone();
    found.tags.extend(carried.tags.clone());
    if mlflow_id != DEFAULT {
        found.deleted = carried.deleted;
        (found.created_at, found.updated_at) = (carried.created_time, carried.updated_time);
    }
    let is_same = (before.name == carried.name || mlflow_id == DEFAULT)
        && before.tags == found.tags
        && before.deleted == found.deleted
        && (before.created_at, before.updated_at) == (found.created_at, found.updated_at);
    if is_same {
        return Ok(Taken::Same);
    }
    put(tx, &found, &give(&found))?;
    Ok(Taken::Changed)
}

fn put(tx: &mut Sql<'_>, experiment: &Experiment, carried: &CarriedExperiment) -> Result<()> {
    let lifecycle = if carried.deleted { store::DELETED } else { store::ACTIVE };
    let tags: &Tags = &experiment.tags;
    let tags = serde_json::to_string(tags).map_err(Error::internal)?;
    let times = (carried.created_time, carried.updated_time);
    tx.execute(&store::EXPERIMENT_CARRY, bind![experiment.id, lifecycle, &tags, times.0, times.1])?;
    Ok(())
}

/// An experiment as it is given to another store. The caller has authorised it.
pub fn give(experiment: &Experiment) -> CarriedExperiment {
    CarriedExperiment {
        experiment_id: experiment.mlflow_id.to_string(),
        name: experiment.name.clone(),
        artifact_location: Some(experiment.artifact_location.clone())
            .filter(|location| *location != change::own_location(experiment.mlflow_id)),
        deleted: experiment.deleted,
        created_time: experiment.created_at,
        updated_time: experiment.updated_at,
        tags: experiment.tags.clone(),
    }
}

/// Every experiment, whoever may see it: for administrators.
pub fn all(sql: &mut Sql<'_>) -> Result<Vec<Experiment>> {
    let mut found = sql.all(&store::EXPERIMENT_ALL, bind![], super::read)?;
    found.sort_unstable_by_key(|experiment| experiment.mlflow_id);
    Ok(found)
}
