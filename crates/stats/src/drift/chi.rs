//! Pearson's chi-squared test of whether two samples come from one population.

use serde::{Deserialize, Serialize};

use super::{Histogram, divergence::aligned};
use crate::{
    error::{Result, StatsError},
    estimate::{Confidence, Estimate, Method},
    special::gamma,
};

/// The test, and the strength of what it found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChiSquared {
    pub statistic: f64,
    pub degrees: u64,
    pub p_value: f64,
    /// `√(statistic / rows)`, Cramér's V of a table of two rows: the strength, which does not grow with the number of
    /// rows.
    pub cramers_v: Estimate,
    /// Bins where fewer than five rows were expected on a side; with many of them the p-value is too rough to decide
    /// by.
    pub sparse_bins: u64,
}

/// Homogeneity of two samples over the same bins, without continuity correction; bins empty on both sides do not count.
///
/// The interval is for a noncentral chi-squared statistic, by its mean `k + λ` and variance `2(k + 2λ)`. Refused for
/// counts of sketches that have forgotten values: their error would look like drift as soon as rows are many.
pub fn chi_squared(reference: &Histogram, current: &Histogram, confidence: Confidence) -> Result<ChiSquared> {
    if reference.share_error > 0.0 || current.share_error > 0.0 {
        let why =
            "the counts come from a sketch that has forgotten values; use the population stability index";
        return Err(StatsError::Undefined { figure: "chi-squared", why });
    }
    let bins: Vec<(u64, u64)> =
        aligned(reference, current)?.into_iter().filter(|(own, other)| own + other > 0).collect();
    let (n, m) = bins.iter().fold((0.0, 0.0), |(n, m), (own, other)| (n + *own as f64, m + *other as f64));
    let Some(degrees) = bins.len().checked_sub(1).filter(|degrees| *degrees > 0) else {
        let why = "all rows of both samples are in one bin";
        return Err(StatsError::Undefined { figure: "chi-squared", why });
    };
    let (mut statistic, mut sparse_bins) = (0.0, 0);
    for &(own, other) in &bins {
        let share = (own + other) as f64 / (n + m);
        sparse_bins += u64::from(share * n.min(m) < 5.0);
        // Both cells of a bin are off by the same number of rows.
        let off = own as f64 - share * n;
        statistic += off * off / (share * n) + off * off / (share * m);
    }
    let degrees_f = degrees as f64;
    let noncentrality = (statistic - degrees_f).max(0.0);
    let reach = confidence.z() * (2.0 * (degrees_f + 2.0 * noncentrality)).sqrt();
    let strength = |statistic: f64| (statistic.max(0.0) / (n + m)).sqrt().min(1.0);
    let bounds = (strength(statistic - degrees_f - reach), strength(statistic + reach));
    let cramers_v = Estimate::new(strength(statistic), bounds, confidence, current.n(), Method::Distance);
    Ok(ChiSquared {
        statistic,
        degrees: degrees as u64,
        p_value: gamma::chi_squared_survival(statistic, degrees_f),
        cramers_v: cramers_v.with_missing(current.missing),
        sparse_bins,
    })
}
