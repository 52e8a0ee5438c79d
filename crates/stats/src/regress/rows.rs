//! Rows with an actual and a predicted number.

use super::Metric;
use crate::{
    error::{Result, StatsError},
    estimate::{Confidence, Estimate, Method},
    mean, order,
    sketch::Moments,
    values::paired_rows,
};

/// What a model predicted for rows whose outcome is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    actual: Vec<f64>,
    predicted: Vec<f64>,
    missing: u64,
}

impl Predictions {
    /// Columns of `f64` or `Option<f64>`; a row with a value missing on either side is counted and left out.
    pub fn new<A, P>(actual: &[A], predicted: &[P]) -> Result<Self>
    where
        A: Copy + Into<Option<f64>>,
        P: Copy + Into<Option<f64>>,
    {
        let (actual, predicted, missing) =
            paired_rows(("actual values", actual), ("predictions", predicted))?;
        Ok(Self { actual, predicted, missing })
    }

    pub(crate) fn sifted(actual: Vec<f64>, predicted: Vec<f64>, missing: u64) -> Self {
        Self { actual, predicted, missing }
    }

    pub fn n(&self) -> usize {
        self.actual.len()
    }

    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The figure of that name.
    pub fn evaluate(&self, metric: Metric, confidence: Confidence) -> Result<Estimate> {
        match metric {
            Metric::Mae => self.mae(confidence),
            Metric::Rmse => self.rmse(confidence),
            Metric::Mape => self.mape(confidence),
            Metric::R2 => self.r2(confidence),
            Metric::MedianAbsoluteError => self.median_absolute_error(confidence),
        }
    }

    /// Mean absolute error, with Student's interval; that has no width where all rows err alike.
    pub fn mae(&self, confidence: Confidence) -> Result<Estimate> {
        self.finish(not_negative(mean::estimate(self.absolute_errors(), confidence)), "mean absolute error")
    }

    /// Root of the mean squared error. The interval is that of the mean square on the scale of its logarithm.
    pub fn rmse(&self, confidence: Confidence) -> Result<Estimate> {
        let squares = mean::estimate(self.squared_errors(), confidence);
        let deviation = (squares.high - squares.value) / confidence.z();
        let (low, high) = mean::on_log_scale(squares.value, deviation, confidence.z());
        let bounds = (low.sqrt(), high.sqrt());
        let estimate = Estimate::new(squares.value.sqrt(), bounds, confidence, squares.n, Method::Log);
        self.finish(estimate, "root mean squared error")
    }

    fn finish(&self, estimate: Estimate, figure: &'static str) -> Result<Estimate> {
        estimate.with_missing(self.missing).finite(figure)
    }

    /// Mean of `|predicted − actual| / |actual|`, a share and not a percentage, with Student's interval.
    ///
    /// Refused where an actual value is 0, as the share is then infinite. It weighs errors of small actual values
    /// most, and prefers models that predict too little; MAE or RMSE say more wherever actual values come near 0.
    pub fn mape(&self, confidence: Confidence) -> Result<Estimate> {
        let shares = self.relative_errors()?;
        self.finish(not_negative(mean::estimate(shares, confidence)), "MAPE")
    }

    /// `1 − Σ(actual − predicted)² / Σ(actual − mean)²`: 0 for a model that predicts the mean, below for a worse one.
    ///
    /// Delta method for a ratio of means; what the mean's own error adds is of second order.
    pub fn r2(&self, confidence: Confidence) -> Result<Estimate> {
        let total = self.spread()?;
        let (n, mean) = (total.count() as f64, total.mean().unwrap_or(0.0));
        let variance = total.variance().unwrap_or(0.0) * (n - 1.0) / n;
        let unexplained = self.squared_errors().sum::<f64>() / n / variance;
        let rows = self.actual.iter().zip(self.squared_errors());
        let influence: Moments =
            rows.map(|(actual, error)| (error - unexplained * (actual - mean).powi(2)) / variance).collect();
        let reach = confidence.z() * influence.standard_error().unwrap_or(f64::INFINITY);
        let value = 1.0 - unexplained;
        let bounds = (value - reach, (value + reach).min(1.0));
        self.finish(Estimate::new(value, bounds, confidence, self.n() as u64, Method::Delta), "R²")
    }

    /// Median absolute error (the mean of the middle two of an even number), between order statistics.
    pub fn median_absolute_error(&self, confidence: Confidence) -> Result<Estimate> {
        let mut errors: Vec<f64> = self.absolute_errors().collect();
        errors.sort_unstable_by(f64::total_cmp);
        let estimate = order::quantile(&errors, 0.5, confidence)?;
        let median = errors[(errors.len() - 1) / 2].midpoint(errors[errors.len() / 2]);
        let bounds = (estimate.low.max(0.0), estimate.high);
        let estimate = Estimate::new(median, bounds, confidence, estimate.n, Method::OrderStatistics);
        self.finish(estimate, "median absolute error")
    }

    /// Moments of the actual values, which must vary.
    fn spread(&self) -> Result<Moments> {
        let total: Moments = self.actual.iter().copied().collect();
        match total.variance() {
            Some(variance) if variance > 0.0 => Ok(total),
            Some(_) => Err(StatsError::Undefined { figure: "R²", why: "all actual values are the same" }),
            None if total.count() > 1 => {
                Err(StatsError::Undefined { figure: "R²", why: "actual values are too large" })
            }
            None => Err(StatsError::TooFew { what: "rows for R²", found: total.count(), needed: 2 }),
        }
    }

    pub(crate) fn absolute_errors(&self) -> impl Iterator<Item = f64> {
        self.actual.iter().zip(&self.predicted).map(|(actual, predicted)| (predicted - actual).abs())
    }

    pub(crate) fn squared_errors(&self) -> impl Iterator<Item = f64> {
        self.absolute_errors().map(|error| error * error)
    }

    pub(crate) fn relative_errors(&self) -> Result<impl Iterator<Item = f64>> {
        if self.actual.contains(&0.0) {
            let why = "an actual value is 0; use the mean absolute error";
            return Err(StatsError::Undefined { figure: "MAPE", why });
        }
        Ok(self.absolute_errors().zip(&self.actual).map(|(error, actual)| error / actual.abs()))
    }

    pub(crate) fn actual(&self) -> &[f64] {
        &self.actual
    }
}

fn not_negative(estimate: Estimate) -> Estimate {
    Estimate { low: estimate.low.max(0.0), ..estimate }
}
