//! A job as it is stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::store;
use crate::{
    bind,
    catalog::Action,
    db::{Row, Sql},
    error::{Code, Error, Result},
};

/// The id of a job that leaves the server.
pub type JobId = uuid::Uuid;

macro_rules! states {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)+) => {
        /// How far a job is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum State { $($(#[$doc])* $variant,)+ }

        impl State {
            /// As it is stored and sent.
            pub fn name(self) -> &'static str {
                match self { $(State::$variant => $name,)+ }
            }

            /// From how it is stored and sent.
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(State::$variant),)+ _ => None }
            }
        }
    };
}

states! {
    /// It waits, perhaps for its time to come.
    Queued = "queued";
    /// Somebody has it.
    Running = "running";
    /// It did what it was to do.
    Succeeded = "succeeded";
    /// It did not, and is not tried again.
    Failed = "failed";
    /// Somebody ended it.
    Cancelled = "cancelled";
}

impl State {
    /// Whether nothing becomes of it any more.
    pub fn is_ended(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// What a job may use, all its attempts together; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Processor time, milliseconds.
    pub processor_ms: Option<i64>,
    /// Time from being begun to its end, milliseconds.
    pub wall_ms: Option<i64>,
    /// Bytes read.
    pub bytes_read: Option<i64>,
}

impl Budget {
    /// What is within both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let least = |own: Option<i64>, other: Option<i64>| own.into_iter().chain(other).min();
        Self {
            processor_ms: least(self.processor_ms, other.processor_ms),
            wall_ms: least(self.wall_ms, other.wall_ms),
            bytes_read: least(self.bytes_read, other.bytes_read),
        }
    }

    /// What of it is used up, as a sentence.
    pub fn exceeded_by(&self, cost: &Cost) -> Option<String> {
        let limits = [
            ("ms of processor time", self.processor_ms, cost.processor_ms),
            ("ms", self.wall_ms, cost.wall_ms),
            ("bytes read", self.bytes_read, cost.bytes_read),
        ];
        limits.into_iter().find_map(|(what, limit, used)| {
            let limit = limit.filter(|limit| used > *limit)?;
            Some(format!("It used {used} {what}; its budget is {limit}. Give it more, or let it do less."))
        })
    }
}

/// What a job has cost so far, all its attempts together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Processor time, milliseconds.
    pub processor_ms: i64,
    /// Time while it ran, milliseconds.
    pub wall_ms: i64,
    /// Bytes read.
    pub bytes_read: i64,
    /// Bytes written.
    pub bytes_written: i64,
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            processor_ms: self.processor_ms.saturating_add(other.processor_ms),
            wall_ms: self.wall_ms.saturating_add(other.wall_ms),
            bytes_read: self.bytes_read.saturating_add(other.bytes_read),
            bytes_written: self.bytes_written.saturating_add(other.bytes_written),
        }
    }
}

/// How far a running job is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Steps that are done.
    pub done: i64,
    /// Of how many; 0 where nobody knows.
    pub of: i64,
    /// What it is at.
    pub message: String,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The name of an error of the interface, or one of the constants here.
    pub code: String,
    /// What was wrong and what to do.
    pub message: String,
}

impl Failure {
    /// It used more than its budget.
    pub const BUDGET_EXCEEDED: &'static str = "BUDGET_EXCEEDED";
    /// Who had it was not heard of any more.
    pub const LEASE_LOST: &'static str = "LEASE_LOST";
    /// Its command ended with another exit code than 0, or by a signal.
    pub const COMMAND_FAILED: &'static str = "COMMAND_FAILED";
    /// Its command could not be started, or the runner does not run it.
    pub const COMMAND_NOT_STARTED: &'static str = "COMMAND_NOT_STARTED";
    /// Longest message, in bytes.
    const MESSAGE_BYTES_MAX: usize = 4 << 10;

    /// With a message that is cut to what is kept.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        let mut message = message.into().replace('\0', "");
        if message.len() > Self::MESSAGE_BYTES_MAX {
            message.truncate(message.floor_char_boundary(Self::MESSAGE_BYTES_MAX));
            message.push('…');
        }
        Self { code: code.into(), message }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self::new(error.code().name(), error.message())
    }
}

/// Whether what failed so may work when it is tried again later.
pub(super) fn is_passing(error: &Error) -> bool {
    use Code::{DeadlineExceeded, RequestLimitExceeded, ResourceConflict, TemporarilyUnavailable};
    matches!(
        error.code(),
        TemporarilyUnavailable | DeadlineExceeded | RequestLimitExceeded | ResourceConflict
    )
}

/// A job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Internal id.
    pub(super) row: i64,
    /// The id that leaves the server.
    pub id: JobId,
    /// What kind of work.
    pub kind: String,
    /// Under which it is the only one of its kind.
    pub idempotency_key: String,
    /// Version of the payload's form, which the kind defines.
    pub payload_version: i64,
    /// What to do.
    pub payload: Json,
    /// Which runners may have it; empty for kinds of the server's own.
    pub label: String,
    /// How far it is.
    pub state: State,
    /// `principal.id` of who queued it.
    pub queued_by_id: i64,
    /// `principal.id` of whose rights count.
    pub run_as_id: i64,
    /// The asset that it is about.
    pub asset_id: Option<i64>,
    /// The right to that asset without which it is not begun.
    pub action: Option<Action>,
    /// What it may use.
    pub budget: Budget,
    /// Not begun before, milliseconds since the epoch.
    pub not_before: i64,
    /// How often it was begun.
    pub attempts: i64,
    /// How often it may be.
    pub attempts_max: i64,
    /// Token of the newest lease; grows with each.
    pub fencing: i64,
    /// Who has it.
    pub holder: Option<String>,
    /// Until when, milliseconds since the epoch.
    pub lease_until: Option<i64>,
    /// Id of the credential that was made for this lease.
    pub(super) token_id: Option<String>,
    /// `principal.id` of who wants it to end.
    pub cancelled_by_id: Option<i64>,
    /// How far it is.
    pub progress: Progress,
    /// What it answered, if it succeeded.
    pub result: Option<Json>,
    /// Why it failed, or failed last while it is tried again.
    pub failure: Option<Failure>,
    /// What it cost.
    pub cost: Cost,
    /// What it had cost when the present attempt began; time and processor time alone.
    pub(super) before: Cost,
    /// When it was queued, milliseconds since the epoch.
    pub queued_at: i64,
    /// When it was begun last.
    pub started_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// Counts the changes of its state: orders its events.
    pub revision: i64,
}

/// A row of the statements that list a job's columns.
pub(super) fn read(row: &Row<'_>) -> Result<Job> {
    let broken = |what: &str| Error::internal(format!("a job has an unreadable {what}"));
    let json = |text: String| serde_json::from_str::<Json>(&text).map_err(Error::internal);
    let code: Option<String> = row.get(29)?;
    let message: Option<String> = row.get(30)?;
    Ok(Job {
        row: row.get(0)?,
        id: row.get::<String>(1)?.parse().map_err(Error::internal)?,
        kind: row.get(2)?,
        idempotency_key: row.get(3)?,
        payload_version: row.get(4)?,
        payload: json(row.get(5)?)?,
        label: row.get(6)?,
        state: State::parse(&row.get::<String>(7)?).ok_or_else(|| broken("state"))?,
        queued_by_id: row.get(8)?,
        run_as_id: row.get(9)?,
        asset_id: row.get(10)?,
        action: match row.get::<Option<String>>(11)? {
            Some(name) => Some(Action::parse(&name).ok_or_else(|| broken("action"))?),
            None => None,
        },
        budget: Budget { processor_ms: row.get(12)?, wall_ms: row.get(13)?, bytes_read: row.get(14)? },
        not_before: row.get(15)?,
        attempts: row.get(16)?,
        attempts_max: row.get(17)?,
        fencing: row.get(18)?,
        holder: row.get(19)?,
        lease_until: row.get(20)?,
        token_id: row.get(21)?,
        cancelled_by_id: row.get(22)?,
        progress: Progress { done: row.get(23)?, of: row.get(24)?, message: row.get(25)? },
        queued_at: row.get(26)?,
        started_at: row.get(27)?,
        result: row.get::<Option<String>>(28)?.map(json).transpose()?,
        failure: code.map(|code| Failure { code, message: message.unwrap_or_default() }),
        cost: Cost {
            processor_ms: row.get(31)?,
            wall_ms: row.get(32)?,
            bytes_read: row.get(33)?,
            bytes_written: row.get(34)?,
        },
        ended_at: row.get(35)?,
        revision: row.get(36)?,
        before: Cost { processor_ms: row.get(37)?, wall_ms: row.get(38)?, ..Cost::default() },
    })
}

/// The job of an id, kept from others until the transaction ends.
pub(super) fn lock(tx: &mut Sql<'_>, id: JobId) -> Result<Job> {
    tx.first(&store::JOB_LOCK, bind![&id.to_string()], read)?.ok_or_else(|| missing(&id.to_string()))
}

/// The error for a job that is not there.
pub(super) fn missing(id: &str) -> Error {
    Error::missing(format!(
        "There is no job '{id}'. `strongback job list` shows those that there are; ended ones are forgotten after some days."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_names_what_was_used_up() {
        let budget = Budget { processor_ms: Some(10), wall_ms: None, bytes_read: Some(100) };
        let cost = |processor_ms, bytes_read| Cost { processor_ms, bytes_read, ..Cost::default() };
        assert_eq!(budget.exceeded_by(&cost(10, 100)), None);
        let said = budget.exceeded_by(&cost(11, 100)).unwrap();
        assert!(said.contains("used 11 ms of processor time; its budget is 10"), "{said}");
        let said = budget.exceeded_by(&cost(0, 101)).unwrap();
        assert!(said.contains("101 bytes read; its budget is 100"), "{said}");
        assert_eq!(Budget::default().exceeded_by(&cost(i64::MAX, i64::MAX)), None);
    }

    #[test]
    fn a_message_is_cut_at_a_letter() {
        let failure = Failure::new("X", "ü".repeat(5_000));
        assert!(failure.message.len() < 5_000 && failure.message.ends_with("ü…"));
    }
}
