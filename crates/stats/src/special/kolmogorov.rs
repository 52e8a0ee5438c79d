//! The distribution of Kolmogorov and Smirnov's statistic for two samples.

use std::f64::consts::PI;

/// `P(K > x)` of the limiting distribution (Kolmogorov 1933), by whichever of its two series converges quickly:
/// absolute error below 1e-15.
pub fn survival(x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let odd_or_all = |start: i32, step: i32| (0..100).map(move |k| f64::from(start + step * k));
    if x < 1.0 {
        let sum: f64 = odd_or_all(1, 2).map(|k| (-(k * PI / x).powi(2) / 8.0).exp()).sum();
        return (1.0 - (2.0 * PI).sqrt() / x * sum).clamp(0.0, 1.0);
    }
    let terms =
        odd_or_all(1, 1).map(|k| if k % 2.0 == 1.0 { 1.0 } else { -1.0 } * (-2.0 * (k * x).powi(2)).exp());
    (2.0 * terms.sum::<f64>()).clamp(0.0, 1.0)
}

/// `P(D ≥ d)` for samples of `n` and `m` values from one continuous distribution, where `gap` is `d · n · m`.
///
/// Every order of the `n + m` values is equally likely, and is a path on a grid. What is asked is the share of paths
/// that somewhere reach the gap; with `i` and `j` values seen, the last one came from the first sample with chance
/// `i / (i + j)`. That recursion (Hodges 1957) sums only positive terms, so small p-values are exact too. Time n · m.
pub fn exact_survival(gap: u64, n: u64, m: u64) -> f64 {
    let reaches = |i: u64, j: u64| (i * m).abs_diff(j * n) >= gap;
    let mut row = vec![0.0_f64; m as usize + 1];
    for i in 0..=n {
        for j in 0..=m {
            let at = j as usize;
            row[at] = match (i, j) {
                _ if reaches(i, j) => 1.0,
                (0, 0) => 0.0,
                (0, _) => row[at - 1],
                (_, 0) => row[at],
                _ => (i as f64 * row[at] + j as f64 * row[at - 1]) / (i + j) as f64,
            };
        }
    }
    row[m as usize].min(1.0)
}
