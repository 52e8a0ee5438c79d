//! A look every minute for windows that are due: it reads rows of the metadata store, and queues jobs.
//!
//! What must stay true: a monitor has one job at a time from here, and one that cannot be looked at or queued for stops no other.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::sync::watch;

use super::{
    Asked,
    jobs::KIND,
    labels,
    monitor::{self, Monitor},
    store, stored, tables,
};
use crate::{
    bind,
    catalog::{Action, asset, authorize_admin},
    context::{App, Ctx},
    db::{Change, Sql},
    error::Result,
    jobs::{self, Budget, NewJob, Queued},
    tables::managed,
    time::now_ms,
};

/// Between two looks.
const EVERY: Duration = Duration::from_mins(1);
/// Monitors that one transaction looks at.
const PAGE: i64 = 100;
/// How long a job of a monitor may take.
const WALL_MS: i64 = 6 * 3_600_000;
/// Late rows and labels are looked for no more often than this.
const LATE_MS: std::ops::RangeInclusive<i64> = 60_000..=3_600_000;

/// Looks at once and then every minute, until it is told to stop.
pub async fn keep_watch(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    loop {
        if let Err(error) = look(&app).await {
            tracing::warn!(?error, "no due windows could be looked for; it is tried again");
        }
        if tokio::time::timeout(EVERY, stopped.changed()).await.is_ok() {
            return;
        }
    }
}

/// Queues a job for each monitor that has something to do; answers how many were queued.
pub async fn look(app: &Arc<App>) -> Result<usize> {
    let ctx = Ctx::system(app);
    let (mut after, mut queued) = (0, 0);
    loop {
        let due = ctx
            .read(move |sql| {
                authorize_admin(sql, "look at monitors")?;
                let ids = sql.all(&store::MONITOR_LIVING, bind![after, PAGE], |row| row.get::<i64>(0))?;
                let last = ids.last().copied();
                let mut due = Vec::new();
                for id in ids {
                    match is_due(sql, id, now_ms()) {
                        Ok(key) => due.extend(key.map(|key| (id, key))),
                        Err(error) => {
                            tracing::warn!(
                                monitor = id,
                                ?error,
                                "a monitor cannot be looked at; it is tried again"
                            );
                        }
                    }
                }
                Ok((due, last))
            })
            .await?;
        for (id, key) in due.0 {
            match queue(&ctx, id, key).await {
                Ok(is_new) => queued += usize::from(is_new),
                // Be it that too many jobs wait: the next look finds the same windows.
                Err(error) => {
                    tracing::warn!(monitor = id, ?error, "no job of a monitor was queued; it is tried again");
                }
            }
        }
        match due.1 {
            Some(last) => after = last,
            None => return Ok(queued),
        }
    }
}

async fn queue(ctx: &Ctx, id: i64, key: String) -> Result<bool> {
    ctx.write(move |tx| {
        authorize_admin(tx, "queue jobs of monitors")?;
        let Some(found) = asset::get(tx, id)? else { return Ok(Change::Nothing(false)) };
        let monitor = monitor::load(tx, found)?;
        let asked = Asked { monitor_id: id, range: None };
        let new = NewJob { idempotency_key: Some(key.clone()), ..new_job(&monitor, &asked) };
        Ok(match jobs::enqueue(tx, &new)?.event {
            Some(event) => Change::Made(true, event),
            None => Change::Nothing(false),
        })
    })
    .await
}

/// A job of a monitor, with the rights of who declared it.
fn new_job(monitor: &Monitor, asked: &Asked) -> NewJob {
    NewJob {
        asset: Some((monitor.asset.id, Action::Edit)),
        budget: Budget { wall_ms: Some(WALL_MS), ..Budget::default() },
        ..NewJob::new(KIND, json!(asked), monitor.declared_by)
    }
}

/// Queues a job of a monitor, unless the same waits already.
pub(super) fn join(tx: &mut Sql<'_>, monitor: &Monitor, asked: &Asked) -> Result<Queued> {
    jobs::join_or_enqueue(tx, &new_job(monitor, asked))
}

/// The key of the job that is to be queued, if there is something to do: the same state of the world gives the same key, until
/// one more window is complete, or for an hour, after which what failed is tried once more.
fn is_due(sql: &mut Sql<'_>, id: i64, now: i64) -> Result<Option<String>> {
    let Some(found) = asset::get(sql, id)? else { return Ok(None) };
    let monitor = monitor::load(sql, found)?;
    // A monitor whose table is gone has nothing to do.
    let Ok(watched) = managed::by_asset(sql, monitor.watched_id, Action::Read) else { return Ok(None) };
    let labels = match tables::names_of(sql, &monitor) {
        Ok(names) => labels::find(sql, &monitor, &names).ok().and_then(|found| found.version()),
        Err(_) => None,
    };
    let is_broken_off = stored::open(sql, id)?.is_some();
    let newest = watched.newest.version;
    if !(is_broken_off || has_something(&monitor, newest, labels, now)) {
        return Ok(None);
    }
    if sql.first(&store::MONITOR_BUSY, bind![id, KIND], |_| Ok(()))?.is_some() {
        return Ok(None);
    }
    let (state, hour) = (&monitor.state, now / 3_600_000);
    let complete = complete(&monitor, now);
    Ok(Some(format!(
        "{}/{}/{:?}/{complete}/{newest}/{labels:?}/{is_broken_off}/{hour}",
        monitor.asset.uuid, monitor.n, state.computed_to
    )))
}

/// How many windows have become complete since those that were computed.
fn complete(monitor: &Monitor, now: i64) -> i64 {
    let window = monitor.definition.window;
    let Some(computed_to) = monitor.state.computed_to else { return 0 };
    let clock = now.saturating_mul(1_000).saturating_sub(window.delay.micros());
    clock.saturating_sub(computed_to).max(0) / window.length.micros().max(1)
}

fn has_something(monitor: &Monitor, newest: u64, labels: Option<u64>, now: i64) -> bool {
    let (state, window) = (&monitor.state, monitor.definition.window);
    let is_new = state.looked_version != Some(newest);
    let Some(computed_to) = state.computed_to else { return is_new };
    let is_complete = complete(monitor, now) > 0;
    let late_every = (window.length.micros() / 4_000).clamp(*LATE_MS.start(), *LATE_MS.end());
    let may_look = now.saturating_sub(state.looked_at) >= late_every;
    let has_rows = state.newest_event.is_some_and(|newest| newest >= computed_to);
    (is_complete && (has_rows || is_new)) || (may_look && (is_new || state.looked_labels != labels))
}
