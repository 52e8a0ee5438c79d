//! The bytes of files: in the data directory, or in an object store.
//!
//! The name of an object is an id of ours; what clients call it lies in the metadata store, so no text from
//! outside ever becomes a path or a key. What must stay true:
//! - an object is whole and durable before anybody can name it, and never changes after that;
//! - what no row names and nobody is writing is garbage, and is swept ([`Claim`] is how a writer says that it is at it);
//! - memory is constant: bytes pass in blocks of [`BLOCK_BYTES`] at most, or in parts of [`bucket::PART_BYTES`] on their way
//!   into an object store, whatever the size;
//! - a store has its objects in one place ([`place`]), and a place has one store.
//!
//! Parts that clients send of one file wait on the disk ([`Disk`]) wherever the whole goes: the digest of the whole needs its
//! bytes once more, in their order (decision 33).

mod checked;
mod disk;
mod outside;
pub mod place;
mod read;
mod remote;
mod write;

use std::{fmt, ops::Range, path::Path, str::FromStr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::BoxStream;
use uuid::Uuid;

pub use checked::Whole;
pub(crate) use disk::sync_dir;
pub use disk::{Disk, place as place_on_disk, root};
pub use outside::{Outside, Spot};
pub use read::ByteStream;
pub use remote::{OTHERS, Remote, of as remote_of};
pub(crate) use write::too_large;
pub use write::{Written, body};

use crate::error::{Error, Result};

/// Bytes that are hashed, written or read at a time.
pub const BLOCK_BYTES: usize = 1 << 20;

/// Name of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectId(Uuid);

impl ObjectId {
    /// A new name.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The name of what an operation writes.
    pub fn of_operation(id: Uuid) -> Self {
        Self(id)
    }

    fn shard(self) -> String {
        format!("{:02x}", self.0.as_bytes()[15])
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl FromStr for ObjectId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Uuid::try_parse(text).map(Self).map_err(Error::internal)
    }
}

/// The store of objects. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects {
    /// All of them, or the parts that wait to become one.
    disk: Disk,
    /// Set where whole files lie in an object store.
    remote: Option<Remote>,
    hashed: Arc<checked::Hashed>,
}

/// Keeps the sweeper away from an object until its row is committed, or until its writer gave up.
#[derive(Debug)]
pub struct Claim {
    store: Arc<disk::Inner>,
    id: ObjectId,
}

impl Claim {
    /// The object.
    pub fn id(&self) -> ObjectId {
        self.id
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.store.claimed.lock().remove(&self.id);
    }
}

impl Objects {
    /// Opens the store of a data directory, which this process holds alone. Nothing is asked of an object store yet.
    pub fn open(data_dir: &Path, record: Option<place::Record>) -> Result<Self> {
        let remote = record.map(|record| Remote::open(data_dir, record)).transpose()?;
        Ok(Self { disk: Disk::open(data_dir)?, remote, hashed: Arc::default() })
    }

    /// The same with an object store that is open.
    #[cfg(test)]
    fn with(disk: Disk, remote: Remote) -> Self {
        Self { disk, remote: Some(remote), hashed: Arc::default() }
    }

    /// The part on this machine.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The object store, where files lie in one.
    pub fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    /// Whether the store can be written and has room.
    pub async fn probe(&self) -> Result<()> {
        self.disk.probe().await?;
        match &self.remote {
            Some(remote) => remote.probe().await,
            None => Ok(()),
        }
    }

    /// Announces that an object is about to be written.
    pub fn claim(&self, id: ObjectId) -> Claim {
        self.disk.claim(id)
    }

    /// Whether somebody is writing it.
    pub fn is_claimed(&self, id: ObjectId) -> bool {
        self.disk.is_claimed(id)
    }

    /// Writes an object from a stream and answers when it is durable. At most `limit` bytes.
    pub async fn write(
        &self,
        claim: &Claim,
        limit: u64,
        body: BoxStream<'_, Result<Bytes>>,
    ) -> Result<Written> {
        let written = match &self.remote {
            Some(remote) => remote.write(claim.id(), limit, body).await,
            None => self.disk.write(claim, limit, body).await,
        }?;
        self.hashed.add(claim.id());
        Ok(written)
    }

    /// Writes a part of what will be an object, as [`Objects::write`] does. It lies on this machine.
    pub async fn write_part(
        &self,
        claim: &Claim,
        limit: u64,
        body: BoxStream<'_, Result<Bytes>>,
    ) -> Result<Written> {
        self.disk.write(claim, limit, body).await
    }

    /// Whether a part is an object as it is, where a file has no other part.
    pub fn takes_parts_as_they_are(&self) -> bool {
        self.remote.is_none()
    }

    /// Writes an object that is parts one after another, in this order, each with its size.
    pub async fn concat(&self, claim: &Claim, parts: Vec<(ObjectId, u64)>) -> Result<Written> {
        match &self.remote {
            Some(remote) => {
                let limit = parts.iter().map(|(_, size)| size).sum();
                remote.write(claim.id(), limit, self.disk.chain(parts)).await
            }
            None => self.disk.concat(claim, parts.into_iter().map(|(id, _)| id).collect()).await,
        }
    }

    /// The bytes of a range of an object; `None` if it is gone. The first block is read before this answers, so that
    /// an object that cannot be read is an error and not a body that breaks off.
    pub async fn read(&self, id: ObjectId, range: Range<u64>) -> Result<Option<ByteStream>> {
        match &self.remote {
            Some(remote) => remote.read(id, range).await,
            None => self.disk.read(id, range).await,
        }
    }

    /// Removes objects that no row names. What cannot be removed is logged and left for the sweeper. Of an object store they
    /// are removed behind the caller's back: whoever removed a file waits for no other machine.
    pub async fn remove(&self, ids: Vec<ObjectId>) {
        let elsewhere = self.disk.remove(ids).await;
        if let Some(remote) = &self.remote {
            remote.remove(elsewhere);
        }
    }

    /// The objects of one of the 256 directories that a sweep may look at.
    pub async fn list_shard(&self, shard: u8) -> Result<Vec<ObjectId>> {
        let disk = self.disk.clone();
        let mut listed =
            tokio::task::spawn_blocking(move || disk.list_shard(shard)).await.map_err(Error::internal)??;
        if let Some(remote) = &self.remote {
            listed.extend(remote.list_settled(shard).await?);
        }
        Ok(listed)
    }

    /// An address in the object store at which anybody may get an object for a while; `None` where there is none.
    pub async fn signed_get(&self, id: ObjectId, valid: Duration) -> Result<Option<url::Url>> {
        match &self.remote {
            Some(remote) => remote.signed_get(id, valid).await,
            None => Ok(None),
        }
    }
}

impl From<bucket::Error> for Error {
    /// Whoever asked did nothing wrong, and may ask again once the store is there again.
    fn from(error: bucket::Error) -> Self {
        Self::unavailable(error.to_string()).because(error)
    }
}

#[cfg(test)]
mod tests;
