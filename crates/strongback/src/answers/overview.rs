//! What is here, at a glance: counts, the newest runs, models with their aliases, the newest events.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    bind,
    catalog::{
        Action, asset,
        audit::{self, ListRequest, Listed},
        authorize,
    },
    db::Sql,
    error::{Error, Result},
    router::wire::Int64,
    tracking::{
        document::RunDocument,
        run::{RUN_NAME_TAG, Status},
    },
};

/// Runs, models and events that are looked at to fill the page; what the caller may not see falls away.
const LOOKED_AT: i64 = 60;
/// Runs and events that are shown.
const SHOWN: usize = 12;
/// Metrics of a run that are shown.
const METRICS: usize = 3;

crate::statements! {
    COUNTS = "SELECT (SELECT COUNT(*) FROM experiment), (SELECT COUNT(*) FROM run), (SELECT COUNT(*) FROM model),
            (SELECT COUNT(*) FROM model_version WHERE deleted_at IS NULL)";
    RUNS_NEWEST = "SELECT uuid, experiment_id, status, start_time, document FROM run WHERE deleted_at IS NULL
        ORDER BY id DESC LIMIT $1";
    MODELS_NEWEST = "SELECT a.id, a.updated_at,
            (SELECT MAX(v.version) FROM model_version v WHERE v.model_id = a.id AND v.deleted_at IS NULL)
        FROM asset a WHERE a.kind = 'model' AND a.deleted_at IS NULL ORDER BY a.updated_at DESC, a.id DESC LIMIT $1";
    MODEL_ALIASES = "SELECT alias, version FROM alias WHERE model_id = $1 AND version IS NOT NULL ORDER BY alias";
}

/// The page at `/` as data.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Overview {
    /// How much there is, whether or not the caller may see it.
    pub counts: Counts,
    /// Newest first.
    pub runs: Vec<RunLine>,
    /// Latest changed first.
    pub models: Vec<ModelLine>,
    /// Newest first; only for administrators.
    pub events: Vec<Listed>,
}

/// How much there is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Counts {
    /// Experiments, deleted ones too.
    pub experiments: i64,
    /// Runs, deleted ones too.
    pub runs: i64,
    /// Registered models.
    pub models: i64,
    /// Living versions.
    pub versions: i64,
}

/// A run in one line.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunLine {
    /// 32 hexadecimal digits.
    pub run_id: String,
    /// Its name.
    pub name: String,
    /// Name of its experiment.
    pub experiment: String,
    /// MLflow's word.
    pub status: String,
    /// Milliseconds since the epoch.
    pub start_time: i64,
    /// A few of its metrics: key and newest value.
    pub metrics: Vec<(String, f64)>,
}

/// A registered model in one line.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelLine {
    /// Its name.
    pub name: String,
    /// Newest version, if it has one.
    pub newest_version: Option<i64>,
    /// Alias and version.
    pub aliases: Vec<(String, i64)>,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
}

/// Collects it.
pub fn overview(sql: &mut Sql<'_>) -> Result<Overview> {
    let counts = sql.one(&COUNTS, bind![], |row| {
        Ok(Counts { experiments: row.get(0)?, runs: row.get(1)?, models: row.get(2)?, versions: row.get(3)? })
    })?;
    let runs = newest_runs(sql)?;
    let models = newest_models(sql)?;
    let events = if sql.caller().is_admin() {
        let request = ListRequest { max_results: Some(Int64(SHOWN as i64)), ..ListRequest::default() };
        audit::event_list(sql, &request)?.events
    } else {
        Vec::new()
    };
    Ok(Overview { counts, runs, models, events })
}

fn newest_runs(sql: &mut Sql<'_>) -> Result<Vec<RunLine>> {
    let found = sql.all(&RUNS_NEWEST, bind![LOOKED_AT], |row| {
        let document = RunDocument::decode(&row.get::<Vec<u8>>(4)?).map_err(Error::internal)?;
        let status = Status::from_number(row.get(2)?).unwrap_or_default();
        let line = RunLine {
            run_id: row.get(0)?,
            name: document.tag(RUN_NAME_TAG).unwrap_or_default().to_owned(),
            experiment: String::new(),
            status: status.name().to_owned(),
            start_time: row.get(3)?,
            metrics: document
                .metrics()
                .take(METRICS)
                .map(|(key, metric)| (key.to_owned(), metric.latest.value.get()))
                .collect(),
        };
        Ok((row.get::<i64>(1)?, line))
    })?;
    let mut shown = Vec::new();
    for (experiment, mut line) in found {
        if shown.len() < SHOWN && authorize::is_allowed(sql, Action::Read, experiment)? {
            line.experiment = asset::display_name(sql, experiment)?;
            shown.push(line);
        }
    }
    Ok(shown)
}

fn newest_models(sql: &mut Sql<'_>) -> Result<Vec<ModelLine>> {
    let found = sql.all(&MODELS_NEWEST, bind![LOOKED_AT], |row| {
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<Option<i64>>(2)?))
    })?;
    let mut shown = Vec::new();
    for (id, updated_at, newest_version) in found {
        if authorize::is_allowed(sql, Action::Read, id)? {
            let aliases = sql.all(&MODEL_ALIASES, bind![id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            shown.push(ModelLine {
                name: asset::display_name(sql, id)?,
                newest_version,
                aliases,
                updated_at,
            });
        }
    }
    Ok(shown)
}
