//! The incomplete beta function and the binomial distribution.

use super::{continued_fraction, gamma::ln_gamma};

/// The regularised incomplete beta function `I_x(a, b)`; NaN unless `a > 0`, `b > 0` and `0 ≤ x ≤ 1`.
///
/// Continued fraction DLMF 8.17.22 on the side where it converges quickly: relative error about 1e-11 for parameters
/// up to 1e6, in steps that grow as their root.
pub fn regularized(a: f64, b: f64, x: f64) -> f64 {
    if !(a > 0.0 && b > 0.0 && (0.0..=1.0).contains(&x)) {
        return f64::NAN;
    }
    if x == 0.0 || x == 1.0 {
        return x;
    }
    match x <= (a + 1.0) / (a + b + 2.0) {
        true => fraction(a, b, x),
        false => (1.0 - fraction(b, a, 1.0 - x)).max(0.0),
    }
}

fn fraction(a: f64, b: f64, x: f64) -> f64 {
    let ln_front = a * x.ln() + b * (-x).ln_1p() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    let value = continued_fraction(1.0, |step| {
        let m = f64::from(step / 2);
        let numerator = match step % 2 {
            0 => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        };
        (numerator, 1.0)
    });
    (ln_front.exp() / (a * value)).clamp(0.0, 1.0)
}

/// `P(X ≤ k)` for X binomial with `n` trials of chance `p`; 0 below 0.
pub fn binomial_cdf(k: i64, n: u64, p: f64) -> f64 {
    match u64::try_from(k) {
        Err(_) => 0.0,
        Ok(k) if k >= n => 1.0,
        Ok(k) => regularized((n - k) as f64, k as f64 + 1.0, 1.0 - p),
    }
}

/// `P(X = k)` for X binomial with `n` trials of chance ½.
pub fn fair_coin_mass(k: u64, n: u64) -> f64 {
    let (k, n) = (k as f64, n as f64);
    let ln_ways = ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
    (ln_ways - n * std::f64::consts::LN_2).exp()
}
