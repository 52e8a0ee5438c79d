//! The embedded store of panes that requests are answered from: one file in the data directory.
//!
//! For each definition of a feature table that is looked up it holds the panes, each under (table, definition, key, index of the
//! pane), and what they were published as ([`Meta`]). A publication is one durable transaction, so that a look-up sees one of them
//! whole; one of a definition leaves the others as they are. All of it is derived: a file that cannot be read is put aside and
//! begun anew, and what was in it is computed again.
//!
//! What must stay true: a disk that fails, or is full, takes nothing for longer than that lasts. The database refuses everything
//! after its first failure; so it is closed then, and opened again at its last publication.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lake::panes::{KeyKind, Pane, decode_pane};
use parking_lot::Mutex;
use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition,
    TableError,
};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, is_full};

const PANES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("panes");
/// By table and definition.
const PUBLISHED: TableDefinition<'static, (i64, i64), &[u8]> = TableDefinition::new("publications");
/// The file within the data directory.
const FILE_NAME: &str = "online.redb";
/// Memory for pages of the file, in bytes.
const CACHE_BYTES: usize = 16 << 20;
/// The version of [`Meta`]'s stored form, which begins it.
const META_VERSION: u8 = 2;

/// A definition of a feature table: the table's `asset.id` and the number.
pub(super) type Which = (i64, i64);

/// What the panes of a definition were published as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// UUID of the feature table: an asset's number means something in one store alone.
    pub table: String,
    pub definition: i64,
    /// Asset of the source.
    pub source_id: i64,
    pub source_version: u64,
    /// Version of the feature table whose rows come from the same panes; none where the table has the rows of a later definition.
    pub table_version: Option<u64>,
    /// The newest event time, microseconds since the epoch.
    pub newest_micros: Option<i64>,
    /// What each key is; empty where there are no keys.
    pub key_kinds: Vec<KeyKind>,
}

/// A pane to store: the key's bytes, the index, the pane's bytes.
pub(super) type StoredPane = (Vec<u8>, i64, Vec<u8>);

/// The store, opened by whoever needs it first.
pub struct OnlineStore {
    file: Arc<File>,
    turns: Mutex<HashMap<i64, Arc<tokio::sync::Mutex<()>>>>,
}

pub(super) struct File {
    path: PathBuf,
    /// Held by who opens it, so that it is opened once.
    opening: Mutex<()>,
    database: Mutex<Option<Arc<Database>>>,
    /// What was published was damaged and put aside, and nobody has seen to it yet.
    was_begun_anew: AtomicBool,
}

/// How long after a failure the store is opened again, and twice as long after each further one.
const REOPEN_AFTER: Duration = Duration::from_millis(25);
/// The longest such rest.
const REOPEN_REST_MAX: Duration = Duration::from_secs(2);

fn failed(error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::Io(error) if is_full(&error) => Error::unavailable(
            "The disk that holds the online features is full. Free space, then repeat the call.",
        )
        .because(error),
        error @ redb::Error::PreviousIo => closed().because(error),
        error => Error::internal(error),
    }
}

fn closed() -> Error {
    Error::unavailable("The online features are opened again after their disk failed. Ask again in a moment.")
}

impl OnlineStore {
    /// Below a data directory, which this process holds alone. Nothing is opened yet.
    pub fn new(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE_NAME);
        let (opening, database) = (Mutex::new(()), Mutex::new(None));
        let file = File { path, opening, database, was_begun_anew: AtomicBool::new(false) };
        Self { file: Arc::new(file), turns: Mutex::default() }
    }

    /// The turn to compute a feature table; `None` while somebody else does.
    pub(super) fn turn(&self, asset_id: i64) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        let turn = {
            let mut turns = self.turns.lock();
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(asset_id).or_default())
        };
        turn.try_lock_owned().ok()
    }

    /// The open store. Blocks for a moment the first time.
    pub(super) fn open(&self) -> Result<Arc<Database>> {
        self.file.open()
    }

    /// Whether what was published was lost since the last call, so that it has to be computed again.
    pub(super) fn take_begun_anew(&self) -> bool {
        self.file.was_begun_anew.swap(false, Ordering::Relaxed)
    }

    /// The file of it, for who looks up for long.
    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Publishes panes, as [`publish`] does.
    pub(super) fn publish(
        &self,
        asset_id: i64,
        meta: &Meta,
        is_whole: bool,
        panes: &[StoredPane],
    ) -> Result<()> {
        self.file.used(&self.open()?, |database| publish(database, asset_id, meta, is_whole, panes))
    }

    /// What a definition was published as.
    pub(super) async fn meta(&self, which: Which) -> Result<Option<Meta>> {
        Ok(self.all().await?.remove(&which))
    }

    /// What every definition was published as.
    pub(super) async fn all(&self) -> Result<HashMap<Which, Meta>> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || file.all()).await.map_err(Error::internal)?
    }

    /// Lets the panes of definitions go.
    pub(super) async fn forget(&self, gone: Vec<Which>) -> Result<()> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || file.used(&file.open()?, |database| forget(database, &gone)))
            .await
            .map_err(Error::internal)?
    }
}

impl File {
    fn open(&self) -> Result<Arc<Database>> {
        let _turn = self.opening.lock();
        if let Some(open) = &*self.database.lock() {
            return Ok(Arc::clone(open));
        }
        let create = || Database::builder().set_cache_size(CACHE_BYTES).create(&self.path);
        let opened = match create() {
            Err(error) if is_damage(&error) => {
                let aside = self.path.with_extension("redb.damaged");
                tracing::warn!(%error, aside = %aside.display(), "the online features cannot be read and are computed again");
                std::fs::rename(&self.path, aside).map_err(Error::internal)?;
                self.was_begun_anew.store(true, Ordering::Relaxed);
                create()
            }
            opened => opened,
        };
        let opened = Arc::new(opened.map_err(|error| {
            Error::unavailable(format!(
                "The online features in {} cannot be opened: {error}.",
                self.path.display()
            ))
        })?);
        Ok(Arc::clone(self.database.lock().insert(opened)))
    }

    /// The open store, for who must not wait.
    pub(super) fn ready(&self) -> Result<Arc<Database>> {
        self.database.lock().clone().ok_or_else(closed)
    }

    /// Uses the open store. Where that fails it is closed, and opened again beside whoever goes on.
    pub(super) fn used<T>(
        self: &Arc<Self>,
        database: &Arc<Database>,
        work: impl FnOnce(&Database) -> Result<T>,
    ) -> Result<T> {
        let outcome = work(database);
        if outcome.as_ref().is_err_and(Error::is_ours) {
            self.reopen(database);
        }
        outcome
    }

    fn reopen(self: &Arc<Self>, failed: &Arc<Database>) {
        {
            let mut database = self.database.lock();
            if !database.as_ref().is_some_and(|open| Arc::ptr_eq(open, failed)) {
                return;
            }
            *database = None;
        }
        tracing::warn!(path = %self.path.display(), "the online features failed, and are opened again");
        let file = Arc::downgrade(self);
        std::thread::spawn(move || {
            // Who used it a moment ago has to let go of it first, and the disk may fail for long.
            let mut rest = REOPEN_AFTER;
            loop {
                std::thread::sleep(rest);
                rest = rest.saturating_mul(2).min(REOPEN_REST_MAX);
                let Some(file) = file.upgrade() else { return };
                match file.open() {
                    Ok(_) => return,
                    Err(error) => {
                        tracing::warn!(?error, "the online features cannot be opened; it is tried again");
                    }
                }
            }
        });
    }

    fn all(self: &Arc<Self>) -> Result<HashMap<Which, Meta>> {
        // Without a file nothing was published, and none is made for a question.
        if self.database.lock().is_none() && !self.path.exists() {
            return Ok(HashMap::new());
        }
        self.used(&self.open()?, published)
    }
}

fn published(database: &Database) -> Result<HashMap<Which, Meta>> {
    let read = database.begin_read().map_err(failed)?;
    let Some(table) = read.open_table(PUBLISHED).map(Some).or_else(absent)? else {
        return Ok(HashMap::new());
    };
    let mut all = HashMap::new();
    for entry in table.iter().map_err(failed)? {
        let (id, bytes) = entry.map_err(failed)?;
        if let Some(meta) = decode_meta(bytes.value()) {
            all.insert(id.value(), meta);
        }
    }
    Ok(all)
}

fn is_damage(error: &DatabaseError) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        DatabaseError::UpgradeRequired(_)
        | DatabaseError::RepairAborted
        | DatabaseError::Storage(StorageError::Corrupted(_)) => true,
        DatabaseError::Storage(StorageError::Io(error)) => {
            matches!(error.kind(), InvalidData | UnexpectedEof)
        }
        _ => false,
    }
}

fn encode_meta(meta: &Meta) -> Result<Vec<u8>> {
    let mut bytes = vec![META_VERSION];
    bytes.extend(postcard::to_stdvec(meta).map_err(Error::internal)?);
    Ok(bytes)
}

/// What cannot be read was published by another version, and is computed again.
fn decode_meta(bytes: &[u8]) -> Option<Meta> {
    match bytes.split_first() {
        Some((&META_VERSION, rest)) => postcard::from_bytes(rest).ok(),
        _ => None,
    }
}

fn prefix_of((asset_id, definition): Which) -> Vec<u8> {
    [asset_id.to_be_bytes(), definition.to_be_bytes()].concat()
}

type Panes<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// Takes all panes of a definition away.
fn clear(panes: &mut Panes<'_>, (asset_id, definition): Which) -> Result<()> {
    let (from, to) = (prefix_of((asset_id, definition)), prefix_of((asset_id, definition.saturating_add(1))));
    panes.retain_in::<&[u8], _>(from.as_slice()..to.as_slice(), |_, _| false).map_err(failed)
}

/// Where a pane is stored. Indices of one key stand in their order.
fn place(prefix: &[u8], key: &[u8], index: i64) -> Vec<u8> {
    let ordered = index.cast_unsigned() ^ (1 << 63);
    [prefix, key, &ordered.to_be_bytes()].concat()
}

/// Nothing where nothing was ever published.
fn absent<T>(error: TableError) -> Result<Option<T>> {
    match error {
        TableError::TableDoesNotExist(_) => Ok(None),
        error => Err(failed(error)),
    }
}

/// One transaction's view.
pub(super) struct View {
    panes: Option<redb::ReadOnlyTable<&'static [u8], &'static [u8]>>,
    published: Option<redb::ReadOnlyTable<(i64, i64), &'static [u8]>>,
}

impl View {
    pub(super) fn new(database: &Database) -> Result<Self> {
        let read = database.begin_read().map_err(failed)?;
        Ok(Self {
            panes: read.open_table(PANES).map(Some).or_else(absent)?,
            published: read.open_table(PUBLISHED).map(Some).or_else(absent)?,
        })
    }

    pub(super) fn meta(&self, which: Which) -> Result<Option<Meta>> {
        let Some(published) = &self.published else { return Ok(None) };
        let found = published.get(which).map_err(failed)?;
        Ok(found.and_then(|bytes| decode_meta(bytes.value())))
    }

    /// Panes of a key from one index to another, by index. `columns` is how many the definition aggregates. The inner error is of a
    /// pane that cannot be read, which says nothing about the database.
    pub(super) fn panes(
        &self,
        which: Which,
        key: &[u8],
        (from, to): (i64, i64),
        columns: usize,
    ) -> Result<Result<Vec<(i64, Pane)>>> {
        let Some(panes) = &self.panes else { return Ok(Ok(Vec::new())) };
        let prefix = prefix_of(which);
        let (from, to) = (place(&prefix, key, from), place(&prefix, key, to));
        let mut found = Vec::new();
        for entry in panes.range::<&[u8]>(from.as_slice()..=to.as_slice()).map_err(failed)? {
            let (place, bytes) = entry.map_err(failed)?;
            let Some(ordered) = place.value().last_chunk::<8>() else { continue };
            let index = (u64::from_be_bytes(*ordered) ^ (1 << 63)).cast_signed();
            match decode_pane(bytes.value(), columns) {
                Ok(pane) => found.push((index, pane)),
                Err(error) => return Ok(Err(Error::internal(error))),
            }
        }
        Ok(Ok(found))
    }
}

/// Publishes panes of the definition that `meta` names: in the place of all others of it, or of those with their key and index.
/// Durable when it returns.
fn publish(
    database: &Database,
    asset_id: i64,
    meta: &Meta,
    is_whole: bool,
    panes: &[StoredPane],
) -> Result<()> {
    let which = (asset_id, meta.definition);
    let write = database.begin_write().map_err(failed)?;
    {
        let mut table = write.open_table(PANES).map_err(failed)?;
        if is_whole {
            clear(&mut table, which)?;
        }
        let prefix = prefix_of(which);
        for (key, index, bytes) in panes {
            table.insert(place(&prefix, key, *index).as_slice(), bytes.as_slice()).map_err(failed)?;
        }
        let mut published = write.open_table(PUBLISHED).map_err(failed)?;
        published.insert(which, encode_meta(meta)?.as_slice()).map_err(failed)?;
    }
    write.commit().map_err(failed)
}

fn forget(database: &Database, gone: &[Which]) -> Result<()> {
    let write = database.begin_write().map_err(failed)?;
    {
        let mut table = write.open_table(PANES).map_err(failed)?;
        let mut published = write.open_table(PUBLISHED).map_err(failed)?;
        for which in gone {
            clear(&mut table, *which)?;
            published.remove(*which).map_err(failed)?;
        }
    }
    write.commit().map_err(failed)
}
