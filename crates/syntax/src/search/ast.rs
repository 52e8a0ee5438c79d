//! The tree of a filter: what is compared, how, with what, and where it stood in the text.

use std::fmt::Write as _;

use super::grammar::Grammar;

/// A place in the source text, in bytes: `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One after the last byte.
    pub end: usize,
}

/// A filter. MLflow's has comparisons that are joined by `AND`; `OR`, `NOT` and parentheses are ours.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// All of these hold; an empty list holds for everything. A parser gives one of these at the top.
    And(Vec<Expr>),
    /// One of these holds at least.
    Or(Vec<Expr>),
    /// This does not hold, for whatever reason: also where what it looks at is missing.
    Not(Box<Expr>),
    /// One comparison.
    Compare(Comparison),
}

/// `subject op value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Left side.
    pub subject: Subject,
    /// Which comparison.
    pub op: Operator,
    /// Right side; its kind fits subject and operator.
    pub value: Operand,
    /// The whole comparison in the source.
    pub span: Span,
}

/// What a comparison or an order looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A fixed field of the entity.
    Attribute(Attribute),
    /// Latest value of a metric, by key.
    Metric(String),
    /// Value of a parameter, by key.
    Param(String),
    /// Value of a tag, by key.
    Tag(String),
    /// A field of any data set that the run took as input.
    Dataset(DatasetField),
}

/// Fixed fields over all grammars, aliases folded (`created` is [`Attribute::StartTime`]). Times are epoch
/// milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attribute {
    /// Run id: of a run, or the run that a model version came from.
    RunId,
    /// Name of a run, which MLflow keeps in the tag `mlflow.runName`.
    RunName,
    /// Who started a run.
    UserId,
    /// Status of a run by name, of a logged model by number *as text* (`"1"` pending, `"2"` ready, `"3"` failed).
    Status,
    /// Start of a run.
    StartTime,
    /// End of a run.
    EndTime,
    /// Artifact root of a run.
    ArtifactUri,
    /// Name of an experiment, registered model, model version's model or logged model.
    Name,
    /// Experiment id, as decimal text.
    ExperimentId,
    /// Creation time of an experiment, model version or logged model.
    CreationTime,
    /// Time of the last change.
    LastUpdateTime,
    /// Source of a model version.
    SourcePath,
    /// Number of a model version.
    VersionNumber,
    /// Id of a logged model.
    ModelId,
    /// Type of a logged model.
    ModelType,
    /// Run that a logged model came from.
    SourceRunId,
    /// Status message of a logged model.
    StatusMessage,
}

/// Fields of a run's input data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DatasetField {
    /// Name of the data set.
    Name,
    /// Digest of the data set.
    Digest,
    /// Context in which the run used it: its input tag `mlflow.data.context`.
    Context,
}

/// How subject and value are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    /// `=`
    Eq,
    /// `!=`; never true of a missing key.
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `LIKE`: `%` any text, `_` one character, case sensitive.
    Like,
    /// `ILIKE`: the same, case insensitive.
    ILike,
    /// `IN (…)`
    In,
    /// `NOT IN (…)`; never true of a missing key.
    NotIn,
    /// `IS NULL`
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
}

/// The right side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A number, for numeric subjects.
    Number(f64),
    /// A text, for text subjects; for `LIKE` and `ILIKE` the pattern.
    Text(String),
    /// The list of `IN` and `NOT IN`; never empty.
    List(Vec<String>),
    /// Nothing: `IS NULL`, `IS NOT NULL`.
    None,
}

/// One field of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderBy {
    /// What is ordered by; never a data set.
    pub subject: Subject,
    /// Smallest first. Missing values come last in both directions.
    pub ascending: bool,
}

impl Span {
    /// From the start of one to the end of the other.
    pub(super) fn to(self, last: Span) -> Span {
        Span { start: self.start, end: last.end }
    }
}

impl Operator {
    /// The operator as it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Operator::Eq => "=",
            Operator::Ne => "!=",
            Operator::Lt => "<",
            Operator::Le => "<=",
            Operator::Gt => ">",
            Operator::Ge => ">=",
            Operator::Like => "LIKE",
            Operator::ILike => "ILIKE",
            Operator::In => "IN",
            Operator::NotIn => "NOT IN",
            Operator::IsNull => "IS NULL",
            Operator::IsNotNull => "IS NOT NULL",
        }
    }
}

impl DatasetField {
    /// All of them, in the order in which errors list them.
    pub const ALL: [DatasetField; 3] = [DatasetField::Name, DatasetField::Digest, DatasetField::Context];

    /// The field as it is written.
    pub fn name(self) -> &'static str {
        match self {
            DatasetField::Name => "name",
            DatasetField::Digest => "digest",
            DatasetField::Context => "context",
        }
    }
}

impl Expr {
    /// Every comparison of the filter, left to right.
    pub fn comparisons(&self) -> Vec<&Comparison> {
        match self {
            Expr::And(parts) | Expr::Or(parts) => parts.iter().flat_map(Expr::comparisons).collect(),
            Expr::Not(part) => part.comparisons(),
            Expr::Compare(comparison) => vec![comparison],
        }
    }

    /// The same, to change them.
    pub fn comparisons_mut(&mut self) -> Vec<&mut Comparison> {
        match self {
            Expr::And(parts) | Expr::Or(parts) => parts.iter_mut().flat_map(Expr::comparisons_mut).collect(),
            Expr::Not(part) => part.comparisons_mut(),
            Expr::Compare(comparison) => vec![comparison],
        }
    }

    /// The comparisons that hold of everything that matches: those within no `OR` and no `NOT`.
    pub fn required(&self) -> Vec<&Comparison> {
        match self {
            Expr::And(parts) => parts.iter().flat_map(Expr::required).collect(),
            Expr::Compare(comparison) => vec![comparison],
            Expr::Or(_) | Expr::Not(_) => Vec::new(),
        }
    }

    /// Whether some comparison looks at this tag: a search of prompts asks for `mlflow.prompt.is_prompt`.
    pub fn mentions_tag(&self, key: &str) -> bool {
        self.comparisons().iter().any(|c| matches!(&c.subject, Subject::Tag(tag) if tag == key))
    }

    /// The filter as text of this grammar; parsing it gives this tree again, apart from spans.
    pub fn to_filter(&self, grammar: Grammar) -> String {
        let joined = |parts: &[Expr], word: &str| {
            let parts: Vec<String> = parts.iter().map(|part| part.within(grammar)).collect();
            parts.join(word)
        };
        match self {
            Expr::And(parts) => joined(parts, " AND "),
            Expr::Or(parts) => joined(parts, " OR "),
            Expr::Not(part) => format!("NOT {}", part.within(grammar)),
            Expr::Compare(comparison) => comparison.to_filter(grammar),
        }
    }

    /// The same as a part of something else.
    fn within(&self, grammar: Grammar) -> String {
        match self {
            Expr::And(_) | Expr::Or(_) => format!("({})", self.to_filter(grammar)),
            Expr::Not(_) | Expr::Compare(_) => self.to_filter(grammar),
        }
    }
}

impl Comparison {
    fn to_filter(&self, grammar: Grammar) -> String {
        let mut text = format!("{} {}", self.subject.to_text(grammar), self.op.symbol());
        match &self.value {
            Operand::Number(number) if number.is_infinite() => {
                text.push_str(if *number > 0.0 { " 1e999" } else { " -1e999" });
            }
            // Writing into a String cannot fail.
            Operand::Number(number) => _ = write!(text, " {number}"),
            Operand::Text(value) => _ = write!(text, " {}", quoted(value, '\'')),
            Operand::List(values) => {
                let values: Vec<String> = values.iter().map(|value| quoted(value, '\'')).collect();
                _ = write!(text, " ({})", values.join(", "));
            }
            Operand::None => {}
        }
        text
    }
}

impl Subject {
    /// The subject as it is written in this grammar.
    pub fn to_text(&self, grammar: Grammar) -> String {
        match self {
            Subject::Attribute(attribute) => grammar.attribute_name(*attribute).to_owned(),
            Subject::Metric(key) => format!("metrics.{}", quoted(key, '`')),
            Subject::Param(key) => format!("params.{}", quoted(key, '`')),
            Subject::Tag(key) => format!("tags.{}", quoted(key, '`')),
            Subject::Dataset(field) => format!("dataset.{}", field.name()),
        }
    }
}

fn quoted(text: &str, quote: char) -> String {
    let doubled: String = [quote, quote].iter().collect();
    format!("{quote}{}{quote}", text.replace(quote, &doubled))
}
