//! The candidate is not worse than the champion; the first champion reaches its floors.

use stats::{
    Estimate, Resampling, classify,
    classify::{BinaryScores, Options},
    paired::{PairedPredictions, PairedScores},
    regress,
    regress::Predictions,
    verdict::{self, Judgement},
};
use syntax::gates::{Accuracy, Figure, Floor, Gates};

use super::{basis, bound, confidence, refused, unjudged};
use crate::promotion::{
    evaluate::Evaluated,
    report::{Check, Outcome, Part},
};

/// The section of comparisons with the champion.
pub const GATE: &str = "accuracy";
/// The section of what decides where there is none.
pub const FIRST: &str = "first_champion";

/// Both sections, of which one applies.
pub fn check(gates: &Gates, found: &Evaluated) -> Vec<Check> {
    let named = |gate: &str, figure: &Figure, sentence: &str| {
        Check::told(gate, &figure.metric, Outcome::NotApplicable, sentence)
    };
    let Some(champion) = &found.champion else {
        let none = "There is no champion yet to compare with; first_champion decides.";
        let mut checks: Vec<Check> =
            gates.accuracy.iter().map(|gate| named(GATE, &gate.figure, none)).collect();
        checks.extend(gates.first_champion.iter().map(|floor| judge_floor(floor, found)));
        if gates.first_champion.is_empty() {
            let why = "there is no champion yet, and the gates say with no first_champion what the first one has to reach";
            checks.push(unjudged(FIRST, "", why));
        }
        return checks;
    };
    let there = "There is a champion to compare with; accuracy decides.";
    let mut checks: Vec<Check> = gates.accuracy.iter().map(|gate| compare(gate, found, champion)).collect();
    checks.extend(gates.first_champion.iter().map(|floor| named(FIRST, &floor.figure, there)));
    checks
}

/// Why a figure cannot be told from these rows: too few, or some that the candidate gave no score.
fn short(figure: &Figure, found: &Evaluated) -> Option<String> {
    let labelled: Vec<bool> = if figure.is_of_numbers() {
        found.actual.iter().map(Option::is_some).collect()
    } else {
        found.outcomes.iter().map(Option::is_some).collect()
    };
    let unscored = labelled
        .iter()
        .zip(&found.candidate)
        .filter(|(is_there, score)| **is_there && !score.is_finite())
        .count();
    if unscored > 0 {
        return Some(format!("the candidate gave no score for {unscored} rows whose outcome is known"));
    }
    let n = labelled.iter().filter(|is_there| **is_there).count() as u64;
    if n < figure.min_rows {
        return Some(format!("{n} rows have an outcome, at least {} are asked for", figure.min_rows));
    }
    if figure.is_of_numbers() {
        return None;
    }
    let positives = found.outcomes.iter().filter(|outcome| **outcome == Some(true)).count() as u64;
    let fewer = positives.min(n - positives);
    (fewer < figure.min_per_class).then(|| {
        format!(
            "{positives} of {n} rows are positive; at least {} of either class are asked for",
            figure.min_per_class
        )
    })
}

fn options(figure: &Figure) -> Options {
    Options {
        confidence: confidence(figure.confidence),
        threshold: figure.threshold,
        resampling: Resampling { resamples: figure.resamples, ..Resampling::default() },
        ..Options::default()
    }
}

/// A figure's difference, and the two that it is of.
struct Compared {
    delta: Estimate,
    champion: Estimate,
    candidate: Estimate,
    greater_is_better: bool,
}

fn compare(gate: &Accuracy, found: &Evaluated, champion: &[f64]) -> Check {
    let Accuracy { figure, margin } = gate;
    let metric = figure.metric.as_str();
    if let Some(why) = short(figure, found) {
        return unjudged(GATE, metric, &why);
    }
    let compared = match figure.is_of_numbers() {
        true => compare_numbers(figure, found, champion),
        false => compare_classes(figure, found, champion),
    };
    let judged = compared.and_then(|compared| {
        Ok((verdict::non_inferior(compared.delta, *margin, compared.greater_is_better)?, compared))
    });
    let (judgement, compared) = match judged {
        Ok(judged) => judged,
        Err(error) => return refused(GATE, metric, &error),
    };
    let what = format!(
        "{metric} is {:.4} for the candidate and {:.4} for the champion on the same rows; the difference",
        compared.candidate.value, compared.champion.value
    );
    Check::judged(GATE, metric, &judgement, &what)
        .with_parts(vec![part("candidate", compared.candidate), part("champion", compared.champion)])
}

fn part(name: &str, estimate: Estimate) -> Part {
    Part { name: name.to_owned(), estimate, outcome: None }
}

fn compare_classes(figure: &Figure, found: &Evaluated, champion: &[f64]) -> stats::Result<Compared> {
    let metric: classify::Metric = figure.metric.parse()?;
    let options = options(figure);
    let rows = PairedScores::new(&found.outcomes, champion, &found.candidate)?;
    Ok(Compared {
        delta: rows.compare(metric, &options)?,
        champion: rows.champion().evaluate(metric, &options)?,
        candidate: rows.candidate().evaluate(metric, &options)?,
        greater_is_better: metric.greater_is_better(),
    })
}

fn compare_numbers(figure: &Figure, found: &Evaluated, champion: &[f64]) -> stats::Result<Compared> {
    let metric: regress::Metric = figure.metric.parse()?;
    let Options { confidence, resampling, .. } = options(figure);
    let rows = PairedPredictions::new(&found.actual, champion, &found.candidate)?;
    Ok(Compared {
        delta: rows.compare(metric, confidence, &resampling)?,
        champion: rows.champion().evaluate(metric, confidence)?,
        candidate: rows.candidate().evaluate(metric, confidence)?,
        greater_is_better: metric.greater_is_better(),
    })
}

fn judge_floor(floor: &Floor, found: &Evaluated) -> Check {
    let figure = &floor.figure;
    let metric = figure.metric.as_str();
    if let Some(why) = short(figure, found) {
        return unjudged(FIRST, metric, &why);
    }
    let judged =
        alone(figure, found).and_then(|own| Judgement::new(own, bound(floor.bound), basis(floor.basis)));
    match judged {
        Ok(judgement) => Check::judged(
            FIRST,
            metric,
            &judgement,
            &format!("There is no champion yet. {metric} of the candidate"),
        ),
        Err(error) => refused(FIRST, metric, &error),
    }
}

fn alone(figure: &Figure, found: &Evaluated) -> stats::Result<Estimate> {
    let options = options(figure);
    if figure.is_of_numbers() {
        let rows = Predictions::new(&found.actual, &found.candidate)?;
        return rows.evaluate(figure.metric.parse()?, options.confidence);
    }
    BinaryScores::new(&found.outcomes, &found.candidate)?.evaluate(figure.metric.parse()?, &options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_that_gates_know_is_one_of_the_statistics() {
        for metric in syntax::gates::metrics() {
            let is_known =
                metric.parse::<classify::Metric>().is_ok() || metric.parse::<regress::Metric>().is_ok();
            assert!(is_known, "{metric}");
        }
        for metric in syntax::gates::fairness_metrics() {
            assert!(metric.parse::<stats::fairness::Metric>().is_ok(), "{metric}");
        }
    }
}
