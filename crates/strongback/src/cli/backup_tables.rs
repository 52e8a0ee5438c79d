//! The tables of a backup.
//!
//! Files of tables never change once written, and the log grows by one file a commit: they are copied before the metadata's
//! snapshot and once more after it, as objects are. What the copy then has beyond the versions that the snapshot knows is
//! taken off its logs, so that the tables of a backup are those of its metadata; each newest and each pinned version is
//! proven to be readable in the copy.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use lake::TableId;

use crate::{bind, config::Config, db::Sql, error::Result};

crate::statements! {
    /// The tables that are kept, with the newest version of each, also of those that were deleted.
    TABLES = "SELECT a.uuid, t.version FROM data_table t JOIN asset a ON a.id = t.asset_id WHERE t.version IS NOT NULL";
    /// The tables that hold the rows of training sets.
    SETS = "SELECT a.uuid, s.version FROM training_set s JOIN asset a ON a.id = s.asset_id";
    /// Versions that somebody needs.
    PINNED = "SELECT a.uuid, p.version FROM table_pin p JOIN asset a ON a.id = p.table_id";
}

/// Directory of the tables in a backup.
pub(super) const DIRECTORY: &str = "tables";

/// The first schema that knows tables which are kept.
const SCHEMA: i64 = 7;
/// The first schema that knows training sets.
const SCHEMA_OF_SETS: i64 = 8;

/// The tables that a moment of the metadata knows.
#[derive(Default)]
pub(super) struct Tables {
    newest: Vec<(TableId, u64)>,
    pinned: Vec<(TableId, u64)>,
}

impl Tables {
    pub(super) fn look(sql: &mut Sql<'_>, schema: i64) -> Result<Self> {
        if schema < SCHEMA {
            return Ok(Self::default());
        }
        let read = |row: &crate::db::Row<'_>| {
            Ok((row.get::<String>(0)?.parse::<TableId>()?, row.get::<i64>(1)? as u64))
        };
        let mut newest = sql.all(&TABLES, bind![], read)?;
        if schema >= SCHEMA_OF_SETS {
            newest.extend(sql.all(&SETS, bind![], read)?);
        }
        Ok(Self { newest, pinned: sql.all(&PINNED, bind![], read)? })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }

    /// Makes a copy of the directory of all tables one of these versions, and answers what it cannot read of them.
    pub(super) fn settle(&self, copy: &Path) -> anyhow::Result<Vec<String>> {
        for id in listed(copy)? {
            match self.newest.iter().find(|(known, _)| *known == id) {
                Some((_, version)) => lake::root::trim(copy, id, *version)?,
                // It came to be after the snapshot.
                None => fs::remove_dir_all(copy.join(id.to_string()))?,
            }
        }
        let root = lake::Root::parse(&copy.display().to_string())?;
        // Nothing is queried, so that next to nothing is needed.
        let spill_dir = copy.with_file_name(".query-spill");
        let limits =
            lake::Limits { memory_bytes: 64 << 20, spill_bytes: 0, spill_dir: spill_dir.clone(), threads: 1 };
        let lake = lake::Lake::new(root, limits);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut unreadable = Vec::new();
        for (id, version) in self.newest.iter().chain(&self.pinned) {
            if runtime.block_on(lake.prove(*id, *version)).is_err() {
                unreadable.push(format!("version {version} of the table {id}"));
            }
        }
        match fs::remove_dir_all(&spill_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(unreadable),
        }
    }
}

/// Where a configuration has its tables on this machine; `None` if they are elsewhere.
pub(super) fn place(config: &Config) -> anyhow::Result<Option<PathBuf>> {
    Ok(config.lake()?.root().directory())
}

fn listed(dir: &Path) -> anyhow::Result<Vec<TableId>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<TableId>().ok()));
    }
    Ok(found)
}
