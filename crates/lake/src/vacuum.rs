//! Vacuum: removing the files that only old versions need.
//!
//! It goes by versions and not by the age of files: everything from one version on stays readable, and so does every
//! pinned version; what only older versions name is removed. The log stays, so that a version is never taken for one that
//! has not been.
//!
//! What no version names at all was left behind by a write that failed, or belongs to one that is going on: somebody else
//! may write past this server, and a file is there before the commit that names it. It is removed once it is
//! [`UNNAMED_AGE`] old.

use std::{collections::HashSet, time::Duration};

use deltalake::logstore::object_store::path::Path;
use deltalake::{
    DeltaTable,
    kernel::{Action, DeletionVectorDescriptor, StorageType},
    logstore::LogStoreRef,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    engine::{Lake, Task},
    error::{Error, Result},
    root::{Root, TableId},
    table::actions,
};

/// Directory of the log within a table's.
const LOG: &str = "_delta_log";
/// How old a file must be that no version names. Delta's own vacuum takes as long.
pub const UNNAMED_AGE: Duration = Duration::from_hours(7 * 24);
/// Characters of a UUID as the name of a deletion vector has it.
const VECTOR_ID_CHARS: usize = 20;

/// What to keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Every version from this one on.
    pub from: u64,
    /// Older versions that somebody pinned.
    pub pinned: Vec<u64>,
}

/// What a vacuum removes, or would.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Vacuumed {
    /// Files.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Pinned versions that would lose files were they not kept.
    pub needed_by: Vec<u64>,
}

impl Lake {
    /// Says what a vacuum would remove if nothing were pinned, and which pinned versions need some of that.
    pub fn plan_vacuum(&self, id: TableId, keep: Keep) -> Task<Vacuumed> {
        let root = self.root().clone();
        self.run(async move {
            let plan = Plan::make(&root, id, keep.from).await?;
            let mut planned = plan.sum();
            for version in keep.pinned.iter().copied().filter(|version| *version < keep.from) {
                let needed = files_of(&root.open(id, Some(version)).await?, &root.url_of(id)?)?;
                if plan.garbage.iter().any(|(path, _)| needed.contains(path)) {
                    planned.needed_by.push(version);
                }
            }
            Ok(planned)
        })
    }

    /// Removes what no kept version names. Nobody of this server may be writing to the table. May be repeated after a crash.
    pub fn vacuum(&self, id: TableId, keep: Keep) -> Task<Vacuumed> {
        let root = self.root().clone();
        self.run(async move {
            root.remove_staged(id, UNNAMED_AGE)?;
            let mut plan = Plan::make(&root, id, keep.from).await?;
            for version in keep.pinned.iter().copied().filter(|version| *version < keep.from) {
                let needed = files_of(&root.open(id, Some(version)).await?, &root.url_of(id)?)?;
                plan.garbage.retain(|(path, _)| !needed.contains(path));
            }
            let removed = plan.sum();
            let paths: Vec<_> = plan.garbage.into_iter().map(|(path, _)| Ok(path)).collect();
            plan.table
                .object_store()
                .delete_stream(stream::iter(paths).boxed())
                .try_collect::<Vec<_>>()
                .await?;
            Ok(removed)
        })
    }
}

struct Plan {
    table: DeltaTable,
    /// Files that go, with their sizes.
    garbage: Vec<(Path, u64)>,
}

impl Plan {
    async fn make(root: &Root, id: TableId, from: u64) -> Result<Self> {
        let table = root.open(id, Some(from)).await?;
        let (log_store, url) = (table.log_store(), root.url_of(id)?);
        let settled = chrono::Utc::now() - UNNAMED_AGE;
        let mut before = Named::new(&url, from);
        before.read_back(&log_store, settled.timestamp_millis()).await?;
        let mut needed = Named::new(&url, from + 1);
        needed.files = files_of(&table, &url)?;
        needed.read_on(&log_store).await?;
        let mut listed = table.object_store().list(None);
        let mut garbage = Vec::new();
        while let Some(found) = listed.try_next().await? {
            let first = found.location.parts().next();
            let (is_log, is_hidden) =
                first.map_or((false, false), |part| (part.as_ref() == LOG, part.as_ref().starts_with('_')));
            let is_over =
                before.files.contains(&found.location) || (!is_hidden && found.last_modified < settled);
            if !is_log && is_over {
                garbage.push((found.location, found.size));
            }
        }
        drop(listed);
        // Somebody may have committed what was listed.
        needed.read_on(&log_store).await?;
        garbage.retain(|(path, _)| !needed.files.contains(path));
        Ok(Self { table, garbage })
    }

    fn sum(&self) -> Vacuumed {
        let bytes = self.garbage.iter().map(|(_, size)| size).sum();
        Vacuumed { files: self.garbage.len() as u64, bytes, needed_by: Vec::new() }
    }
}

/// The files that the commits of a log name, whether they add or remove them.
struct Named<'u> {
    url: &'u Url,
    files: HashSet<Path>,
    /// The version to read next.
    next: u64,
}

impl<'u> Named<'u> {
    fn new(url: &'u Url, next: u64) -> Self {
        Self { url, files: HashSet::new(), next }
    }

    /// Reads to the end of the log.
    async fn read_on(&mut self, log_store: &LogStoreRef) -> Result<()> {
        while let Some(entry) = log_store.read_commit_entry(self.next).await? {
            self.take_all(&actions(&entry)?)?;
            self.next += 1;
        }
        Ok(())
    }

    /// Reads back to what was committed before a moment, in milliseconds: the files of that are older still.
    async fn read_back(&mut self, log_store: &LogStoreRef, until: i64) -> Result<()> {
        while let Some(entry) = log_store.read_commit_entry(self.next).await? {
            let actions = actions(&entry)?;
            self.take_all(&actions)?;
            let is_before = actions.iter().any(|action| match action {
                Action::CommitInfo(info) => info.timestamp.is_some_and(|at| at < until),
                _ => false,
            });
            if is_before || self.next == 0 {
                break;
            }
            self.next -= 1;
        }
        Ok(())
    }

    fn take_all(&mut self, actions: &[Action]) -> Result<()> {
        actions.iter().try_for_each(|action| match action {
            Action::Add(add) => self.take(&add.path, add.deletion_vector.as_ref()),
            Action::Remove(remove) => self.take(&remove.path, remove.deletion_vector.as_ref()),
            Action::Cdc(changes) => self.take(&changes.path, None),
            _ => Ok(()),
        })
    }

    fn take(&mut self, path: &str, vector: Option<&DeletionVectorDescriptor>) -> Result<()> {
        self.files.insert(location(self.url, path));
        self.files.extend(vector.map(|vector| vector_file(self.url, vector)).transpose()?.flatten());
        Ok(())
    }
}

/// The files of a version.
fn files_of(table: &DeltaTable, url: &Url) -> Result<HashSet<Path>> {
    let mut files = HashSet::new();
    for file in table.snapshot()?.log_data().iter() {
        files.insert(location(url, &file.path()));
        let vector = file.deletion_vector_descriptor();
        files.extend(vector.map(|vector| vector_file(url, &vector)).transpose()?.flatten());
    }
    Ok(files)
}

/// Where a file lies that the log names, from the table's directory on. What the log encodes is decoded already.
fn location(url: &Url, path: &str) -> Path {
    let path = path.strip_prefix(url.as_str()).unwrap_or(path);
    Path::parse(path).unwrap_or_else(|_| Path::from(path))
}

/// Where a deletion vector lies, unless the log itself holds it. (The Delta protocol, "Deletion Vector Format", "Derived
/// Fields".)
fn vector_file(url: &Url, vector: &DeletionVectorDescriptor) -> Result<Option<Path>> {
    let named = &vector.path_or_inline_dv;
    let path = match vector.storage_type {
        StorageType::Inline => return Ok(None),
        StorageType::AbsolutePath => named.clone(),
        StorageType::UuidRelativePath => {
            let parts = named.len().checked_sub(VECTOR_ID_CHARS).and_then(|at| named.split_at_checked(at));
            let found = parts.and_then(|(prefix, id)| Some((prefix, uuid_of(id)?)));
            let (prefix, id) = found
                .ok_or_else(|| Error::internal(format!("the deletion vector {named:?} names no file")))?;
            format!("{prefix}/deletion_vector_{id}.bin")
        }
    };
    Ok(Some(location(url, path.trim_start_matches('/'))))
}

/// A UUID in base 85, of the alphabet Z85: five characters for four bytes, the largest first.
fn uuid_of(text: &str) -> Option<uuid::Uuid> {
    const ALPHABET: &[u8; 85] =
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let mut bytes = Vec::with_capacity(16);
    for five in text.as_bytes().chunks(5) {
        let mut number = 0_u32;
        for character in five {
            let digit = ALPHABET.iter().position(|known| known == character)?;
            number = number.checked_mul(85)?.checked_add(u32::try_from(digit).ok()?)?;
        }
        bytes.extend(number.to_be_bytes());
    }
    uuid::Uuid::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(storage_type: StorageType, named: &str) -> DeletionVectorDescriptor {
        DeletionVectorDescriptor {
            storage_type,
            path_or_inline_dv: named.to_owned(),
            offset: None,
            size_in_bytes: 1,
            cardinality: 1,
        }
    }

    /// The examples of the protocol.
    #[test]
    fn the_files_of_deletion_vectors_are_known() {
        let url = Url::parse("s3://mytable/").unwrap();
        let file = |kind, named| vector_file(&url, &vector(kind, named)).map(|path| path.map(String::from));
        assert_eq!(
            file(StorageType::UuidRelativePath, "ab^-aqEH.-t@S}K{vb[*k^").unwrap().unwrap(),
            "ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin"
        );
        assert_eq!(
            file(StorageType::UuidRelativePath, "^-aqEH.-t@S}K{vb[*k^").unwrap().unwrap(),
            "deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin"
        );
        let absolute = "s3://mytable/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin";
        assert_eq!(
            file(StorageType::AbsolutePath, absolute).unwrap().unwrap(),
            "deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin"
        );
        assert_eq!(
            file(StorageType::Inline, "wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L").unwrap(),
            None
        );
        assert!(file(StorageType::UuidRelativePath, "short").is_err());
    }

    #[test]
    fn a_file_lies_where_the_log_says() {
        let url = Url::parse("file:///lake/1/").unwrap();
        for (path, lies_at) in [
            ("part-0.parquet", "part-0.parquet"),
            // Delta's writers put encoded values into the names of directories.
            ("name=a%20b/part-0.parquet", "name=a%20b/part-0.parquet"),
            ("file:///lake/1/part-0.parquet", "part-0.parquet"),
        ] {
            assert_eq!(location(&url, path).as_ref(), lies_at);
        }
    }
}
