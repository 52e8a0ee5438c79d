//! A table gets columns: a version of its own, as an operation.

use lake::schema::Declared;
use serde_json::json;
use uuid::Uuid;

use super::{
    column,
    hold::to_the_end,
    inside::{self, gone, living, place_of},
    land::revert_row,
    managed::Totals,
    operations::{self, COLUMNS, Upkeep, Version},
    recover::{adopt, settle},
    store,
};
use crate::{
    bind,
    catalog::{Action, authorize, authorize::authorize_end},
    context::Ctx,
    db::Change,
    error::Result,
    events::{Event, EventKind},
};

/// The columns of a table, as it is now.
pub async fn columns(ctx: &Ctx, table: i64) -> Result<Vec<lake::schema::Column>> {
    let place = place_of(ctx, table).await?;
    Ok(ctx.app.lake.state(place.id(), Some(place.version)).await?.columns)
}

/// Adds columns to a table, as a version of its own. They may be null. What was begun goes on to its end, also where nobody
/// waits for it any more.
pub async fn add_columns(ctx: &Ctx, table: i64, columns: Vec<Declared>) -> Result<()> {
    let place = place_of(ctx, table).await?;
    let held = ctx.app.holds.take(&place.id().to_string()).await;
    settle(ctx, place).await?;
    let ctx = ctx.clone();
    let work = async move {
        let _held = held;
        add_held(&ctx, table, columns).await
    };
    to_the_end(work).await
}

async fn add_held(ctx: &Ctx, table: i64, columns: Vec<Declared>) -> Result<()> {
    let (operation, upkeep) = ctx
        .write(move |tx| {
            authorize(tx, Action::Edit, table)?;
            let upkeep = Upkeep { place: inside::place(tx, table)?, keep: None };
            let (id, event) = operations::begin(tx, COLUMNS, &upkeep, Some(table))?;
            Ok(Change::Made((id, upkeep), event))
        })
        .await?;
    let mark = lake::table::Mark { operation, notes: Vec::new() };
    match ctx.app.lake.add_columns(upkeep.place.id(), columns, mark).await {
        Ok(done) => record(ctx, operation, &upkeep, done.version).await,
        Err(error) => {
            finish(ctx, operation, &upkeep).await?;
            Err(error.into())
        }
    }
}

/// Ends the adding of columns of which nobody knows whether it was committed.
pub(super) async fn finish(ctx: &Ctx, operation: Uuid, upkeep: &Upkeep) -> Result<()> {
    let place = upkeep.place;
    match ctx.app.lake.find_commit(place.id(), operation, Some(place.version)).await? {
        Some(done) => record(ctx, operation, upkeep, done.version).await,
        None => {
            let why = "the server stopped before the columns were added";
            revert_row(ctx, operation, Some(place.asset), why).await
        }
    }
}

async fn record(ctx: &Ctx, operation: Uuid, upkeep: &Upkeep, version: u64) -> Result<()> {
    let state = ctx.app.lake.state(upkeep.place.id(), Some(version)).await?;
    let shown = column::shown(&state.columns)?;
    let (asset_id, totals, columns) = (upkeep.place.asset, Totals::of(&state), state.columns.len());
    adopt(ctx, asset_id, version).await?;
    ctx.write(move |tx| {
        let by = authorize_end(tx, operation)?;
        if living(tx, asset_id)?.is_none() {
            return gone(tx, operation, asset_id, version);
        }
        operations::close(tx, operation)?;
        tx.execute(&store::TABLE_SET_COLUMNS, bind![asset_id, &shown])?;
        let change =
            Version { kind: "columns", operation: Some(operation), batch: None, report: String::new(), by };
        let revision = operations::record(tx, asset_id, 0, totals, &change)?;
        let event = Event::new(EventKind::TableUpdate)
            .asset(asset_id, revision)
            .operation(operation)
            .detail(json!({ "version": version, "columns": columns }));
        Ok(Change::Made(version, event))
    })
    .await
    .map(|_| ())
}
