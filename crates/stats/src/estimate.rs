//! What a figure is: a value, the interval that it is known to, how sure that is, and from how many rows.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Result, StatsError},
    special::normal,
};

/// How sure an interval is to cover what is estimated: a number in `[0.5, 1)`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Confidence(f64);

impl Confidence {
    /// 90 %: two such intervals a test at 5 % on one side.
    pub const P90: Self = Self(0.90);
    /// 95 %: what is meant where nothing else is said.
    pub const P95: Self = Self(0.95);
    /// 99 %.
    pub const P99: Self = Self(0.99);

    /// Refuses what is not a number in `[0.5, 1)`.
    pub fn new(level: f64) -> Result<Self> {
        if (0.5..1.0).contains(&level) {
            return Ok(Self(level));
        }
        let expected = "a number from 0.5 to below 1, such as 0.95";
        Err(StatsError::OutOfRange { what: "confidence", value: level, row: None, expected })
    }

    pub fn level(self) -> f64 {
        self.0
    }

    /// The chance to miss on one side: 0.025 at 95 %.
    pub fn tail(self) -> f64 {
        (1.0 - self.0) / 2.0
    }

    /// How many standard deviations a normal interval reaches to each side: 1.96 at 95 %.
    pub fn z(self) -> f64 {
        -normal::quantile(self.tail())
    }

    /// The level at which each of `comparisons` intervals has to stand for all of them to hold together (Bonferroni).
    #[must_use]
    pub fn shared_among(self, comparisons: usize) -> Self {
        Self(1.0 - (1.0 - self.0) / comparisons.max(1) as f64)
    }
}

impl Default for Confidence {
    fn default() -> Self {
        Self::P95
    }
}

impl TryFrom<f64> for Confidence {
    type Error = StatsError;

    fn try_from(level: f64) -> Result<Self> {
        Self::new(level)
    }
}

impl From<Confidence> for f64 {
    fn from(confidence: Confidence) -> Self {
        confidence.0
    }
}

/// How an interval was found. Sources stand at the functions that make them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// Wilson's score interval of a proportion.
    Wilson,
    /// Newcombe's interval of a difference of independent proportions.
    Newcombe,
    /// Newcombe's interval of a difference of proportions of the same rows.
    NewcombePaired,
    /// Limits of parts recovered into limits of their sum, mean or ratio.
    Mover,
    /// Delta method on the scale of log odds.
    Logit,
    /// Delta method on the scale of Fisher's z.
    FisherZ,
    /// Delta method on the logarithm.
    Log,
    /// Delta method on the scale of the figure itself.
    Delta,
    /// DeLong's variance of an area under the ROC curve.
    DeLong,
    /// Newcombe's score interval of an area under the ROC curve, for areas without any variance of their own.
    ScoreAuc,
    /// Student's t on a mean of rows.
    Student,
    /// Percentiles of a bootstrap with a Poisson weight a row.
    PoissonBootstrap,
    /// Order statistics chosen by the binomial distribution; free of assumptions about the shape.
    OrderStatistics,
    /// Delta method for a distance from nothing, less what chance alone makes of it.
    Distance,
    /// Bounds of Dvoretzky, Kiefer, Wolfowitz and Massart on a distribution function.
    Dkw,
}

/// A figure as it may be judged: never without its interval and its number of rows.
///
/// `low ≤ value ≤ high` holds for all that this crate makes, and the value is finite. A bound that these rows cannot give is infinite, which is `null` in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub value: f64,
    #[serde(with = "low_bound")]
    pub low: f64,
    #[serde(with = "high_bound")]
    pub high: f64,
    pub confidence: Confidence,
    /// Rows that the value was computed from: the denominator, for a proportion.
    pub n: u64,
    /// Rows that were given but had a value missing (absent, not a number, infinite); they are not in `n`.
    pub missing: u64,
    pub method: Method,
}

impl Estimate {
    /// The interval is widened to hold the value, where a method's limits do not; a limit that is no number is none.
    pub(crate) fn new(
        value: f64,
        bounds: (f64, f64),
        confidence: Confidence,
        n: u64,
        method: Method,
    ) -> Self {
        let or = |bound: f64, absent: f64| if bound.is_nan() { absent } else { bound };
        let low = or(bounds.0, f64::NEG_INFINITY).min(value);
        let high = or(bounds.1, f64::INFINITY).max(value);
        Self { value, low, high, confidence, n, missing: 0, method }
    }

    /// Refuses a value that came out infinite or as no number: the rows have values near the end of what a double holds.
    pub(crate) fn finite(self, figure: &'static str) -> Result<Self> {
        match self.value.is_finite() {
            true => Ok(self),
            false => Err(StatsError::Undefined {
                figure,
                why: "values are too large or too small to compute with",
            }),
        }
    }

    pub(crate) fn with_missing(self, missing: u64) -> Self {
        Self { missing, ..self }
    }

    /// The share of given rows that could not be used.
    pub fn missing_share(&self) -> f64 {
        self.missing as f64 / (self.n + self.missing).max(1) as f64
    }

    /// `high − low`: infinite where a bound is.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { value, low, high, confidence, n, missing, .. } = self;
        let percent = confidence.level() * 100.0;
        write!(f, "{value:.4} [{low:.4}, {high:.4}] at {percent} %, n = {n}")?;
        if *missing > 0 {
            write!(f, ", {missing} missing")?;
        }
        Ok(())
    }
}

/// JSON has no infinity: a bound that is not there is `null`.
macro_rules! bound_as_option {
    ($module:ident, $absent:expr) => {
        mod $module {
            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            pub(super) fn serialize<S: Serializer>(bound: &f64, to: S) -> Result<S::Ok, S::Error> {
                bound.is_finite().then_some(*bound).serialize(to)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
                Ok(Option::deserialize(from)?.unwrap_or($absent))
            }
        }
    };
}

bound_as_option!(low_bound, f64::NEG_INFINITY);
bound_as_option!(high_bound, f64::INFINITY);
