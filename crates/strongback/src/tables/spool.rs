//! Files on their way into a table.
//!
//! A file is kept from before its operation begins until the operation has an outcome, so that what a crash left
//! half-done can be finished from it. It is no artifact and nobody can read it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    context::App,
    error::{Error, Result},
    objects::{Disk, ObjectId, sync_dir},
};

/// The directory within the data directory.
const DIRECTORY: &str = "spool";

/// The place of such files. It is made when the first one comes.
#[derive(Debug)]
pub struct Spool {
    data_dir: PathBuf,
    objects: Mutex<Option<Disk>>,
}

/// The open spool of a server; opened beside the threads that wait, where that was not done yet.
pub(super) async fn ready(app: &Arc<App>) -> Result<Disk> {
    if let Some(open) = &*app.spool.objects.lock() {
        return Ok(open.clone());
    }
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || app.spool.open()).await.map_err(Error::internal)?
}

impl Spool {
    /// Below a data directory, which this process holds alone.
    pub fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), objects: Mutex::new(None) }
    }

    /// Opens it, once. Blocks for a moment the first time.
    pub(super) fn open(&self) -> Result<Disk> {
        let mut objects = self.objects.lock();
        if let Some(open) = &*objects {
            return Ok(open.clone());
        }
        let dir = self.data_dir.join(DIRECTORY);
        // An operation that is open counts on its file: the directory's own name must survive a power cut, too.
        let made = std::fs::create_dir_all(&dir).and_then(|()| sync_dir(&self.data_dir));
        made.map_err(|error| {
            Error::unavailable(format!("The directory {} cannot be prepared: {error}.", dir.display()))
                .because(error)
        })?;
        let opened = Disk::open(&dir)?;
        Ok(objects.insert(opened).clone())
    }

    /// Whether anything was ever put here.
    pub(super) fn is_there(&self) -> bool {
        self.data_dir.join(DIRECTORY).is_dir()
    }

    /// Removes every file but these. Nobody may be bringing one.
    pub(super) fn sweep(&self, keep: &[ObjectId]) -> Result<Vec<ObjectId>> {
        let objects = self.open()?;
        let mut garbage = Vec::new();
        for shard in 0..=u8::MAX {
            garbage.extend(objects.list_shard(shard)?.into_iter().filter(|id| !keep.contains(id)));
        }
        Ok(garbage)
    }
}
