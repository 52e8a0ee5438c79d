//! Decisions among many classes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Result, StatsError, same_length},
    estimate::{Confidence, Estimate, Method},
    proportion::{Share, wilson},
};

/// More classes than a table of all pairs should have.
const CLASSES_MAX: usize = 2_000;

/// A table of true against predicted class.
#[derive(Debug, Clone, PartialEq)]
pub struct Multiclass {
    classes: Vec<String>,
    /// `counts[actual][predicted]`.
    counts: Vec<Vec<u64>>,
    missing: u64,
}

/// How well one class is told from all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    pub class: String,
    /// Rows that are of this class.
    pub support: u64,
    /// `None` where no row was predicted to be of this class.
    pub precision: Option<Estimate>,
    /// `None` where no row is of this class.
    pub recall: Option<Estimate>,
    pub f1: Estimate,
}

impl Multiclass {
    /// Labels by name, `None` where missing. Classes are those that occur on either side, sorted.
    pub fn new(actual: &[Option<&str>], predicted: &[Option<&str>]) -> Result<Self> {
        same_length(("actual labels", actual.len()), ("predicted labels", predicted.len()))?;
        let rows: Vec<(&str, &str)> =
            actual.iter().zip(predicted).filter_map(|(a, p)| Some(((*a)?, (*p)?))).collect();
        let missing = (actual.len() - rows.len()) as u64;
        if rows.is_empty() {
            return Err(StatsError::Empty { what: "the evaluation", missing });
        }
        let names: BTreeSet<&str> = rows.iter().flat_map(|&(a, p)| [a, p]).collect();
        if names.len() > CLASSES_MAX {
            let found = names.len() as u64;
            return Err(StatsError::TooMany { what: "classes", found, limit: CLASSES_MAX as u64 });
        }
        let classes: Vec<&str> = names.into_iter().collect();
        let mut counts = vec![vec![0; classes.len()]; classes.len()];
        let position = |name: &str| classes.binary_search(&name).unwrap_or_default();
        for (actual, predicted) in rows {
            counts[position(actual)][position(predicted)] += 1;
        }
        Ok(Self { classes: classes.into_iter().map(str::to_owned).collect(), counts, missing })
    }

    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Rows of class `actual` that were predicted as `predicted`, by position in [`Self::classes`].
    pub fn count(&self, actual: usize, predicted: usize) -> Option<u64> {
        self.counts.get(actual)?.get(predicted).copied()
    }

    pub fn n(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Share of rows whose class was predicted.
    pub fn accuracy(&self, confidence: Confidence) -> Result<Estimate> {
        let right = (0..self.classes.len()).map(|class| self.counts[class][class]).sum();
        Ok(Share::new("accuracy", right, self.n())?.estimate(confidence).with_missing(self.missing))
    }

    /// Mean of the classes' F1.
    pub fn macro_f1(&self, confidence: Confidence) -> Estimate {
        let weight = 1.0 / self.classes.len() as f64;
        self.mean_f1(|_| weight, false, confidence)
    }

    /// Mean of the classes' F1, weighted by their rows.
    pub fn weighted_f1(&self, confidence: Confidence) -> Estimate {
        let n = self.n() as f64;
        self.mean_f1(|tally| tally.actual / n, true, confidence)
    }

    /// Precision, recall and F1 of each class against all others.
    pub fn by_class(&self, confidence: Confidence) -> Vec<ClassFigures> {
        let share = |hits: f64, n: f64| {
            let share = Share::new("share of a class", hits as u64, n as u64).ok()?;
            Some(share.estimate(confidence).with_missing(self.missing))
        };
        let rows = self.classes.iter().zip(self.tallies());
        rows.map(|(class, tally)| {
            let (n, bounds) = (tally.rows(), tally.f1_bounds(confidence));
            let f1 = Estimate::new(tally.f1(), bounds, confidence, n as u64, Method::Wilson);
            ClassFigures {
                class: class.clone(),
                support: tally.actual as u64,
                precision: share(tally.right, tally.predicted),
                recall: share(tally.right, tally.actual),
                f1: f1.with_missing(self.missing),
            }
        })
        .collect()
    }

    fn tallies(&self) -> Vec<Tally> {
        let tally = |class: usize| Tally {
            right: self.counts[class][class] as f64,
            actual: self.counts[class].iter().sum::<u64>() as f64,
            predicted: self.counts.iter().map(|row| row[class]).sum::<u64>() as f64,
        };
        (0..self.classes.len()).map(tally).collect()
    }

    /// A weighted mean of the classes' F1, with the delta method on multinomial counts for its interval (as Takahashi
    /// et al. 2022). Where that has no variance, since every row is right or every row wrong, the limits are the mean
    /// of the classes' own. `by_support`: the weights are shares of rows, and vary as these do.
    fn mean_f1(&self, weight: impl Fn(&Tally) -> f64, by_support: bool, confidence: Confidence) -> Estimate {
        let tallies = self.tallies();
        let n = self.n() as f64;
        let value: f64 = tallies.iter().map(|tally| weight(tally) * tally.f1()).sum();
        let slope = |actual: usize, predicted: usize| {
            let (row, column) = (&tallies[actual], &tallies[predicted]);
            let right = if actual == predicted { 2.0 * weight(row) / row.size() } else { 0.0 };
            let shrinking =
                weight(row) * row.f1() / row.size() + weight(column) * column.f1() / column.size();
            let support = if by_support { (row.f1() - value) / n } else { 0.0 };
            right - shrinking + support
        };
        let mut variance = 0.0;
        for (actual, row) in self.counts.iter().enumerate() {
            for (predicted, &count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
                variance += count as f64 * slope(actual, predicted).powi(2);
            }
        }
        let reach = confidence.z() * variance.sqrt();
        let (bounds, method) = if variance > 1e-24 {
            (((value - reach).max(0.0), (value + reach).min(1.0)), Method::Delta)
        } else {
            let limits = tallies.iter().map(|tally| (weight(tally), tally.f1_bounds(confidence)));
            let mean = limits.fold((0.0, 0.0), |sum, (w, (low, high))| (sum.0 + w * low, sum.1 + w * high));
            (mean, Method::Mover)
        };
        Estimate::new(value, bounds, confidence, self.n(), method).with_missing(self.missing)
    }
}

/// One class against all others.
struct Tally {
    right: f64,
    actual: f64,
    predicted: f64,
}

impl Tally {
    /// Rows that are, or were predicted to be, of this class, those of both counted twice; never 0, as a class occurs.
    fn size(&self) -> f64 {
        self.actual + self.predicted
    }

    /// The same, each counted once.
    fn rows(&self) -> f64 {
        self.size() - self.right
    }

    fn f1(&self) -> f64 {
        2.0 * self.right / self.size()
    }

    /// F1 is `2J / (1 + J)` of the share J of right ones among [`Self::rows`]: Wilson's limits of J, carried over.
    fn f1_bounds(&self, confidence: Confidence) -> (f64, f64) {
        let rows = self.rows();
        let (low, high) = wilson(self.right / rows, rows, confidence.z());
        (2.0 * low / (1.0 + low), 2.0 * high / (1.0 + high))
    }
}
