//! The percentile bootstrap, with a Poisson weight a row.
//!
//! A resample gives each row a weight that is Poisson with mean 1 instead of drawing as many rows with replacement: for
//! figures that are ratios of sums both agree as rows become many (Hanley and MacGibbon 2006; Chamandy et al. 2012).
//! The weight is a function of seed, resample and row, so the same rows give the same interval to the last bit, and two
//! models are resampled together.

use serde::{Deserialize, Serialize};

use crate::{
    ends::Ends,
    error::{Result, StatsError},
    estimate::{Confidence, Estimate, Method},
    random::Stream,
};

/// How often to resample, and from which seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resampling {
    pub seed: u64,
    /// From 200 to 100,000. A resample costs a few nanoseconds a row and model.
    pub resamples: u32,
    /// When it is given up before its end.
    #[serde(skip)]
    pub ends: Ends,
}

impl Default for Resampling {
    fn default() -> Self {
        Self { seed: 1, resamples: 1_000, ends: Ends::default() }
    }
}

const RESAMPLES_MIN: u32 = 200;
const RESAMPLES_MAX: u32 = 100_000;

impl Resampling {
    fn checked(&self) -> Result<u32> {
        if (RESAMPLES_MIN..=RESAMPLES_MAX).contains(&self.resamples) {
            return Ok(self.resamples);
        }
        let value = f64::from(self.resamples);
        let expected = "from 200 to 100,000";
        Err(StatsError::OutOfRange { what: "number of resamples", value, row: None, expected })
    }

    /// The interval between the percentiles of `statistic` over the resamples; it gets a weight for each of `rows`.
    ///
    /// A resample may leave the statistic undefined (no positive row got a weight). Up to a tenth may; the interval is
    /// then that of the others.
    pub(crate) fn interval(
        &self,
        figure: &'static str,
        rows: usize,
        confidence: Confidence,
        mut statistic: impl FnMut(&[u8]) -> Option<f64>,
    ) -> Result<(f64, f64)> {
        let resamples = self.checked()?;
        let mut weights = vec![0; rows];
        let mut values = Vec::with_capacity(resamples as usize);
        for resample in 0..u64::from(resamples) {
            if self.ends.is_over() {
                return Err(StatsError::GivenUp { figure });
            }
            Stream::new(self.seed, resample).fill_poisson(&mut weights);
            values.extend(statistic(&weights));
        }
        if (values.len() as u64) * 10 < u64::from(resamples) * 9 {
            let why = "more than a tenth of the resamples have no value, as one class has too few rows";
            return Err(StatsError::Undefined { figure, why });
        }
        values.sort_unstable_by(f64::total_cmp);
        let skipped = ((values.len() as f64 + 1.0) * confidence.tail()).floor() as usize;
        let skipped = skipped.clamp(1, values.len()) - 1;
        Ok((values[skipped], values[values.len() - 1 - skipped]))
    }

    /// The statistic of all rows with weight 1, and its interval.
    pub(crate) fn estimate(
        &self,
        figure: &'static str,
        rows: usize,
        confidence: Confidence,
        statistic: impl Fn(&[u8]) -> Option<f64>,
    ) -> Result<Estimate> {
        let Some(value) = statistic(&vec![1; rows]) else {
            let why = "these rows leave its denominator empty";
            return Err(StatsError::Undefined { figure, why });
        };
        let bounds = self.interval(figure, rows, confidence, statistic)?;
        Ok(Estimate::new(value, bounds, confidence, rows as u64, Method::PoissonBootstrap))
    }
}
