//! Many tests at once.

use serde::{Deserialize, Serialize};

use crate::error::{Result, StatsError};

/// What is left of a p-value among others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Discovery {
    pub p_value: f64,
    /// The smallest rate of false discoveries at which this one is still among them.
    pub adjusted: f64,
    /// Whether it is a discovery at the asked rate.
    pub discovered: bool,
}

/// Benjamini and Hochberg (1995): of what is discovered, at most a share `rate` is false on average, for tests that
/// are independent or depend positively. Results stand in the order of the p-values.
pub fn benjamini_hochberg(p_values: &[f64], rate: f64) -> Result<Vec<Discovery>> {
    let expected = "above 0 and below 1, such as 0.05";
    if !(rate > 0.0 && rate < 1.0) {
        return Err(StatsError::OutOfRange {
            what: "false discovery rate",
            value: rate,
            row: None,
            expected,
        });
    }
    if let Some(row) = p_values.iter().position(|p| !(0.0..=1.0).contains(p)) {
        let (value, expected) = (p_values[row], "a probability from 0 to 1");
        return Err(StatsError::OutOfRange { what: "p-value", value, row: Some(row), expected });
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut found: Vec<Discovery> = Vec::with_capacity(p_values.len());
    found.extend(p_values.iter().map(|&p_value| Discovery { p_value, adjusted: 1.0, discovered: false }));
    let mut least = 1.0_f64;
    for (rank, &at) in order.iter().enumerate().rev() {
        least = least.min(p_values[at] * (p_values.len() as f64 / (rank + 1) as f64));
        found[at].adjusted = least;
        found[at].discovered = least <= rate;
    }
    Ok(found)
}
