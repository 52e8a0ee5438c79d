//! The figures that a monitor can tell, by name.

use serde::{Deserialize, Serialize};

/// What a figure is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Each compared column.
    Column,
    /// The column of predictions.
    Prediction,
    /// The labels of the window.
    Labels,
    /// Predictions and labels of the same rows, of a classification.
    Classification,
    /// Predictions and labels of the same rows, of a regression.
    Regression,
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $subject:ident;)+) => {
        /// A figure of a window.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Metric { $($(#[$doc])* $variant,)+ }

        impl Metric {
            /// All there are.
            pub const ALL: &'static [Metric] = &[$(Metric::$variant,)+];

            /// As it is written, in files, tables and series alike.
            pub fn name(self) -> &'static str {
                match self { $(Metric::$variant => $name,)+ }
            }

            /// What it is of.
            pub fn subject(self) -> Subject {
                match self { $(Metric::$variant => Subject::$subject,)+ }
            }
        }
    };
}

metrics! {
    /// Population stability index over bins of the baseline.
    Psi = "psi", Column;
    /// Jensen–Shannon divergence over the same bins, in bits.
    JensenShannon = "jensen_shannon", Column;
    /// Greatest distance of the distribution functions.
    KolmogorovSmirnov = "kolmogorov_smirnov", Column;
    /// Earth mover's distance, in the column's unit.
    Wasserstein = "wasserstein", Column;
    /// Share of missing values less that of the baseline.
    Missing = "missing", Column;
    /// Population stability index of the predictions.
    PredictionShift = "prediction_shift", Prediction;
    /// Population stability index of the labels.
    LabelDrift = "label_drift", Labels;
    /// Share of positive labels less that of the baseline.
    LabelRate = "label_rate", Labels;
    /// Share of rows that were predicted right.
    Accuracy = "accuracy", Classification;
    /// Mean of recall and specificity.
    BalancedAccuracy = "balanced_accuracy", Classification;
    /// Share of true ones among predicted positives.
    Precision = "precision", Classification;
    /// Share of found ones among positives.
    Recall = "recall", Classification;
    /// Harmonic mean of precision and recall.
    F1 = "f1", Classification;
    /// Area under the ROC curve.
    RocAuc = "roc_auc", Classification;
    /// Area under the curve of precision and recall.
    AveragePrecision = "average_precision", Classification;
    /// Mean logarithmic loss.
    LogLoss = "log_loss", Classification;
    /// Mean squared error of the probabilities.
    Brier = "brier", Classification;
    /// Mean absolute error.
    Mae = "mae", Regression;
    /// Root of the mean squared error.
    Rmse = "rmse", Regression;
    /// Share of the labels' variance that is explained.
    R2 = "r2", Regression;
}

impl Metric {
    /// The least and the greatest value that it can have.
    pub fn values(self) -> (f64, f64) {
        match self {
            Self::Psi
            | Self::Wasserstein
            | Self::PredictionShift
            | Self::LabelDrift
            | Self::LogLoss
            | Self::Mae
            | Self::Rmse => (0.0, f64::INFINITY),
            Self::Missing | Self::LabelRate => (-1.0, 1.0),
            Self::R2 => (f64::NEG_INFINITY, 1.0),
            Self::JensenShannon
            | Self::KolmogorovSmirnov
            | Self::Accuracy
            | Self::BalancedAccuracy
            | Self::Precision
            | Self::Recall
            | Self::F1
            | Self::RocAuc
            | Self::AveragePrecision
            | Self::Brier => (0.0, 1.0),
        }
    }

    /// The figure of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|metric| metric.name() == name)
    }

    /// Whether it rests on the rows of one class alone, so that a few of them say little, however many rows there are.
    pub fn is_of_classes(self) -> bool {
        matches!(
            self,
            Self::BalancedAccuracy
                | Self::Precision
                | Self::Recall
                | Self::F1
                | Self::RocAuc
                | Self::AveragePrecision
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Metric;

    #[test]
    fn names_come_back_and_are_those_of_the_stored_form() {
        for &metric in Metric::ALL {
            assert_eq!(Metric::parse(metric.name()), Some(metric));
            assert_eq!(serde_json::to_string(&metric).unwrap(), format!("\"{}\"", metric.name()));
        }
        assert_eq!(Metric::parse("PSI"), None);
    }
}
