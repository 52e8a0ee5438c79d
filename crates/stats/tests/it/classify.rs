//! Classification against values worked out by hand, and at its edges.

use stats::{
    Confidence, Method, Resampling,
    classify::{BinaryScores, Confusion, Metric, Multiclass, Options, reliability},
};

use crate::draw::{Draw, assert_close};

const LEVEL: Confidence = Confidence::P95;

fn counts(tp: u64, fp: u64, tn: u64, fn_: u64) -> Confusion {
    Confusion {
        true_positives: tp,
        false_positives: fp,
        true_negatives: tn,
        false_negatives: fn_,
        missing: 0,
    }
}

#[test]
fn figures_of_four_counts_by_hand() {
    let table = counts(60, 20, 100, 20);
    let check = |estimate: stats::Result<stats::Estimate>, value: f64, n: u64| {
        let estimate = estimate.unwrap();
        assert_close(estimate.value, value, 1e-15, "value");
        assert_eq!(estimate.n, n);
        assert!(estimate.low < value && value < estimate.high, "{estimate}");
    };
    check(table.accuracy(LEVEL), 0.8, 200);
    check(table.precision(LEVEL), 0.75, 80);
    check(table.recall(LEVEL), 0.75, 80);
    check(table.specificity(LEVEL), 100.0 / 120.0, 120);
    check(table.false_positive_rate(LEVEL), 20.0 / 120.0, 120);
    check(table.selection_rate(LEVEL), 0.4, 200);
    check(table.balanced_accuracy(LEVEL), f64::midpoint(0.75, 100.0 / 120.0), 200);
    check(table.f_beta(1.0, LEVEL), 0.75, 100);
    // (60·100 − 20·20) / √(80·80·120·120)
    check(table.mcc(LEVEL), 5_600.0 / 9_600.0, 200);
}

#[test]
fn intervals_stay_honest_where_nothing_went_wrong() {
    let perfect = counts(20, 0, 30, 0);
    for estimate in [
        perfect.accuracy(LEVEL),
        perfect.precision(LEVEL),
        perfect.balanced_accuracy(LEVEL),
        perfect.f_beta(1.0, LEVEL),
        perfect.mcc(LEVEL),
    ] {
        let estimate = estimate.unwrap();
        assert_eq!((estimate.value, estimate.high), (1.0, 1.0));
        assert!(estimate.low > 0.5 && estimate.low < 0.96, "{estimate}");
    }
    let labels: Vec<bool> = (0..40).map(|row| row < 10).collect();
    let scores: Vec<f64> = labels.iter().map(|&label| f64::from(u8::from(label))).collect();
    let rows = BinaryScores::new(&labels, &scores).unwrap();
    let area = rows.roc_auc(LEVEL).unwrap();
    assert_eq!((area.value, area.method), (1.0, Method::ScoreAuc));
    assert!(area.low > 0.7 && area.low < 0.97, "{area}");
    let precision = rows.average_precision(LEVEL, &Resampling::default()).unwrap();
    assert!(precision.value == 1.0 && precision.low < 0.8, "{precision}");
    // Losses that are equal but for rounding are as equal as equal ones.
    let alike = BinaryScores::new(&[true, false], &[0.1, 0.9]).unwrap().brier(LEVEL).unwrap();
    assert!(alike.low < 0.4 && alike.high > 0.9, "{alike}");
    let brier = rows.brier(LEVEL).unwrap();
    assert!(brier.value == 0.0 && brier.high > 0.05 && brier.high < 0.2, "{brier}");
    let loss = rows.log_loss(LEVEL).unwrap();
    assert!(loss.value < 1e-15 && loss.high > 1.0, "{loss}");
    let names: Vec<Option<&str>> = labels.iter().map(|&label| Some(if label { "a" } else { "b" })).collect();
    let table = Multiclass::new(&names, &names).unwrap();
    let macro_f1 = table.macro_f1(LEVEL);
    assert!(macro_f1.value == 1.0 && macro_f1.low < 0.95, "{macro_f1}");
}

#[test]
fn undefined_is_not_zero() {
    assert!(counts(0, 0, 10, 5).precision(LEVEL).is_err());
    assert!(counts(0, 0, 10, 0).f_beta(1.0, LEVEL).is_err());
    assert!(counts(0, 0, 10, 5).mcc(LEVEL).is_err());
    let never = counts(0, 3, 10, 5).f_beta(1.0, LEVEL).unwrap();
    assert!(never.value == 0.0 && never.low == 0.0 && never.high > 0.05, "{never}");
    assert!(counts(1, 1, 1, 1).f_beta(0.0, LEVEL).is_err());
}

/// The delta method's variance of Matthews' correlation against that of many samples of the same population.
#[test]
fn variance_of_mcc_is_that_of_samples() {
    let cells = [0.12, 0.05, 0.75, 0.08];
    let n = 2_000;
    let mut draw = Draw::new(5);
    let values: Vec<f64> = (0..400)
        .map(|_| {
            let mut table = [0; 4];
            for _ in 0..n {
                let unit = draw.unit();
                let ends = [cells[0], cells[0] + cells[1], cells[0] + cells[1] + cells[2]];
                table[ends.iter().filter(|&&end| unit >= end).count()] += 1;
            }
            counts(table[0], table[1], table[2], table[3]).mcc(LEVEL).unwrap().value
        })
        .collect();
    let mean = values.iter().sum::<f64>() / 400.0;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 399.0).sqrt();
    let share = |cell: usize| (cells[cell] * f64::from(n)) as u64;
    let estimate = counts(share(0), share(1), share(2), share(3)).mcc(LEVEL).unwrap();
    let ratio = estimate.width() / (2.0 * LEVEL.z() * deviation);
    assert!((ratio - 1.0).abs() < 0.12, "{ratio}");
}

#[test]
fn ties_count_half() {
    let rows = BinaryScores::new(&[true, true, false, false], &[0.7, 0.5, 0.5, 0.1]).unwrap();
    // Pairs: 0.7 beats both; 0.5 ties one and beats one.
    assert_close(rows.roc_auc(LEVEL).unwrap().value, 3.5 / 4.0, 1e-15, "ROC AUC");
    // Average precision takes tied rows together: ½ · 1/1 + ½ · 2/3.
    let (labels, scores) = ([true, true, false, false].repeat(50), [0.7, 0.5, 0.5, 0.1].repeat(50));
    let many = BinaryScores::new(&labels, &scores).unwrap();
    let precision = many.average_precision(LEVEL, &Resampling::default()).unwrap();
    assert_close(precision.value, 0.5 + 0.5 * 2.0 / 3.0, 1e-14, "average precision");
}

#[test]
fn thresholds_include_themselves() {
    let rows = BinaryScores::new(&[true, false], &[0.5, 0.4999]).unwrap();
    assert_eq!(rows.at_threshold(0.5).unwrap(), counts(1, 0, 1, 0));
}

#[test]
fn reliability_and_calibration_by_hand() {
    let labels = [true, false, false, true, true, true, true, false];
    let scores = [0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 1.0];
    let rows = BinaryScores::new(&labels, &scores).unwrap();
    let bins = reliability(&rows, 10, LEVEL).unwrap();
    assert_eq!(bins.len(), 2);
    assert_close(bins[0].observed.value, 0.5, 1e-15, "observed");
    assert_close(bins[1].predicted, 3.7 / 4.0, 1e-15, "predicted");
    assert_eq!((bins[1].low, bins[1].high, bins[1].observed.n), (0.9, 1.0, 4));
    let error = rows.calibration_error(10, LEVEL).unwrap();
    assert_close(error.value, (1.6 + 0.7) / 8.0, 1e-12, "calibration error");
    let bias = rows.calibration_bias(LEVEL).unwrap();
    assert_close(bias.value, (5.0 - 4.1) / 8.0, 1e-12, "bias");
    assert!(rows.calibration_error(0, LEVEL).is_err());
}

/// A model that is calibrated has an error above 0 by chance; its interval reaches 0.
#[test]
fn chance_is_not_miscalibration() {
    let mut draw = Draw::new(9);
    let scores: Vec<f64> = (0..2_000).map(|_| draw.unit()).collect();
    let right: Vec<bool> = scores.iter().map(|&score| draw.chance(score)).collect();
    let wrong: Vec<bool> = scores.iter().map(|&score| draw.chance(score.powi(2))).collect();
    let error = |labels| BinaryScores::new(labels, &scores).unwrap().calibration_error(10, LEVEL).unwrap();
    assert!(error(&right).value > 0.005 && error(&right).low == 0.0, "{}", error(&right));
    assert!(error(&wrong).low > 0.05, "{}", error(&wrong));
}

#[test]
fn names_of_figures_go_there_and_back() {
    for name in ["f1", "f2", "f0.5", "roc_auc", "brier"] {
        let metric: Metric = name.parse().unwrap();
        assert_eq!(metric.to_string(), name);
        let json = serde_json::to_string(&metric).unwrap();
        assert_eq!(json, format!("\"{name}\""));
        assert_eq!(serde_json::from_str::<Metric>(&json).unwrap(), metric);
    }
    for name in ["f", "f-1", "fNaN", "f0", "finf", ""] {
        assert!(name.parse::<Metric>().is_err(), "{name}");
    }
    assert!(!Metric::LogLoss.greater_is_better() && Metric::Mcc.greater_is_better());
    assert!(
        Metric::Mcc.needs_threshold()
            && !Metric::RocAuc.needs_threshold()
            && !Metric::Brier.needs_threshold()
    );
    let options: Options = serde_json::from_str(r#"{"threshold": 0.7}"#).unwrap();
    assert_eq!(options, Options { threshold: 0.7, ..Options::default() });
}

/// The delta method's variance of mean F1 against that of many samples: classes that are told very differently well, so
/// that how many rows of each are drawn matters to the weighted mean.
#[test]
fn variance_of_mean_f1_is_that_of_samples() {
    let names = ["a", "b", "c"];
    let sample = |seed: u64| {
        let mut draw = Draw::new(seed);
        let rows = (0..800).map(|_| {
            let actual = if draw.chance(0.5) { 0 } else { 1 + draw.below(2) };
            let right = if actual == 0 { 0.98 } else { 0.45 };
            let predicted = if draw.chance(right) { actual } else { 1 + draw.below(2) };
            (Some(names[actual]), Some(names[predicted]))
        });
        let (actual, predicted): (Vec<_>, Vec<_>) = rows.unzip();
        Multiclass::new(&actual, &predicted).unwrap()
    };
    for of in [Multiclass::macro_f1, Multiclass::weighted_f1] {
        let found: Vec<stats::Estimate> = (0..2_000).map(|seed| of(&sample(seed), LEVEL)).collect();
        let n = found.len() as f64;
        let mean = found.iter().map(|one| one.value).sum::<f64>() / n;
        let deviation = (found.iter().map(|one| (one.value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let width = found.iter().map(stats::Estimate::width).sum::<f64>() / n;
        let ratio = width / (2.0 * LEVEL.z() * deviation);
        assert!((ratio - 1.0).abs() < 0.035, "{ratio}");
    }
}
