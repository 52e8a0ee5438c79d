//! When the log is drained: when a segment is full, a minute after the first record of one, on demand, at the start what was
//! left, and when the server stops.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch::Receiver, time::Instant};

use super::drain::drain;
use crate::{
    context::{App, Ctx},
    error::{Error, Result},
};

/// How long a record waits for its table at most, where the table can be written to.
const EVERY: Duration = Duration::from_mins(1);
/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Brings what was logged before the call into tables, for all endpoints. An error says that something stays in the log.
pub async fn flush(ctx: &Ctx) -> Result<()> {
    match ctx.app.payload.open_if_there().await? {
        Some(opened) => {
            // By itself: whoever asked may go away meanwhile, and what is half done is finished.
            let app = Arc::clone(&ctx.app);
            let draining = tokio::spawn(async move { drain(&app, &opened).await });
            draining.await.map_err(Error::internal)?
        }
        None => Ok(()),
    }
}

/// Runs until `stopped` changes, and drains once more then.
pub async fn background(app: Arc<App>, mut stopped: Receiver<bool>) {
    let ctx = Ctx::system(&app);
    let mut due = at_start(&ctx).await;
    let mut is_retry = due.is_some();
    loop {
        let alarm = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = stopped.changed() => break,
            () = alarm => {}
            () = app.payload.bell.notified() => {
                // What could not be brought away waits its time, however much is served meanwhile.
                if is_retry || !is_full(&app).await {
                    due.get_or_insert(Instant::now() + EVERY);
                    continue;
                }
            }
        }
        due = attempt(&ctx).await;
        is_retry = due.is_some();
    }
    if let Err(error) = flush(&ctx).await {
        tracing::warn!(?error, "requests wait in the payload log until the next start");
    }
}

/// What an earlier process left is brought away at once.
async fn at_start(ctx: &Ctx) -> Option<Instant> {
    match ctx.app.payload.open_if_there().await {
        Ok(Some(opened)) if !opened.journal.segments().iter().all(|segment| segment.records() == 0) => {
            attempt(ctx).await
        }
        Ok(_) => None,
        Err(error) => {
            tracing::error!(?error, "the payload log cannot be opened");
            None
        }
    }
}

/// Drains; answers when it is to be tried again, if something is left.
async fn attempt(ctx: &Ctx) -> Option<Instant> {
    match flush(ctx).await {
        Ok(()) => None,
        Err(_) => Some(Instant::now() + RETRY),
    }
}

/// Whether there is a segment that gets no more records: it is full, or an earlier attempt left it.
async fn is_full(app: &App) -> bool {
    match app.payload.open_if_there().await {
        Ok(Some(opened)) => opened.has_sealed(),
        _ => false,
    }
}
