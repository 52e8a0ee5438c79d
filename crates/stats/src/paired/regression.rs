//! Regressions, compared.

use crate::{
    bootstrap::Resampling,
    error::{Result, StatsError, same_length},
    estimate::{Confidence, Estimate},
    mean,
    regress::{Metric, Predictions},
    values::usable,
};

/// What two models predicted for the same rows.
#[derive(Debug, Clone, PartialEq)]
pub struct PairedPredictions {
    champion: Predictions,
    candidate: Predictions,
}

impl PairedPredictions {
    /// Columns of `f64` or `Option<f64>`; a row with any value missing is counted and left out. In which order rows come
    /// makes no difference.
    pub fn new<A, S, T>(actual: &[A], champion: &[S], candidate: &[T]) -> Result<Self>
    where
        A: Copy + Into<Option<f64>>,
        S: Copy + Into<Option<f64>>,
        T: Copy + Into<Option<f64>>,
    {
        same_length(("actual values", actual.len()), ("champion's predictions", champion.len()))?;
        same_length(("actual values", actual.len()), ("candidate's predictions", candidate.len()))?;
        let mut kept = Vec::with_capacity(actual.len());
        for ((&actual, &champion), &candidate) in actual.iter().zip(champion).zip(candidate) {
            let values = (usable(actual.into()), usable(champion.into()), usable(candidate.into()));
            if let (Some(actual), Some(champion), Some(candidate)) = values {
                kept.push((actual, champion, candidate));
            }
        }
        let missing = (actual.len() - kept.len()) as u64;
        if kept.is_empty() {
            return Err(StatsError::Empty { what: "the comparison", missing });
        }
        // A resample goes by where a row stands: the same rows in another order are to have the same interval.
        kept.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2)));
        let truth: Vec<f64> = kept.iter().map(|kept| kept.0).collect();
        let (first, second) = kept.iter().map(|kept| (kept.1, kept.2)).unzip();
        Ok(Self {
            champion: Predictions::sifted(truth.clone(), first, missing),
            candidate: Predictions::sifted(truth, second, missing),
        })
    }

    pub fn champion(&self) -> &Predictions {
        &self.champion
    }

    pub fn candidate(&self) -> &Predictions {
        &self.candidate
    }

    /// The metric of the candidate less that of the champion: Student's interval on differences a row for MAE and MAPE,
    /// the bootstrap for the others.
    pub fn compare(
        &self,
        metric: Metric,
        confidence: Confidence,
        resampling: &Resampling,
    ) -> Result<Estimate> {
        let (first, second) = (&self.champion, &self.candidate);
        let delta = match metric {
            Metric::Mae => {
                let rows = second.absolute_errors().zip(first.absolute_errors());
                mean::estimate(rows.map(|(second, first)| second - first), confidence)
            }
            Metric::Mape => {
                let rows = second.relative_errors()?.zip(first.relative_errors()?);
                mean::estimate(rows.map(|(second, first)| second - first), confidence)
            }
            Metric::Rmse | Metric::R2 | Metric::MedianAbsoluteError => {
                self.bootstrap(metric, confidence, resampling)?
            }
        };
        delta.with_missing(self.champion.missing()).finite("difference of two regressions")
    }

    fn bootstrap(&self, metric: Metric, confidence: Confidence, resampling: &Resampling) -> Result<Estimate> {
        let (first, second) = (&self.champion, &self.candidate);
        let n = first.n();
        match metric {
            Metric::MedianAbsoluteError => {
                let (first, second) = (Sorted::new(first), Sorted::new(second));
                resampling.estimate("difference of median absolute error", n, confidence, |weights| {
                    Some(second.median(weights)? - first.median(weights)?)
                })
            }
            _ => {
                let rows: Vec<Squares> = self.squares();
                resampling.estimate("difference of squared error", n, confidence, |weights| {
                    Sums::of(&rows, weights).difference(metric)
                })
            }
        }
    }

    /// Actual values are taken from their first one, so that their squares keep their digits.
    fn squares(&self) -> Vec<Squares> {
        let origin = self.champion.actual()[0];
        let errors = self.champion.squared_errors().zip(self.candidate.squared_errors());
        let rows = self.champion.actual().iter().zip(errors);
        rows.map(|(actual, (champion, candidate))| Squares { actual: actual - origin, champion, candidate })
            .collect()
    }
}

/// A row: its actual value, and the squared errors of both models.
#[derive(Debug, Clone, Copy)]
struct Squares {
    actual: f64,
    champion: f64,
    candidate: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    weight: f64,
    actual: f64,
    actual_squared: f64,
    champion: f64,
    candidate: f64,
}

impl Sums {
    fn of(rows: &[Squares], weights: &[u8]) -> Self {
        let mut sums = Self::default();
        for (row, &weight) in rows.iter().zip(weights) {
            let weight = f64::from(weight);
            sums.weight += weight;
            sums.actual += weight * row.actual;
            sums.actual_squared += weight * row.actual * row.actual;
            sums.champion += weight * row.champion;
            sums.candidate += weight * row.candidate;
        }
        sums
    }

    /// Of root mean squared error, or of R², whose total sum of squares both models share.
    fn difference(&self, metric: Metric) -> Option<f64> {
        if self.weight == 0.0 {
            return None;
        }
        if metric == Metric::Rmse {
            return Some((self.candidate / self.weight).sqrt() - (self.champion / self.weight).sqrt());
        }
        let total = self.actual_squared - self.actual * self.actual / self.weight;
        (total > 0.0).then(|| (self.champion - self.candidate) / total)
    }
}

/// Absolute errors ascending, each with its row.
struct Sorted(Vec<(f64, u32)>);

impl Sorted {
    fn new(predictions: &Predictions) -> Self {
        let mut errors: Vec<(f64, u32)> = predictions.absolute_errors().zip(0..).collect();
        errors.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        Self(errors)
    }

    /// The mean of the two values between which half of the weight lies, or the one value that holds it.
    fn median(&self, weights: &[u8]) -> Option<f64> {
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let at = |rank: u64| {
            let mut seen = 0;
            self.0.iter().find_map(|&(error, row)| {
                seen += u64::from(weights[row as usize]);
                (seen > rank).then_some(error)
            })
        };
        Some(at(total.checked_sub(1)? / 2)?.midpoint(at(total / 2)?))
    }
}
