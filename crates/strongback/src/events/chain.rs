//! Event blocks and the hash chain of a writer's slot. Pure, but for loading the head and inserting a block.
//!
//! The hash of a block is SHA-256 over a domain tag, slot, number, the previous block's hash, the count of entries,
//! first and last time (big endian) and the canonical bytes of the entries. Canonical bytes are one JSON object a
//! line, fields in the order of [`Entry`], absent fields left out. The first block's previous hash is 32 zero bytes.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use super::detail::Detail;
use super::{Event, EventKind, detail, store};
use crate::{
    bind,
    db::{GROUP_LIMIT, Origin, Sql},
    error::{Error, Result},
};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

const DOMAIN: &[u8] = b"strongback event block 1\n";
/// Bodies up to this size are stored as they are.
const COMPRESS_ABOVE: usize = 512;
const PLAIN: u8 = 1;
const ZSTD: u8 = 2;
/// Bytes of a subject: an id of 32 digits or 36 characters with a prefix, or two numbers.
const SUBJECT_BYTES_MAX: usize = 64;
/// Bytes of an entry's line at most: names of its fields, five numbers, two UUIDs, a digest, action and subject.
const ENTRY_BYTES_MAX: usize = 1024;
/// Bytes that a stored body, or the details beside it, may unpack to.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

// What one commit group may write, everybody can read: the largest group of the largest entries fits.
const _: () = assert!(GROUP_LIMIT * ENTRY_BYTES_MAX <= UNPACKED_BYTES_MAX);
const _: () = assert!(GROUP_LIMIT * (detail::STORED_BYTES_MAX + 1) + 2 <= UNPACKED_BYTES_MAX);

/// An entry as it is hashed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since the epoch.
    pub at: i64,
    /// `principal.id`: a number, so that a person's name can be erased elsewhere.
    pub principal: i64,
    /// [`super::EventKind::name`]
    pub action: String,
    /// `asset.id`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<i64>,
    /// The asset's revision after the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// The id of a run or a logged model, or the number of a version: what a server gave, never what a caller wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The subject's revision after the change, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_revision: Option<i64>,
    /// The request's id.
    pub request: uuid::Uuid,
    /// The operation that this is the intent or outcome of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<uuid::Uuid>,
    /// SHA-256 over salt and detail, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// An event with its origin, waiting for the group's block.
pub struct Pending {
    entry: Entry,
    detail: Option<Detail>,
}

impl Pending {
    /// Adds who, when and under which request. Fails where the subject is no id.
    pub fn new(event: Event, origin: &Origin) -> Result<Self> {
        check_subject(event.kind, event.subject.as_deref())?;
        let detail = (!event.detail.is_null()).then(|| Detail::new(event.detail));
        let entry = Entry {
            at: origin.now,
            principal: origin.caller.id,
            action: event.kind.name().to_owned(),
            asset: event.asset.map(|mark| mark.id),
            revision: event.asset.map(|mark| mark.revision).filter(|revision| *revision > 0),
            subject: event.subject,
            subject_revision: event.subject_revision,
            request: origin.request_id,
            operation: event.operation,
            detail: detail.as_ref().map(Detail::digest),
        };
        Ok(Self { entry, detail })
    }
}

/// A subject is hashed, so that it can never be erased: it is an id that a server gave, and not a person's text. What a
/// caller chose (a path, a key, an alias) belongs into the detail.
fn check_subject(kind: EventKind, subject: Option<&str>) -> Result<()> {
    let is_id = |text: &str| {
        text.len() <= SUBJECT_BYTES_MAX
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'/'))
    };
    match subject.filter(|text| !is_id(text)) {
        Some(text) => Err(Error::internal(format!("{} has a subject that is no id: {text:?}", kind.name()))),
        None => Ok(()),
    }
}

/// A sealed block.
pub struct Block {
    /// The writer's slot.
    pub slot: i64,
    /// Dense from 1 in its slot.
    pub n: i64,
    /// Hash of block `n - 1`.
    pub previous: Hash,
    /// Hash of this block.
    pub hash: Hash,
    /// How many entries.
    pub entries: i64,
    /// Time of the earliest entry.
    pub first_at: i64,
    /// Time of the latest entry.
    pub last_at: i64,
    /// Canonical bytes.
    pub body: Vec<u8>,
    /// JSON list, one [`Detail`] or null an entry.
    pub details: Vec<u8>,
}

impl Block {
    /// What [`Self::hash`] must be.
    pub fn compute_hash(&self) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update(DOMAIN);
        hasher.update(self.slot.to_be_bytes());
        hasher.update(self.n.to_be_bytes());
        hasher.update(self.previous);
        hasher.update(self.entries.to_be_bytes());
        hasher.update(self.first_at.to_be_bytes());
        hasher.update(self.last_at.to_be_bytes());
        hasher.update(&self.body);
        hasher.finalize().into()
    }

    /// The entries.
    pub fn read_entries(&self) -> Result<Vec<Entry>> {
        self.body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).map_err(Error::internal))
            .collect()
    }

    /// The entries, where all of them are there.
    pub fn read_all_entries(&self) -> Result<Vec<Entry>> {
        let entries = self.read_entries()?;
        if entries.len() as i64 != self.entries {
            return Err(Error::internal(format!("{} entries of {} are there", entries.len(), self.entries)));
        }
        Ok(entries)
    }

    /// Bytes that it has in memory.
    pub fn bytes(&self) -> usize {
        self.body.len() + self.details.len()
    }

    /// What lies beside the entries, in their order.
    pub fn read_details(&self) -> Result<Vec<Option<Detail>>> {
        serde_json::from_slice(&self.details).map_err(Error::internal)
    }

    /// Erases the details of entries that `wants` names, where they are what was said: one that does not fit its digest is
    /// evidence, and stays. Answers the entries that had them; nothing is stored yet. `None` for a block that cannot be
    /// read: nothing can be erased from it.
    pub fn erase(&mut self, mut wants: impl FnMut(&Entry) -> Result<bool>) -> Result<Option<Vec<Entry>>> {
        let (Ok(entries), Ok(mut details)) = (self.read_all_entries(), self.read_details()) else {
            return Ok(None);
        };
        let mut erased = Vec::new();
        for (entry, place) in entries.into_iter().zip(&mut details) {
            let Some(detail) = place else { continue };
            if wants(&entry)? && entry.detail.as_ref() == Some(&detail.digest()) {
                *place = None;
                erased.push(entry);
            }
        }
        if !erased.is_empty() {
            self.details = serde_json::to_vec(&details).map_err(Error::internal)?;
        }
        Ok(Some(erased))
    }

    /// Stores what is left beside the hashed bytes of a block that this transaction holds.
    pub fn update_details(&self, tx: &mut Sql<'_>) -> Result<()> {
        let details = pack(&self.details)?;
        tx.execute(&store::BLOCK_DETAILS_SET, bind![self.slot, self.n, &details]).map(drop)
    }

    /// Whether just this block is stored.
    pub fn is_stored(&self, sql: &mut Sql<'_>) -> Result<bool> {
        let found =
            sql.first(&store::BLOCK_HASH, bind![self.slot, self.n], |row| to_hash(&row.get::<Vec<u8>>(0)?))?;
        Ok(found == Some(self.hash))
    }

    /// Writes it and answers the number of the transaction that does. The primary key is the fence between two writers
    /// that believe in one slot.
    pub fn insert(&self, tx: &mut Sql<'_>) -> Result<i64> {
        let (body, details) = (pack(&self.body)?, pack(&self.details)?);
        tx.one(
            &store::BLOCK_INSERT,
            bind![
                self.slot,
                self.n,
                &self.previous[..],
                &self.hash[..],
                self.entries,
                self.first_at,
                self.last_at,
                &body,
                &details
            ],
            |row| row.get(0),
        )
    }
}

/// The head of a slot, in its writer's memory.
#[derive(Debug, Clone)]
pub struct Chain {
    slot: i64,
    n: i64,
    head: Hash,
}

impl Chain {
    /// Reads the head of a slot.
    pub fn load(sql: &mut Sql<'_>, slot: i64) -> Result<Self> {
        let found = sql.first(&store::BLOCK_HEAD, bind![slot], |row| {
            Ok((row.get::<i64>(0)?, to_hash(&row.get::<Vec<u8>>(1)?)?))
        })?;
        let (n, head) = found.unwrap_or((0, [0; 32]));
        Ok(Self { slot, n, head })
    }

    /// Which slot.
    pub fn slot(&self) -> i64 {
        self.slot
    }

    /// Makes the next block of these entries; `None` if there are none. The head moves only by [`Self::advance`].
    pub fn seal(&self, pending: Vec<Pending>) -> Result<Option<Block>> {
        if pending.is_empty() {
            return Ok(None);
        }
        let mut body = Vec::with_capacity(pending.len() * 256);
        let mut details = Vec::with_capacity(pending.len());
        let (mut first_at, mut last_at) = (i64::MAX, i64::MIN);
        let entries = pending.len() as i64;
        for Pending { entry, detail } in pending {
            first_at = first_at.min(entry.at);
            last_at = last_at.max(entry.at);
            serde_json::to_writer(&mut body, &entry).map_err(Error::internal)?;
            body.push(b'\n');
            details.push(detail);
        }
        let details = serde_json::to_vec(&details).map_err(Error::internal)?;
        let mut block = Block {
            slot: self.slot,
            n: self.n + 1,
            previous: self.head,
            hash: [0; 32],
            entries,
            first_at,
            last_at,
            body,
            details,
        };
        block.hash = block.compute_hash();
        Ok(Some(block))
    }

    /// Moves the head after the block was committed.
    pub fn advance(&mut self, block: &Block) {
        self.n = block.n;
        self.head = block.hash;
    }
}

/// A stored digest.
pub fn to_hash(bytes: &[u8]) -> Result<Hash> {
    bytes.try_into().map_err(|_| Error::internal(format!("a stored hash has {} bytes", bytes.len())))
}

/// Stored form: a format byte, then the bytes, compressed where it pays.
pub fn pack(bytes: &[u8]) -> Result<Vec<u8>> {
    if bytes.len() > UNPACKED_BYTES_MAX {
        return Err(Error::internal(format!(
            "an event block of {} bytes could not be read again",
            bytes.len()
        )));
    }
    let mut out = Vec::with_capacity(bytes.len() / 2 + 1);
    if bytes.len() <= COMPRESS_ABOVE {
        out.push(PLAIN);
        out.extend_from_slice(bytes);
    } else {
        out.push(ZSTD);
        out.extend(crate::packing::compress(bytes, 1).map_err(Error::internal)?);
    }
    Ok(out)
}

/// The bytes of a stored form. A group has a bounded number of bounded entries, and so has what it unpacks to.
pub fn unpack(stored: &[u8]) -> Result<Vec<u8>> {
    match stored.split_first() {
        Some((&PLAIN, bytes)) => Ok(bytes.to_vec()),
        Some((&ZSTD, bytes)) => {
            let size = zstd::zstd_safe::get_frame_content_size(bytes)
                .ok()
                .flatten()
                .map_or(UNPACKED_BYTES_MAX, |size| (size as usize).min(UNPACKED_BYTES_MAX));
            crate::packing::decompress(bytes, size).map_err(Error::internal)
        }
        Some((format, _)) => Err(Error::internal(format!("an event block has the unknown format {format}"))),
        None => Err(Error::internal("an event block is empty")),
    }
}

#[cfg(test)]
mod tests;
