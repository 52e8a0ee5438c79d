//! A million rows take well below a second, in the profile that tests run in.
//!
//! The limit is far above what was measured on two busy cores (30 to 260 ms): it finds what has become quadratic, not
//! what has become a little slower, and does not fail because a neighbour builds something.

use std::time::{Duration, Instant};

use stats::{
    Confidence,
    classify::{BinaryScores, Metric, Options},
    drift::{Distribution, NumericBins, population_stability},
    sketch::NumericSketch,
};

use crate::draw::Draw;

#[track_caller]
fn within_limit<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{what} took {took:?}");
    result
}

#[test]
fn a_million_rows() {
    let mut draw = Draw::new(1);
    let (labels, scores) = draw.scored(1_000_000, 0.01, 1.0);
    let moved: Vec<f64> = scores.iter().map(|score| score * 0.9).collect();
    let rows = within_limit("taking rows in", || BinaryScores::new(&labels, &scores).unwrap());
    let area = within_limit("ROC AUC", || rows.evaluate(Metric::RocAuc, &Options::default()).unwrap());
    assert_eq!(area.n, 1_000_000);
    let sketch = within_limit("sketching", || scores.iter().copied().collect::<NumericSketch>());
    assert_eq!(sketch.rows(), 1_000_000);
    let psi = within_limit("PSI of raw values", || {
        let (reference, current) = (Distribution::new(&scores), Distribution::new(&moved));
        let bins = NumericBins::quantiles(&reference, 10).unwrap();
        population_stability(&bins.count(&reference), &bins.count(&current), Confidence::P95).unwrap()
    });
    assert!(psi.estimate.low > 0.0, "{}", psi.estimate);
    let known = within_limit("PSI of sketches", || {
        let (reference, current) = (Distribution::from(&sketch), Distribution::new(&moved));
        let bins = NumericBins::quantiles(&reference, 10).unwrap();
        population_stability(&bins.count(&reference), &bins.count(&current), Confidence::P95).unwrap()
    });
    assert!(known.estimate.low > 0.0, "{}", known.estimate);
}
