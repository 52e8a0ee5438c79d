//! Distances between the shares of bins: population stability index, Jensen–Shannon, total variation.
//!
//! A bin that is empty on one side counts as half a row there; one that is empty on both sides is left out. Everything else
//! is the textbook formula, so that figures without empty bins agree with other tools.
//!
//! Intervals: a distance is a function of two multinomial samples, so its variance is that of its gradient (delta
//! method). Where nothing differs the gradient vanishes and the distance still has a mean and a variance from chance alone;
//! both enter (for the index: `n·m/(n + m)` times it is then chi-squared, Yurdakul 2018). So does what a sketch has forgotten.

use std::f64::consts::{FRAC_2_PI, LN_2};

use serde::{Deserialize, Serialize};

use super::{Histogram, not_empty};
use crate::{
    error::{Result, StatsError},
    estimate::{Confidence, Estimate, Method},
    mean,
};

/// A distance of shares with all that is needed to judge it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// `n` and `missing` are those of the current sample. The interval is for the distance of the populations.
    pub estimate: Estimate,
    /// Rows with a value in the reference.
    pub reference_n: u64,
    /// What the distance would be on average if nothing had changed, from the numbers of rows and what sketches have forgotten.
    pub by_chance: f64,
    /// What each bin adds, in the order of [`Histogram::counts`]; the bin of missing values last. They sum to the value.
    pub contributions: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Psi,
    JensenShannon,
    TotalVariation,
}

/// What one bin adds, and how that changes with the shares.
struct Term {
    value: f64,
    slopes: (f64, f64),
    /// Second derivatives.
    bends: (f64, f64),
}

impl Kind {
    /// `p` is the share in the reference, `q` in the current sample; both above 0.
    fn term(self, p: f64, q: f64) -> Term {
        let log = (p / q).ln();
        match self {
            Self::Psi => Term {
                value: (p - q) * log,
                slopes: (log + 1.0 - q / p, -log + 1.0 - p / q),
                bends: (1.0 / p + q / (p * p), 1.0 / q + p / (q * q)),
            },
            Self::JensenShannon => {
                let middle = p.midpoint(q);
                let (from_p, from_q) = ((p / middle).log2() / 2.0, (q / middle).log2() / 2.0);
                let bend = 1.0 / (4.0 * middle * LN_2);
                Term {
                    value: (p * from_p + q * from_q).max(0.0),
                    slopes: (from_p, from_q),
                    bends: (bend * q / p, bend * p / q),
                }
            }
            Self::TotalVariation => {
                let side = if p < q { -0.5 } else { 0.5 };
                Term { value: (p - q).abs() / 2.0, slopes: (side, -side), bends: (0.0, 0.0) }
            }
        }
    }

    fn most(self) -> f64 {
        if self == Self::Psi { f64::INFINITY } else { 1.0 }
    }
}

/// `Σ (p − q) · ln(p / q)`: the population stability index, Jeffreys' divergence. By custom below 0.1 is stable and above
/// 0.2 (some say 0.25) is a shift.
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
    let share = |count: u64, rows: f64| (count as f64).max(0.5) / rows;
    let bins: Vec<Option<(f64, f64, Term)>> = counts
        .iter()
        .map(|&(own, other)| {
            let (p, q) = (share(own, n), share(other, m));
            (own + other > 0).then(|| (p, q, kind.term(p, q)))
        })
        .collect();
    let filled: Vec<&(f64, f64, Term)> = bins.iter().flatten().collect();
    let value: f64 = filled.iter().map(|(.., term)| term.value).sum();
    let sides = [
        Side { rows: n, border_error: reference.share_error, of_current: false },
        Side { rows: m, border_error: current.share_error, of_current: true },
    ];
    let (mut chance, mut variance) = by_chance(kind, &filled, n, m);
    for side in sides {
        variance += side.sampling_variance(&filled) + side.sketch_variance(&filled);
        chance += side.sketch_mean(kind, &filled);
    }
    let bounds = mean::of_distance(value, chance, variance.sqrt(), confidence.z(), kind.most());
    let estimate = Estimate::new(value, bounds, confidence, current.n(), Method::Distance);
    Ok(Divergence {
        estimate: estimate.with_missing(current.missing),
        reference_n: reference.n(),
        by_chance: chance,
        contributions: bins.iter().map(|bin| bin.as_ref().map_or(0.0, |(.., term)| term.value)).collect(),
    })
}

/// Mean and variance of the distance if both samples came from one population.
///
/// For the index they are those of chi-squared with a degree less than there are bins, over `n·m/(n + m)`; Jensen–Shannon
/// is an eighth of it near 0, in bits. For total variation each difference is normal around 0, and folded.
fn by_chance(kind: Kind, bins: &[&(f64, f64, Term)], n: f64, m: f64) -> (f64, f64) {
    let scale = 1.0 / n + 1.0 / m;
    let degrees = bins.len() as f64 - 1.0;
    match kind {
        Kind::Psi => (degrees * scale, 2.0 * degrees * scale * scale),
        Kind::JensenShannon => {
            let eighth = scale / (8.0 * LN_2);
            (degrees * eighth, 2.0 * degrees * eighth * eighth)
        }
        Kind::TotalVariation => {
            let pooled = |p: f64, q: f64| (p * n + q * m) / (n + m);
            let variances = bins.iter().map(|(p, q, _)| pooled(*p, *q) * (1.0 - pooled(*p, *q)) * scale);
            variances.fold((0.0, 0.0), |(mean, variance), of_bin| {
                let of_bin = of_bin.max(0.0);
                (mean + (FRAC_2_PI * of_bin).sqrt() / 2.0, variance + of_bin * (1.0 - FRAC_2_PI) / 4.0)
            })
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
    fn share_and_slope(&self, (p, q, term): &(f64, f64, Term)) -> (f64, f64) {
        if self.of_current { (*q, term.slopes.1) } else { (*p, term.slopes.0) }
    }

    /// Mean of the slopes and of their squares, weighted by the shares.
    fn slopes(&self, bins: &[&(f64, f64, Term)]) -> (f64, f64) {
        bins.iter().fold((0.0, 0.0), |(mean, square), bin| {
            let (share, slope) = self.share_and_slope(bin);
            (mean + share * slope, square + share * slope * slope)
        })
    }

    fn sampling_variance(&self, bins: &[&(f64, f64, Term)]) -> f64 {
        let (mean, square) = self.slopes(bins);
        (square - mean * mean).max(0.0) / self.rows
    }

    /// A share lies between two borders, each off by `border_error`; at worst all of them in the direction that counts.
    fn sketch_variance(&self, bins: &[&(f64, f64, Term)]) -> f64 {
        let (mean, _) = self.slopes(bins);
        let reach: f64 = bins.iter().map(|bin| (self.share_and_slope(bin).1 - mean).abs()).sum();
        (2.0 * self.border_error * reach).powi(2)
    }

    /// What errors of the borders add on average although nothing differs: half the second derivative times the square
    /// of the share's error; for total variation, which has none, half the error itself.
    fn sketch_mean(&self, kind: Kind, bins: &[&(f64, f64, Term)]) -> f64 {
        let error = 2.0 * self.border_error;
        let of_bin = |(.., term): &&(f64, f64, Term)| match kind {
            Kind::TotalVariation => error / 2.0,
            _ if self.of_current => term.bends.1 * error * error / 2.0,
            _ => term.bends.0 * error * error / 2.0,
        };
        bins.iter().map(of_bin).sum()
    }
}
