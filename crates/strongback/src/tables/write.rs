//! Rows that another slice computes go into a table that is kept for it, exactly once a batch id.
//!
//! As everywhere here: intent, commit under the operation's id, outcome. After a crash the log says whether the commit was made;
//! if so the version is recorded, else there is nothing to finish, since whoever computed the rows computes them again. No
//! file waits for that.

use lake::{replace::Replacement, table::Mark};
use serde_json::json;
use uuid::Uuid;

use super::{
    column,
    land::revert_row,
    managed::{Managed, Totals},
    operations::{self, Place, Version, WRITE, Writing},
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

/// Rows that landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The version that holds them.
    pub version: u64,
    /// Whether the batch had landed before, so that nothing was written now.
    pub is_repeat: bool,
}

/// Puts computed rows into a table. `digest` names what they were computed by: a batch of another one is not the same.
/// `rows` are asked for with the mark that their commit has to carry, and only if the batch is not there.
pub async fn write_rows(
    ctx: &Ctx,
    table: &Managed,
    batch_id: &str,
    digest: &str,
    rows: impl FnOnce(Mark) -> Replacement + Send,
) -> Result<Written> {
    let place = Place::of(table);
    let _held = ctx.app.holds.take(&place.id().to_string()).await;
    settle(ctx, place).await?;
    let writing = Writing { place, batch_id: batch_id.to_owned(), digest: digest.to_owned() };
    let (operation, writing) = match begin(ctx, writing).await? {
        Begun::Repeat(version) => return Ok(Written { version, is_repeat: true }),
        Begun::Open(operation, writing) => (operation, writing),
    };
    let mark = Mark { operation, notes: vec![("strongback.batch".to_owned(), batch_id.to_owned())] };
    match ctx.app.lake.replace(rows(mark)).await {
        Ok((done, state)) => record(ctx, operation, &writing, done.rows_added, state).await?,
        Err(error) => {
            finish(&Ctx::system(&ctx.app), operation, &writing).await?;
            if landed(ctx, &writing).await?.is_none() {
                return Err(error.into());
            }
        }
    }
    let version = landed(ctx, &writing).await?;
    let version = version.ok_or_else(|| Error::missing("The table was deleted while it was written."))?;
    Ok(Written { version, is_repeat: false })
}

enum Begun {
    Open(Uuid, Writing),
    Repeat(u64),
}

async fn begin(ctx: &Ctx, writing: Writing) -> Result<Begun> {
    ctx.write(move |tx| {
        let id = writing.place.asset;
        authorize(tx, Action::Edit, id)?;
        if let Some(version) = version_of(tx, &writing)? {
            return Ok(Change::Nothing(Begun::Repeat(version)));
        }
        let newest = super::managed::newest(tx, id)?.map_or(writing.place.version, |newest| newest.version);
        let writing = Writing { place: Place { version: newest, ..writing.place }, ..writing.clone() };
        let (operation, event) = operations::begin(tx, WRITE, &writing, Some(id))?;
        Ok(Change::Made(Begun::Open(operation, writing), event))
    })
    .await
}

/// The version that a batch made; refused if the batch was of something else.
fn version_of(sql: &mut Sql<'_>, writing: &Writing) -> Result<Option<u64>> {
    let batch = bind![writing.place.asset, &writing.batch_id];
    let found =
        sql.first(&store::VERSION_OF_BATCH, batch, |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?)))?;
    match found {
        Some((version, digest)) if digest == writing.digest => Ok(Some(version as u64)),
        Some((version, _)) => Err(Error::new(
            Code::AlreadyExists,
            format!("The batch '{}' landed already as version {version}, of other rows.", writing.batch_id),
        )),
        None => Ok(None),
    }
}

async fn landed(ctx: &Ctx, writing: &Writing) -> Result<Option<u64>> {
    let writing = writing.clone();
    ctx.read(move |sql| {
        authorize(sql, Action::Edit, writing.place.asset)?;
        version_of(sql, &writing)
    })
    .await
}

/// Ends an operation of which nobody knows how far it came.
pub(super) async fn finish(ctx: &Ctx, operation: Uuid, writing: &Writing) -> Result<()> {
    let (lake, place) = (&ctx.app.lake, writing.place);
    match lake.find_commit(place.id(), operation, Some(place.version)).await? {
        Some(done) => {
            let state = lake.state(place.id(), Some(done.version)).await?;
            record(ctx, operation, writing, done.rows_added, state).await
        }
        None => {
            let why = "the computed rows were not committed";
            revert_row(ctx, operation, Some(place.asset), why).await
        }
    }
}

async fn record(
    ctx: &Ctx,
    operation: Uuid,
    writing: &Writing,
    rows: u64,
    state: lake::table::State,
) -> Result<()> {
    let writing = writing.clone();
    let columns = serde_json::to_string(&column::of_lake(state.columns.iter())).map_err(Error::internal)?;
    ctx.write(move |tx| {
        let by = authorize_end(tx, operation)?;
        let id = writing.place.asset;
        if asset::get(tx, id)?.is_none() {
            return Ok(match operations::revert(tx, operation, Some(id), "the table was deleted")? {
                Some(event) => Change::Made((), event),
                None => Change::Nothing(()),
            });
        }
        operations::close(tx, operation)?;
        tx.execute(&store::TABLE_SET_COLUMNS, bind![id, &columns])?;
        let version = Version {
            kind: "replace",
            operation: Some(operation),
            batch: Some((&writing.batch_id, &writing.digest)),
            report: String::new(),
            by,
        };
        let revision = operations::record(tx, id, rows, Totals::of(&state), &version)?;
        let event =
            Event::new(EventKind::TableReplace).asset(id, revision).operation(operation).detail(json!({
                "batch": writing.batch_id, "version": state.version, "rows": rows, "digest": writing.digest,
            }));
        Ok(Change::Made((), event))
    })
    .await
}
