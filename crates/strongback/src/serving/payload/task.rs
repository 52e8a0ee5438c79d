//! When the log is drained: when a segment is full, a minute after the first record of one (`payload_seconds`), on demand, at the
//! start what was left, and when the server stops. A table that got a file a minute for an hour gets them joined.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch::Receiver, task::JoinHandle, time::Instant};

use super::{
    drain::{Drained, Until, drain},
    log::Opened,
};
use crate::{
    context::{App, Ctx},
    error::{Error, Result},
    tables::upkeep,
};

/// How long after a failure it is tried again, and twice as long after each further one.
const RETRY: Duration = Duration::from_secs(10);
/// The longest such pause.
const RETRY_MAX: Duration = Duration::from_mins(10);

/// Times that rows are appended to a table until the files that they made are joined.
const APPENDS: i64 = 60;
/// How long a table is left alone whose files were too large to be joined.
const LARGE_REST: Duration = Duration::from_hours(1);

/// Brings what was logged before the call into tables, for all endpoints. An error says that something stays in the log.
pub async fn flush(ctx: &Ctx) -> Result<()> {
    bring(ctx, Until::Now).await
}

/// The same for whoever asks about one endpoint: how many of its requests stay in the log, which the tables of others do not matter
/// to. Those of this server; what another one keeps in its log is known there.
pub async fn flush_of(ctx: &Ctx, endpoint: i64) -> Result<u64> {
    let Some(opened) = ctx.app.payload.open_if_there().await? else { return Ok(0) };
    let drained = drain_apart(ctx, &opened, Until::Now).await?;
    let index = opened.index.lock();
    Ok(match drained.unsealed {
        // Nobody can tell those that were there from those that came since.
        Some(_) => index.waiting(endpoint),
        None => drained.kept_in.iter().map(|segment| index.waiting_of(*segment, endpoint)).sum(),
    })
}

async fn bring(ctx: &Ctx, until: Until) -> Result<()> {
    match ctx.app.payload.open_if_there().await? {
        Some(opened) => drain_apart(ctx, &opened, until).await?.outcome(),
        None => Ok(()),
    }
}

/// By itself: whoever asked may go away meanwhile, and what is half done is finished.
async fn drain_apart(ctx: &Ctx, opened: &Arc<Opened>, until: Until) -> Result<Drained> {
    let (app, opened) = (Arc::clone(&ctx.app), Arc::clone(opened));
    let draining = tokio::spawn(async move { drain(&app, &opened, until).await });
    draining.await.map_err(Error::internal)?
}

/// When what is to be done next.
#[derive(Debug, Default)]
struct Plan {
    /// When what came since is brought away, with a segment of its own.
    due: Option<Instant>,
    /// When what could not be brought away is tried again, as it is: every try with a segment of its own would make more of them.
    retry: Option<Instant>,
    failures: u32,
}

impl Plan {
    fn next(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.retry).min()
    }

    /// What to do at this moment, which is one of the two or later; what came since is done with it.
    fn take(&mut self, now: Instant) -> Until {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            return Until::Now;
        }
        Until::Sealed
    }

    /// How that went.
    fn done(&mut self, outcome: &Result<()>, now: Instant) {
        if outcome.is_ok() {
            (self.retry, self.failures) = (None, 0);
            return;
        }
        let pause = RETRY.saturating_mul(1 << self.failures.min(10)).min(RETRY_MAX);
        (self.retry, self.failures) = (Some(now + pause), self.failures + 1);
    }
}

/// Runs until `stopped` changes, and drains once more then.
pub async fn background(app: Arc<App>, mut stopped: Receiver<bool>) {
    let ctx = Ctx::system(&app);
    // How long a record waits for its table at most, where the table can be written to.
    let every = Duration::from_secs(u64::from(app.config.payload_seconds.value));
    let (mut plan, mut joining) = (Plan::default(), None);
    at_start(&ctx, &mut plan).await;
    loop {
        let alarm = async {
            match plan.next() {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let until = tokio::select! {
            biased;
            _ = stopped.changed() => break,
            () = alarm => plan.take(Instant::now()),
            () = app.payload.bell.notified() => {
                // What could not be brought away waits its time, however much is served meanwhile.
                if plan.retry.is_some() || !is_full(&app).await {
                    plan.due.get_or_insert(Instant::now() + every);
                    continue;
                }
                plan.due = None;
                Until::Now
            }
        };
        plan.done(&bring(&ctx, until).await, Instant::now());
        // Beside: a stop and full segments are heard of meanwhile. Rows of the table that is being joined wait in the log for that.
        if joining.as_ref().is_none_or(JoinHandle::is_finished) {
            joining = Some(tokio::spawn(join_beside(ctx.clone())));
        }
    }
    if let Err(error) = flush(&ctx).await {
        tracing::warn!(?error, "requests wait in the payload log until the next start");
    }
}

async fn join_beside(ctx: Ctx) {
    if let Err(error) = join_files(&ctx, APPENDS).await {
        tracing::warn!(?error, "small files of payload tables were not joined");
    }
}

/// Joins the files of tables that got rows since the last call, where so many batches landed since that was done. Answers how many
/// files went. A table that cannot be joined is told, and holds up no other; its next rows are another occasion.
pub async fn join_files(ctx: &Ctx, appends: i64) -> Result<u64> {
    let Some(opened) = ctx.app.payload.open_if_there().await? else { return Ok(0) };
    let tables = std::mem::take(&mut *opened.grown.lock());
    let mut joined = 0;
    for table in tables {
        let tried = opened.large.lock().get(&table).copied();
        if tried.is_some_and(|tried| tried.elapsed() < LARGE_REST) {
            continue;
        }
        match upkeep::compact_after(ctx, table, appends).await {
            Ok(None) => {}
            Ok(Some(done)) if done.files_removed == 0 => {
                opened.large.lock().insert(table, Instant::now());
            }
            Ok(Some(done)) => joined += done.files_removed,
            // It was deleted meanwhile.
            Err(error) if error.status() == 404 => {}
            Err(error) => tracing::warn!(table, ?error, "small files of a payload table were not joined"),
        }
    }
    Ok(joined)
}

/// What an earlier process left is brought away at once.
async fn at_start(ctx: &Ctx, plan: &mut Plan) {
    match ctx.app.payload.open_if_there().await {
        Ok(Some(opened)) if !opened.journal.segments().iter().all(|segment| segment.records() == 0) => {
            plan.done(&flush(ctx).await, Instant::now());
        }
        Ok(_) => {}
        Err(error) => tracing::error!(?error, "the payload log cannot be opened"),
    }
}

/// Whether there is a segment that gets no more records: it is full, or an earlier attempt left it.
async fn is_full(app: &App) -> bool {
    match app.payload.open_if_there().await {
        Ok(Some(opened)) => opened.has_sealed(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_again_later_and_later_and_makes_no_more_segments() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let failed = || Err(Error::unavailable("no"));
        let mut plan = Plan { due: Some(after(60)), ..Plan::default() };
        assert_eq!((plan.next(), plan.take(after(60))), (Some(after(60)), Until::Now));
        plan.done(&failed(), after(60));
        // What comes now has its minute; the try again is before that and seals nothing.
        plan.due = Some(after(120));
        assert_eq!((plan.next(), plan.take(after(70))), (Some(after(70)), Until::Sealed));
        plan.done(&failed(), after(70));
        assert_eq!(plan.next(), Some(after(90)), "twice as long");
        plan.done(&failed(), after(90));
        assert_eq!((plan.next(), plan.take(after(120))), (Some(after(120)), Until::Now));
        for _ in 0..20 {
            plan.done(&failed(), after(200));
        }
        assert_eq!(plan.next(), Some(after(200) + RETRY_MAX));
        plan.done(&Ok(()), after(900));
        assert_eq!((plan.next(), plan.failures), (None, 0));
    }
}
