//! Drift of values and of sketches.

use stats::{
    Confidence,
    drift::{
        Bins, CategoryBins, Distribution, Histogram, NumericBins, chi_squared, column_drift, jensen_shannon,
        kolmogorov_smirnov, population_stability, total_variation, wasserstein,
    },
    sketch::{CategorySketch, ColumnSketch, NumericSketch},
};

use crate::draw::{Draw, assert_close};

const LEVEL: Confidence = Confidence::P95;

fn histogram(counts: &[u64], missing: u64) -> Histogram {
    Histogram { counts: counts.to_vec(), missing, share_error: 0.0 }
}

#[test]
fn distances_by_hand() {
    let (own, other) = (histogram(&[50, 50], 0), histogram(&[80, 20], 0));
    let psi = population_stability(&own, &other, LEVEL).unwrap();
    let expected = 0.3 * (0.8_f64 / 0.5).ln() + 0.3 * (0.5_f64 / 0.2).ln();
    assert_close(psi.estimate.value, expected, 1e-14, "PSI");
    assert_close(psi.contributions.iter().sum(), expected, 1e-14, "contributions");
    assert_eq!((psi.estimate.n, psi.reference_n, psi.contributions.len()), (100, 100, 3));
    assert_close(psi.by_chance, 0.02, 1e-14, "one degree, 1/100 + 1/100");
    let variation = total_variation(&own, &other, LEVEL).unwrap();
    assert_close(variation.estimate.value, 0.3, 1e-14, "total variation");
    let far = jensen_shannon(&histogram(&[9, 0], 0), &histogram(&[0, 9], 0), LEVEL).unwrap();
    assert_eq!(far.estimate.value, 1.0, "a bit tells them apart");
    // χ² of [[50, 50], [80, 20]]: 200·(50·20 − 50·80)² / (100·100·130·70)
    let chi = chi_squared(&own, &other, LEVEL).unwrap();
    assert_close(chi.statistic, 200.0 * 3_000.0_f64.powi(2) / 91_000_000.0, 1e-12, "chi-squared");
    assert_close(chi.cramers_v.value, (chi.statistic / 200.0).sqrt(), 1e-12, "Cramér's V");
}

#[test]
fn empty_bins_count_half_a_row() {
    let psi = |own: &[u64], other: &[u64]| {
        population_stability(&histogram(own, 0), &histogram(other, 0), LEVEL).unwrap().estimate.value
    };
    let expected = (0.5_f64 - 0.5 / 100.0) * (0.5_f64 / 0.005).ln() + 0.5 * 2.0_f64.ln();
    assert_close(psi(&[50, 50], &[0, 100]), expected, 1e-14, "half a row");
    assert_eq!(psi(&[50, 0, 50], &[500, 0, 500]), 0.0);
}

#[test]
fn missing_values_have_a_bin() {
    let (own, other) = (histogram(&[50, 50], 0), histogram(&[25, 25], 50));
    let psi = population_stability(&own, &other, LEVEL).unwrap();
    assert!(psi.estimate.value > 1.0, "{}", psi.estimate);
    assert_eq!((psi.estimate.n, psi.estimate.missing), (50, 50));
    assert!(psi.contributions[2] > psi.contributions[0]);
    let gone = population_stability(&own, &histogram(&[0, 0], 9), LEVEL);
    assert!(gone.unwrap_err().to_string().contains("9 had a missing value"));
}

#[test]
fn bins_come_from_quantiles_of_the_reference() {
    let values: Vec<f64> = (1..=100).map(f64::from).collect();
    let reference = Distribution::new(&values);
    let bins = NumericBins::quantiles(&reference, 4).unwrap();
    assert_eq!(bins.edges(), [25.0, 50.0, 75.0]);
    assert_eq!(bins.labels(), ["(−∞, 25]", "(25, 50]", "(50, 75]", "(75, ∞)"]);
    assert_eq!(bins.count(&reference).counts, [25, 25, 25, 25]);
    let json = serde_json::to_string(&bins).unwrap();
    assert_eq!(json, "[25.0,50.0,75.0]");
    assert_eq!(serde_json::from_str::<NumericBins>(&json).unwrap(), bins);
    assert!(serde_json::from_str::<NumericBins>("[2.0,1.0]").is_err());
    assert!(
        NumericBins::quantiles(&reference, 1).is_err() && NumericBins::quantiles(&reference, 1_001).is_err()
    );
    assert!(NumericBins::quantiles(&Distribution::new::<f64>(&[]), 10).is_err());
}

/// A value that most rows have is told from what is right below and above it.
#[test]
fn a_frequent_value_has_its_own_bin() {
    let mut values = vec![0.0; 60];
    values.extend((1..=40).map(f64::from));
    let bins = NumericBins::quantiles(&Distribution::new(&values), 10).unwrap();
    let counts = |values: &[f64]| bins.count(&Distribution::new(values)).counts;
    let own = counts(&values);
    assert_eq!(own[..2], [0, 60]);
    assert_eq!(counts(&[-1.0, 0.0, 0.5])[..3], [1, 1, 1]);

    let constant = Distribution::new(&[7.0; 50]);
    let bins = NumericBins::quantiles(&constant, 10).unwrap();
    assert_eq!(bins.count(&Distribution::new(&[6.0, 7.0, 8.0])).counts, [1, 1, 1]);
    for moved in [6.9, 7.1] {
        let current = bins.count(&Distribution::new(&[moved; 50]));
        let psi = population_stability(&bins.count(&constant), &current, LEVEL).unwrap().estimate;
        assert!(psi.low > 1.0, "{psi}");
    }
}

#[test]
fn new_categories_fall_into_other() {
    let sketch = |names: &[&str]| names.iter().map(|name| Some(*name)).collect::<CategorySketch>();
    let reference = sketch(&[["a"; 50].as_slice(), &["b"; 30], &["c"; 20]].concat());
    let bins = CategoryBins::most_frequent(&reference, 3).unwrap();
    assert_eq!(bins.labels(), ["a", "b", "other"]);
    assert_eq!(bins.count(&reference).counts, [50, 30, 20]);
    let current = sketch(&["a", "new", "b", "newer"]);
    assert_eq!(bins.count(&current).counts, [1, 1, 2]);
    let same = population_stability(&bins.count(&reference), &bins.count(&reference), LEVEL).unwrap();
    assert_eq!((same.estimate.value, same.estimate.low), (0.0, 0.0));
}

#[test]
fn samples_of_one_population_do_not_drift() {
    let mut draw = Draw::new(1);
    let (reference, current) = (draw.normals(5_000, 0.0, 1.0), draw.normals(1_000, 0.0, 1.0));
    let moved: Vec<f64> = current.iter().map(|value| value + 0.5).collect();
    let reference = Distribution::new(&reference);
    let bins = NumericBins::quantiles(&reference, 10).unwrap();
    for (current, drifted) in [(&current, false), (&moved, true)] {
        let current = Distribution::new(current);
        let (own, other) = (bins.count(&reference), bins.count(&current));
        let check = |estimate: stats::Estimate, name: &str| {
            assert_eq!(estimate.low > 0.0, drifted, "{name}: {estimate}");
            assert!(estimate.value <= estimate.high, "{name}: {estimate}");
        };
        check(population_stability(&own, &other, LEVEL).unwrap().estimate, "PSI");
        check(jensen_shannon(&own, &other, LEVEL).unwrap().estimate, "Jensen–Shannon");
        check(total_variation(&own, &other, LEVEL).unwrap().estimate, "total variation");
        check(wasserstein(&reference, &current, LEVEL).unwrap().distance, "Wasserstein");
        let chi = chi_squared(&own, &other, LEVEL).unwrap();
        check(chi.cramers_v, "Cramér's V");
        let ks = kolmogorov_smirnov(&reference, &current, LEVEL).unwrap();
        check(ks.distance, "KS");
        assert_eq!((chi.p_value < 0.01, ks.p_value < 0.01), (drifted, drifted), "{chi:?} {ks:?}");
    }
}

/// A shift of 0.5 standard deviations of a normal distribution: what each distance is for the whole populations.
#[test]
fn intervals_hold_the_distance_of_the_populations() {
    let mut draw = Draw::new(2);
    let reference = Distribution::new(&draw.normals(20_000, 0.0, 2.0));
    let current = Distribution::new(&draw.normals(20_000, 1.0, 2.0));
    let holds = |estimate: stats::Estimate, truth: f64, name: &str| {
        assert!(estimate.low <= truth && truth <= estimate.high, "{name}: {truth} in {estimate}");
        assert!(estimate.width() < 0.3 * truth, "{name}: {estimate}");
    };
    let moved = wasserstein(&reference, &current, LEVEL).unwrap();
    holds(moved.distance, 1.0, "Wasserstein");
    holds(moved.standardized.unwrap(), 0.5, "standardized Wasserstein");
    // The greatest distance of two normals half a deviation apart is at the middle: Φ(0.25) − Φ(−0.25).
    holds(kolmogorov_smirnov(&reference, &current, LEVEL).unwrap().distance, 0.197_413, "KS");
}

#[test]
fn exact_p_values_by_counting() {
    let p = |own: &[f64], other: &[f64]| {
        let found = kolmogorov_smirnov(&Distribution::new(own), &Distribution::new(other), LEVEL).unwrap();
        assert!(found.exact);
        found.p_value
    };
    // Of the 20 orders of three and three, two are wholly apart.
    assert_close(p(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 0.1, 1e-15, "3 and 3");
    assert_close(p(&[1.0], &[2.0]), 1.0, 1e-15, "1 and 1");
    assert_close(p(&[1.0, 2.0], &[1.0, 2.0]), 1.0, 1e-15, "the same");
    // 8 and 8 apart: 2 of 12,870.
    let (low, high): (Vec<f64>, Vec<f64>) =
        ((0..8).map(f64::from).collect(), (8..16).map(f64::from).collect());
    assert_close(p(&low, &high), 2.0 / 12_870.0, 1e-15, "8 and 8");
}

/// Figures of sketches against those of the rows that these were made of.
#[test]
fn sketches_stay_within_what_they_state() {
    let mut draw = Draw::new(3);
    for (mean, deviation) in [(0.0, 1.0), (0.1, 1.1), (0.6, 1.0)] {
        let (reference, current) = (draw.normals(60_000, 0.0, 1.0), draw.normals(40_000, mean, deviation));
        let (raw, raw_current) = (Distribution::new(&reference), Distribution::new(&current));
        let sketched = Distribution::from(&reference.iter().copied().collect::<NumericSketch>());
        let sketched_current = Distribution::from(&current.iter().copied().collect::<NumericSketch>());
        assert!(!sketched.is_exact() && sketched.rank_deviation() < 0.004, "{}", sketched.rank_deviation());
        assert_eq!((sketched.n(), raw.n()), (60_000, 60_000));

        let bins = NumericBins::quantiles(&sketched, 10).unwrap();
        let exact = population_stability(&bins.count(&raw), &bins.count(&raw_current), LEVEL).unwrap();
        let psi =
            population_stability(&bins.count(&sketched), &bins.count(&sketched_current), LEVEL).unwrap();
        assert!((psi.estimate.value - exact.estimate.value).abs() < 0.01 + 0.1 * exact.estimate.value);
        assert!(
            psi.estimate.low <= exact.estimate.value && exact.estimate.value <= psi.estimate.high,
            "{}",
            psi.estimate
        );
        assert!(psi.by_chance > exact.by_chance && psi.estimate.width() > exact.estimate.width());

        let exact = kolmogorov_smirnov(&raw, &raw_current, LEVEL).unwrap();
        let ks = kolmogorov_smirnov(&sketched, &sketched_current, LEVEL).unwrap();
        let bound = sketched.share_error(LEVEL) + sketched_current.share_error(LEVEL);
        assert!((ks.distance.value - exact.distance.value).abs() <= bound && bound < 0.05, "{bound}");
        assert!(ks.p_value >= exact.p_value && !ks.exact);

        let exact = wasserstein(&raw, &raw_current, LEVEL).unwrap();
        let moved = wasserstein(&sketched, &sketched_current, LEVEL).unwrap();
        assert!(
            (moved.distance.value - exact.distance.value).abs() < 0.02,
            "{} {}",
            moved.distance,
            exact.distance
        );
        assert!(moved.distance.low <= exact.distance.value && exact.distance.value <= moved.distance.high);
        assert!(chi_squared(&bins.count(&sketched), &bins.count(&sketched_current), LEVEL).is_err());
    }
}

#[test]
fn bins_of_another_column_are_refused() {
    let refused = population_stability(&histogram(&[1, 2], 0), &histogram(&[1, 2, 3], 0), LEVEL).unwrap_err();
    assert!(refused.to_string().contains("count both by the same bins"), "{refused}");
    assert!(chi_squared(&histogram(&[5, 0], 0), &histogram(&[7, 0], 0), LEVEL).is_err());
}

/// A month of windows by two replicas, stored and merged, against a training set.
#[test]
fn stored_columns_are_compared_over_windows() {
    let mut draw = Draw::new(4);
    let stored = |values: Vec<Option<f64>>| {
        let bytes = ColumnSketch::Numeric(values.into_iter().collect()).to_bytes();
        ColumnSketch::from_bytes(&bytes).unwrap()
    };
    let mut column = |rows: usize, mean: f64, missing: f64| {
        let values = (0..rows).map(|_| (!draw.chance(missing)).then(|| mean + draw.normal()));
        stored(values.collect())
    };
    let training = column(20_000, 0.0, 0.01);
    let bins = Bins::of(&training, 10).unwrap();
    let bins: Bins = serde_json::from_str(&serde_json::to_string(&bins).unwrap()).unwrap();
    let mut month = |mean: f64, missing: f64| {
        let mut merged = column(300, mean, missing);
        for _ in 0..59 {
            merged.merge(&column(300, mean, missing)).unwrap();
        }
        column_drift(&training, &merged, &bins, LEVEL).unwrap()
    };
    let (steady, drifted) = (month(0.0, 0.01), month(0.4, 0.05));
    assert!(
        steady.population_stability.estimate.low == 0.0 && steady.population_stability.estimate.value < 0.02
    );
    assert!(drifted.population_stability.estimate.low > 0.1, "{}", drifted.population_stability.estimate);
    assert_eq!(drifted.population_stability.contributions.len(), bins.labels().len() + 1);
    assert!(
        steady.kolmogorov_smirnov.unwrap().p_value > 0.05
            && drifted.kolmogorov_smirnov.unwrap().p_value < 1e-6
    );
    let moved = drifted.wasserstein.unwrap().distance;
    assert!(
        moved.low < 0.4 && moved.high > 0.4 && steady.wasserstein.unwrap().distance.low == 0.0,
        "{moved}"
    );
    assert!(steady.missing.low < 0.0 && drifted.missing.low > 0.03 && drifted.missing.high < 0.05);

    let names = ColumnSketch::Categorical([Some("a"), Some("b")].into_iter().collect());
    assert!(column_drift(&training, &names, &bins, LEVEL).is_err());
    let kinds = Bins::of(&names, 5).unwrap();
    let same = column_drift(&names, &names, &kinds, LEVEL).unwrap();
    assert!(same.jensen_shannon.estimate.value == 0.0 && same.wasserstein.is_none());
}
