//! Slots of the chain, one a writer thread, held by lease.
//!
//! What must stay true: a slot has one writer at a time. A lease that was lost is noticed at its renewal; until then
//! the primary key of `event_block` is the fence. A holder's name outlives its process: what starts again in the same
//! data directory, which one process at a time can hold, takes its slots back at once and adds none.

use std::time::Duration;

use super::store;
use crate::{
    bind,
    db::Sql,
    error::{Error, Result},
};

/// After which time a writer renews its lease.
pub const RENEW_AFTER: Duration = Duration::from_secs(5);
const LEASE_MS: i64 = 30_000;

/// Takes the holder's own slot, or a free one, or adds one.
pub fn claim(tx: &mut Sql<'_>, holder: &str) -> Result<i64> {
    let now = tx.now();
    if let Some(slot) = tx.first(&store::SLOT_OWN, bind![holder, now + LEASE_MS], |row| row.get(0))? {
        return Ok(slot);
    }
    let taken = tx.first(&store::SLOT_TAKE, bind![holder, now + LEASE_MS, now], |row| row.get(0))?;
    match taken {
        Some(slot) => Ok(slot),
        None => tx.one(&store::SLOT_ADD, bind![holder, now + LEASE_MS], |row| row.get(0)),
    }
}

/// Renews the lease; `false` if the slot has another holder.
pub fn renew(tx: &mut Sql<'_>, slot: i64, holder: &str) -> Result<bool> {
    let until = tx.now() + LEASE_MS;
    Ok(tx.execute(&store::SLOT_RENEW, bind![slot, holder, until])? == 1)
}

/// Whether somebody whose name does not begin like this holds a slot at this moment.
pub fn is_held_by_another(sql: &mut Sql<'_>, holder: &str) -> Result<bool> {
    let now = sql.now();
    let holders = sql.all(&store::SLOT_HOLDERS, bind![now], |row| row.get::<String>(0))?;
    Ok(holders.iter().any(|other| !other.starts_with(holder)))
}

/// Changes the row of a slot that has no lease, for a transaction that has to write something.
pub fn mark(tx: &mut Sql<'_>, slot: i64) -> Result<()> {
    match tx.execute(&store::SLOT_MARK, bind![slot])? {
        1 => Ok(()),
        _ => Err(Error::internal(format!("there is no writer slot {slot}"))),
    }
}

/// Gives the slot back, for the next one to take at once.
pub fn release(tx: &mut Sql<'_>, slot: i64, holder: &str) -> Result<()> {
    tx.execute(&store::SLOT_RENEW, bind![slot, holder, 0_i64])?;
    Ok(())
}
