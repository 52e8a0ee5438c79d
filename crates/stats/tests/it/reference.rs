//! Against scikit-learn and scipy: `tests/reference.py` computed what `tests/reference.json` holds.

use serde_json::Value;
use stats::{
    Confidence, Resampling,
    classify::{BinaryScores, Metric, Multiclass, Options},
    drift::{self, Distribution, NumericBins},
    latency::Series,
    paired::PairedScores,
    proportion::{PairedShares, Share, difference},
    regress::{self, Predictions},
    special::{beta, gamma, kolmogorov, normal, student},
};

use crate::draw::assert_close;

fn reference() -> Value {
    serde_json::from_str(include_str!("../reference.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn wholes(value: &Value) -> Vec<u64> {
    numbers(value).into_iter().map(|number| number as u64).collect()
}

fn flags(value: &Value) -> Vec<bool> {
    value.as_array().unwrap().iter().map(|flag| flag.as_bool().unwrap()).collect()
}

fn names(value: &Value) -> Vec<Option<&str>> {
    value.as_array().unwrap().iter().map(Value::as_str).collect()
}

#[test]
fn special_functions() {
    let file = reference();
    let check = |name: &str, error: f64, of: &dyn Fn(&[f64]) -> f64| {
        let rows = file["special"][name].as_array().unwrap();
        assert!(rows.len() > 4, "{name} has too few rows");
        for row in rows {
            let (arguments, expected) = (numbers(row), numbers(row).pop().unwrap());
            assert_close(of(&arguments), expected, error, &format!("{name}{arguments:?}"));
        }
    };
    check("normal_quantile", 1e-13, &|x| normal::quantile(x[0]));
    check("normal_cdf", 1e-13, &|x| normal::cdf(x[0]));
    check("gamma_upper", 1e-11, &|x| gamma::upper_regularized(x[0], x[1]));
    check("beta", 1e-9, &|x| beta::regularized(x[0], x[1], x[2]));
    check("student_upper_quantile", 1e-9, &|x| student::upper_quantile(x[0], x[1]));
    check("kolmogorov", 1e-13, &|x| kolmogorov::survival(x[0]));
}

#[test]
fn figures_of_a_classifier() {
    let file = &reference()["classification"];
    let (labels, champion) = (flags(&file["labels"]), numbers(&file["champion"]));
    let rows = BinaryScores::new(&labels, &champion).unwrap();
    let figures = file["figures"].as_object().unwrap();
    assert_eq!(figures.len(), 13);
    for (name, expected) in figures {
        let metric: Metric = name.parse().unwrap();
        assert_eq!(metric.to_string(), *name);
        let estimate = rows.evaluate(metric, &Options::default()).unwrap();
        assert_close(estimate.value, number(expected), 1e-12, name);
        assert!(estimate.low < estimate.value && estimate.value < estimate.high, "{name}: {estimate}");
    }
    let interval = |metric| {
        let estimate = rows.evaluate(metric, &Options::default()).unwrap();
        [estimate.low, estimate.high]
    };
    for (metric, name) in [(Metric::RocAuc, "roc_auc_interval"), (Metric::LogLoss, "log_loss_interval")] {
        for (actual, expected) in interval(metric).iter().zip(numbers(&file[name])) {
            assert_close(*actual, expected, 1e-10, name);
        }
    }
}

#[test]
fn difference_of_areas() {
    let file = &reference()["classification"];
    let (labels, champion) = (flags(&file["labels"]), numbers(&file["champion"]));
    let pair = PairedScores::new(&labels, &champion, &numbers(&file["candidate"])).unwrap();
    let delta = pair.compare(Metric::RocAuc, &Options::default()).unwrap();
    let expected = numbers(&file["roc_auc_delta"]);
    for (actual, expected) in [delta.value, delta.low, delta.high].iter().zip(expected) {
        assert_close(*actual, expected, 1e-12, "delta of ROC AUC");
    }
}

#[test]
fn figures_of_many_classes() {
    let file = &reference()["multiclass"];
    let table = Multiclass::new(&names(&file["actual"]), &names(&file["predicted"])).unwrap();
    let level = Confidence::P95;
    assert_close(table.accuracy(level).unwrap().value, number(&file["accuracy"]), 1e-12, "accuracy");
    assert_close(table.macro_f1(level).value, number(&file["macro_f1"]), 1e-12, "macro F1");
    assert_close(table.weighted_f1(level).value, number(&file["weighted_f1"]), 1e-12, "weighted F1");
    for (at, class) in table.by_class(level).iter().enumerate() {
        assert_close(class.f1.value, number(&file["f1"][at]), 1e-12, &class.class);
        assert_close(class.recall.unwrap().value, number(&file["recall"][at]), 1e-12, &class.class);
    }
    assert_eq!(table.classes(), ["a", "b", "c", "d"]);
}

#[test]
fn figures_of_a_regression() {
    let file = &reference()["regression"];
    let rows = Predictions::new(&numbers(&file["actual"]), &numbers(&file["predicted"])).unwrap();
    let figures = file["figures"].as_object().unwrap();
    assert_eq!(figures.len(), 5);
    for (name, expected) in figures {
        let metric: regress::Metric = name.parse().unwrap();
        let estimate = rows.evaluate(metric, Confidence::P95).unwrap();
        assert_close(estimate.value, number(expected), 1e-12, name);
        assert!(estimate.low < estimate.value && estimate.value < estimate.high, "{name}: {estimate}");
    }
}

#[test]
fn proportions() {
    let file = &reference()["proportions"];
    let share = |hits, n| Share::new("share", hits, n).unwrap();
    for row in file["wilson"].as_array().unwrap() {
        let (counts, expected) = (wholes(row), numbers(row));
        let estimate = share(counts[0], counts[1]).estimate(Confidence::P95);
        assert_close(estimate.low, expected[2], 1e-12, "low");
        assert_close(estimate.high, expected[3], 1e-12, "high");
    }
    for row in file["newcombe"].as_array().unwrap() {
        let (counts, expected) = (wholes(row), numbers(row));
        let estimate = difference(share(counts[0], counts[1]), share(counts[2], counts[3]), Confidence::P95);
        assert_close(estimate.low, expected[4], 1e-12, "low");
        assert_close(estimate.high, expected[5], 1e-12, "high");
    }
    for row in file["paired"].as_array().unwrap() {
        let (counts, expected) = (wholes(row), numbers(row));
        let (both, only_second, only_first, neither) = (counts[0], counts[1], counts[2], counts[3]);
        let table = PairedShares { both, only_first, only_second, neither };
        let estimate = table.difference(Confidence::P95).unwrap();
        assert_close(estimate.low, expected[4], 1e-12, "low");
        assert_close(estimate.high, expected[5], 1e-12, "high");
        assert_close(table.p_value(), expected[6], 1e-10, "mid-p");
    }
}

#[test]
fn distances() {
    let file = &reference()["drift"];
    let (reference, current) = (numbers(&file["reference"]), numbers(&file["current"]));
    let (reference, current) = (Distribution::new(&reference), Distribution::new(&current));
    let bins = NumericBins::with_edges(numbers(&file["edges"])).unwrap();
    let (own, other) = (bins.count(&reference), bins.count(&current));
    let level = Confidence::P95;
    let psi = drift::population_stability(&own, &other, level).unwrap();
    assert_close(psi.estimate.value, number(&file["psi"]), 1e-12, "PSI");
    let shannon = drift::jensen_shannon(&own, &other, level).unwrap();
    assert_close(shannon.estimate.value, number(&file["jensen_shannon"]), 1e-12, "Jensen–Shannon");
    let variation = drift::total_variation(&own, &other, level).unwrap();
    assert_close(variation.estimate.value, number(&file["total_variation"]), 1e-12, "total variation");
    let chi = drift::chi_squared(&own, &other, level).unwrap();
    assert_close(chi.statistic, number(&file["chi_squared"][0]), 1e-12, "chi-squared");
    assert_close(chi.p_value, number(&file["chi_squared"][1]), 1e-10, "p of chi-squared");
    assert_eq!(chi.degrees, 9);
    let ks = drift::kolmogorov_smirnov(&reference, &current, level).unwrap();
    assert_close(ks.distance.value, number(&file["ks"][0]), 1e-12, "KS");
    assert_close(ks.p_value, number(&file["ks"][1]), 1e-10, "p of KS");
    let moved = drift::wasserstein(&reference, &current, level).unwrap();
    assert_close(moved.distance.value, number(&file["wasserstein"]), 1e-12, "Wasserstein");
    let (small, other) = (numbers(&file["small"]), numbers(&file["other"]));
    let small =
        drift::kolmogorov_smirnov(&Distribution::new(&small), &Distribution::new(&other), level).unwrap();
    assert_close(small.distance.value, number(&file["small_ks"][0]), 1e-12, "small KS");
    assert_close(small.p_value, number(&file["small_ks"][1]), 1e-12, "p of small KS");
}

/// For many rows scipy takes the exact distribution of one sample of n·m/(n + m) rows; ours has Stephens' correction.
#[test]
fn limiting_p_value_of_many_rows() {
    let expected = number(&reference()["drift"]["large_ks_p"]);
    let root = 5_000_f64.sqrt();
    let ours = kolmogorov::survival((root + 0.12 + 0.11 / root) * 0.02);
    assert!((ours / expected - 1.0).abs() < 0.01, "{ours} against {expected}");
}

#[test]
fn false_discoveries() {
    let file = &reference()["drift"];
    let found = drift::benjamini_hochberg(&numbers(&file["p_values"]), 0.05).unwrap();
    for (found, expected) in found.iter().zip(numbers(&file["adjusted"])) {
        assert_close(found.adjusted, expected, 1e-12, "adjusted p");
        assert_eq!(found.discovered, expected <= 0.05);
    }
    assert!(found.iter().any(|found| found.discovered) && found.iter().any(|found| !found.discovered));
}

#[test]
fn ranks_of_a_quantile() {
    for row in reference()["ranks"].as_array().unwrap() {
        let (n, q) = (number(&row[0]) as usize, number(&row[1]));
        let times: Vec<f64> = (1..=n).map(|rank| rank as f64).collect();
        let estimate = Series::new(&times).unwrap().quantile(q, Confidence::P95).unwrap();
        assert_close(estimate.low, number(&row[2]), 0.0, &format!("lower rank of {q} in {n}"));
        let upper = number(&row[3]);
        assert_eq!(estimate.high, if upper as usize > n { f64::INFINITY } else { upper }, "{q} in {n}");
    }
}

/// What other people have printed.
#[test]
fn published_examples() {
    let check = |estimate: stats::Estimate, low: f64, high: f64, digits: f64| {
        assert!((estimate.low - low).abs() < digits && (estimate.high - high).abs() < digits, "{estimate}");
    };
    let share = |hits, n| Share::new("share", hits, n).unwrap();
    // Newcombe 1998, Statistics in Medicine 17: 857–872 (single) and 873–890 (differences).
    check(share(81, 263).estimate(Confidence::P95), 0.2553, 0.3662, 6e-5);
    check(share(0, 20).estimate(Confidence::P95), 0.0, 0.1611, 6e-5);
    check(difference(share(56, 70), share(48, 80), Confidence::P95), 0.0524, 0.3339, 6e-5);
    check(difference(share(9, 10), share(3, 10), Confidence::P95), 0.1705, 0.8090, 6e-5);
    // Altman, Machin, Bryant and Gardner 2000, table 6.2: paired.
    let table = PairedShares { both: 14, only_first: 0, only_second: 5, neither: 22 };
    check(table.difference(Confidence::P95).unwrap(), 0.011, 0.226, 6e-4);
    // Benjamini and Hochberg 1995, section 3.2: 15 hypotheses, four are rejected at 5 %.
    let p_values = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
        0.6528, 0.7590, 1.0,
    ];
    let found = drift::benjamini_hochberg(&p_values, 0.05).unwrap();
    assert_eq!(found.iter().filter(|found| found.discovered).count(), 4);
    // scikit-learn's own example of average precision and of the area under the ROC curve.
    let rows = BinaryScores::new(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8]).unwrap();
    assert_close(rows.roc_auc(Confidence::P95).unwrap().value, 0.75, 1e-15, "ROC AUC");
    let seldom = Resampling { resamples: 200, ..Resampling::default() };
    let refused = rows.average_precision(Confidence::P95, &seldom);
    assert!(refused.is_err(), "four rows have no interval: {refused:?}");
    let (labels, scores) = ([false, false, true, true].repeat(20), [0.1, 0.4, 0.35, 0.8].repeat(20));
    let rows = BinaryScores::new(&labels, &scores).unwrap();
    let precision = rows.average_precision(Confidence::P95, &seldom).unwrap();
    assert_close(precision.value, 0.833_333_333_333_333_3, 1e-12, "average precision");
}
