//! Whether something matches a filter, and how values are ordered.
//!
//! MLflow's rules: a missing key satisfies no comparison but `IS NULL`, not even `!=`; NaN satisfies only `!=`; a data
//! set comparison holds if some input satisfies it. The one exception is the tag that marks prompts
//! ([`PROMPT_TAG`]): where it is missing it counts as `false`, since clients ask for `!= 'true'` to leave prompts out.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use super::ast::{Comparison, Expr, Operand, Operator, Subject};
use super::like::{LikeMatcher, ilike, like};

/// The tag that marks a registered model or version as a prompt.
pub const PROMPT_TAG: &str = "mlflow.prompt.is_prompt";

/// The values of one thing that is searched.
pub trait Fields {
    /// Value of a numeric subject: metrics, times (epoch milliseconds), version numbers. NaN is a value.
    fn number(&self, subject: &Subject) -> Option<f64>;

    /// Value of a text subject: params, tags, other attributes.
    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>>;

    /// Values of a data set field, one for each input that has it.
    fn texts(&self, subject: &Subject) -> Vec<Cow<'_, str>> {
        self.text(subject).into_iter().collect()
    }
}

/// A filter made ready for many things: patterns compiled, lists hashed.
#[derive(Debug, Clone)]
pub struct Predicate {
    tests: Vec<(Subject, Test)>,
}

#[derive(Debug, Clone)]
enum Test {
    Number(Operator, f64),
    Equal(String),
    NotEqual(String),
    Like(LikeMatcher),
    OneOf(HashSet<String>),
    NoneOf(HashSet<String>),
    Missing,
    Present,
    /// An operand that does not fit its operator, which no parser produces.
    Never,
}

impl Expr {
    /// Whether the thing matches. For many things, make a [`Predicate`] once.
    pub fn matches(&self, fields: &impl Fields) -> bool {
        Predicate::new(self).matches(fields)
    }
}

impl Predicate {
    /// Compiles a filter.
    pub fn new(filter: &Expr) -> Self {
        let tests = filter.comparisons().into_iter().map(|c| (c.subject.clone(), Test::new(c)));
        Self { tests: tests.collect() }
    }

    /// Whether the thing satisfies every comparison.
    pub fn matches(&self, fields: &impl Fields) -> bool {
        self.tests.iter().all(|(subject, test)| test.holds(subject, fields))
    }
}

impl Test {
    fn new(comparison: &Comparison) -> Self {
        let set = |values: &[String]| values.iter().cloned().collect();
        match (comparison.op, &comparison.value) {
            (op, Operand::Number(number)) => Test::Number(op, *number),
            (Operator::Eq, Operand::Text(text)) => Test::Equal(text.clone()),
            (Operator::Ne, Operand::Text(text)) => Test::NotEqual(text.clone()),
            (Operator::Like, Operand::Text(pattern)) => Test::Like(like(pattern)),
            (Operator::ILike, Operand::Text(pattern)) => Test::Like(ilike(pattern)),
            (Operator::In, Operand::List(values)) => Test::OneOf(set(values)),
            (Operator::NotIn, Operand::List(values)) => Test::NoneOf(set(values)),
            (Operator::IsNull, Operand::None) => Test::Missing,
            (Operator::IsNotNull, Operand::None) => Test::Present,
            _ => Test::Never,
        }
    }

    fn holds(&self, subject: &Subject, fields: &impl Fields) -> bool {
        match self {
            Test::Number(op, value) => fields.number(subject).is_some_and(|n| compare(n, *op, *value)),
            Test::Missing => fields.text(subject).is_none(),
            Test::Present => fields.text(subject).is_some(),
            _ if matches!(subject, Subject::Dataset(_)) => {
                fields.texts(subject).iter().any(|text| self.holds_for(text))
            }
            _ => match fields.text(subject) {
                Some(text) => self.holds_for(&text),
                None => self.holds_for_missing(subject),
            },
        }
    }

    fn holds_for(&self, text: &str) -> bool {
        match self {
            Test::Equal(value) => text == value,
            Test::NotEqual(value) => text != value,
            Test::Like(matcher) => matcher.matches(text),
            Test::OneOf(values) => values.contains(text),
            Test::NoneOf(values) => !values.contains(text),
            Test::Number(..) | Test::Missing | Test::Present | Test::Never => false,
        }
    }

    fn holds_for_missing(&self, subject: &Subject) -> bool {
        let prompt = matches!(subject, Subject::Tag(key) if key == PROMPT_TAG);
        match self {
            Test::Equal(value) => prompt && value == "false",
            Test::NotEqual(value) => prompt && value == "true",
            _ => false,
        }
    }
}

/// IEEE comparison: with a NaN on either side only `!=` holds.
fn compare(left: f64, op: Operator, right: f64) -> bool {
    match op {
        Operator::Eq => left == right,
        Operator::Ne => left != right,
        Operator::Lt => left < right,
        Operator::Le => left <= right,
        Operator::Gt => left > right,
        Operator::Ge => left >= right,
        _ => false,
    }
}

/// Orders numbers: by value in the direction asked for, then NaN, then missing, both last in either direction.
pub fn compare_numbers(left: Option<f64>, right: Option<f64>, ascending: bool) -> Ordering {
    let rank = |value: Option<f64>| match value {
        Some(number) if !number.is_nan() => 0,
        Some(_) => 1,
        None => 2,
    };
    let by_value = left.partial_cmp(&right).filter(|_| rank(left) == 0).unwrap_or(Ordering::Equal);
    let by_value = if ascending { by_value } else { by_value.reverse() };
    rank(left).cmp(&rank(right)).then(by_value)
}

/// Orders texts by code point in the direction asked for; missing comes last in either direction.
pub fn compare_texts(left: Option<&str>, right: Option<&str>, ascending: bool) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) if ascending => left.cmp(right),
        (Some(left), Some(right)) => right.cmp(left),
        (left, right) => left.is_none().cmp(&right.is_none()),
    }
}
