//! Rows that come from inside the server, as those of a payload log or of a feature table do: a batch lands once by its id,
//! and whoever made the rows can make them again, so that no file of them waits.
//!
//! What must stay true: intent, commit under the operation's id, outcome, as everywhere here. A batch that was committed is
//! recorded, whoever finds it; one that was not leaves nothing, and is sent again.

use lake::{
    Lake,
    replace::Replacement,
    rows::Rows,
    table::{Committed, Mark},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    column,
    hold::to_the_end,
    land::revert_row,
    managed::{self, Totals},
    operations::{self, Inside, Place, ROWS, Version, WRITE},
    recover::{adopt, settle},
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Asset of the table.
    pub table: i64,
    /// Unique in the table.
    pub id: String,
    /// Of what the rows are made of, hexadecimal: the same id with another digest is refused.
    pub digest: String,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landed {
    /// The version with its rows.
    pub version: u64,
    /// Whether it had landed before, so that nothing was written now.
    pub is_repeat: bool,
}

/// What the rows of a batch do to those that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// They come after them.
    Append,
    /// They take the place of some, and may have other columns.
    Replace,
}

impl How {
    /// The kind of its operations.
    fn operation(self) -> &'static str {
        match self {
            Self::Append => ROWS,
            Self::Replace => WRITE,
        }
    }

    /// The kind of the version that it makes, and of the event.
    fn version(self) -> (&'static str, EventKind) {
        match self {
            Self::Append => ("append", EventKind::TableAppend),
            Self::Replace => ("replace", EventKind::TableReplace),
        }
    }
}

/// Lets a batch land behind the rows that are there. `rows` are drawn only if they have to be written.
pub async fn append(ctx: &Ctx, batch: Batch, rows: Rows) -> Result<Landed> {
    put(ctx, batch, How::Append, |lake, place, mark| lake.append(place.id(), rows, mark)).await
}

/// Lets a batch take the place of other rows. `rows` are asked for with the mark that their commit has to carry, and only if
/// they have to be written.
pub async fn replace(
    ctx: &Ctx,
    batch: Batch,
    rows: impl FnOnce(Mark) -> Replacement + Send + 'static,
) -> Result<Landed> {
    let commit = |lake: &Lake, _, mark| {
        let work = lake.replace(rows(mark));
        async move { work.await.map(|(done, _)| done) }
    };
    put(ctx, batch, How::Replace, commit).await
}

/// Exactly once. What was begun goes on to its end, also where nobody waits for it any more, as for a job that is ended: a
/// commit that came after its intent was taken back would be nobody's, and its rows would be sent again.
async fn put<Work>(
    ctx: &Ctx,
    batch: Batch,
    how: How,
    commit: impl FnOnce(&Lake, Place, Mark) -> Work + Send + 'static,
) -> Result<Landed>
where
    Work: Future<Output = lake::Result<Committed>> + Send + 'static,
{
    let place = place_of(ctx, batch.table).await?;
    let held = ctx.app.holds.take(&place.id().to_string()).await;
    settle(ctx, place).await?;
    let ctx = ctx.clone();
    let work = async move {
        let _held = held;
        put_held(&ctx, batch, how, commit).await
    };
    to_the_end(work).await
}

/// The same for whoever holds the table.
async fn put_held<Work>(
    ctx: &Ctx,
    batch: Batch,
    how: How,
    commit: impl FnOnce(&Lake, Place, Mark) -> Work + Send,
) -> Result<Landed>
where
    Work: Future<Output = lake::Result<Committed>> + Send,
{
    let (operation, inside) = match begin(ctx, batch, how).await? {
        Begun::Repeat(version) => return Ok(Landed { version, is_repeat: true }),
        Begun::Open(operation, inside) => (operation, inside),
    };
    let mark = Mark { operation, notes: vec![("strongback.batch".to_owned(), inside.batch_id.clone())] };
    let version = match commit(&ctx.app.lake, inside.place, mark).await {
        Ok(done) => record(ctx, operation, &inside, how, done).await?,
        // Whether it was committed all the same, only the table knows.
        Err(error) => match found(ctx, operation, &inside).await? {
            Some(done) => record(ctx, operation, &inside, how, done).await?,
            None => {
                revert_row(ctx, operation, Some(inside.place.asset), error.message()).await?;
                return Err(error.into());
            }
        },
    };
    Ok(Landed { version, is_repeat: false })
}

pub(super) async fn place_of(ctx: &Ctx, asset_id: i64) -> Result<Place> {
    ctx.read(move |sql| {
        authorize(sql, Action::Edit, asset_id)?;
        place(sql, asset_id)
    })
    .await
}

pub(super) fn place(sql: &mut Sql<'_>, asset_id: i64) -> Result<Place> {
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

async fn begin(ctx: &Ctx, batch: Batch, how: How) -> Result<Begun> {
    ctx.write(move |tx| {
        let Batch { table, id, digest } = batch.clone();
        authorize(tx, Action::Edit, table)?;
        let place = place(tx, table)?;
        let landed = tx.first(&store::VERSION_OF_BATCH, bind![table, &id], |row| {
            Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
        })?;
        if let Some((version, landed_digest)) = landed {
            if landed_digest == digest {
                return Ok(Change::Nothing(Begun::Repeat(version as u64)));
            }
            return Err(Error::new(
                Code::AlreadyExists,
                format!(
                    "The batch '{id}' landed already as version {version}, and was made of something else."
                ),
            ));
        }
        let inside = Inside { place, batch_id: id, digest };
        let (operation, event) = operations::begin(tx, how.operation(), &inside, Some(table))?;
        Ok(Change::Made(Begun::Open(operation, inside), event))
    })
    .await
}

async fn found(ctx: &Ctx, operation: Uuid, inside: &Inside) -> Result<Option<Committed>> {
    let place = inside.place;
    Ok(ctx.app.lake.find_commit(place.id(), operation, Some(place.version)).await?)
}

/// Ends a batch of which nobody knows how far it came.
pub(super) async fn finish(ctx: &Ctx, operation: Uuid, inside: &Inside, how: How) -> Result<()> {
    match found(ctx, operation, inside).await? {
        Some(done) => record(ctx, operation, inside, how, done).await.map(drop),
        None => {
            let why = "the server stopped before the rows were committed";
            revert_row(ctx, operation, Some(inside.place.asset), why).await
        }
    }
}

/// Makes a committed batch visible. Answers its version.
async fn record(ctx: &Ctx, operation: Uuid, inside: &Inside, how: How, done: Committed) -> Result<u64> {
    let inside = inside.clone();
    // Rows that went cannot be told from the commit alone, nor can new columns.
    let replaced = match how {
        How::Append => None,
        How::Replace => {
            let state = ctx.app.lake.state(inside.place.id(), Some(done.version)).await?;
            Some((column::shown(&state.columns)?, Totals::of(&state)))
        }
    };
    adopt(ctx, inside.place.asset, done.version).await?;
    ctx.write(move |tx| {
        let by = authorize_end(tx, operation)?;
        let asset_id = inside.place.asset;
        let Some(before) = living(tx, asset_id)? else { return gone(tx, operation, asset_id, done.version) };
        operations::close(tx, operation)?;
        let totals = match &replaced {
            None => before.and(&done, lake::commit::Mode::Append),
            Some((columns, totals)) => {
                tx.execute(&store::TABLE_SET_COLUMNS, bind![asset_id, columns])?;
                *totals
            }
        };
        let (kind, event) = how.version();
        let batch = Some((inside.batch_id.as_str(), inside.digest.as_str()));
        let version = Version { kind, operation: Some(operation), batch, report: String::new(), by };
        let revision = operations::record(tx, asset_id, done.rows_added, totals, &version)?;
        let detail = json!({
            "batch": inside.batch_id, "version": done.version, "rows": done.rows_added, "digest": inside.digest,
        });
        let event = Event::new(event).asset(asset_id, revision).operation(operation).detail(detail);
        Ok(Change::Made(done.version, event))
    })
    .await
}

/// The newest version of a table that was not deleted meanwhile.
pub(super) fn living(tx: &mut Sql<'_>, asset_id: i64) -> Result<Option<Totals>> {
    if asset::get(tx, asset_id)?.is_none() {
        return Ok(None);
    }
    managed::newest(tx, asset_id)
}

/// Ends an operation on a table that was deleted meanwhile: nobody asks for the outcome. Answers `outcome`.
pub(super) fn gone<T>(tx: &mut Sql<'_>, operation: Uuid, asset_id: i64, outcome: T) -> Result<Change<T>> {
    Ok(match operations::revert(tx, operation, Some(asset_id), "the table was deleted")? {
        Some(event) => Change::Made(outcome, event),
        None => Change::Nothing(outcome),
    })
}
