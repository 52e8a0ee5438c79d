//! The checks, one file a gate. Each takes what is known and says what was found; none reads or writes anything.
//! Between figures it is asked whether the job is to end.
//!
//! What must stay true: what is missing makes a check one that could not be made, with a sentence that says what to do.

pub mod accuracy;
pub mod compatibility;
pub mod drift;
pub mod fairness;
pub mod latency;

use stats::{Confidence, StatsError, verdict};
use syntax::gates;

use super::report::{Check, Outcome};

/// The statistics' own basis.
fn basis(basis: gates::Basis) -> verdict::Basis {
    match basis {
        gates::Basis::Interval => verdict::Basis::Interval,
        gates::Basis::Value => verdict::Basis::Value,
    }
}

/// The statistics' own bound.
fn bound(bound: gates::Bound) -> verdict::Bound {
    match bound {
        gates::Bound::AtLeast(limit) => verdict::Bound::AtLeast(limit),
        gates::Bound::AtMost(limit) => verdict::Bound::AtMost(limit),
    }
}

/// The statistics' own confidence; the gates' numbers lie in its range.
fn confidence(level: f64) -> Confidence {
    Confidence::new(level).unwrap_or_default()
}

/// A check that could not be made, for a reason that is a clause or a sentence.
pub fn unjudged(gate: &str, name: &str, why: &str) -> Check {
    let mut sentence = why.trim_end_matches('.').to_owned();
    if let Some(first) = sentence.chars().next() {
        sentence.replace_range(..first.len_utf8(), &first.to_uppercase().to_string());
    }
    sentence.push('.');
    Check::told(gate, name, Outcome::CouldNotJudge, sentence)
}

fn refused(gate: &str, name: &str, error: &StatsError) -> Check {
    unjudged(gate, name, &error.to_string())
}
