//! Consumers of the stream: each reads every block once, in the order of its slot.
//!
//! A consumer has a name and, for each slot, the number of the last block it took. Numbers are dense in a slot, so there
//! is no gap to wait for and no event that appears behind a cursor. Between slots there is no order: events of one asset
//! are ordered by its revision.
//!
//! What must stay true: the cursor moves in the transaction of the consumer's own effect ([`take`] before the effect, in
//! one [`crate::db::Db::derive`]), so that after a crash the effect stands exactly once. An effect outside of the store is
//! made at least once.

use std::collections::HashMap;

use super::{
    chain::Block,
    store::{self, Page},
};
use crate::{bind, db::Sql, error::Result};

/// Blocks that a consumer has not taken yet, at most `limit`, and no more than may be in memory at once: those of a slot in
/// their order. None where it took all.
pub fn pending(sql: &mut Sql<'_>, consumer: &str, limit: usize) -> Result<Vec<Block>> {
    let taken: HashMap<i64, i64> = sql
        .all(&store::CURSOR_ALL, bind![consumer], |row| Ok((row.get(0)?, row.get(1)?)))?
        .into_iter()
        .collect();
    let mut page = Page::default();
    for slot in sql.all(&store::SLOTS, bind![], |row| row.get::<i64>(0))? {
        let mut after = taken.get(&slot).copied().unwrap_or(0);
        while page.blocks.len() < limit && !page.is_full() {
            let had = page.blocks.len();
            let most = store::BLOCKS.min(i64::try_from(limit - had).unwrap_or(store::BLOCKS));
            page.read(sql, &store::BLOCKS_AFTER, bind![slot, after, most])?;
            let Some(last) = page.blocks[had..].last() else { break };
            after = last.n;
        }
    }
    Ok(page.blocks)
}

/// Leaves out what there is: the consumer begins with what comes from now on.
pub fn skip(tx: &mut Sql<'_>, consumer: &str) -> Result<()> {
    for slot in tx.all(&store::SLOTS, bind![], |row| row.get::<i64>(0))? {
        if let Some(n) = tx.first(&store::BLOCK_HEAD, bind![slot], |row| row.get::<i64>(0))? {
            tx.execute(&store::CURSOR_SET, bind![consumer, slot, n])?;
        }
    }
    Ok(())
}

/// Takes a block for a consumer. `false` if it was taken already, or its predecessor was not: then the effect must not be
/// made.
pub fn take(tx: &mut Sql<'_>, consumer: &str, block: &Block) -> Result<bool> {
    tx.execute(&store::CURSOR_BEGIN, bind![consumer, block.slot])?;
    Ok(tx.execute(&store::CURSOR_MOVE, bind![consumer, block.slot, block.n - 1, block.n])? == 1)
}
