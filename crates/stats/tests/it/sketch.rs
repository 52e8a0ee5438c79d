//! What sketches promise about what they have forgotten.

use stats::{
    Confidence, StatsError,
    sketch::{CategorySketch, ColumnSketch, Moments, NumericSketch, QuantileSketch},
};

use crate::draw::{Draw, assert_close};

fn sketch(values: &[f64], accuracy: u16) -> QuantileSketch {
    let mut sketch = QuantileSketch::new(accuracy).unwrap();
    for &value in values {
        sketch.insert(value);
    }
    sketch
}

/// The greatest error of a rank, as a share of the rows, over all values that were inserted.
fn worst_error(sketch: &QuantileSketch, values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let weighted = sketch.weighted();
    let (mut at, mut rank, mut truth, mut worst) = (0, 0, 0, 0);
    for tied in sorted.chunk_by(|a, b| a == b) {
        truth += tied.len() as u64;
        while weighted.get(at).is_some_and(|(value, _)| *value <= tied[0]) {
            rank += weighted[at].1;
            at += 1;
        }
        worst = worst.max(truth.abs_diff(rank));
    }
    worst as f64 / values.len() as f64
}

/// Orders of arrival that are hard for a sketch, each with a name.
fn streams(n: usize) -> Vec<(&'static str, Vec<f64>)> {
    let ascending: Vec<f64> = (0..n).map(|row| row as f64).collect();
    let descending: Vec<f64> = ascending.iter().rev().copied().collect();
    let mut shuffled = ascending.clone();
    Draw::new(1).shuffle(&mut shuffled);
    let zoomed: Vec<f64> =
        (0..n).map(|row| if row % 2 == 0 { row as f64 } else { (2 * n - row) as f64 }).collect();
    let heavy: Vec<f64> = Draw::new(2).normals(n, 0.0, 3.0).into_iter().map(f64::exp).collect();
    let few: Vec<f64> = (0..n).map(|row| (row % 7) as f64).collect();
    vec![
        ("ascending", ascending),
        ("descending", descending),
        ("shuffled", shuffled),
        ("zoomed", zoomed),
        ("heavy", heavy),
        ("few values", few),
    ]
}

#[test]
fn ranks_are_within_the_stated_error() {
    for (name, values) in streams(200_000) {
        for accuracy in [64, 512] {
            let sketch = sketch(&values, accuracy);
            assert_eq!(sketch.count(), 200_000);
            let weights: u64 = sketch.weighted().iter().map(|(_, weight)| weight).sum();
            assert_eq!(weights, 200_000, "{name}");
            assert!(sketch.kept() <= 3 * usize::from(accuracy) + 100, "{name}: {}", sketch.kept());
            let (bound, worst) = (sketch.rank_error(Confidence::P99), worst_error(&sketch, &values));
            assert!(worst <= bound, "{name}, {accuracy}: {worst} above {bound}");
            assert!(bound < 2.56 / f64::from(accuracy), "{name}, {accuracy}: {bound} says too little");
        }
    }
}

/// The bound is one of chance: over many samples a rank is off by more than it as seldom as it says, and errors are
/// on both sides.
#[test]
fn errors_of_the_median_are_as_likely_up_as_down() {
    let (mut above, mut outside) = (0, 0);
    let samples = 300;
    for seed in 0..samples {
        let values = Draw::new(1_000 + seed).normals(5_000, 0.0, 1.0);
        let sketch = sketch(&values, 32);
        let mut sorted = values;
        sorted.sort_unstable_by(f64::total_cmp);
        let median = sorted[2_499];
        let rank: u64 =
            sketch.weighted().iter().filter(|(value, _)| *value <= median).map(|(_, weight)| weight).sum();
        let error = rank as f64 / 5_000.0 - 0.5;
        above += i32::from(error > 0.0);
        outside += i32::from(error.abs() > sketch.rank_error(Confidence::P95));
    }
    assert!((100..=200).contains(&above), "{above} of {samples} above");
    assert!(f64::from(outside) <= 0.05 * samples as f64, "{outside} of {samples} outside");
}

#[test]
fn small_samples_are_exact() {
    let values = Draw::new(3).normals(500, 5.0, 2.0);
    let sketch = sketch(&values, 512);
    assert!(sketch.is_exact() && sketch.rank_error(Confidence::P99) == 0.0);
    assert_eq!(worst_error(&sketch, &values), 0.0);
}

#[test]
fn windows_and_replicas_merge_within_the_bound() {
    let values = Draw::new(4).normals(120_000, 0.0, 1.0);
    let parts: Vec<QuantileSketch> = values.chunks(1_111).map(|part| sketch(part, 256)).collect();
    let merge = |all: &[QuantileSketch]| {
        let mut merged = QuantileSketch::new(256).unwrap();
        for part in all {
            merged.merge(part).unwrap();
        }
        merged
    };
    let in_turn = merge(&parts);
    let by_halves: Vec<QuantileSketch> = parts.chunks(9).map(merge).collect();
    for merged in [&in_turn, &merge(&by_halves)] {
        assert_eq!(merged.count(), 120_000);
        assert!(merged.kept() <= 3 * 256 + 100);
        let (bound, worst) = (merged.rank_error(Confidence::P99), worst_error(merged, &values));
        assert!(worst <= bound && bound < 0.05, "{worst} {bound}");
        assert_eq!(merged.min(), values.iter().copied().reduce(f64::min));
        assert_eq!(merged.max(), values.iter().copied().reduce(f64::max));
    }
}

#[test]
fn a_merge_is_symmetric_to_the_last_bit() {
    let (left, right) = (Draw::new(5).normals(9_000, 0.0, 1.0), Draw::new(6).normals(20_000, 3.0, 1.0));
    let (mut one, mut two) = (sketch(&left, 128), sketch(&right, 128));
    let before = one.clone();
    one.merge(&two).unwrap();
    two.merge(&before).unwrap();
    assert_eq!(one.weighted(), two.weighted());
    assert_eq!(one.rank_error(Confidence::P95), two.rank_error(Confidence::P95));
}

#[test]
fn the_lower_accuracy_wins() {
    let values = Draw::new(7).normals(50_000, 0.0, 1.0);
    let mut merged = sketch(&values, 1_024);
    merged.merge(&sketch(&values, 64)).unwrap();
    assert!(merged.kept() <= 3 * 64 + 100, "{}", merged.kept());
    assert!(QuantileSketch::new(15).is_err() && QuantileSketch::new(8_193).is_err());
}

#[test]
fn moments_merge_to_the_moments_of_all() {
    let values = Draw::new(8).normals(10_000, 1e6, 1e-2);
    let whole: Moments = values.iter().copied().collect();
    let mut merged = Moments::default();
    for part in values.chunks(777) {
        merged.merge(&part.iter().copied().collect());
    }
    let mean = values.iter().map(|value| value - 1e6).sum::<f64>() / 1e4 + 1e6;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    for moments in [whole, merged] {
        assert_eq!(moments.count(), 10_000);
        assert_close(moments.mean().unwrap(), mean, 1e-14, "mean");
        // 1e6 leaves the values ten digits of their deviation.
        assert_close(moments.variance().unwrap() * 9_999.0, squares, 1e-6, "variance");
    }
    let mut huge = Moments::default();
    for value in [f64::MAX, -f64::MAX, f64::MAX, -f64::MAX] {
        huge.insert(value);
    }
    assert!(huge.mean().unwrap().abs() < 1e300 && huge.variance().is_none());
    assert_eq!(Moments::default().mean(), None);
}

#[test]
fn few_categories_are_counted_exactly() {
    let names: Vec<String> = (0..1_024).map(|name| name.to_string()).collect();
    let mut sketch = CategorySketch::default();
    for (at, name) in names.iter().enumerate() {
        for _ in 0..=at % 3 {
            sketch.insert(Some(name));
        }
    }
    sketch.insert(None);
    assert!(sketch.is_exact() && sketch.absent() == 1);
    assert!(names.iter().enumerate().all(|(at, name)| sketch.count_of(name) == (at % 3 + 1) as u64));
    assert_eq!(sketch.most_frequent()[0], ("1001", 3));
}

#[test]
fn many_categories_keep_the_frequent_ones() {
    let mut draw = Draw::new(9);
    let (mut parts, mut truth) = (vec![CategorySketch::default(); 5], std::collections::HashMap::new());
    let n = 60_000;
    for row in 0..n {
        // A tenth of all rows is "hot", the others are drawn from 20,000 names.
        let name = if draw.chance(0.1) { "hot".to_owned() } else { format!("rare {}", draw.below(20_000)) };
        parts[row % 5].insert(Some(&name));
        *truth.entry(name).or_insert(0_u64) += 1;
    }
    let mut merged = CategorySketch::default();
    for part in &parts {
        merged.merge(part).unwrap();
    }
    assert_eq!(merged.count(), n as u64);
    let bound = merged.undercount_max();
    assert!(!merged.is_exact() && bound <= n as u64 / 513, "{bound}");
    for (name, &count) in &truth {
        let found = merged.count_of(name);
        assert!(found <= count && count <= found + bound, "{name}: {found} of {count}, bound {bound}");
    }
    assert_eq!(merged.most_frequent()[0].0, "hot");
}

#[test]
fn long_names_are_cut_and_stay_apart() {
    let (first, second) = (format!("{}a", "ü".repeat(100)), format!("{}b", "ü".repeat(100)));
    let sketch: CategorySketch = [Some(first.as_str()), Some(&second), Some(&first)].into_iter().collect();
    assert_eq!((sketch.count_of(&first), sketch.count_of(&second)), (2, 1));
    assert!(sketch.most_frequent().iter().all(|(name, _)| name.len() <= 128 && name.contains('…')));
}

#[test]
fn columns_of_different_kinds_do_not_merge() {
    let mut numbers = ColumnSketch::Numeric([1.0, f64::NAN].into_iter().collect::<NumericSketch>());
    let names = ColumnSketch::Categorical([Some("a"), None].into_iter().collect());
    assert_eq!((numbers.rows(), numbers.missing(), names.rows(), names.missing()), (2, 1, 2, 1));
    assert!(matches!(numbers.merge(&names), Err(StatsError::Incompatible { .. })));
    numbers.merge(&numbers.clone()).unwrap();
    assert_eq!((numbers.rows(), numbers.missing()), (4, 2));
}
