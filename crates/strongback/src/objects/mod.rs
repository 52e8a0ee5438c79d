//! The bytes of files, in the data directory.
//!
//! An object is a file whose name is an id of ours; what clients call it lies in the metadata store, so no text from
//! outside ever becomes a path. What must stay true:
//! - an object is written once under a temporary name, synced, renamed, and its directory synced, before anybody can
//!   name it; it is never changed after that;
//! - what no row names and nobody is writing is garbage, and is swept ([`Claim`] is how a writer says that it is at it);
//! - memory is constant: bytes pass in blocks of [`BLOCK_BYTES`] at most, whatever the size.
//!
//! On disk: `objects/<last two hex digits>/<32 hex digits>`. The last digits are random in every kind of id, the first
//! are not.

mod read;
mod write;

use std::{
    collections::HashSet,
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use parking_lot::Mutex;
use uuid::Uuid;

pub use read::ByteStream;
pub(crate) use write::too_large;
pub use write::{Written, body};

use crate::error::{Error, Result};

/// Bytes that are hashed, written or read at a time.
pub const BLOCK_BYTES: usize = 1 << 20;

/// Free space below which the disk counts as full: the next block and its metadata still fit.
const ROOM_BYTES_MIN: u64 = 16 << 20;

/// Directory of the objects within a data directory.
const OBJECTS: &str = "objects";

/// Directory of what is being written. It is emptied when the store is opened.
const TEMPORARY: &str = "tmp";

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
pub struct Objects(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// Objects that are being written, or are written while the row that will name them is not yet committed.
    claimed: Mutex<HashSet<ObjectId>>,
}

/// Keeps the sweeper away from an object until its row is committed, or until its writer gave up.
#[derive(Debug)]
pub struct Claim {
    store: Arc<Inner>,
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
    /// Opens the store below a data directory, which this process holds alone, and clears what a dead process left
    /// half-written.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let root = root(data_dir);
        prepare(&root).map_err(|error| {
            Error::unavailable(format!("The directory {} cannot be prepared: {error}.", root.display()))
                .because(error)
        })?;
        Ok(Self(Arc::new(Inner { root, claimed: Mutex::new(HashSet::new()) })))
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Whether the store can be written and has room.
    pub async fn probe(&self) -> Result<()> {
        let store = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            let free = fs4::available_space(&store.root).map_err(Error::unwritten(&store.root))?;
            if free < ROOM_BYTES_MIN {
                return Err(Error::unwritten(&store.root)(io::ErrorKind::StorageFull.into()));
            }
            let path = store.root.join(TEMPORARY).join("probe");
            let written = fs::write(&path, b"ok").and_then(|()| fs::remove_file(&path));
            written.map_err(Error::unwritten(&store.root))
        })
        .await
        .map_err(Error::internal)?
    }

    /// The file that holds an object, for readers that need one. It is read and never changed.
    pub fn path(&self, id: ObjectId) -> PathBuf {
        self.0.path(id)
    }

    /// Announces that an object is about to be written.
    pub fn claim(&self, id: ObjectId) -> Claim {
        self.0.claimed.lock().insert(id);
        Claim { store: Arc::clone(&self.0), id }
    }

    /// Whether somebody is writing it.
    pub fn is_claimed(&self, id: ObjectId) -> bool {
        self.0.claimed.lock().contains(&id)
    }

    /// Removes objects that no row names. What cannot be removed is logged and left for the sweeper.
    pub async fn remove(&self, ids: Vec<ObjectId>) {
        if ids.is_empty() {
            return;
        }
        let store = Arc::clone(&self.0);
        let outcome =
            tokio::task::spawn_blocking(move || ids.into_iter().for_each(|id| store.remove(id))).await;
        if let Err(error) = outcome {
            tracing::error!(%error, "removing objects ended with a panic");
        }
    }

    /// The objects of one of the 256 directories. Blocks.
    pub fn list_shard(&self, shard: u8) -> Result<Vec<ObjectId>> {
        let dir = self.0.root.join(format!("{shard:02x}"));
        let names =
            fs::read_dir(&dir).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(Error::internal)?;
        Ok(names.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }
}

/// The directory of the objects of a data directory.
pub fn root(data_dir: &Path) -> PathBuf {
    data_dir.join(OBJECTS)
}

/// The file that holds an object of a data directory, for who reads beside the process that holds it.
pub fn place(data_dir: &Path, id: ObjectId) -> PathBuf {
    below(&root(data_dir), id)
}

fn below(root: &Path, id: ObjectId) -> PathBuf {
    root.join(id.shard()).join(id.to_string())
}

impl Inner {
    fn path(&self, id: ObjectId) -> PathBuf {
        below(&self.root, id)
    }

    fn temporary(&self, id: ObjectId) -> PathBuf {
        self.root.join(TEMPORARY).join(id.to_string())
    }

    fn remove(&self, id: ObjectId) {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(object = %id, %error, "an object that nothing names could not be removed");
            }
            _ => {}
        }
    }
}

/// Makes the directories, durably, and removes half-written files.
fn prepare(root: &Path) -> io::Result<()> {
    let temporary = root.join(TEMPORARY);
    fs::create_dir_all(&temporary)?;
    for entry in fs::read_dir(&temporary)? {
        fs::remove_file(entry?.path())?;
    }
    let mut made = false;
    for shard in 0..=u8::MAX {
        match fs::create_dir(root.join(format!("{shard:02x}"))) {
            Ok(()) => made = true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    if made {
        sync_dir(root)?;
        if let Some(parent) = root.parent() {
            sync_dir(parent)?;
        }
    }
    Ok(())
}

/// Makes the names in a directory survive a power cut.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests;
