//! Whether something matches a filter, and how values are ordered.
//!
//! MLflow's rules: a missing key satisfies no comparison but `IS NULL`, not even `!=`; NaN satisfies only `!=`; a data
//! set comparison holds if some input satisfies it. An attribute that is empty is missing for `IS NULL`, since that is how no
//! run, no description and no user are kept; a param and a tag may be empty and there. What is ours: a comparison holds or does not, and `NOT` is the opposite, so that
//! `NOT tags.team = 'risk'` finds what has no such tag as well. The one exception is the tag that marks prompts
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

    /// Whether one of the values of a numeric subject passes, where there may be several.
    fn some_number(&self, subject: &Subject, passes: &dyn Fn(f64) -> bool) -> bool {
        self.number(subject).is_some_and(passes)
    }

    /// Value of a text subject: params, tags, other attributes.
    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>>;

    /// Whether a missing prompt tag counts as `false`; of runs, which are never prompts, it is just missing.
    fn may_be_prompt(&self) -> bool {
        true
    }

    /// Values of a data set field, one for each input that has it.
    fn texts(&self, subject: &Subject) -> Vec<Cow<'_, str>> {
        self.text(subject).into_iter().collect()
    }
}

/// A filter made ready for many things: patterns compiled, lists hashed.
#[derive(Debug, Clone)]
pub enum Predicate {
    /// All of these hold.
    All(Vec<Predicate>),
    /// One of these holds at least.
    Any(Vec<Predicate>),
    /// This does not hold.
    Not(Box<Predicate>),
    /// A comparison holds of what it looks at.
    Test(Subject, Test),
}

/// One comparison made ready, for one value or for whole columns of them.
#[derive(Debug, Clone)]
pub enum Test {
    /// Of a number.
    Number(Operator, f64),
    /// Of a text.
    Text(TextTest),
    /// `IS NULL`
    Missing,
    /// `IS NOT NULL`
    Present,
    /// An operand that does not fit its operator, which no parser produces.
    Never,
}

/// A comparison of texts; equality is a list of one.
#[derive(Debug, Clone)]
pub enum TextTest {
    /// `=`, `IN`
    OneOf(HashSet<String>),
    /// `!=`, `NOT IN`
    NoneOf(HashSet<String>),
    /// `LIKE`, `ILIKE`
    Like(LikeMatcher),
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
        match filter {
            Expr::And(parts) => Self::All(parts.iter().map(Self::new).collect()),
            Expr::Or(parts) => Self::Any(parts.iter().map(Self::new).collect()),
            Expr::Not(part) => Self::Not(Box::new(Self::new(part))),
            Expr::Compare(comparison) => Self::comparison(comparison),
        }
    }

    fn comparison(comparison: &Comparison) -> Self {
        let subject = comparison.subject.clone();
        let is_text = matches!(subject, Subject::Attribute(attribute) if !attribute.is_number());
        let not_empty = || Test::Text(TextTest::NoneOf(HashSet::from([String::new()])));
        match comparison.op {
            Operator::IsNotNull if is_text => Self::Test(subject, not_empty()),
            Operator::IsNull if is_text => Self::Not(Box::new(Self::Test(subject, not_empty()))),
            _ => Self::Test(subject, Test::new(comparison)),
        }
    }

    /// Whether the thing matches.
    pub fn matches(&self, fields: &impl Fields) -> bool {
        self.matches_while(fields, || Ok::<_, std::convert::Infallible>(()))
            .unwrap_or_else(|never| match never {})
    }

    /// The same for who has little time: `keep_going` is asked before each comparison, and its failure is the answer.
    pub fn matches_while<E>(
        &self,
        fields: &impl Fields,
        keep_going: impl Fn() -> Result<(), E>,
    ) -> Result<bool, E> {
        self.holds(fields, &keep_going)
    }

    fn holds<E>(&self, fields: &impl Fields, keep_going: &impl Fn() -> Result<(), E>) -> Result<bool, E> {
        match self {
            Self::All(parts) => {
                for part in parts {
                    if !part.holds(fields, keep_going)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(parts) => {
                for part in parts {
                    if part.holds(fields, keep_going)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(part) => Ok(!part.holds(fields, keep_going)?),
            Self::Test(subject, test) => {
                keep_going()?;
                Ok(test.holds(subject, fields))
            }
        }
    }
}

impl Test {
    fn new(comparison: &Comparison) -> Self {
        let one = |text: &String| HashSet::from([text.clone()]);
        let all = |list: &[String]| list.iter().cloned().collect();
        match (comparison.op, &comparison.value) {
            (op, Operand::Number(number)) => Self::Number(op, *number),
            (Operator::Eq, Operand::Text(text)) => Self::Text(TextTest::OneOf(one(text))),
            (Operator::Ne, Operand::Text(text)) => Self::Text(TextTest::NoneOf(one(text))),
            (Operator::Like, Operand::Text(pattern)) => Self::Text(TextTest::Like(like(pattern))),
            (Operator::ILike, Operand::Text(pattern)) => Self::Text(TextTest::Like(ilike(pattern))),
            (Operator::In, Operand::List(list)) => Self::Text(TextTest::OneOf(all(list))),
            (Operator::NotIn, Operand::List(list)) => Self::Text(TextTest::NoneOf(all(list))),
            (Operator::IsNull, Operand::None) => Self::Missing,
            (Operator::IsNotNull, Operand::None) => Self::Present,
            _ => Self::Never,
        }
    }

    fn holds(&self, subject: &Subject, fields: &impl Fields) -> bool {
        match self {
            Self::Number(op, value) => fields.some_number(subject, &|number| compare(number, *op, *value)),
            Self::Missing => !is_present(subject, fields),
            Self::Present => is_present(subject, fields),
            Self::Text(test) if matches!(subject, Subject::Dataset(_)) => {
                fields.texts(subject).iter().any(|text| test.holds(text))
            }
            Self::Text(test) => match fields.text(subject) {
                Some(text) => test.holds(&text),
                None => {
                    let is_prompt_tag = matches!(subject, Subject::Tag(key) if key == PROMPT_TAG);
                    is_prompt_tag && fields.may_be_prompt() && test.holds_for_no_prompt()
                }
            },
            Self::Never => false,
        }
    }
}

impl TextTest {
    /// Whether a text passes.
    pub fn holds(&self, text: &str) -> bool {
        match self {
            Self::OneOf(list) => list.contains(text),
            Self::NoneOf(list) => !list.contains(text),
            Self::Like(matcher) => matcher.matches(text),
        }
    }

    /// Whether what has no prompt tag passes for what is no prompt: clients ask `= 'false'` or `!= 'true'`.
    fn holds_for_no_prompt(&self) -> bool {
        match self {
            Self::OneOf(list) => list.contains("false"),
            Self::NoneOf(list) => list.contains("true"),
            Self::Like(_) => false,
        }
    }
}

/// Whether there is a value. NaN is one.
fn is_present(subject: &Subject, fields: &impl Fields) -> bool {
    match subject {
        Subject::Metric(_) | Subject::Aggregate(_) => fields.some_number(subject, &|_| true),
        Subject::Attribute(attribute) if attribute.is_number() => fields.some_number(subject, &|_| true),
        Subject::Dataset(_) => !fields.texts(subject).is_empty(),
        Subject::Attribute(_) | Subject::Param(_) | Subject::Tag(_) => fields.text(subject).is_some(),
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
