//! Average precision.

use super::BinaryScores;
use crate::{
    bootstrap::Resampling,
    error::Result,
    estimate::{Confidence, Estimate, Method},
    proportion::wilson,
};

/// Rows in the order of falling score: what average precision is computed from, again and again with other weights.
#[derive(Debug, Clone)]
pub(crate) struct Ranking {
    rows: Vec<Ranked>,
}

#[derive(Debug, Clone, Copy)]
struct Ranked {
    row: u32,
    positive: bool,
    /// The next row has a lower score.
    ends_tie: bool,
}

impl Ranking {
    pub(crate) fn new(scores: &BinaryScores) -> Self {
        let (order, values, labels) = (scores.by_falling_score(), scores.scores(), scores.labels());
        let value = |row: &u32| values[*row as usize];
        let rows = order.iter().enumerate().map(|(at, row)| Ranked {
            row: *row,
            positive: labels[*row as usize],
            ends_tie: order.get(at + 1).is_none_or(|next| value(next) != value(row)),
        });
        Self { rows: rows.collect() }
    }

    /// `Σ (Rₖ − Rₖ₋₁) · Pₖ` over the distinct scores from the highest, where P and R are precision and recall of taking
    /// all rows down to that score: scikit-learn's `average_precision_score`. `None` without positive weight.
    pub(crate) fn average_precision(&self, weight: impl Fn(usize) -> u64) -> Option<f64> {
        let (mut found, mut taken, mut found_before, mut sum) = (0_u64, 0_u64, 0_u64, 0.0);
        for ranked in &self.rows {
            let weight = weight(ranked.row as usize);
            taken += weight;
            found += if ranked.positive { weight } else { 0 };
            if ranked.ends_tie && found > found_before {
                sum += (found - found_before) as f64 * found as f64 / taken as f64;
                found_before = found;
            }
        }
        (found > 0).then(|| sum / found as f64)
    }
}

impl BinaryScores {
    /// Average precision, as scikit-learn defines it: the mean over the positive rows of the precision at their score.
    ///
    /// The interval is a percentile bootstrap. Where all positive rows are above all negative ones every resample has 1
    /// too; the lower limit is then Wilson's for as many hits as there are positive rows.
    pub fn average_precision(&self, confidence: Confidence, resampling: &Resampling) -> Result<Estimate> {
        self.check_both_classes("average precision")?;
        let ranking = Ranking::new(self);
        let n = self.labels().len();
        let statistic = |weights: &[u8]| ranking.average_precision(|row| u64::from(weights[row]));
        let estimate = match ranking.average_precision(|_| 1) {
            Some(1.0) => {
                let bounds = wilson(1.0, self.positives() as f64, confidence.z());
                Estimate::new(1.0, bounds, confidence, n as u64, Method::Wilson)
            }
            _ => resampling.estimate("average precision", n, confidence, statistic)?,
        };
        Ok(estimate.with_missing(self.missing()))
    }
}
