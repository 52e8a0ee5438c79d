//! The candidate is not worse than the champion; the first champion reaches its floors.

use stats::{
    Ends, Estimate, Resampling, classify,
    classify::{BinaryScores, Options},
    paired::{PairedPredictions, PairedScores},
    regress,
    regress::Predictions,
    verdict::{self, Judgement},
};
use syntax::gates::{Accuracy, Figure, Floor, Gates};

use super::{basis, bound, confidence, refused, unjudged};
use crate::{
    error::Result,
    jobs::JobCtx,
    promotion::{
        evaluate::Evaluated,
        report::{Check, Outcome, Part},
    },
};

/// The section of comparisons with the champion.
pub const GATE: &str = "accuracy";
/// The section of what decides where there is none.
pub const FIRST: &str = "first_champion";

/// Why a candidate passes nothing where a champion is there and `accuracy` is not.
pub const UNCOMPARED: &str = "there is a champion, and the gates say with no 'accuracy' how the candidate has to compare with it; add it";

/// Rows times resamples of one figure: some tens of seconds.
const RESAMPLED_ROWS_MAX: u64 = 5_000_000_000;

/// Both sections, of which one applies. An error where the job is to end.
pub fn check(job: &JobCtx, gates: &Gates, found: &Evaluated) -> Result<Vec<Check>> {
    let named = |gate: &str, figure: &Figure, sentence: &str| {
        Check::told(gate, &figure.metric, Outcome::NotApplicable, sentence)
    };
    let ends = job.ends();
    let Some(champion) = &found.champion else {
        let none = "There is no champion yet to compare with; first_champion decides.";
        let mut checks: Vec<Check> =
            gates.accuracy.iter().map(|gate| named(GATE, &gate.figure, none)).collect();
        for floor in &gates.first_champion {
            job.check()?;
            checks.push(judge_floor(floor, found, &ends));
        }
        if gates.first_champion.is_empty() {
            let why = "there is no champion yet, and the gates say with no first_champion what the first one has to reach";
            checks.push(unjudged(FIRST, "", why));
        }
        return Ok(checks);
    };
    let there = "There is a champion to compare with; accuracy decides.";
    let mut checks = Vec::with_capacity(gates.accuracy.len() + gates.first_champion.len());
    for gate in &gates.accuracy {
        job.check()?;
        checks.push(compare(gate, found, champion, &ends));
    }
    if gates.accuracy.is_empty() {
        checks.push(unjudged(GATE, "", UNCOMPARED));
    }
    checks.extend(gates.first_champion.iter().map(|floor| named(FIRST, &floor.figure, there)));
    Ok(checks)
}

/// Why a figure cannot be told from these rows: too few of which it could be made, some that the candidate gave no score, or
/// so many that resampling them does not end in time. Where a champion is compared with, its score has to be there too.
fn short(figure: &Figure, found: &Evaluated, champion: Option<&[f64]>) -> Option<String> {
    let labelled: Vec<bool> = if figure.is_of_numbers() {
        found.actual.iter().map(|actual| actual.is_some_and(f64::is_finite)).collect()
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
    let is_scored = |row: usize| champion.is_none_or(|scores| scores[row].is_finite());
    let compared = || labelled.iter().enumerate().filter(|(row, is_there)| **is_there && is_scored(*row));
    let n = compared().count() as u64;
    if n < figure.min_rows {
        let least = figure.min_rows;
        let with_outcome = labelled.iter().filter(|is_there| **is_there).count() as u64;
        return Some(match n == with_outcome {
            true => format!("{n} rows have an outcome, at least {least} are asked for"),
            false => format!(
                "{n} rows have an outcome and a score of the champion, at least {least} are asked for"
            ),
        });
    }
    if is_resampled(figure, champion.is_some()) && n * u64::from(figure.resamples) > RESAMPLED_ROWS_MAX {
        return Some(format!(
            "{} resamples of {n} rows take too long, {RESAMPLED_ROWS_MAX} rows are drawn at most; ask for fewer 'resamples', \
             or judge on fewer rows ('where')",
            figure.resamples
        ));
    }
    if figure.is_of_numbers() {
        return None;
    }
    let positives = compared().filter(|(row, _)| found.outcomes[*row] == Some(true)).count() as u64;
    let fewer = positives.min(n - positives);
    (fewer < figure.min_per_class).then(|| {
        format!(
            "{positives} of {n} rows are positive; at least {} of either class are asked for",
            figure.min_per_class
        )
    })
}

/// Whether the interval of a figure, or of a difference of two, is one of the bootstrap.
fn is_resampled(figure: &Figure, is_compared: bool) -> bool {
    const SHARES_AND_LOSSES: [&str; 8] =
        ["accuracy", "recall", "specificity", "roc_auc", "log_loss", "brier", "mae", "mape"];
    match is_compared {
        true => !SHARES_AND_LOSSES.contains(&figure.metric.as_str()),
        false => figure.metric == "average_precision",
    }
}

fn options(figure: &Figure, ends: &Ends) -> Options {
    Options {
        confidence: confidence(figure.confidence),
        threshold: figure.threshold,
        resampling: Resampling { resamples: figure.resamples, ends: ends.clone(), ..Resampling::default() },
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

fn compare(gate: &Accuracy, found: &Evaluated, champion: &[f64], ends: &Ends) -> Check {
    let Accuracy { figure, margin } = gate;
    let metric = figure.metric.as_str();
    if let Some(why) = short(figure, found, Some(champion)) {
        return unjudged(GATE, metric, &why);
    }
    let compared = match figure.is_of_numbers() {
        true => compare_numbers(figure, found, champion, options(figure, ends)),
        false => compare_classes(figure, found, champion, &options(figure, ends)),
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

fn compare_classes(
    figure: &Figure,
    found: &Evaluated,
    champion: &[f64],
    options: &Options,
) -> stats::Result<Compared> {
    let metric: classify::Metric = figure.metric.parse()?;
    let rows = PairedScores::new(&found.outcomes, champion, &found.candidate)?;
    Ok(Compared {
        delta: rows.compare(metric, options)?,
        champion: rows.champion().evaluate(metric, options)?,
        candidate: rows.candidate().evaluate(metric, options)?,
        greater_is_better: metric.greater_is_better(),
    })
}

fn compare_numbers(
    figure: &Figure,
    found: &Evaluated,
    champion: &[f64],
    Options { confidence, resampling, .. }: Options,
) -> stats::Result<Compared> {
    let metric: regress::Metric = figure.metric.parse()?;
    let rows = PairedPredictions::new(&found.actual, champion, &found.candidate)?;
    Ok(Compared {
        delta: rows.compare(metric, confidence, &resampling)?,
        champion: rows.champion().evaluate(metric, confidence)?,
        candidate: rows.candidate().evaluate(metric, confidence)?,
        greater_is_better: metric.greater_is_better(),
    })
}

fn judge_floor(floor: &Floor, found: &Evaluated, ends: &Ends) -> Check {
    let figure = &floor.figure;
    let metric = figure.metric.as_str();
    if let Some(why) = short(figure, found, None) {
        return unjudged(FIRST, metric, &why);
    }
    let judged = alone(figure, found, &options(figure, ends))
        .and_then(|own| Judgement::new(own, bound(floor.bound), basis(floor.basis)));
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

fn alone(figure: &Figure, found: &Evaluated, options: &Options) -> stats::Result<Estimate> {
    if figure.is_of_numbers() {
        let rows = Predictions::new(&found.actual, &found.candidate)?;
        return rows.evaluate(figure.metric.parse()?, options.confidence);
    }
    BinaryScores::new(&found.outcomes, &found.candidate)?.evaluate(figure.metric.parse()?, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(metric: &str, min_rows: u64) -> Figure {
        Figure {
            metric: metric.into(),
            threshold: 0.5,
            min_rows,
            min_per_class: 1,
            confidence: 0.95,
            resamples: 1_000,
        }
    }

    #[test]
    fn rows_count_that_both_models_scored() {
        let found = Evaluated {
            outcomes: vec![Some(true), Some(false), Some(true), None],
            actual: vec![Some(1.0), Some(f64::NAN), Some(3.0), None],
            candidate: vec![0.5; 4],
            ..Evaluated::default()
        };
        let champion = [0.5, 0.5, f64::NAN, 0.5];
        let said = |metric: &str, least: u64, champion: Option<&[f64]>| {
            short(&figure(metric, least), &found, champion).unwrap_or_default()
        };
        assert_eq!(said("f1", 3, None), "");
        assert_eq!(said("f1", 4, None), "3 rows have an outcome, at least 4 are asked for");
        assert_eq!(said("f1", 2, Some(&champion)), "");
        assert_eq!(
            said("f1", 3, Some(&champion)),
            "2 rows have an outcome and a score of the champion, at least 3 are asked for"
        );
        assert_eq!(said("mae", 2, None), "");
        assert_eq!(said("mae", 3, None), "2 rows have an outcome, at least 3 are asked for");
        // Of the two that are compared both classes are asked for, too.
        let one_class = [0.5, f64::NAN, 0.5, 0.5];
        assert!(said("f1", 2, Some(&one_class)).starts_with("2 of 2 rows are positive"));
    }

    #[test]
    fn nothing_is_resampled_without_end() {
        let rows = 60_000;
        let found = Evaluated {
            outcomes: (0..rows).map(|row| Some(row % 2 == 0)).collect(),
            candidate: vec![0.5; rows],
            ..Evaluated::default()
        };
        let champion = vec![0.5; rows];
        let said = |metric: &str, resamples: u32, champion: Option<&[f64]>| {
            short(&Figure { resamples, ..figure(metric, 1) }, &found, champion).unwrap_or_default()
        };
        assert_eq!(said("f1", 80_000, Some(&champion)), "");
        assert!(
            said("f1", 100_000, Some(&champion)).starts_with("100000 resamples of 60000 rows take too long")
        );
        assert_eq!(said("roc_auc", 100_000, Some(&champion)), "", "it needs none");
        assert_eq!(said("f1", 100_000, None), "");
        assert_ne!(said("average_precision", 100_000, None), "");
    }

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
