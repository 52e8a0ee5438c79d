//! Counts of right and wrong by group.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    classify::Confusion,
    error::{Result, StatsError, same_length},
    estimate::{Confidence, Estimate},
};

/// More groups than can be compared pair by pair; a column with more is an identifier, not a group.
const GROUPS_MAX: usize = 200;

/// Rows that a figure of a group needs in its denominator, unless said otherwise.
const ROWS_MIN: u64 = 30;

/// Decisions about rows, by the group of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Groups {
    pub(super) counts: BTreeMap<String, Confusion>,
    pub(super) ungrouped: u64,
    pub(super) rows_min: u64,
}

/// What was decided about one group, and how well. A rate is `None` where its denominator is empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupFigures {
    pub group: String,
    pub counts: Confusion,
    pub selection_rate: Option<Estimate>,
    pub true_positive_rate: Option<Estimate>,
    pub false_positive_rate: Option<Estimate>,
    pub precision: Option<Estimate>,
    /// Fewer rows than a comparison asks for.
    pub too_small: bool,
}

impl Groups {
    /// Groups by name, true labels and decisions, each `None` where missing. Rows without a group are counted in
    /// [`Self::ungrouped`]; rows without label or decision as missing in their group.
    pub fn new<A, P>(groups: &[Option<&str>], actual: &[A], predicted: &[P]) -> Result<Self>
    where
        A: Copy + Into<Option<bool>>,
        P: Copy + Into<Option<bool>>,
    {
        same_length(("groups", groups.len()), ("actual labels", actual.len()))?;
        same_length(("groups", groups.len()), ("decisions", predicted.len()))?;
        let mut counted: BTreeMap<&str, Confusion> = BTreeMap::new();
        let mut ungrouped = 0;
        for ((group, &actual), &predicted) in groups.iter().zip(actual).zip(predicted) {
            let Some(group) = group else {
                ungrouped += 1;
                continue;
            };
            let counts = counted.entry(group).or_default();
            match (actual.into(), predicted.into()) {
                (Some(actual), Some(predicted)) => counts.add(actual, predicted, 1),
                _ => counts.missing += 1,
            }
            if counted.len() > GROUPS_MAX {
                let found = counted.len() as u64;
                return Err(StatsError::TooMany { what: "groups", found, limit: GROUPS_MAX as u64 });
            }
        }
        if counted.is_empty() {
            return Err(StatsError::Empty { what: "the grouped evaluation", missing: ungrouped });
        }
        let counts = counted.into_iter().map(|(group, counts)| (group.to_owned(), counts)).collect();
        Ok(Self { counts, ungrouped, rows_min: ROWS_MIN })
    }

    /// Asks for at least `rows` in a group's denominator before it takes part in a comparison; 30 unless said.
    #[must_use]
    pub fn with_rows_min(self, rows: u64) -> Self {
        Self { rows_min: rows.max(1), ..self }
    }

    /// Rows without a group.
    pub fn ungrouped(&self) -> u64 {
        self.ungrouped
    }

    /// Every group's own figures, by name.
    pub fn figures(&self, confidence: Confidence) -> Vec<GroupFigures> {
        let figures = self.counts.iter().map(|(group, counts)| GroupFigures {
            group: group.clone(),
            counts: *counts,
            selection_rate: counts.selection_rate(confidence).ok(),
            true_positive_rate: counts.recall(confidence).ok(),
            false_positive_rate: counts.false_positive_rate(confidence).ok(),
            precision: counts.precision(confidence).ok(),
            too_small: counts.n() < self.rows_min,
        });
        figures.collect()
    }
}
