//! Statements of the event stream.

use super::chain::{Block, to_hash, unpack};
use crate::{
    db::{Row, Sql, Stmt, Value},
    error::Result,
    statements,
};

statements! {
    /// The head of a slot.
    BLOCK_HEAD = "SELECT n, hash FROM event_block WHERE slot = $1 ORDER BY n DESC LIMIT 1";
    /// Of one block.
    BLOCK_HASH = "SELECT hash FROM event_block WHERE slot = $1 AND n = $2";
    BLOCK_INSERT = "INSERT INTO event_block (slot, n, previous_hash, hash, entries, first_at, last_at, body, details)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING {transaction}";
    /// Blocks of a slot after a number.
    BLOCKS_AFTER = "SELECT slot, n, previous_hash, hash, entries, first_at, last_at, body, details FROM event_block
        WHERE slot = $1 AND n > $2 ORDER BY n LIMIT $3";
    /// One block, to be given other details.
    BLOCK_LOCK = "SELECT slot, n, previous_hash, hash, entries, first_at, last_at, body, details FROM event_block
        WHERE slot = $1 AND n = $2 {lock}";
    /// What lies beside the hashed bytes, which are never written again.
    BLOCK_DETAILS_SET = "UPDATE event_block SET details = $3 WHERE slot = $1 AND n = $2";
    /// Blocks of all slots, newest first, after a place ($1 to $3), with entries between two moments ($4, $5).
    BLOCKS_NEWEST = "SELECT slot, n, previous_hash, hash, entries, first_at, last_at, body, details FROM event_block
        WHERE (last_at, slot, n) < ($1, $2, $3) AND last_at >= $4 AND first_at <= $5
        ORDER BY last_at DESC, slot DESC, n DESC LIMIT $6";
    /// Slots that have blocks, each with its newest: reads the whole index, for verification only.
    SLOT_LIST = "SELECT slot, MAX(n) FROM event_block GROUP BY slot ORDER BY slot";
    /// When the newest event happened.
    NEWEST_TIME = "SELECT MAX(last_at) FROM event_block";
    /// Slots that have a writer, or had one.
    SLOTS = "SELECT slot FROM writer ORDER BY slot";

    /// When the newest checkpoint was signed.
    CHECKPOINT_TIME = "SELECT MAX(at) FROM event_checkpoint WHERE n = (SELECT MAX(n) FROM event_checkpoint)";
    CHECKPOINT_NEWEST = "SELECT n, at, body, signature, public_key FROM event_checkpoint ORDER BY n DESC LIMIT 1";
    CHECKPOINT_LIST = "SELECT n, at, body, signature, public_key FROM event_checkpoint ORDER BY n";
    CHECKPOINT_INSERT = "INSERT INTO event_checkpoint (n, at, body, signature, public_key) VALUES ($1, $2, $3, $4, $5)";
    /// Old checkpoints are thinned to the first of each hour.
    CHECKPOINT_THIN = "DELETE FROM event_checkpoint WHERE at < $1
        AND n NOT IN (SELECT MIN(n) FROM event_checkpoint GROUP BY at / 3600000)";

    SLOT_OWN = "UPDATE writer SET lease_until = $2
        WHERE slot = (SELECT MIN(slot) FROM writer WHERE holder = $1) RETURNING slot";
    SLOT_HOLDERS = "SELECT holder FROM writer WHERE lease_until > $1";
    /// Takes the first slot whose lease has run out.
    SLOT_TAKE = "UPDATE writer SET holder = $1, lease_until = $2
        WHERE slot = (SELECT MIN(slot) FROM writer WHERE lease_until < $3) AND lease_until < $3 RETURNING slot";
    SLOT_ADD = "INSERT INTO writer (slot, holder, lease_until)
        SELECT COALESCE(MAX(slot), 0) + 1, $1, $2 FROM writer RETURNING slot";
    SLOT_RENEW = "UPDATE writer SET lease_until = $3 WHERE slot = $1 AND holder = $2";
    /// Another value each time: a page that stays as it was is not written.
    SLOT_MARK = "UPDATE writer SET lease_until = lease_until + 1 WHERE slot = $1";

    /// Who signs now.
    KEY_NEWEST = "SELECT n, public_key FROM signing_key ORDER BY n DESC LIMIT 1";
    KEY_INSERT = "INSERT INTO signing_key (n, public_key, since) VALUES ($1, $2, $3)";

    CURSOR_ALL = "SELECT slot, n FROM event_cursor WHERE consumer = $1";
    CURSOR_BEGIN = "INSERT INTO event_cursor (consumer, slot, n) VALUES ($1, $2, 0) ON CONFLICT (consumer, slot) DO NOTHING";
    CURSOR_SET = "INSERT INTO event_cursor (consumer, slot, n) VALUES ($1, $2, $3)
        ON CONFLICT (consumer, slot) DO UPDATE SET n = excluded.n";
    CURSOR_MOVE = "UPDATE event_cursor SET n = $4 WHERE consumer = $1 AND slot = $2 AND n = $3";

    OPERATION_INSERT = "INSERT INTO operation (id, kind, state, intent, principal_id, started_at)
        VALUES ($1, $2, 'open', $3, $4, $5)";
    /// Ends an open operation; no row if another process ended it.
    OPERATION_END = "UPDATE operation SET state = $2, ended_at = $3 WHERE id = $1 AND state = 'open'";
    OPERATION_GET = "SELECT id, kind, state, intent, principal_id, started_at FROM operation WHERE id = $1 {lock}";
    OPERATION_OPEN = "SELECT id, kind, state, intent, principal_id, started_at FROM operation
        WHERE state = 'open' AND started_at < $1 ORDER BY started_at";
    /// Ends an open operation that nobody asks for again.
    OPERATION_CLOSE = "DELETE FROM operation WHERE id = $1 AND state = 'open'";
    /// Some of those that ended before a moment.
    OPERATION_FORGET = "DELETE FROM operation WHERE id IN
        (SELECT id FROM operation WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)";

    /// Takes a lease that is free, has run out, or is ours.
    LEASE_TAKE = "INSERT INTO lease (name, holder, until) VALUES ($1, $2, $3)
        ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
        WHERE lease.until < $4 OR lease.holder = excluded.holder";
}

/// Blocks that are read at a time.
pub(crate) const BLOCKS: i64 = 128;
/// Bytes of unpacked blocks that are enough to be in memory at once.
const BYTES: usize = 4 << 20;

/// Blocks that are in memory at once: a bounded number of bytes, and one block above it.
#[derive(Default)]
pub(crate) struct Page {
    pub blocks: Vec<Block>,
    bytes: usize,
}

impl Page {
    pub fn is_full(&self) -> bool {
        self.bytes >= BYTES
    }

    /// Adds what a statement finds, until the page is full. Its last parameter says how many blocks, at most [`BLOCKS`].
    pub fn read(&mut self, sql: &mut Sql<'_>, stmt: &'static Stmt, params: &[Value<'_>]) -> Result<()> {
        sql.each(stmt, params, |row| {
            let block = block(row)?;
            self.bytes += block.bytes();
            self.blocks.push(block);
            Ok(!self.is_full())
        })
    }
}

/// Some of the blocks that a statement finds, the first of them; none where there are none.
pub(crate) fn blocks(sql: &mut Sql<'_>, stmt: &'static Stmt, params: &[Value<'_>]) -> Result<Vec<Block>> {
    let mut page = Page::default();
    page.read(sql, stmt, params)?;
    Ok(page.blocks)
}

/// A row of the statements that list a block's columns. Bytes that cannot be unpacked read as none, and what is no hash as
/// zeros: whoever verifies the chain then finds that the hash does not fit, instead of stopping there.
pub(crate) fn block(row: &Row<'_>) -> Result<Block> {
    Ok(Block {
        slot: row.get(0)?,
        n: row.get(1)?,
        previous: to_hash(&row.get::<Vec<u8>>(2)?).unwrap_or_default(),
        hash: to_hash(&row.get::<Vec<u8>>(3)?).unwrap_or_default(),
        entries: row.get(4)?,
        first_at: row.get(5)?,
        last_at: row.get(6)?,
        body: unpack(&row.get::<Vec<u8>>(7)?).unwrap_or_default(),
        details: unpack(&row.get::<Vec<u8>>(8)?).unwrap_or_default(),
    })
}
