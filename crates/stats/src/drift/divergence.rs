//! Distances between the shares of bins: population stability index, Jensen–Shannon, total variation.
//!
//! The index has no value where a bin is empty on one side: that counts as half a row there. A bin that is empty on
//! both sides is left out. Everything else is the textbook formula, so that figures agree with other tools.
//!
//! Intervals: a distance is a function of two multinomial samples, so its variance is that of its gradient (delta
//! method). Where nothing differs the gradient vanishes and the distance still has a mean and a variance from chance
//! alone; both enter (for the index: `n·m/(n + m)` times it is then chi-squared, Yurdakul 2018). So does what a
//! sketch has forgotten.

use std::f64::consts::{FRAC_2_PI, LN_2};

use serde::{Deserialize, Serialize};

use super::{Histogram, not_empty};
use crate::{
    error::{Result, StatsError},
    estimate::{Confidence, Estimate, Method},
    mean::of_distance,
};

/// A distance of shares with all that is needed to judge it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// `n` and `missing` are those of the current sample. The interval is for the distance of the populations.
    pub estimate: Estimate,
    /// Rows with a value in the reference.
    pub reference_n: u64,
    /// What the distance would be on average if nothing had changed, from the numbers of rows and what sketches have
    /// forgotten.
    pub by_chance: f64,
    /// What each bin adds, in the order of [`Histogram::counts`]; the bin of missing values last. They sum to the
    /// value.
    pub contributions: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Psi,
    JensenShannon,
    TotalVariation,
}

/// What one bin adds, and how that changes with the shares of reference and current sample.
struct Bin {
    /// At least half a row each.
    shares: (f64, f64),
    value: f64,
    slopes: (f64, f64),
    /// Second derivatives.
    bends: (f64, f64),
}

impl Kind {
    /// What the bin adds; `p` is the share in the reference, `q` in the current sample.
    fn value(self, p: f64, q: f64) -> f64 {
        let middle = p.midpoint(q);
        let to_middle = |share: f64| if share > 0.0 { share * (share / middle).log2() / 2.0 } else { 0.0 };
        match self {
            Self::Psi => (p - q) * (p / q).ln(),
            Self::JensenShannon => (to_middle(p) + to_middle(q)).max(0.0),
            Self::TotalVariation => (p - q).abs() / 2.0,
        }
    }

    /// From the numbers of rows in the bin and in all.
    fn term(self, (own, other): (u64, u64), n: f64, m: f64) -> Bin {
        let floored = |count: u64, rows: f64| (count as f64).max(0.5) / rows;
        let (p, q) = (floored(own, n), floored(other, m));
        let value = match self {
            Self::Psi => self.value(p, q),
            _ => self.value(own as f64 / n, other as f64 / m),
        };
        let log = (p / q).ln();
        let (slopes, bends) = match self {
            Self::Psi => {
                ((log + 1.0 - q / p, -log + 1.0 - p / q), (1.0 / p + q / (p * p), 1.0 / q + p / (q * q)))
            }
            Self::JensenShannon => {
                let middle = p.midpoint(q);
                let bend = 1.0 / (4.0 * middle * LN_2);
                (((p / middle).log2() / 2.0, (q / middle).log2() / 2.0), (bend * q / p, bend * p / q))
            }
            Self::TotalVariation => {
                let side = if p < q { -0.5 } else { 0.5 };
                ((side, -side), (0.0, 0.0))
            }
        };
        Bin { shares: (p, q), value, slopes, bends }
    }

    fn most(self) -> f64 {
        if self == Self::Psi { f64::INFINITY } else { 1.0 }
    }
}

/// `Σ (p − q) · ln(p / q)`: the population stability index, Jeffreys' divergence. By custom below 0.1 is stable and
/// above 0.2 (some say 0.25) is a shift.
pub fn population_stability(
    reference: &Histogram,
    current: &Histogram,
    confidence: Confidence,
) -> Result<Divergence> {
    divergence(Kind::Psi, reference, current, confidence)
}

/// Jensen–Shannon divergence in bits, from 0 to 1; its root is the distance that scipy gives with base 2.
pub fn jensen_shannon(
    reference: &Histogram,
    current: &Histogram,
    confidence: Confidence,
) -> Result<Divergence> {
    divergence(Kind::JensenShannon, reference, current, confidence)
}

/// Half the sum of absolute differences, from 0 to 1: the share of rows that would have to move.
pub fn total_variation(
    reference: &Histogram,
    current: &Histogram,
    confidence: Confidence,
) -> Result<Divergence> {
    divergence(Kind::TotalVariation, reference, current, confidence)
}

/// Both samples as counts of the same bins, that of missing values last.
pub(super) fn aligned(reference: &Histogram, current: &Histogram) -> Result<Vec<(u64, u64)>> {
    if reference.counts.len() != current.counts.len() {
        return Err(StatsError::Incompatible {
            left: "the reference's bins",
            right: "the current bins",
            why: "their numbers differ; count both by the same bins",
        });
    }
    not_empty("the reference", reference.n(), reference.missing)?;
    not_empty("the current sample", current.n(), current.missing)?;
    let bins = reference.counts.iter().copied().zip(current.counts.iter().copied());
    Ok(bins.chain([(reference.missing, current.missing)]).collect())
}

fn divergence(
    kind: Kind,
    reference: &Histogram,
    current: &Histogram,
    confidence: Confidence,
) -> Result<Divergence> {
    let counts = aligned(reference, current)?;
    let rows = |histogram: &Histogram| (histogram.n() + histogram.missing) as f64;
    let (n, m) = (rows(reference), rows(current));
    let bins: Vec<Option<Bin>> =
        counts.iter().map(|&(own, other)| (own + other > 0).then(|| kind.term((own, other), n, m))).collect();
    let filled: Vec<&Bin> = bins.iter().flatten().collect();
    let value: f64 = filled.iter().map(|bin| bin.value).sum();
    let sides = [
        Side { rows: n, border_error: reference.share_error, of_current: false },
        Side { rows: m, border_error: current.share_error, of_current: true },
    ];
    let Chance { mut mean, mut variance, least } = by_chance(kind, &filled, n, m);
    for side in sides {
        variance += side.sampling_variance(&filled) + side.sketch_variance(&filled);
        mean += side.sketch_mean(kind, &filled);
    }
    let bounds = of_distance(value, (least, mean), variance.sqrt(), confidence.z(), kind.most());
    let estimate = Estimate::new(value, bounds, confidence, current.n(), Method::Distance);
    Ok(Divergence {
        estimate: estimate.with_missing(current.missing),
        reference_n: reference.n(),
        by_chance: mean,
        contributions: bins.iter().map(|bin| bin.as_ref().map_or(0.0, |bin| bin.value)).collect(),
    })
}

/// The distance if both samples came from one population.
struct Chance {
    mean: f64,
    /// What comes to the variance of the gradient.
    variance: f64,
    /// By how much the distance is too great on average also where the populations differ.
    least: f64,
}

/// For the index, mean and variance are those of chi-squared with a degree less than there are bins, over `n·m/(n +
/// m)`; Jensen–Shannon is an eighth of it near 0, in bits. Both keep that mean as a bias wherever the populations
/// differ. For total variation each difference is normal around 0, and folded; that vanishes where they differ, and
/// the gradient's variance, which has a sign in each bin, is already more than that of the folded ones.
fn by_chance(kind: Kind, bins: &[&Bin], n: f64, m: f64) -> Chance {
    let scale = 1.0 / n + 1.0 / m;
    let degrees = bins.len() as f64 - 1.0;
    let chi_squared = |scale: f64| {
        let mean = degrees * scale;
        Chance { mean, variance: 2.0 * mean * scale, least: mean }
    };
    match kind {
        Kind::Psi => chi_squared(scale),
        Kind::JensenShannon => chi_squared(scale / (8.0 * LN_2)),
        Kind::TotalVariation => {
            let shares = bins.iter().map(|bin| (bin.shares.0 * n + bin.shares.1 * m) / (n + m));
            let folded =
                shares.map(|share| (FRAC_2_PI * (share * (1.0 - share)).max(0.0) * scale).sqrt() / 2.0);
            Chance { mean: folded.sum(), variance: 0.0, least: 0.0 }
        }
    }
}

/// One of the two samples.
struct Side {
    rows: f64,
    border_error: f64,
    of_current: bool,
}

impl Side {
    fn share_and_slope(&self, bin: &Bin) -> (f64, f64) {
        if self.of_current { (bin.shares.1, bin.slopes.1) } else { (bin.shares.0, bin.slopes.0) }
    }

    /// Mean of the slopes and of their squares, weighted by the shares.
    fn slopes(&self, bins: &[&Bin]) -> (f64, f64) {
        bins.iter().fold((0.0, 0.0), |(mean, square), bin| {
            let (share, slope) = self.share_and_slope(bin);
            (mean + share * slope, square + share * slope * slope)
        })
    }

    fn sampling_variance(&self, bins: &[&Bin]) -> f64 {
        let (mean, square) = self.slopes(bins);
        (square - mean * mean).max(0.0) / self.rows
    }

    /// A share lies between two borders, each off by `border_error`; at worst all of them in the direction that counts.
    fn sketch_variance(&self, bins: &[&Bin]) -> f64 {
        let (mean, _) = self.slopes(bins);
        let reach: f64 = bins.iter().map(|bin| (self.share_and_slope(bin).1 - mean).abs()).sum();
        (2.0 * self.border_error * reach).powi(2)
    }

    /// What errors of the borders add on average although nothing differs: half the second derivative times the square
    /// of the share's error; for total variation, which has none, half the error itself.
    fn sketch_mean(&self, kind: Kind, bins: &[&Bin]) -> f64 {
        let error = 2.0 * self.border_error;
        let of_bin = |bin: &&Bin| match kind {
            Kind::TotalVariation => error / 2.0,
            _ if self.of_current => bin.bends.1 * error * error / 2.0,
            _ => bin.bends.0 * error * error / 2.0,
        };
        bins.iter().map(of_bin).sum()
    }
}
