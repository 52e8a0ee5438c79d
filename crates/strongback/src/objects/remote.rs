//! Objects in an object store: `<prefix>/<last two hex digits>/<32 hex digits>`, as they lie on disk.
//!
//! What must stay true: of an upload in parts there is a note on this machine before its first part is sent, so that one which
//! a crash broke off is given up at the store; nothing is removed by a data directory that does not have the place any more.

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bucket::{Bucket, Kind, PART_BYTES, Part};
use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::{
    ByteStream, ObjectId, Written,
    place::{self, Record},
    write::Blocks,
};
use crate::{
    error::{Code, Error, Result},
    time,
};

/// The object that says whose the place is.
const OWNER: &str = "owner.json";
/// What [`Remote::look`] says of a place that is not ours.
pub const OTHERS: &str = "another data directory's";
/// The object that is written to see whether one can be.
const PROBE: &str = "probe";
/// Directory of the notes within a data directory.
const NOTES: &str = "artifact-uploads";
/// How long an object that no row names is left alone: another data directory may have written it before it lost the place.
const SETTLED_MS: i64 = 3_600_000;
/// How long it is believed that the place is still ours.
const OWNED_FOR: Duration = Duration::from_secs(10);
/// How long a start waits for the store.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests that remove at once.
const REMOVING: usize = 4;

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Remote(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bucket: Bucket,
    data_dir: PathBuf,
    record: Record,
    settled_ms: i64,
    owned_at: Mutex<Option<Instant>>,
    removing: Semaphore,
}

/// What the owner's object says.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    holder: String,
}

impl Remote {
    /// Opens the place of a record.
    pub fn open(data_dir: &Path, record: Record) -> Result<Self> {
        let bucket = Bucket::open(&record.address()?)
            .map_err(|error| Error::new(Code::InvalidState, error.to_string()).because(error))?;
        Ok(Self::new(data_dir, record, bucket, SETTLED_MS))
    }

    pub(super) fn new(data_dir: &Path, record: Record, bucket: Bucket, settled_ms: i64) -> Self {
        let removing = Semaphore::new(REMOVING);
        let data_dir = data_dir.to_owned();
        let owned_at = Mutex::new(None);
        Self(Arc::new(Inner { bucket, data_dir, record, settled_ms, owned_at, removing }))
    }

    /// The address, as it is shown.
    pub fn address(&self) -> &str {
        &self.0.record.url
    }

    fn notes(&self) -> PathBuf {
        self.0.data_dir.join(NOTES)
    }

    /// Takes the place, or makes sure that it is ours, before anything is served. A place that does not answer now is trusted
    /// if it was ours before.
    pub async fn take(&self) -> Result<()> {
        let record = &self.0.record;
        if record.holder.is_none() {
            return Err(Error::new(
                Code::InvalidState,
                format!(
                    "The artifacts of this store lie at {}, which this data directory has not taken: it was brought back from a \
                     backup. If no other server uses that place any more: strongback artifacts adopt --data-dir {}",
                    record.url,
                    self.0.data_dir.display()
                ),
            ));
        }
        fs::create_dir_all(self.notes()).map_err(Error::unwritten(&self.0.data_dir))?;
        if record.is_new {
            // First here, so that a crash leaves no place that nobody knows to be his.
            record.keep(&self.0.data_dir)?;
        }
        let slow = || Error::unavailable(format!("The object store {} does not answer.", record.url));
        let owned = tokio::time::timeout(PATIENCE, self.own()).await.unwrap_or_else(|_| Err(slow()));
        match owned {
            Err(error) if record.is_new => {
                Record::forget(&self.0.data_dir)?;
                Err(error)
            }
            Err(error) if error.is_ours() => {
                tracing::warn!(
                    ?error,
                    "the object store of artifacts cannot be used; the server starts nevertheless"
                );
                Ok(())
            }
            owned => owned,
        }
    }

    /// Takes the place from whoever has it.
    pub async fn adopt(&self) -> Result<()> {
        let record = Record {
            holder: Record::new(&self.0.record.address()?).holder,
            adopted_at: Some(time::now_ms()),
            ..self.0.record.clone()
        };
        let holder = record.holder.clone().unwrap_or_default();
        self.0.bucket.put(OWNER, vec![said(&Owner { holder })?]).await?;
        record.keep(&self.0.data_dir)
    }

    /// Makes sure that the place is ours.
    async fn own(&self) -> Result<()> {
        if self.0.owned_at.lock().is_some_and(|at| at.elapsed() < OWNED_FOR) {
            return Ok(());
        }
        let holder = self.0.record.holder.clone().unwrap_or_default();
        let found = match self.0.bucket.get(OWNER).await? {
            Some(found) => Some(found),
            None if self.0.bucket.create(OWNER, said(&Owner { holder: holder.clone() })?).await? => None,
            None => self.0.bucket.get(OWNER).await?,
        };
        let is_ours = found.is_none_or(|text| {
            serde_json::from_slice::<Owner>(&text).is_ok_and(|owner| owner.holder == holder)
        });
        if !is_ours {
            return Err(self.taken());
        }
        *self.0.owned_at.lock() = Some(Instant::now());
        Ok(())
    }

    fn taken(&self) -> Error {
        Error::new(
            Code::InvalidState,
            format!(
                "The place {} belongs to another data directory, and two would remove each other's artifacts. Name another prefix \
                 in artifacts_url; or, if no other server uses that place any more: strongback artifacts adopt --data-dir {} \
                 --artifacts-url {}",
                self.address(),
                self.0.data_dir.display(),
                self.address()
            ),
        )
    }

    /// Whether the store can be read and written, and the place is ours.
    pub(super) async fn probe(&self) -> Result<()> {
        *self.0.owned_at.lock() = None;
        self.own().await?;
        Ok(self.0.bucket.put(PROBE, vec![Bytes::from_static(b"ok")]).await?)
    }

    /// Whether the store can be read, and whose the place is, in a word for people. Changes nothing.
    pub async fn look(&self) -> Result<&'static str> {
        let Some(text) = self.0.bucket.get(OWNER).await? else { return Ok("nobody's yet") };
        let owner: Owner = serde_json::from_slice(&text).map_err(Error::internal)?;
        Ok(if Some(owner.holder) == self.0.record.holder { "this data directory's" } else { OTHERS })
    }

    /// Writes an object from a stream, and answers when the store has it. At most `limit` bytes.
    pub(super) async fn write(
        &self,
        id: ObjectId,
        limit: u64,
        body: BoxStream<'_, Result<Bytes>>,
    ) -> Result<Written> {
        // What somebody else has taken over is swept by them: nothing new is to be named there.
        self.own().await?;
        let mut source = Parts { blocks: Blocks::new(body, limit), rest: None, is_over: false };
        let (mut hash, mut size, mut upload): (_, _, Option<Upload>) = (Sha256::new(), 0, None);
        loop {
            let (blocks, is_last) = source.next().await?;
            let bytes = blocks.iter().map(Bytes::len).sum::<usize>();
            size += bytes as u64;
            let hashing = tokio::task::spawn_blocking(move || {
                for block in &blocks {
                    hash.update(block);
                }
                (hash, blocks)
            });
            let (hashed, blocks) = hashing.await.map_err(Error::internal)?;
            hash = hashed;
            match (&mut upload, is_last) {
                (None, true) => self.0.bucket.put(&key(id), blocks).await?,
                (Some(upload), _) if bytes > 0 => upload.send(blocks).await?,
                (Some(_), _) => {}
                (None, false) => upload.insert(Upload::begin(self, id).await?).send(blocks).await?,
            }
            if is_last {
                if let Some(upload) = upload {
                    upload.complete().await?;
                }
                self.own().await?;
                return Ok(Written { size, sha256: hash.finalize().into() });
            }
        }
    }

    pub(super) async fn read(&self, id: ObjectId, range: Range<u64>) -> Result<Option<ByteStream>> {
        match self.0.bucket.read(&key(id), range).await {
            Ok(found) => Ok(found.map(|stream| stream.map_err(broken).boxed())),
            Err(error) if error.kind() == Kind::Short => {
                Ok(Some(stream::once(std::future::ready(Err(broken(error)))).boxed()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// All of an object, as large as the store says that it is.
    pub async fn read_whole(&self, id: ObjectId) -> Result<Option<bucket::ByteStream>> {
        let Some(size) = self.0.bucket.size(&key(id)).await? else { return Ok(None) };
        Ok(self.0.bucket.read(&key(id), 0..size).await?)
    }

    /// Removes objects, some time soon.
    pub(super) fn remove(&self, ids: Vec<ObjectId>) {
        if ids.is_empty() {
            return;
        }
        let remote = self.clone();
        tokio::spawn(async move {
            let outcome = async {
                let _turn = remote.0.removing.acquire().await.map_err(Error::internal)?;
                remote.own().await?;
                Ok::<_, Error>(remote.0.bucket.remove(ids.into_iter().map(key).collect()).await?)
            };
            if let Err(error) = outcome.await {
                tracing::warn!(?error, "objects that nothing names could not be removed yet");
            }
        });
    }

    /// The objects of a directory that are there for a while.
    pub(super) async fn list_settled(&self, shard: u8) -> Result<Vec<ObjectId>> {
        self.own().await?;
        let before = time::now_ms() - self.0.settled_ms;
        let listed = self.0.bucket.list(&format!("{shard:02x}")).await?;
        let since = self.0.record.adopted_at.unwrap_or(i64::MIN);
        let old = listed.into_iter().filter(|one| one.modified_at <= before && one.modified_at > since);
        Ok(old.filter_map(|one| one.name.parse().ok()).collect())
    }

    pub(super) async fn signed_get(&self, id: ObjectId, valid: Duration) -> Result<Option<url::Url>> {
        Ok(self.0.bucket.signed_get(&key(id), valid).await?)
    }

    /// Gives up at the store what a dead process was sending. What somebody is sending now is left alone.
    pub async fn abort_left(&self, is_claimed: impl Fn(ObjectId) -> bool) -> Result<()> {
        let notes = self.notes();
        let entries = match fs::read_dir(&notes) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::internal(error)),
        };
        for entry in entries {
            let path = entry.map_err(Error::internal)?.path();
            let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            let Some(id) = id.filter(|id| !is_claimed(*id)) else { continue };
            // One that cannot be given up is tried again in the next round, and holds up no other.
            if let Err(error) = self.abort_one(&path, id).await {
                tracing::warn!(?error, object = %id, "an upload that a dead process began could not be given up yet");
            }
        }
        Ok(())
    }

    async fn abort_one(&self, note: &Path, id: ObjectId) -> Result<()> {
        let upload = fs::read_to_string(note).map_err(Error::internal)?;
        if !upload.is_empty() {
            self.0.bucket.abort(&key(id), &upload).await?;
        }
        fs::remove_file(note).map_err(Error::internal)
    }
}

fn said(owner: &Owner) -> Result<Bytes> {
    serde_json::to_vec(owner).map(Bytes::from).map_err(Error::internal)
}

/// As a disk says it: an object that is too short has come to its end.
fn broken(error: bucket::Error) -> io::Error {
    let kind = if error.kind() == Kind::Short { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::Other };
    io::Error::new(kind, error)
}

fn key(id: ObjectId) -> String {
    format!("{}/{id}", id.shard())
}

/// Where a data directory says that its artifacts are, opened; for commands that only look.
pub fn of(data_dir: &Path) -> Result<Option<Remote>> {
    place::read(data_dir)?.map(|record| Remote::open(data_dir, record)).transpose()
}

/// An upload in parts. Whatever ends it before it is complete, it is given up at the store.
struct Upload {
    remote: Remote,
    id: ObjectId,
    /// The id that the store gave it.
    token: String,
    note: PathBuf,
    parts: Vec<Part>,
    is_complete: bool,
}

impl Upload {
    async fn begin(remote: &Remote, id: ObjectId) -> Result<Self> {
        let note = remote.notes().join(id.to_string());
        let token = remote.0.bucket.begin(&key(id)).await?;
        let begun = Self { remote: remote.clone(), id, token, note, parts: Vec::new(), is_complete: false };
        let written = tokio::fs::write(&begun.note, &begun.token).await;
        written.map_err(Error::unwritten(&remote.0.data_dir))?;
        Ok(begun)
    }

    async fn send(&mut self, blocks: Vec<Bytes>) -> Result<()> {
        let part =
            self.remote.0.bucket.put_part(&key(self.id), &self.token, self.parts.len(), blocks).await?;
        self.parts.push(part);
        Ok(())
    }

    async fn complete(mut self) -> Result<()> {
        let parts = std::mem::take(&mut self.parts);
        self.remote.0.bucket.complete(&key(self.id), &self.token, parts).await?;
        self.is_complete = true;
        remove_note(&self.note);
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Where nothing runs any more, the note stays, and the next start does it.
        if self.is_complete {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (remote, id) = (self.remote.clone(), self.id);
        let (token, note) = (std::mem::take(&mut self.token), self.note.clone());
        runtime.spawn(async move {
            match remote.0.bucket.abort(&key(id), &token).await {
                Ok(()) => remove_note(&note),
                Err(error) => {
                    tracing::warn!(%error, "an upload could not be given up at the object store yet");
                }
            }
        });
    }
}

fn remove_note(note: &Path) {
    if let Err(error) = fs::remove_file(note) {
        tracing::warn!(%error, "the note of an upload that is over could not be removed");
    }
}

/// Gathers a body into parts of the same size.
struct Parts<'b> {
    blocks: Blocks<'b>,
    rest: Option<Bytes>,
    is_over: bool,
}

impl Parts<'_> {
    /// The next part, and whether it is the last, which may be empty.
    async fn next(&mut self) -> Result<(Vec<Bytes>, bool)> {
        let (mut gathered, mut size) = (Vec::new(), 0);
        loop {
            if let Some(mut block) = self.rest.take() {
                let room = PART_BYTES - size;
                if block.len() > room {
                    gathered.push(block.split_to(room));
                    self.rest = Some(block);
                    return Ok((gathered, false));
                }
                size += block.len();
                gathered.push(block);
            }
            if self.is_over {
                return Ok((gathered, true));
            }
            let (block, is_last) = self.blocks.next().await?;
            (self.rest, self.is_over) = (Some(block), is_last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Disk, Objects},
        *,
    };

    fn store() -> (tempfile::TempDir, Bucket, Objects) {
        let dir = tempfile::tempdir().unwrap();
        let bucket = Bucket::in_memory();
        let objects = again(dir.path(), &bucket, "one");
        (dir, bucket, objects)
    }

    fn again(dir: &Path, bucket: &Bucket, holder: &str) -> Objects {
        let record =
            Record { url: "s3://test".into(), holder: Some(holder.into()), adopted_at: None, is_new: false };
        fs::create_dir_all(dir.join(NOTES)).unwrap();
        Objects::with(Disk::open(dir).unwrap(), Remote::new(dir, record, bucket.clone(), 0))
    }

    fn body(sizes: &[usize]) -> (Vec<u8>, BoxStream<'static, Result<Bytes>>) {
        let chunks: Vec<Bytes> = sizes
            .iter()
            .map(|size| (0..*size).map(|n| (n % 251) as u8).collect::<Vec<u8>>().into())
            .collect();
        (chunks.concat(), stream::iter(chunks.into_iter().map(Ok)).boxed())
    }

    async fn read(objects: &Objects, id: ObjectId, range: Range<u64>) -> Option<Vec<u8>> {
        let stream = objects.read(id, range).await.unwrap()?;
        Some(stream.try_collect::<Vec<Bytes>>().await.unwrap().concat())
    }

    fn notes(dir: &Path) -> usize {
        fs::read_dir(dir.join(NOTES)).unwrap().count()
    }

    /// What is done behind the caller's back has been done.
    async fn until(mut is_so: impl AsyncFnMut() -> bool) {
        for _ in 0..500 {
            if is_so().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came");
    }

    #[tokio::test]
    async fn what_is_written_is_read_whole_and_in_ranges() {
        let (dir, bucket, objects) = store();
        for sizes in
            [&[][..], &[10], &[PART_BYTES], &[PART_BYTES, 1], &[PART_BYTES - 1, PART_BYTES + 3, 1 << 20]]
        {
            let claim = objects.claim(ObjectId::random());
            let (whole, stream) = body(sizes);
            let written = objects.write(&claim, u64::MAX, stream).await.unwrap();
            assert_eq!(
                (written.size, &written.sha256[..]),
                (whole.len() as u64, &Sha256::digest(&whole)[..])
            );
            let size = written.size;
            assert_eq!(read(&objects, claim.id(), 0..size).await.unwrap(), whole);
            assert_eq!(
                read(&objects, claim.id(), size / 3..size / 2).await.unwrap(),
                whole[whole.len() / 3..whole.len() / 2]
            );
            assert_eq!(bucket.list(&claim.id().shard()).await.unwrap()[0].name, claim.id().to_string());
            objects.remove(vec![claim.id()]).await;
            until(async || read(&objects, claim.id(), 0..size.min(1)).await.is_none()).await;
        }
        assert_eq!(notes(dir.path()), 0);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_or_is_too_large_leaves_nothing() {
        let (dir, _, objects) = store();
        let broken =
            stream::iter([Ok(Bytes::from(vec![1; PART_BYTES + 1])), Err(Error::invalid("it broke off"))]);
        let claim = objects.claim(ObjectId::random());
        assert!(objects.write(&claim, u64::MAX, broken.boxed()).await.is_err());
        let (_, stream) = body(&[PART_BYTES, 1 << 20]);
        assert_eq!(objects.write(&claim, PART_BYTES as u64, stream).await.unwrap_err().status(), 413);
        until(async || notes(dir.path()) == 0).await;
        assert!(read(&objects, claim.id(), 0..1).await.is_none());
    }

    #[tokio::test]
    async fn parts_wait_on_the_disk_and_become_one_object() {
        let (_dir, bucket, objects) = store();
        let (mut parts, mut whole) = (Vec::new(), Vec::new());
        for size in [5 << 20, 0, 7 << 20, 3] {
            let claim = objects.claim(ObjectId::random());
            let (bytes, stream) = body(&[size]);
            let written = objects.write_part(&claim, u64::MAX, stream).await.unwrap();
            assert!(bucket.list(&claim.id().shard()).await.unwrap().is_empty());
            parts.push((claim.id(), written.size));
            whole.extend(bytes);
        }
        let claim = objects.claim(ObjectId::random());
        let written = objects.concat(&claim, parts).await.unwrap();
        assert_eq!(written.sha256[..], Sha256::digest(&whole)[..]);
        assert_eq!(read(&objects, claim.id(), 0..written.size).await.unwrap(), whole);
    }

    #[tokio::test]
    async fn what_a_dead_process_was_sending_is_given_up() {
        let (dir, bucket, objects) = store();
        let (id, mine) = (ObjectId::random(), objects.claim(ObjectId::random()));
        for id in [id, mine.id()] {
            let upload = bucket.begin(&key(id)).await.unwrap();
            fs::write(dir.path().join(NOTES).join(id.to_string()), upload).unwrap();
        }
        let remote = objects.remote().unwrap();
        remote.abort_left(|id| objects.is_claimed(id)).await.unwrap();
        assert_eq!(notes(dir.path()), 1, "that of the upload which somebody is at");
        drop(mine);
        remote.abort_left(|id| objects.is_claimed(id)).await.unwrap();
        assert_eq!(notes(dir.path()), 0);
    }

    #[tokio::test]
    async fn a_place_belongs_to_one_data_directory() {
        let (dir, bucket, objects) = store();
        objects.remote().unwrap().take().await.unwrap();
        objects.probe().await.unwrap();
        let claim = objects.claim(ObjectId::random());
        objects.write(&claim, 10, body(&[3]).1).await.unwrap();
        let shard = u8::from_str_radix(&claim.id().shard(), 16).unwrap();
        assert_eq!(objects.list_shard(shard).await.unwrap(), [claim.id()]);

        let second = again(dir.path(), &bucket, "other");
        let refused = second.remote().unwrap().take().await.unwrap_err();
        assert!(refused.message().contains("belongs to another data directory"), "{refused}");
        assert!(second.list_shard(shard).await.is_err(), "it sweeps nothing");
        assert!(second.probe().await.is_err());
        second.remote().unwrap().adopt().await.unwrap();
        let record = place::read(dir.path()).unwrap().unwrap();
        again(dir.path(), &bucket, &record.holder.unwrap()).remote().unwrap().take().await.unwrap();
        assert!(objects.probe().await.is_err(), "the first has lost it");
        objects.remove(vec![claim.id()]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(read(&objects, claim.id(), 0..3).await.is_some(), "and removes nothing");
    }
}
