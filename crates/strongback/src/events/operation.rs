//! Operations: work that spans the metadata store and a second system.
//!
//! The intent is committed before the effect begins; the effect carries the operation's id; the outcome is committed
//! with what the effect made visible. What must stay true: after a crash every open operation is finished or reverted
//! at start, and an effect without an outcome is never visible to anybody. History is in the stream: a row is kept after
//! its outcome only where a repeated call is to get the same answer, and then for a bounded time.

use super::{Event, EventKind, store};
use crate::{
    bind,
    db::{Row, Sql},
    error::{Code, Error, Result},
};

/// A stored operation.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The id that the effect carries.
    pub id: uuid::Uuid,
    /// What kind of work, e.g. `artifact.put`.
    pub kind: String,
    /// `open`, `done` or `reverted`.
    pub state: String,
    /// What is needed to finish or revert it, as its kind defines it.
    pub intent: serde_json::Value,
    /// On whose behalf.
    pub principal_id: i64,
    /// Milliseconds since the epoch.
    pub started_at: i64,
}

/// Records the intent. The event belongs into the same change.
pub fn begin(tx: &mut Sql<'_>, kind: &str, intent: &serde_json::Value) -> Result<(uuid::Uuid, Event)> {
    let id = uuid::Uuid::now_v7();
    let (text, principal, now) = (intent.to_string(), tx.caller().id, tx.now());
    tx.execute(&store::OPERATION_INSERT, bind![&id.to_string(), kind, &text, principal, now])?;
    let detail = serde_json::json!({ "kind": kind, "intent": intent });
    Ok((id, Event::new(EventKind::OperationBegin).operation(id).detail(detail)))
}

/// An operation in whatever state, kept from others until the transaction ends. Who means to decide by the state takes
/// this first: a state that was read before waiting for the lock may be an old one.
pub fn lock(tx: &mut Sql<'_>, id: uuid::Uuid) -> Result<Option<Operation>> {
    tx.first(&store::OPERATION_GET, bind![&id.to_string()], read)
}

/// An open operation of a kind, locked until the transaction ends.
pub fn open(tx: &mut Sql<'_>, id: uuid::Uuid, kind: &str) -> Result<Operation> {
    let gone = || {
        Error::new(
            Code::ResourceDoesNotExist,
            format!(
                "The upload {id} is not open: it was completed, aborted or never begun. Begin a new one."
            ),
        )
    };
    let found = lock(tx, id)?.ok_or_else(gone)?;
    if found.kind == kind && found.state == "open" { Ok(found) } else { Err(gone()) }
}

/// Ends it. `false` if it was not open any more.
pub fn end(tx: &mut Sql<'_>, id: uuid::Uuid, state: &str) -> Result<bool> {
    let now = tx.now();
    Ok(tx.execute(&store::OPERATION_END, bind![&id.to_string(), state, now])? == 1)
}

/// Ends it without keeping a row, where nobody asks for the outcome again. `false` if it was not open any more.
pub fn close(tx: &mut Sql<'_>, id: uuid::Uuid) -> Result<bool> {
    Ok(tx.execute(&store::OPERATION_CLOSE, bind![&id.to_string()])? == 1)
}

/// Forgets some of those that ended before a moment, the oldest first and at most `limit`; answers how many.
pub fn forget(tx: &mut Sql<'_>, before: i64, limit: i64) -> Result<u64> {
    tx.execute(&store::OPERATION_FORGET, bind![before, limit])
}

/// Operations that are open and began before a moment.
pub fn list_open(sql: &mut Sql<'_>, before: i64) -> Result<Vec<Operation>> {
    sql.all(&store::OPERATION_OPEN, bind![before], read)
}

fn read(row: &Row<'_>) -> Result<Operation> {
    Ok(Operation {
        id: row.get::<String>(0)?.parse().map_err(Error::internal)?,
        kind: row.get(1)?,
        state: row.get(2)?,
        intent: serde_json::from_str(&row.get::<String>(3)?).map_err(Error::internal)?,
        principal_id: row.get(4)?,
        started_at: row.get(5)?,
    })
}
