//! What the page at `/` shows of gates: the newest reports with their figures.

use schemars::JsonSchema;
use serde::Serialize;

use super::report::{Outcome, Report};
use crate::{
    catalog::{Action, asset, authorize::is_allowed, securable::People},
    db::Sql,
    error::Result,
    registry::evidence,
    tracking::{experiment, run},
};

/// Reports that are looked at, and shown.
const REPORTS: (i64, usize) = (100, 6);

/// A gate report in one line, and its checks. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GateLine {
    /// Its id.
    pub report_id: String,
    /// Name of the model.
    pub model: String,
    /// The version that was judged.
    pub candidate: i64,
    /// The version that it was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub champion: Option<i64>,
    /// The alias that it was judged for.
    pub alias: String,
    /// `pass`, `fail` or `could_not_judge`.
    pub verdict: &'static str,
    /// When it was made.
    pub made_at: i64,
    /// With whose rights.
    pub by: String,
    /// The evaluation run.
    pub run_id: String,
    /// Id of the run's experiment, as MLflow knows it; absent where the caller may not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment_id: Option<String>,
    /// The checks that apply.
    pub checks: Vec<CheckLine>,
}

/// A check of a report.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CheckLine {
    /// Its name.
    pub name: String,
    /// What it came to.
    pub outcome: Outcome,
    /// The figure, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What that means.
    pub sentence: String,
}

/// The newest reports on models that the caller may read.
pub fn overview(sql: &mut Sql<'_>) -> Result<Vec<GateLine>> {
    let mut lines = Vec::new();
    let mut people = People::default();
    for (id, model_id) in evidence::newest(sql, REPORTS.0)? {
        if lines.len() == REPORTS.1 {
            break;
        }
        if !is_allowed(sql, Action::Read, model_id)? {
            continue;
        }
        let Some(found) = evidence::get(sql, id)? else { continue };
        // A report that cannot be read is no reason to show nobody anything.
        let report: Report = match serde_json::from_str(&found.body) {
            Ok(report) => report,
            Err(error) => {
                tracing::warn!(report = %id, %error, "a gate report cannot be read");
                continue;
            }
        };
        let checks = report.checks.into_iter().filter(|check| check.outcome != Outcome::NotApplicable);
        lines.push(GateLine {
            report_id: id.to_string(),
            model: asset::display_name(sql, model_id)?,
            candidate: found.version,
            champion: found.champion,
            alias: found.alias,
            verdict: found.verdict.name(),
            made_at: found.made_at,
            by: people.name(sql, found.by)?,
            experiment_id: experiment_of(sql, &found.run_id)?,
            run_id: found.run_id,
            checks: checks
                .map(|check| CheckLine {
                    name: check.name,
                    outcome: check.outcome,
                    value: check.estimate.map(|estimate| estimate.value).filter(|value| value.is_finite()),
                    sentence: check.sentence,
                })
                .collect(),
        });
    }
    Ok(lines)
}

fn experiment_of(sql: &mut Sql<'_>, run_id: &str) -> Result<Option<String>> {
    let Some(run) = run::find(sql, run_id)? else { return Ok(None) };
    if !is_allowed(sql, Action::Read, run.experiment_id)? {
        return Ok(None);
    }
    let found = experiment::find_by_asset(sql, run.experiment_id)?;
    Ok(found.map(|experiment| experiment.mlflow_id.to_string()))
}
