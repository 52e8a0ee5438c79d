//! Drift: how far a current sample is from a reference, by raw values or by sketches of both.
//!
//! A numeric column is a [`Distribution`], made from values or from a sketch; [`NumericBins`] cut it,
//! [`CategoryBins`] count a categorical one, and both give a [`Histogram`]. Distances of histograms:
//! [`population_stability`], [`jensen_shannon`], [`total_variation`], [`chi_squared`]. Distances of distributions:
//! [`kolmogorov_smirnov`], [`wasserstein`]. Bins come from the reference alone, so that figures of many windows can
//! be compared. [`column_drift`] gives all of them for a stored
//! column. [`benjamini_hochberg`] keeps many p-values honest.
//!
//! What a sketch has forgotten widens the interval; it is never hidden.

mod bins;
mod chi;
mod column;
mod discovery;
mod distribution;
mod divergence;
mod smirnov;
mod wasserstein;

pub use {
    bins::{CategoryBins, Histogram, NumericBins},
    chi::{ChiSquared, chi_squared},
    column::{Bins, ColumnDrift, column_drift},
    discovery::{Discovery, benjamini_hochberg},
    distribution::Distribution,
    divergence::{Divergence, jensen_shannon, population_stability, total_variation},
    smirnov::{KolmogorovSmirnov, kolmogorov_smirnov},
    wasserstein::{Wasserstein, wasserstein},
};

use crate::error::{Result, StatsError};

/// Refuses a sample without a single value.
fn not_empty(what: &'static str, rows: u64, missing: u64) -> Result<()> {
    match rows {
        0 => Err(StatsError::Empty { what, missing }),
        _ => Ok(()),
    }
}
