//! Tables: making one, looking at one, and finding in its log what an operation did.
//!
//! What must stay true:
//! - every commit of ours carries the id of the operation that it belongs to, so that after a crash it can be told
//!   whether the operation took effect ([`Lake::find_commit`]);
//! - the log of a table is never cleaned up behind anybody's back: a pinned version stays readable whatever its age.

use std::collections::HashMap;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use deltalake::logstore::object_store::{ObjectStoreExt as _, path::Path};
use deltalake::{
    DeltaTable,
    kernel::{
        Action, StructType, engine::arrow_conversion::TryIntoKernel as _, transaction::CommitProperties,
    },
    logstore::LogStoreRef,
    operations::create::CreateBuilder,
    protocol::SaveMode,
    table::state::DeltaTableState,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::{
    engine::{Lake, Task},
    error::{Error, Kind, Result},
    root::{Root, TableId},
    schema::{self, Column, Declared},
};

/// Where a commit says which operation it belongs to.
const OPERATION: &str = "strongback.operation";
/// Commits between two checkpoints of a log. Reading a log takes time with the commits since the last.
const CHECKPOINT_EVERY: &str = "10";
/// Files that are looked at at a time.
const LOOKS: usize = 16;

/// A table at one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The version.
    pub version: u64,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Data files.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Rows, if every file says how many it has.
    pub rows: Option<u64>,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Committed {
    /// The version that it made.
    pub version: u64,
    /// Rows that it added.
    pub rows_added: u64,
    /// Bytes of the files that it added.
    pub bytes_added: u64,
    /// Files that it added.
    pub files_added: u64,
    /// Files that it took out of the newest version. They stay for older ones until a vacuum.
    pub files_removed: u64,
}

/// How a commit is marked.
#[derive(Debug, Clone, Default)]
pub struct Mark {
    /// The operation that it belongs to.
    pub operation: Uuid,
    /// What else it says about itself, for readers of the log.
    pub notes: Vec<(String, String)>,
}

impl Mark {
    pub(crate) fn properties(&self) -> CommitProperties {
        let notes = self.notes.iter().map(|(key, value)| (key.clone(), Json::from(value.as_str())));
        let operation = (OPERATION.to_owned(), Json::from(self.operation.to_string()));
        CommitProperties::default()
            .with_metadata(notes.chain([operation]))
            .with_cleanup_expired_logs(Some(false))
    }
}

impl Lake {
    /// Makes an empty table with declared columns. A second call of the same operation changes nothing.
    pub fn create(&self, id: TableId, columns: Vec<Declared>, mark: Mark) -> Task<Committed> {
        let root = self.root().clone();
        self.run(async move {
            let schema = schema::of_declared(&columns)?;
            create(&root, id, &schema, &mark).await
        })
    }

    /// A table at a version, or at its newest.
    pub fn state(&self, id: TableId, version: Option<u64>) -> Task<State> {
        let root = self.root().clone();
        self.run(async move { state_of(&root.open(id, version).await?) })
    }

    /// What the log says after a version about an operation: the commit that carries its id, if it was made. Without a
    /// version the whole log is read.
    pub fn find_commit(&self, id: TableId, operation: Uuid, after: Option<u64>) -> Task<Option<Committed>> {
        let root = self.root().clone();
        self.run(async move { find_commit(&root.log_store(id)?, operation, after).await })
    }

    /// The commits after a version, whoever made them, each with the operation that it belongs to, if it is one of ours.
    pub fn commits(&self, id: TableId, after: u64) -> Task<Vec<(Committed, Option<Uuid>)>> {
        let root = self.root().clone();
        self.run(async move {
            let log_store = root.log_store(id)?;
            let mut found = Vec::new();
            let mut version = after + 1;
            while let Some(entry) = log_store.read_commit_entry(version).await? {
                let actions = actions(&entry)?;
                found.push((account(version, &actions), operation_of(&actions)));
                version += 1;
            }
            Ok(found)
        })
    }

    /// Proves that a version can be read: each of its files is there and as long as the log says. (A count of rows alone
    /// proves nothing, since it is answered from the log.)
    pub fn prove(&self, id: TableId, version: u64) -> Task<State> {
        let root = self.root().clone();
        self.run(async move {
            let table = root.open(id, Some(version)).await?;
            let store = table.object_store();
            let files: Vec<_> = table
                .snapshot()?
                .log_data()
                .iter()
                .map(|file| (file.object_store_path(), file.size()))
                .collect();
            stream::iter(files)
                .map(|(path, size)| {
                    let store = store.clone();
                    async move {
                        let found = store.head(&path).await.map_err(|error| lost(version, &path, error))?;
                        if i64::try_from(found.size).ok() == Some(size) {
                            Ok(())
                        } else {
                            Err(lost(version, &path, "its length is another"))
                        }
                    }
                })
                .buffer_unordered(LOOKS)
                .try_collect::<()>()
                .await?;
            state_of(&table)
        })
    }

    /// Removes the directory of a table that never came to be, or that nobody may read any more.
    pub fn remove(&self, id: TableId) -> Task<()> {
        let root = self.root().clone();
        self.run(async move {
            let store = root.log_store(id)?.object_store(None);
            let all = store.list(None).map_ok(|found| found.location).boxed();
            store.delete_stream(all).try_collect::<Vec<_>>().await?;
            if let Some(dir) = root.directory() {
                match std::fs::remove_dir_all(dir.join(id.to_string())) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::internal(error));
                    }
                    _ => {}
                }
            }
            Ok(())
        })
    }
}

fn lost(version: u64, path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(
        Kind::Missing,
        format!(
            "Version {version} cannot be read any more: its file {path} is gone or damaged. A vacuum may have removed it."
        ),
    )
    .because(cause)
}

pub(crate) async fn create(root: &Root, id: TableId, schema: &Schema, mark: &Mark) -> Result<Committed> {
    let log_store = root.log_store(id)?;
    if let Some(made) = find_commit(&log_store, mark.operation, None).await? {
        return Ok(made);
    }
    let fields: StructType = schema.try_into_kernel().map_err(Error::internal)?;
    let settings = HashMap::from([
        ("delta.checkpointInterval".to_owned(), Some(CHECKPOINT_EVERY.to_owned())),
        ("delta.enableExpiredLogCleanup".to_owned(), Some("false".to_owned())),
    ]);
    let table = CreateBuilder::new()
        .with_log_store(log_store)
        .with_save_mode(SaveMode::ErrorIfExists)
        .with_columns(fields.fields().cloned())
        .with_configuration(settings)
        .with_commit_properties(mark.properties())
        .await?;
    Ok(Committed { version: table.version().unwrap_or_default(), ..Committed::default() })
}

pub(crate) fn state_of(table: &DeltaTable) -> Result<State> {
    state_at(table.snapshot()?)
}

pub(crate) fn state_at(snapshot: &DeltaTableState) -> Result<State> {
    let (mut files, mut bytes, mut rows) = (0, 0, Some(0));
    for file in snapshot.log_data().iter() {
        files += 1;
        bytes += file.size().unsigned_abs();
        rows = rows.zip(file.num_records()).map(|(sum, more)| sum + more as u64);
    }
    let columns = schema::columns(&snapshot.snapshot().arrow_schema())?;
    Ok(State { version: snapshot.version(), columns, files, bytes, rows })
}

pub(crate) fn schema_of(table: &DeltaTable) -> Result<SchemaRef> {
    Ok(table.snapshot()?.snapshot().arrow_schema())
}

pub(crate) async fn find_commit(
    log_store: &LogStoreRef,
    operation: Uuid,
    after: Option<u64>,
) -> Result<Option<Committed>> {
    let mut version = after.map_or(0, |version| version + 1);
    while let Some(entry) = log_store.read_commit_entry(version).await? {
        let actions = actions(&entry)?;
        if operation_of(&actions) == Some(operation) {
            return Ok(Some(account(version, &actions)));
        }
        version += 1;
    }
    Ok(None)
}

/// Which operation of ours a commit belongs to.
fn operation_of(actions: &[Action]) -> Option<Uuid> {
    actions.iter().find_map(|action| match action {
        Action::CommitInfo(info) => info.info.get(OPERATION)?.as_str()?.parse().ok(),
        _ => None,
    })
}

/// The actions of a commit, a line each.
pub(crate) fn actions(entry: &[u8]) -> Result<Vec<Action>> {
    let lines = entry.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(Error::internal)).collect()
}

/// What some actions did.
pub(crate) fn account(version: u64, actions: &[Action]) -> Committed {
    let mut done = Committed { version, ..Committed::default() };
    for action in actions {
        match action {
            Action::Add(add) => {
                done.files_added += 1;
                done.bytes_added += add.size.unsigned_abs();
                let rows = add
                    .stats
                    .as_deref()
                    .and_then(|stats| serde_json::from_str::<Json>(stats).ok())
                    .and_then(|stats| stats["numRecords"].as_u64());
                done.rows_added += rows.unwrap_or_default();
            }
            Action::Remove(_) => done.files_removed += 1,
            _ => {}
        }
    }
    done
}
