//! What happens by itself: feature tables whose source changed are computed, the online state is made whole after it was lost, and
//! pins of training sets that are gone go too.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{definition, materialize, store};
use crate::{
    bind,
    catalog::{asset, authorize_admin},
    context::{App, Ctx},
    db::{Change, Origin},
    error::Result,
    jobs, tables,
};

/// The longest rest between two looks: the bell is heard, except of what another process changed.
const REST: Duration = Duration::from_secs(10);
/// Between two looks after pins of what is gone.
const SWEEP_EVERY: Duration = Duration::from_hours(1);
/// How old a pin of a training set is that never came to be before it is taken away, milliseconds.
const STALE_MS: i64 = 86_400_000;
/// Things that one look handles.
const BATCH: i64 = 100;

/// Works until `stopped` changes.
pub async fn background(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let mut bell = app.db.bell().listen();
    if let Err(error) = restore(&app).await {
        tracing::warn!(?error, "the online features were not looked at");
    }
    let mut swept = None::<tokio::time::Instant>;
    loop {
        bell.borrow_and_update();
        if let Err(error) = refresh(&app).await {
            tracing::warn!(?error, "feature tables were not refreshed; it is tried again");
        }
        if swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY) {
            swept = Some(tokio::time::Instant::now());
            if let Err(error) = sweep(&app).await {
                tracing::warn!(?error, "pins of training sets that are gone were not taken away");
            }
        }
        tokio::select! {
            _ = stopped.changed() => return,
            _ = bell.changed() => {}
            () = tokio::time::sleep(REST) => {}
        }
    }
}

/// Queues what is behind its source, once a version of it: a job that failed is not queued again for the same.
async fn refresh(app: &Arc<App>) -> Result<()> {
    let read = |row: &crate::db::Row<'_>| {
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<i64>(2)?, row.get::<i64>(3)?))
    };
    let behind =
        app.db.read(&Origin::system(), move |sql| sql.all(&store::TABLES_BEHIND, bind![BATCH], read)).await?;
    for (table, definition, run_as, version) in behind {
        let key = format!("{table}/{definition}/{version}");
        enqueue(app, table, run_as, key).await?;
    }
    Ok(())
}

async fn enqueue(app: &Arc<App>, table: i64, run_as: i64, key: String) -> Result<()> {
    Ctx::system(app)
        .write(move |tx| {
            authorize_admin(tx, "refresh feature tables")?;
            let new = materialize::new_job(table, run_as, false);
            let new = jobs::NewJob { idempotency_key: Some(key.clone()), ..new };
            Ok(match jobs::enqueue(tx, &new)?.event {
                Some(event) => Change::Made((), event),
                None => Change::Nothing(()),
            })
        })
        .await
}

/// Queues a computation of every feature table whose online state is behind what is published: the file was lost or damaged, or
/// the server stopped between the two.
async fn restore(app: &Arc<App>) -> Result<()> {
    let known = app
        .db
        .read(&Origin::system(), |sql| {
            let ids = sql.all(&store::TABLES_PUBLISHED, bind![], |row| row.get::<i64>(0))?;
            let mut known = Vec::new();
            for id in ids {
                if let (Some(state), Some(found)) = (definition::state(sql, id)?, asset::get(sql, id)?) {
                    known.push((id, found.uuid, state));
                }
            }
            Ok(known)
        })
        .await?;
    if known.is_empty() {
        return Ok(());
    }
    let online = app.online.all().await?;
    for (id, uuid, state) in known {
        let Some(published) = state.published else { continue };
        let is_whole = online.get(&id).is_some_and(|meta| {
            meta.table == uuid
                && meta.definition == published.definition
                && meta.source_version >= published.source_version
        });
        if !is_whole {
            tracing::info!(table = id, "the online features of a table are computed again");
            let key = format!("{id}/restore/{}", uuid::Uuid::now_v7());
            enqueue(app, id, state.run_as_id, key).await?;
        }
    }
    Ok(())
}

async fn sweep(app: &Arc<App>) -> Result<()> {
    app.db
        .derive(|tx| {
            let before = tx.now() - STALE_MS;
            let stale = tx.all(&store::SET_PINS_STALE, bind![before, BATCH], |row| {
                Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
            })?;
            for (table, holder) in stale {
                tables::unpin_all_in_tx(tx, table, &holder)?;
            }
            Ok(())
        })
        .await
}
