//! What a job of a monitor finds when it begins: the monitor, the tables at their newest versions, and how many rows windows
//! have.

use std::{collections::BTreeMap, time::Duration};

use super::{
    baseline::{self, Resolved},
    frame,
    labelled::{self, ByWindow},
    labels::{self, Labels},
    monitor::{self, Monitor},
    scan,
    span::Span,
    tables::{Names, names_of},
};
use crate::{
    catalog::{Action, authorize},
    context::Ctx,
    db::Sql,
    error::Result,
    jobs::JobCtx,
    tables::{
        managed::{self, Managed},
        rows::{at_version, quoted, rows},
    },
};

/// How long the query for the first and the last moment may take.
const TIME: Duration = Duration::from_mins(30);
/// The column of payload tables that says which version of the model served a row.
const MODEL_VERSION: &str = "_model_version";

/// One look.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub monitor: Monitor,
    pub watched: Managed,
    pub labels: Option<Managed>,
    /// Why labels that are there do not count.
    pub left_out: Option<String>,
    pub baseline: Resolved,
    pub names: Names,
    /// Columns of the watched table.
    pub columns: Vec<lake::schema::Column>,
}

impl Look {
    /// Version of the watched table.
    pub(super) fn table_version(&self) -> u64 {
        self.watched.newest.version
    }

    /// Version of the labels, if there are any.
    pub(super) fn labels_version(&self) -> Option<u64> {
        self.labels.as_ref().map(|table| table.newest.version)
    }

    /// The column that says which version of the model served a row, if there is one.
    pub(super) fn model_version(&self) -> Option<&str> {
        super::columns::named(&self.columns, MODEL_VERSION).map(|column| column.name.as_str())
    }
}

/// Looks, with the rights of the job.
pub(super) async fn look(ctx: &Ctx, monitor_id: i64) -> Result<Look> {
    let found = ctx.read(move |sql| find(sql, monitor_id)).await?;
    let state = ctx.app.lake.state(found.watched.table, Some(found.table_version())).await?;
    Ok(Look { columns: state.columns, ..found })
}

fn find(sql: &mut Sql<'_>, monitor_id: i64) -> Result<Look> {
    let monitor = monitor::by_id(sql, monitor_id, Action::Edit)?;
    let watched = managed::by_asset(sql, monitor.watched_id, Action::Read)?;
    let baseline = baseline::of_monitor(sql, &monitor)?;
    let names = names_of(sql, &monitor)?;
    let (labels, left_out) = match labels::find(sql, &monitor, &names)? {
        Labels::Counted(found) => {
            authorize(sql, Action::Read, found.asset.id)?;
            (Some(*found), None)
        }
        Labels::Foreign(why) => (None, Some(why)),
        // They come later.
        Labels::Nothing => (None, None),
    };
    Ok(Look { monitor, watched, labels, left_out, baseline, names, columns: Vec::new() })
}

/// Event times of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The first and the last that are not later than now; `None` where no row is.
    pub within: Option<(i64, i64)>,
    /// The last of those that are.
    pub ahead: Option<i64>,
}

/// The event times from a moment on.
pub(super) async fn bounds(
    job: &JobCtx,
    ctx: &Ctx,
    look: &Look,
    from: Option<i64>,
    now: i64,
) -> Result<Bounds> {
    let event_time = quoted(&look.monitor.definition.event_time);
    let since = from.map(|from| format!("{event_time} >= to_timestamp_micros({from})"));
    let all = between(job, ctx, look, since.as_slice()).await?;
    let Some((_, ahead)) = all.filter(|(_, last)| *last > now) else {
        return Ok(Bounds { within: all, ahead: None });
    };
    let until = format!("{event_time} <= to_timestamp_micros({now})");
    let conditions: Vec<String> = since.into_iter().chain([until]).collect();
    let within = between(job, ctx, look, &conditions).await?;
    Ok(Bounds { within, ahead: Some(ahead) })
}

/// The first and the last event time of the rows that meet some conditions.
async fn between(job: &JobCtx, ctx: &Ctx, look: &Look, conditions: &[String]) -> Result<Option<(i64, i64)>> {
    let event_time = quoted(&look.monitor.definition.event_time);
    let condition = match conditions {
        [] => String::new(),
        all => format!(" WHERE {}", all.join(" AND ")),
    };
    let statement = format!(
        "SELECT min({event_time}) AS first, max({event_time}) AS last FROM {}{condition}",
        at_version(&look.watched.name, look.table_version())
    );
    let mut found = rows(ctx, &statement, Vec::new(), TIME).await?;
    let mut answer = None;
    while let Some(batch) = found.next().await {
        let batch = scan::charged(job, batch?)?;
        let (first, last) = (frame::moments(&batch, 0)?, frame::moments(&batch, 1)?);
        answer = first.first().copied().flatten().zip(last.first().copied().flatten());
    }
    Ok(answer)
}

/// How many rows windows have.
pub(super) async fn rows_of(
    job: &JobCtx,
    ctx: &Ctx,
    look: &Look,
    spans: &[Span],
) -> Result<BTreeMap<i64, u64>> {
    if spans.is_empty() {
        return Ok(BTreeMap::new());
    }
    let parts = scan::windows(job, ctx, &asked(look, spans, &[])).await?;
    let mut counts = BTreeMap::new();
    for ((start, _), part) in parts {
        *counts.entry(start).or_default() += part.rows;
    }
    Ok(counts)
}

/// What is read of windows.
pub(super) fn asked<'a>(
    look: &'a Look,
    spans: &'a [Span],
    columns: &'a [super::columns::Column],
) -> scan::Asked<'a> {
    scan::Asked {
        name: &look.watched.name,
        version: look.table_version(),
        event_time: &look.monitor.definition.event_time,
        window: look.monitor.definition.window,
        spans,
        model_version: look.model_version(),
        columns,
    }
}

/// The labelled rows of windows.
pub(super) async fn labelled_of(
    job: &JobCtx,
    ctx: &Ctx,
    look: &Look,
    spans: &[Span],
    prediction: Option<&str>,
) -> Result<ByWindow> {
    let Some(labels) = look.labels.as_ref().filter(|_| !spans.is_empty()) else {
        return Ok(ByWindow::new());
    };
    labelled::require_keys(&look.watched, &look.columns)?;
    let asked = labelled::Asked {
        table: (&look.watched.name, look.table_version()),
        labels: (&labels.name, labels.newest.version),
        event_time: &look.monitor.definition.event_time,
        window: look.monitor.definition.window,
        spans,
        prediction,
    };
    labelled::join(job, ctx, &asked).await
}
