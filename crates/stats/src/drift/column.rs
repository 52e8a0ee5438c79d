//! A stored column against a stored column: what a monitor asks for each window.

use serde::{Deserialize, Serialize};

use super::{
    CategoryBins, Distribution, Divergence, Histogram, KolmogorovSmirnov, NumericBins, Wasserstein,
    jensen_shannon, kolmogorov_smirnov, population_stability, wasserstein,
};
use crate::{
    error::{Result, StatsError},
    estimate::{Confidence, Estimate},
    proportion::{Share, difference},
    sketch::ColumnSketch,
};

/// Bins of a column of either kind, made from the reference once and stored beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bins {
    Numeric(NumericBins),
    Categorical(CategoryBins),
}

impl Bins {
    /// Up to `bins` of them, see [`NumericBins::quantiles`] and [`CategoryBins::most_frequent`].
    pub fn of(reference: &ColumnSketch, bins: usize) -> Result<Self> {
        match reference {
            ColumnSketch::Numeric(sketch) => Ok(Self::Numeric(NumericBins::quantiles(&sketch.into(), bins)?)),
            ColumnSketch::Categorical(sketch) => {
                Ok(Self::Categorical(CategoryBins::most_frequent(sketch, bins)?))
            }
        }
    }

    /// Names of the bins, in the order of [`Histogram::counts`].
    pub fn labels(&self) -> Vec<String> {
        match self {
            Self::Numeric(bins) => bins.labels(),
            Self::Categorical(bins) => bins.labels(),
        }
    }

    /// Rows of a column by bin; refused if it is of the other kind.
    pub fn count(&self, column: &ColumnSketch) -> Result<Histogram> {
        match (self, column) {
            (Self::Numeric(bins), ColumnSketch::Numeric(sketch)) => {
                Ok(bins.count(&Distribution::from(sketch)))
            }
            (Self::Categorical(bins), ColumnSketch::Categorical(sketch)) => Ok(bins.count(sketch)),
            _ => Err(StatsError::Incompatible {
                left: "the bins",
                right: "the column",
                why: "one is of numbers and the other of categories",
            }),
        }
    }
}

/// All that is told of a column's drift from sketches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnDrift {
    pub population_stability: Divergence,
    pub jensen_shannon: Divergence,
    /// Of numeric columns.
    pub kolmogorov_smirnov: Option<KolmogorovSmirnov>,
    /// Of numeric columns.
    pub wasserstein: Option<Wasserstein>,
    /// The share of missing values, current less reference.
    pub missing: Estimate,
}

/// Compares a window, or several that were merged, with the reference.
pub fn column_drift(
    reference: &ColumnSketch,
    current: &ColumnSketch,
    bins: &Bins,
    confidence: Confidence,
) -> Result<ColumnDrift> {
    let (own, other) = (bins.count(reference)?, bins.count(current)?);
    let population_stability = population_stability(&own, &other, confidence)?;
    let jensen_shannon = jensen_shannon(&own, &other, confidence)?;
    let (kolmogorov_smirnov, wasserstein) = match (reference, current) {
        (ColumnSketch::Numeric(own), ColumnSketch::Numeric(other)) => {
            let (own, other) = (Distribution::from(own), Distribution::from(other));
            let apart = kolmogorov_smirnov(&own, &other, confidence)?;
            (Some(apart), Some(wasserstein(&own, &other, confidence)?))
        }
        _ => (None, None),
    };
    let share =
        |column: &ColumnSketch| Share::new("share of missing values", column.missing(), column.rows());
    let missing = difference(share(current)?, share(reference)?, confidence);
    Ok(ColumnDrift { population_stability, jensen_shannon, kolmogorov_smirnov, wasserstein, missing })
}
