//! What the page at `/` shows of gates: the newest reports with their figures.

use schemars::JsonSchema;
use serde::Serialize;

use super::report::{Check, Outcome, Report};
use crate::{
    catalog::{Action, asset, authorize::is_allowed, securable::People},
    db::Sql,
    error::Result,
    registry::evidence,
    tracking::{experiment, run},
};

/// Reports that are looked at, and shown.
const REPORTS: (i64, usize) = (100, 6);

/// Checks of a report that are shown: those that did not pass before others.
const CHECKS_MAX: usize = 8;
/// Characters of their sentences.
const SENTENCE_CHARS: usize = 240;

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
    /// The checks that apply, or the first of them.
    pub checks: Vec<CheckLine>,
    /// How many more there are.
    pub more_checks: usize,
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
        let (checks, more_checks) = shown(report.checks);
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
            checks,
            more_checks,
        });
    }
    Ok(lines)
}

/// The checks to show, in their order, and how many more apply.
fn shown(checks: Vec<Check>) -> (Vec<CheckLine>, usize) {
    let mut checks: Vec<Check> =
        checks.into_iter().filter(|check| check.outcome != Outcome::NotApplicable).collect();
    let more = checks.len().saturating_sub(CHECKS_MAX);
    if more > 0 {
        checks.sort_by_key(|check| check.outcome == Outcome::Pass);
        checks.truncate(CHECKS_MAX);
    }
    let line = |check: Check| CheckLine {
        name: check.name,
        outcome: check.outcome,
        value: check.estimate.map(|estimate| estimate.value).filter(|value| value.is_finite()),
        sentence: match check.sentence.char_indices().nth(SENTENCE_CHARS) {
            Some((at, _)) => format!("{}…", &check.sentence[..at]),
            None => check.sentence,
        },
    };
    (checks.into_iter().map(line).collect(), more)
}

fn experiment_of(sql: &mut Sql<'_>, run_id: &str) -> Result<Option<String>> {
    let Some(run) = run::find(sql, run_id)? else { return Ok(None) };
    if !is_allowed(sql, Action::Read, run.experiment_id)? {
        return Ok(None);
    }
    let found = experiment::find_by_asset(sql, run.experiment_id)?;
    Ok(found.map(|experiment| experiment.mlflow_id.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_pass_is_shown_before_what_did() {
        let check = |at: usize, outcome| Check {
            gate: "accuracy".into(),
            name: format!("accuracy.{at}"),
            outcome,
            blocking: true,
            estimate: None,
            bound: None,
            basis: None,
            sentence: "ä".repeat(1_000),
            parts: Vec::new(),
        };
        let mut checks: Vec<Check> = (0..50).map(|at| check(at, Outcome::Pass)).collect();
        checks[0].outcome = Outcome::NotApplicable;
        checks[40].outcome = Outcome::Fail;
        let (lines, more) = shown(checks);
        let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!((names[0], names[1], names.len(), more), ("accuracy.40", "accuracy.1", 8, 41));
        assert_eq!(lines[0].sentence.chars().count(), 241);
        let (lines, more) = shown(vec![check(0, Outcome::Pass), check(1, Outcome::Fail)]);
        assert_eq!((lines[0].name.as_str(), lines.len(), more), ("accuracy.0", 2, 0), "as they are");
    }
}
