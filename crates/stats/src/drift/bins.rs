//! Bins, made from the reference alone, and how many rows fall into each.

use serde::{Deserialize, Serialize};

use super::{Distribution, not_empty};
use crate::{
    error::{Result, StatsError, finite},
    sketch::CategorySketch,
};

const BINS_MAX: usize = 1_000;

fn check_bins(bins: usize) -> Result<()> {
    match bins {
        2..=BINS_MAX => Ok(()),
        _ => {
            let (value, expected) = (bins as f64, "from 2 to 1,000");
            Err(StatsError::OutOfRange { what: "bins", value, row: None, expected })
        }
    }
}

/// Rows by bin. Rows without a value have a bin of their own, which counts where either side has any.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The last bin of a categorical column is `other`.
    pub counts: Vec<u64>,
    pub missing: u64,
    /// How far each border between bins may be off, as a share of the rows with a value: one standard deviation for
    /// numbers, the most for categories; 0 where nothing was forgotten.
    pub share_error: f64,
}

impl Histogram {
    /// Rows with a value.
    pub fn n(&self) -> u64 {
        self.counts.iter().fold(0, |rows, count| rows.saturating_add(*count))
    }
}

/// Intervals of numbers: `(−∞, e₀], (e₀, e₁], …, (eₗ, ∞)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct NumericBins {
    edges: Vec<f64>,
}

impl NumericBins {
    /// Up to `bins` bins with about as many rows of the reference each. A value that alone fills a bin gets one of its
    /// own, with a border right below it, so that what moves away from it to either side is seen; there can then be
    /// more bins than were asked for.
    pub fn quantiles(reference: &Distribution, bins: usize) -> Result<Self> {
        check_bins(bins)?;
        not_empty("the reference", reference.n(), reference.missing().total())?;
        let (low, high) = reference.range();
        let mut edges: Vec<f64> = Vec::with_capacity(bins);
        let cuts = (1..bins).filter_map(|cut| reference.quantile(cut as f64 / bins as f64));
        for cut in cuts.chain((low == high).then_some(low)) {
            match edges.last() {
                Some(last) if *last == cut => {
                    let below = cut.next_down();
                    let at = edges.len() - 1;
                    let there = at.checked_sub(1).is_some_and(|before| edges[before] == below);
                    if !there && below.is_finite() {
                        edges.insert(at, below);
                    }
                }
                _ => edges.push(cut),
            }
        }
        Ok(Self { edges })
    }

    /// Bins with these borders, which must ascend.
    pub fn with_edges(edges: Vec<f64>) -> Result<Self> {
        let bins = edges.len() + 1;
        check_bins(bins)?;
        for pair in edges.windows(2) {
            if pair[0] >= pair[1] {
                let (value, expected) = (pair[1], "greater than the border before it");
                return Err(StatsError::OutOfRange { what: "border of bins", value, row: None, expected });
            }
        }
        for edge in &edges {
            finite("border of bins", *edge)?;
        }
        Ok(Self { edges })
    }

    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// Names of the bins, in the order of [`Histogram::counts`].
    pub fn labels(&self) -> Vec<String> {
        let mut labels = Vec::with_capacity(self.edges.len() + 1);
        let mut from = String::from("(−∞");
        for edge in &self.edges {
            labels.push(format!("{from}, {edge}]"));
            from = format!("({edge}");
        }
        labels.push(format!("{from}, ∞)"));
        labels
    }

    /// Rows of a sample by bin.
    pub fn count(&self, sample: &Distribution) -> Histogram {
        let upper = self.edges.iter().map(|edge| sample.rows_up_to(*edge)).chain([sample.n()]);
        let counts = upper.scan(0, |before, rows| Some(rows - std::mem::replace(before, rows)));
        let missing = sample.missing().total();
        Histogram { counts: counts.collect(), missing, share_error: sample.rank_deviation() }
    }
}

impl TryFrom<Vec<f64>> for NumericBins {
    type Error = StatsError;

    fn try_from(edges: Vec<f64>) -> Result<Self> {
        Self::with_edges(edges)
    }
}

impl From<NumericBins> for Vec<f64> {
    fn from(bins: NumericBins) -> Self {
        bins.edges
    }
}

/// The most frequent categories of the reference; all others share a bin named `other`, the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryBins {
    names: Vec<String>,
}

impl CategoryBins {
    /// Up to `bins` bins, `other` among them: as many categories as that leaves, by falling count.
    pub fn most_frequent(reference: &CategorySketch, bins: usize) -> Result<Self> {
        check_bins(bins)?;
        not_empty("the reference", reference.count(), reference.absent())?;
        let frequent = reference.most_frequent().into_iter().take(bins - 1);
        Ok(Self { names: frequent.map(|(name, _)| name.to_owned()).collect() })
    }

    /// Names of the bins, in the order of [`Histogram::counts`].
    pub fn labels(&self) -> Vec<String> {
        self.names.iter().cloned().chain(["other".to_owned()]).collect()
    }

    /// Rows of a sample by bin.
    pub fn count(&self, sample: &CategorySketch) -> Histogram {
        let mut counts: Vec<u64> = self.names.iter().map(|name| sample.count_of(name)).collect();
        counts.push(sample.count().saturating_sub(counts.iter().sum()));
        let share_error = sample.undercount_max() as f64 / sample.count().max(1) as f64;
        Histogram { counts, missing: sample.absent(), share_error }
    }
}
