//! What happens by itself: feature tables whose source changed are computed, the online state is made whole after it was lost, and
//! pins of training sets that are gone go too.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    definition::{self, Published},
    state::Meta,
    store, uphold,
    work::{Payload, new_job},
};
use crate::{
    bind,
    catalog::{asset, authorize_admin},
    context::{App, Ctx},
    db::{Change, Origin, Row, Sql},
    error::{Code, Result},
    jobs::{self, Failure, NewJob},
    tables,
};

/// The longest rest between two looks: the bell is heard, except of what another process changed.
const REST: Duration = Duration::from_secs(10);
/// Between two looks after pins of what is gone.
const SWEEP_EVERY: Duration = Duration::from_mins(10);
/// How old a pin of a training set is that never came to be before it is taken away, milliseconds.
const STALE_MS: i64 = 86_400_000;
/// How long after a refresh that failed of what passes it is tried again, milliseconds.
const RETRY_MS: i64 = 10 * 60_000;
/// Things that are looked at together.
const BATCH: i64 = 100;

/// Works until `stopped` changes.
pub async fn background(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let mut bell = app.db.bell().listen();
    // What is lost is restored once a start, and once each time that the file had to be begun anew.
    let (mut begun, mut is_restored) = (uuid::Uuid::now_v7(), false);
    let mut swept = None::<tokio::time::Instant>;
    loop {
        bell.borrow_and_update();
        if app.online.take_begun_anew() {
            (begun, is_restored) = (uuid::Uuid::now_v7(), false);
        }
        if !is_restored {
            is_restored = restore(&app, &mut begun).await.unwrap_or_else(|error| {
                tracing::warn!(?error, "the online features were not looked at; it is tried again");
                false
            });
        }
        if let Err(error) = refresh(&app).await {
            tracing::warn!(?error, "feature tables were not refreshed; it is tried again");
        }
        if swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY) {
            swept = Some(tokio::time::Instant::now());
            if let Err(error) = sweep(&app).await {
                tracing::warn!(?error, "pins of what is gone were not taken away");
            }
            if let Err(error) = uphold::sweep(&app).await {
                tracing::warn!(
                    ?error,
                    "definitions that nothing stands on were not taken out of the online store"
                );
            }
        }
        tokio::select! {
            _ = stopped.changed() => return,
            _ = bell.changed() => {}
            () = tokio::time::sleep(REST) => {}
        }
    }
}

/// What is behind its source: a feature table, or a superseded definition of one.
struct Behind {
    payload: Payload,
    run_as: i64,
    /// What to queue a job under; none where there is nothing to be tried.
    key: Option<String>,
}

/// Queues what is behind its source, once a version of it: a job that failed is not queued again for the same, unless it failed
/// of what passes. What cannot be queued holds up no other.
async fn refresh(app: &Arc<App>) -> Result<()> {
    for read in [behind, upheld_behind] {
        let mut after = (0, 0);
        loop {
            let page = app.db.read(&Origin::system(), move |sql| read(sql, after)).await?;
            for one in &page {
                let Some(key) = one.key.clone() else { continue };
                if let Err(error) = enqueue(app, new_job(&one.payload, one.run_as), key).await {
                    tracing::warn!(
                        table = one.payload.table,
                        ?error,
                        "a feature table was not refreshed; it is tried again"
                    );
                }
            }
            match page.last() {
                Some(Behind { payload, .. }) if page.len() as i64 == BATCH => {
                    after = (payload.table, payload.uphold.unwrap_or_default());
                }
                _ => break,
            }
        }
    }
    Ok(())
}

type Found = (i64, i64, i64, i64);

fn read_behind(row: &Row<'_>) -> Result<Found> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn behind(sql: &mut Sql<'_>, (after, _): (i64, i64)) -> Result<Vec<Behind>> {
    let found: Vec<Found> = sql.all(&store::TABLES_BEHIND, bind![after, BATCH], read_behind)?;
    let mut behind = Vec::with_capacity(found.len());
    for (table, definition, run_as, version) in found {
        let key = due(sql, table, format!("{table}/{definition}/{version}"), false)?;
        behind.push(Behind { payload: Payload::of(table), run_as, key });
    }
    Ok(behind)
}

fn upheld_behind(sql: &mut Sql<'_>, (table, definition): (i64, i64)) -> Result<Vec<Behind>> {
    let found: Vec<(Found, bool)> =
        sql.all(&store::UPHELD_BEHIND, bind![table, definition, BATCH], |row| {
            Ok((read_behind(row)?, row.get::<i64>(4)? < 0))
        })?;
    let mut behind = Vec::with_capacity(found.len());
    for ((table, definition, run_as, version), is_lost) in found {
        let key = due(sql, table, format!("{table}/uphold/{definition}/{version}"), is_lost)?;
        behind.push(Behind { payload: Payload::upholding(table, definition), run_as, key });
    }
    Ok(behind)
}

/// Under which key a job is due that would be queued under this one the first time. One that succeeded is not due again, but where
/// what it made was let go since.
fn due(sql: &mut Sql<'_>, table: i64, key: String, is_lost: bool) -> Result<Option<String>> {
    let newest = sql.first(&store::REFRESH_NEWEST, bind![table, &key, &format!("{key}/%")], |row| {
        let failed: Option<String> = row.get(2)?;
        Ok((row.get::<String>(0)?, row.get::<String>(1)?, failed, row.get::<Option<i64>>(3)?))
    })?;
    let Some((uuid, state, failed, ended_at)) = newest else { return Ok(Some(key)) };
    let may_pass = state == jobs::State::Failed.name()
        && failed.is_some_and(|code| passes(&code))
        && ended_at.is_some_and(|at| at.saturating_add(RETRY_MS) <= sql.now());
    let is_due = may_pass || (is_lost && state == jobs::State::Succeeded.name());
    Ok(is_due.then(|| format!("{key}/{uuid}")))
}

/// Whether a failure is of the moment: the storage was away or full, somebody else was quicker, or the server went away.
fn passes(code: &str) -> bool {
    [Code::TemporarilyUnavailable, Code::DeadlineExceeded, Code::ResourceConflict]
        .iter()
        .any(|one| one.name() == code)
        || code == Failure::LEASE_LOST
}

async fn enqueue(app: &Arc<App>, new: NewJob, key: String) -> Result<()> {
    let new = NewJob { idempotency_key: Some(key), ..new };
    Ctx::system(app)
        .write(move |tx| {
            authorize_admin(tx, "refresh feature tables")?;
            Ok(match jobs::enqueue(tx, &new)?.event {
                Some(event) => Change::Made((), event),
                None => Change::Nothing(()),
            })
        })
        .await
}

/// What is published of a feature table.
struct Known {
    id: i64,
    uuid: String,
    run_as: i64,
    published: Published,
    /// Superseded definitions that something served stands on, and that were computed.
    upheld: Vec<i64>,
}

/// Queues, once for each `begun`, that just what is published be computed for the online store, of every feature table where that is behind,
/// and of what is upheld of it: the file was lost or damaged. Answers whether all of them are queued.
async fn restore(app: &Arc<App>, begun: &mut uuid::Uuid) -> Result<bool> {
    let known = app.db.read(&Origin::system(), known).await?;
    if known.is_empty() {
        return Ok(true);
    }
    // A file that is found damaged when it is opened for this is the one that is restored here, and not another loss.
    let online = loop {
        let online = app.online.all().await?;
        if !app.online.take_begun_anew() {
            break online;
        }
        *begun = uuid::Uuid::now_v7();
    };
    let mut is_all = true;
    for Known { id, uuid, run_as, published, upheld } in known {
        let mut lost = Vec::new();
        let is_online = |meta: &Meta| published.is_online(&uuid, meta);
        if !online.get(&(id, published.definition)).is_some_and(is_online) {
            lost.push((Payload { restore: true, ..Payload::of(id) }, format!("{id}/restore/{begun}")));
        }
        for n in upheld {
            if online.get(&(id, n)).is_none_or(|meta| meta.table != uuid) {
                let payload = Payload { restore: true, ..Payload::upholding(id, n) };
                lost.push((payload, format!("{id}/uphold/{n}/restore/{begun}")));
            }
        }
        for (payload, key) in lost {
            tracing::info!(table = id, "the online features of a table are computed again");
            if let Err(error) = enqueue(app, new_job(&payload, run_as), key).await {
                is_all = false;
                tracing::warn!(
                    table = id,
                    ?error,
                    "the online features of a table are not restored; it is tried again"
                );
            }
        }
    }
    Ok(is_all)
}

fn known(sql: &mut Sql<'_>) -> Result<Vec<Known>> {
    let mut known = Vec::new();
    for id in sql.all(&store::TABLES_PUBLISHED, bind![], |row| row.get::<i64>(0))? {
        match (definition::state(sql, id), asset::get(sql, id)?) {
            (Ok(Some(state)), Some(found)) => {
                let Some(published) = state.published else { continue };
                let mut upheld = Vec::new();
                for n in definition::used(sql, id)? {
                    let known = definition::upheld(sql, id, n)?.and_then(|upheld| upheld.source_version);
                    if n != published.definition && known.is_some() {
                        upheld.push(n);
                    }
                }
                let (uuid, run_as) = (found.uuid, state.run_as_id);
                known.push(Known { id, uuid, run_as, published, upheld });
            }
            (Err(error), _) => {
                tracing::warn!(table = id, ?error, "what is published of a table cannot be read");
            }
            _ => {}
        }
    }
    Ok(known)
}

/// Takes the pins away that nobody needs any more.
async fn sweep(app: &Arc<App>) -> Result<()> {
    loop {
        let count = app
            .db
            .derive(|tx| {
                let read = |row: &Row<'_>| Ok((row.get::<i64>(0)?, row.get::<String>(1)?));
                let mut stale = tx.all(&store::SET_PINS_STALE, bind![tx.now() - STALE_MS, BATCH], read)?;
                stale.extend(tx.all(&store::PINS_STALE, bind![BATCH], read)?);
                for (table, holder) in &stale {
                    tables::unpin_all_in_tx(tx, *table, holder)?;
                }
                Ok(stale.len() as i64)
            })
            .await?;
        if count < BATCH {
            return Ok(());
        }
    }
}
