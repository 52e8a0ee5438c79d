//! How far the most different groups are apart.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Groups;
use crate::{
    classify::Confusion,
    error::{Result, StatsError},
    estimate::{Confidence, Estimate, Method},
    proportion::{self, Share},
    verdict::{Basis, Bound, Judgement},
};

/// A figure that compares groups. Definitions are fairlearn's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Greatest difference of selection rates.
    DemographicParityDifference,
    /// Lowest selection rate over the highest.
    DemographicParityRatio,
    /// Greatest difference of true positive rates.
    EqualOpportunityDifference,
    /// The greater of the greatest differences of true positive and of false positive rates.
    EqualizedOddsDifference,
}

const NAMED: [(&str, Metric); 4] = [
    ("demographic_parity_difference", Metric::DemographicParityDifference),
    ("demographic_parity_ratio", Metric::DemographicParityRatio),
    ("equal_opportunity_difference", Metric::EqualOpportunityDifference),
    ("equalized_odds_difference", Metric::EqualizedOddsDifference),
];

impl Metric {
    /// Whether more is fairer: of the ratio alone.
    pub fn greater_is_better(self) -> bool {
        self == Self::DemographicParityRatio
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
        let found = NAMED.iter().find(|(known, _)| *known == name);
        found.map(|(_, metric)| *metric).ok_or_else(|| StatsError::UnknownName {
            name: name.to_owned(),
            known: NAMED.map(|(known, _)| known).join(", "),
        })
    }
}

/// A comparison of groups with all that it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disparity {
    pub metric: Metric,
    /// `n` counts the rows in the denominators of all groups compared. The interval is for the greatest disparity
    /// there is among them, and holds although the pair was chosen after looking (Bonferroni over all pairs).
    pub estimate: Estimate,
    /// The group with the lowest rate and the one with the highest.
    pub lowest: String,
    pub highest: String,
    pub compared: Vec<String>,
    /// Groups with too few rows to take part, for equalized odds in either of its rates: nothing is said about them.
    pub too_small: Vec<String>,
}

/// The denominator and numerator of a rate.
type Rate = fn(&Confusion) -> (u64, u64);

fn selection(counts: &Confusion) -> (u64, u64) {
    (counts.predicted_positives(), counts.n())
}

fn true_positive(counts: &Confusion) -> (u64, u64) {
    (counts.true_positives, counts.positives())
}

fn false_positive(counts: &Confusion) -> (u64, u64) {
    (counts.false_positives, counts.negatives())
}

impl Groups {
    /// The figure of that name. Refused where fewer than two groups are large enough.
    pub fn disparity(&self, metric: Metric, confidence: Confidence) -> Result<Disparity> {
        match metric {
            Metric::DemographicParityDifference => self.difference(metric, selection, confidence),
            Metric::DemographicParityRatio => self.ratio(confidence),
            Metric::EqualOpportunityDifference => self.difference(metric, true_positive, confidence),
            Metric::EqualizedOddsDifference => {
                // Either may be the greater one: each has to hold with half of the allowed chance.
                let halved = confidence.shared_among(2);
                let found = self.difference(metric, true_positive, halved)?;
                let false_alarms = self.difference(metric, false_positive, halved)?;
                let (low, high) = (
                    found.estimate.low.max(false_alarms.estimate.low),
                    found.estimate.high.max(false_alarms.estimate.high),
                );
                let mut too_small = [found.too_small.as_slice(), &false_alarms.too_small].concat();
                too_small.sort_unstable();
                too_small.dedup();
                let greater =
                    if found.estimate.value >= false_alarms.estimate.value { found } else { false_alarms };
                let estimate = Estimate { low, high, confidence, ..greater.estimate };
                Ok(Disparity { estimate, too_small, ..greater })
            }
        }
    }

    /// The rule of four fifths: the lowest selection rate is at least 0.8 of the highest. [`Basis::Interval`] makes
    /// it undecided where the rows do not tell; [`Basis::Value`] is the rule as it was written, for the value alone.
    pub fn four_fifths(&self, confidence: Confidence, basis: Basis) -> Result<Judgement> {
        let disparity = self.disparity(Metric::DemographicParityRatio, confidence)?;
        Judgement::new(disparity.estimate, Bound::AtLeast(0.8), basis)
    }

    /// Simultaneous intervals of all pairs: the greatest difference is at least every pair's lower limit, and it is the
    /// difference of some pair, so at most the greatest upper one.
    fn difference(&self, metric: Metric, rate: Rate, confidence: Confidence) -> Result<Disparity> {
        let compared = self.compared(metric, rate)?;
        let each = confidence.shared_among(pairs(&compared.shares));
        let (mut low, mut high) = (0.0_f64, 0.0_f64);
        for (left, right) in all_pairs(&compared.shares) {
            let pair = proportion::difference(left, right, each);
            low = low.max(pair.low).max(-pair.high);
            high = high.max(pair.high).max(-pair.low);
        }
        let (lowest, highest) = compared.extremes();
        let value = highest.value() - lowest.value();
        Ok(compared.disparity(metric, value, (low, high), confidence, Method::Newcombe))
    }

    /// As [`Self::difference`], for the smallest ratio of any two.
    fn ratio(&self, confidence: Confidence) -> Result<Disparity> {
        let metric = Metric::DemographicParityRatio;
        let compared = self.compared(metric, selection)?;
        let (lowest, highest) = compared.extremes();
        if highest.hits == 0 {
            let why = "no group has a row that was selected";
            return Err(StatsError::Undefined { figure: "demographic parity ratio", why });
        }
        let each = confidence.shared_among(pairs(&compared.shares));
        let (mut low, mut high) = (1.0_f64, 1.0_f64);
        for (left, right) in all_pairs(&compared.shares) {
            for (above, below) in [(left, right), (right, left)] {
                let limits = proportion::ratio(above, below, each).map(|pair| (pair.low, pair.high));
                let (pair_low, pair_high) = limits.unwrap_or((0.0, f64::INFINITY));
                low = low.min(pair_low);
                high = high.min(pair_high);
            }
        }
        let value = lowest.value() / highest.value();
        Ok(compared.disparity(metric, value, (low, high), confidence, Method::Mover))
    }

    fn compared(&self, metric: Metric, rate: Rate) -> Result<Compared<'_>> {
        let mut compared = Compared {
            names: Vec::new(),
            shares: Vec::new(),
            too_small: Vec::new(),
            missing: self.ungrouped,
        };
        for (name, counts) in &self.counts {
            let (hits, n) = rate(counts);
            compared.missing += counts.missing;
            if n < self.rows_min {
                compared.too_small.push(name);
            } else {
                compared.names.push(name);
                compared.shares.push(Share { hits, n });
            }
        }
        match compared.names.len() {
            found @ (0 | 1) => Err(StatsError::TooFew {
                what: match metric {
                    Metric::EqualOpportunityDifference => "groups with enough positive rows",
                    Metric::EqualizedOddsDifference => "groups with enough positive and negative rows",
                    _ => "groups with enough rows",
                },
                found: found as u64,
                needed: 2,
            }),
            _ => Ok(compared),
        }
    }
}

fn pairs(shares: &[Share]) -> usize {
    shares.len() * (shares.len() - 1) / 2
}

fn all_pairs(shares: &[Share]) -> impl Iterator<Item = (Share, Share)> {
    let from = move |at: usize| shares[at + 1..].iter().map(move |right| (shares[at], *right));
    (0..shares.len()).flat_map(from)
}

/// The groups that take part; at least two.
struct Compared<'a> {
    names: Vec<&'a String>,
    shares: Vec<Share>,
    too_small: Vec<&'a String>,
    missing: u64,
}

impl Compared<'_> {
    fn position(&self, better: impl Fn(f64, f64) -> bool) -> usize {
        (1..self.shares.len()).fold(0, |best, at| {
            if better(self.shares[at].value(), self.shares[best].value()) { at } else { best }
        })
    }

    fn lowest(&self) -> usize {
        self.position(|value, best| value < best)
    }

    fn highest(&self) -> usize {
        self.position(|value, best| value > best)
    }

    fn extremes(&self) -> (Share, Share) {
        (self.shares[self.lowest()], self.shares[self.highest()])
    }

    fn disparity(
        &self,
        metric: Metric,
        value: f64,
        bounds: (f64, f64),
        confidence: Confidence,
        method: Method,
    ) -> Disparity {
        let n = self.shares.iter().map(|share| share.n).sum();
        let owned = |names: &[&String]| names.iter().map(|name| (*name).clone()).collect();
        Disparity {
            metric,
            estimate: Estimate::new(value, bounds, confidence, n, method).with_missing(self.missing),
            lowest: self.names[self.lowest()].clone(),
            highest: self.names[self.highest()].clone(),
            compared: owned(&self.names),
            too_small: owned(&self.too_small),
        }
    }
}
