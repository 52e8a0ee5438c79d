//! The edge: what counts as a value, and what as missing.
//!
//! A value is a finite number. Absent values (`None`), NaN and ±∞ are *missing*: they are counted, the counts are in
//! every result, and a row with one missing value is missing as a whole. −0 becomes 0, so that both are one tie.

use serde::{Deserialize, Serialize};

use crate::error::{Result, StatsError, same_length};

/// How many values were missing, by the way in which they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// There was no value.
    pub absent: u64,
    /// The value was NaN.
    pub not_a_number: u64,
    /// The value was +∞ or −∞.
    pub infinite: u64,
}

impl Missing {
    pub fn total(&self) -> u64 {
        self.absent.saturating_add(self.not_a_number).saturating_add(self.infinite)
    }

    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            absent: self.absent.saturating_add(other.absent),
            not_a_number: self.not_a_number.saturating_add(other.not_a_number),
            infinite: self.infinite.saturating_add(other.infinite),
        }
    }

    /// The value if it is one; else it is counted here.
    pub fn sift(&mut self, value: Option<f64>) -> Option<f64> {
        match value {
            Some(value) if value.is_finite() => return Some(value + 0.0),
            Some(value) if value.is_nan() => self.not_a_number += 1,
            Some(_) => self.infinite += 1,
            None => self.absent += 1,
        }
        None
    }
}

/// `None` for anything that is missing.
pub(crate) fn usable(value: Option<f64>) -> Option<f64> {
    Missing::default().sift(value)
}

/// The rows of two numeric columns in which both have a value, and how many have not.
pub(crate) fn paired_rows<A, B>(
    left: (&'static str, &[A]),
    right: (&'static str, &[B]),
) -> Result<(Vec<f64>, Vec<f64>, u64)>
where
    A: Copy + Into<Option<f64>>,
    B: Copy + Into<Option<f64>>,
{
    same_length((left.0, left.1.len()), (right.0, right.1.len()))?;
    let rows = left.1.iter().zip(right.1);
    let (kept_left, kept_right): (Vec<f64>, Vec<f64>) =
        rows.filter_map(|(&l, &r)| Some((usable(l.into())?, usable(r.into())?))).unzip();
    let missing = (left.1.len() - kept_left.len()) as u64;
    match kept_left.is_empty() {
        true => Err(StatsError::Empty { what: left.0, missing }),
        false => Ok((kept_left, kept_right, missing)),
    }
}
