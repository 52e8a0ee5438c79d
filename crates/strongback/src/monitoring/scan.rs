//! Reading rows into sketches, batch by batch.
//!
//! What must stay true: memory grows with the number of windows and columns, and never with the number of rows.

use std::{collections::BTreeMap, time::Duration};

use lake::{
    arrow::array::RecordBatch,
    query::{self, Rows},
};
use stats::sketch::ColumnSketch;
use syntax::{monitors::Window, names::FullName};

use super::{
    baseline::Resolved,
    columns::{Column, Nature},
    frame,
    span::{Span, ranges},
};
use crate::{
    context::Ctx,
    error::Result,
    jobs::JobCtx,
    tables::rows::{at_version, quoted, rows},
};

/// How long one query may take.
const TIME: Duration = Duration::from_hours(1);

/// Which rows, and what of them.
#[derive(Debug, Clone)]
pub(super) struct Asked<'a> {
    /// The table.
    pub name: &'a FullName,
    /// Its version.
    pub version: u64,
    /// Column of the event time.
    pub event_time: &'a str,
    /// How event time is cut.
    pub window: Window,
    /// The windows.
    pub spans: &'a [Span],
    /// Column with the model's version, where the table has one.
    pub model_version: Option<&'a str>,
    /// Columns to sketch.
    pub columns: &'a [Column],
}

/// Rows of one model version in one window.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    /// How many.
    pub rows: u64,
    /// One a column that was asked for.
    pub sketches: Vec<ColumnSketch>,
}

/// By start of the window and version of the model.
pub(super) type Parts = BTreeMap<(i64, Option<i64>), Part>;

/// A condition on event time.
pub(super) fn within(event_time: &str, spans: &[Span]) -> String {
    let one = |(start, end): (i64, i64)| {
        format!(
            "({event_time} >= to_timestamp_micros({start}) AND {event_time} < to_timestamp_micros({end}))"
        )
    };
    let all: Vec<String> = ranges(spans).into_iter().map(one).collect();
    if all.is_empty() { "false".to_owned() } else { all.join(" OR ") }
}

/// Sketches of windows.
pub(super) async fn windows(job: &JobCtx, ctx: &Ctx, asked: &Asked<'_>) -> Result<Parts> {
    let event_time = quoted(asked.event_time);
    let model = asked.model_version.map_or_else(|| "CAST(NULL AS BIGINT)".to_owned(), quoted);
    let columns: Vec<String> = asked.columns.iter().map(|column| quoted(&column.name)).collect();
    let columns = columns.iter().fold(String::new(), |all, column| all + ", " + column);
    let statement = format!(
        "SELECT {event_time}, {model} AS model_version{columns} FROM {} WHERE {}",
        at_version(asked.name, asked.version),
        within(&event_time, asked.spans)
    );
    let found = rows(ctx, &statement, Vec::new(), TIME).await?;
    let taking = Taking {
        window: asked.window,
        wanted: asked.spans.iter().map(|span| span.start).collect(),
        columns: asked.columns.to_vec(),
        parts: Parts::new(),
    };
    Ok(take_all(job, found, taking).await?.parts)
}

/// Sketches of all rows of a baseline, which was found for this caller, one a column.
pub(super) async fn whole(
    job: &JobCtx,
    ctx: &Ctx,
    baseline: &Resolved,
    columns: &[Column],
) -> Result<Vec<ColumnSketch>> {
    let listed: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
    let statement = query::read(&format!("SELECT {} FROM baseline", listed.join(", ")))?;
    let FullName { catalog, schema, leaf } = baseline.name.clone();
    let table = query::Resolved { catalog, schema, leaf, id: baseline.table, version: baseline.version };
    let mut found = ctx.app.lake.rows(statement, vec![table], Vec::new(), TIME).await?;
    let mut sketches: Vec<ColumnSketch> = columns.iter().map(Column::empty).collect();
    while let Some(batch) = found.next().await {
        let batch = charged(job, batch?)?;
        let columns = columns.to_vec();
        sketches = job
            .blocking(move || {
                let slots = vec![Some(0); batch.num_rows()];
                for (at, (column, sketch)) in columns.iter().zip(&mut sketches).enumerate() {
                    insert(&batch, at, column.nature, &slots, &mut [sketch])?;
                }
                Ok(sketches)
            })
            .await?;
    }
    Ok(sketches)
}

struct Taking {
    window: Window,
    wanted: Vec<i64>,
    columns: Vec<Column>,
    parts: Parts,
}

async fn take_all(job: &JobCtx, mut found: Rows, mut taking: Taking) -> Result<Taking> {
    while let Some(batch) = found.next().await {
        let batch = charged(job, batch?)?;
        taking = job
            .blocking(move || {
                taking.take(&batch)?;
                Ok(taking)
            })
            .await?;
    }
    Ok(taking)
}

/// Charges a batch to the job, and ends where that is to end.
pub(super) fn charged(job: &JobCtx, batch: RecordBatch) -> Result<RecordBatch> {
    job.check()?;
    job.charge_read(batch.get_array_memory_size() as u64)?;
    Ok(batch)
}

impl Taking {
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let (times, models) = (frame::moments(batch, 0)?, frame::ints(batch, 1)?);
        let mut slots: Vec<Option<usize>> = Vec::with_capacity(times.len());
        let mut known: Vec<(i64, Option<i64>)> = Vec::new();
        for (time, model) in times.into_iter().zip(models) {
            let start = time.map(|time| self.window.start_of(time));
            let place = start.filter(|start| self.wanted.contains(start)).map(|start| {
                let key = (start, model);
                // Rows of one window mostly stand together.
                known.iter().rposition(|one| *one == key).unwrap_or_else(|| {
                    known.push(key);
                    known.len() - 1
                })
            });
            slots.push(place);
        }
        // Each part by itself, so that it can be changed through its place.
        let mut parts: Vec<Part> =
            known.iter().map(|key| self.parts.remove(key).unwrap_or_default()).collect();
        for part in &mut parts {
            if part.sketches.is_empty() {
                part.sketches = self.columns.iter().map(Column::empty).collect();
            }
        }
        for slot in slots.iter().flatten() {
            parts[*slot].rows += 1;
        }
        for (at, column) in self.columns.iter().enumerate() {
            let mut sketches: Vec<&mut ColumnSketch> =
                parts.iter_mut().filter_map(|part| part.sketches.get_mut(at)).collect();
            insert(batch, at + 2, column.nature, &slots, &mut sketches)?;
        }
        self.parts.extend(known.into_iter().zip(parts));
        Ok(())
    }
}

/// Puts the values of a column of a batch into the sketch of the slot that each row has.
fn insert(
    batch: &RecordBatch,
    at: usize,
    nature: Nature,
    slots: &[Option<usize>],
    sketches: &mut [&mut ColumnSketch],
) -> Result<()> {
    match nature {
        Nature::Numeric => {
            for (value, slot) in frame::floats(batch, at)?.into_iter().zip(slots) {
                if let Some(ColumnSketch::Numeric(sketch)) = slot.and_then(|slot| sketches.get_mut(slot)) {
                    sketch.insert(value);
                }
            }
        }
        Nature::Categorical => {
            for (value, slot) in frame::texts(batch, at)?.iter().zip(slots) {
                if let Some(ColumnSketch::Categorical(sketch)) = slot.and_then(|slot| sketches.get_mut(slot))
                {
                    sketch.insert(value);
                }
            }
        }
    }
    Ok(())
}
