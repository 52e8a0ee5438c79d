//! Percentiles, and two systems measured in turn.

use stats::{
    Confidence, StatsError,
    latency::{Block, Series, compare},
};

use crate::draw::{Draw, assert_close};

const LEVEL: Confidence = Confidence::P95;

#[test]
fn percentiles_are_measured_times() {
    let times: Vec<f64> = (1..=1_000).rev().map(f64::from).collect();
    let found = Series::new(&times).unwrap().percentiles(LEVEL).unwrap();
    assert_eq!((found.p50.value, found.p90.value, found.p99.value), (500.0, 900.0, 990.0));
    assert_eq!((found.p99.low, found.p99.high), (983.0, 997.0));
}

#[test]
fn ranks_survive_rounding() {
    // 0.07 · 100 is a little above 7 in doubles.
    let times: Vec<f64> = (1..=100).map(f64::from).collect();
    assert_eq!(Series::new(&times).unwrap().quantile(0.07, LEVEL).unwrap().value, 7.0);
    assert!(Series::new(&times).unwrap().quantile(1.0, LEVEL).is_err());
}

/// The candidate is slower by a factor; the machine is slower in some blocks, for both.
fn blocks(seed: u64, factor: f64, unsteady: f64) -> Vec<Block> {
    let mut draw = Draw::new(seed);
    (0..30)
        .map(|_| {
            let machine = 1.0 + unsteady * draw.unit();
            let mut times = |factor: f64| -> Vec<Option<f64>> {
                (0..200).map(|_| Some(factor * machine * (0.5 + draw.unit()).powi(2))).collect()
            };
            Block { champion: times(1.0), candidate: times(factor) }
        })
        .collect()
}

#[test]
fn a_slower_candidate_is_seen_through_a_slow_machine() {
    let found = compare(&blocks(1, 1.2, 0.0), 0.99, LEVEL).unwrap();
    assert!(found.ratio.low > 1.1 && found.ratio.high < 1.3, "{}", found.ratio);
    assert!(found.noise < 0.15 && !found.is_noisy(0.15), "{}", found.noise);
    assert_eq!((found.ratio.n, found.champion.n), (30, 6_000));
    assert!(found.difference.low > 0.0 && found.candidate.value > found.champion.value);

    // Twice as slow in some blocks: the ratio stays, the noise says that the machine is unsteady.
    let unsteady = compare(&blocks(2, 1.2, 1.0), 0.99, LEVEL).unwrap();
    assert!(unsteady.ratio.low > 1.1 && unsteady.ratio.high < 1.3, "{}", unsteady.ratio);
    assert!(unsteady.is_noisy(0.15) && unsteady.noise > 0.2, "{}", unsteady.noise);
}

#[test]
fn equal_systems_are_equal() {
    let found = compare(&blocks(3, 1.0, 0.2), 0.5, LEVEL).unwrap();
    assert!(found.ratio.low <= 1.0 && found.ratio.high >= 1.0, "{}", found.ratio);
}

#[test]
fn too_few_blocks_are_refused() {
    let refused = |n: usize| compare(&blocks(4, 1.0, 0.0)[..n], 0.5, LEVEL).map(|found| found.ratio.n);
    assert_eq!(refused(0), Err(StatsError::TooFew { what: "blocks of measurements", found: 0, needed: 6 }));
    assert_eq!(refused(5), Err(StatsError::TooFew { what: "blocks of measurements", found: 5, needed: 6 }));
    assert_eq!(refused(6), Ok(6));
}

#[test]
fn failed_requests_are_counted() {
    let mut disturbed = blocks(5, 1.0, 0.0);
    disturbed[3].candidate[7] = None;
    let found = compare(&disturbed, 0.9, LEVEL).unwrap();
    assert_eq!((found.champion.missing, found.candidate.missing), (0, 1));
    disturbed[3].candidate = vec![None];
    assert!(compare(&disturbed, 0.9, LEVEL).is_err());
}

/// The same limits, whatever the unit: an affine change of the times changes them alike.
#[test]
fn limits_follow_the_times() {
    let times: Vec<f64> = Draw::new(6).normals(500, 100.0, 10.0);
    let scaled: Vec<f64> = times.iter().map(|time| 2.0 * time).collect();
    let (one, two) = (Series::new(&times).unwrap(), Series::new(&scaled).unwrap());
    for q in [0.1, 0.5, 0.9] {
        let (one, two) = (one.quantile(q, LEVEL).unwrap(), two.quantile(q, LEVEL).unwrap());
        assert_close(two.low, 2.0 * one.low, 0.0, "low");
        assert_close(two.high, 2.0 * one.high, 0.0, "high");
    }
}
