//! The figures of a regression by name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{Result, StatsError};

/// A figure of a regression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Mean absolute error.
    Mae,
    /// Root of the mean squared error.
    Rmse,
    /// Mean absolute error as a share of the actual value.
    Mape,
    /// Share of the actual values' variance that is explained.
    R2,
    /// Median absolute error.
    MedianAbsoluteError,
}

const NAMED: [(&str, Metric); 5] = [
    ("mae", Metric::Mae),
    ("rmse", Metric::Rmse),
    ("mape", Metric::Mape),
    ("r2", Metric::R2),
    ("median_absolute_error", Metric::MedianAbsoluteError),
];

impl Metric {
    /// Whether more is better: of R² alone.
    pub fn greater_is_better(self) -> bool {
        self == Self::R2
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMED.iter().find(|(_, metric)| metric == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for Metric {
    type Err = StatsError;

    fn from_str(name: &str) -> Result<Self> {
        let known = || NAMED.map(|(known, _)| known).join(", ");
        let found = NAMED.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, metric)| *metric)
            .ok_or_else(|| StatsError::UnknownName { name: name.to_owned(), known: known() })
    }
}
