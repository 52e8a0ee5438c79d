//! At start, and now and then: leases of a dead process are let go, ended jobs are forgotten.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{lease, store, worker};
use crate::{
    bind,
    context::{App, Ctx},
    error::Result,
};

/// Between two rounds of [`keep_clean`].
const ROUND: Duration = Duration::from_hours(1);
/// Ended jobs that one transaction forgets, so that no other write waits for long.
const FORGET: i64 = 200;
const DAY_MS: i64 = 86_400_000;

/// Lets go what a process before this one had in the name of this data directory, which one process has at a time: it is
/// begun again as soon as somebody works.
pub async fn recover(ctx: &Ctx) -> Result<()> {
    let own = worker::holder(&ctx.app);
    ctx.app.db.derive(move |tx| lease::let_go(tx, &own)).await
}

/// Forgets ended jobs at once and then hourly, until it is told to stop.
pub async fn keep_clean(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    loop {
        let days = i64::from(app.config.job_retention_days.value);
        match sweep(&app, crate::time::now_ms() - days * DAY_MS).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "forgot jobs that ended long ago"),
            Err(error) => tracing::warn!(?error, "the round that forgets jobs ended early"),
        }
        if tokio::time::timeout(ROUND, stopped.changed()).await.is_ok() {
            return;
        }
    }
}

/// Forgets jobs that ended before a moment (milliseconds since the epoch), batch by batch; answers how many.
pub async fn sweep(app: &App, before: i64) -> Result<u64> {
    let mut all = 0;
    loop {
        let forgotten = app
            .db
            .derive(move |tx| {
                tx.execute(&store::JOB_FORGET_LOGS, bind![before, FORGET])?;
                tx.execute(&store::JOB_FORGET, bind![before, FORGET])
            })
            .await?;
        all += forgotten;
        if forgotten < FORGET as u64 {
            return Ok(all);
        }
    }
}
