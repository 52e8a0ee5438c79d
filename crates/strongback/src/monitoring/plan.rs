//! Which windows are computed next: those that are complete and were not, and those that late rows or labels changed.
//!
//! What must stay true:
//! - a plan is stored before anything is computed, with the versions that it is computed from; what a crash broke off is
//!   found and brought to its end;
//! - a window is complete once the clock has passed its end and the delay, and a row at or behind its start is there;
//! - a row that is dated later than now says nothing about how far event time is: it waits until that moment has come;
//! - a computed window is opened again only as long as the newest event is within the lateness of its end.

use serde_json::json;
use syntax::monitors::Window;
use uuid::Uuid;

pub(super) use super::stored::{Part, Plan, Stored, open, read};
use super::{
    Asked,
    labelled::{self, ByWindow},
    look::{Bounds, Look, bounds, labelled_of, rows_of},
    monitor, provenance,
    span::{Span, moment},
    store,
};
use crate::{
    bind,
    catalog::{Action, authorize},
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    jobs::JobCtx,
    time::now_ms,
};

/// Bytes of the sketches that one plan holds in memory, for each version of the model.
const SKETCH_BYTES_MAX: usize = 48 << 20;
/// Windows of one plan.
const WINDOWS_MAX: usize = 16;
/// Windows without rows that are told of one by one; a longer gap is passed over.
const GAP_MAX: i64 = 100;
/// Windows that one look for late rows goes through, and that somebody may ask for at once.
pub(super) const LOOKED_MAX: i64 = 1_000;

/// How many windows a plan has whose sketches may take so many bytes a window.
fn group(bytes: usize) -> usize {
    (SKETCH_BYTES_MAX / bytes.max(1)).clamp(1, WINDOWS_MAX)
}

/// Refuses a range of too many windows; those that are not over yet do not count.
pub(super) fn check_range(window: Window, (from, to): (i64, i64)) -> Result<()> {
    let last = to.min(now_ms().saturating_mul(1_000));
    let windows = last.saturating_sub(from) / window.length.micros().max(1);
    if windows <= LOOKED_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "The range from {} to {} has {windows} windows of {}; at most {LOOKED_MAX} are computed at once. Ask for a shorter \
         range, one after the other.",
        moment(from),
        moment(last),
        window.length
    )))
}

/// What is to be computed next, where the sketches of a window may take so many bytes; `None` when nothing is left.
pub(super) async fn next(job: &JobCtx, look: &Look, asked: &Asked, bytes: usize) -> Result<Option<Plan>> {
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
    let most = group(bytes);
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

/// Windows to compute, and how far the look went.
struct Wanted {
    part: Part,
    windows: Vec<Next>,
    looked: Option<Looked>,
}

/// A window to compute, with what is known of it.
struct Next {
    span: Span,
    outcome: String,
    rows: u64,
    /// The definition that its figures of columns are of.
    definition_n: i64,
}

impl Next {
    /// For the first time.
    fn first(look: &Look, start: i64) -> Self {
        let end = start + look.monitor.definition.window.length.micros();
        Self {
            span: Span { start, end, revision: 1 },
            outcome: String::new(),
            rows: 0,
            definition_n: look.monitor.n,
        }
    }

    /// Once more. Where only labels have changed, the other figures stay those of the definition that they are of.
    fn again(look: &Look, one: &Stored, part: Part) -> Self {
        Self {
            span: Span { revision: one.span.revision + 1, ..one.span },
            outcome: one.outcome.clone(),
            rows: one.rows,
            definition_n: if part == Part::All { look.monitor.n } else { one.definition_n },
        }
    }
}

/// What a look found of the whole table.
#[derive(Clone, Copy)]
struct Looked {
    computed_to: Option<i64>,
    newest_event: Option<i64>,
    /// Whether late rows were looked for too, so that these versions need not be looked at again.
    is_whole: bool,
    /// Whether rows of these versions wait for their moment, so that they must be.
    is_ahead: bool,
}

/// Windows that are complete and were never computed.
async fn due(job: &JobCtx, ctx: &Ctx, look: &Look, most: usize) -> Result<Wanted> {
    let window = look.monitor.definition.window;
    let from = look.monitor.state.computed_to;
    let now = now_ms().saturating_mul(1_000);
    let Bounds { within, ahead } = bounds(job, ctx, look, from, now).await?;
    if let Some(ahead) = ahead {
        job.log(&format!(
            "there are rows that are dated later than now, up to {}: they count once that moment has come",
            moment(ahead)
        ));
    }
    let known = look.monitor.state.newest_event.map(|newest| newest.min(now));
    let newest = within.map(|(_, newest)| newest).max(known);
    let looked = |computed_to| {
        let is_ahead = ahead.is_some();
        Some(Looked { computed_to, newest_event: newest, is_whole: false, is_ahead })
    };
    let Some((first, last)) = within else {
        return Ok(Wanted { part: Part::All, windows: Vec::new(), looked: looked(from) });
    };
    let length = window.length.micros();
    let mut start = match from {
        Some(from) if (window.start_of(first) - from) / length <= GAP_MAX => from,
        Some(from) => {
            job.log(&format!("no row for more than {GAP_MAX} windows from {} on", moment(from)));
            window.start_of(first)
        }
        None => window.start_of(first),
    };
    let clock = now.saturating_sub(window.delay.micros());
    // Somebody may have asked for some of them before.
    let known = stored(ctx, look, start, clock).await?;
    let mut windows = Vec::new();
    while windows.len() < most && start <= last && start + length <= clock {
        if known.iter().all(|one| one.span.start != start) {
            windows.push(Next::first(look, start));
        }
        start += length;
    }
    Ok(Wanted { part: Part::All, windows, looked: looked(Some(start)) })
}

/// Windows that late rows or labels have changed.
async fn late(job: &JobCtx, ctx: &Ctx, look: &Look, looked: Option<Looked>, most: usize) -> Result<Wanted> {
    let nothing = |is_whole| Wanted {
        part: Part::All,
        windows: Vec::new(),
        looked: looked.map(|looked| Looked { is_whole: is_whole && !looked.is_ahead, ..looked }),
    };
    let definition = &look.monitor.definition;
    let Some(newest) = looked.and_then(|looked| looked.newest_event) else { return Ok(nothing(true)) };
    let of_labels = definition.labels.as_ref().map_or(0, |labels| labels.lateness.micros());
    let lateness = definition.lateness.micros().max(of_labels);
    let length = definition.window.length.micros();
    let from = newest.saturating_sub(lateness).saturating_sub(length);
    let known = stored(ctx, look, from, i64::MAX).await?;
    if known.len() as i64 == LOOKED_MAX
        && let Some(oldest) = known.first()
    {
        job.log(&format!(
            "the lateness reaches back to {}, and late rows and labels are looked for in the newest {LOOKED_MAX} windows, from \
             {} on; ask for older ones with: strongback monitor run {} --from TIME --to TIME",
            moment(from),
            moment(oldest.span.start),
            look.monitor.definition.watch
        ));
    }
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
    check_range(window, (from, to))?;
    let (length, first) = (window.length.micros(), window.start_of(from));
    let first = if first < from { first + length } else { first };
    let clock = now_ms().saturating_mul(1_000).saturating_sub(window.delay.micros());
    let last = to.min(clock);
    let known = stored(ctx, look, first, last).await?;
    let is_known = |start: i64| known.iter().any(|one| one.span.start == start);
    let missing = (0..)
        .map(|place| first + place * length)
        .take_while(|start| start + length <= last)
        .filter(|start| !is_known(*start))
        .map(|start| Next::first(look, start));
    let mut windows: Vec<_> = missing.take(most).collect();
    let looked = None;
    if windows.is_empty() {
        let (redefined, same): (Vec<&Stored>, Vec<&Stored>) =
            known.iter().partition(|one| one.definition_n != look.monitor.n);
        windows = redefined.into_iter().take(most).map(|one| Next::again(look, one, Part::All)).collect();
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

async fn changed_rows(
    job: &JobCtx,
    ctx: &Ctx,
    look: &Look,
    known: &[&Stored],
    most: usize,
) -> Result<Vec<Next>> {
    let counts = rows_of(job, ctx, look, &spans(known)).await?;
    let is_changed = |one: &&&Stored| counts.get(&one.span.start).copied().unwrap_or(0) != one.rows;
    let next = |one: &&Stored| Next::again(look, one, Part::All);
    Ok(known.iter().filter(is_changed).take(most).map(next).collect())
}

async fn changed_labels(
    job: &JobCtx,
    ctx: &Ctx,
    look: &Look,
    known: &[&Stored],
    most: usize,
) -> Result<Vec<Next>> {
    let found: ByWindow = labelled_of(job, ctx, look, &spans(known), None).await?;
    let nothing = labelled::Labelled::default();
    let is_changed = |one: &&&Stored| {
        let now = found.get(&one.span.start).unwrap_or(&nothing);
        (now.rows, now.digest()) != (one.labelled, one.labels_digest)
    };
    let next = |one: &&Stored| Next::again(look, one, Part::Labels);
    Ok(known.iter().filter(is_changed).take(most).map(next).collect())
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
    let baseline = (look.monitor.baseline_id, Some(look.monitor.baseline_version));
    let labelled = look.labels.iter().map(|labels| (labels.asset.id, None));
    let read: Vec<_> = [(look.watched.asset.id, None), baseline].into_iter().chain(labelled).collect();
    let Wanted { part, windows, looked } = wanted;
    let stored = looked.map(|looked| looked.to_store(look));
    if windows.is_empty() {
        // How far one has looked is derived.
        let Some(stored) = stored else { return Ok(None) };
        job.ctx().await?.app.db.derive(move |tx| stored.put(tx, id)).await?;
        return Ok(None);
    }
    job.write(move |tx| {
        // What was found holds for the definition that it was looked for with.
        monitor::lock(tx, id, definition_n)?;
        monitor::by_id(tx, id, Action::Edit)?;
        // Another job of this monitor may have stored one since.
        if let Some(plan) = open(tx, id)? {
            return Ok(Change::Nothing(Some(plan)));
        }
        if let Some(stored) = &stored {
            stored.put(tx, id)?;
        }
        provenance::record(tx, id, read.iter().copied())?;
        for Next { span, outcome, rows, definition_n } in &windows {
            tx.execute(
                &store::WINDOW_PLAN,
                bind![
                    id,
                    span.start,
                    span.revision,
                    span.end,
                    &plan_id,
                    part.name(),
                    *definition_n,
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
    definition_n: i64,
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
            definition_n: look.monitor.n,
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
        let (to, newest, n) = (self.computed_to, self.newest_event, self.definition_n);
        let values = bind![id, to, newest, self.table, self.labels, now, n];
        tx.execute(&store::MONITOR_LOOKED, values).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::group;
    use crate::monitoring::columns::Nature;

    #[test]
    fn a_plan_has_as_many_windows_as_their_sketches_have_room() {
        let (number, text) = (Nature::Numeric.sketch_bytes_max(), Nature::Categorical.sketch_bytes_max());
        assert_eq!(
            [0, number, 30 * number, 30 * text, 300 * text, 10_000 * text].map(group),
            [16, 16, 16, 9, 1, 1]
        );
    }
}
