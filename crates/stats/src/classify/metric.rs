//! The figures of a classifier by name, so that a gate or a report can ask for one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::BinaryScores;
use crate::{
    bootstrap::Resampling,
    error::{Result, StatsError},
    estimate::{Confidence, Estimate},
};

/// A figure of a classifier of two classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Metric {
    Accuracy,
    BalancedAccuracy,
    Precision,
    Recall,
    Specificity,
    /// F score with this weight of recall; `f1` by name, or `f2`, `f0.5`.
    FBeta(f64),
    Mcc,
    LogLoss,
    Brier,
    RocAuc,
    AveragePrecision,
    CalibrationError,
}

const NAMED: [(&str, Metric); 12] = [
    ("accuracy", Metric::Accuracy),
    ("balanced_accuracy", Metric::BalancedAccuracy),
    ("precision", Metric::Precision),
    ("recall", Metric::Recall),
    ("specificity", Metric::Specificity),
    ("f1", Metric::FBeta(1.0)),
    ("mcc", Metric::Mcc),
    ("log_loss", Metric::LogLoss),
    ("brier", Metric::Brier),
    ("roc_auc", Metric::RocAuc),
    ("average_precision", Metric::AveragePrecision),
    ("calibration_error", Metric::CalibrationError),
];

impl Metric {
    /// Whether more is better; the three losses and the calibration error are better when smaller.
    pub fn greater_is_better(self) -> bool {
        !matches!(self, Self::LogLoss | Self::Brier | Self::CalibrationError)
    }

    /// Whether scores must be probabilities.
    pub fn needs_probabilities(self) -> bool {
        !self.greater_is_better()
    }

    /// Whether it judges decisions, and so depends on the threshold.
    pub fn needs_threshold(self) -> bool {
        let decides = |metric| !matches!(metric, Self::RocAuc | Self::AveragePrecision);
        self.greater_is_better() && decides(self)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (NAMED.iter().find(|(_, metric)| metric == self), self) {
            (Some((name, _)), _) => f.write_str(name),
            (None, Self::FBeta(beta)) => write!(f, "f{beta}"),
            (None, other) => write!(f, "{other:?}"),
        }
    }
}

impl FromStr for Metric {
    type Err = StatsError;

    fn from_str(name: &str) -> Result<Self> {
        if let Some((_, metric)) = NAMED.iter().find(|(known, _)| *known == name) {
            return Ok(*metric);
        }
        let beta = name.strip_prefix('f').and_then(|beta| beta.parse::<f64>().ok());
        match beta.filter(|beta| beta.is_finite() && *beta > 0.0) {
            Some(beta) => Ok(Self::FBeta(beta)),
            None => {
                let known = NAMED.map(|(known, _)| known).join(", ");
                Err(StatsError::UnknownName { name: name.to_owned(), known })
            }
        }
    }
}

impl TryFrom<String> for Metric {
    type Error = StatsError;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.to_string()
    }
}

/// What a figure is computed with besides the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    pub confidence: Confidence,
    /// Rows that score at least this are predicted positive.
    pub threshold: f64,
    /// Bins of the calibration error.
    pub bins: usize,
    pub resampling: Resampling,
}

impl Default for Options {
    fn default() -> Self {
        Self { confidence: Confidence::P95, threshold: 0.5, bins: 10, resampling: Resampling::default() }
    }
}

impl BinaryScores {
    /// The figure of that name.
    pub fn evaluate(&self, metric: Metric, options: &Options) -> Result<Estimate> {
        let confidence = options.confidence;
        let decisions = || self.at_threshold(options.threshold);
        match metric {
            Metric::Accuracy => decisions()?.accuracy(confidence),
            Metric::BalancedAccuracy => decisions()?.balanced_accuracy(confidence),
            Metric::Precision => decisions()?.precision(confidence),
            Metric::Recall => decisions()?.recall(confidence),
            Metric::Specificity => decisions()?.specificity(confidence),
            Metric::FBeta(beta) => decisions()?.f_beta(beta, confidence),
            Metric::Mcc => decisions()?.mcc(confidence),
            Metric::LogLoss => self.log_loss(confidence),
            Metric::Brier => self.brier(confidence),
            Metric::RocAuc => self.roc_auc(confidence),
            Metric::AveragePrecision => self.average_precision(confidence, &options.resampling),
            Metric::CalibrationError => self.calibration_error(options.bins, confidence),
        }
    }
}
