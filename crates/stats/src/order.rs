//! Quantiles with limits that are values of the sample themselves.

use crate::{
    error::{Result, StatsError},
    estimate::{Confidence, Estimate, Method},
    special::beta::binomial_cdf,
};

/// The smallest value that at least a share `q` of the values do not exceed (nearest rank), between order statistics.
///
/// How many of `n` values lie below the true quantile is binomial with chance `q`, whatever their distribution; so
/// the `l`-th and the `u`-th value enclose it with a chance that is known (David and Nagaraja 2003, 7.1). `l` is the
/// greatest and `u` the smallest that miss with at most half the allowed chance each. Where `n` is too small for one,
/// that bound is infinite.
///
/// `sorted` ascends and holds finite values.
pub(crate) fn quantile(sorted: &[f64], q: f64, confidence: Confidence) -> Result<Estimate> {
    if !(q > 0.0 && q < 1.0) {
        let expected = "above 0 and below 1, such as 0.99";
        return Err(StatsError::OutOfRange { what: "quantile", value: q, row: None, expected });
    }
    let n = sorted.len() as u64;
    if n == 0 {
        return Err(StatsError::Empty { what: "the series", missing: 0 });
    }
    let (lower, upper) = ranks(n, q, confidence);
    let rank = |rank: u64| sorted.get((rank as usize).wrapping_sub(1)).copied();
    let value = sorted[nearest_rank(n, q) as usize - 1];
    let bounds = (rank(lower).unwrap_or(f64::NEG_INFINITY), rank(upper).unwrap_or(f64::INFINITY));
    Ok(Estimate::new(value, bounds, confidence, n, Method::OrderStatistics))
}

/// The rank, from 1, of the smallest of `n` values that reaches the share `q`. A product that is whole but for rounding
/// (0.07 · 100) is taken as whole.
pub(crate) fn nearest_rank(n: u64, q: f64) -> u64 {
    let exact = q * n as f64;
    let whole = exact.round();
    let rank = if (exact - whole).abs() < 1e-9 * whole.max(1.0) { whole } else { exact.ceil() };
    (rank as u64).clamp(1, n)
}

/// The ranks from 1 that enclose the quantile: 0 where there is none below, `n + 1` where there is none above.
///
/// The `l`-th value is above the quantile when fewer than `l` values are below it: `P(X ≤ l − 1)`. The `u`-th is
/// below it when at least `u` are: `P(X ≥ u)`.
fn ranks(n: u64, q: f64, confidence: Confidence) -> (u64, u64) {
    let tail = confidence.tail();
    let at_most = |k: u64| binomial_cdf(k as i64, n, q);
    let lower = first(n, q, -confidence.z(), |l| at_most(l) > tail);
    let upper = first(n, q, confidence.z(), |u| 1.0 - at_most(u) <= tail) + 1;
    (lower, upper)
}

/// The smallest `k` in `0..=n` for which `holds`, which is false before it and true from it on. Looked for in widening
/// steps around where the normal distribution, `z` deviations from the mean, puts it.
fn first(n: u64, q: f64, z: f64, holds: impl Fn(u64) -> bool) -> u64 {
    let guess = (n as f64 * q + z * (n as f64 * q * (1.0 - q)).sqrt()).clamp(0.0, n as f64) as u64;
    let (mut below, mut above, mut step) = (guess, guess, 1);
    while below > 0 && holds(below) {
        below = below.saturating_sub(step);
        step *= 2;
    }
    step = 1;
    while above < n && !holds(above) {
        above = (above + step).min(n);
        step *= 2;
    }
    if below == 0 && holds(0) {
        return 0;
    }
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        match holds(middle) {
            true => above = middle,
            false => below = middle,
        }
    }
    above
}
