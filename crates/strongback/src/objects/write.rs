//! Writing an object: blocks are gathered without blocking, and each is hashed and written on the blocking pool, while
//! the next is gathered. Of a large one, what was written is on its way to the disk while the rest comes.
//!
//! A body that fits into one block, as nearly all do, costs one visit to the pool. No thread waits for a slow client.

use std::{
    fs, io,
    io::{Read, Write},
    num::NonZero,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream::BoxStream};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use super::{
    BLOCK_BYTES, Claim, Disk, ObjectId,
    disk::{Inner, sync_dir},
};
use crate::error::{Code, Error, Result};

/// How long a body may stop coming before it is given up. A whole one may take long.
const SILENCE: Duration = Duration::from_mins(1);

/// Bytes of a file that are sent to the disk at a time, before the rest is there.
const SEND_BYTES: u64 = 8 << 20;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes.
    pub size: u64,
    /// Digest of them.
    pub sha256: [u8; 32],
}

impl Disk {
    /// Writes an object from a stream and answers when a power cut cannot lose it. At most `limit` bytes.
    pub async fn write(
        &self,
        claim: &Claim,
        limit: u64,
        body: BoxStream<'_, Result<Bytes>>,
    ) -> Result<Written> {
        let mut blocks = Blocks::new(body, limit);
        let mut working: Option<JoinHandle<Result<Partial>>> = None;
        loop {
            let gathered = blocks.next().await;
            // Also where nothing more comes: whoever claimed the object has it alone until then.
            let before = match working.take() {
                Some(step) => Some(step.await.map_err(Error::internal)??),
                None => None,
            };
            let (block, is_last) = gathered?;
            let (store, id) = (Arc::clone(&self.0), claim.id());
            let step = move || -> io::Result<Partial> {
                let mut writing = before.map_or_else(|| Partial::begin(&store, id), Ok)?;
                writing.append(&block)?;
                Ok(writing)
            };
            let root = self.0.root.clone();
            if is_last {
                let end = move || step().and_then(Partial::finish).map_err(Error::unwritten(&root));
                return tokio::task::spawn_blocking(end).await.map_err(Error::internal)?;
            }
            working = Some(tokio::task::spawn_blocking(move || step().map_err(Error::unwritten(&root))));
        }
    }

    /// Writes an object that is others one after another, in this order.
    pub async fn concat(&self, claim: &Claim, parts: Vec<ObjectId>) -> Result<Written> {
        let (store, id) = (Arc::clone(&self.0), claim.id());
        tokio::task::spawn_blocking(move || {
            concat(&store, id, &parts).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Error::internal(error),
                _ => Error::unwritten(&store.root)(error),
            })
        })
        .await
        .map_err(Error::internal)?
    }
}

fn concat(store: &Arc<Inner>, id: ObjectId, parts: &[ObjectId]) -> io::Result<Written> {
    let mut whole = Partial::begin(store, id)?;
    let mut block = vec![0; BLOCK_BYTES];
    for part in parts {
        let mut file = fs::File::open(store.path(*part))?;
        loop {
            let read = file.read(&mut block)?;
            if read == 0 {
                break;
            }
            whole.append(&block[..read])?;
        }
    }
    whole.finish()
}

/// Gathers a body into blocks.
pub(super) struct Blocks<'b> {
    body: BoxStream<'b, Result<Bytes>>,
    gathered: BytesMut,
    size: u64,
    limit: u64,
}

impl<'b> Blocks<'b> {
    pub(super) fn new(body: BoxStream<'b, Result<Bytes>>, limit: u64) -> Self {
        Self { body, gathered: BytesMut::new(), size: 0, limit }
    }

    /// The next block and whether it is the last, which may be empty.
    pub(super) async fn next(&mut self) -> Result<(Bytes, bool)> {
        while self.gathered.len() < BLOCK_BYTES {
            let next = tokio::time::timeout(SILENCE, self.body.next()).await.map_err(|_| went_silent())?;
            let Some(chunk) = next else {
                return Ok((self.gathered.split().freeze(), true));
            };
            let chunk = chunk?;
            self.size += chunk.len() as u64;
            if self.size > self.limit {
                return Err(too_large(self.limit));
            }
            // A client that sends all at once: nothing to gather, nothing to copy.
            if self.gathered.is_empty() && chunk.len() >= BLOCK_BYTES {
                return Ok((chunk, false));
            }
            self.gathered.extend_from_slice(&chunk);
        }
        Ok((self.gathered.split().freeze(), false))
    }
}

fn went_silent() -> Error {
    let message = format!("Nothing of the body came for {} s. Send the request again.", SILENCE.as_secs());
    Error::new(Code::BadRequest, message).with_status(408)
}

/// The error for a body over the limit.
pub(crate) fn too_large(limit: u64) -> Error {
    let message = format!("The file is larger than the limit of {limit} bytes a file. Split it.");
    Error::new(Code::BadRequest, message).with_status(413)
}

/// A file under its temporary name. It is removed if it is dropped before [`Partial::finish`].
struct Partial {
    store: Arc<Inner>,
    id: ObjectId,
    path: PathBuf,
    file: fs::File,
    hash: Sha256,
    size: u64,
    /// Bytes at its beginning that are on their way to the disk.
    sent: u64,
    finished: bool,
}

impl Partial {
    fn begin(store: &Arc<Inner>, id: ObjectId) -> io::Result<Self> {
        let path = store.temporary(id);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let (hash, store) = (Sha256::new(), Arc::clone(store));
        Ok(Self { store, id, path, file, hash, size: 0, sent: 0, finished: false })
    }

    fn append(&mut self, block: &[u8]) -> io::Result<()> {
        self.hash.update(block);
        self.size += block.len() as u64;
        self.file.write_all(block)?;
        if self.size - self.sent >= SEND_BYTES {
            self.send();
        }
        Ok(())
    }

    /// Has the disk begin with what was written, and waits for nothing. Linux takes it so for a part of a file that is not needed
    /// any more; other systems and file systems may do nothing. The end of the file syncs all of it anyway.
    fn send(&mut self) {
        let more = NonZero::new(self.size - self.sent);
        let _ = rustix::fs::fadvise(&self.file, self.sent, more, rustix::fs::Advice::DontNeed);
        self.sent = self.size;
    }

    fn finish(mut self) -> io::Result<Written> {
        self.file.sync_data()?;
        let target = self.store.path(self.id);
        fs::rename(&self.path, &target)?;
        self.finished = true;
        if let Some(dir) = target.parent() {
            sync_dir(dir)?;
        }
        Ok(Written { size: self.size, sha256: std::mem::take(&mut self.hash).finalize().into() })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, "a half-written object could not be removed; the next start does it");
        }
    }
}

/// Makes any stream of bytes one whose errors are ours. A body that breaks off is the client's doing.
pub fn body<E>(
    stream: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> BoxStream<'static, Result<Bytes>>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let broke = |error: E| {
        Error::new(Code::BadRequest, "The body broke off before its end. Send the request again.")
            .because(error)
    };
    stream.map(move |chunk| chunk.map_err(broke)).boxed()
}
