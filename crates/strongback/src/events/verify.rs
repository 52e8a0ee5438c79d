//! Verification of the whole stream: what an auditor runs.
//!
//! Every block is hashed again and linked to its predecessor, every detail is compared with its digest, every stored
//! checkpoint's signature and heads are checked, and so is a checkpoint that the auditor kept elsewhere.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{
    chain::{Block, Hash},
    checkpoint::{self, Body, Checkpoint},
    store,
};
use crate::{bind, db::Sql, error::Result};

/// How long after its date a block may become visible, so that a checkpoint in between does not have it. Writes are dated
/// by their transaction, which takes at most a minute, and never before what is there ([`super::mark`]); the clocks of
/// several machines may differ.
const LATE_MS_MAX: i64 = 15 * 60_000;
/// Findings that are listed; more are only counted.
const LISTED: usize = 50;

/// Up to where the log is proven: the checkpoint that was kept elsewhere, whichever are stored besides; where none was
/// given, the newest stored one that is signed with a known key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proven {
    /// Its number.
    pub checkpoint: i64,
    /// When it was signed, milliseconds since the epoch.
    pub at: i64,
    /// Whether it was kept elsewhere, so that nobody can have changed what came before it, with the signing key or
    /// without.
    pub kept_elsewhere: bool,
}

/// The newest stored checkpoint that is signed with a known key, where it is newer than the one kept elsewhere. Up to it
/// only somebody who can write the store and has the key can have changed anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// Its number.
    pub checkpoint: i64,
    /// When it was signed, milliseconds since the epoch.
    pub at: i64,
}

/// What was verified and what was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Blocks read.
    pub blocks: u64,
    /// Entries read.
    pub entries: u64,
    /// Entries whose detail was erased; allowed.
    pub erased: u64,
    /// Checkpoints whose signature and heads were checked.
    pub checkpoints: u64,
    /// Up to where nothing was changed, removed, inserted or reordered. None without a known key: a log that agrees with
    /// itself proves nothing against somebody who can write the store and sign anew.
    pub proven: Option<Proven>,
    /// Up to where the log was signed since the checkpoint that proves it.
    pub signed_since: Option<Signed>,
    /// How many things are wrong.
    pub wrong: u64,
    /// The first of them, in words.
    pub findings: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.wrong == 0
    }

    /// Takes one more signed checkpoint: the stored ones ascending, then the kept one.
    fn prove(&mut self, proof: Proven) {
        let newer = self.proven.take().filter(|before| before.checkpoint > proof.checkpoint);
        self.proven = match newer {
            Some(newer) if proof.kept_elsewhere => {
                self.signed_since = Some(Signed { checkpoint: newer.checkpoint, at: newer.at });
                Some(proof)
            }
            Some(newer) => Some(newer),
            None => Some(proof),
        };
    }

    fn finding(&mut self, text: String) {
        self.wrong += 1;
        if self.findings.len() < LISTED {
            self.findings.push(text);
        }
    }
}

/// Verifies everything that a connection can see. `kept` is a checkpoint from elsewhere; `known_keys` (hexadecimal) are
/// the keys that checkpoints may be signed with, when the auditor knows them. A kept checkpoint brings its own.
pub fn verify(sql: &mut Sql<'_>, kept: Option<&Checkpoint>, known_keys: &[String]) -> Result<Report> {
    let mut report = Report::default();
    let known: Vec<&str> =
        known_keys.iter().map(String::as_str).chain(kept.map(|kept| kept.public_key.as_str())).collect();
    let checkpoints = sql.all(&store::CHECKPOINT_LIST, bind![], checkpoint::read)?;
    let mut signed = Vec::new();
    let wanted = wanted_heads(&checkpoints, kept, &known, &mut signed, &mut report);
    let slots = sql.all(&store::SLOT_LIST, bind![], |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)))?;
    let newest: HashMap<i64, i64> = slots.iter().copied().collect();
    for (slot, heads) in &wanted {
        let have = newest.get(slot).copied().unwrap_or(0);
        if let Some((n, (_, by))) = heads.iter().next_back().filter(|(n, _)| **n > have) {
            report.finding(format!(
                "slot {slot} ends at block {have}, but {by} saw block {n}: blocks were removed"
            ));
        }
    }
    let writers: Vec<i64> = sql.all(&store::SLOTS, bind![], |row| row.get(0))?;
    let none = BTreeMap::new();
    for (slot, _) in slots {
        if !writers.contains(&slot) {
            report.finding(format!("slot {slot} was inserted: it never had a writer"));
        }
        let expected = Expected { heads: wanted.get(&slot).unwrap_or(&none), seen: seen_of(slot, &signed) };
        verify_slot(sql, slot, &expected, &mut report)?;
    }
    if !report.is_clean() {
        (report.proven, report.signed_since) = (None, None);
    }
    Ok(report)
}

/// The heads of one slot that checkpoints state: block number → hash and who states it.
type Heads = BTreeMap<i64, (String, String)>;

/// The same for each slot.
type Wanted = HashMap<i64, Heads>;

/// What checkpoints say of one slot.
struct Expected<'w> {
    heads: &'w Heads,
    /// The newest block that a checkpoint saw, none is 0, and when the newest of those was signed that saw no more.
    /// Ascending by both: what follows does not rely on a clock that went on.
    seen: Vec<(i64, i64)>,
}

impl Expected<'_> {
    /// When the newest checkpoint was signed that has not seen a block.
    fn unseen_at(&self, n: i64) -> Option<i64> {
        let unseen = self.seen.partition_point(|(head, _)| *head < n);
        unseen.checked_sub(1).map(|last| self.seen[last].1)
    }
}

fn seen_of(slot: i64, signed: &[Body]) -> Vec<(i64, i64)> {
    let head = |body: &Body| body.heads.iter().find(|head| head.slot == slot).map_or(0, |head| head.n);
    let mut seen: Vec<(i64, i64)> = signed.iter().map(|body| (head(body), body.at)).collect();
    seen.sort_unstable();
    let mut newest = i64::MIN;
    for (_, at) in &mut seen {
        newest = newest.max(*at);
        *at = newest;
    }
    seen
}

fn wanted_heads(
    stored: &[(i64, Checkpoint)],
    kept: Option<&Checkpoint>,
    known: &[&str],
    signed: &mut Vec<Body>,
    report: &mut Report,
) -> Wanted {
    let mut wanted = Wanted::new();
    let stored = stored.iter().map(|(n, checkpoint)| (format!("checkpoint {n}"), checkpoint, false));
    let kept = kept.map(|kept| ("the kept checkpoint".to_owned(), kept, true));
    for (name, checkpoint, kept_elsewhere) in stored.chain(kept) {
        report.checkpoints += 1;
        let is_known = known.iter().any(|known| known.eq_ignore_ascii_case(&checkpoint.public_key));
        if !known.is_empty() && !is_known {
            report.finding(format!(
                "{name} is signed with another key than the known one, {} (if the store was given to another data \
                 directory, which is an event signing_key.adopt, name its key too)",
                checkpoint.public_key
            ));
        }
        match checkpoint.verify() {
            Err(why) => report.finding(format!("{name}: {why}")),
            Ok(body) => {
                if is_known {
                    report.prove(Proven { checkpoint: body.n, at: body.at, kept_elsewhere });
                }
                agree(&mut wanted, &name, &body.heads, report);
                signed.push(body);
            }
        }
    }
    wanted
}

/// Adds what a checkpoint states to what the others stated.
fn agree(wanted: &mut Wanted, name: &str, heads: &[checkpoint::Head], report: &mut Report) {
    for head in heads {
        let slot = wanted.entry(head.slot).or_default();
        let known = slot.entry(head.n).or_insert_with(|| (head.hash.clone(), name.to_owned()));
        if known.0 != head.hash {
            report.finding(format!(
                "{name} and {} disagree about block {} of slot {}",
                known.1, head.n, head.slot
            ));
        }
    }
}

fn verify_slot(sql: &mut Sql<'_>, slot: i64, expected: &Expected<'_>, report: &mut Report) -> Result<()> {
    let (mut n, mut previous): (i64, Hash) = (0, [0; 32]);
    // From the very beginning: a block below 1 is there only if somebody put it there.
    let mut after = i64::MIN;
    loop {
        let blocks = store::blocks(sql, &store::BLOCKS_AFTER, bind![slot, after, store::BLOCKS])?;
        if blocks.is_empty() {
            return Ok(());
        }
        for block in blocks {
            report.blocks += 1;
            after = block.n;
            if block.n < 1 {
                report.finding(format!("slot {slot}: block {} was inserted: numbers begin at 1", block.n));
                continue;
            }
            if block.n != n + 1 {
                report.finding(format!("slot {slot}: blocks {} to {} are missing", n + 1, block.n - 1));
            } else if block.previous != previous {
                report.finding(format!("slot {slot}: block {} does not follow block {n}", block.n));
            }
            if block.compute_hash() != block.hash {
                report.finding(format!("slot {slot}: block {} was changed: its hash does not fit", block.n));
            }
            if let Some(at) = expected.unseen_at(block.n)
                && block.first_at < at - LATE_MS_MAX
            {
                report.finding(format!(
                    "slot {slot}: block {} is dated {} s before a checkpoint that has not seen it: it was inserted, or the \
                     machine's clock was set back",
                    block.n,
                    at.saturating_sub(block.first_at) / 1000
                ));
            }
            if let Some((hash, by)) = expected.heads.get(&block.n)
                && *hash != hex::encode(block.hash)
            {
                report.finding(format!("slot {slot}: block {} is not the one that {by} saw", block.n));
            }
            verify_entries(&block, report);
            (n, previous) = (block.n, block.hash);
        }
    }
}

fn verify_entries(block: &Block, report: &mut Report) {
    let place = format!("slot {}: block {}", block.slot, block.n);
    let (Ok(entries), Ok(details)) = (block.read_entries(), block.read_details()) else {
        return report.finding(format!("{place} cannot be read"));
    };
    report.entries += entries.len() as u64;
    if entries.len() as i64 != block.entries || details.len() != entries.len() {
        report.finding(format!(
            "{place} says {} entries, holds {} and {} details",
            block.entries,
            entries.len(),
            details.len()
        ));
    }
    for (at, (entry, detail)) in entries.iter().zip(&details).enumerate() {
        match (&entry.detail, detail) {
            (Some(_), None) => report.erased += 1,
            (None, None) => {}
            (digest, Some(detail)) => {
                if digest.as_deref() != Some(detail.digest().as_str()) {
                    report.finding(format!("{place}, entry {}: its detail was changed", at + 1));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::checkpoint::Head;

    #[test]
    fn the_newest_checkpoint_without_a_block_is_found_whatever_the_clock_did() {
        let body = |(n, at, head)| Body {
            version: 1,
            n,
            at,
            heads: vec![Head { slot: 1, n: head, hash: String::new() }],
        };
        // The first was signed while the clock was fast.
        let signed = [(1, 900, 3), (2, 100, 5), (3, 200, 6), (4, 1_000, 8)].map(body);
        let heads = Heads::new();
        let of = |slot| Expected { heads: &heads, seen: seen_of(slot, &signed) };
        let unseen = [1, 3, 4, 5, 6, 7, 8, 9].map(|n| of(1).unseen_at(n));
        let fast = Some(900);
        assert_eq!(unseen, [None, None, fast, fast, fast, fast, fast, Some(1_000)]);
        assert_eq!(of(2).unseen_at(1), Some(1_000), "nobody saw that slot");
    }
}
