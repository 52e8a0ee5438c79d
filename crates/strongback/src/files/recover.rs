//! After a crash, and once a day: uploads that will never have an outcome are reverted, objects that nothing names go.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use uuid::Uuid;

use super::{
    operations::{self, Intent, PUT, UPLOAD},
    store, unnamed,
};
use crate::{
    bind,
    catalog::authorize_admin,
    context::{App, Ctx},
    db::{Change, Origin},
    error::{Error, Result},
    events::operation,
    objects::ObjectId,
};

/// How long an upload in parts may take, and an upload in one piece that nobody ended. Milliseconds.
const UPLOAD_MS_MAX: i64 = 24 * 3_600_000;
/// How long an upload in parts that ended is remembered, so that a repeated call gets the same answer. Milliseconds.
const ENDED_MS: i64 = 24 * 3_600_000;
/// Ended uploads that one transaction forgets, so that no other write waits for long.
const FORGET: i64 = 1000;
/// Between two rounds of [`keep_clean`].
const ROUND: Duration = Duration::from_hours(24);
/// The same after a round that could not be made, for example because an object store was away.
const AGAIN: Duration = Duration::from_mins(10);
/// Objects that are looked up at a time.
const LOOK_UP: usize = 1000;

/// Reverts what a dead process left open. To be called before anything is served: nobody uploads yet, so that every
/// open upload in one piece is dead, and so are uploads in parts that began more than a day ago.
pub async fn recover(ctx: &Ctx) -> Result<()> {
    revert_open(ctx, i64::MAX).await
}

/// Sweeps objects at once and then daily, until it is told to stop.
pub async fn keep_clean(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    loop {
        let ctx = Ctx::system(&app);
        let round = async {
            revert_open(&ctx, ctx.now() - UPLOAD_MS_MAX).await?;
            forget(&ctx, ctx.now() - ENDED_MS).await?;
            if let Some(remote) = app.objects.remote() {
                remote.abort_left(|id| app.objects.is_claimed(id)).await?;
            }
            sweep(&ctx).await
        };
        let pause = match round.await {
            Ok(swept) => {
                if swept > 0 {
                    tracing::info!(swept, "removed objects that nothing named");
                }
                ROUND
            }
            Err(error) => {
                tracing::warn!(?error, "the round that removes dead uploads and objects ended early");
                AGAIN
            }
        };
        if tokio::time::timeout(pause, stopped.changed()).await.is_ok() {
            return;
        }
    }
}

/// Forgets what ended before a moment, batch by batch.
async fn forget(ctx: &Ctx, before: i64) -> Result<()> {
    while ctx.app.db.derive(move |tx| operation::forget(tx, before, FORGET)).await? == FORGET as u64 {}
    Ok(())
}

/// Reverts open uploads in one piece that began before a moment, and uploads in parts older than a day.
async fn revert_open(ctx: &Ctx, before: i64) -> Result<()> {
    let parts_before = ctx.now() - UPLOAD_MS_MAX;
    let open = ctx.app.db.read(&Origin::system(), move |sql| operation::list_open(sql, before)).await?;
    let dead = open.into_iter().filter(|operation| match operation.kind.as_str() {
        PUT => true,
        UPLOAD => operation.started_at < parts_before,
        _ => false,
    });
    for operation in dead {
        tracing::info!(operation = %operation.id, kind = operation.kind, "reverting an upload that has no outcome");
        revert(ctx, operation.id, "the server stopped, or nobody completed it").await?;
    }
    Ok(())
}

/// Reverts one upload, if it is open still.
pub(super) async fn revert(ctx: &Ctx, id: Uuid, why: &str) -> Result<()> {
    let why = why.to_owned();
    let garbage = ctx
        .write(move |tx| {
            authorize_admin(tx, "revert uploads")?;
            let found = tx.first(&store::UPLOAD_GET, bind![&id.to_string()], |row| {
                Ok((row.get::<String>(0)?, row.get::<String>(2)?))
            })?;
            let Some((kind, intent)) = found else { return Ok(Change::Nothing(Vec::new())) };
            let intent = Intent::read(serde_json::from_str(&intent).map_err(Error::internal)?)?;
            match operations::revert(tx, id, &kind, &intent, &why)? {
                Some((event, garbage)) => Ok(Change::Made(garbage, event)),
                None => Ok(Change::Nothing(Vec::new())),
            }
        })
        .await?;
    ctx.app.objects.remove(garbage).await;
    Ok(())
}

/// Removes objects that no row names and nobody writes; answers how many.
///
/// An object is listed first, then looked for among the claims, then among the rows. One that a row will name is
/// claimed until that row is committed, so that one of the two looks finds it.
pub async fn sweep(ctx: &Ctx) -> Result<usize> {
    let mut swept = 0;
    for shard in 0..=u8::MAX {
        let listed = ctx.app.objects.list_shard(shard).await?;
        let idle: Vec<ObjectId> = listed.into_iter().filter(|id| !ctx.app.objects.is_claimed(*id)).collect();
        for some in idle.chunks(LOOK_UP) {
            let some = some.to_vec();
            let garbage = ctx.app.db.read(&Origin::system(), move |sql| unnamed(sql, &some)).await?;
            swept += garbage.len();
            ctx.app.objects.remove(garbage).await;
        }
    }
    Ok(swept)
}
