//! What becomes of a job: it ends, or goes back to wait for another attempt.

use serde_json::{Value as Json, json};

use super::{
    job::{Cost, Failure, Job, State},
    log, store,
};
use crate::{
    bind,
    catalog::tokens,
    db::Sql,
    error::{Error, Result},
    events::{Event, EventKind},
};

/// Bytes of a result, as JSON.
const RESULT_BYTES_MAX: usize = 64 << 10;
/// How long the second attempt waits after the first; each further one waits twice as long. Milliseconds.
const BACKOFF_MS: i64 = 500;
/// The longest wait between two attempts. Milliseconds.
const BACKOFF_MS_MAX: i64 = 5 * 60_000;

/// How a job ends.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    /// With what it answers.
    Succeeded(Json),
    /// With why, and whether another attempt may do better.
    Failed {
        failure: Failure,
        is_passing: bool,
    },
    Cancelled,
}

impl Ending {
    /// Why it failed for good.
    pub fn failed(failure: Failure) -> Self {
        Self::Failed { failure, is_passing: false }
    }
}

/// An event about a job.
pub(super) fn event(kind: EventKind, job: &Job, revision: i64) -> Event {
    let event = Event::new(kind).subject_at(job.id.to_string(), revision);
    match job.asset_id {
        Some(asset) => event.asset(asset, 0),
        None => event,
    }
}

/// Settles an attempt of a locked job that cost this much with those before it. What may do better later goes back to wait,
/// while there are attempts left and nobody wants it to end.
pub(super) fn settle(tx: &mut Sql<'_>, job: &Job, ending: Ending, cost: Cost) -> Result<Event> {
    let ending = match ending {
        Ending::Failed { .. } if job.cancelled_by_id.is_some() => Ending::Cancelled,
        ending => ending,
    };
    let ending = match ending {
        Ending::Failed { failure, is_passing } => match job.budget.exceeded_by(&cost) {
            Some(why) => Ending::failed(Failure::new(Failure::BUDGET_EXCEEDED, why)),
            None => Ending::Failed { failure, is_passing },
        },
        ending => ending,
    };
    match ending {
        Ending::Failed { failure, is_passing: true } if job.attempts < job.attempts_max => {
            let not_before = tx.now() + backoff(job.attempts);
            put_back(tx, job, job.attempts, not_before, &failure, cost)
        }
        ending => end(tx, job, ending, cost),
    }
}

/// Ends a locked job.
pub(super) fn end(tx: &mut Sql<'_>, job: &Job, ending: Ending, cost: Cost) -> Result<Event> {
    revoke(tx, job)?;
    let (state, result, failure) = match ending {
        Ending::Succeeded(result) => match kept(&result) {
            Ok(text) => (State::Succeeded, Some(text), None),
            Err(error) => (State::Failed, None, Some(Failure::from(&error))),
        },
        Ending::Failed { failure, .. } => (State::Failed, None, Some(failure)),
        Ending::Cancelled => (State::Cancelled, None, None),
    };
    let now = tx.now();
    let values = bind![
        job.row,
        state.name(),
        result.as_deref(),
        failure.as_ref().map(|failure| failure.code.as_str()),
        failure.as_ref().map(|failure| failure.message.as_str()),
        cost.processor_ms,
        cost.wall_ms,
        cost.bytes_read,
        cost.bytes_written,
        now
    ];
    let revision = tx.one(&store::JOB_END, values, |row| row.get(0))?;
    tx.ring();
    let kind = if state == State::Cancelled { EventKind::JobCancel } else { EventKind::JobEnd };
    Ok(event(kind, job, revision).detail(json!({
        "kind": job.kind, "state": state.name(), "attempts": job.attempts, "cost": cost, "error": failure,
    })))
}

/// Puts a locked job back to wait until a moment, with so many attempts made and why. Where its present one does not count, the
/// next has its number, and a log of its own.
pub(super) fn put_back(
    tx: &mut Sql<'_>,
    job: &Job,
    attempts: i64,
    not_before: i64,
    why: &Failure,
    cost: Cost,
) -> Result<Event> {
    revoke(tx, job)?;
    if attempts < job.attempts {
        log::forget(tx, job)?;
    }
    let values = bind![
        job.row,
        not_before,
        attempts,
        &why.code,
        &why.message,
        cost.processor_ms,
        cost.wall_ms,
        cost.bytes_read,
        cost.bytes_written
    ];
    let revision = tx.one(&store::JOB_REQUEUE, values, |row| row.get(0))?;
    tx.ring();
    Ok(event(EventKind::JobRetry, job, revision).detail(json!({
        "kind": job.kind, "attempts": attempts, "not_before": not_before, "error": why,
    })))
}

/// The credential of a lease ends with it.
fn revoke(tx: &mut Sql<'_>, job: &Job) -> Result<()> {
    job.token_id.as_deref().map_or(Ok(()), |id| tokens::remove(tx, id))
}

/// A result as it is stored.
fn kept(result: &Json) -> Result<String> {
    let text = result.to_string();
    if text.len() > RESULT_BYTES_MAX {
        return Err(Error::invalid(format!(
            "The job answered {} bytes; the limit of a result is {RESULT_BYTES_MAX}. Store what is large and name it.",
            text.len()
        )));
    }
    Ok(text)
}

/// How long the next attempt waits after so many, in milliseconds.
fn backoff(attempts: i64) -> i64 {
    let doubled = u32::try_from(attempts.clamp(1, 32) - 1).unwrap_or(0);
    BACKOFF_MS.saturating_mul(1 << doubled.min(20)).min(BACKOFF_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_waits_twice_as_long_up_to_a_limit() {
        assert_eq!([1, 2, 3, 10, 11, 100].map(backoff), [500, 1_000, 2_000, 256_000, 300_000, 300_000]);
    }
}
