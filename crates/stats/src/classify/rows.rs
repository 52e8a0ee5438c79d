//! Rows with a true label and a score.

use super::Confusion;
use crate::{
    error::{Result, StatsError, finite, same_length},
    values::usable,
};

/// What a model said about rows whose truth is known.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryScores {
    labels: Vec<bool>,
    scores: Vec<f64>,
    /// Where each kept row stood in what was given.
    rows: Vec<u32>,
    missing: u64,
}

/// More rows than an evaluation is made of; a row number has 32 bits.
const ROWS_MAX: u64 = u32::MAX as u64;

pub(crate) fn check_size(rows: usize) -> Result<()> {
    match rows as u64 {
        0..=ROWS_MAX => Ok(()),
        found => Err(StatsError::TooMany { what: "rows of an evaluation", found, limit: ROWS_MAX }),
    }
}

impl BinaryScores {
    /// Labels as `bool` or `Option<bool>`, scores as `f64` or `Option<f64>`. Rows without a label or without a finite
    /// score are counted as missing and left out.
    pub fn new<L, S>(labels: &[L], scores: &[S]) -> Result<Self>
    where
        L: Copy + Into<Option<bool>>,
        S: Copy + Into<Option<f64>>,
    {
        same_length(("labels", labels.len()), ("scores", scores.len()))?;
        check_size(labels.len())?;
        let mut kept = Vec::with_capacity(labels.len());
        for (row, (&label, &score)) in labels.iter().zip(scores).enumerate() {
            if let (Some(label), Some(score)) = (label.into(), usable(score.into())) {
                kept.push((label, score, row as u32));
            }
        }
        let missing = (labels.len() - kept.len()) as u64;
        if kept.is_empty() {
            return Err(StatsError::Empty { what: "the evaluation", missing });
        }
        // A resample goes by where a row stands: the same rows in another order are to have the same interval.
        kept.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        let rows = kept.iter().map(|kept| kept.2).collect();
        let (labels, scores) = kept.iter().map(|kept| (kept.0, kept.1)).unzip();
        Ok(Self::sifted(labels, scores, rows, missing))
    }

    pub fn labels(&self) -> &[bool] {
        &self.labels
    }

    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// Rows that were given and left out.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    pub fn positives(&self) -> usize {
        self.labels.iter().filter(|&&label| label).count()
    }

    /// Counts of right and wrong where a score of `threshold` or more predicts positive.
    pub fn at_threshold(&self, threshold: f64) -> Result<Confusion> {
        finite("threshold", threshold)?;
        let rows = self.labels.iter().zip(&self.scores);
        let mut counts = Confusion { missing: self.missing, ..Confusion::default() };
        for (&label, &score) in rows {
            counts.add(label, score >= threshold, 1);
        }
        Ok(counts)
    }

    /// Refuses scores that cannot be probabilities, by row.
    pub(crate) fn check_probabilities(&self) -> Result<()> {
        let rows = self.scores.iter().zip(&self.rows);
        let first = rows.filter(|(score, _)| !(0.0..=1.0).contains(*score)).min_by_key(|(_, row)| **row);
        match first {
            None => Ok(()),
            Some((&score, &row)) => Err(StatsError::OutOfRange {
                what: "score",
                value: score,
                row: Some(row as usize),
                expected: "a probability from 0 to 1 for this figure",
            }),
        }
    }

    /// Refuses rows of one class alone.
    pub(crate) fn check_both_classes(&self, figure: &'static str) -> Result<()> {
        let label = self.labels[0];
        match self.labels.iter().all(|&other| other == label) {
            true => Err(StatsError::OneClass { figure, rows: self.labels.len() as u64, label }),
            false => Ok(()),
        }
    }

    /// Positions of rows by falling score; those of equal score in no particular order.
    pub(crate) fn by_falling_score(&self) -> Vec<u32> {
        let mut keyed: Vec<(f64, u32)> = self.scores.iter().copied().zip(0..).collect();
        keyed.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        keyed.into_iter().map(|(_, row)| row).collect()
    }

    /// Rows that the caller has sifted already; `rows` says where they stood.
    pub(crate) fn sifted(labels: Vec<bool>, scores: Vec<f64>, rows: Vec<u32>, missing: u64) -> Self {
        Self { labels, scores, rows, missing }
    }
}
