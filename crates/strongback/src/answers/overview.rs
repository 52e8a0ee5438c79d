//! What is here, at a glance: counts, the newest runs, models with their aliases, endpoints, gates, drift, alerts, the newest
//! events.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    bind,
    catalog::{
        Action, asset,
        audit::{self, ListRequest, Listed},
        authorize,
    },
    context::Ctx,
    db::Sql,
    error::Result,
    monitoring, promotion,
    router::wire::Int64,
    serving,
    tracking::{
        damaged::say_damaged,
        document::RunDocument,
        run::{RUN_NAME_TAG, Status},
    },
};

/// Runs and models that are looked at; what the caller may not see falls away.
const LOOKED_AT: i64 = 100;
/// Runs, models and events in the answer.
const SHOWN: usize = 40;
/// Metrics of a run that are shown.
const METRICS: usize = 3;

crate::statements! {
    /// Runs are counted off an index, deleted ones too: their rows carry documents.
    COUNTS = "SELECT (SELECT COUNT(*) FROM experiment WHERE lifecycle = 'active'),
            (SELECT COUNT(*) FROM run),
            (SELECT COUNT(*) FROM asset WHERE kind = 'model' AND deleted_at IS NULL),
            (SELECT COUNT(*) FROM model_version WHERE deleted_at IS NULL)";
    RUNS_NEWEST = "SELECT r.uuid, r.experiment_id, r.status, r.start_time, r.document, r.end_time, e.mlflow_id
        FROM run r JOIN experiment e ON e.asset_id = r.experiment_id
        WHERE r.deleted_at IS NULL AND e.lifecycle = 'active' ORDER BY r.id DESC LIMIT $1";
    MODELS_NEWEST = "SELECT a.id, a.updated_at,
            (SELECT MAX(v.version) FROM model_version v WHERE v.model_id = a.id AND v.deleted_at IS NULL)
        FROM asset a WHERE a.kind = 'model' AND a.deleted_at IS NULL ORDER BY a.updated_at DESC, a.id DESC LIMIT $1";
    MODEL_ALIASES = "SELECT alias, version FROM alias WHERE model_id = $1 AND version IS NOT NULL ORDER BY alias";
}

/// The page at `/` as data.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Overview {
    /// How much there is; only for administrators, who may see all of it.
    pub counts: Option<Counts>,
    /// Newest first.
    pub runs: Vec<RunLine>,
    /// Latest changed first.
    pub models: Vec<ModelLine>,
    /// Newest first; only for administrators.
    pub events: Vec<Listed>,
    /// Where models answer.
    pub serving: serving::Overview,
    /// The newest gate reports.
    pub gates: Vec<promotion::GateLine>,
    /// Alerts that stand, and drift.
    pub monitoring: monitoring::Overview,
}

/// How much there is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Counts {
    /// Living experiments.
    pub experiments: i64,
    /// Runs, deleted ones too.
    pub runs: i64,
    /// Living registered models.
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
    /// Id of its experiment.
    pub experiment_id: String,
    /// MLflow's word.
    pub status: String,
    /// Milliseconds since the epoch.
    pub start_time: i64,
    /// Milliseconds since the epoch, once it ended.
    pub end_time: Option<i64>,
    /// The first few of its metrics by key: key and newest value.
    pub metrics: Vec<(String, f64)>,
    /// How many metrics it has.
    pub metric_count: usize,
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
pub async fn overview(ctx: &Ctx) -> Result<Overview> {
    let serving = serving::overview(ctx).await?;
    ctx.read(|sql| {
        // Each line is checked by itself; the counts say nothing about anything in particular.
        authorize::visible(sql);
        collect(sql, serving)
    })
    .await
}

fn collect(sql: &mut Sql<'_>, serving: serving::Overview) -> Result<Overview> {
    let counts = if sql.caller().is_admin() { Some(counts(sql)?) } else { None };
    let runs = newest_runs(sql)?;
    let models = newest_models(sql)?;
    let events = if sql.caller().is_admin() {
        let request = ListRequest { max_results: Some(Int64(SHOWN as i64)), ..ListRequest::default() };
        audit::event_list(sql, &request)?.events
    } else {
        Vec::new()
    };
    let gates = promotion::overview(sql)?;
    let monitoring = monitoring::overview(sql)?;
    Ok(Overview { counts, runs, models, events, serving, gates, monitoring })
}

fn counts(sql: &mut Sql<'_>) -> Result<Counts> {
    sql.one(&COUNTS, bind![], |row| {
        Ok(Counts { experiments: row.get(0)?, runs: row.get(1)?, models: row.get(2)?, versions: row.get(3)? })
    })
}

fn newest_runs(sql: &mut Sql<'_>) -> Result<Vec<RunLine>> {
    let found = sql.all(&RUNS_NEWEST, bind![LOOKED_AT], |row| {
        let document = match RunDocument::decode(&row.get::<Vec<u8>>(4)?) {
            Ok(document) => document,
            Err(damaged) => {
                say_damaged(&row.get::<String>(0)?, &damaged.into());
                return Ok(None);
            }
        };
        let status = Status::from_number(row.get(2)?).unwrap_or_default();
        let line = RunLine {
            run_id: row.get(0)?,
            name: document.tag(RUN_NAME_TAG).unwrap_or_default().to_owned(),
            experiment: String::new(),
            experiment_id: row.get::<i64>(6)?.to_string(),
            status: status.name().to_owned(),
            start_time: row.get(3)?,
            end_time: row.get(5)?,
            metrics: document
                .metrics()
                .take(METRICS)
                .map(|(key, metric)| (key.to_owned(), metric.latest.value.get()))
                .collect(),
            metric_count: document.metrics().len(),
        };
        Ok(Some((row.get::<i64>(1)?, line)))
    })?;
    let mut names: HashMap<i64, Option<String>> = HashMap::new();
    let mut shown = Vec::new();
    for (experiment, mut line) in found.into_iter().flatten() {
        if shown.len() == SHOWN {
            break;
        }
        let name = match names.get(&experiment) {
            Some(known) => known.clone(),
            None => {
                let name = if authorize::is_allowed(sql, Action::Read, experiment)? {
                    Some(asset::display_name(sql, experiment)?)
                } else {
                    None
                };
                names.insert(experiment, name.clone());
                name
            }
        };
        if let Some(name) = name {
            line.experiment = name;
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
        if shown.len() < SHOWN && authorize::is_allowed(sql, Action::Read, id)? {
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
