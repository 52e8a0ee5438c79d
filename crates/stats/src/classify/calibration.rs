//! Whether predicted probabilities are what happens.

use std::f64::consts::FRAC_2_PI;

use serde::{Deserialize, Serialize};

use super::BinaryScores;
use crate::{
    error::{Result, StatsError},
    estimate::{Confidence, Estimate, Method},
    mean,
    proportion::Share,
};

/// Rows whose predicted probability falls into `[low, high)`; the last bin includes 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    pub low: f64,
    pub high: f64,
    /// Mean of the predicted probabilities.
    pub predicted: f64,
    /// Share of positive rows.
    pub observed: Estimate,
}

/// Sums over the rows of one bin.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    n: u64,
    positives: u64,
    predicted: f64,
    /// `Σ p(1 − p)`: the variance of the number of positives if the probabilities are right.
    variance: f64,
}

impl Sums {
    fn gap(&self) -> f64 {
        self.positives as f64 - self.predicted
    }
}

const BINS_MAX: usize = 1_000;

fn sums(scores: &BinaryScores, bins: usize) -> Result<Vec<Sums>> {
    check(scores, bins)?;
    Ok(weighted_sums(scores, bins, |_| 1))
}

pub(crate) fn check(scores: &BinaryScores, bins: usize) -> Result<()> {
    if !(1..=BINS_MAX).contains(&bins) {
        let expected = "from 1 to 1,000";
        return Err(StatsError::OutOfRange { what: "bins", value: bins as f64, row: None, expected });
    }
    scores.check_probabilities()
}

fn weighted_sums(scores: &BinaryScores, bins: usize, weight: impl Fn(usize) -> u64) -> Vec<Sums> {
    let mut sums = vec![Sums::default(); bins];
    for (row, (&label, &p)) in scores.labels().iter().zip(scores.scores()).enumerate() {
        let (bin, weight) = (&mut sums[bin_of(p, bins)], weight(row));
        bin.n += weight;
        bin.positives += if label { weight } else { 0 };
        bin.predicted += weight as f64 * p;
        bin.variance += weight as f64 * p * (1.0 - p);
    }
    sums
}

/// The calibration error of weighted rows; `None` without weight. The caller has checked the scores and `bins`.
pub(crate) fn weighted_error(
    scores: &BinaryScores,
    bins: usize,
    weight: impl Fn(usize) -> u64,
) -> Option<f64> {
    let sums = weighted_sums(scores, bins, weight);
    let n: u64 = sums.iter().map(|bin| bin.n).sum();
    (n > 0).then(|| sums.iter().map(|bin| bin.gap().abs()).sum::<f64>() / n as f64)
}

fn bin_of(p: f64, bins: usize) -> usize {
    ((p * bins as f64) as usize).min(bins - 1)
}

/// The reliability diagram: bins of equal width from 0 to 1, those without rows left out.
pub fn reliability(
    scores: &BinaryScores,
    bins: usize,
    confidence: Confidence,
) -> Result<Vec<CalibrationBin>> {
    let width = 1.0 / bins.max(1) as f64;
    let filled = sums(scores, bins)?.into_iter().enumerate().filter(|(_, bin)| bin.n > 0);
    filled
        .map(|(at, bin)| {
            Ok(CalibrationBin {
                low: at as f64 * width,
                high: (at + 1) as f64 * width,
                predicted: bin.predicted / bin.n as f64,
                observed: Share::new("observed share", bin.positives, bin.n)?.estimate(confidence),
            })
        })
        .collect()
}

impl BinaryScores {
    /// Expected calibration error (Naeini, Cooper, Hauskrecht 2015): over bins of equal width, the mean distance
    /// between predicted and observed share, weighted by rows.
    ///
    /// A well calibrated model has a value above 0 by chance alone; the lower limit takes that off.
    pub fn calibration_error(&self, bins: usize, confidence: Confidence) -> Result<Estimate> {
        let sums = sums(self, bins)?;
        let n = self.labels().len() as f64;
        let value = sums.iter().map(|bin| bin.gap().abs()).sum::<f64>() / n;
        let chance = sums.iter().map(|bin| (FRAC_2_PI * bin.variance).sqrt()).sum::<f64>() / n;
        let rows = self.labels().iter().zip(self.scores());
        let signed = rows.map(|(&label, &p)| {
            let gap = f64::from(u8::from(label)) - p;
            if sums[bin_of(p, bins)].gap() < 0.0 { -gap } else { gap }
        });
        let spread = mean::estimate(signed, confidence);
        let bounds = mean::of_distance(
            value,
            (0.0, chance),
            (spread.high - spread.value) / confidence.z(),
            confidence.z(),
            1.0,
        );
        let estimate = Estimate::new(value, bounds, confidence, self.labels().len() as u64, Method::Distance);
        Ok(estimate.with_missing(self.missing()))
    }

    /// Share of positive rows less the mean predicted probability: calibration in the large, with Student's interval.
    /// Above 0 the model predicts too little.
    pub fn calibration_bias(&self, confidence: Confidence) -> Result<Estimate> {
        self.check_probabilities()?;
        let rows = self.labels().iter().zip(self.scores());
        let gaps = rows.map(|(&label, &p)| f64::from(u8::from(label)) - p);
        Ok(mean::estimate(gaps, confidence).with_missing(self.missing()))
    }
}
