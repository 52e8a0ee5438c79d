//! How a numeric column is distributed, as far as that is known.

use crate::{estimate::Confidence, order::nearest_rank, sketch::NumericSketch, values::Missing};

/// Distinct values ascending, with the number of rows up to each: exact from raw values, within the sketch's error from
/// a sketch.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    values: Vec<f64>,
    /// Rows with at most the value at the same position.
    cumulative: Vec<u64>,
    missing: Missing,
    /// Extremes of all rows, also of those that a sketch has forgotten.
    range: (f64, f64),
    rank_deviation: f64,
}

impl Distribution {
    /// Of values as `f64` or `Option<f64>`; what is missing is counted apart.
    pub fn new<V: Copy + Into<Option<f64>>>(values: &[V]) -> Self {
        let mut missing = Missing::default();
        let mut kept: Vec<f64> = values.iter().filter_map(|&value| missing.sift(value.into())).collect();
        kept.sort_unstable_by(f64::total_cmp);
        Self::from_sorted(kept.into_iter().map(|value| (value, 1)), missing)
    }

    fn from_sorted(weighted: impl IntoIterator<Item = (f64, u64)>, missing: Missing) -> Self {
        let (mut values, mut cumulative): (Vec<f64>, Vec<u64>) = (Vec::new(), Vec::new());
        let mut rows = 0;
        for (value, weight) in weighted {
            rows += weight;
            match (values.last(), cumulative.last_mut()) {
                (Some(last), Some(total)) if *last == value => *total = rows,
                _ => {
                    values.push(value);
                    cumulative.push(rows);
                }
            }
        }
        let range = (values.first().copied().unwrap_or(0.0), values.last().copied().unwrap_or(0.0));
        Self { values, cumulative, missing, range, rank_deviation: 0.0 }
    }

    /// Rows with a value.
    pub fn n(&self) -> u64 {
        self.cumulative.last().copied().unwrap_or(0)
    }

    pub fn missing(&self) -> &Missing {
        &self.missing
    }

    /// Whether every rank is what it says.
    pub fn is_exact(&self) -> bool {
        self.rank_deviation == 0.0
    }

    /// One standard deviation of the error of a rank, at most, as a share of the rows.
    pub fn rank_deviation(&self) -> f64 {
        self.rank_deviation
    }

    /// How far the share of rows up to a value may be off, for all values at once, with that confidence.
    ///
    /// A rank is off by more than `σ·√(2·ln(2/δ))` with chance `δ` (Hoeffding). On a grid of `1/σ` quantiles all
    /// ranks hold with `δ·σ` each, and between two of them nothing can move by more than the step, `σ`.
    pub fn share_error(&self, confidence: Confidence) -> f64 {
        let deviation = self.rank_deviation;
        if deviation == 0.0 {
            return 0.0;
        }
        let tail = 2.0 * confidence.tail() * deviation.min(1.0);
        (deviation * ((2.0 * (2.0 / tail).ln()).sqrt() + 1.0)).min(1.0)
    }

    /// Rows with at most that value.
    pub fn rows_up_to(&self, value: f64) -> u64 {
        let above = self.values.partition_point(|known| *known <= value);
        above.checked_sub(1).and_then(|last| self.cumulative.get(last)).copied().unwrap_or(0)
    }

    /// The smallest value that at least a share `q` of the rows do not exceed; `None` without rows or outside of 0 to
    /// 1.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if !(0.0..=1.0).contains(&q) || self.values.is_empty() {
            return None;
        }
        let rank = nearest_rank(self.n(), q);
        self.values.get(self.cumulative.partition_point(|rows| *rows < rank)).copied()
    }

    /// Mean and standard deviation (divided by `n`) of the values as they are kept.
    pub(super) fn spread(&self) -> (f64, f64) {
        let n = self.n() as f64;
        let origin = self.quantile(0.5).unwrap_or(0.0);
        let (mut sum, mut squares, mut before) = (0.0, 0.0, 0);
        for (value, rows) in self.values.iter().zip(&self.cumulative) {
            let (weight, apart) = ((rows - before) as f64, value - origin);
            sum += weight * apart;
            squares += weight * apart * apart;
            before = *rows;
        }
        let mean = sum / n;
        (origin + mean, (squares / n - mean * mean).max(0.0).sqrt())
    }

    pub(super) fn range(&self) -> (f64, f64) {
        self.range
    }

    /// Both distribution functions between each two neighbouring values of either: `(from, to, own, other's)`, where
    /// shares are those at and after `from`. The last step, after the greatest value, has no end and is left out.
    pub(super) fn steps<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Step> + 'a {
        let (mut i, mut j) = (0, 0);
        let next = |i: usize, j: usize| match (self.values.get(i), other.values.get(j)) {
            (Some(a), Some(b)) => Some(a.min(*b)),
            (a, b) => a.or(b).copied(),
        };
        let rows = |cumulative: &[u64], at: usize| if at == 0 { 0 } else { cumulative[at - 1] };
        std::iter::from_fn(move || {
            let from = next(i, j)?;
            i += usize::from(self.values.get(i) == Some(&from));
            j += usize::from(other.values.get(j) == Some(&from));
            let to = next(i, j);
            Some(Step { from, to, rows: rows(&self.cumulative, i), other_rows: rows(&other.cumulative, j) })
        })
    }
}

/// From one value to the next, `None` after the last: rows up to there in both distributions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub from: f64,
    pub to: Option<f64>,
    pub rows: u64,
    pub other_rows: u64,
}

impl From<&NumericSketch> for Distribution {
    fn from(sketch: &NumericSketch) -> Self {
        let quantiles = sketch.quantiles();
        let mut known = Self::from_sorted(quantiles.weighted(), *sketch.missing());
        known.rank_deviation = quantiles.rank_deviation();
        if let (Some(min), Some(max)) = (quantiles.min(), quantiles.max()) {
            known.range = (min, max);
        }
        known
    }
}
