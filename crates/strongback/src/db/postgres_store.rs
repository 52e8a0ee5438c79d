//! PostgreSQL: a few writer threads, each with a slot of the event chain, and a few reader connections.
//!
//! What must stay true: a writer owns its slot. The slot's row names its holder and is renewed while the process
//! lives; should two processes believe in one slot all the same, the primary key of the next event block lets only one
//! of them commit. A lost connection is opened again before the next group. When the answer to a COMMIT is lost, the
//! database is asked what became of that transaction, so that nothing is made twice and nothing that stands is called
//! a failure.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use postgres::{Client, error::SqlState};

use super::{
    Dialect, GROUP_LIMIT, Origin, READERS, Sql, Stmt, connect,
    group::{self, Commit, Engine, Job},
    limit::Limit,
    migrate,
    sql::{Conn, Prepared, postgres_error},
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

/// Writer threads, each with a connection and a slot.
const WRITERS: usize = 4;
/// How long a writer waits before it connects again.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);
/// How long a writer tries to learn what became of a transaction before it says that nobody knows.
const FIND_OUT: Duration = Duration::from_secs(20);
/// Between two such questions.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What a session begins with. An acknowledged write is on disk whatever the role's default is. Nothing waits for ever:
/// what waits is refused before its caller stops waiting, also when the group that it came in is replayed after a lock
/// was waited for in vain; and a transaction of a process that was halted, or whose machine is gone, lets go of its
/// locks. Shorter limits that the database or the role has stand.
const SETTINGS: &str = "SELECT set_config(name, longest, false) \
     FROM (VALUES ('lock_timeout', '15s'), ('statement_timeout', '40s'), \
                  ('idle_in_transaction_session_timeout', '60s')) AS limits (name, longest) \
     WHERE current_setting(name)::interval NOT BETWEEN interval '1ms' AND longest::interval; \
     SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; \
     SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') IN ('off', 'local')";

struct Session {
    client: Client,
    prepared: Prepared,
}

impl Session {
    fn connect(url: &str) -> Result<Self> {
        let mut client = connect::postgres(url)?;
        client.batch_execute(SETTINGS).map_err(postgres_error)?;
        Ok(Self { client, prepared: Prepared::new() })
    }

    fn conn(&mut self) -> Conn<'_> {
        Conn::Postgres(&mut self.client, &mut self.prepared)
    }

    fn batch(&mut self, statement: &str) -> Result<()> {
        self.client.batch_execute(statement).map_err(postgres_error)
    }
}

pub(super) struct Readers {
    url: String,
    /// `None` is a place whose connection was lost.
    free: Mutex<Vec<Option<Session>>>,
}

pub(super) fn open(
    url: &str,
    holder: &str,
    renew_after: Duration,
    inbox: &async_channel::Receiver<Box<dyn Job>>,
    mark: &Arc<Mark>,
) -> Result<(Readers, Vec<thread::JoinHandle<()>>)> {
    let mut session = Session::connect(url)?;
    migrate::postgres(&mut session.client)?;
    mark.load(&mut Sql::new(session.conn(), Caller::system(), false, crate::time::now_ms()))?;
    let writers = (0..WRITERS)
        .map(|n| {
            let mut writer = Writer::claim(url, format!("{holder}/{n}"), renew_after, Arc::clone(mark))?;
            let inbox = inbox.clone();
            thread::Builder::new()
                .name(format!("strongback-writer-{n}"))
                .spawn(move || writer.serve(&inbox))
                .map_err(Error::internal)
        })
        .collect::<Result<Vec<_>>>()?;
    let free = (0..READERS).map(|_| None).collect();
    Ok((Readers { url: url.to_owned(), free: Mutex::new(free) }, writers))
}

/// Reads on a connection of its own.
pub(super) fn inspect<T>(url: &str, read: impl FnOnce(&mut Sql<'_>) -> Result<T>) -> Result<T> {
    let mut session = Session::connect(url)?;
    // A backup's snapshot is held open, idle, for as long as pg_dump takes.
    session.batch("SET idle_in_transaction_session_timeout = 0")?;
    let readers = Readers { url: url.to_owned(), free: Mutex::new(vec![Some(session)]) };
    readers.run(&Origin::system(), Limit::none(), read)
}

impl Readers {
    pub(super) fn run<T>(
        &self,
        origin: &Origin,
        limit: Limit,
        read: impl FnOnce(&mut Sql<'_>) -> Result<T>,
    ) -> Result<T> {
        self.with(|place| self.snapshot(place, origin, limit, read))
    }

    pub(super) fn prepare(&self, statement: &'static Stmt) -> Result<()> {
        self.with(|place| {
            let session = self.session(place)?;
            session.client.prepare(statement.text(Dialect::Postgres)).map(drop).map_err(postgres_error)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Option<Session>) -> Result<T>) -> Result<T> {
        let place =
            self.free.lock().pop().ok_or_else(|| Error::internal("a read came without having a turn"))?;
        let mut session = place.filter(|session| !session.client.is_closed());
        let outcome = work(&mut session);
        self.free.lock().push(session);
        outcome
    }

    fn session<'p>(&self, place: &'p mut Option<Session>) -> Result<&'p mut Session> {
        match place {
            Some(session) => Ok(session),
            None => Ok(place.insert(Session::connect(&self.url)?)),
        }
    }

    fn snapshot<T>(
        &self,
        place: &mut Option<Session>,
        origin: &Origin,
        limit: Limit,
        read: impl FnOnce(&mut Sql<'_>) -> Result<T>,
    ) -> Result<T> {
        const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        // A connection that was dropped is noticed by the first statement on it; nothing was read yet.
        if self.session(place)?.batch(BEGIN).is_err() {
            *place = None;
            self.session(place)?.batch(BEGIN)?;
        }
        let session = self.session(place)?;
        let mut sql = Sql::on_behalf(session.conn(), origin, false, limit)?;
        let outcome = catch_unwind(AssertUnwindSafe(|| read(&mut sql)))
            .unwrap_or_else(|_| Err(Error::internal("a read panicked")));
        if session.batch("ROLLBACK").is_err() {
            *place = None;
        }
        outcome
    }
}

impl Drop for Readers {
    /// The driver blocks when a connection is dropped, which asynchronous threads must not do.
    fn drop(&mut self) {
        let sessions = std::mem::take(self.free.get_mut());
        if thread::spawn(move || drop(sessions)).join().is_err() {
            tracing::warn!("connections to PostgreSQL were not closed in order");
        }
    }
}

struct Writer {
    url: String,
    holder: String,
    session: Session,
    chain: Chain,
    mark: Arc<Mark>,
    renewed: Instant,
    renew_after: Duration,
    lost: bool,
}

impl Writer {
    fn claim(url: &str, holder: String, renew_after: Duration, mark: Arc<Mark>) -> Result<Self> {
        let mut session = Session::connect(url)?;
        let chain = claim_slot(&mut session, &holder)?;
        let renewed = Instant::now();
        Ok(Self { url: url.to_owned(), holder, session, chain, mark, renewed, renew_after, lost: false })
    }

    fn serve(&mut self, inbox: &async_channel::Receiver<Box<dyn Job>>) {
        while let Ok(first) = inbox.recv_blocking() {
            let mut jobs = vec![first];
            // Leave work for the other writers: a share, not all that waits.
            let share = (inbox.len() / WRITERS + 1).min(GROUP_LIMIT);
            while jobs.len() < share {
                match inbox.try_recv() {
                    Ok(job) => jobs.push(job),
                    Err(_) => break,
                }
            }
            if catch_unwind(AssertUnwindSafe(|| group::run(self, jobs))).is_err() {
                tracing::error!("a commit group ended with a panic; its writes may stand or not");
                // With the connection goes whatever was open on it.
                self.lost = true;
            }
            if self.lost {
                thread::sleep(RECONNECT_AFTER);
            }
        }
        let now = crate::time::now_ms();
        let slot = self.chain.slot();
        let mut sql = Sql::new(self.session.conn(), Caller::system(), true, now);
        if let Err(error) = slots::release(&mut sql, slot, &self.holder) {
            tracing::warn!(?error, slot, "a writer slot was not given back; its lease will run out");
        }
    }

    fn start(&mut self) -> Result<()> {
        self.ready()?;
        self.session.batch("BEGIN ISOLATION LEVEL READ COMMITTED")
    }

    /// A live connection with a slot that is ours.
    fn ready(&mut self) -> Result<()> {
        if self.lost || self.session.client.is_closed() {
            self.session = Session::connect(&self.url)?;
            self.chain = claim_slot(&mut self.session, &self.holder)?;
            self.lost = false;
        } else if self.renewed.elapsed() > self.renew_after {
            let now = crate::time::now_ms();
            let slot = self.chain.slot();
            let mut sql = Sql::new(self.session.conn(), Caller::system(), true, now);
            if !slots::renew(&mut sql, slot, &self.holder)? {
                self.chain = claim_slot(&mut self.session, &self.holder)?;
            }
        } else {
            return Ok(());
        }
        self.renewed = Instant::now();
        Ok(())
    }
}

fn claim_slot(session: &mut Session, holder: &str) -> Result<Chain> {
    let now = crate::time::now_ms();
    session.batch("BEGIN")?;
    // Two that claim at once would count the same next slot. The number is arbitrary and belongs to this product.
    session.batch("SELECT pg_advisory_xact_lock(7305809156)")?;
    let mut sql = Sql::new(session.conn(), Caller::system(), true, now);
    let claimed = slots::claim(&mut sql, holder).and_then(|slot| Chain::load(&mut sql, slot));
    session.batch(if claimed.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    claimed
}

/// Asks the database whether the transaction that wrote a block stands; `None` if it cannot be learned in time. One that is
/// still going on is waited for: its server process may not have noticed yet that nobody listens.
///
/// Its number says whether it is going on, and no more. A server that crashed does not know the numbers that it gave away and
/// wrote nothing of; it gives them to others, and `txid_status` says of ours what became of theirs. The block is ours alone.
fn find_out(url: &str, block: &Block, transaction: i64) -> Option<bool> {
    let until = Instant::now() + FIND_OUT;
    let mut session = None;
    while Instant::now() < until {
        let place = match session.take() {
            Some(place) => Ok(place),
            None => Session::connect(url),
        };
        let asked = place.and_then(|mut place| {
            let goes_on = goes_on(&mut place, transaction)?;
            // Seen later, so that what has ended is seen whole.
            let now = crate::time::now_ms();
            let stands = block.is_stored(&mut Sql::new(place.conn(), Caller::system(), false, now))?;
            session = Some(place);
            Ok((goes_on, stands))
        });
        match asked {
            Ok((_, true)) => return Some(true),
            Ok((false, false)) => return Some(false),
            Ok((true, false)) => thread::sleep(ASK_AGAIN),
            Err(error) => {
                tracing::warn!(%error, transaction, "what became of the transaction is not known yet");
                thread::sleep(RECONNECT_AFTER);
            }
        }
    }
    None
}

/// Whether a transaction of this number is going on.
fn goes_on(session: &mut Session, transaction: i64) -> Result<bool> {
    match session.client.query_one("SELECT txid_status($1)", &[&transaction]) {
        Ok(row) => {
            let status = row.try_get::<_, Option<&str>>(0).map_err(Error::internal)?;
            Ok(status == Some("in progress"))
        }
        // It lies in the future of a server that does not know it any more.
        Err(error) if error.code() == Some(&SqlState::INVALID_PARAMETER_VALUE) => Ok(false),
        Err(error) => Err(postgres_error(error)),
    }
}

impl Engine for Writer {
    fn conn(&mut self) -> Conn<'_> {
        self.session.conn()
    }

    /// A dropped connection is noticed by the first statement on it, which renews the lease or begins the transaction;
    /// nothing ran yet, so a new one may try again.
    fn begin(&mut self) -> Result<()> {
        if !self.is_lost() && self.start().is_ok() {
            return Ok(());
        }
        self.lost = true;
        self.start()
    }

    fn commit(&mut self, written: Option<&(Block, i64)>) -> Commit {
        let Err(error) = self.session.batch("COMMIT") else { return Commit::Stands };
        // Whatever became of it: the chain's head is read again before going on.
        self.lost = true;
        tracing::warn!(
            ?error,
            transaction = written.map(|(_, transaction)| transaction),
            "the answer to a COMMIT did not come; finding out what became of it"
        );
        match written.and_then(|(block, transaction)| find_out(&self.url, block, *transaction)) {
            Some(true) => Commit::Stands,
            Some(false) => Commit::Undone(error),
            None => {
                let why = "The connection to the metadata store was lost at the moment of the commit.";
                Commit::Unknown(Error::outcome_unknown(why).because(error))
            }
        }
    }

    fn rollback(&mut self) {
        if self.session.batch("ROLLBACK").is_err() {
            self.lost = true;
        }
    }

    fn is_lost(&self) -> bool {
        self.lost || self.session.client.is_closed()
    }

    fn fenced(&mut self) {
        self.lost = true;
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }

    fn chain(&mut self) -> &mut Chain {
        &mut self.chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_a_crashed_server_gave_to_another_transaction_proves_nothing() {
        let Some(server) = testkit::postgres::server_url() else {
            println!("no PostgreSQL: set STRONGBACK_TEST_POSTGRES_URL, as `make test` does");
            return;
        };
        let database = testkit::postgres::fresh_database(&server).unwrap();
        let mut session = Session::connect(database.url()).unwrap();
        migrate::postgres(&mut session.client).unwrap();
        let mut ours = Block {
            slot: 1,
            n: 1,
            previous: [0; 32],
            hash: [7; 32],
            entries: 1,
            first_at: 1,
            last_at: 1,
            body: b"{}\n".to_vec(),
            details: b"[null]".to_vec(),
        };
        let theirs: i64 = session.client.query_one("SELECT txid_current()", &[]).unwrap().get(0);
        let not_given_yet = theirs + 1_000_000;
        for number in [theirs, not_given_yet] {
            assert_eq!(find_out(database.url(), &ours, number), Some(false), "{number}");
        }
        ours.insert(&mut Sql::new(session.conn(), Caller::system(), true, 1)).unwrap();
        for number in [theirs, not_given_yet] {
            assert_eq!(find_out(database.url(), &ours, number), Some(true), "{number}");
        }
        ours.hash = [8; 32];
        assert_eq!(find_out(database.url(), &ours, theirs), Some(false), "another block of that number");
    }
}
