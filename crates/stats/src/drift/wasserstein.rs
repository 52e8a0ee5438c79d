//! Wasserstein's distance of order 1: how far the rows would have to be moved, on average.

use std::f64::consts::FRAC_2_PI;

use serde::{Deserialize, Serialize};

use super::{Distribution, distribution::Step, not_empty};
use crate::{
    error::Result,
    estimate::{Confidence, Estimate, Method},
    mean,
};

/// The area between two distribution functions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Wasserstein {
    /// In the column's own unit. `n` and `missing` are those of the current sample.
    pub distance: Estimate,
    /// In standard deviations of the reference; `None` where that does not vary.
    pub standardized: Option<Estimate>,
    pub reference_n: u64,
    /// What the distance would be on average if nothing had changed.
    pub by_chance: f64,
}

/// `∫ |F − G|`.
///
/// The interval is by the delta method: a row at `x` changes the area by that part of `∫ sign(F − G)` which lies
/// above it. The lower limit takes off what chance alone makes, `∫ √(2/π · H(1 − H)(1/n + 1/m))` with H of both
/// samples together. What a sketch has forgotten is at most its rank deviation at each point, and on average at most
/// twice the rows beyond it.
pub fn wasserstein(
    reference: &Distribution,
    current: &Distribution,
    confidence: Confidence,
) -> Result<Wasserstein> {
    not_empty("the reference", reference.n(), reference.missing().total())?;
    not_empty("the current sample", current.n(), current.missing().total())?;
    let areas = Areas::new(reference, current);
    let forgotten = reference.forgotten_area() + current.forgotten_area();
    let deviation = areas.variance.sqrt() + forgotten;
    let by_chance = areas.by_chance + forgotten;
    let z = confidence.z();
    let bounds = mean::of_distance(areas.distance, (0.0, by_chance), deviation, z, f64::INFINITY);
    let distance = Estimate::new(areas.distance, bounds, confidence, current.n(), Method::Distance)
        .with_missing(current.missing().total())
        .finite("Wasserstein's distance")?;
    let (_, spread) = reference.spread();
    let standardized = (spread > 0.0 && spread.is_finite()).then(|| Estimate {
        value: distance.value / spread,
        low: distance.low / spread,
        high: distance.high / spread,
        ..distance
    });
    Ok(Wasserstein { distance, standardized, reference_n: reference.n(), by_chance })
}

struct Areas {
    distance: f64,
    by_chance: f64,
    /// Of the distance, from both samples.
    variance: f64,
}

impl Areas {
    fn new(reference: &Distribution, current: &Distribution) -> Self {
        let (n, m) = (reference.n() as f64, current.n() as f64);
        let (mut distance, mut by_chance) = (0.0, 0.0);
        // The signed length up to the step, and its first two moments over the rows of each side.
        let (mut signed, mut before) = (0.0, (0, 0));
        let (mut of_reference, mut of_current) = (Weighted::default(), Weighted::default());
        for Step { from, to, rows, other_rows } in reference.steps(current) {
            of_reference.add(signed, (rows - before.0) as f64 / n);
            of_current.add(signed, (other_rows - before.1) as f64 / m);
            before = (rows, other_rows);
            let Some(to) = to else { continue };
            let (own, other) = (rows as f64 / n, other_rows as f64 / m);
            let both = (rows + other_rows) as f64 / (n + m);
            let width = to - from;
            distance += (own - other).abs() * width;
            by_chance += (FRAC_2_PI * both * (1.0 - both) * (1.0 / n + 1.0 / m)).sqrt() * width;
            signed += if own < other { -width } else { width };
        }
        Self { distance, by_chance, variance: of_reference.variance() / n + of_current.variance() / m }
    }
}

/// Mean and mean square of weighted values; weights add up to 1.
#[derive(Default)]
struct Weighted {
    mean: f64,
    square: f64,
}

impl Weighted {
    fn add(&mut self, value: f64, weight: f64) {
        self.mean += weight * value;
        self.square += weight * value * value;
    }

    fn variance(&self) -> f64 {
        (self.square - self.mean * self.mean).max(0.0)
    }
}

impl Distribution {
    /// `∫ min(σ, 2F, 2(1 − F))` over the range of the values; F and 1 − F are not taken below what the outermost kept
    /// value stands for, as nothing is known of the rows beyond it but the extreme.
    fn forgotten_area(&self) -> f64 {
        let deviation = self.rank_deviation();
        if deviation == 0.0 {
            return 0.0;
        }
        let n = self.n() as f64;
        let (low, high) = self.range();
        let shares: Vec<(f64, f64)> =
            self.steps(self).map(|step| (step.from, step.rows as f64 / n)).collect();
        let first = shares.first().map_or(0.0, |(_, share)| *share);
        let last = 1.0 - shares.iter().rev().nth(1).map_or(0.0, |(_, share)| *share);
        let reach = |share: f64| deviation.min(2.0 * share.max(first)).min(2.0 * (1.0 - share).max(last));
        let (mut area, mut from, mut before) = (0.0, low, 0.0);
        for (value, share) in shares {
            area += reach(before) * (value - from);
            (from, before) = (value, share);
        }
        area + reach(before) * (high - from)
    }
}
