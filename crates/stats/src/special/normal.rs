//! The standard normal distribution.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// `P(Z ≤ z)`, by the complementary error function: exact to a few units in the last place, in both tails.
pub fn cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// `P(Z > z)`.
pub fn survival(z: f64) -> f64 {
    cdf(-z)
}

/// Density at `z`.
pub fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
}

/// The `z` with `P(Z ≤ z) = p`; −∞ at 0, +∞ at 1, NaN outside.
///
/// Starts at formula 26.2.23 of Abramowitz and Stegun (error below 4.5e-4) and refines it by Halley's method, whose
/// error shrinks to its cube each step: relative error below 1e-14 for `p` from 1e-300 to 0.5 and, as far as `1 − p`
/// can be told from 1, above.
pub fn quantile(p: f64) -> f64 {
    if p.is_nan() || !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if p > 0.5 {
        return -quantile(1.0 - p);
    }
    match p {
        0.0 => return f64::NEG_INFINITY,
        0.5 => return 0.0,
        _ => {}
    }
    let t = (-2.0 * p.ln()).sqrt();
    let top = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let bottom = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let mut z = top / bottom - t;
    for _ in 0..3 {
        let step = (cdf(z) - p) / density(z);
        z -= step / (1.0 + 0.5 * z * step);
    }
    z
}
