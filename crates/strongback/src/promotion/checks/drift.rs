//! The evaluation rows are like those that the candidate learned from.

use std::collections::BTreeMap;

use stats::{
    drift::{Bins, population_stability},
    sketch::ColumnSketch,
    verdict::{Bound, Judgement},
};
use syntax::gates::DataDrift;

use super::{basis, confidence, unjudged};
use crate::promotion::report::{Check, Outcome, Part};

/// The section.
pub const GATE: &str = "data_drift";

/// The population stability index of every column, and the greatest of them against the bound.
pub fn check(
    gate: &DataDrift,
    columns: &[String],
    baseline: &BTreeMap<String, ColumnSketch>,
    current: &BTreeMap<String, ColumnSketch>,
) -> Check {
    let mut parts = Vec::with_capacity(columns.len());
    let mut worst: Option<(Judgement, &str)> = None;
    let mut is_unsure = false;
    for name in columns {
        let judgement = match judge(gate, name, baseline.get(name), current.get(name)) {
            Ok(judgement) => judgement,
            Err(why) => return unjudged(GATE, "", &why),
        };
        let outcome = Outcome::from(judgement.verdict);
        is_unsure |= outcome == Outcome::CouldNotJudge;
        parts.push(Part { name: name.clone(), estimate: judgement.estimate, outcome: Some(outcome) });
        if worst.as_ref().is_none_or(|(worst, _)| judgement.estimate.value > worst.estimate.value) {
            worst = Some((judgement, name));
        }
    }
    let Some((judgement, name)) = worst else {
        return unjudged(
            GATE,
            "",
            "no column is named, and the candidate has no signature that names its inputs",
        );
    };
    let failed = parts.iter().any(|part| part.outcome == Some(Outcome::Fail));
    let what = match columns.len() {
        1 => format!("The population stability index of '{name}'"),
        count => format!("The greatest population stability index of {count} columns, that of '{name}',"),
    };
    let mut check = Check::judged(GATE, "", &judgement, &what);
    check.outcome = match (failed, is_unsure) {
        (true, _) => Outcome::Fail,
        (false, true) => Outcome::CouldNotJudge,
        (false, false) => check.outcome,
    };
    check.with_parts(parts)
}

fn judge(
    gate: &DataDrift,
    name: &str,
    baseline: Option<&ColumnSketch>,
    current: Option<&ColumnSketch>,
) -> Result<Judgement, String> {
    let baseline = baseline.ok_or_else(|| format!("the training set has no column '{name}'"))?;
    let current = current.ok_or_else(|| format!("the evaluation table has no column '{name}'"))?;
    for (sketch, what) in [(baseline, "the training set"), (current, "the evaluation table")] {
        let rows = sketch.rows();
        if rows < gate.min_rows {
            return Err(format!("{what} has {rows} rows, at least {} are asked for", gate.min_rows));
        }
    }
    let said = |error: stats::StatsError| format!("the column '{name}': {error}");
    let bins = Bins::of(baseline, gate.bins as usize).map_err(said)?;
    let (own, other) = (bins.count(baseline).map_err(said)?, bins.count(current).map_err(said)?);
    let apart = population_stability(&own, &other, confidence(gate.confidence)).map_err(said)?;
    Judgement::new(apart.estimate, Bound::AtMost(gate.max_psi), basis(gate.basis)).map_err(said)
}
