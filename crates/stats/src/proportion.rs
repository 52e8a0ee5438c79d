//! Proportions: shares of rows, their differences and ratios.

use crate::{
    error::{Result, StatsError},
    estimate::{Confidence, Estimate, Method},
    special::beta,
};

/// `hits` of `n` rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub hits: u64,
    pub n: u64,
}

impl Share {
    /// Refuses more hits than rows, and no rows at all.
    pub fn new(figure: &'static str, hits: u64, n: u64) -> Result<Self> {
        if n == 0 {
            return Err(StatsError::Undefined { figure, why: "no row is in its denominator" });
        }
        if hits > n {
            let value = hits as f64;
            let expected = "no more than there are rows";
            return Err(StatsError::OutOfRange { what: figure, value, row: None, expected });
        }
        Ok(Self { hits, n })
    }

    pub fn value(self) -> f64 {
        self.hits as f64 / self.n as f64
    }

    /// The share with Wilson's interval.
    pub fn estimate(self, confidence: Confidence) -> Estimate {
        let bounds = wilson(self.value(), self.n as f64, confidence.z());
        Estimate::new(self.value(), bounds, confidence, self.n, Method::Wilson)
    }

    fn limits(self, confidence: Confidence) -> Limits {
        let (low, high) = wilson(self.value(), self.n as f64, confidence.z());
        Limits { value: self.value(), low, high }
    }
}

/// Wilson's score interval (1927) of a share of `n` rows, without continuity correction. It is honest at 0 and at 1.
///
/// It also holds, on the safe side, for the mean of values between 0 and 1: none varies more than zeros and ones do.
pub(crate) fn wilson(share: f64, n: f64, z: f64) -> (f64, f64) {
    let z2 = z * z;
    let centre = share + z2 / (2.0 * n);
    let reach = z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((centre - reach) / scale).max(0.0), ((centre + reach) / scale).min(1.0))
}

/// A value with the limits of its own interval: what intervals of compound figures are recovered from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Limits {
    pub(crate) fn of(estimate: &Estimate) -> Self {
        Self { value: estimate.value, low: estimate.low, high: estimate.high }
    }

    fn below(self) -> f64 {
        self.value - self.low
    }

    fn above(self) -> f64 {
        self.high - self.value
    }

    /// Limits of the mean of two independent figures (Zou and Donner 2008: "method of variance estimates recovery").
    pub(crate) fn mean(self, other: Self) -> (f64, f64) {
        let mean = self.value.midpoint(other.value);
        let reach = |a: f64, b: f64| a.hypot(b) / 2.0;
        (mean - reach(self.below(), other.below()), mean + reach(self.above(), other.above()))
    }

    /// Limits of `self − other`, whose estimates correlate by `correlation`.
    pub(crate) fn difference(self, other: Self, correlation: f64) -> (f64, f64) {
        let reach = |a: f64, b: f64| (a * a - 2.0 * correlation * a * b + b * b).max(0.0).sqrt();
        let difference = self.value - other.value;
        let low = difference - reach(self.below(), other.above());
        (low, difference + reach(self.above(), other.below()))
    }

    /// Limits of `self / other`, both not negative and independent (Donner and Zou 2012), as the roots of the quadratic
    /// in which each limit stands; the upper one is infinite where `other` may be 0.
    pub(crate) fn ratio(self, other: Self) -> (f64, f64) {
        let product = self.value * other.value;
        let root = |a: f64, b: f64| (product * product - a * b).max(0.0).sqrt();
        let reflected = |limit: f64, value: f64| limit * (2.0 * value - limit);
        let (low, high) = (reflected(self.low, self.value), reflected(self.high, self.value));
        let (other_low, other_high) = (reflected(other.low, other.value), reflected(other.high, other.value));
        let lower = match product > 0.0 {
            true => low / (product + root(low, other_high)),
            false => 0.0,
        };
        let upper = match other_low > 0.0 {
            true => (product + root(high, other_low)) / other_low,
            false => f64::INFINITY,
        };
        (lower.max(0.0), upper)
    }
}

/// `left − right` of two independent samples: Newcombe's interval (1998, method 10), made of two Wilson intervals.
pub fn difference(left: Share, right: Share, confidence: Confidence) -> Estimate {
    let bounds = left.limits(confidence).difference(right.limits(confidence), 0.0);
    Estimate::new(left.value() - right.value(), bounds, confidence, left.n + right.n, Method::Newcombe)
}

/// `left / right` of two independent samples; refused where `right` has no hit, and its interval then says how little
/// is known where it has few.
pub fn ratio(left: Share, right: Share, confidence: Confidence) -> Result<Estimate> {
    if right.hits == 0 {
        let why = "the share that it is compared with is 0: compare by difference";
        return Err(StatsError::Undefined { figure: "ratio of shares", why });
    }
    let bounds = left.limits(confidence).ratio(right.limits(confidence));
    let value = left.value() / right.value();
    Ok(Estimate::new(value, bounds, confidence, left.n + right.n, Method::Mover))
}

/// The same rows judged twice, by whether each judgement was a hit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PairedShares {
    pub both: u64,
    pub only_first: u64,
    pub only_second: u64,
    pub neither: u64,
}

impl FromIterator<(bool, bool)> for PairedShares {
    /// Counts rows by whether the first and the second judgement of each was a hit.
    fn from_iter<I: IntoIterator<Item = (bool, bool)>>(rows: I) -> Self {
        let mut shares = Self::default();
        for hits in rows {
            *match hits {
                (true, true) => &mut shares.both,
                (true, false) => &mut shares.only_first,
                (false, true) => &mut shares.only_second,
                (false, false) => &mut shares.neither,
            } += 1;
        }
        shares
    }
}

impl PairedShares {
    pub fn n(&self) -> u64 {
        self.both + self.only_first + self.only_second + self.neither
    }

    /// The share of hits of the second less that of the first, with Newcombe's interval for paired rows (1998, method
    /// 10: two Wilson intervals and the correlation of the table, corrected for continuity where it is positive).
    pub fn difference(&self, confidence: Confidence) -> Result<Estimate> {
        let n = self.n();
        let first = Share::new("difference of paired shares", self.both + self.only_first, n)?;
        let second = Share::new("difference of paired shares", self.both + self.only_second, n)?;
        let bounds = second.limits(confidence).difference(first.limits(confidence), self.correlation());
        let value = (self.only_second as f64 - self.only_first as f64) / n as f64;
        Ok(Estimate::new(value, bounds, confidence, n, Method::NewcombePaired))
    }

    fn correlation(&self) -> f64 {
        let [both, first, second, neither] =
            [self.both, self.only_first, self.only_second, self.neither].map(|count| count as f64);
        let margins = (both + first) * (second + neither) * (both + second) * (first + neither);
        if margins == 0.0 {
            return 0.0;
        }
        let determinant = both * neither - first * second;
        let half = (both + first + second + neither) / 2.0;
        let corrected = if determinant > 0.0 { (determinant - half).max(0.0) } else { determinant };
        corrected / margins.sqrt()
    }

    /// The chance of discordant rows at least as one-sided as these if neither is better: McNemar's test, exact, with
    /// the mid-p correction (Fagerland, Lydersen, Laake 2013). 1 where no row tells them apart.
    pub fn p_value(&self) -> f64 {
        let discordant = self.only_first + self.only_second;
        if discordant == 0 {
            return 1.0;
        }
        let fewer = self.only_first.min(self.only_second);
        let below = beta::binomial_cdf(fewer as i64, discordant, 0.5);
        (2.0 * below - beta::fair_coin_mass(fewer, discordant)).clamp(0.0, 1.0)
    }
}
