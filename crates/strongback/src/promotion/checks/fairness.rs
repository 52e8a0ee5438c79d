//! Groups are treated alike by the candidate.

use stats::{fairness::Groups, verdict::Judgement};
use syntax::gates::Fairness;

use super::{basis, bound, confidence, refused, unjudged};
use crate::promotion::{
    evaluate::Evaluated,
    report::{Check, Part},
};

/// The section.
pub const GATE: &str = "fairness";

/// One figure over one column of groups.
pub fn check(gate: &Fairness, found: &Evaluated) -> Check {
    let name = format!("{}.{}", gate.metric, gate.group);
    let check = judge(gate, found, &name);
    Check { blocking: gate.blocking, ..check }
}

fn judge(gate: &Fairness, found: &Evaluated, name: &str) -> Check {
    let groups: Vec<Option<&str>> = match found.groups.get(&gate.group) {
        None => {
            return unjudged(GATE, name, &format!("the evaluation table has no column '{}'", gate.group));
        }
        Some(Err(why)) => return unjudged(GATE, name, why),
        Some(Ok(groups)) => groups.of_rows().collect(),
    };
    // Rows are not passed over: those that a candidate gives no score may all be of one group.
    let rows = groups.iter().zip(&found.outcomes).zip(&found.candidate);
    let unscored = rows
        .filter(|((group, outcome), score)| group.is_some() && outcome.is_some() && !score.is_finite())
        .count();
    if unscored > 0 {
        let why =
            format!("the candidate gave no score for {unscored} rows whose group and outcome are known");
        return unjudged(GATE, name, &why);
    }
    let decisions: Vec<Option<bool>> =
        found.candidate.iter().map(|score| score.is_finite().then_some(*score >= gate.threshold)).collect();
    let level = confidence(gate.confidence);
    let judged = || {
        let grouped = Groups::new(&groups, &found.outcomes, &decisions)?.with_rows_min(gate.min_rows);
        let apart = grouped.disparity(gate.metric.parse()?, level)?;
        let judgement = Judgement::new(apart.estimate, bound(gate.bound), basis(gate.basis))?;
        Ok::<_, stats::StatsError>((grouped, apart, judgement))
    };
    let (grouped, apart, judgement) = match judged() {
        Ok(judged) => judged,
        Err(error) => return refused(GATE, name, &error),
    };
    let mut what = format!(
        "{} over '{}' (lowest '{}', highest '{}', {} groups",
        gate.metric,
        gate.group,
        apart.lowest,
        apart.highest,
        apart.compared.len()
    );
    if !apart.too_small.is_empty() {
        what = format!("{what}, {} too small to take part", apart.too_small.len());
    }
    let parts = grouped.figures(level).into_iter();
    let parts = parts.filter_map(|group| {
        let name = format!("selection rate of {}", group.group);
        Some(Part { name, estimate: group.selection_rate?, outcome: None })
    });
    Check::judged(GATE, name, &judgement, &format!("{what})")).with_parts(parts.collect())
}
