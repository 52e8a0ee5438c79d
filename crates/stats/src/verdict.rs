//! Verdicts: what an estimate says about a bound, and when it says nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Result, finite},
    estimate::Estimate,
};

/// What can be said. A caller that must decide treats [`Verdict::Undecided`] as it treats missing evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    Fail,
    /// The interval holds the bound: these rows do not tell.
    Undecided,
}

/// On which side of which number a figure has to be; the number itself is good enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// What of an estimate is compared with the bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The whole interval has to be on the right side to pass, on the wrong one to fail.
    #[default]
    Interval,
    /// The value alone, as for a threshold that custom sets on the value (0.2 for PSI); never undecided.
    Value,
}

/// A verdict with all that it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    pub verdict: Verdict,
    pub estimate: Estimate,
    pub bound: Bound,
    pub basis: Basis,
}

impl Judgement {
    /// Refuses a bound that is not a number.
    pub fn new(estimate: Estimate, bound: Bound, basis: Basis) -> Result<Self> {
        let (Bound::AtLeast(limit) | Bound::AtMost(limit)) = bound;
        finite("bound", limit)?;
        let (low, high) = match basis {
            Basis::Interval => (estimate.low, estimate.high),
            Basis::Value => (estimate.value, estimate.value),
        };
        let (passes, fails) = match bound {
            Bound::AtLeast(limit) => (low >= limit, high < limit),
            Bound::AtMost(limit) => (high <= limit, low > limit),
        };
        let verdict = match (passes, fails) {
            (true, _) => Verdict::Pass,
            (_, true) => Verdict::Fail,
            _ => Verdict::Undecided,
        };
        Ok(Self { verdict, estimate, bound, basis })
    }
}

/// Whether a candidate is not worse than the champion by more than `margin`.
///
/// `delta` is candidate less champion. With a two-sided interval at 95 % the test has 2.5 % on its side. A margin
/// below 0 asks for an improvement by that much.
pub fn non_inferior(delta: Estimate, margin: f64, greater_is_better: bool) -> Result<Judgement> {
    finite("margin", margin)?;
    let bound = match greater_is_better {
        true => Bound::AtLeast(-margin),
        false => Bound::AtMost(margin),
    };
    Judgement::new(delta, bound, Basis::Interval)
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Undecided => "undecided",
        };
        let (side, limit) = match self.bound {
            Bound::AtLeast(limit) => ("at least", limit),
            Bound::AtMost(limit) => ("at most", limit),
        };
        let what = match self.basis {
            Basis::Interval => "interval",
            Basis::Value => "value",
        };
        write!(f, "{verdict}: {}, {what} must be {side} {limit}", self.estimate)
    }
}
