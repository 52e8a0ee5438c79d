//! The server's own worker: takes jobs of the kinds that it has handlers for, a few at a time.
//!
//! It hears the bell of the store, so that what is queued in this process is begun at once, and looks now and then for what
//! another one queued. It also settles leases that ran out, of whatever kind: those of runners too.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{
    job::Job,
    lease::{self, LEASE_MS, Taken, Wanted},
    registry::Handler,
    store, supervise,
};
use crate::{
    bind,
    catalog::authorize_admin,
    context::{App, Ctx},
    db::Origin,
    error::{Error, Result},
    events::key,
    time,
};

/// The longest rest between two looks.
const REST: Duration = Duration::from_secs(5);
/// The shortest rest before a moment that is expected.
const REST_MIN: Duration = Duration::from_millis(20);

/// By what name the server of this data directory holds jobs.
pub(super) fn holder(app: &App) -> String {
    format!("server/{}", key::name(&app.signing_key))
}

/// Works until `stopped` changes; what runs then is put back.
pub async fn work(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let mut bell = app.db.bell().listen();
    let mut running: JoinSet<bool> = JoinSet::new();
    let mut heavy = 0_usize;
    loop {
        bell.borrow_and_update();
        let is_free = running.len() < usize::from(app.config.job_workers.value);
        let rest = match look(&app, is_free, heavy == 0).await {
            Ok(Look::Begin(handler, job)) => {
                heavy += usize::from(handler.is_heavy);
                let (app, stopped) = (Arc::clone(&app), stopped.clone());
                running.spawn(async move {
                    let is_heavy = handler.is_heavy;
                    supervise::run(app, handler, *job, stopped).await;
                    is_heavy
                });
                continue;
            }
            Ok(Look::Again) => continue,
            Ok(Look::Rest(time)) => time,
            Err(error) => {
                tracing::warn!(?error, "no job could be looked for; it is tried again");
                REST
            }
        };
        tokio::select! {
            _ = stopped.changed() => break,
            _ = bell.changed() => {}
            () = tokio::time::sleep(rest) => {}
            Some(ended) = running.join_next() => match ended {
                Ok(was_heavy) => heavy -= usize::from(was_heavy),
                Err(error) => {
                    tracing::error!(%error, "the supervision of a job ended with a panic");
                    heavy = 0;
                }
            },
        }
    }
    // Each of them was told as well, and puts its job back.
    while running.join_next().await.is_some() {}
}

enum Look {
    Begin(Handler, Box<Job>),
    Again,
    Rest(Duration),
}

/// Looks for something to do: first without a write, since there is mostly nothing.
async fn look(app: &Arc<App>, is_free: bool, with_heavy: bool) -> Result<Look> {
    let kinds = if is_free { app.handlers.kinds(with_heavy) } else { Vec::new() };
    let rest = rest(app, &kinds).await?;
    if !rest.is_zero() {
        return Ok(Look::Rest(rest.clamp(REST_MIN, REST)));
    }
    let own = holder(app);
    let taken = Ctx::system(app)
        .write(move |tx| {
            authorize_admin(tx, "work off jobs")?;
            let wanted = Wanted {
                holder: &own,
                kinds: &kinds,
                labels: &[String::new()],
                lease_ms: LEASE_MS,
                allows: &|_| true,
                secret: None,
            };
            // Nothing that waits is for others: the first that is due is found at once.
            let now = tx.now();
            let found = lease::find(tx, &wanted, now)?;
            lease::take(tx, &wanted, found)
        })
        .await?;
    Ok(match taken {
        // It has a handler, since its kind was asked for, and none is ever taken away.
        Taken::Job(job, ..) => {
            app.handlers.get(&job.kind).map_or(Look::Again, |handler| Look::Begin(handler, job))
        }
        Taken::Settled => Look::Again,
        Taken::Nothing => Look::Rest(REST_MIN),
    })
}

/// How long nothing is to be done, as far as the store knows: no job of these kinds falls due, and no lease runs out.
pub(super) async fn rest(app: &Arc<App>, kinds: &[&str]) -> Result<Duration> {
    let kinds = serde_json::to_string(kinds).map_err(Error::internal)?;
    let next = app
        .db
        .read(&Origin::system(), move |sql| {
            sql.one(&store::JOB_NEXT, bind![&kinds], |row| row.get::<Option<i64>>(0))
        })
        .await?;
    let left = next.map_or(i64::MAX, |at| at.saturating_sub(time::now_ms()));
    Ok(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
}
