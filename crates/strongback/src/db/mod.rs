//! The metadata store: SQLite in the data directory, or PostgreSQL.
//!
//! A read runs on one of a few reader connections. A write is a closure that a writer thread runs in a *commit group*:
//! everything that waits is run in one transaction, one event block is added for the group, and only after the commit
//! does anybody get an answer. Code of the slices is the same for both databases; [`dialect`] alone knows the
//! difference.
//!
//! What must stay true:
//! - an acknowledged write went through the database's durable commit, and so did whatever a read shows;
//! - every mutation returns [`Change::Made`] with its one event, which lands in the same transaction;
//! - a change whose caller was never authorised does not commit;
//! - a closure may run more than once (a group that fails is replayed one by one), so it owns what it needs and
//!   changes nothing but the database;
//! - nothing waits for ever: the queue is bounded and says so when it is full, and what is begun ends ([`limit`]);
//! - nobody is told that nothing happened when something may have ([`ticket`]).

mod bell;
pub(crate) mod connect;
mod dialect;
mod group;
mod limit;
pub mod migrate;
mod postgres_store;
mod sql;
mod sqlite_log;
mod sqlite_store;
mod ticket;
mod tls;
mod turns;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use bell::Bell;
pub use dialect::{Dialect, Stmt};
pub use limit::Limit;
pub use sql::{Row, Sql, Value};

use crate::{
    auth::{Caller, Proof},
    error::{Error, Result},
    events::{Event, mark::Mark, slots},
};
use group::{Job, Typed};

/// Writes that may wait before a new one is refused.
const QUEUE_LIMIT: usize = 4096;
/// How long a write waits for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_secs(10);
/// How long a write waits in the queue and for its commit: less than a request may take, so that its caller hears
/// from here, where it is known how far the write came.
const WRITE_WAIT: Duration = Duration::from_secs(50);
/// How long a read waits until what it may have seen is on the disk.
const DISK_WAIT: Duration = Duration::from_secs(10);
/// Reader connections of a store.
pub(crate) const READERS: usize = 4;
/// Writes that one commit group takes at most.
pub(crate) const GROUP_LIMIT: usize = 512;

/// Where the metadata lies.
#[derive(Debug, Clone)]
pub enum Location {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A PostgreSQL connection URL.
    Postgres(String),
}

/// What a write did.
pub enum Change<T> {
    /// Something changed; the event says what.
    Made(T, Event),
    /// Nothing changed, as when a client repeats itself.
    Nothing(T),
}

/// Who wants a write and under which request.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The principal and what it may do.
    pub caller: Arc<Caller>,
    /// By what it is known to be the caller.
    pub proof: Proof,
    /// The request's id, which the event carries.
    pub request_id: uuid::Uuid,
    /// When it came in, milliseconds since the epoch.
    pub now: i64,
}

/// The open store. Cheap to clone.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    location: Location,
    readers: Readers,
    turns: turns::Turns,
    mark: Arc<Mark>,
    bell: Bell,
    queue: async_channel::Sender<Box<dyn Job>>,
    writers: parking_lot::Mutex<Vec<std::thread::JoinHandle<()>>>,
    closing: AtomicBool,
    /// Whether a write found no room, and none was found since.
    lacked_room: AtomicBool,
}

enum Readers {
    Sqlite(sqlite_store::Readers),
    Postgres(postgres_store::Readers),
}

impl Readers {
    /// What a read may have seen that ends now; PostgreSQL shows nothing before it is durable.
    fn seen(&self) -> u64 {
        match self {
            Self::Sqlite(readers) => readers.log().seen(),
            Self::Postgres(_) => 0,
        }
    }
}

impl Db {
    /// Opens the store, migrates it forward and starts its writers. `holder` names the data directory, of which one
    /// process at a time can be the holder: what a dead one held in its name is taken over at once. Blocks; call it
    /// before serving.
    pub fn open(location: &Location, holder: &str) -> Result<Self> {
        Self::open_renewing(location, holder, slots::RENEW_AFTER)
    }

    /// The same with another pace of renewing the leases of PostgreSQL's slots: for tests, which do not wait so long.
    pub fn open_renewing(location: &Location, holder: &str, renew_after: Duration) -> Result<Self> {
        let (queue, inbox) = async_channel::bounded(QUEUE_LIMIT);
        let mark = Arc::new(Mark::default());
        let (readers, writers) = match location {
            Location::Sqlite(path) => {
                let (readers, writer) = sqlite_store::open(path, inbox, &mark)?;
                (Readers::Sqlite(readers), vec![writer])
            }
            Location::Postgres(url) => {
                let (readers, writers) = postgres_store::open(url, holder, renew_after, &inbox, &mark)?;
                (Readers::Postgres(readers), writers)
            }
        };
        let writers = parking_lot::Mutex::new(writers);
        let turns = turns::Turns::new(READERS);
        let closing = AtomicBool::new(false);
        Ok(Self(Arc::new(Inner {
            location: location.clone(),
            readers,
            turns,
            mark,
            bell: Bell::default(),
            queue,
            writers,
            closing,
            lacked_room: AtomicBool::new(false),
        })))
    }

    /// Where it lies.
    pub fn location(&self) -> &Location {
        &self.0.location
    }

    /// Rings after the commit of what asks for it.
    pub fn bell(&self) -> &Bell {
        &self.0.bell
    }

    /// By which its events and checkpoints are dated.
    pub(crate) fn mark(&self) -> Arc<Mark> {
        Arc::clone(&self.0.mark)
    }

    /// Runs a read on a reader connection, in one snapshot.
    pub async fn read<T: Send + 'static>(
        &self,
        origin: &Origin,
        read: impl FnOnce(&mut Sql<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let origin = origin.clone();
        self.on_reader(move |readers, limit| match readers {
            Readers::Sqlite(readers) => readers.run(&origin, limit, read),
            Readers::Postgres(readers) => readers.run(&origin, limit, read),
        })
        .await
    }

    /// Waits for a reader connection and blocks a thread only then. The turn ends with the work, which is told to end
    /// when its caller goes away.
    async fn on_reader<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Readers, Limit) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = self.0.turns.take().await?;
        let inner = Arc::clone(&self.0);
        let limit = Limit::read();
        let _waiting = limit.waiting();
        let (outcome, seen) = tokio::task::spawn_blocking(move || {
            let outcome = work(&inner.readers, limit);
            drop(turn);
            (outcome, inner.readers.seen())
        })
        .await
        .map_err(Error::internal)?;
        self.keep(seen).await?;
        outcome
    }

    /// Waits until what a read may have seen is durable.
    async fn keep(&self, seen: u64) -> Result<()> {
        let Readers::Sqlite(readers) = &self.0.readers else { return Ok(()) };
        let kept = tokio::time::timeout(DISK_WAIT, readers.log().is_kept(seen)).await;
        let kept = kept.map_err(|_| {
            Error::unavailable(format!(
                "The disk of the metadata store has not taken the last write for {} s. Repeat the request later.",
                DISK_WAIT.as_secs()
            ))
        })?;
        if kept {
            return Ok(());
        }
        // The disk did not take it. A writer brings it there before it begins anything else, or says why it cannot.
        self.derive(|_| Ok(())).await
    }

    /// Runs a write in the next commit group and answers when it is durable.
    pub async fn write<T: Send + 'static>(
        &self,
        origin: &Origin,
        write: impl FnMut(&mut Sql<'_>) -> Result<Change<T>> + Send + 'static,
    ) -> Result<T> {
        self.enqueue(origin, false, write).await
    }

    /// Writes what is *derived* from recorded mutations (indexes, compaction, cursors, checkpoints): no event, and the
    /// caller is the system itself.
    pub async fn derive<T: Send + 'static>(
        &self,
        mut write: impl FnMut(&mut Sql<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.enqueue(&Origin::system(), true, move |tx| write(tx).map(Change::Nothing)).await
    }

    async fn enqueue<T: Send + 'static>(
        &self,
        origin: &Origin,
        derived: bool,
        write: impl FnMut(&mut Sql<'_>) -> Result<Change<T>> + Send + 'static,
    ) -> Result<T> {
        let (job, ticket) = Typed::new(origin.clone(), derived, self.0.bell.clone(), write);
        match tokio::time::timeout(QUEUE_WAIT, self.0.queue.send(Box::new(job))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) if self.0.closing.load(Ordering::Relaxed) => {
                return Err(Error::unavailable("The server is shutting down. Repeat the request later."));
            }
            Ok(Err(_)) => return Err(writers_gone()),
            Err(_) => {
                return Err(Error::unavailable(format!(
                    "{QUEUE_LIMIT} writes wait already and none was taken for {} s. Repeat the request later.",
                    QUEUE_WAIT.as_secs()
                )));
            }
        }
        let outcome = ticket.outcome(WRITE_WAIT).await;
        if outcome.as_ref().is_err_and(sql::lacked_room) {
            self.0.lacked_room.store(true, Ordering::Relaxed);
        }
        outcome
    }

    /// Whether reads and writes work: a read is made, and a writer begins and ends a transaction. Once a write found no room,
    /// one that needs some.
    pub async fn probe(&self) -> Result<()> {
        if self.0.writers.lock().iter().any(std::thread::JoinHandle::is_finished) {
            return Err(writers_gone());
        }
        self.read(&Origin::system(), migrate::version).await?;
        self.derive(migrate::version).await?;
        if self.0.lacked_room.load(Ordering::Relaxed) {
            match self.derive(sql::take_room).await {
                Err(error) if sql::lacked_room(&error) => return Err(error),
                // It may not be allowed to try.
                Err(error) => tracing::warn!(?error, "whether the database has room again is not known"),
                Ok(()) => {}
            }
            self.0.lacked_room.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Prepares a statement without running it: how the tests check every statement on both databases.
    pub async fn prepare(&self, statement: &'static Stmt) -> Result<()> {
        self.on_reader(move |readers, _| match readers {
            Readers::Sqlite(readers) => readers.prepare(statement),
            Readers::Postgres(readers) => readers.prepare(statement),
        })
        .await
    }

    /// Reads that were asked for since the store was opened.
    pub fn reads_begun(&self) -> u64 {
        self.0.turns.begun()
    }

    /// Reads that wait at this moment.
    pub fn reads_waiting(&self) -> usize {
        self.0.turns.waiting()
    }

    /// Writes that wait at this moment.
    pub fn queued(&self) -> usize {
        self.0.queue.len()
    }

    /// Takes no more writes, finishes those that wait, and ends the writer threads. Blocks.
    pub fn close(&self) {
        self.0.closing.store(true, Ordering::Relaxed);
        self.0.queue.close();
        for writer in self.0.writers.lock().drain(..) {
            if writer.join().is_err() {
                tracing::error!("a writer thread ended with a panic");
            }
        }
    }
}

fn writers_gone() -> Error {
    Error::unavailable(
        "A writer of the metadata store has ended. Restart the server; its log says why it ended.",
    )
}

/// Reads a store on a connection of its own, without becoming one of its writers: for an auditor, also beside a running
/// server, whose last commit it may see before it is on the disk. Blocks. A store with another schema than this version's is refused.
pub fn inspect<T>(location: &Location, read: impl FnOnce(&mut Sql<'_>) -> Result<T>) -> Result<T> {
    inspect_any(location, |sql| {
        migrate::require_newest(sql)?;
        read(sql)
    })
}

/// The same for a store of any schema, for those who look at the schema itself.
pub fn inspect_any<T>(location: &Location, read: impl FnOnce(&mut Sql<'_>) -> Result<T>) -> Result<T> {
    match location {
        Location::Sqlite(path) => sqlite_store::inspect(path, read),
        Location::Postgres(url) => postgres_store::inspect(url, read),
    }
}

impl Origin {
    /// The server acting on its own behalf.
    pub fn system() -> Self {
        let (request_id, now) = (uuid::Uuid::now_v7(), crate::time::now_ms());
        Self { caller: Caller::system(), proof: Proof::Nothing, request_id, now }
    }
}

/// Every statement of the product, for the test that prepares them on both databases.
pub fn all_statements() -> Vec<&'static Stmt> {
    let lists: &[&[&'static Stmt]] = &[
        migrate::STATEMENTS,
        crate::cli::STATEMENTS,
        crate::cli::TABLE_STATEMENTS,
        crate::events::store::STATEMENTS,
        crate::catalog::store::STATEMENTS,
        crate::catalog::lineage::store::STATEMENTS,
        crate::answers::store::STATEMENTS,
        crate::files::STATEMENTS,
        crate::jobs::STATEMENTS,
        crate::tables::STATEMENTS,
        crate::registry::STATEMENTS,
        crate::exchange::STATEMENTS,
        crate::webhooks::STATEMENTS,
        crate::features::STATEMENTS,
        crate::serving::STATEMENTS,
        crate::serving::payload::STATEMENTS,
        crate::promotion::STATEMENTS,
        crate::promotion::HOME_STATEMENTS,
        crate::monitoring::STATEMENTS,
        crate::answers::overview::STATEMENTS,
        crate::ui::graphql::STATEMENTS,
    ];
    let mut all = lists.concat();
    all.extend(crate::tracking::statements());
    all
}
