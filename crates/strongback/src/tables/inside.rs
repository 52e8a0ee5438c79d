//! Rows that come from inside the server, as those of a payload log do: a batch lands once by its id, and the source of the
//! rows can make them again, so that nothing waits in the spool.
//!
//! What must stay true: a batch that was committed is recorded, whoever finds it; one that was not leaves nothing, and its
//! source sends it again.

use lake::{rows::Rows, schema::Declared, table::Committed};
use serde_json::json;
use syntax::names::FullName;
use uuid::Uuid;

use super::{
    column,
    land::{self, NewEmpty, revert_row},
    managed::{self, Totals},
    operations::{self, COLUMNS, Inside, Place, ROWS, Upkeep, Version},
    recover::settle,
    store,
};
use crate::{
    bind,
    catalog::{Action, asset, authorize, authorize::authorize_end},
    context::Ctx,
    db::{Change, Sql},
    error::{Code, Error, Result},
    events::{Event, EventKind},
};

/// A batch of rows.
pub struct Batch {
    /// Asset of the table.
    pub table: i64,
    /// Unique in the table.
    pub id: String,
    /// Of what the rows are made of, hexadecimal: the same id with another digest is refused.
    pub digest: String,
    /// The rows; asked for only if they have to be written.
    pub rows: Rows,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landed {
    /// The version with its rows.
    pub version: u64,
    /// Whether it had landed before.
    pub is_repeat: bool,
}

/// A table for such rows.
pub struct NewTable {
    /// Its name.
    pub name: FullName,
    /// Its columns.
    pub columns: Vec<Declared>,
    /// Its description.
    pub comment: String,
    /// `principal.id` of its owner.
    pub owner: i64,
}

/// Makes an empty table for somebody; answers its asset.
pub async fn create(ctx: &Ctx, new: NewTable) -> Result<i64> {
    let NewTable { name, columns, comment, owner } = new;
    land::create_empty(ctx, NewEmpty { name, columns, comment, properties: None, owner: Some(owner) }).await
}

/// Lets a batch land, exactly once.
pub async fn land(ctx: &Ctx, batch: Batch) -> Result<Landed> {
    let place = place_of(ctx, batch.table).await?;
    let _held = ctx.app.holds.take(&place.id().to_string()).await;
    settle(ctx, place).await?;
    let (operation, inside) = match begin(ctx, batch.table, batch.id, batch.digest).await? {
        Begun::Repeat(version) => return Ok(Landed { version, is_repeat: true }),
        Begun::Open(operation, inside) => (operation, inside),
    };
    let notes = vec![("strongback.batch".to_owned(), inside.batch_id.clone())];
    let mark = lake::table::Mark { operation, notes };
    let version = match ctx.app.lake.append(inside.place.id(), batch.rows, mark).await {
        Ok(done) => record(ctx, operation, &inside, done).await?,
        // Whether it was committed all the same, only the table knows.
        Err(error) => match found(ctx, operation, &inside).await? {
            Some(done) => record(ctx, operation, &inside, done).await?,
            None => {
                revert_row(ctx, operation, Some(inside.place.asset), error.message()).await?;
                return Err(error.into());
            }
        },
    };
    Ok(Landed { version, is_repeat: false })
}

async fn place_of(ctx: &Ctx, asset_id: i64) -> Result<Place> {
    ctx.read(move |sql| {
        authorize(sql, Action::Edit, asset_id)?;
        place(sql, asset_id)
    })
    .await
}

fn place(sql: &mut Sql<'_>, asset_id: i64) -> Result<Place> {
    let (id, version) = newest(sql, asset_id)?.ok_or_else(|| Error::missing("The table was deleted."))?;
    Ok(Place { asset: asset_id, table: id.0, version })
}

/// Where a table lies, and its newest version, if it is there. It authorises nothing.
pub fn newest(sql: &mut Sql<'_>, table: i64) -> Result<Option<(lake::TableId, u64)>> {
    let found = asset::get(sql, table)?.zip(managed::newest(sql, table)?);
    found.map(|(found, newest)| Ok((found.uuid.parse()?, newest.version))).transpose()
}

enum Begun {
    Open(Uuid, Inside),
    Repeat(u64),
}

async fn begin(ctx: &Ctx, table: i64, batch_id: String, digest: String) -> Result<Begun> {
    ctx.write(move |tx| {
        authorize(tx, Action::Edit, table)?;
        let place = place(tx, table)?;
        let landed = tx.first(&store::VERSION_OF_BATCH, bind![table, &batch_id], |row| {
            Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
        })?;
        if let Some((version, landed_digest)) = landed {
            if landed_digest == digest {
                return Ok(Change::Nothing(Begun::Repeat(version as u64)));
            }
            return Err(Error::new(
                Code::AlreadyExists,
                format!("The batch '{batch_id}' landed already as version {version}, and was made of something else."),
            ));
        }
        let inside = Inside { place, batch_id: batch_id.clone(), digest: digest.clone() };
        let (id, event) = operations::begin(tx, ROWS, &inside, Some(table))?;
        Ok(Change::Made(Begun::Open(id, inside), event))
    })
    .await
}

async fn found(ctx: &Ctx, operation: Uuid, inside: &Inside) -> Result<Option<Committed>> {
    let place = inside.place;
    Ok(ctx.app.lake.find_commit(place.id(), operation, Some(place.version)).await?)
}

/// Ends a batch of which nobody knows how far it came.
pub(super) async fn finish(ctx: &Ctx, operation: Uuid, inside: &Inside) -> Result<()> {
    match found(ctx, operation, inside).await? {
        Some(done) => record(ctx, operation, inside, done).await.map(|_| ()),
        None => {
            let why = "the server stopped before the rows were committed";
            revert_row(ctx, operation, Some(inside.place.asset), why).await
        }
    }
}

/// Makes a committed batch visible. Answers its version.
async fn record(ctx: &Ctx, operation: Uuid, inside: &Inside, done: Committed) -> Result<u64> {
    let inside = inside.clone();
    ctx.write(move |tx| {
        let by = authorize_end(tx, operation)?;
        let asset_id = inside.place.asset;
        let Some(before) = living(tx, asset_id)? else { return gone(tx, operation, asset_id, done.version) };
        operations::close(tx, operation)?;
        let totals = before.and(&done, lake::commit::Mode::Append);
        let batch = Some((inside.batch_id.as_str(), inside.digest.as_str()));
        let version =
            Version { kind: "append", operation: Some(operation), batch, report: String::new(), by };
        let revision = operations::record(tx, asset_id, done.rows_added, totals, &version)?;
        let detail = json!({
            "batch": inside.batch_id, "version": done.version, "rows": done.rows_added, "digest": inside.digest,
        });
        let event =
            Event::new(EventKind::TableAppend).asset(asset_id, revision).operation(operation).detail(detail);
        Ok(Change::Made(done.version, event))
    })
    .await
}

/// The newest version of a table that was not deleted meanwhile.
fn living(tx: &mut Sql<'_>, asset_id: i64) -> Result<Option<Totals>> {
    if asset::get(tx, asset_id)?.is_none() {
        return Ok(None);
    }
    managed::newest(tx, asset_id)
}

/// Ends an operation on a table that was deleted meanwhile: nobody asks for the outcome.
fn gone(tx: &mut Sql<'_>, operation: Uuid, asset_id: i64, version: u64) -> Result<Change<u64>> {
    Ok(match operations::revert(tx, operation, Some(asset_id), "the table was deleted")? {
        Some(event) => Change::Made(version, event),
        None => Change::Nothing(version),
    })
}

/// The columns of a table, as it is now.
pub async fn columns(ctx: &Ctx, table: i64) -> Result<Vec<lake::schema::Column>> {
    let place = place_of(ctx, table).await?;
    Ok(ctx.app.lake.state(place.id(), Some(place.version)).await?.columns)
}

/// Adds columns to a table, as a version of its own. They may be null.
pub async fn add_columns(ctx: &Ctx, table: i64, columns: Vec<Declared>) -> Result<()> {
    let place = place_of(ctx, table).await?;
    let _held = ctx.app.holds.take(&place.id().to_string()).await;
    settle(ctx, place).await?;
    let (operation, upkeep) = ctx
        .write(move |tx| {
            authorize(tx, Action::Edit, table)?;
            let upkeep = Upkeep { place: self::place(tx, table)?, keep: None };
            let (id, event) = operations::begin(tx, COLUMNS, &upkeep, Some(table))?;
            Ok(Change::Made((id, upkeep), event))
        })
        .await?;
    let mark = lake::table::Mark { operation, notes: Vec::new() };
    match ctx.app.lake.add_columns(upkeep.place.id(), columns, mark).await {
        Ok(done) => record_columns(ctx, operation, &upkeep, done.version).await,
        Err(error) => {
            finish_columns(ctx, operation, &upkeep).await?;
            Err(error.into())
        }
    }
}

/// Ends the adding of columns of which nobody knows whether it was committed.
pub(super) async fn finish_columns(ctx: &Ctx, operation: Uuid, upkeep: &Upkeep) -> Result<()> {
    let place = upkeep.place;
    match ctx.app.lake.find_commit(place.id(), operation, Some(place.version)).await? {
        Some(done) => record_columns(ctx, operation, upkeep, done.version).await,
        None => {
            let why = "the server stopped before the columns were added";
            revert_row(ctx, operation, Some(place.asset), why).await
        }
    }
}

async fn record_columns(ctx: &Ctx, operation: Uuid, upkeep: &Upkeep, version: u64) -> Result<()> {
    let state = ctx.app.lake.state(upkeep.place.id(), Some(version)).await?;
    let shown = serde_json::to_string(&column::of_lake(state.columns.iter())).map_err(Error::internal)?;
    let (asset_id, totals, columns) = (upkeep.place.asset, Totals::of(&state), state.columns.len());
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
