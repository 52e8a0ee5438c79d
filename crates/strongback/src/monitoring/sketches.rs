//! The table of sketches: what each window's columns were like, by model version, and what the baselines' are.
//!
//! A batch is what one plan made, or one baseline. What has landed is read back and never made again, so that every figure
//! comes from the sketches that are stored.

use std::time::Duration;

use stats::sketch::ColumnSketch;
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

const COMMENT: &str = "Sketches of windows that monitors made, from which their figures are derived";
/// How long reading them back may take.
const TIME: Duration = Duration::from_mins(10);

macro_rules! roles {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)+) => {
        /// What a sketch is of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Role { $($(#[$doc])* $variant,)+ }

        impl Role {
            /// As it is stored.
            pub(super) fn name(self) -> &'static str {
                match self { $(Role::$variant => $name,)+ }
            }

            fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Role::$variant),)+ _ => None }
            }
        }
    };
}

roles! {
    /// A column of the baseline.
    Baseline = "baseline";
    /// A compared column in a window.
    Feature = "feature";
    /// The predictions of a window.
    Prediction = "prediction";
    /// The labels of a window's rows.
    Label = "label";
}

/// A sketch with what it is of.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub role: Role,
    /// The window; none for baselines.
    pub span: Option<Span>,
    /// Version of the model that served the rows, where the table says it.
    pub model_version: Option<i64>,
    pub column: String,
    pub sketch: ColumnSketch,
}

/// Lets sketches land as a batch, once.
pub(super) async fn land(job: &JobCtx, name: &FullName, batch_id: &str, sketches: &[Row]) -> Result<()> {
    let of = |pick: fn(Span) -> i64| sketches.iter().map(|row| row.span.map(pick)).collect::<Vec<_>>();
    let text = |pick: fn(&Row) -> &str| sketches.iter().map(|row| Some(pick(row).to_owned())).collect();
    let (schema, rows) = frame::batch(vec![
        ("plan", Values::Text(vec![Some(batch_id.to_owned()); sketches.len()])),
        ("role", Values::Text(text(|row| row.role.name()))),
        ("window_start", Values::Moment(of(|span| span.start))),
        ("window_end", Values::Moment(of(|span| span.end))),
        ("revision", Values::Int(of(|span| span.revision))),
        ("model_version", Values::Int(sketches.iter().map(|row| row.model_version).collect())),
        ("column_name", Values::Text(text(|row| &row.column))),
        (
            "row_count",
            Values::Int(sketches.iter().map(|row| i64::try_from(row.sketch.rows()).ok()).collect()),
        ),
        (
            "missing",
            Values::Int(sketches.iter().map(|row| i64::try_from(row.sketch.missing()).ok()).collect()),
        ),
        ("sketch", Values::Bytes(sketches.iter().map(|row| row.sketch.to_bytes()).collect())),
    ])?;
    job.charge_written(rows.get_array_memory_size() as u64);
    append(&job.ctx().await?, name, batch_id, COMMENT, &schema, &[rows]).await.map(drop)
}

/// The sketches of a batch, if it has landed.
pub(super) async fn load(ctx: &Ctx, name: &FullName, batch_id: &str) -> Result<Option<Vec<Row>>> {
    let (table, batch) = (name.clone(), batch_id.to_owned());
    let Some(version) = ctx.read(move |sql| landed(sql, &table, &batch)).await? else { return Ok(None) };
    let condition = "plan = $plan";
    let parameters = vec![("plan".to_owned(), lake::query::Value::Text(batch_id.to_owned()))];
    select(ctx, name, version, condition, parameters).await.map(Some)
}

/// The sketches of the predictions of a window that a plan made; none where they are not kept any more.
pub(super) async fn of_predictions(
    ctx: &Ctx,
    name: &FullName,
    batch_id: &str,
    start: i64,
) -> Result<Vec<Row>> {
    let (table, batch) = (name.clone(), batch_id.to_owned());
    let Some(version) = ctx.read(move |sql| landed(sql, &table, &batch)).await? else {
        return Ok(Vec::new());
    };
    let condition =
        format!("plan = $plan AND role = 'prediction' AND window_start = to_timestamp_micros({start})");
    let parameters = vec![("plan".to_owned(), lake::query::Value::Text(batch_id.to_owned()))];
    select(ctx, name, version, &condition, parameters).await
}

async fn select(
    ctx: &Ctx,
    name: &FullName,
    version: u64,
    condition: &str,
    parameters: Vec<(String, lake::query::Value)>,
) -> Result<Vec<Row>> {
    let statement = format!(
        "SELECT role, window_start, window_end, revision, model_version, column_name, sketch FROM {} WHERE {condition} \
         ORDER BY window_start, role, column_name, model_version",
        at_version(name, version)
    );
    let mut found = rows(ctx, &statement, parameters, TIME).await?;
    let mut sketches = Vec::new();
    while let Some(batch) = found.next().await {
        let batch = batch?;
        let roles = frame::owned_texts(&batch, 0)?;
        let (starts, ends) = (frame::moments(&batch, 1)?, frame::moments(&batch, 2)?);
        let (revisions, models) = (frame::ints(&batch, 3)?, frame::ints(&batch, 4)?);
        let (columns, bytes) = (frame::owned_texts(&batch, 5)?, frame::bytes(&batch, 6)?);
        for (at, (role, column)) in roles.into_iter().zip(columns).enumerate() {
            let role = role.as_deref().and_then(Role::parse);
            let unreadable = || Error::internal("a stored sketch does not say what it is of");
            let span = starts[at].zip(ends[at]).zip(revisions[at]);
            sketches.push(Row {
                role: role.ok_or_else(unreadable)?,
                span: span.map(|((start, end), revision)| Span { start, end, revision }),
                model_version: models[at],
                column: column.ok_or_else(unreadable)?,
                sketch: ColumnSketch::from_bytes(bytes[at].as_deref().unwrap_or_default())
                    .map_err(Error::internal)?,
            });
        }
    }
    Ok(sketches)
}

/// One sketch of several parts of a column.
pub(super) fn merged<'s>(parts: impl IntoIterator<Item = &'s ColumnSketch>) -> Result<Option<ColumnSketch>> {
    let mut parts = parts.into_iter();
    let Some(mut whole) = parts.next().cloned() else { return Ok(None) };
    for part in parts {
        whole.merge(part).map_err(Error::internal)?;
    }
    Ok(Some(whole))
}
