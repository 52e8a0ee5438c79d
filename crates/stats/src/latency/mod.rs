//! Latency: percentiles with limits that assume nothing, and two systems measured in turn.

mod interleaved;

use serde::{Deserialize, Serialize};

pub use interleaved::{Block, Interleaved, compare};

use crate::{
    error::{Result, StatsError},
    estimate::{Confidence, Estimate},
    order,
    values::Missing,
};

/// A series of measured times, ascending. The unit is the caller's.
///
/// Times that are missing (a request that failed has none) are counted and left out: a caller that judges latency has
/// to judge their number too.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    sorted: Vec<f64>,
    missing: u64,
}

/// The percentiles that a report shows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    pub p50: Estimate,
    pub p90: Estimate,
    pub p99: Estimate,
}

impl Series {
    /// Times as `f64` or `Option<f64>`; one below 0 is refused.
    pub fn new<T: Copy + Into<Option<f64>>>(times: &[T]) -> Result<Self> {
        let mut missing = Missing::default();
        let mut sorted = Vec::with_capacity(times.len());
        for (row, &time) in times.iter().enumerate() {
            let Some(time) = missing.sift(time.into()) else { continue };
            if time < 0.0 {
                let expected = "0 or more";
                return Err(StatsError::OutOfRange { what: "time", value: time, row: Some(row), expected });
            }
            sorted.push(time);
        }
        let missing = missing.total();
        if sorted.is_empty() {
            return Err(StatsError::Empty { what: "the series of times", missing });
        }
        sorted.sort_unstable_by(f64::total_cmp);
        Ok(Self { sorted, missing })
    }

    pub fn n(&self) -> usize {
        self.sorted.len()
    }

    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The time that a share `q` of the requests do not exceed (nearest rank), between order statistics chosen by the
    /// binomial distribution. With too few requests the upper bound is infinite: p99 at 95 % needs 368.
    pub fn quantile(&self, q: f64, confidence: Confidence) -> Result<Estimate> {
        let estimate = order::quantile(&self.sorted, q, confidence)?;
        Ok(Estimate { low: estimate.low.max(0.0), ..estimate }.with_missing(self.missing))
    }

    pub fn percentiles(&self, confidence: Confidence) -> Result<Percentiles> {
        Ok(Percentiles {
            p50: self.quantile(0.5, confidence)?,
            p90: self.quantile(0.9, confidence)?,
            p99: self.quantile(0.99, confidence)?,
        })
    }
}
