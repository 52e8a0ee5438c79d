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
    /// Another one of a metric's values. Only runs have it.
    Aggregate(Aggregate),
    /// Value of a parameter, by key.
    Param(String),
    /// Value of a tag, by key.
    Tag(String),
    /// A field of any data set that the run took as input.
    Dataset(DatasetField),
}

/// One of all the values of a metric: ``metrics.`loss`.min``. Written without quotes, `metrics.loss.min`, it is the latest value
/// of the metric that is literally called `loss.min` in what has such a metric, and the smallest of `loss` in everything else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Aggregate {
    key: String,
    function: Function,
    /// The key of the metric that goes first.
    literal: Option<String>,
}

/// Which of a metric's values an [`Aggregate`] is. NaN is neither the smallest nor the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Function {
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The latest: what the metric has without a function.
    Last,
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
    /// Description of a registered model or a version.
    Description,
    /// `active` or `deleted`, of a run.
    LifecycleStage,
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
    /// What is ordered by. Of several data sets the alphabetically first counts.
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

impl Attribute {
    /// All of them.
    pub const ALL: [Attribute; 19] = [
        Attribute::RunId,
        Attribute::RunName,
        Attribute::UserId,
        Attribute::Status,
        Attribute::StartTime,
        Attribute::EndTime,
        Attribute::ArtifactUri,
        Attribute::Name,
        Attribute::ExperimentId,
        Attribute::CreationTime,
        Attribute::LastUpdateTime,
        Attribute::SourcePath,
        Attribute::VersionNumber,
        Attribute::ModelId,
        Attribute::ModelType,
        Attribute::SourceRunId,
        Attribute::StatusMessage,
        Attribute::Description,
        Attribute::LifecycleStage,
    ];

    /// Whether it is a number in every grammar that has it: a time, or the number of a version.
    pub fn is_number(self) -> bool {
        use Attribute::{CreationTime, EndTime, LastUpdateTime, StartTime, VersionNumber};
        matches!(self, StartTime | EndTime | CreationTime | LastUpdateTime | VersionNumber)
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

impl Function {
    /// All of them, in the order in which errors list them.
    pub const ALL: [Function; 3] = [Function::Min, Function::Max, Function::Last];

    /// The function as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Function::Min => "min",
            Function::Max => "max",
            Function::Last => "last",
        }
    }
}

impl Aggregate {
    /// Of the metric with this key: ``metrics.`loss`.min``.
    pub fn of(key: &str, function: Function) -> Self {
        Self { key: key.to_owned(), function, literal: None }
    }

    /// `metrics.loss.min`, by what stands after `metrics.`; none where no function stands at its end.
    pub fn unquoted(whole: &str) -> Option<Self> {
        let (key, name) = whole.rsplit_once('.').filter(|(key, _)| !key.is_empty())?;
        let function = Function::ALL.into_iter().find(|function| function.name() == name)?;
        Some(Self { key: key.to_owned(), function, literal: Some(whole.to_owned()) })
    }

    /// The metric's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Which of its values.
    pub fn function(&self) -> Function {
        self.function
    }

    /// The key of the metric that goes first, with its latest value, in what has it.
    pub fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
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
            Subject::Aggregate(Aggregate { literal: Some(whole), .. }) => format!("metrics.{whole}"),
            Subject::Aggregate(Aggregate { key, function, .. }) => {
                format!("metrics.{}.{}", quoted(key, '`'), function.name())
            }
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
