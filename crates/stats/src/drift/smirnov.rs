//! Kolmogorov and Smirnov's test of two samples.

use serde::{Deserialize, Serialize};

use super::{Distribution, not_empty};
use crate::{
    error::Result,
    estimate::{Confidence, Estimate, Method},
    special::kolmogorov,
};

/// Up to this product of rows the p-value is exact (a few milliseconds).
const EXACT_PAIRS_MAX: u64 = 1_000_000;

/// The greatest distance between two distribution functions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KolmogorovSmirnov {
    /// `n` and `missing` are those of the current sample. The interval is free of assumptions, and wide.
    pub distance: Estimate,
    pub reference_n: u64,
    /// The chance of a distance at least as great if nothing had changed; with ties, or from sketches, the most that
    /// it can be.
    pub p_value: f64,
    /// Whether the p-value counts all orders of the values, rather than being the limit for many.
    pub exact: bool,
}

/// Distance and test, two-sided.
///
/// The interval is by Dvoretzky, Kiefer and Wolfowitz with Massart's constant (1990): each distribution function is
/// within `√(ln(2/δ) / 2n)` everywhere with chance `1 − δ`, half the allowed chance each. For sketches, the most that
/// these have forgotten is added, and the p-value is that of a distance smaller by it. The limiting p-value uses
/// Stephens' correction (1970) for small samples.
pub fn kolmogorov_smirnov(
    reference: &Distribution,
    current: &Distribution,
    confidence: Confidence,
) -> Result<KolmogorovSmirnov> {
    not_empty("the reference", reference.n(), reference.missing().total())?;
    not_empty("the current sample", current.n(), current.missing().total())?;
    let (n, m) = (reference.n(), current.n());
    let gap = |rows: u64, other: u64| {
        (u128::from(rows) * u128::from(m)).abs_diff(u128::from(other) * u128::from(n))
    };
    let widest = reference.steps(current).map(|step| gap(step.rows, step.other_rows)).max().unwrap_or(0);
    let distance = widest as f64 / (n as f64 * m as f64);
    let halved = confidence.shared_among(2);
    let sampling = |n: u64| (-halved.tail().ln() / (2.0 * n as f64)).sqrt();
    let forgotten = reference.share_error(halved) + current.share_error(halved);
    let reach = sampling(n) + sampling(m) + forgotten;
    let bounds = ((distance - reach).max(0.0), (distance + reach).min(1.0));
    let estimate = Estimate::new(distance, bounds, confidence, m, Method::Dkw);
    let exact = forgotten == 0.0 && n.saturating_mul(m) <= EXACT_PAIRS_MAX;
    let p_value = match exact {
        true => kolmogorov::exact_survival(widest as u64, n, m),
        false => {
            let root = (n as f64 / (n + m) as f64 * m as f64).sqrt();
            kolmogorov::survival((root + 0.12 + 0.11 / root) * (distance - forgotten).max(0.0))
        }
    };
    let distance = estimate.with_missing(current.missing().total());
    Ok(KolmogorovSmirnov { distance, reference_n: n, p_value, exact })
}
