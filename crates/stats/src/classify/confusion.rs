//! Counts of right and wrong decisions, and the figures that are made of them.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Result, StatsError, finite, same_length},
    estimate::{Confidence, Estimate, Method},
    proportion::{Limits, Share},
};

/// The four counts of a decision between two classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    pub true_positives: u64,
    pub false_positives: u64,
    pub true_negatives: u64,
    pub false_negatives: u64,
    /// Rows without a label or a prediction; in none of the four.
    pub missing: u64,
}

/// A figure of the four counts as bare number: `None` where its denominator is 0. For resampling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Figure {
    BalancedAccuracy,
    Precision,
    FBeta(f64),
    Mcc,
}

impl Confusion {
    /// Counts decisions; labels and predictions as `bool` or `Option<bool>`.
    pub fn new<A, P>(actual: &[A], predicted: &[P]) -> Result<Self>
    where
        A: Copy + Into<Option<bool>>,
        P: Copy + Into<Option<bool>>,
    {
        same_length(("actual labels", actual.len()), ("predicted labels", predicted.len()))?;
        let mut counts = Self::default();
        for (&actual, &predicted) in actual.iter().zip(predicted) {
            match (actual.into(), predicted.into()) {
                (Some(actual), Some(predicted)) => counts.add(actual, predicted, 1),
                _ => counts.missing += 1,
            }
        }
        Ok(counts)
    }

    pub(crate) fn add(&mut self, actual: bool, predicted: bool, weight: u64) {
        *match (actual, predicted) {
            (true, true) => &mut self.true_positives,
            (false, true) => &mut self.false_positives,
            (false, false) => &mut self.true_negatives,
            (true, false) => &mut self.false_negatives,
        } += weight;
    }

    /// Rows with a label and a prediction.
    pub fn n(&self) -> u64 {
        self.positives() + self.negatives()
    }

    pub fn positives(&self) -> u64 {
        self.true_positives + self.false_negatives
    }

    pub fn negatives(&self) -> u64 {
        self.true_negatives + self.false_positives
    }

    pub fn predicted_positives(&self) -> u64 {
        self.true_positives + self.false_positives
    }

    fn share(&self, figure: &'static str, hits: u64, n: u64, confidence: Confidence) -> Result<Estimate> {
        Ok(Share::new(figure, hits, n)?.estimate(confidence).with_missing(self.missing))
    }

    /// Share of all rows that were decided rightly.
    pub fn accuracy(&self, confidence: Confidence) -> Result<Estimate> {
        self.share("accuracy", self.true_positives + self.true_negatives, self.n(), confidence)
    }

    /// Share of the predicted positive rows that are positive.
    pub fn precision(&self, confidence: Confidence) -> Result<Estimate> {
        self.share("precision", self.true_positives, self.predicted_positives(), confidence)
    }

    /// Share of the positive rows that were found: recall, sensitivity, true positive rate.
    pub fn recall(&self, confidence: Confidence) -> Result<Estimate> {
        self.share("recall", self.true_positives, self.positives(), confidence)
    }

    /// Share of the negative rows that were left alone.
    pub fn specificity(&self, confidence: Confidence) -> Result<Estimate> {
        self.share("specificity", self.true_negatives, self.negatives(), confidence)
    }

    /// Share of the negative rows that were predicted positive.
    pub fn false_positive_rate(&self, confidence: Confidence) -> Result<Estimate> {
        self.share("false positive rate", self.false_positives, self.negatives(), confidence)
    }

    /// Share of all rows that were predicted positive.
    pub fn selection_rate(&self, confidence: Confidence) -> Result<Estimate> {
        self.share("selection rate", self.predicted_positives(), self.n(), confidence)
    }

    /// Mean of recall and specificity; its interval is recovered from theirs.
    pub fn balanced_accuracy(&self, confidence: Confidence) -> Result<Estimate> {
        let recall = self.recall(confidence)?;
        let specificity = self.specificity(confidence)?;
        let value = recall.value.midpoint(specificity.value);
        let bounds = Limits::of(&recall).mean(Limits::of(&specificity));
        let estimate = Estimate::new(value, bounds, confidence, self.n(), Method::Mover);
        Ok(estimate.with_missing(self.missing))
    }

    /// Weighted harmonic mean of precision and recall, in which recall counts `beta` times as much.
    ///
    /// With `T` true positives and `D = β²·FN + FP`, `logit F = ln((1 + β²)T / D)`, whose variance by the delta
    /// method on multinomial counts is `1/T + (β⁴·FN + FP) / D²`. Half a row is added to each count for the interval,
    /// which keeps it honest where one is 0.
    pub fn f_beta(&self, beta: f64, confidence: Confidence) -> Result<Estimate> {
        check_beta(beta)?;
        let value = self.defined("F score", Figure::FBeta(beta), "no row is or was predicted positive")?;
        let [found, alarms, missed] =
            [self.true_positives, self.false_positives, self.false_negatives].map(|count| count as f64 + 0.5);
        let beta2 = beta * beta;
        let wrong = beta2 * missed + alarms;
        let centre = ((1.0 + beta2) * found / wrong).ln();
        let error = (1.0 / found + (beta2 * beta2 * missed + alarms) / (wrong * wrong)).sqrt();
        let reach = confidence.z() * error;
        let unlogit = |x: f64| 1.0 / (1.0 + (-x).exp());
        let n = self.positives() + self.false_positives;
        let bounds = (unlogit(centre - reach), unlogit(centre + reach));
        Ok(Estimate::new(value, bounds, confidence, n, Method::Logit).with_missing(self.missing))
    }

    /// Matthews' correlation of truth and prediction, from −1 to 1.
    ///
    /// Delta method on multinomial counts, on the scale of Fisher's z, with half a row added to each count.
    pub fn mcc(&self, confidence: Confidence) -> Result<Estimate> {
        let value = self.defined(
            "Matthews' correlation",
            Figure::Mcc,
            "one class was never there or never predicted",
        )?;
        let cells = self.cells().map(|count| count + 0.5);
        let [tp, fp, tn, fn_] = cells;
        let margins = [tp + fn_, tp + fp, tn + fp, tn + fn_];
        let root = margins.iter().product::<f64>().sqrt();
        let phi = (tp * tn - fp * fn_) / root;
        let [actual, predicted, negatives, rejected] = margins.map(|margin| phi / (2.0 * margin));
        let gradient = [
            tn / root - actual - predicted,
            -fn_ / root - predicted - negatives,
            tp / root - negatives - rejected,
            -fp / root - actual - rejected,
        ];
        let variance: f64 = cells.iter().zip(gradient).map(|(count, slope)| count * slope * slope).sum();
        let reach = confidence.z() * variance.sqrt() / (1.0 - phi * phi);
        let bounds = ((phi.atanh() - reach).tanh(), (phi.atanh() + reach).tanh());
        Ok(Estimate::new(value, bounds, confidence, self.n(), Method::FisherZ).with_missing(self.missing))
    }

    fn cells(&self) -> [f64; 4] {
        [self.true_positives, self.false_positives, self.true_negatives, self.false_negatives]
            .map(|count| count as f64)
    }

    fn defined(&self, name: &'static str, figure: Figure, why: &'static str) -> Result<f64> {
        self.figure(figure).ok_or(StatsError::Undefined { figure: name, why })
    }

    /// The bare number.
    pub(crate) fn figure(&self, figure: Figure) -> Option<f64> {
        let [tp, fp, tn, fn_] = self.cells();
        let ratio = |top: f64, bottom: f64| (bottom > 0.0).then(|| top / bottom);
        match figure {
            Figure::BalancedAccuracy => Some(ratio(tp, tp + fn_)?.midpoint(ratio(tn, tn + fp)?)),
            Figure::Precision => ratio(tp, tp + fp),
            Figure::FBeta(beta) => {
                let found = (1.0 + beta * beta) * tp;
                ratio(found, found + beta * beta * fn_ + fp)
            }
            // Root by root: the product of four margins would lose its last bits beyond 2^53.
            Figure::Mcc => {
                ratio(tp * tn - fp * fn_, ((tp + fn_) * (tp + fp)).sqrt() * ((tn + fp) * (tn + fn_)).sqrt())
            }
        }
    }
}

fn check_beta(beta: f64) -> Result<()> {
    finite("beta", beta)?;
    match beta > 0.0 {
        true => Ok(()),
        false => Err(StatsError::OutOfRange { what: "beta", value: beta, row: None, expected: "above 0" }),
    }
}
