//! Two models on the same rows.

use stats::{
    Confidence, Method, Resampling,
    classify::{BinaryScores, Metric, Options},
    paired::{PairedPredictions, PairedScores},
    proportion::PairedShares,
    regress,
};

use crate::draw::{Draw, assert_close};

/// Champion and candidate share half of what they know, so that their errors depend on each other.
fn models(seed: u64, n: usize, better_by: f64) -> (Vec<bool>, Vec<f64>, Vec<f64>) {
    let mut draw = Draw::new(seed);
    let mut rows = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n {
        let label = draw.chance(0.3);
        let common = draw.normal() + if label { 1.0 } else { -1.0 };
        let probability = |x: f64| 1.0 / (1.0 + (-x).exp());
        rows.0.push(label);
        rows.1.push(probability(common + draw.normal() * 0.7));
        rows.2.push(probability(common + draw.normal() * 0.7 + if label { better_by } else { 0.0 }));
    }
    rows
}

const METRICS: [Metric; 12] = [
    Metric::Accuracy,
    Metric::BalancedAccuracy,
    Metric::Precision,
    Metric::Recall,
    Metric::Specificity,
    Metric::FBeta(1.0),
    Metric::Mcc,
    Metric::LogLoss,
    Metric::Brier,
    Metric::RocAuc,
    Metric::AveragePrecision,
    Metric::CalibrationError,
];

#[test]
fn a_delta_is_the_difference_of_both_figures() {
    let (labels, champion, candidate) = models(1, 600, 0.5);
    let pair = PairedScores::new(&labels, &champion, &candidate).unwrap();
    let options = Options::default();
    for metric in METRICS {
        let delta = pair.compare(metric, &options).unwrap();
        let apart = pair.candidate().evaluate(metric, &options).unwrap().value
            - pair.champion().evaluate(metric, &options).unwrap().value;
        assert_close(delta.value, apart, 1e-12, &metric.to_string());
        assert!(delta.low < delta.high && delta.n <= 600, "{metric}: {delta}");
        let back =
            PairedScores::new(&labels, &candidate, &champion).unwrap().compare(metric, &options).unwrap();
        assert_close(back.value, -delta.value, 1e-12, "the other way round");
    }
}

#[test]
fn a_model_does_not_differ_from_itself() {
    let (labels, champion, _) = models(2, 300, 0.0);
    let pair = PairedScores::new(&labels, &champion, &champion).unwrap();
    for metric in METRICS {
        let delta = pair.compare(metric, &Options::default()).unwrap();
        assert_eq!(delta.value, 0.0, "{metric}");
        let counted = matches!(metric, Metric::Accuracy | Metric::Recall | Metric::Specificity);
        assert!(
            delta.low <= 0.0 && delta.high >= 0.0 && (delta.width() > 0.0) == counted,
            "{metric}: {delta}"
        );
    }
    // Rows on which both agree say something, but not everything: no rate of disagreement is known to be 0.
    let accuracy = pair.compare(Metric::Accuracy, &Options::default()).unwrap();
    assert!(accuracy.method == Method::NewcombePaired && accuracy.low < 0.0);
    assert_eq!(pair.outcomes(&Options::default(), None).unwrap().p_value(), 1.0);
}

/// The same rows leave far less to chance than two samples would.
#[test]
fn pairing_narrows_the_interval() {
    let (labels, champion, candidate) = models(3, 2_000, 0.3);
    let pair = PairedScores::new(&labels, &champion, &candidate).unwrap();
    for metric in [Metric::RocAuc, Metric::LogLoss, Metric::AveragePrecision] {
        let delta = pair.compare(metric, &Options::default()).unwrap();
        let alone = pair.champion().evaluate(metric, &Options::default()).unwrap();
        assert!(delta.width() < 0.9 * alone.width(), "{metric}: {delta} against {alone}");
        let better = if metric.greater_is_better() { delta.low > 0.0 } else { delta.high < 0.0 };
        assert!(better, "{metric}: {delta}");
    }
}

/// DeLong's interval, Newcombe's and Student's against the bootstrap of the same figures, which is no relative of
/// theirs.
#[test]
fn formulas_agree_with_the_bootstrap() {
    let (labels, champion, candidate) = models(4, 1_000, 0.4);
    let pair = PairedScores::new(&labels, &champion, &candidate).unwrap();
    let mut draw = Draw::new(40);
    for metric in [Metric::RocAuc, Metric::Accuracy, Metric::Brier, Metric::Recall] {
        let by_formula = pair.compare(metric, &Options::default()).unwrap();
        let mut deltas: Vec<f64> = (0..400)
            .map(|_| {
                let rows: Vec<usize> = (0..labels.len()).map(|_| draw.below(labels.len())).collect();
                let take = |from: &[f64]| rows.iter().map(|&row| from[row]).collect::<Vec<f64>>();
                let drawn: Vec<bool> = rows.iter().map(|&row| labels[row]).collect();
                let again = PairedScores::new(&drawn, &take(&champion), &take(&candidate)).unwrap();
                again.compare(metric, &Options::default()).unwrap().value
            })
            .collect();
        deltas.sort_unstable_by(f64::total_cmp);
        let width = deltas[390] - deltas[9];
        let ratio = by_formula.width() / width;
        assert!((0.85..1.15).contains(&ratio), "{metric}: {ratio}");
    }
}

#[test]
fn the_bootstrap_repeats_itself_to_the_last_bit() {
    let (labels, champion, candidate) = models(5, 500, 0.2);
    let pair = PairedScores::new(&labels, &champion, &candidate).unwrap();
    let of = |seed| {
        let options = Options { resampling: Resampling { seed, resamples: 300 }, ..Options::default() };
        pair.compare(Metric::AveragePrecision, &options).unwrap()
    };
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
}

/// Whoever reads rows in parallel gets them in another order each time: nobody is to draw a better interval by asking again.
#[test]
fn the_order_of_rows_makes_no_difference() {
    let (labels, champion, candidate) = models(6, 400, 0.2);
    let mut order: Vec<usize> = (0..labels.len()).collect();
    let mut draw = Draw::new(7);
    order.sort_by_cached_key(|_| (draw.normal() * 1e9) as i64);
    let numbers: Vec<f64> = labels.iter().map(|label| f64::from(u8::from(*label))).collect();
    let shuffled = |values: &[f64]| -> Vec<f64> { order.iter().map(|row| values[*row]).collect() };
    let shuffled_labels: Vec<bool> = order.iter().map(|row| labels[*row]).collect();
    assert_ne!(labels, shuffled_labels);
    let options = Options::default();
    let given = PairedScores::new(&labels, &champion, &candidate).unwrap();
    let mixed = PairedScores::new(&shuffled_labels, &shuffled(&champion), &shuffled(&candidate)).unwrap();
    for metric in METRICS {
        assert_eq!(given.compare(metric, &options), mixed.compare(metric, &options), "{metric}");
    }
    let given = BinaryScores::new(&labels, &champion).unwrap();
    let mixed = BinaryScores::new(&shuffled_labels, &shuffled(&champion)).unwrap();
    for metric in METRICS {
        assert_eq!(given.evaluate(metric, &options), mixed.evaluate(metric, &options), "{metric}");
    }
    let given = PairedPredictions::new(&numbers, &champion, &candidate).unwrap();
    let mixed =
        PairedPredictions::new(&shuffled(&numbers), &shuffled(&champion), &shuffled(&candidate)).unwrap();
    for metric in [regress::Metric::Rmse, regress::Metric::R2, regress::Metric::MedianAbsoluteError] {
        let compare =
            |rows: &PairedPredictions| rows.compare(metric, Confidence::P95, &Resampling::default());
        assert_eq!(compare(&given), compare(&mixed), "{metric}");
    }
}

#[test]
fn each_model_may_have_its_own_threshold() {
    let labels = [true, false, true, false];
    let pair = PairedScores::new(&labels, &[0.9, 0.1, 0.8, 0.2], &[0.4, 0.1, 0.35, 0.05]).unwrap();
    let shared = pair.compare(Metric::Accuracy, &Options::default()).unwrap();
    assert_eq!(shared.value, -0.5);
    let own = pair.with_thresholds(0.5, 0.3).unwrap();
    assert_eq!(own.compare(Metric::Accuracy, &Options::default()).unwrap().value, 0.0);
    assert!(own.with_thresholds(f64::NAN, 0.3).is_err());
}

#[test]
fn outcomes_of_any_models_are_counted() {
    let rows = [(true, true), (true, false), (false, true), (false, true), (false, false)];
    let counted: PairedShares = rows.into_iter().collect();
    assert_eq!(counted, PairedShares { both: 1, only_first: 1, only_second: 2, neither: 1 });
}

#[test]
fn discordant_rows_by_hand() {
    let shares = PairedShares { both: 50, only_first: 1, only_second: 5, neither: 10 };
    assert_close(shares.difference(Confidence::P95).unwrap().value, 4.0 / 66.0, 1e-15, "difference");
    // 2·(P(0) + P(1)) − P(1) of six fair coins: 2·7/64 − 6/64.
    assert_close(shares.p_value(), 8.0 / 64.0, 1e-12, "mid-p");
}

/// Two models that are both perfect on few rows are not known to be equal.
#[test]
fn perfect_models_have_an_interval() {
    let labels: Vec<bool> = (0..20).map(|row| row < 8).collect();
    let scores = |right: f64| -> Vec<f64> {
        labels.iter().map(|&label| if label { right } else { 1.0 - right }).collect()
    };
    let pair = PairedScores::new(&labels, &scores(0.8), &scores(0.9)).unwrap();
    for metric in [Metric::RocAuc, Metric::AveragePrecision, Metric::FBeta(1.0), Metric::BalancedAccuracy] {
        let delta = pair.compare(metric, &Options::default()).unwrap();
        assert_eq!((delta.value, delta.method), (0.0, Method::Mover), "{metric}");
        assert!(delta.low < -0.05 && delta.high > 0.05, "{metric}: {delta}");
    }
}

#[test]
fn regressions_are_compared_on_their_rows() {
    let mut draw = Draw::new(6);
    let actual: Vec<f64> = (0..500).map(|_| 20.0 + 5.0 * draw.normal()).collect();
    let hard: Vec<f64> = (0..500).map(|_| draw.normal()).collect();
    let off = |by: f64, draw: &mut Draw| -> Vec<f64> {
        actual.iter().zip(&hard).map(|(actual, hard)| actual + hard + by * draw.normal()).collect()
    };
    let (champion, candidate) = (off(1.0, &mut draw), off(0.3, &mut draw));
    let pair = PairedPredictions::new(&actual, &champion, &candidate).unwrap();
    for name in ["mae", "rmse", "mape", "r2", "median_absolute_error"] {
        let metric: regress::Metric = name.parse().unwrap();
        let delta = pair.compare(metric, Confidence::P95, &Resampling::default()).unwrap();
        let of = |rows: &regress::Predictions| rows.evaluate(metric, Confidence::P95).unwrap();
        let (first, second) = (of(pair.champion()), of(pair.candidate()));
        assert_close(delta.value, second.value - first.value, 1e-10, name);
        let better = if metric.greater_is_better() { delta.low > 0.0 } else { delta.high < 0.0 };
        assert!(better && delta.width() < first.width() + second.width(), "{name}: {delta}");
    }
}
