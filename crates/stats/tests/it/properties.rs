//! What holds for all rows: bounds, symmetry, independence of order, and merges that equal the whole.

use proptest::prelude::*;
use stats::{
    Confidence, Estimate,
    classify::{BinaryScores, Confusion, Metric, Options},
    drift::{
        Distribution, NumericBins, benjamini_hochberg, jensen_shannon, kolmogorov_smirnov,
        population_stability, total_variation, wasserstein,
    },
    latency::Series,
    proportion::{PairedShares, Share, difference, ratio},
    sketch::{CategorySketch, ColumnSketch, NumericSketch},
};

const LEVEL: Confidence = Confidence::P95;

fn ordered(estimate: &Estimate) -> bool {
    estimate.low <= estimate.value && estimate.value <= estimate.high
}

fn within(estimate: &Estimate, low: f64, high: f64) -> bool {
    ordered(estimate) && estimate.low >= low - 1e-12 && estimate.high <= high + 1e-12
}

/// Few distinct values, so that ties are frequent.
fn values() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-20..20_i32).prop_map(|value| f64::from(value) / 4.0), 1..80)
}

fn scored() -> impl Strategy<Value = Vec<(bool, f64)>> {
    let row = (any::<bool>(), (0..=10_u32).prop_map(|score| f64::from(score) / 10.0));
    prop::collection::vec(row, 2..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn shares_are_within_0_and_1(n in 1..2_000_u64, hits in 0..2_000_u64, m in 1..300_u64, other in 0..300_u64) {
        let (own, other) = (Share::new("a", hits.min(n), n).unwrap(), Share::new("b", other.min(m), m).unwrap());
        let estimate = own.estimate(LEVEL);
        prop_assert!(within(&estimate, 0.0, 1.0) && estimate.width() > 0.0);
        prop_assert!(own.estimate(Confidence::P99).width() > estimate.width());
        let (apart, back) = (difference(own, other, LEVEL), difference(other, own, LEVEL));
        prop_assert!(within(&apart, -1.0, 1.0));
        prop_assert!((apart.low + back.high).abs() < 1e-14 && (apart.high + back.low).abs() < 1e-14);
        if let (Ok(above), Ok(below)) = (ratio(own, other, LEVEL), ratio(other, own, LEVEL)) {
            prop_assert!(ordered(&above) && above.low >= 0.0);
            prop_assert!((above.low * below.high - 1.0).abs() < 1e-9 || above.low == 0.0);
        }
    }

    #[test]
    fn paired_shares_are_within_bounds(both in 0..40_u64, first in 0..40_u64, second in 0..40_u64, neither in 0..40_u64) {
        prop_assume!(both + first + second + neither > 0);
        let table = PairedShares { both, only_first: first, only_second: second, neither };
        let back = PairedShares { both, only_first: second, only_second: first, neither };
        let (apart, mirrored) = (table.difference(LEVEL).unwrap(), back.difference(LEVEL).unwrap());
        prop_assert!(within(&apart, -1.0, 1.0) && apart.width() > 0.0);
        prop_assert!((apart.low + mirrored.high).abs() < 1e-14);
        prop_assert!((0.0..=1.0).contains(&table.p_value()) && table.p_value() == back.p_value());
    }

    #[test]
    fn counts_give_figures_within_bounds(tp in 0..50_u64, fp in 0..50_u64, tn in 0..50_u64, fn_ in 0..50_u64) {
        let table = Confusion {
            true_positives: tp, false_positives: fp, true_negatives: tn, false_negatives: fn_, missing: 0,
        };
        let figures = [
            table.accuracy(LEVEL), table.precision(LEVEL), table.recall(LEVEL), table.balanced_accuracy(LEVEL),
            table.f_beta(0.5, LEVEL), table.f_beta(2.0, LEVEL),
        ];
        for figure in figures.into_iter().flatten() {
            prop_assert!(within(&figure, 0.0, 1.0) && figure.width() > 0.0, "{figure}");
        }
        if let Ok(mcc) = table.mcc(LEVEL) {
            prop_assert!(within(&mcc, -1.0, 1.0) && mcc.width() > 0.0, "{mcc}");
        }
    }

    #[test]
    fn classifiers_are_judged_whatever_the_order(rows in scored(), seed in any::<u64>()) {
        let mut shuffled = rows.clone();
        crate::draw::Draw::new(seed).shuffle(&mut shuffled);
        let of = |rows: &[(bool, f64)]| {
            let (labels, scores): (Vec<bool>, Vec<f64>) = rows.iter().copied().unzip();
            BinaryScores::new(&labels, &scores).unwrap()
        };
        for metric in [Metric::RocAuc, Metric::Mcc, Metric::Brier, Metric::LogLoss, Metric::CalibrationError] {
            let (one, two) = (of(&rows).evaluate(metric, &Options::default()), of(&shuffled).evaluate(metric, &Options::default()));
            prop_assert_eq!(one.is_ok(), two.is_ok());
            if let (Ok(one), Ok(two)) = (one, two) {
                prop_assert!(ordered(&one), "{metric}: {one}");
                prop_assert!((one.value - two.value).abs() < 1e-12, "{metric}: {one} {two}");
                prop_assert!((one.low - two.low).abs() < 1e-9 && (one.high - two.high).abs() < 1e-9);
            }
        }
    }

    /// The area by its definition, over all pairs; turned around, what was above is below.
    #[test]
    fn areas_are_shares_of_pairs(rows in scored()) {
        let (labels, scores): (Vec<bool>, Vec<f64>) = rows.iter().copied().unzip();
        let Ok(area) = BinaryScores::new(&labels, &scores).unwrap().roc_auc(LEVEL) else { return Ok(()) };
        let of = |class: bool| rows.iter().filter(move |(label, _)| *label == class).map(|(_, score)| *score);
        let half = |positive: f64, negative: f64| match positive.total_cmp(&negative) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        };
        let pairs: f64 = of(true).flat_map(|positive| of(false).map(move |negative| half(positive, negative))).sum();
        let expected = pairs / (of(true).count() * of(false).count()) as f64;
        prop_assert!((area.value - expected).abs() < 1e-12 && within(&area, 0.0, 1.0), "{area} {expected}");
        let turned: Vec<f64> = scores.iter().map(|score| -score).collect();
        let back = BinaryScores::new(&labels, &turned).unwrap().roc_auc(LEVEL).unwrap();
        prop_assert!((area.value + back.value - 1.0).abs() < 1e-12);
        prop_assert!((area.low + back.high - 1.0).abs() < 1e-9, "{area} {back}");
    }

    #[test]
    fn distances_are_symmetric_and_bounded(own in values(), other in values(), bins in 2..12_usize) {
        let (own, other) = (Distribution::new(&own), Distribution::new(&other));
        let bins = NumericBins::quantiles(&own, bins).unwrap();
        let (counts, others) = (bins.count(&own), bins.count(&other));
        prop_assert_eq!(counts.n(), own.n());
        prop_assert_eq!(others.n(), other.n());
        for (most, of) in [
            (f64::INFINITY, population_stability as fn(&_, &_, _) -> _), (1.0, jensen_shannon), (1.0, total_variation),
        ] {
            let (there, back) = (of(&counts, &others, LEVEL).unwrap(), of(&others, &counts, LEVEL).unwrap());
            prop_assert!(within(&there.estimate, 0.0, most), "{}", there.estimate);
            prop_assert!((there.estimate.value - back.estimate.value).abs() < 1e-12);
            prop_assert_eq!(of(&counts, &counts, LEVEL).unwrap().estimate.value, 0.0);
        }
    }

    #[test]
    fn distances_of_distributions(own in values(), other in values()) {
        let (left, right) = (Distribution::new(&own), Distribution::new(&other));
        let (there, back) =
            (kolmogorov_smirnov(&left, &right, LEVEL).unwrap(), kolmogorov_smirnov(&right, &left, LEVEL).unwrap());
        prop_assert!(within(&there.distance, 0.0, 1.0));
        prop_assert!((there.distance.value - back.distance.value).abs() < 1e-15);
        prop_assert!((there.p_value - back.p_value).abs() < 1e-12 && (0.0..=1.0).contains(&there.p_value));
        let share = |of: &[f64], x: f64| of.iter().filter(|value| **value <= x).count() as f64 / of.len() as f64;
        let expected = own.iter().chain(&other).map(|x| (share(&own, *x) - share(&other, *x)).abs()).fold(0.0, f64::max);
        prop_assert!((there.distance.value - expected).abs() < 1e-12);

        let moved = wasserstein(&left, &right, LEVEL).unwrap().distance;
        prop_assert!(moved.low >= 0.0 && ordered(&moved));
        // On a grid of quarters the area is a sum of columns.
        let columns: f64 = (-20..20).map(|x| f64::from(x) / 4.0).map(|x| (share(&own, x) - share(&other, x)).abs() / 4.0).sum();
        prop_assert!((moved.value - columns).abs() < 1e-12, "{moved} {columns}");
        prop_assert_eq!(wasserstein(&left, &left, LEVEL).unwrap().distance.value, 0.0);
    }

    #[test]
    fn merged_columns_equal_the_whole(parts in prop::collection::vec(values(), 1..8)) {
        let whole: NumericSketch = parts.iter().flatten().copied().collect();
        let mut merged = NumericSketch::default();
        for part in &parts {
            merged.merge(&part.iter().copied().collect()).unwrap();
        }
        // Nothing was forgotten, so all but the rounding of the moments is equal.
        prop_assert!(whole.quantiles().is_exact() && merged.quantiles().is_exact() || whole.rows() > 500);
        if merged.quantiles().is_exact() && whole.quantiles().is_exact() {
            prop_assert_eq!(Distribution::from(&merged), Distribution::from(&whole));
            let raw: Vec<f64> = parts.iter().flatten().copied().collect();
            prop_assert_eq!(Distribution::from(&whole), Distribution::new(&raw));
        }
        let (one, two) = (merged.moments(), whole.moments());
        prop_assert_eq!(one.count(), two.count());
        prop_assert!((one.mean().unwrap() - two.mean().unwrap()).abs() < 1e-12);
        prop_assert!((one.variance().unwrap_or(0.0) - two.variance().unwrap_or(0.0)).abs() < 1e-10);
    }

    #[test]
    fn merged_categories_equal_the_whole(rows in prop::collection::vec(prop::option::of(0..40_u8), 0..300), cut in 0..300_usize) {
        let names: Vec<Option<String>> = rows.iter().map(|row| row.map(|name| name.to_string())).collect();
        let of = |names: &[Option<String>]| names.iter().map(Option::as_deref).collect::<CategorySketch>();
        let (left, right) = names.split_at(cut.min(names.len()));
        let mut merged = of(left);
        merged.merge(&of(right)).unwrap();
        prop_assert_eq!(&merged, &of(&names));
        let bytes = ColumnSketch::Categorical(merged.clone()).to_bytes();
        prop_assert_eq!(ColumnSketch::from_bytes(&bytes).unwrap(), ColumnSketch::Categorical(merged));
    }

    #[test]
    fn quantiles_are_values_in_order(mut times in prop::collection::vec(0.0..1e6_f64, 1..200), q in 0.01..0.99_f64) {
        let found = Series::new(&times).unwrap().quantile(q, LEVEL).unwrap();
        prop_assert!(ordered(&found) && times.contains(&found.value));
        times.sort_unstable_by(f64::total_cmp);
        let below = times.iter().filter(|time| **time < found.value).count() as f64;
        let up_to = times.iter().filter(|time| **time <= found.value).count() as f64;
        let n = times.len() as f64;
        prop_assert!(below / n < q + 1e-9 && up_to / n >= q - 1e-9);
    }

    #[test]
    fn discoveries_grow_with_evidence(p_values in prop::collection::vec(0.0..=1.0_f64, 0..40), rate in 0.01..0.5_f64) {
        let found = benjamini_hochberg(&p_values, rate).unwrap();
        for one in &found {
            prop_assert!(one.adjusted >= one.p_value && one.adjusted <= 1.0);
            for other in &found {
                prop_assert!(one.p_value > other.p_value || one.adjusted <= other.adjusted);
            }
        }
    }
}
