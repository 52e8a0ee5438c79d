//! Checkpoints: the heads of all slots, signed.
//!
//! A checkpoint proves that nothing before it was changed, removed, inserted or reordered, to whoever keeps it
//! elsewhere. Nothing can prove more: what was removed *after* the newest checkpoint that somebody kept is not found.
//! The signature is Ed25519 (RFC 8032) over the body's bytes.

use std::time::{Duration, Instant};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::{mark::Mark, store};
use crate::{
    bind,
    db::{Db, Origin, Row, Sql},
    error::{Error, Result},
};

/// How often heads are looked at; a checkpoint is made only when they moved.
pub const EVERY: Duration = Duration::from_secs(1);
/// Within this time of an event a checkpoint covers it, where a server runs.
const SIGNED_WITHIN: Duration = Duration::from_secs(3);
/// How often the newest checkpoint is looked at by who waits for it.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);
const LEASE: &str = "event.checkpoint";
const LEASE_MS: i64 = 5_000;
/// Checkpoints older than this are thinned to one an hour.
const KEEP_ALL_MS: i64 = 3_600_000;

/// The signed statement.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Body {
    /// Format: 1.
    pub version: u32,
    /// Ascending.
    pub n: i64,
    /// Milliseconds since the epoch, by the mark that events are dated by.
    pub at: i64,
    /// One a slot, ascending by slot.
    pub heads: Vec<Head>,
}

/// The newest block of a slot.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Head {
    /// The slot.
    pub slot: i64,
    /// The block's number.
    pub n: i64,
    /// The block's hash, hexadecimal.
    pub hash: String,
}

/// A checkpoint as it is exported and kept elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The exact bytes that were signed: a [`Body`] as JSON.
    pub body: String,
    /// Ed25519 signature, hexadecimal.
    pub signature: String,
    /// The public key, hexadecimal. A verifier compares it with the one it knows.
    pub public_key: String,
}

impl Checkpoint {
    /// Checks the signature and reads the statement.
    pub fn verify(&self) -> Result<Body, String> {
        let bytes =
            |what: &str, text: &str| hex::decode(text).map_err(|_| format!("the {what} is not hexadecimal"));
        let key: [u8; 32] = bytes("public key", &self.public_key)?
            .try_into()
            .map_err(|_| "the public key has the wrong length".to_owned())?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| "the public key is not valid".to_owned())?;
        let signature = Signature::from_slice(&bytes("signature", &self.signature)?)
            .map_err(|_| "the signature has the wrong length".to_owned())?;
        key.verify_strict(self.body.as_bytes(), &signature)
            .map_err(|_| "the signature does not belong to this checkpoint".to_owned())?;
        serde_json::from_str(&self.body).map_err(|error| format!("the checkpoint cannot be read: {error}"))
    }

    /// Whether it was signed when these heads were there already. One that cannot be verified covers nothing.
    fn covers(&self, heads: &[Head]) -> bool {
        let Ok(body) = self.verify() else { return false };
        heads.iter().all(|head| body.heads.iter().any(|seen| seen.slot == head.slot && seen.n >= head.n))
    }
}

/// What somebody waits for who is to have a checkpoint of all that there is.
pub struct Awaited {
    heads: Vec<Head>,
    until: Instant,
}

/// What a look at the newest checkpoint says.
pub enum Look {
    /// Look again after [`LOOK_EVERY`].
    Wait,
    /// It is this one, and whether it covers all that there was: where it does not, nothing newer was signed in time.
    Ends(Checkpoint, bool),
}

impl Awaited {
    /// From now on, for what these heads cover.
    pub fn new(heads: Vec<Head>) -> Self {
        Self { heads, until: Instant::now() + SIGNED_WITHIN }
    }

    /// What the newest checkpoint means. Fails when there is none and time is over.
    pub fn look(&self, newest: Option<Checkpoint>) -> Result<Look> {
        let is_covering = newest.as_ref().is_some_and(|newest| newest.covers(&self.heads));
        if !is_covering && Instant::now() <= self.until {
            return Ok(Look::Wait);
        }
        let newest = newest.ok_or_else(|| {
            Error::missing(
                "There is no checkpoint yet: the first is made within a second of the first event.",
            )
        })?;
        Ok(Look::Ends(newest, is_covering))
    }
}

/// Makes checkpoints: remembers what it saw, so that a store in which nothing happens is not written to.
pub struct Maker {
    key: SigningKey,
    holder: String,
    seen: Vec<Head>,
}

impl Maker {
    /// For the holder of this key.
    pub fn new(key: SigningKey) -> Self {
        // The name outlives the process, so that one that was killed does not keep its successor from signing.
        let holder = super::key::name(&key);
        Self { key, holder, seen: Vec::new() }
    }

    /// Makes a checkpoint if the heads moved and no other process is at it. Answers whether it did.
    pub async fn make(&mut self, db: &Db) -> Result<bool> {
        let heads = db.read(&Origin::system(), heads).await?;
        if heads == self.seen {
            return Ok(false);
        }
        let (key, holder, mark) = (self.key.clone(), self.holder.clone(), db.mark());
        let (made, heads) = db.derive(move |tx| sign(tx, &key, &holder, &mark)).await?;
        self.seen = heads;
        Ok(made)
    }
}

fn sign(tx: &mut Sql<'_>, key: &SigningKey, holder: &str, mark: &Mark) -> Result<(bool, Vec<Head>)> {
    let now = tx.now();
    let heads = heads(tx)?;
    if tx.execute(&store::LEASE_TAKE, bind![LEASE, holder, now + LEASE_MS, now])? == 0 {
        // Whoever holds the lease may be gone: these heads count as not seen, so that the next look tries again.
        return Ok((false, Vec::new()));
    }
    let newest = tx.first(&store::CHECKPOINT_NEWEST, bind![], read)?;
    let newest = newest.map(|(n, checkpoint)| (n, checkpoint.verify()));
    if heads.is_empty() || matches!(&newest, Some((_, Ok(body))) if body.heads == heads) {
        return Ok((false, heads));
    }
    let n = newest.map_or(0, |(n, _)| n) + 1;
    let at = mark.date(now);
    let statement = Body { version: 1, n, at, heads: heads.clone() };
    let body = serde_json::to_string(&statement).map_err(Error::internal)?;
    let signature = key.sign(body.as_bytes()).to_bytes();
    let public = key.verifying_key().to_bytes();
    tx.execute(&store::CHECKPOINT_INSERT, bind![n, at, &body, &signature[..], &public[..]])?;
    if n % 600 == 0 {
        tx.execute(&store::CHECKPOINT_THIN, bind![now - KEEP_ALL_MS])?;
    }
    Ok((true, heads))
}

/// The newest block of every slot.
pub fn heads(sql: &mut Sql<'_>) -> Result<Vec<Head>> {
    let slots: Vec<i64> = sql.all(&store::SLOTS, bind![], |row| row.get(0))?;
    let mut heads = Vec::with_capacity(slots.len());
    for slot in slots {
        heads.extend(sql.first(&store::BLOCK_HEAD, bind![slot], |row| {
            Ok(Head { slot, n: row.get(0)?, hash: hex::encode(row.get::<Vec<u8>>(1)?) })
        })?);
    }
    Ok(heads)
}

/// A stored checkpoint with its number.
pub(crate) fn read(row: &Row<'_>) -> Result<(i64, Checkpoint)> {
    let checkpoint = Checkpoint {
        body: row.get(2)?,
        signature: hex::encode(row.get::<Vec<u8>>(3)?),
        public_key: hex::encode(row.get::<Vec<u8>>(4)?),
    };
    Ok((row.get(0)?, checkpoint))
}

/// The newest checkpoint, for export.
pub fn newest(sql: &mut Sql<'_>) -> Result<Option<Checkpoint>> {
    Ok(sql.first(&store::CHECKPOINT_NEWEST, bind![], read)?.map(|(_, checkpoint)| checkpoint))
}
