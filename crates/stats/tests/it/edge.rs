//! What is refused, in words; what is missing, in numbers.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use stats::{
    Confidence, Ends, Estimate, Missing, Resampling, StatsError,
    classify::{BinaryScores, Confusion, Metric, Multiclass, Options},
    drift::{self, Distribution, NumericBins},
    fairness::Groups,
    latency::Series,
    paired::{PairedPredictions, PairedScores},
    regress::Predictions,
};

const LEVEL: Confidence = Confidence::P95;

#[track_caller]
fn check<T: std::fmt::Debug>(result: Result<T, StatsError>, expected: &str) {
    assert_eq!(result.unwrap_err().to_string(), expected);
}

#[test]
fn refusals_name_value_and_remedy() {
    let rows = BinaryScores::new(&[true, true], &[0.5, 1.5]).unwrap();
    check(
        BinaryScores::new(&[true], &[0.5, 0.5]),
        "labels has 1 rows and scores has 2: both must describe the same rows",
    );
    check(
        BinaryScores::new(&[true], &[f64::NAN]),
        "the evaluation has no row left to judge (1 had a missing value): give rows with finite values",
    );
    check(
        rows.roc_auc(LEVEL),
        "all 2 labels are true: ROC AUC needs rows of both classes; take a larger or later sample",
    );
    check(
        rows.log_loss(LEVEL),
        "score is 1.5 in row 1: it must be a probability from 0 to 1 for this figure",
    );
    check(rows.at_threshold(f64::NAN), "threshold is NaN: it must be a finite number");
    check(
        rows.evaluate(Metric::Specificity, &Options::default()),
        "specificity is undefined here: no row is in its denominator",
    );
    check(Confidence::new(1.0), "confidence is 1: it must be a number from 0.5 to below 1, such as 0.95");
    check(
        "auc".parse::<Metric>(),
        "there is no figure named 'auc': known are accuracy, balanced_accuracy, precision, recall, specificity, f1, \
         mcc, log_loss, brier, roc_auc, average_precision, calibration_error",
    );
    check(Series::new(&[1.0, -2.0]), "time is -2 in row 1: it must be 0 or more");
    check(
        NumericBins::with_edges(vec![1.0, 1.0]),
        "border of bins is 1: it must be greater than the border before it",
    );
    check(
        drift::benjamini_hochberg(&[0.5, f64::NAN], 0.05),
        "p-value is NaN in row 1: it must be a probability from 0 to 1",
    );
}

/// The row that an error names is the caller's, also when rows before it were missing.
#[test]
fn rows_are_counted_as_they_were_given() {
    let rows = BinaryScores::new(&[Some(true), None, Some(false)], &[0.5, 0.5, 7.0]).unwrap();
    check(rows.brier(LEVEL), "score is 7 in row 2: it must be a probability from 0 to 1 for this figure");
}

#[test]
fn what_is_missing_is_counted_in_every_result() {
    let labels = [Some(true), Some(false), None, Some(true), Some(false), Some(true)];
    let scores = [Some(0.9), Some(0.2), Some(0.5), None, Some(f64::NAN), Some(f64::INFINITY)];
    let rows = BinaryScores::new(&labels, &scores).unwrap();
    let accuracy = rows.evaluate(Metric::Accuracy, &Options::default()).unwrap();
    assert_eq!((accuracy.n, accuracy.missing), (2, 4));
    assert!((accuracy.missing_share() - 4.0 / 6.0).abs() < 1e-15);
    for metric in [Metric::RocAuc, Metric::LogLoss, Metric::Brier, Metric::CalibrationError, Metric::Mcc] {
        assert_eq!(rows.evaluate(metric, &Options::default()).unwrap().missing, 4, "{metric}");
    }
    let pair = PairedScores::new(&labels, &scores, &[Some(0.8), None, None, None, None, None]).unwrap();
    assert_eq!((pair.champion().labels(), pair.champion().missing()), ([true].as_slice(), 5));

    let regression = Predictions::new(&[1.0, 2.0, f64::NAN], &[Some(1.5), None, Some(1.0)]).unwrap();
    assert_eq!((regression.mae(LEVEL).unwrap().n, regression.mae(LEVEL).unwrap().missing), (1, 2));
    let pair = PairedPredictions::new(&[1.0, 2.0], &[1.0, 2.0], &[f64::NEG_INFINITY, 2.0]).unwrap();
    assert_eq!((pair.candidate().n(), pair.candidate().missing()), (1, 1));

    let sample = Distribution::new(&[Some(1.0), None, Some(f64::NAN), Some(f64::INFINITY), None]);
    assert_eq!(*sample.missing(), Missing { absent: 2, not_a_number: 1, infinite: 1 });
    let series = Series::new(&[Some(3.0), None]).unwrap();
    assert_eq!(series.quantile(0.5, LEVEL).unwrap().missing, 1);
    let counts = Confusion::new(&[Some(true), None], &[true, true]).unwrap();
    assert_eq!((counts.n(), counts.missing), (1, 1));
    let table = Multiclass::new(&[Some("a"), Some("b"), None], &[Some("a"), None, None]).unwrap();
    assert_eq!(table.accuracy(LEVEL).unwrap().missing, 2);
    let groups = Groups::new(&[Some("x"), None], &[true, true], &[true, true]).unwrap();
    assert_eq!(groups.ungrouped(), 1);
}

#[test]
fn zeros_of_either_sign_are_one_tie() {
    let rows = BinaryScores::new(&[true, false], &[-0.0, 0.0]).unwrap();
    assert_eq!(rows.roc_auc(LEVEL).unwrap().value, 0.5);
}

#[test]
fn bounds_that_rows_cannot_give_are_null_in_json() {
    let estimate = Series::new(&[1.0, 2.0, 3.0]).unwrap().quantile(0.99, LEVEL).unwrap();
    assert_eq!(estimate.high, f64::INFINITY);
    let json = serde_json::to_value(estimate).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "value": 3.0, "low": 2.0, "high": null, "confidence": 0.95, "n": 3, "missing": 0, "method": "order_statistics",
        })
    );
    assert_eq!(serde_json::from_value::<Estimate>(json).unwrap(), estimate);
    let confidence = serde_json::from_str::<Confidence>("1.5").unwrap_err().to_string();
    assert!(confidence.contains("confidence is 1.5"), "{confidence}");
}

#[test]
fn what_is_not_enough_has_no_false_certainty() {
    let one = Predictions::new(&[1.0], &[2.0]).unwrap();
    let mae = one.mae(LEVEL).unwrap();
    assert_eq!((mae.low, mae.high), (0.0, f64::INFINITY));
    let right = Predictions::new(&[1.0], &[1.0]).unwrap().rmse(LEVEL).unwrap();
    assert_eq!((right.value, right.high), (0.0, f64::INFINITY));
    assert!(one.r2(LEVEL).is_err());
    let seldom = Resampling { resamples: 10, ..Resampling::default() };
    let options = Options { resampling: seldom, ..Options::default() };
    let rows = BinaryScores::new(&[true, false, true], &[0.9, 0.95, 0.1]).unwrap();
    check(
        rows.evaluate(Metric::AveragePrecision, &options),
        "number of resamples is 10: it must be from 200 to 100,000",
    );
}

#[test]
fn what_nobody_waits_for_is_given_up_between_two_resamples() {
    let asked = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&asked);
    let ends = Ends::when(move || counting.fetch_add(1, Relaxed) == 7);
    let options = Options {
        resampling: Resampling { resamples: 1_000, ends, ..Resampling::default() },
        ..Options::default()
    };
    let rows = BinaryScores::new(&[true, false, true], &[0.9, 0.95, 0.1]).unwrap();
    check(
        rows.evaluate(Metric::AveragePrecision, &options),
        "average precision was given up before its end: nobody waits for it any more",
    );
    assert_eq!(asked.load(Relaxed), 8);
}

#[test]
fn what_overflows_is_refused() {
    let huge = [f64::MAX, -f64::MAX, f64::MAX];
    let rows = Predictions::new(&huge, &[-f64::MAX, f64::MAX, 0.0]).unwrap();
    let too_large = "is undefined here: values are too large or too small to compute with";
    check(rows.mae(LEVEL), &format!("mean absolute error {too_large}"));
    check(rows.rmse(LEVEL), &format!("root mean squared error {too_large}"));
    check(rows.median_absolute_error(LEVEL), &format!("median absolute error {too_large}"));
    check(rows.r2(LEVEL), "R² is undefined here: actual values are too large");
    let (low, high) = (Distribution::new(&[-f64::MAX]), Distribution::new(&[f64::MAX]));
    check(drift::wasserstein(&low, &high, LEVEL), &format!("Wasserstein's distance {too_large}"));
    let apart = drift::kolmogorov_smirnov(&low, &high, LEVEL).unwrap();
    assert_eq!(apart.distance.value, 1.0);
}
