//! After a crash, and before the next write to a table: what was begun is finished or reverted.

use super::{
    land,
    managed::Totals,
    operations::{
        self, COLUMNS, COMPACT, CREATE, IMPORT, Inside, Landing, NewTable, Place, ROWS, Upkeep, VACUUM,
        Version,
    },
    rows, upkeep as keeping,
};
use crate::{
    catalog::authorize_admin,
    context::Ctx,
    db::{Change, Origin},
    error::{Error, Result},
    events::{
        Event, EventKind,
        operation::{self, Operation},
    },
};

/// Finishes or reverts what a dead process left open. To be called before anything is served. What cannot be finished now,
/// as where the disk is full, is logged, and tried again before the next write to its table.
pub async fn recover(ctx: &Ctx) -> Result<()> {
    let open = open(ctx).await?;
    let mut waiting = Vec::new();
    for operation in open {
        tracing::info!(operation = %operation.id, kind = operation.kind, "an operation on a table has no outcome");
        if let Err(error) = end(ctx, &operation).await {
            tracing::error!(operation = %operation.id, ?error, "an operation on a table could not be ended");
            if operation.kind == IMPORT {
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

/// Ends what is open on one table, which the caller holds, and records commits that nobody here made.
pub(super) async fn settle(ctx: &Ctx, place: Place) -> Result<()> {
    for operation in open(ctx).await? {
        if tables_of(&operation)?.contains(&place.table) {
            end(ctx, &operation).await?;
        }
    }
    adopt(ctx, place.asset).await
}

async fn open(ctx: &Ctx) -> Result<Vec<Operation>> {
    let open = ctx.app.db.read(&Origin::system(), |sql| operation::list_open(sql, i64::MAX)).await?;
    Ok(open
        .into_iter()
        .filter(|operation| {
            [CREATE, IMPORT, ROWS, COLUMNS, COMPACT, VACUUM].contains(&operation.kind.as_str())
        })
        .collect())
}

fn landing(operation: &Operation) -> Result<Landing> {
    serde_json::from_value(operation.intent.clone()).map_err(Error::internal)
}

fn upkeep(operation: &Operation) -> Result<Upkeep> {
    serde_json::from_value(operation.intent.clone()).map_err(Error::internal)
}

fn inside(operation: &Operation) -> Result<Inside> {
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
        ROWS => vec![inside(operation)?.place.table],
        COLUMNS | COMPACT | VACUUM => vec![upkeep(operation)?.place.table],
        _ => Vec::new(),
    })
}

async fn end(ctx: &Ctx, operation: &Operation) -> Result<()> {
    let system = Ctx::system(&ctx.app);
    match operation.kind.as_str() {
        IMPORT => land::finish(&system, operation.id, &landing(operation)?).await,
        CREATE => {
            let table: NewTable =
                serde_json::from_value(operation.intent.clone()).map_err(Error::internal)?;
            land::finish_create(&system, operation.id, &table).await
        }
        ROWS => rows::finish(&system, operation.id, &inside(operation)?).await,
        COLUMNS => rows::finish_columns(&system, operation.id, &upkeep(operation)?).await,
        COMPACT => keeping::finish_compact(&system, operation.id, &upkeep(operation)?).await,
        _ => keeping::finish_vacuum(&system, operation.id, &upkeep(operation)?).await,
    }
}

/// Somebody wrote to a table's directory past this server: the commits are there, and whoever writes next builds upon them.
/// They become versions of nobody here.
async fn adopt(ctx: &Ctx, asset_id: i64) -> Result<()> {
    let newest = ctx
        .app
        .db
        .read(&Origin::system(), move |sql| {
            let asset = crate::catalog::asset::get(sql, asset_id)?;
            let newest = super::managed::newest(sql, asset_id)?;
            Ok(asset.map(|asset| asset.uuid).zip(newest))
        })
        .await?;
    let Some((uuid, newest)) = newest else { return Ok(()) };
    let (lake, id) = (&ctx.app.lake, uuid.parse()?);
    for commit in lake.commits(id, newest.version).await? {
        tracing::warn!(table = %id, version = commit.version, "a commit that this server did not make");
        let totals = Totals::of(&lake.state(id, Some(commit.version)).await?);
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
