//! A figure of a window as it lands: in the table of drift, and as a point of a metric series.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stats::Estimate;
use syntax::names::FullName;

use super::{
    frame::{self, Values},
    span::Span,
};
use crate::{
    context::Ctx,
    error::{Error, Result},
    jobs::JobCtx,
    tables::{
        append::{append, landed},
        rows::{at_version, rows},
    },
};

const COMMENT: &str = "Figures of windows that monitors computed: one row a window, metric and column";
const TIME: Duration = Duration::from_mins(10);

macro_rules! statuses {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)+) => {
        /// Whether there is a value, and why not.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub(super) enum Status { $($(#[$doc])* $variant,)+ }

        impl Status {
            /// As it is stored.
            pub(super) fn name(self) -> &'static str {
                match self { $(Status::$variant => $name,)+ }
            }

            /// From how it is stored.
            pub(super) fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Status::$variant),)+ _ => None }
            }
        }
    };
}

statuses! {
    /// There is a value.
    Ok = "ok";
    /// No row is in the window.
    Empty = "empty";
    /// Too few rows are.
    Small = "small";
    /// It cannot be told from these rows; the note says why.
    Undefined = "undefined";
}

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    pub span: Span,
    pub metric: String,
    /// Empty where it is of no column.
    pub column: String,
    pub status: Status,
    pub value: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// Rows that it is computed from.
    pub n: u64,
    pub missing: u64,
    /// What it is told against.
    pub reference: String,
    pub reference_n: Option<u64>,
    /// What it would be on average if nothing had changed.
    pub by_chance: Option<f64>,
    pub p_value: Option<f64>,
    /// The p-value among those of all columns of the window.
    pub adjusted: Option<f64>,
    pub note: String,
}

impl Figure {
    /// Without a value.
    pub(super) fn none(span: Span, metric: &str, column: &str, status: Status, note: &str) -> Self {
        Self {
            span,
            metric: metric.to_owned(),
            column: column.to_owned(),
            status,
            value: None,
            low: None,
            high: None,
            n: 0,
            missing: 0,
            reference: String::new(),
            reference_n: None,
            by_chance: None,
            p_value: None,
            adjusted: None,
            note: note.to_owned(),
        }
    }

    /// With the value, interval and rows of an estimate.
    pub(super) fn of(span: Span, metric: &str, column: &str, estimate: &Estimate) -> Self {
        let finite = |bound: f64| bound.is_finite().then_some(bound);
        Self {
            value: Some(estimate.value),
            low: finite(estimate.low),
            high: finite(estimate.high),
            n: estimate.n,
            missing: estimate.missing,
            ..Self::none(span, metric, column, Status::Ok, "")
        }
    }

    /// The same, or why not.
    pub(super) fn of_outcome(
        span: Span,
        metric: &str,
        column: &str,
        outcome: std::result::Result<Estimate, stats::StatsError>,
    ) -> Self {
        match outcome {
            Ok(estimate) => Self::of(span, metric, column, &estimate),
            Err(error) => Self::none(span, metric, column, Status::Undefined, &error.to_string()),
        }
    }
}

/// Lets figures land as a batch, once.
pub(super) async fn land(
    job: &JobCtx,
    name: &FullName,
    batch_id: &str,
    definition: i64,
    figures: &[Figure],
) -> Result<()> {
    let texts = |pick: fn(&Figure) -> &str| {
        Values::Text(figures.iter().map(|one| Some(pick(one).to_owned())).collect())
    };
    let floats = |pick: fn(&Figure) -> Option<f64>| Values::Float(figures.iter().map(pick).collect());
    let ints = |pick: fn(&Figure) -> Option<u64>| {
        let int = |one: &Figure| pick(one).and_then(|number| i64::try_from(number).ok());
        Values::Int(figures.iter().map(int).collect())
    };
    let (schema, rows) = frame::batch(vec![
        ("plan", Values::Text(vec![Some(batch_id.to_owned()); figures.len()])),
        ("definition", Values::Int(vec![Some(definition); figures.len()])),
        ("window_start", Values::Moment(figures.iter().map(|one| Some(one.span.start)).collect())),
        ("window_end", Values::Moment(figures.iter().map(|one| Some(one.span.end)).collect())),
        ("revision", Values::Int(figures.iter().map(|one| Some(one.span.revision)).collect())),
        ("metric", texts(|one| &one.metric)),
        ("column_name", texts(|one| &one.column)),
        ("status", texts(|one| one.status.name())),
        ("value", floats(|one| one.value)),
        ("low", floats(|one| one.low)),
        ("high", floats(|one| one.high)),
        ("n", ints(|one| Some(one.n))),
        ("missing", ints(|one| Some(one.missing))),
        ("reference", texts(|one| &one.reference)),
        ("reference_n", ints(|one| one.reference_n)),
        ("by_chance", floats(|one| one.by_chance)),
        ("p_value", floats(|one| one.p_value)),
        ("adjusted_p_value", floats(|one| one.adjusted)),
        ("note", texts(|one| &one.note)),
    ])?;
    job.charge_written(rows.get_array_memory_size() as u64);
    append(&job.ctx().await?, name, batch_id, COMMENT, &schema, &[rows]).await.map(drop)
}

/// The figures of a batch, if it has landed, as they were.
pub(super) async fn load(ctx: &Ctx, name: &FullName, batch_id: &str) -> Result<Option<Vec<Figure>>> {
    let (table, batch) = (name.clone(), batch_id.to_owned());
    let Some(version) = ctx.read(move |sql| landed(sql, &table, &batch)).await? else { return Ok(None) };
    let statement = format!(
        "SELECT window_start, window_end, revision, metric, column_name, status, value, low, high, n, missing, reference, \
         reference_n, by_chance, p_value, adjusted_p_value, note FROM {} WHERE plan = $plan \
         ORDER BY window_start, metric, column_name",
        at_version(name, version)
    );
    let parameters = vec![("plan".to_owned(), lake::query::Value::Text(batch_id.to_owned()))];
    let mut found = rows(ctx, &statement, parameters, TIME).await?;
    let mut figures = Vec::new();
    while let Some(batch) = found.next().await {
        read(&batch?, &mut figures)?;
    }
    Ok(Some(figures))
}

fn read(batch: &lake::arrow::array::RecordBatch, into: &mut Vec<Figure>) -> Result<()> {
    let unreadable = || Error::internal("a stored figure cannot be read");
    let (starts, ends) = (frame::moments(batch, 0)?, frame::moments(batch, 1)?);
    let ints: Vec<Vec<Option<i64>>> =
        [2, 9, 10, 12].iter().map(|at| frame::ints(batch, *at)).collect::<Result<_>>()?;
    let texts: Vec<Vec<Option<String>>> =
        [3, 4, 5, 11, 16].iter().map(|at| frame::owned_texts(batch, *at)).collect::<Result<_>>()?;
    let floats: Vec<Vec<Option<f64>>> =
        [6, 7, 8, 13, 14, 15].iter().map(|at| frame::floats(batch, *at)).collect::<Result<_>>()?;
    for row in 0..batch.num_rows() {
        let text = |at: usize| texts[at][row].clone().unwrap_or_default();
        let count = |at: usize| ints[at][row].map(|number| number as u64);
        into.push(Figure {
            span: Span {
                start: starts[row].ok_or_else(unreadable)?,
                end: ends[row].ok_or_else(unreadable)?,
                revision: ints[0][row].ok_or_else(unreadable)?,
            },
            metric: text(0),
            column: text(1),
            status: Status::parse(&text(2)).ok_or_else(unreadable)?,
            value: floats[0][row],
            low: floats[1][row],
            high: floats[2][row],
            n: count(1).unwrap_or_default(),
            missing: count(2).unwrap_or_default(),
            reference: text(3),
            reference_n: count(3),
            by_chance: floats[3][row],
            p_value: floats[4][row],
            adjusted: floats[5][row],
            note: text(4),
        });
    }
    Ok(())
}
