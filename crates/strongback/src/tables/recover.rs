//! After a crash, and before the next write to a table: what was begun is finished or reverted.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    column,
    inside::{self, How},
    land,
    managed::Totals,
    operations::{
        self, COLUMNS, COMPACT, CREATE, IMPORT, Inside, Landing, NewTable, Place, ROWS, Upkeep, VACUUM,
        Version, WRITE,
    },
    store, upkeep as keeping, widen,
};
use crate::{
    bind,
    catalog::authorize_admin,
    context::{App, Ctx},
    db::{Change, Origin},
    error::{Error, Result},
    events::{
        Event, EventKind,
        operation::{self, Operation},
    },
};

/// Bytes of a file up to which its import is finished before anything is served.
const AT_ONCE_BYTES_MAX: u64 = 16 << 20;
/// Between two looks for imports that are open still.
const SETTLE_EVERY: Duration = Duration::from_mins(1);

/// Finishes or reverts what a dead process left open. To be called before anything is served. An import of a large file,
/// which has to be read again, is left to [`keep_settled`], and so is what cannot be finished now, as where the disk is full.
pub async fn recover(ctx: &Ctx) -> Result<()> {
    let open = open(ctx).await?;
    let mut waiting = Vec::new();
    for operation in open {
        tracing::info!(operation = %operation.id, kind = operation.kind, "an operation on a table has no outcome");
        let is_import = operation.kind == IMPORT;
        if is_import && file_bytes(ctx, &operation)? > AT_ONCE_BYTES_MAX {
            waiting.push(landing(&operation)?.object()?);
        } else if let Err(error) = end(ctx, &operation).await {
            tracing::error!(operation = %operation.id, ?error, "an operation on a table could not be ended");
            if is_import {
                waiting.push(landing(&operation)?.object()?);
            }
        }
    }
    if ctx.app.spool.is_there() {
        let app = ctx.app.clone();
        let garbage = tokio::task::spawn_blocking(move || app.spool.sweep(&waiting));
        let garbage = garbage.await.map_err(Error::internal)??;
        ctx.app.spool.open()?.remove(garbage).await;
    }
    Ok(())
}

/// Ends imports that nobody carries out any more, at once and from time to time, until it is told to stop.
pub async fn keep_settled(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    loop {
        if let Err(error) = settle_imports(&Ctx::system(&app)).await {
            tracing::warn!(?error, "open imports could not be looked for");
        }
        if tokio::time::timeout(SETTLE_EVERY, stopped.changed()).await.is_ok() {
            return;
        }
    }
}

/// Ends open imports, each while nobody else writes to its table: whoever carries one out holds the table.
pub async fn settle_imports(ctx: &Ctx) -> Result<()> {
    for operation in open(ctx).await?.into_iter().filter(|operation| operation.kind == IMPORT) {
        let landing = landing(&operation)?;
        let quarantine = landing.quarantine.map(|place| place.id().to_string());
        let keys = [landing.target.key()].into_iter().chain(quarantine).collect();
        let _held = ctx.app.holds.take_all(keys).await;
        if let Err(error) = end(ctx, &operation).await {
            tracing::error!(operation = %operation.id, ?error, "an import could not be ended");
        }
    }
    Ok(())
}

/// How large the file is that an import reads; 0 if it is gone.
fn file_bytes(ctx: &Ctx, operation: &Operation) -> Result<u64> {
    let path = ctx.app.spool.open()?.path(landing(operation)?.object()?);
    Ok(std::fs::metadata(path).map_or(0, |file| file.len()))
}

/// Ends what is open on one table, which the caller holds, and records commits that nobody here made.
pub(super) async fn settle(ctx: &Ctx, place: Place) -> Result<()> {
    for operation in open(ctx).await? {
        if tables_of(&operation)?.contains(&place.table) {
            end(ctx, &operation).await?;
        }
    }
    adopt(ctx, place.asset, u64::MAX).await
}

async fn open(ctx: &Ctx) -> Result<Vec<Operation>> {
    let open = ctx.app.db.read(&Origin::system(), |sql| operation::list_open(sql, i64::MAX)).await?;
    Ok(open
        .into_iter()
        .filter(|operation| {
            [CREATE, IMPORT, WRITE, ROWS, COLUMNS, COMPACT, VACUUM].contains(&operation.kind.as_str())
        })
        .collect())
}

fn landing(operation: &Operation) -> Result<Landing> {
    serde_json::from_value(operation.intent.clone()).map_err(Error::internal)
}

fn upkeep(operation: &Operation) -> Result<Upkeep> {
    serde_json::from_value(operation.intent.clone()).map_err(Error::internal)
}

fn inside_of(operation: &Operation) -> Result<Inside> {
    serde_json::from_value(operation.intent.clone()).map_err(Error::internal)
}

/// The tables that an operation commits to.
fn tables_of(operation: &Operation) -> Result<Vec<uuid::Uuid>> {
    Ok(match operation.kind.as_str() {
        IMPORT => {
            let landing = landing(operation)?;
            let quarantine = landing.quarantine.map(|place| place.table);
            [landing.target.id().0].into_iter().chain(quarantine).collect()
        }
        WRITE | ROWS => vec![inside_of(operation)?.place.table],
        COLUMNS | COMPACT | VACUUM => vec![upkeep(operation)?.place.table],
        _ => Vec::new(),
    })
}

/// Ends an operation, unless somebody else did meanwhile: one that commits to two tables may be found by who holds either.
async fn end(ctx: &Ctx, operation: &Operation) -> Result<()> {
    let _held = ctx.app.holds.take(&format!("operation {}", operation.id)).await;
    if !open(ctx).await?.iter().any(|open| open.id == operation.id) {
        return Ok(());
    }
    let system = Ctx::system(&ctx.app);
    match operation.kind.as_str() {
        IMPORT => land::finish(&system, operation.id, &landing(operation)?).await,
        CREATE => {
            let table: NewTable =
                serde_json::from_value(operation.intent.clone()).map_err(Error::internal)?;
            land::finish_create(&system, operation.id, &table).await
        }
        WRITE => inside::finish(&system, operation.id, &inside_of(operation)?, How::Replace).await,
        ROWS => inside::finish(&system, operation.id, &inside_of(operation)?, How::Append).await,
        COLUMNS => widen::finish(&system, operation.id, &upkeep(operation)?).await,
        COMPACT => keeping::finish_compact(&system, operation.id, &upkeep(operation)?).await,
        _ => keeping::finish_vacuum(&system, operation.id, &upkeep(operation)?).await,
    }
}

/// Somebody wrote to a table's directory past this server: the commits are there, and whoever writes next builds upon them.
/// Those before a version become versions of nobody here. To be called by whoever holds the table: before they write, and
/// before they record what they committed, since a commit of somebody else may have come in between.
pub(super) async fn adopt(ctx: &Ctx, asset_id: i64, before: u64) -> Result<()> {
    let newest = ctx
        .app
        .db
        .read(&Origin::system(), move |sql| {
            let asset = crate::catalog::asset::get(sql, asset_id)?;
            let newest = super::managed::newest(sql, asset_id)?;
            Ok(asset.map(|asset| asset.uuid).zip(newest))
        })
        .await?;
    let Some((uuid, newest)) = newest.filter(|(_, newest)| newest.version + 1 < before) else {
        return Ok(());
    };
    let (lake, id) = (&ctx.app.lake, uuid.parse()?);
    let commits = lake.commits(id, newest.version).await?;
    let underway = if commits.is_empty() { Vec::new() } else { open(ctx).await? };
    for (commit, operation) in commits.into_iter().filter(|(commit, _)| commit.version < before) {
        // Whoever ends it records it: an import commits to its table for bad rows, which somebody else may hold.
        if underway.iter().any(|open| operation == Some(open.id)) {
            continue;
        }
        tracing::warn!(table = %id, version = commit.version, "a commit that this server did not make");
        let state = lake.state(id, Some(commit.version)).await?;
        let (totals, columns) = (Totals::of(&state), column::shown(&state.columns)?);
        Ctx::system(&ctx.app)
            .write(move |tx| {
                authorize_admin(tx, "record commits that others made")?;
                let version = Version {
                    kind: "foreign",
                    operation: None,
                    batch: None,
                    report: String::new(),
                    by: tx.caller().id,
                };
                tx.execute(&store::TABLE_SET_COLUMNS, bind![asset_id, &columns])?;
                let revision = operations::record(tx, asset_id, commit.rows_added, totals, &version)?;
                let event = Event::new(EventKind::TableAdopt)
                    .asset(asset_id, revision)
                    .detail(serde_json::json!({ "version": commit.version, "rows": commit.rows_added }));
                Ok(Change::Made((), event))
            })
            .await?;
    }
    Ok(())
}
