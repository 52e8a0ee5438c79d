//! Whole objects, compared with their digests on their way out.
//!
//! What must stay true: nobody takes bytes for an object's that are not. The last block is held back until the digest of all is
//! known; where it is another one, the body breaks off in its place, and a body of one block is not begun. An object that was hashed within
//! half a day, as it was written or read, is not hashed again: a large file costs a processor a second for two gigabytes. Blocks are
//! hashed where they pass: one takes an eighth of a millisecond, and to hand it to another thread and back takes about as long.

use std::{
    collections::HashSet,
    io, mem,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::{ByteStream, ObjectId, Objects};
use crate::error::{Error, Result};

/// How long an object passes as hashed: so long, and at most twice as long.
const HASHED_FOR: Duration = Duration::from_hours(12);
/// Objects that are remembered as hashed: so many, and at most twice as many.
const HASHED_MAX: usize = 32_768;

/// What became of reading an object.
pub enum Whole {
    /// Its bytes. The stream ends with an error where they turn out not to be.
    Bytes(ByteStream),
    /// It is not there.
    Gone,
    /// Its bytes are not those that were stored.
    Damaged,
}

impl Objects {
    /// All bytes of an object of this size and digest. The first block is read before this answers.
    pub async fn read_whole(&self, id: ObjectId, size: u64, sha256: &[u8]) -> Result<Whole> {
        let Some(stream) = self.read(id, 0..size).await? else { return Ok(Whole::Gone) };
        if self.hashed.contains(id) {
            return begun(id, stream).await;
        }
        let hashed = Arc::clone(&self.hashed);
        let check = Check { id, hasher: Sha256::new(), left: size, sha256: sha256.to_vec(), hashed };
        begun(id, check.over(stream)).await
    }

    /// The bytes of a range of an object, which are compared with nothing: only that there are so many is seen.
    pub async fn read_range(&self, id: ObjectId, range: Range<u64>) -> Result<Whole> {
        match self.read(id, range).await? {
            Some(stream) => begun(id, stream).await,
            None => Ok(Whole::Gone),
        }
    }
}

/// A stream whose first block is there; what is known by then to be damaged is not begun.
async fn begun(id: ObjectId, stream: ByteStream) -> Result<Whole> {
    let mut stream = stream.inspect_err(move |error| {
        if is_damage(error) {
            metrics::counter!("strongback_damaged_objects_read_total").increment(1);
            tracing::error!(object = %id, %error, "an object is damaged: its bytes are not those that were stored");
        }
    });
    match stream.try_next().await {
        Ok(first) => Ok(Whole::Bytes(futures::stream::iter(first.map(Ok)).chain(stream).boxed())),
        Err(error) if is_damage(&error) => Ok(Whole::Damaged),
        Err(error) => Err(Error::internal(error)),
    }
}

/// Whether its bytes are others, or fewer.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

struct Check {
    id: ObjectId,
    hasher: Sha256,
    left: u64,
    sha256: Vec<u8>,
    hashed: Arc<Hashed>,
}

impl Check {
    fn over(self, stream: ByteStream) -> ByteStream {
        let blocks = futures::stream::try_unfold((self, stream), |(mut check, mut stream)| async move {
            let Some(block) = stream.try_next().await? else { return Ok(None) };
            check.add(&block)?;
            Ok(Some((block, (check, stream))))
        });
        blocks.boxed()
    }

    fn add(&mut self, block: &Bytes) -> io::Result<()> {
        self.hasher.update(block);
        self.left = self.left.saturating_sub(block.len() as u64);
        if self.left > 0 {
            return Ok(());
        }
        if self.hasher.finalize_reset().as_slice() == self.sha256 {
            self.hashed.add(self.id);
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the object is damaged"))
    }
}

/// Objects that were hashed not long ago.
#[derive(Debug)]
pub(super) struct Hashed(Mutex<Generations>);

/// Two generations, of which the older one is forgotten as a whole.
#[derive(Debug)]
struct Generations {
    since: Instant,
    younger: HashSet<ObjectId>,
    older: HashSet<ObjectId>,
}

impl Default for Hashed {
    fn default() -> Self {
        let (younger, older) = Default::default();
        Self(Mutex::new(Generations { since: Instant::now(), younger, older }))
    }
}

impl Hashed {
    pub(super) fn add(&self, id: ObjectId) {
        self.current().younger.insert(id);
    }

    fn contains(&self, id: ObjectId) -> bool {
        let current = self.current();
        current.younger.contains(&id) || current.older.contains(&id)
    }

    fn current(&self) -> parking_lot::MutexGuard<'_, Generations> {
        let mut current = self.0.lock();
        let age = current.since.elapsed();
        if age > HASHED_FOR || current.younger.len() >= HASHED_MAX {
            let younger = mem::take(&mut current.younger);
            current.older = if age > 2 * HASHED_FOR { HashSet::new() } else { younger };
            current.since = Instant::now();
        }
        current
    }
}
