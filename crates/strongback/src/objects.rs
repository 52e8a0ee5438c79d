//! The bytes of artifacts, in the data directory.
//!
//! An object is a file whose name is a random id of ours; what clients call it lies in the metadata store, so no text
//! from outside ever becomes a path. What must stay true: an object is written once, synced with its directory before
//! anybody can see it, and never changed; what no row names is garbage.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// The store of objects.
#[derive(Debug, Clone)]
pub struct Objects {
    root: PathBuf,
}

impl Objects {
    /// Opens the store below a data directory.
    pub fn open(data_dir: &std::path::Path) -> Result<Self> {
        let root = data_dir.join("objects");
        std::fs::create_dir_all(&root).map_err(|error| {
            Error::unavailable(format!("The directory {} cannot be made.", root.display())).because(error)
        })?;
        Ok(Self { root })
    }

    /// The directory.
    pub fn root(&self) -> &std::path::Path {
        &self.root
    }

    /// Whether the store can be written.
    pub async fn probe(&self) -> Result<()> {
        let path = self.root.join(".probe");
        tokio::fs::write(&path, b"ok").await.map_err(|error| {
            Error::unavailable(format!("The object store {} cannot be written.", self.root.display())).because(error)
        })
    }
}
