//! Vacuum: removing the files that only old versions need.
//!
//! It goes by versions and not by the age of files: everything from one version on stays readable, and so does every
//! pinned version; what no such version names is removed, with what failed writes left behind. The log stays, so that
//! a version is never taken for one that has not been.

use std::collections::HashSet;

use deltalake::logstore::object_store::path::Path;
use deltalake::{DeltaTable, kernel::Action};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{Lake, Task},
    error::Result,
    root::{Root, TableId},
    table::actions,
};

/// Directory of the log within a table's.
const LOG: &str = "_delta_log";

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
                let needed = files_of(&root.open(id, Some(version)).await?)?;
                if plan.garbage.iter().any(|(path, _)| needed.contains(path)) {
                    planned.needed_by.push(version);
                }
            }
            Ok(planned)
        })
    }

    /// Removes what no kept version names. Nobody may be writing to the table. May be repeated after a crash.
    pub fn vacuum(&self, id: TableId, keep: Keep) -> Task<Vacuumed> {
        let root = self.root().clone();
        self.run(async move {
            root.remove_staged(id)?;
            let mut plan = Plan::make(&root, id, keep.from).await?;
            for version in keep.pinned.iter().copied().filter(|version| *version < keep.from) {
                let needed = files_of(&root.open(id, Some(version)).await?)?;
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
    /// Files that no version from the kept one on names, with their sizes.
    garbage: Vec<(Path, u64)>,
}

impl Plan {
    async fn make(root: &Root, id: TableId, from: u64) -> Result<Self> {
        let table = root.open(id, Some(from)).await?;
        let mut needed = files_of(&table)?;
        let log_store = table.log_store();
        let mut version = from + 1;
        while let Some(entry) = log_store.read_commit_entry(version).await? {
            for action in actions(&entry)? {
                if let Action::Add(add) = action {
                    needed.insert(Path::from(add.path));
                }
            }
            version += 1;
        }
        let mut garbage = Vec::new();
        let mut listed = table.object_store().list(None);
        while let Some(found) = listed.try_next().await? {
            let is_log = found.location.parts().next().is_some_and(|part| part.as_ref() == LOG);
            if !is_log && !needed.contains(&found.location) {
                garbage.push((found.location, found.size));
            }
        }
        drop(listed);
        Ok(Self { table, garbage })
    }

    fn sum(&self) -> Vacuumed {
        let bytes = self.garbage.iter().map(|(_, size)| size).sum();
        Vacuumed { files: self.garbage.len() as u64, bytes, needed_by: Vec::new() }
    }
}

fn files_of(table: &DeltaTable) -> Result<HashSet<Path>> {
    Ok(table.snapshot()?.log_data().iter().map(|file| file.object_store_path()).collect())
}
