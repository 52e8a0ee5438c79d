//! Special functions that intervals and p-values are made of, in double precision.
//!
//! Each states its source and how exact it is; the tests compare them with values of an independent library.

pub mod beta;
pub mod gamma;
pub mod kolmogorov;
pub mod normal;
pub mod student;

/// Smallest magnitude that a continued fraction's parts may have: keeps the modified Lentz method from dividing by 0.
const TINY: f64 = 1e-300;

/// More steps than any argument of this crate needs (they grow as the root of the parameters).
const STEPS_MAX: u32 = 1_000_000;

/// Evaluates `b₀ + a₁/(b₁ + a₂/(b₂ + …))` by the modified Lentz method (Thompson and Barnett 1986); `term(i)` gives
/// `(aᵢ, bᵢ)` for `i ≥ 1`. Stops when a step changes nothing that a double could show.
fn continued_fraction(b0: f64, term: impl Fn(u32) -> (f64, f64)) -> f64 {
    let away_from_zero = |x: f64| if x.abs() < TINY { TINY } else { x };
    let mut fraction = away_from_zero(b0);
    let (mut c, mut d) = (fraction, 0.0);
    for step in 1..=STEPS_MAX {
        let (a, b) = term(step);
        d = 1.0 / away_from_zero(b + a * d);
        c = away_from_zero(b + a / c);
        let change = c * d;
        fraction *= change;
        if (change - 1.0).abs() < 1e-16 {
            break;
        }
    }
    fraction
}

/// The point in `low..=high` where a growing function passes `target`, to the last bits of a double.
fn bisect(mut low: f64, mut high: f64, target: f64, growing: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..200 {
        let middle = low.midpoint(high);
        if middle <= low || middle >= high {
            break;
        }
        match growing(middle) < target {
            true => low = middle,
            false => high = middle,
        }
    }
    low.midpoint(high)
}
