//! SQLite: one writer thread that commits groups, a few reader connections, and a checkpointer.
//!
//! What must stay true: the write-ahead log is never checkpointed in bulk on the writer thread, where it would stall
//! every waiting client. A second connection copies the bulk; the writer only copies the few frames that came in
//! meanwhile, so that the log can start again from its beginning instead of growing. The files of the store are for
//! their owner alone. A COMMIT that failed may have left its frames in the log, where a restart after a crash would
//! find them, so nobody is told that nothing was changed before another write took their place. How a commit gets to the
//! disk is [`sqlite_log`](super::sqlite_log)'s.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{
    Dialect, GROUP_LIMIT, Origin, READERS, Sql, Stmt,
    group::{self, Commit, Engine, Finished, Job},
    limit::Limit,
    migrate,
    sql::{Conn, store_error},
    sqlite_log::{Log, Syncer},
};
use crate::{
    auth::Caller,
    error::{Error, Result},
    events::{
        chain::{Block, Chain},
        mark::Mark,
        slots,
    },
};

/// Page cache of a connection in KiB. Each has its own.
const CACHE_KIB: i64 = 4096;
/// Prepared statements that a connection keeps.
const STATEMENTS: usize = 256;
/// How often the checkpointer looks.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(250);
/// Frames (pages of 4 KiB) in the log from which the writer is asked to let it wrap.
const WRAP_FRAMES: i64 = 2_000;
/// How long the writer looks for work, letting others run, before it sleeps: to be woken costs it and who wakes it more
/// than a look does, and between the writes of a busy server there is less time than this.
const LOOKING: Duration = Duration::from_micros(200);
/// The slot of the only writer.
const SLOT: i64 = 1;
/// What callers are told while the disk takes nothing.
const FAILING: &str = "The disk of the metadata store failed in the middle of a commit and takes no write since. Nothing of this \
    request was tried. Look after the disk; writes go on as soon as one succeeds.";
/// The same where the reason can be seen.
const FAILING_READ_ONLY: &str = "The file system of the metadata store has become read-only, as after an error of its disk. Nothing \
    of this request was tried. Look after the disk and make it writable again; writes go on as soon as one succeeds.";

/// The reader connections. Whoever comes here has a turn, so that one is free.
pub(super) struct Readers {
    free: Mutex<Vec<Connection>>,
    log: Arc<Log>,
}

pub(super) fn open(
    path: &Path,
    inbox: async_channel::Receiver<Box<dyn Job>>,
    mark: &Arc<Mark>,
) -> Result<(Readers, thread::JoinHandle<()>)> {
    keep_private(path)?;
    let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    writer.pragma_update(None, "journal_mode", "WAL").map_err(store_error)?;
    writer.pragma_update(None, "synchronous", "FULL").map_err(store_error)?;
    writer.pragma_update(None, "wal_autocheckpoint", 0).map_err(store_error)?;
    migrate::sqlite(&mut writer)?;

    let chain = load_chain(&writer)?;
    mark.load(&mut reading(&writer))?;
    let log = Arc::new(Log::open(path)?);
    // From here on commits are synced by the log: before anybody is answered, which is what `power` durability means.
    writer.pragma_update(None, "synchronous", "NORMAL").map_err(store_error)?;
    let free =
        (0..READERS).map(|_| connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)).collect::<Result<Vec<_>>>()?;
    let signals = Arc::new(Signals::default());
    let checkpointer =
        Checkpointer { path: path.to_path_buf(), signals: Arc::clone(&signals), log: Arc::clone(&log) };
    spawn("strongback-checkpoint", move || checkpointer.run())?;
    let readers = Readers { free: Mutex::new(free), log: Arc::clone(&log) };
    let mut engine = Writer::new(writer, chain, inbox, (Arc::clone(mark), signals, log))?;
    let thread = spawn("strongback-writer", move || engine.serve())?;
    Ok((readers, thread))
}

/// Makes the file, if it is not there, for its owner alone. SQLite gives its log the same rights.
fn keep_private(path: &Path) -> Result<()> {
    let made = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    made.map(drop).map_err(|error| {
        Error::unavailable(format!(
            "The metadata store {} cannot be made or opened: {error}.",
            path.display()
        ))
        .because(error)
    })
}

/// Reads on a connection of its own.
pub(super) fn inspect<T>(path: &Path, read: impl FnOnce(&mut Sql<'_>) -> Result<T>) -> Result<T> {
    if !path.exists() {
        return Err(Error::missing(format!(
            "There is no metadata store at {}. Name the data directory that the server was started with: --data-dir DIR, \
             STRONGBACK_DATA_DIR, or data_dir in strongback.toml.",
            path.display()
        )));
    }
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    snapshot(&conn, &Origin::system(), Limit::none(), read)
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(body).map_err(Error::internal)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|error| {
        Error::unavailable(format!("The metadata store {} cannot be opened.", path.display())).because(error)
    })?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.busy_timeout(Duration::from_secs(5)).map_err(store_error)?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB).map_err(store_error)?;
    conn.pragma_update(None, "temp_store", "MEMORY").map_err(store_error)?;
    Ok(conn)
}

impl Readers {
    /// How far writes are on the disk.
    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    pub(super) fn run<T>(
        &self,
        origin: &Origin,
        limit: Limit,
        read: impl FnOnce(&mut Sql<'_>) -> Result<T>,
    ) -> Result<T> {
        self.with(|conn| snapshot(conn, origin, limit, read))
    }

    pub(super) fn prepare(&self, statement: &'static Stmt) -> Result<()> {
        self.with(|conn| conn.prepare(statement.text(Dialect::Sqlite)).map(drop).map_err(store_error))
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let conn =
            self.free.lock().pop().ok_or_else(|| Error::internal("a read came without having a turn"))?;
        let outcome = work(&conn);
        self.free.lock().push(conn);
        outcome
    }
}

fn snapshot<T>(
    conn: &Connection,
    origin: &Origin,
    limit: Limit,
    read: impl FnOnce(&mut Sql<'_>) -> Result<T>,
) -> Result<T> {
    let mut sql = Sql::on_behalf(Conn::Sqlite(conn), origin, false, limit)?;
    conn.execute_batch("BEGIN").map_err(store_error)?;
    let outcome = catch_unwind(AssertUnwindSafe(|| read(&mut sql)))
        .unwrap_or_else(|_| Err(Error::internal("a read panicked")));
    conn.execute_batch("ROLLBACK").map_err(store_error)?;
    outcome
}

struct Writer {
    conn: Connection,
    inbox: async_channel::Receiver<Box<dyn Job>>,
    chain: Chain,
    mark: Arc<Mark>,
    signals: Arc<Signals>,
    log: Arc<Log>,
    syncer: Syncer,
    /// A COMMIT or its sync failed, and no write was durable since.
    in_doubt: bool,
    /// Rows that the connection changed, as counted when the transaction began.
    changes_before: u64,
    /// Whether what was committed last changed any.
    has_changed: bool,
}

/// What writer and checkpointer tell each other.
#[derive(Default)]
struct Signals {
    commits: AtomicU64,
    wrap_due: AtomicBool,
    closed: AtomicBool,
}

impl Writer {
    fn new(
        conn: Connection,
        chain: Chain,
        inbox: async_channel::Receiver<Box<dyn Job>>,
        (mark, signals, log): (Arc<Mark>, Arc<Signals>, Arc<Log>),
    ) -> Result<Self> {
        let syncer = Syncer::start(Arc::clone(&log))?;
        let (in_doubt, changes_before, has_changed) = (false, 0, false);
        Ok(Self { conn, inbox, chain, mark, signals, log, syncer, in_doubt, changes_before, has_changed })
    }

    fn serve(&mut self) {
        while let Some(first) = self.first() {
            let mut jobs = vec![first];
            self.take_waiting(&mut jobs, GROUP_LIMIT);
            if catch_unwind(AssertUnwindSafe(|| group::run(self, jobs))).is_err() && !self.recover() {
                // Nothing takes from the queue any more: writes are refused, and /ready says why.
                self.signals.closed.store(true, Ordering::Relaxed);
                return;
            }
            // Of a log in doubt nothing may come into the database; its sync may have failed just now.
            if !self.log.is_in_doubt() && self.signals.wrap_due.swap(false, Ordering::Relaxed) {
                checkpoint(&self.conn, "PASSIVE");
            }
        }
        self.signals.closed.store(true, Ordering::Relaxed);
        self.wait_for_sync();
        if self.in_doubt
            && let Err(error) = self.settle()
        {
            return tracing::error!(?error, "the last commit failed: the next start may find it made");
        }
        checkpoint(&self.conn, "TRUNCATE");
    }

    /// The next job; none once nobody can send one any more.
    fn first(&self) -> Option<Box<dyn Job>> {
        let looking = Instant::now();
        while looking.elapsed() < LOOKING {
            match self.inbox.try_recv() {
                Err(async_channel::TryRecvError::Empty) => thread::yield_now(),
                ended => return ended.ok(),
            }
        }
        self.inbox.recv_blocking().ok()
    }

    /// Adds the jobs that wait, until they are so many.
    fn take_waiting(&self, jobs: &mut Vec<Box<dyn Job>>, most: usize) {
        while jobs.len() < most {
            match self.inbox.try_recv() {
                Ok(job) => jobs.push(job),
                Err(_) => break,
            }
        }
    }

    /// Waits until the last group is on the disk, or is known not to be.
    fn wait_for_sync(&mut self) {
        self.in_doubt |= self.syncer.wait().is_err();
    }

    /// Why nothing can be written, for whoever asks meanwhile. The log is asked, and never the database file: to close that would
    /// take SQLite's locks away.
    fn failing(&self) -> &'static str {
        let log = format!("{}-wal", self.conn.path().unwrap_or_default());
        match fs::OpenOptions::new().write(true).open(log) {
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => FAILING_READ_ONLY,
            _ => FAILING,
        }
    }

    /// After a panic in the middle of a group: nothing of it stays, and the head is the stored one.
    fn recover(&mut self) -> bool {
        tracing::error!("a commit group ended with a panic; its writes may stand or not");
        self.rollback();
        // It may have been in the middle of a commit.
        self.log.doubt();
        self.in_doubt = true;
        match load_chain(&self.conn) {
            Ok(chain) => self.chain = chain,
            Err(error) => {
                tracing::error!(?error, "the head of the event chain cannot be read: no more writes");
                return false;
            }
        }
        true
    }

    /// Makes certain that nothing stands of a COMMIT that failed, and that all is on the disk of one that was made.
    ///
    /// Of one that failed, frames, perhaps with their commit mark, may be in the log behind the last frame that counts.
    /// This transaction's only frame, of a page that nothing else changes, is written over the first of them. As each
    /// frame's checksum is carried on from the one before, those that follow are void; and where the log starts again
    /// from its beginning, they have the salt of the old one.
    fn settle(&mut self) -> Result<()> {
        self.conn.execute_batch("BEGIN IMMEDIATE").map_err(store_error)?;
        let now = crate::time::now_ms();
        let mut sql = Sql::new(Conn::Sqlite(&self.conn), Caller::system(), true, now);
        let settled =
            slots::mark(&mut sql, SLOT).and_then(|()| self.conn.execute_batch("COMMIT").map_err(store_error));
        self.rollback();
        settled?;
        let frames = log_frames(&self.conn, "NOOP").map_err(store_error)?;
        self.log.rewrite(frames.max(0).cast_unsigned()).map_err(|error| {
            tracing::error!(%error, "the log of the metadata store could not be brought to the disk");
            Error::internal(error)
        })?;
        self.log.keep();
        self.in_doubt = false;
        Ok(())
    }
}

fn load_chain(conn: &Connection) -> Result<Chain> {
    Chain::load(&mut reading(conn), SLOT)
}

fn reading(conn: &Connection) -> Sql<'_> {
    Sql::new(Conn::Sqlite(conn), Caller::system(), false, crate::time::now_ms())
}

impl Engine for Writer {
    fn conn(&mut self) -> Conn<'_> {
        Conn::Sqlite(&self.conn)
    }

    /// While a commit is in doubt, nothing else is begun: who looks for it would be shown a state without it, and be
    /// told by a restart that it was made.
    fn begin(&mut self) -> Result<()> {
        if self.syncer.is_idle() {
            self.wait_for_sync();
        }
        if self.in_doubt {
            self.settle().map_err(|error| Error::unavailable(self.failing()).because(error))?;
        }
        self.changes_before = self.conn.total_changes();
        self.conn.execute_batch("BEGIN IMMEDIATE").map_err(store_error)
    }

    /// The group before this one has to be on the disk: two would be in doubt together, if it came to that.
    fn late(&mut self, has_room: bool) -> Result<Option<Box<dyn Job>>> {
        let looking = Instant::now();
        loop {
            if has_room && let Ok(job) = self.inbox.try_recv() {
                return Ok(Some(job));
            }
            if self.syncer.is_idle() || looking.elapsed() > LOOKING {
                break;
            }
            thread::yield_now();
        }
        self.certain()?;
        Ok(if has_room { self.inbox.try_recv().ok() } else { None })
    }

    fn certain(&mut self) -> Result<()> {
        self.wait_for_sync();
        if self.in_doubt { Err(Error::unavailable(self.failing())) } else { Ok(()) }
    }

    fn commit(&mut self, _: Option<&(Block, i64)>) -> Commit {
        self.has_changed = self.conn.total_changes() != self.changes_before;
        self.log.begin();
        let Err(error) = self.conn.execute_batch("COMMIT") else {
            self.signals.commits.fetch_add(1, Ordering::Relaxed);
            return Commit::Stands;
        };
        self.rollback();
        // Nobody was shown anything of it, and nobody will be.
        self.log.keep();
        // What did not fit was not written to its end, where the commit mark is.
        if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            return Commit::Undone(store_error(error));
        }
        self.in_doubt = true;
        match self.settle() {
            Ok(()) => Commit::Undone(store_error(error)),
            Err(why) => {
                tracing::error!(%error, ?why, "a COMMIT failed, and so did the write that was to settle it");
                let what = "The disk of the metadata store failed in the middle of the commit.";
                Commit::Unknown(Error::outcome_unknown(what).because(error))
            }
        }
    }

    fn acknowledge(&mut self, group: Finished) {
        if self.has_changed {
            self.in_doubt |= self.syncer.take(group).is_err();
        } else {
            self.log.keep();
            group.settle();
        }
    }

    fn rollback(&mut self) {
        // A full disk may have rolled it back already.
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed commit group could not be rolled back");
        }
    }

    fn is_lost(&self) -> bool {
        false
    }

    /// The data directory is locked: nobody else writes this slot.
    fn fenced(&mut self) {}

    fn mark(&self) -> &Mark {
        &self.mark
    }

    fn chain(&mut self) -> &mut Chain {
        &mut self.chain
    }
}

struct Checkpointer {
    path: PathBuf,
    signals: Arc<Signals>,
    log: Arc<Log>,
}

impl Checkpointer {
    fn run(&self) {
        let conn = match connect(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE) {
            Ok(conn) => conn,
            Err(error) => return tracing::error!(?error, "the write-ahead log will not be checkpointed"),
        };
        let mut seen = 0;
        while !self.signals.closed.load(Ordering::Relaxed) {
            thread::sleep(CHECKPOINT_EVERY);
            let commits = self.signals.commits.load(Ordering::Relaxed);
            // Of a log in doubt nothing may come into the database.
            if commits == seen || self.log.is_in_doubt() {
                continue;
            }
            seen = commits;
            if checkpoint(&conn, "PASSIVE") > WRAP_FRAMES {
                self.signals.wrap_due.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Copies frames of the log into the database; answers how many frames the log holds, none where that failed.
fn checkpoint(conn: &Connection, mode: &str) -> i64 {
    log_frames(conn, mode).unwrap_or_else(|error| {
        tracing::warn!(%error, mode, "a checkpoint of the write-ahead log failed");
        0
    })
}

/// How many frames the log holds after a checkpoint of this mode; that of NOOP copies none.
fn log_frames(conn: &Connection, mode: &str) -> rusqlite::Result<i64> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(1))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::{
        bind,
        db::{Bell, Change, group::Typed, ticket::Ticket},
        error::Code,
    };

    static ENDLESS: Stmt = Stmt::new(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n WHERE i < 0",
    );
    static KEEP: Stmt = Stmt::new("INSERT INTO kept VALUES (1)");
    static KEEP_ENDLESSLY: Stmt = Stmt::new(
        "INSERT INTO kept WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0",
    );

    fn store(dir: &tempfile::TempDir) -> Connection {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let conn = connect(&dir.path().join("test.db"), flags).unwrap();
        conn.execute_batch("CREATE TABLE kept (n INTEGER) STRICT").unwrap();
        conn
    }

    #[test]
    fn a_read_ends_at_its_limit_within_a_statement_and_the_connection_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let conn = store(&dir);
        let limit = Limit::of(Duration::from_millis(50));
        let read = |sql: &mut Sql<'_>| sql.one(&ENDLESS, bind![], |row| row.get::<i64>(0));
        let error = snapshot(&conn, &Origin::system(), limit, read).unwrap_err();
        assert_eq!(error.code(), Code::TemporarilyUnavailable);
        assert!(error.message().contains("its limit of 0 s"), "{error}");
        let next = snapshot(&conn, &Origin::system(), Limit::read(), count_kept).unwrap();
        assert_eq!(next, 0);
    }

    fn count_kept(sql: &mut Sql<'_>) -> Result<i64> {
        static COUNT: Stmt = Stmt::new("SELECT COUNT(*) FROM kept");
        sql.one(&COUNT, bind![], |row| row.get(0))
    }

    /// SQLite takes the transaction back when it interrupts a change: a statement behind it would commit by itself.
    #[test]
    fn a_write_ends_at_its_limit_and_nothing_of_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let conn = store(&dir);
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        let limit = Limit::of(Duration::from_millis(50));
        let mut tx = Sql::on_behalf(Conn::Sqlite(&conn), &Origin::system(), true, limit).unwrap();
        tx.execute(&KEEP, bind![]).unwrap();
        for statement in [&KEEP_ENDLESSLY, &KEEP] {
            assert_eq!(tx.execute(statement, bind![]).unwrap_err().code(), Code::TemporarilyUnavailable);
        }
        assert!(tx.is_broken());
        drop(tx);
        if !conn.is_autocommit() {
            conn.execute_batch("ROLLBACK").unwrap();
        }
        assert_eq!(snapshot(&conn, &Origin::system(), Limit::read(), count_kept).unwrap(), 0);
    }

    /// A row without its parent, with which no COMMIT succeeds.
    static ORPHAN: Stmt = Stmt::new("INSERT INTO child (parent) VALUES (1)");
    static ADOPTED: Stmt = Stmt::new("INSERT INTO parent (id) VALUES (1)");
    const WAIT: Duration = Duration::from_secs(10);

    fn writer(dir: &Path) -> Writer {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut conn = connect(&dir.join("meta.db"), flags).unwrap();
        conn.pragma_update(None, "journal_mode", "WAL").unwrap();
        migrate::sqlite(&mut conn).unwrap();
        conn.execute_batch(
            "PRAGMA foreign_keys = ON; CREATE TABLE parent (id INTEGER PRIMARY KEY);
             CREATE TABLE child (parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
        )
        .unwrap();
        let chain = load_chain(&conn).unwrap();
        let log = Arc::new(Log::open(&dir.join("meta.db")).unwrap());
        let (_, inbox) = async_channel::bounded(1);
        Writer::new(conn, chain, inbox, (Arc::default(), Arc::default(), log)).unwrap()
    }

    /// A write of one statement, and how often it was tried.
    fn job(statement: &'static Stmt) -> (Box<dyn Job>, Ticket<()>, Arc<AtomicUsize>) {
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        let (job, ticket) = Typed::new(Origin::system(), true, Bell::default(), move |sql: &mut Sql<'_>| {
            counted.fetch_add(1, Ordering::Relaxed);
            sql.execute(statement, &[]).map(|_| Change::Nothing(()))
        });
        (Box::new(job), ticket, tries)
    }

    /// Runs one group and answers each one's code (`None`: made) and how often it was tried.
    async fn group(writer: &mut Writer, statements: &[&'static Stmt]) -> Vec<(Option<Code>, usize)> {
        let mut jobs = Vec::new();
        let mut waiting = Vec::new();
        for statement in statements {
            let (job, ticket, tries) = job(statement);
            jobs.push(job);
            waiting.push((ticket, tries));
        }
        group::run(writer, jobs);
        let mut told = Vec::new();
        for (ticket, tries) in waiting {
            let outcome = ticket.outcome(WAIT).await;
            told.push((outcome.err().map(|error| error.code()), tries.load(Ordering::Relaxed)));
        }
        told
    }

    fn number(writer: &Writer, query: &str) -> i64 {
        writer.conn.query_row(query, [], |row| row.get(0)).unwrap()
    }

    const MARK: &str = "SELECT lease_until FROM writer WHERE slot = 1";

    #[tokio::test]
    async fn a_commit_that_failed_is_undone_once_another_write_took_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path());
        let mark = number(&writer, MARK);
        assert_eq!(group(&mut writer, &[&ORPHAN]).await, [(Some(Code::InternalError), 1)]);
        assert_eq!((number(&writer, MARK), writer.in_doubt), (mark + 1, false));
        // What comes later is not held up by it, whatever it is.
        let told = group(&mut writer, &[&ADOPTED, &ORPHAN]).await;
        assert_eq!(told, [(None, 1), (None, 1)]);
        assert_eq!(number(&writer, "SELECT COUNT(*) FROM child"), 1);
        assert_eq!(number(&writer, MARK), mark + 1);
    }

    #[tokio::test]
    async fn who_meets_a_limit_is_told_at_once_and_only_those_who_wait_are_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path());
        let (first, first_told, first_tries) = job(&ADOPTED);
        let (left, left_ticket, left_tries) = job(&SECOND);
        let tries = Arc::new(AtomicUsize::new(0));
        let (counted, mut left_ticket) = (Arc::clone(&tries), Some(left_ticket));
        let (slow, told) = Typed::new(Origin::system(), true, Bell::default(), move |sql: &mut Sql<'_>| {
            counted.fetch_add(1, Ordering::Relaxed);
            // Meanwhile the caller of another one gives up.
            drop(left_ticket.take());
            sql.execute(&SECOND, &[])?;
            Err::<Change<()>, _>(Error::unavailable("its limit"))
        });
        group::run(&mut writer, vec![first, Box::new(slow), left]);
        assert!(first_told.outcome(WAIT).await.is_ok());
        assert_eq!(told.outcome(WAIT).await.unwrap_err().message(), "its limit");
        let tries = [&first_tries, &tries, &left_tries].map(|tries| tries.load(Ordering::Relaxed));
        assert_eq!(tries, [2, 1, 0]);
        assert_eq!(number(&writer, "SELECT SUM(id) FROM parent"), 1);
    }

    #[tokio::test]
    async fn while_a_commit_is_in_doubt_nobody_hears_that_it_failed_and_nothing_else_is_tried() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path());
        let mark = number(&writer, MARK);
        let broken = "CREATE TRIGGER broken AFTER UPDATE ON writer BEGIN INSERT INTO child VALUES (2); END";
        writer.conn.execute_batch(broken).unwrap();

        let told = group(&mut writer, &[&ORPHAN, &ORPHAN]).await;
        assert_eq!(told, [(Some(Code::DeadlineExceeded), 1), (Some(Code::DeadlineExceeded), 1)]);
        for _ in 0..2 {
            let told = group(&mut writer, &[&ADOPTED]).await;
            assert_eq!(told, [(Some(Code::TemporarilyUnavailable), 0)]);
        }
        assert_eq!((number(&writer, MARK), writer.in_doubt), (mark, true));

        writer.conn.execute_batch("DROP TRIGGER broken").unwrap();
        assert_eq!(group(&mut writer, &[&ADOPTED]).await, [(None, 1)]);
        assert_eq!((number(&writer, MARK), writer.in_doubt), (mark + 1, false));
        assert_eq!(number(&writer, "SELECT COUNT(*) FROM child"), 0);
    }

    /// A log whose disk takes nothing: a device that refuses to be synced.
    fn break_disk(writer: &mut Writer) {
        let log = Arc::new(Log::over(fs::File::open("/dev/null").unwrap()));
        writer.syncer = Syncer::start(Arc::clone(&log)).unwrap();
        writer.log = log;
    }

    fn mend_disk(writer: &mut Writer, dir: &Path) {
        let log = Arc::new(Log::open(&dir.join("meta.db")).unwrap());
        writer.syncer = Syncer::start(Arc::clone(&log)).unwrap();
        writer.log = log;
    }

    static SECOND: Stmt = Stmt::new("INSERT INTO parent (id) VALUES (2)");
    static THIRD: Stmt = Stmt::new("INSERT INTO parent (id) VALUES (3)");

    #[tokio::test]
    async fn nobody_is_told_that_a_group_stands_which_the_disk_does_not_keep() {
        for together in [&[&ADOPTED, &SECOND][..], &[&ADOPTED][..]] {
            let dir = tempfile::tempdir().unwrap();
            let mut writer = writer(dir.path());
            break_disk(&mut writer);
            for (code, _) in group(&mut writer, together).await {
                assert_eq!(code, Some(Code::DeadlineExceeded));
            }
            // Whoever saw it is not answered either, and nothing else is begun, one by one as together.
            let seen = writer.log.seen();
            assert!(!writer.log.is_kept(seen).await);
            for (code, tries) in group(&mut writer, &[&THIRD, &THIRD]).await {
                // It may be begun before the sync has failed, and is undone then.
                assert!(code == Some(Code::TemporarilyUnavailable) && tries < together.len());
            }

            mend_disk(&mut writer, dir.path());
            assert_eq!(group(&mut writer, &[&THIRD]).await, [(None, 1)]);
            assert!(writer.log.is_kept(writer.log.seen()).await);
            assert_eq!(number(&writer, "SELECT COUNT(*) FROM parent"), together.len() as i64 + 1);
        }
    }

    #[tokio::test]
    async fn who_comes_while_a_group_is_on_its_way_goes_with_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path());
        let (outbox, inbox) = async_channel::unbounded();
        writer.inbox = inbox;
        let (late, late_told, _) = job(&THIRD);
        assert!(outbox.try_send(late).is_ok());
        let told = group(&mut writer, &[&ADOPTED, &SECOND]).await;
        assert_eq!(told, [(None, 1), (None, 1)]);
        assert!(late_told.outcome(WAIT).await.is_ok());
        assert_eq!((number(&writer, "SELECT SUM(id) FROM parent"), writer.log.seen()), (6, 1));
        assert!(writer.log.is_kept(1).await);
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_read_back_is_not_written_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path());
        assert_eq!(group(&mut writer, &[&ADOPTED]).await, [(None, 1)]);
        let frames = log_frames(&writer.conn, "NOOP").unwrap();
        assert!(frames > 0);
        writer.log.rewrite(frames.cast_unsigned()).unwrap();
        writer.log.rewrite(frames.cast_unsigned() + 1).unwrap_err();

        // A page of the last commit that the kernel has lost.
        let log = fs::OpenOptions::new().write(true).open(dir.path().join("meta.db-wal")).unwrap();
        let last = 32 + (4096 + 24) * (frames.cast_unsigned() - 1) + 24;
        std::os::unix::fs::FileExt::write_all_at(&log, &[0x5a; 4096], last).unwrap();
        writer.in_doubt = true;
        for _ in 0..2 {
            let told = group(&mut writer, &[&SECOND]).await;
            assert_eq!(told, [(Some(Code::TemporarilyUnavailable), 0)]);
        }
    }
}
