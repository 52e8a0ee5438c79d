//! What gates found: the report, as it is stored, sent and shown.
//!
//! What must stay true: every check says what was found, from how many rows, against which bound, and what that means in a
//! sentence; a check that could not be made never counts as one that passed.

mod junit;
mod markdown;
mod unjudged;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::{
    Estimate,
    verdict::{Basis, Bound, Judgement},
};

pub use junit::junit;
pub use markdown::markdown;
pub use unjudged::Unjudged;

use crate::registry::evidence::Verdict;

/// The version of the stored form.
pub const FORMAT: u32 = 1;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// What was asked holds.
    Pass,
    /// It does not.
    Fail,
    /// Nobody can tell.
    CouldNotJudge,
    /// There is nothing that it could be asked of.
    NotApplicable,
}

impl Outcome {
    /// As people read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::CouldNotJudge => "could not judge",
            Self::NotApplicable => "not applicable",
        }
    }
}

impl From<stats::verdict::Verdict> for Outcome {
    fn from(verdict: stats::verdict::Verdict) -> Self {
        match verdict {
            stats::verdict::Verdict::Pass => Self::Pass,
            stats::verdict::Verdict::Fail => Self::Fail,
            stats::verdict::Verdict::Undecided => Self::CouldNotJudge,
        }
    }
}

/// A figure that a check was made of: a model's own, a column's, a group's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Of what.
    pub name: String,
    /// The figure.
    pub estimate: Estimate,
    /// What it came to, where it has a bound of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The gate that it belongs to: the section of the file.
    pub gate: String,
    /// Its name, alone in the report, e.g. `accuracy.roc_auc`.
    pub name: String,
    /// What it came to.
    pub outcome: Outcome,
    /// Whether it keeps the candidate out.
    pub blocking: bool,
    /// The figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// What the figure has to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
    /// Whether the whole interval has to, or the value alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// What that means.
    pub sentence: String,
    /// What it was made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

impl Check {
    /// A blocking check without a figure.
    pub fn told(gate: &str, name: &str, outcome: Outcome, sentence: impl Into<String>) -> Self {
        let name = if name.is_empty() { gate.to_owned() } else { format!("{gate}.{name}") };
        Self {
            gate: gate.to_owned(),
            name,
            outcome,
            blocking: true,
            estimate: None,
            bound: None,
            basis: None,
            sentence: sentence.into(),
            parts: Vec::new(),
        }
    }

    /// A blocking check of a figure against its bound. `what` says what the figure is.
    pub fn judged(gate: &str, name: &str, judgement: &Judgement, what: &str) -> Self {
        let outcome = Outcome::from(judgement.verdict);
        let tail = match outcome {
            Outcome::CouldNotJudge => " These rows do not tell on which side it is: judge on more rows.",
            _ => "",
        };
        let sentence = format!("{what} is {}; {}.{tail}", judgement.estimate, asked(judgement));
        Self {
            estimate: Some(judgement.estimate),
            bound: Some(judgement.bound),
            basis: Some(judgement.basis),
            ..Self::told(gate, name, outcome, sentence)
        }
    }

    /// The same with what it was made of.
    #[must_use]
    pub fn with_parts(self, parts: Vec<Part>) -> Self {
        Self { parts, ..self }
    }
}

fn asked(judgement: &Judgement) -> String {
    let what = match judgement.basis {
        Basis::Interval => "the interval",
        Basis::Value => "the value",
    };
    format!("{what} has to be {}", bound_text(judgement.bound))
}

/// A bound as people read it.
pub fn bound_text(bound: Bound) -> String {
    match bound {
        Bound::AtLeast(limit) => format!("at least {limit}"),
        Bound::AtMost(limit) => format!("at most {limit}"),
    }
}

/// A version that was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Its number.
    pub version: i64,
    /// Digest of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The run that it came from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run_id: String,
}

/// Rows that were judged on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// The table and its version, `catalog.schema.table@7`.
    pub table: String,
    /// Rows that were read.
    pub rows: u64,
    /// Which rows, as a condition of SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Earliest event, microseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at_us: Option<i64>,
    /// Latest event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at_us: Option<i64>,
}

impl Data {
    /// All of a table, or as many of its rows as were read.
    pub fn whole(table: String, rows: u64) -> Self {
        Self { table, rows, condition: None, first_at_us: None, last_at_us: None }
    }
}

/// A whole report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// Its id.
    pub id: String,
    /// Name of the model.
    pub model: String,
    /// The alias that it was judged for.
    pub alias: String,
    /// Who wants its place.
    pub candidate: Judged,
    /// Who has it; none yet where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<Judged>,
    /// `pass`, `fail` or `could_not_judge`.
    pub verdict: String,
    /// The rows that both scored.
    pub evaluation: Data,
    /// The rows that the candidate learned from, where they were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Data>,
    /// The recorded requests that were asked again, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Data>,
    /// The checks, in the order of the file.
    pub checks: Vec<Check>,
    /// Digest of the gates.
    pub config_digest: String,
    /// The gates as they were written.
    pub config: String,
    /// The evaluation run.
    pub run_id: String,
    /// Name of whose rights it was made with.
    pub by: String,
    /// When, milliseconds since the epoch.
    pub made_at: i64,
    /// From when on it moves nothing.
    pub expires_at: i64,
}

/// What checks come to together: a blocking one that fails fails all; one that could not be made leaves all unjudged, and so
/// does a report in which nothing that blocks passed.
pub fn verdict(checks: &[Check]) -> Verdict {
    let blocking = || checks.iter().filter(|check| check.blocking);
    let any = |outcome| blocking().any(|check| check.outcome == outcome);
    if any(Outcome::Fail) {
        return Verdict::Fail;
    }
    if any(Outcome::CouldNotJudge) || !any(Outcome::Pass) {
        return Verdict::CouldNotJudge;
    }
    Verdict::Pass
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_missing_passes() {
        use Outcome::{CouldNotJudge, Fail, NotApplicable, Pass};
        let of = |outcomes: &[(Outcome, bool)]| {
            let check = |(outcome, blocking): &(Outcome, bool)| Check {
                blocking: *blocking,
                ..Check::told("latency", "", *outcome, "words")
            };
            verdict(&outcomes.iter().map(check).collect::<Vec<_>>())
        };
        assert_eq!(of(&[]), Verdict::CouldNotJudge);
        assert_eq!(of(&[(NotApplicable, true), (Pass, false)]), Verdict::CouldNotJudge);
        assert_eq!(of(&[(Pass, true), (NotApplicable, true), (Fail, false)]), Verdict::Pass);
        assert_eq!(of(&[(Pass, true), (CouldNotJudge, false)]), Verdict::Pass);
        assert_eq!(of(&[(Pass, true), (CouldNotJudge, true)]), Verdict::CouldNotJudge);
        assert_eq!(of(&[(Fail, true), (CouldNotJudge, true)]), Verdict::Fail);
    }
}
