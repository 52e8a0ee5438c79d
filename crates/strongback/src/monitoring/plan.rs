//! Which windows are computed next: those that are complete and were not, and those that late rows or labels changed.
//!
//! What must stay true:
//! - a plan is stored before anything is computed, with the versions that it is computed from; what a crash broke off is
//!   found and brought to its end;
//! - a window is complete once the clock has passed its end and the delay, and a row at or behind its start is there;
//! - a computed window is opened again only as long as the newest event is within the lateness of its end.

use serde_json::json;
use uuid::Uuid;

use super::{
    Asked,
    labelled::{self, ByWindow},
    look::{Look, bounds, labelled_of, rows_of},
    span::Span,
    store,
};
use crate::{
    bind,
    catalog::{Action, authorize},
    context::Ctx,
    db::{Change, Row, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    jobs::JobCtx,
    time::now_ms,
};

/// Sketches that one plan holds in memory: of 12 kB at most.
const SKETCHES_MAX: usize = 4_096;
/// Windows of one plan.
const WINDOWS_MAX: usize = 16;
/// Windows without rows that are told of one by one; a longer gap is passed over.
const GAP_MAX: i64 = 100;
/// Windows that one look for late rows goes through.
const LOOKED_MAX: i64 = 1_000;

/// How much of a window is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    All,
    /// What comes from labels, which alone have changed.
    Labels,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Labels => "labels",
        }
    }
}

/// A window as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub span: Span,
    pub plan: String,
    pub part: Part,
    pub definition_n: i64,
    pub is_computed: bool,
    pub outcome: String,
    pub rows: u64,
    pub labelled: u64,
    pub labelled_to: Option<i64>,
    pub table_version: u64,
    pub labels_version: Option<u64>,
    pub computed_at: Option<i64>,
}

/// A row of the statements that list a window's columns.
pub(super) fn read(row: &Row<'_>) -> Result<Stored> {
    let part = match row.get::<String>(4)?.as_str() {
        "labels" => Part::Labels,
        _ => Part::All,
    };
    Ok(Stored {
        span: Span { start: row.get(0)?, revision: row.get(1)?, end: row.get(2)? },
        plan: row.get(3)?,
        part,
        definition_n: row.get(5)?,
        is_computed: row.get::<String>(6)? == "computed",
        outcome: row.get(7)?,
        rows: row.get::<i64>(8)? as u64,
        labelled: row.get::<i64>(9)? as u64,
        labelled_to: row.get(10)?,
        table_version: row.get::<i64>(11)? as u64,
        labels_version: row.get::<Option<i64>>(12)?.map(|version| version as u64),
        computed_at: row.get(13)?,
    })
}

/// Windows that are computed together.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Names it, and the batches that land.
    pub id: String,
    pub part: Part,
    pub windows: Vec<Stored>,
    /// Whether nothing is left but to judge it.
    pub is_computed: bool,
}

impl Plan {
    pub(super) fn spans(&self) -> Vec<Span> {
        self.windows.iter().map(|window| window.span).collect()
    }
}

/// The plan that was not brought to its end, if there is one.
pub(super) fn open(sql: &mut Sql<'_>, monitor_id: i64) -> Result<Option<Plan>> {
    let mut windows = sql.all(&store::WINDOW_OPEN, bind![monitor_id], read)?;
    let Some(first) = windows.first().cloned() else { return Ok(None) };
    windows.retain(|window| window.plan == first.plan);
    Ok(Some(Plan {
        id: first.plan,
        part: first.part,
        is_computed: windows.iter().all(|window| window.is_computed),
        windows,
    }))
}

/// How many windows a plan of so many columns has.
fn group(columns: usize) -> usize {
    (SKETCHES_MAX / columns.max(1)).clamp(1, WINDOWS_MAX)
}

/// What is to be computed next; `None` when nothing is left.
pub(super) async fn next(job: &JobCtx, look: &Look, asked: &Asked, columns: usize) -> Result<Option<Plan>> {
    let id = look.monitor.asset.id;
    let ctx = job.ctx().await?;
    if let Some(plan) = ctx
        .read(move |sql| {
            authorize(sql, Action::Edit, id)?;
            open(sql, id)
        })
        .await?
    {
        return Ok(Some(plan));
    }
    let most = group(columns);
    let wanted = match asked.range {
        Some(range) => again(job, &ctx, look, range, most).await?,
        None => match due(job, &ctx, look, most).await? {
            found if !found.windows.is_empty() => found,
            found => {
                let late = late(job, &ctx, look, found.looked, most).await?;
                Wanted { looked: late.looked.or(found.looked), ..late }
            }
        },
    };
    store_plan(job, look, wanted).await
}

/// Windows to compute, with what is known of them, and how far the look went.
struct Wanted {
    part: Part,
    windows: Vec<(Span, String, u64)>,
    looked: Option<Looked>,
}

/// What a look found of the whole table.
#[derive(Clone, Copy)]
struct Looked {
    computed_to: Option<i64>,
    newest_event: Option<i64>,
    /// Whether late rows were looked for too, so that these versions need not be looked at again.
    is_whole: bool,
}

/// Windows that are complete and were never computed.
async fn due(job: &JobCtx, ctx: &Ctx, look: &Look, most: usize) -> Result<Wanted> {
    let window = look.monitor.definition.window;
    let from = look.monitor.state.computed_to;
    let found = bounds(job, ctx, look, from).await?;
    let newest = found.map(|(_, newest)| newest).max(look.monitor.state.newest_event);
    let Some((first, last)) = found else {
        let looked = Looked { computed_to: from, newest_event: newest, is_whole: false };
        return Ok(Wanted { part: Part::All, windows: Vec::new(), looked: Some(looked) });
    };
    let length = window.length.micros();
    let mut start = match from {
        Some(from) if (window.start_of(first) - from) / length <= GAP_MAX => from,
        Some(from) => {
            job.log(&format!("no row for more than {GAP_MAX} windows from {} on", super::span::moment(from)));
            window.start_of(first)
        }
        None => window.start_of(first),
    };
    let clock = now_ms().saturating_mul(1_000).saturating_sub(window.delay.micros());
    // Somebody may have asked for some of them before.
    let known = stored(ctx, look, start, clock).await?;
    let mut windows = Vec::new();
    while windows.len() < most && start <= last && start + length <= clock {
        if known.iter().all(|one| one.span.start != start) {
            windows.push((Span { start, end: start + length, revision: 1 }, String::new(), 0));
        }
        start += length;
    }
    let looked = Looked { computed_to: Some(start), newest_event: newest, is_whole: false };
    Ok(Wanted { part: Part::All, windows, looked: Some(looked) })
}

/// Windows that late rows or labels have changed.
async fn late(job: &JobCtx, ctx: &Ctx, look: &Look, looked: Option<Looked>, most: usize) -> Result<Wanted> {
    let nothing = |is_whole| Wanted {
        part: Part::All,
        windows: Vec::new(),
        looked: looked.map(|looked| Looked { is_whole, ..looked }),
    };
    let definition = &look.monitor.definition;
    let Some(newest) = looked.and_then(|looked| looked.newest_event) else { return Ok(nothing(true)) };
    let of_labels = definition.labels.as_ref().map_or(0, |labels| labels.lateness.micros());
    let lateness = definition.lateness.micros().max(of_labels);
    let length = definition.window.length.micros();
    let from = newest.saturating_sub(lateness).saturating_sub(length);
    let known = stored(ctx, look, from, i64::MAX).await?;
    let is_within = |window: &Stored, lateness: i64| window.span.end.saturating_add(lateness) > newest;
    let rows_may: Vec<&Stored> = known
        .iter()
        .filter(|one| {
            one.table_version < look.table_version() && is_within(one, definition.lateness.micros())
        })
        .collect();
    let found = changed_rows(job, ctx, look, &rows_may, most).await?;
    if !found.is_empty() {
        return Ok(Wanted { part: Part::All, windows: found, looked: nothing(false).looked });
    }
    let labels_may: Vec<&Stored> = known
        .iter()
        .filter(|one| one.labels_version < look.labels_version() && is_within(one, of_labels))
        .collect();
    let found = changed_labels(job, ctx, look, &labels_may, most).await?;
    let is_whole = found.is_empty();
    if is_whole {
        seen(ctx, look, &known).await?;
    }
    Ok(Wanted { part: Part::Labels, windows: found, looked: nothing(is_whole).looked })
}

/// Windows of a range that somebody asked for: those never computed, and those that something has changed since.
async fn again(job: &JobCtx, ctx: &Ctx, look: &Look, (from, to): (i64, i64), most: usize) -> Result<Wanted> {
    let window = look.monitor.definition.window;
    let (length, first) = (window.length.micros(), window.start_of(from));
    let first = if first < from { first + length } else { first };
    let clock = now_ms().saturating_mul(1_000).saturating_sub(window.delay.micros());
    let last = to.min(clock);
    if (last - first) / length > LOOKED_MAX {
        return Err(Error::invalid(format!(
            "The range has more than {LOOKED_MAX} windows of {}. Ask for less at once.",
            window.length
        )));
    }
    let known = stored(ctx, look, first, last).await?;
    let is_known = |start: i64| known.iter().any(|one| one.span.start == start);
    let missing = (0..)
        .map(|place| first + place * length)
        .take_while(|start| start + length <= last)
        .filter(|start| !is_known(*start))
        .map(|start| (Span { start, end: start + length, revision: 1 }, String::new(), 0));
    let mut windows: Vec<_> = missing.take(most).collect();
    let looked = None;
    if windows.is_empty() {
        let (redefined, same): (Vec<&Stored>, Vec<&Stored>) =
            known.iter().partition(|one| one.definition_n != look.monitor.n);
        windows = redefined.into_iter().take(most).map(once_more).collect();
        if windows.is_empty() {
            windows = changed_rows(job, ctx, look, &same, most).await?;
        }
        if windows.is_empty() {
            let found = changed_labels(job, ctx, look, &same, most).await?;
            return Ok(Wanted { part: Part::Labels, windows: found, looked });
        }
    }
    Ok(Wanted { part: Part::All, windows, looked })
}

/// The next revision of a window.
fn once_more(one: &Stored) -> (Span, String, u64) {
    (Span { revision: one.span.revision + 1, ..one.span }, one.outcome.clone(), one.rows)
}

async fn changed_rows(
    job: &JobCtx,
    ctx: &Ctx,
    look: &Look,
    known: &[&Stored],
    most: usize,
) -> Result<Vec<(Span, String, u64)>> {
    let counts = rows_of(job, ctx, look, &spans(known)).await?;
    let is_changed = |one: &&&Stored| counts.get(&one.span.start).copied().unwrap_or(0) != one.rows;
    Ok(known.iter().filter(is_changed).take(most).map(|one| once_more(one)).collect())
}

async fn changed_labels(
    job: &JobCtx,
    ctx: &Ctx,
    look: &Look,
    known: &[&Stored],
    most: usize,
) -> Result<Vec<(Span, String, u64)>> {
    let found: ByWindow = labelled_of(job, ctx, look, &spans(known), None).await?;
    let nothing = labelled::Labelled::default();
    let is_changed = |one: &&&Stored| {
        let now = found.get(&one.span.start).unwrap_or(&nothing);
        (now.rows, now.newest) != (one.labelled, one.labelled_to)
    };
    Ok(known.iter().filter(is_changed).take(most).map(|one| once_more(one)).collect())
}

fn spans(known: &[&Stored]) -> Vec<Span> {
    known.iter().map(|one| one.span).collect()
}

/// The newest revisions of the windows that begin in a range, the oldest first; of too many the newest.
async fn stored(ctx: &Ctx, look: &Look, from: i64, before: i64) -> Result<Vec<Stored>> {
    let id = look.monitor.asset.id;
    ctx.read(move |sql| {
        authorize(sql, Action::Read, id)?;
        let mut found = sql.all(&store::WINDOW_RANGE, bind![id, from, before, LOOKED_MAX], read)?;
        found.reverse();
        Ok(found)
    })
    .await
}

/// Remembers that these windows hold at the versions of this look.
async fn seen(ctx: &Ctx, look: &Look, known: &[Stored]) -> Result<()> {
    let id = look.monitor.asset.id;
    let (table, labels) = (look.table_version() as i64, look.labels_version().map(|version| version as i64));
    let behind = |one: &&Stored| {
        one.table_version < look.table_version() || one.labels_version < look.labels_version()
    };
    let spans: Vec<Span> = known.iter().filter(behind).map(|one| one.span).collect();
    if spans.is_empty() {
        return Ok(());
    }
    ctx.app
        .db
        .derive(move |tx| {
            for span in &spans {
                tx.execute(&store::WINDOW_SEEN, bind![id, span.start, span.revision, table, labels])?;
            }
            Ok(())
        })
        .await
}

/// Stores what is to be computed, and how far the look went.
async fn store_plan(job: &JobCtx, look: &Look, wanted: Wanted) -> Result<Option<Plan>> {
    let (id, plan_id) = (look.monitor.asset.id, Uuid::now_v7().to_string());
    let (table, labels) = (look.table_version() as i64, look.labels_version().map(|version| version as i64));
    let definition_n = look.monitor.n;
    let Wanted { part, windows, looked } = wanted;
    let stored = looked.map(|looked| looked.to_store(look));
    if windows.is_empty() {
        // How far one has looked is derived.
        let Some(stored) = stored else { return Ok(None) };
        job.ctx().await?.app.db.derive(move |tx| stored.put(tx, id)).await?;
        return Ok(None);
    }
    job.write(move |tx| {
        tx.first(&store::MONITOR_LOCK, bind![id], |_| Ok(()))?
            .ok_or_else(|| Error::missing("The monitor was deleted."))?;
        authorize(tx, Action::Edit, id)?;
        // Another job of this monitor may have stored one since.
        if let Some(plan) = open(tx, id)? {
            return Ok(Change::Nothing(Some(plan)));
        }
        if let Some(stored) = &stored {
            stored.put(tx, id)?;
        }
        for (span, outcome, rows) in &windows {
            tx.execute(
                &store::WINDOW_PLAN,
                bind![
                    id,
                    span.start,
                    span.revision,
                    span.end,
                    &plan_id,
                    part.name(),
                    definition_n,
                    outcome,
                    *rows as i64,
                    table,
                    labels
                ],
            )?;
        }
        let event = Event::new(EventKind::MonitorPlan).asset(id, 0).detail(json!({
            "plan": plan_id, "windows": windows.len(), "part": part.name(), "table_version": table,
            "labels_version": labels,
        }));
        Ok(Change::Made(open(tx, id)?, event))
    })
    .await
}

/// What is remembered of a look.
#[derive(Clone, Copy)]
struct ToStore {
    computed_to: Option<i64>,
    newest_event: Option<i64>,
    table: Option<i64>,
    labels: Option<i64>,
}

impl Looked {
    fn to_store(self, look: &Look) -> ToStore {
        let state = &look.monitor.state;
        let (table, labels) = match self.is_whole {
            true => (Some(look.table_version()), look.labels_version()),
            false => (state.looked_version, state.looked_labels),
        };
        ToStore {
            computed_to: self.computed_to,
            newest_event: self.newest_event,
            table: table.map(|version| version as i64),
            labels: labels.map(|version| version as i64),
        }
    }
}

impl ToStore {
    fn put(self, tx: &mut Sql<'_>, id: i64) -> Result<()> {
        let now = now_ms();
        let values = bind![id, self.computed_to, self.newest_event, self.table, self.labels, now];
        tx.execute(&store::MONITOR_LOOKED, values).map(drop)
    }
}
