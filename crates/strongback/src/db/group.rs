//! A commit group: the writes of many callers in one transaction, with one event block.
//!
//! The group is optimistic. Jobs run one after another without savepoints. A job that fails before it wrote anything
//! leaves nothing to undo, which is how nearly all refusals end. If one fails after a write, or a statement breaks the
//! transaction, the group is rolled back and its jobs are replayed each in a transaction of its own, so that the
//! guilty one alone fails. One that met a limit, of its own time or of a lock's, is told so and not tried again: it would
//! hold the writer for as long once more. This keeps savepoints off the path that every write takes.
//!
//! A group is open until the one before it has come to its end ([`Engine::late`]): who comes meanwhile goes with it.
//!
//! What must stay true: a group is replayed only when it is certain that nothing of it stands. Where a commit's answer
//! was lost, the engine finds out what became of it; where it cannot, everybody is told that nobody knows.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    Bell, Change, GROUP_LIMIT, Origin, Sql,
    limit::Limit,
    sql::Conn,
    ticket::{Answer, Ticket},
};
use crate::{
    error::{Code, Error, Result},
    events::{
        Event,
        chain::{Block, Pending},
    },
};

/// How often a job is tried when somebody else changed the same thing (PostgreSQL with several writers).
const ATTEMPTS: usize = 5;

/// A queued write, without its type.
pub(super) trait Job: Send {
    fn origin(&self) -> &Origin;
    /// `false` if its caller gave up while it waited: then it is not made any more.
    fn begin(&self) -> bool;
    /// `false` if its caller gave up after that, and was told that it may have been made or not.
    fn is_awaited(&self) -> bool;
    /// Runs the closure; the event is returned for the group's block.
    fn run(&mut self, sql: &mut Sql<'_>) -> Result<Option<Event>>;
    /// Answers the caller: `Ok` with what [`Self::run`] computed last.
    fn settle(self: Box<Self>, outcome: Result<()>);
}

pub(super) struct Typed<T, F> {
    origin: Origin,
    derived: bool,
    bell: Bell,
    write: F,
    value: Option<T>,
    /// Whether what ran last asked for the bell.
    rings: bool,
    answer: Answer<T>,
}

impl<T, F> Typed<T, F> {
    pub(super) fn new(origin: Origin, derived: bool, bell: Bell, write: F) -> (Self, Ticket<T>) {
        let (answer, ticket) = super::ticket::pair();
        (Self { origin, derived, bell, write, value: None, rings: false, answer }, ticket)
    }
}

impl<T: Send, F: FnMut(&mut Sql<'_>) -> Result<Change<T>> + Send> Job for Typed<T, F> {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn begin(&self) -> bool {
        self.answer.begin()
    }

    fn is_awaited(&self) -> bool {
        self.answer.is_awaited()
    }

    fn run(&mut self, sql: &mut Sql<'_>) -> Result<Option<Event>> {
        let write = AssertUnwindSafe(|| (self.write)(sql));
        let change = catch_unwind(write).unwrap_or_else(|_| Err(Error::internal("a write panicked")))?;
        let (value, event) = match change {
            Change::Made(value, event) => (value, Some(event)),
            Change::Nothing(value) => (value, None),
        };
        if !self.derived {
            if event.is_none() && sql.wrote() {
                return Err(Error::internal("a write changed something without an event"));
            }
            if event.is_some() && !sql.is_authorized() {
                return Err(Error::internal("a write was about to commit without an authorisation"));
            }
        }
        self.value = Some(value);
        self.rings = sql.rings();
        Ok(event)
    }

    fn settle(self: Box<Self>, outcome: Result<()>) {
        let Self { value, answer, bell, rings, .. } = *self;
        if rings && outcome.is_ok() {
            bell.ring();
        }
        let outcome = outcome.and_then(|()| {
            value.ok_or_else(|| Error::internal("a write was acknowledged without an answer"))
        });
        answer.send(outcome);
    }
}

/// What became of a transaction.
pub(super) enum Commit {
    /// It stands.
    Stands,
    /// Nothing of it stands.
    Undone(Error),
    /// Nobody can tell.
    Unknown(Error),
}

/// A connection that can hold a group's transaction.
pub(super) trait Engine {
    fn conn(&mut self) -> Conn<'_>;
    fn begin(&mut self) -> Result<()>;
    /// The next job that came while something has to end before this group's commit; `None` once that has ended and nobody
    /// waits, or there is no room.
    fn late(&mut self, _has_room: bool) -> Result<Option<Box<dyn Job>>> {
        Ok(None)
    }
    /// Waits until nothing is uncertain any more of the groups before; an error where it stays so.
    fn certain(&mut self) -> Result<()> {
        Ok(())
    }
    /// Commits. Where it wrote a block it is given that, and the number of the transaction where the database counts.
    fn commit(&mut self, written: Option<&(Block, i64)>) -> Commit;
    /// Answers everybody of a group whose commit stands, once it is durable.
    fn acknowledge(&mut self, group: Finished) {
        group.settle();
    }
    fn rollback(&mut self);
    /// Whether the connection is gone: what failed with it stands nowhere and is tried on the next one.
    fn is_lost(&self) -> bool;
    /// The block could not be inserted: the slot may have another writer, so its head is read again before the next
    /// group.
    fn fenced(&mut self);
    /// By which the store's events are dated.
    fn mark(&self) -> &crate::events::mark::Mark;
    /// The chain of this writer's slot.
    fn chain(&mut self) -> &mut crate::events::chain::Chain;
}

/// The jobs of a group that was committed, each with its own outcome. Whoever has it owes them an answer.
pub(super) struct Finished {
    jobs: Vec<Box<dyn Job>>,
    outcomes: Vec<Result<()>>,
}

impl Finished {
    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Answers everybody.
    pub(super) fn settle(self) {
        for (job, outcome) in self.jobs.into_iter().zip(self.outcomes) {
            job.settle(outcome);
        }
    }

    /// Tells everybody the same: also who was refused may have been for what another one of the group wrote.
    pub(super) fn fail(self, error: &Error) {
        settle_all(self.jobs, error);
    }
}

/// Runs a group to its end and answers everybody in it.
pub(super) fn run(engine: &mut impl Engine, jobs: Vec<Box<dyn Job>>) {
    let mut jobs: Vec<_> = jobs.into_iter().filter(|job| job.begin()).collect();
    if jobs.is_empty() {
        return;
    }
    let attempted = attempt(engine, &mut jobs, GROUP_LIMIT);
    metrics::histogram!("strongback_commit_group_size").record(jobs.len() as f64);
    match attempted {
        Attempt::Committed(outcomes) => engine.acknowledge(Finished { jobs, outcomes }),
        Attempt::NotBegun(error) | Attempt::Unknown(error) => settle_all(jobs, &error),
        Attempt::Failed(Failure { error, .. })
            if jobs.len() == 1 && !is_conflict(&error) && !engine.is_lost() =>
        {
            settle_all(jobs, &error);
        }
        Attempt::Failed(Failure { error, by }) => {
            // Nothing of it stands, and what it met the others may not meet.
            if let Some(at) = by.filter(|_| is_at_limit(&error) && !engine.is_lost()) {
                jobs.remove(at).settle(Err(error));
            }
            replay(engine, jobs);
        }
    }
}

fn settle_all(jobs: Vec<Box<dyn Job>>, error: &Error) {
    for job in jobs {
        job.settle(Err(error.clone()));
    }
}

/// Each job that is still waited for, in a transaction of its own. When none can be begun any more, the rest fails at
/// once: each of them would only wait as long.
fn replay(engine: &mut impl Engine, jobs: Vec<Box<dyn Job>>) {
    let mut jobs = jobs.into_iter();
    while let Some(job) = jobs.next() {
        if !job.is_awaited() {
            continue;
        }
        if let Some(away) = run_alone(engine, job) {
            return settle_all(jobs.collect(), &away);
        }
    }
}

/// Answers why no transaction can be begun, if that is so.
fn run_alone(engine: &mut impl Engine, job: Box<dyn Job>) -> Option<Error> {
    let mut jobs = vec![job];
    let mut outcome = Err(Error::internal("a write was never tried"));
    let mut away = None;
    for _ in 0..ATTEMPTS {
        outcome = match attempt(engine, &mut jobs, 1) {
            Attempt::Committed(outcomes) => {
                engine.acknowledge(Finished { jobs, outcomes });
                return None;
            }
            Attempt::Failed(Failure { error, .. }) if is_conflict(&error) || engine.is_lost() => {
                outcome = Err(error);
                continue;
            }
            Attempt::Failed(Failure { error, .. }) | Attempt::Unknown(error) => Err(error),
            Attempt::NotBegun(error) => {
                away = Some(error.clone());
                Err(error)
            }
        };
        break;
    }
    for job in jobs {
        job.settle(outcome.clone());
    }
    away
}

/// A conflict that came from the database, not one that a slice found itself.
fn is_conflict(error: &Error) -> bool {
    error.code() == Code::ResourceConflict && error.cause_chain().is_some()
}

/// A limit of time, or a store that cannot go on: trying it again at once would only wait as long.
fn is_at_limit(error: &Error) -> bool {
    error.code() == Code::TemporarilyUnavailable
}

/// Why nothing of a group stands.
struct Failure {
    error: Error,
    /// The job that failed, where it was one.
    by: Option<usize>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, by: None }
    }
}

enum Attempt {
    /// The transaction stands; each job has its own outcome.
    Committed(Vec<Result<()>>),
    /// No transaction was begun, so trying the jobs one by one would only wait as often.
    NotBegun(Error),
    /// Nothing of it stands.
    Failed(Failure),
    /// All of it may stand, or nothing.
    Unknown(Error),
}

/// Tries the jobs, and where there are fewer than `room`, those that come until the group before has ended.
fn attempt(engine: &mut impl Engine, jobs: &mut Vec<Box<dyn Job>>, room: usize) -> Attempt {
    if let Err(error) = engine.begin() {
        return Attempt::NotBegun(error);
    }
    let ran = run_jobs(engine, jobs, room).and_then(|(outcomes, pending)| {
        let Some(block) = engine.chain().seal(pending)? else { return Ok((outcomes, None)) };
        let mut sql = Sql::new(engine.conn(), crate::auth::Caller::system(), true, block.last_at);
        match block.insert(&mut sql) {
            Ok(transaction) => Ok((outcomes, Some((block, transaction)))),
            Err(error) => {
                engine.fenced();
                Err(error.into())
            }
        }
    });
    let (outcomes, block) = match ran {
        Ok(ran) => ran,
        Err(failure) => {
            engine.rollback();
            // It may have failed for what a group before it wrote.
            return Attempt::Failed(engine.certain().map_or_else(Failure::from, |()| failure));
        }
    };
    match engine.commit(block.as_ref()) {
        Commit::Stands => {
            if let Some((block, _)) = block {
                engine.chain().advance(&block);
            }
            Attempt::Committed(outcomes)
        }
        Commit::Undone(error) => {
            engine.rollback();
            Attempt::Failed(error.into())
        }
        Commit::Unknown(error) => Attempt::Unknown(error),
    }
}

type Ran = (Vec<Result<()>>, Vec<Pending>);

fn run_jobs(engine: &mut impl Engine, jobs: &mut Vec<Box<dyn Job>>, room: usize) -> Result<Ran, Failure> {
    let mut ran = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
    for (at, job) in jobs.iter_mut().enumerate() {
        run_job(engine, job, &mut ran).map_err(|error| Failure { by: Some(at), ..error })?;
    }
    while let Some(mut late) = engine.late(jobs.len() < room)? {
        if late.begin() {
            let outcome = run_job(engine, &mut late, &mut ran);
            jobs.push(late);
            outcome.map_err(|error| Failure { by: Some(jobs.len() - 1), ..error })?;
        }
    }
    Ok(ran)
}

/// Runs one. An error undoes the group: it wrote something before it failed, or broke the transaction.
fn run_job(
    engine: &mut impl Engine,
    job: &mut Box<dyn Job>,
    (outcomes, pending): &mut Ran,
) -> Result<(), Failure> {
    // What is written is dated by its transaction: the request may have begun hours before, with an upload.
    let origin = job.origin().clone();
    let origin = Origin { now: origin.now.max(crate::time::now_ms()), ..origin };
    let mut sql = Sql::on_behalf(engine.conn(), &origin, true, Limit::write())?;
    match job.run(&mut sql) {
        // PostgreSQL answers COMMIT of a broken transaction with a silent rollback.
        Ok(_) if sql.is_broken() => {
            return Err(Error::internal("a write went on after a failed statement").into());
        }
        Ok(event) => {
            let origin = Origin { now: engine.mark().date(origin.now), ..origin };
            pending.extend(event.map(|event| Pending::new(event, &origin)).transpose()?);
            outcomes.push(Ok(()));
        }
        Err(error) if sql.wrote() || sql.is_broken() => return Err(error.into()),
        Err(error) => outcomes.push(Err(error)),
    }
    Ok(())
}
