//! Champion and candidate, measured in turn on one machine.
//!
//! A block is a short stretch in which both were measured, one right after the other: what disturbs the machine for
//! longer than a block disturbs both. The ratio is therefore taken block by block, and its interval comes from how
//! blocks differ, which holds whatever the shape of the times and however they depend on each other within a block.
//!
//! The noise figure says whether such a comparison means anything: how much the *same* system's typical time changes
//! from block to block.

use serde::{Deserialize, Serialize};

use super::Series;
use crate::{
    error::{Result, StatsError},
    estimate::{Confidence, Estimate},
    order,
};

/// What was measured in one stretch. Times as of [`Series::new`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Block {
    pub champion: Vec<Option<f64>>,
    pub candidate: Vec<Option<f64>>,
}

/// The comparison, with all that is needed to refuse it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interleaved {
    /// The quantile that was compared, 0.99 for p99.
    pub quantile: f64,
    /// Over all blocks; its interval takes requests as independent.
    pub champion: Estimate,
    pub candidate: Estimate,
    /// The median over blocks of candidate over champion; `n` is the number of blocks.
    pub ratio: Estimate,
    /// The median over blocks of candidate less champion.
    pub difference: Estimate,
    /// Spread of the blocks' medians, of whichever system spread more: half the range between their 10th and 90th
    /// percentile, as a share of their median. 0.05 means that the same system is usually within 5 % of itself.
    pub noise: f64,
}

impl Interleaved {
    /// Whether the machine was too unsteady for a judgement that must tell apart what differs by `noise_max`.
    pub fn is_noisy(&self, noise_max: f64) -> bool {
        // Written so that a noise which is no number counts as noisy.
        !matches!(
            self.noise.partial_cmp(&noise_max),
            Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)
        )
    }
}

/// Compares a quantile of two systems over at least six blocks, the fewest whose median has limits at 95 %.
pub fn compare(blocks: &[Block], quantile: f64, confidence: Confidence) -> Result<Interleaved> {
    let series = |of: fn(&Block) -> &Vec<Option<f64>>| -> Result<(Series, Vec<Series>)> {
        let all: Vec<Option<f64>> = blocks.iter().flat_map(|block| of(block).iter().copied()).collect();
        let each = blocks.iter().map(|block| Series::new(of(block))).collect::<Result<_>>()?;
        Ok((Series::new(&all)?, each))
    };
    if blocks.is_empty() {
        return Err(StatsError::TooFew { what: "blocks of measurements", found: 0, needed: 6 });
    }
    let (champion, champion_blocks) = series(|block| &block.champion)?;
    let (candidate, candidate_blocks) = series(|block| &block.candidate)?;
    let at = |series: &[Series], q: f64| -> Result<Vec<f64>> {
        series.iter().map(|block| Ok(block.quantile(q, confidence)?.value)).collect()
    };
    let (own, others) = (at(&champion_blocks, quantile)?, at(&candidate_blocks, quantile)?);
    if own.contains(&0.0) {
        let why = "a block of the champion took no time at all; measure with a finer clock";
        return Err(StatsError::Undefined { figure: "ratio of latencies", why });
    }
    let pairs = || others.iter().zip(&own);
    let over_blocks = |values: Vec<f64>| median(values, confidence)?.finite("ratio of latencies");
    Ok(Interleaved {
        quantile,
        champion: champion.quantile(quantile, confidence)?,
        candidate: candidate.quantile(quantile, confidence)?,
        ratio: over_blocks(pairs().map(|(candidate, champion)| candidate / champion).collect())?,
        difference: over_blocks(pairs().map(|(candidate, champion)| candidate - champion).collect())?,
        noise: spread(at(&champion_blocks, 0.5)?).max(spread(at(&candidate_blocks, 0.5)?)),
    })
}

/// The median with limits; refused where there are too few blocks for both.
fn median(mut values: Vec<f64>, confidence: Confidence) -> Result<Estimate> {
    values.sort_unstable_by(f64::total_cmp);
    let estimate = order::quantile(&values, 0.5, confidence)?;
    if estimate.width().is_finite() {
        return Ok(estimate);
    }
    // All blocks are on one side of the true median with a chance of ½ⁿ, which must not be above the tail.
    let needed = (-confidence.tail().log2()).ceil() as u64;
    let found = values.len() as u64;
    Err(StatsError::TooFew { what: "blocks of measurements", found, needed: needed.max(found + 1) })
}

fn spread(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = |q: f64| values[order::nearest_rank(values.len() as u64, q) as usize - 1];
    (at(0.9) - at(0.1)) / (2.0 * at(0.5))
}
