//! Where tables lie: below a directory of this machine or below an address of an object store, each by its id.
//!
//! A table's directory is named by an id that never changes, so that renaming a table moves nothing.

use std::{
    fmt,
    path::{Path as FsPath, PathBuf},
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use deltalake::logstore::object_store::ObjectStore;
use deltalake::{
    DeltaTable, DeltaTableBuilder,
    logstore::{LogStoreRef, StorageConfig, logstore_for},
};
use url::Url;
use uuid::Uuid;

use crate::{
    durable::Durable,
    error::{Error, Kind, Result},
};

/// The id of a table, which is the name of its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub Uuid);

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for TableId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Uuid::try_parse(text).map(Self).map_err(Error::internal)
    }
}

/// The place below which all tables lie.
#[derive(Debug, Clone)]
pub struct Root {
    url: Url,
    /// Set where the place is a directory of this machine.
    local: Option<Arc<Durable>>,
}

impl Root {
    /// Of a setting: a directory, or a URL such as `s3://bucket/prefix`. Nothing is made or read yet.
    pub fn parse(setting: &str) -> Result<Self> {
        let unfit = |why: &dyn fmt::Display| {
            Error::invalid(format!(
                "The place for tables {setting:?} is not allowed: {why}. Name a directory, or a URL that begins with s3://, gs://, az:// or abfss://."
            ))
        };
        let scheme = setting.split_once("://").map(|(scheme, _)| scheme);
        let url = match scheme {
            None => Url::from_directory_path(std::path::absolute(setting).map_err(|error| unfit(&error))?)
                .map_err(|()| unfit(&"it is no absolute path"))?,
            Some(_) => bucket::directory_url(setting).map_err(|why| unfit(&why))?,
        };
        let local = match url.scheme() {
            "file" => Some(Arc::new(Durable::new())),
            scheme if bucket::SCHEMES.contains(&scheme) => None,
            other => return Err(unfit(&format_args!("the scheme {other:?} is not known"))),
        };
        Ok(Self { url, local })
    }

    /// The URL of a table's directory. Ends with a slash.
    pub fn url_of(&self, id: TableId) -> Result<Url> {
        self.url.join(&format!("{id}/")).map_err(Error::internal)
    }

    /// The directory of this machine below which tables lie, unless they lie elsewhere.
    pub fn directory(&self) -> Option<PathBuf> {
        self.local.as_ref().and_then(|_| self.url.to_file_path().ok())
    }

    pub(crate) fn log_store(&self, id: TableId) -> Result<LogStoreRef> {
        let url = self.url_of(id)?;
        if let Some(store) = &self.local {
            let store: Arc<dyn ObjectStore> = Arc::<Durable>::clone(store);
            return Ok(DeltaTableBuilder::from_url(url.clone())?
                .with_storage_backend(store, url)
                .build_storage()?);
        }
        Ok(logstore_for(&url, StorageConfig::default())?)
    }

    /// A table at a version, or at its newest.
    pub(crate) async fn open(&self, id: TableId, version: Option<u64>) -> Result<DeltaTable> {
        let log_store = self.log_store(id)?;
        let mut table = DeltaTable::new(log_store.clone());
        let loaded = match version {
            Some(version) => table.load_version(version).await,
            None => table.load().await,
        };
        match loaded {
            Ok(()) => Ok(table),
            // A log is never cleaned up, so that an entry that is not there never was.
            Err(error) => Err(match log_store.read_commit_entry(version.unwrap_or(0)).await {
                Ok(None) => {
                    let what = version.map_or_else(
                        || "There is no such table in the table store.".to_owned(),
                        |version| format!("The table has no version {version}."),
                    );
                    Error::new(Kind::Missing, what).because(error)
                }
                _ => error.into(),
            }),
        }
    }

    /// Removes what writers that died left half-written in a table's directory. Nobody of this server may be writing there;
    /// what somebody else was writing goes once it is this old.
    pub(crate) fn remove_staged(&self, id: TableId, age: Duration) -> Result<u64> {
        let Some(dir) = self.directory() else { return Ok(0) };
        let settled = SystemTime::now() - age;
        let is_over = |path: &FsPath| -> std::io::Result<bool> {
            Ok(crate::durable::is_staged_here(path) || std::fs::metadata(path)?.modified()? < settled)
        };
        let mut removed = 0;
        let mut waiting = vec![dir.join(id.to_string())];
        while let Some(dir) = waiting.pop() {
            for entry in read_dir(&dir)? {
                let path = entry.map_err(Error::internal)?.path();
                if path.is_dir() {
                    waiting.push(path);
                } else if crate::durable::is_staged(&path) && is_over(&path).map_err(Error::internal)? {
                    std::fs::remove_file(&path).map_err(Error::internal)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

/// Takes off a copy of a table's log, below a copy of the root, what came after a version.
pub fn trim(root: &FsPath, id: TableId, version: u64) -> Result<()> {
    for entry in read_dir(&root.join(id.to_string()).join("_delta_log"))? {
        let path = entry.map_err(Error::internal)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // Entries and checkpoints begin with their version; the hint at the newest checkpoint may name one that goes.
        let is_later =
            name.get(..20).and_then(|digits| digits.parse::<u64>().ok()).is_some_and(|n| n > version);
        if is_later || name == "_last_checkpoint" || crate::durable::is_staged(&path) {
            std::fs::remove_file(&path).map_err(Error::internal)?;
        }
    }
    Ok(())
}

fn read_dir(dir: &FsPath) -> Result<Box<dyn Iterator<Item = std::io::Result<std::fs::DirEntry>>>> {
    match std::fs::read_dir(dir) {
        Ok(entries) => Ok(Box::new(entries)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Box::new(std::iter::empty())),
        Err(error) => Err(Error::internal(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_or_an_address() {
        let root = Root::parse("/var/lib/tables").unwrap();
        let id: TableId = "019abcde-0000-7000-8000-000000000001".parse().unwrap();
        assert_eq!(
            root.url_of(id).unwrap().as_str(),
            "file:///var/lib/tables/019abcde-0000-7000-8000-000000000001/"
        );
        assert_eq!(root.directory().unwrap(), FsPath::new("/var/lib/tables"));
        let remote = Root::parse("s3://lake/prod/").unwrap();
        assert!(remote.url_of(id).unwrap().as_str().starts_with("s3://lake/prod/019abcde"));
        assert!(remote.directory().is_none());
    }

    #[test]
    fn what_is_neither_is_refused_with_a_remedy() {
        for wrong in ["ftp://host/x", "s3://lake?secret=1", "s3://user:pw@lake"] {
            let error = Root::parse(wrong).unwrap_err();
            assert!(error.message().contains("Name a directory"), "{error}");
        }
    }
}
