//! Student's t distribution.

use super::{beta, bisect, normal};

/// From here on the expansion of the quantile around the normal one is exact to 1e-9.
const LARGE_DEGREES: f64 = 1_000.0;

/// `P(T ≤ t)` with `degrees` of freedom.
pub fn cdf(t: f64, degrees: f64) -> f64 {
    let tail = 0.5 * beta::regularized(degrees / 2.0, 0.5, degrees / (degrees + t * t));
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// The `t` that is exceeded with chance `tail`, for `tail` in `(0, 0.5]`.
///
/// Few degrees by bisection, many by the Cornish–Fisher expansion (Abramowitz and Stegun 26.7.5, three terms).
pub fn upper_quantile(tail: f64, degrees: f64) -> f64 {
    let z = -normal::quantile(tail);
    if degrees < LARGE_DEGREES {
        // By the tails of t, never further out than with one degree of freedom: Cauchy's quantile is below 1/(π·tail)
        // + 1.
        return bisect(0.0, 1.0 + 1.0 / tail, -tail, |t| -cdf(-t, degrees));
    }
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + first / degrees + second / degrees.powi(2) + third / degrees.powi(3)
}
