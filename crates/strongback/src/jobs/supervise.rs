//! One attempt of the server's own: run by its handler, watched beside it, settled at its end.

use std::{sync::Arc, time::Duration};

use serde_json::Value as Json;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::Instant,
};

use super::{
    context::JobCtx,
    job::{Failure, Job, is_passing},
    lease::{self, LEASE_MS},
    log,
    outcome::{self, Ending},
    queue,
    registry::Handler,
};
use crate::{
    catalog::authorize_admin,
    context::{App, Ctx},
    db::{Change, Origin, Sql},
    error::{Code, Error, Result},
    time,
};

/// Between two looks at the budget, and at whether somebody wants it to end.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Between two renewals of the lease, which also store progress and log.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How long a handler that was told to end may take before it is given up.
const GRACE: Duration = Duration::from_secs(3);
/// Between two tries to store an outcome.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Why an attempt is to end before its handler does.
enum Interrupt {
    Cancelled,
    Budget(String),
    /// Its principal is gone, or may not any more.
    Refused(Error),
    LeaseLost,
    Stopping,
}

type Done = Option<Result<Result<Json>, JoinError>>;

/// Runs an attempt to its end.
pub(super) async fn run(app: Arc<App>, handler: Handler, job: Job, stopped: watch::Receiver<bool>) {
    let (tell, told) = watch::channel(false);
    let job = JobCtx::new(&app, job, told);
    // Whatever ends this future ends the handler too.
    let mut work = JoinSet::new();
    work.spawn(job.spent().processor().clone().follow(handler.run(job.clone())));
    let (done, interrupt) = match attend(&app, &job, &mut work, stopped).await {
        Ok(done) => (done, None),
        Err(interrupt) => {
            let _ = tell.send(true);
            let done = tokio::time::timeout(GRACE, work.join_next()).await.ok().flatten();
            (done, Some(interrupt))
        }
    };
    drop(work);
    settle(&app, &job, done, interrupt).await;
}

/// Watches an attempt until its handler ends or something else ends it.
async fn attend(
    app: &Arc<App>,
    job: &JobCtx,
    work: &mut JoinSet<Result<Json>>,
    mut stopped: watch::Receiver<bool>,
) -> Result<Done, Interrupt> {
    let mut bell = app.db.bell().listen();
    let left = job.job().lease_until.map_or(0, |until| until.saturating_sub(time::now_ms()));
    let (mut renewed, mut holds_until) =
        (Instant::now(), Instant::now() + Duration::from_millis(u64::try_from(left).unwrap_or(0)));
    loop {
        tokio::select! {
            done = work.join_next() => return Ok(done),
            _ = stopped.changed() => return Err(Interrupt::Stopping),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Some(why) = job.job().budget.exceeded_by(&job.cost()) {
            return Err(Interrupt::Budget(why));
        }
        if renewed.elapsed() >= RENEW_EVERY {
            // Counted from before it is asked for: the answer may be long under way.
            let asked = Instant::now();
            match renew(app, job).await {
                Ok(Some(interrupt)) => return Err(interrupt),
                Ok(None) => {
                    renewed = Instant::now();
                    holds_until = asked + Duration::from_millis(LEASE_MS as u64);
                }
                Err(error) if is_lost(&error) || Instant::now() >= holds_until => {
                    return Err(Interrupt::LeaseLost);
                }
                Err(error) => {
                    tracing::warn!(job = %job.id(), ?error, "the lease of a job was not renewed yet");
                }
            }
        } else if bell.has_changed().unwrap_or(false) {
            bell.borrow_and_update();
            if is_cancelled(app, job).await {
                return Err(Interrupt::Cancelled);
            }
        }
    }
}

/// Whether an error says that the lease is somebody else's, or its job gone.
fn is_lost(error: &Error) -> bool {
    matches!(error.code(), Code::ResourceConflict | Code::ResourceDoesNotExist)
}

async fn is_cancelled(app: &Arc<App>, job: &JobCtx) -> bool {
    let id = job.id();
    let found = app.db.read(&Origin::system(), move |sql| queue::find(sql, id)).await;
    matches!(found, Ok(Some(found)) if found.cancelled_by_id.is_some())
}

/// Keeps the lease, and stores progress and a piece of the log. Answers why the job is to end, if it is.
async fn renew(app: &Arc<App>, job: &JobCtx) -> Result<Option<Interrupt>> {
    let (id, fencing, holder) = (job.id(), job.fencing(), job.holder().to_owned());
    let (progress, cost, piece) = (job.progress_now(), job.cost(), job.take_log());
    app.db
        .derive(move |tx| {
            let held = lease::held(tx, id, &holder, fencing)?;
            if let Some((begins_at, text)) = &piece {
                log::append(tx, &held, *begins_at, text)?;
            }
            if lease::renew(tx, &held, LEASE_MS, &progress, &cost)? {
                return Ok(Some(Interrupt::Cancelled));
            }
            Ok(lease::refusal(tx, &held)?.map(Interrupt::Refused))
        })
        .await
}

/// What an attempt ended with; `None` where it is to be put back as if it had not been begun.
fn ending(job: &JobCtx, done: Done, interrupt: Option<Interrupt>) -> Option<Ending> {
    Some(match (done, interrupt) {
        (Some(Ok(Ok(result))), _) => Ending::Succeeded(result),
        (_, Some(Interrupt::Stopping)) => return None,
        (_, Some(Interrupt::Cancelled)) => Ending::Cancelled,
        (_, Some(Interrupt::Refused(error))) => Ending::failed(Failure::from(&error)),
        (_, Some(Interrupt::Budget(why))) => Ending::failed(Failure::new(Failure::BUDGET_EXCEEDED, why)),
        (Some(Ok(Err(error))), _) => {
            if error.is_ours() {
                tracing::error!(job = %job.id(), kind = job.job().kind, %error, cause = error.cause_chain(), "a job failed");
            }
            Ending::Failed { failure: Failure::from(&error), is_passing: is_passing(&error) }
        }
        (Some(Err(error)), _) => {
            tracing::error!(job = %job.id(), kind = job.job().kind, %error, "the handler of a job panicked");
            Ending::failed(Failure::from(&Error::internal(error)))
        }
        (None, _) => Ending::failed(Failure::from(&Error::internal("the handler of a job is gone"))),
    })
}

/// Stores the outcome, again and again while the store is away and the lease is ours.
async fn settle(app: &Arc<App>, job: &JobCtx, done: Done, interrupt: Option<Interrupt>) {
    if matches!(interrupt, Some(Interrupt::LeaseLost)) {
        tracing::warn!(job = %job.id(), "the lease of a job was lost; what it did since then is not taken");
        return;
    }
    let ending = ending(job, done, interrupt);
    let until = Instant::now() + Duration::from_millis(LEASE_MS as u64);
    loop {
        match store_outcome(app, job, ending.as_ref()).await {
            Ok(()) => return,
            Err(error) if is_lost(&error) || Instant::now() >= until => {
                tracing::warn!(job = %job.id(), ?error, "the outcome of a job was not taken");
                return;
            }
            Err(error) => tracing::warn!(job = %job.id(), ?error, "the outcome of a job is not stored yet"),
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

async fn store_outcome(app: &Arc<App>, job: &JobCtx, ending: Option<&Ending>) -> Result<()> {
    // The rest of the log, piece by piece.
    while let Some(piece) = job.take_log() {
        let (id, fencing, holder) = (job.id(), job.fencing(), job.holder().to_owned());
        let append = move |tx: &mut Sql<'_>| {
            let held = lease::held(tx, id, &holder, fencing)?;
            log::append(tx, &held, piece.0, &piece.1)
        };
        app.db.derive(append).await?;
    }
    let (id, fencing, holder, cost) = (job.id(), job.fencing(), job.holder().to_owned(), job.cost());
    let ending = ending.cloned();
    Ctx::system(app)
        .write(move |tx| {
            authorize_admin(tx, "settle jobs")?;
            let held = lease::held(tx, id, &holder, fencing)?;
            let event = match &ending {
                Some(ending) => outcome::settle(tx, &held, ending.clone(), cost)?,
                None => {
                    let why = Failure::new(Failure::LEASE_LOST, "The server was stopped while it ran.");
                    outcome::put_back(tx, &held, held.attempts - 1, tx.now(), &why, cost)?
                }
            };
            Ok(Change::Made((), event))
        })
        .await
}
