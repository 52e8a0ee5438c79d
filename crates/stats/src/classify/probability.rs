//! Losses of scores that are probabilities.

use super::BinaryScores;
use crate::{
    error::Result,
    estimate::{Confidence, Estimate},
    mean,
};

/// Probabilities are moved this far away from 0 and 1 before their logarithm is taken, as scikit-learn does for
/// doubles.
const CLIP: f64 = f64::EPSILON;

impl BinaryScores {
    /// Mean of `−ln p(truth)`, with Student's interval. A certain and wrong prediction costs `−ln ε ≈ 36.04`.
    pub fn log_loss(&self, confidence: Confidence) -> Result<Estimate> {
        Ok(mean::of_losses(self.log_losses()?, -CLIP.ln(), confidence).with_missing(self.missing()))
    }

    /// Mean of `(p − truth)²`, with Student's interval.
    pub fn brier(&self, confidence: Confidence) -> Result<Estimate> {
        Ok(mean::of_losses(self.squared_losses()?, 1.0, confidence).with_missing(self.missing()))
    }

    pub(crate) fn log_losses(&self) -> Result<impl Iterator<Item = f64>> {
        self.check_probabilities()?;
        let of_truth = |(&label, &p): (&bool, &f64)| if label { p } else { 1.0 - p };
        let rows = self.labels().iter().zip(self.scores());
        Ok(rows.map(move |row| -of_truth(row).clamp(CLIP, 1.0 - CLIP).ln()))
    }

    pub(crate) fn squared_losses(&self) -> Result<impl Iterator<Item = f64>> {
        self.check_probabilities()?;
        let rows = self.labels().iter().zip(self.scores());
        Ok(rows.map(|(&label, &p)| (p - f64::from(u8::from(label))).powi(2)))
    }
}
