//! Objects in a directory of this machine.
//!
//! What must stay true: an object is written once under a temporary name, synced, renamed, and its directory synced, before
//! anybody can name it.
//!
//! On disk: `objects/<last two hex digits>/<32 hex digits>`. The last digits are random in every kind of id, the first
//! are not.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{Claim, ObjectId};
use crate::error::{Error, Result};

/// Free space below which the disk counts as full: the next block and its metadata still fit.
const ROOM_BYTES_MIN: u64 = 16 << 20;

/// Directory of the objects within a data directory.
const OBJECTS: &str = "objects";

/// Directory of what is being written. It is emptied when the store is opened.
pub(super) const TEMPORARY: &str = "tmp";

/// Objects in a directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Disk(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) root: PathBuf,
    /// Objects that are being written, or are written while the row that will name them is not yet committed.
    pub(super) claimed: Mutex<HashSet<ObjectId>>,
}

impl Disk {
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

    /// Removes objects that no row names; answers those that are not here. What cannot be removed is logged and left for the
    /// sweeper.
    pub async fn remove(&self, ids: Vec<ObjectId>) -> Vec<ObjectId> {
        if ids.is_empty() {
            return ids;
        }
        let store = Arc::clone(&self.0);
        let remove = move || ids.into_iter().filter(|id| !store.remove(*id)).collect();
        tokio::task::spawn_blocking(remove).await.unwrap_or_else(|error| {
            tracing::error!(%error, "removing objects ended with a panic");
            Vec::new()
        })
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
    pub(super) fn path(&self, id: ObjectId) -> PathBuf {
        below(&self.root, id)
    }

    pub(super) fn temporary(&self, id: ObjectId) -> PathBuf {
        self.root.join(TEMPORARY).join(id.to_string())
    }

    /// Whether it was there.
    fn remove(&self, id: ObjectId) -> bool {
        match fs::remove_file(self.path(id)) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                tracing::warn!(object = %id, %error, "an object that nothing names could not be removed");
                true
            }
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
