//! The area under the ROC curve, with DeLong's variance.

use super::BinaryScores;
use crate::{
    error::Result,
    estimate::{Confidence, Estimate, Method},
    sketch::Moments,
};

/// For each positive row the share of negative rows below it, for each negative row the share of positive rows above
/// it, ties counted half. The mean of either is the area.
#[derive(Debug, Clone)]
pub(crate) struct Placements {
    pub positives: Vec<f64>,
    pub negatives: Vec<f64>,
}

impl Placements {
    /// By one sort (Sun and Xu 2014); placements stand in the order of the rows.
    pub(crate) fn new(scores: &BinaryScores) -> Result<Self> {
        scores.check_both_classes("ROC AUC")?;
        let (labels, values) = (scores.labels(), scores.scores());
        let positives = scores.positives() as u64;
        let negatives = labels.len() as u64 - positives;
        let order = scores.by_falling_score();
        let mut placement = vec![0.0; labels.len()];
        let (mut positives_above, mut negatives_above) = (0, 0);
        for tied in order.chunk_by(|&a, &b| values[a as usize] == values[b as usize]) {
            let tied_positives = tied.iter().filter(|&&row| labels[row as usize]).count() as u64;
            let tied_negatives = tied.len() as u64 - tied_positives;
            // In halves, so that the sums are of whole numbers.
            let below = 2 * (negatives - negatives_above - tied_negatives) + tied_negatives;
            let above = 2 * positives_above + tied_positives;
            for &row in tied {
                placement[row as usize] = match labels[row as usize] {
                    true => below as f64 / (2 * negatives) as f64,
                    false => above as f64 / (2 * positives) as f64,
                };
            }
            positives_above += tied_positives;
            negatives_above += tied_negatives;
        }
        let of_class = |class: bool| {
            let rows = labels.iter().zip(&placement);
            rows.filter(|(label, _)| **label == class).map(|(_, &placement)| placement).collect()
        };
        Ok(Self { positives: of_class(true), negatives: of_class(false) })
    }

    pub(crate) fn area(&self) -> f64 {
        self.positives.iter().sum::<f64>() / self.positives.len() as f64
    }

    /// DeLong, DeLong and Clarke-Pearson (1988): the variance of the area, from the placements' own; `None` with a
    /// single row of a class.
    pub(crate) fn variance(&self) -> Option<f64> {
        let part = |placements: &[f64]| {
            let moments: Moments = placements.iter().copied().collect();
            Some(moments.variance()? / placements.len() as f64)
        };
        Some(part(&self.positives)? + part(&self.negatives)?)
    }
}

/// The interval of an area with `positives` and `negatives` rows whose placements do not vary, as when one class is
/// wholly above the other and DeLong's variance is 0: Newcombe's score interval (2006, part 2, method 5), which solves
/// `|area − A| = z · sd(A)` for `A` by the variance of Hanley and McNeil with `N = (positives + negatives) / 2 − 1`.
fn score_bounds(area: f64, positives: usize, negatives: usize, z: f64) -> (f64, f64) {
    let (m, n) = (positives as f64, negatives as f64);
    let mean_rows = f64::midpoint(m, n) - 1.0;
    let deviation = |a: f64| {
        let pairs = 1.0 + mean_rows * ((1.0 - a) / (2.0 - a) + a / (1.0 + a));
        (a * (1.0 - a) * pairs / (m * n)).sqrt()
    };
    let edge = |end: f64| {
        let (mut inside, mut outside) = (area, end);
        for _ in 0..100 {
            let middle = inside.midpoint(outside);
            match (area - middle).abs() <= z * deviation(middle) {
                true => inside = middle,
                false => outside = middle,
            }
        }
        inside
    };
    (edge(0.0), edge(1.0))
}

impl BinaryScores {
    /// The chance that a positive row scores higher than a negative one, ties counted half.
    ///
    /// The interval is DeLong's on the scale of log odds, so that it stays within 0 and 1; where no placement varies,
    /// it is Newcombe's score interval.
    pub fn roc_auc(&self, confidence: Confidence) -> Result<Estimate> {
        let placements = Placements::new(self)?;
        let area = placements.area();
        let variance = placements.variance().unwrap_or(0.0);
        let (bounds, method) = match variance > 0.0 && area > 0.0 && area < 1.0 {
            true => (logit_bounds(area, variance.sqrt(), confidence.z()), Method::DeLong),
            false => {
                let (positives, negatives) = (placements.positives.len(), placements.negatives.len());
                (score_bounds(area, positives, negatives, confidence.z()), Method::ScoreAuc)
            }
        };
        let n = self.labels().len() as u64;
        Ok(Estimate::new(area, bounds, confidence, n, method).with_missing(self.missing()))
    }
}

fn logit_bounds(value: f64, error: f64, z: f64) -> (f64, f64) {
    let odds = (value / (1.0 - value)).ln();
    let reach = z * error / (value * (1.0 - value));
    let unlogit = |x: f64| 1.0 / (1.0 + (-x).exp());
    (unlogit(odds - reach), unlogit(odds + reach))
}
