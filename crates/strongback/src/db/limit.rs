//! How long the statements of one reader, or of one write, may go on.
//!
//! What must stay true: work on the store ends. A read ends when nobody waits for it any more, and in any case when its
//! time is over; a write, when its time is over. So a defect that would never end, or a question that is too large,
//! costs one caller an error, and neither the turn of a reader nor the writer, nor keeps it a process from stopping.
//!
//! It is looked at before every statement, now and then between the rows of an answer, by what computes with what was read
//! (a search), and by SQLite within a statement. PostgreSQL has a limit of its own for a statement. Once it is over it
//! stays so: SQLite rolls a transaction back whose change is interrupted, and what came after would be none of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::error::{Error, Result};

/// How long a read may take: as long as an ordinary request.
const READ: Duration = Duration::from_mins(1);
/// How long a write may take once it was begun: less than its caller waits, who can then be told that it is undone.
const WRITE: Duration = Duration::from_secs(40);

/// The limit of one reader or one write. All clones are the same one.
#[derive(Debug, Clone)]
pub struct Limit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    time: Duration,
    given_up: AtomicBool,
}

/// Whoever waits for a read. Without one, it ends.
pub(super) struct Waiting(Limit);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.given_up.store(true, Ordering::Relaxed);
    }
}

impl Limit {
    pub(super) fn read() -> Self {
        Self::of(READ)
    }

    pub(super) fn write() -> Self {
        Self::of(WRITE)
    }

    /// For somebody at a command line, who can stop it.
    pub(super) fn none() -> Self {
        Self::of(Duration::MAX)
    }

    pub(super) fn of(time: Duration) -> Self {
        Self(Arc::new(Inner { began: Instant::now(), time, given_up: AtomicBool::new(false) }))
    }

    /// The end of who waits.
    pub(super) fn waiting(&self) -> Waiting {
        Waiting(self.clone())
    }

    /// An error that says what the limit was, if it is over.
    pub fn check(&self) -> Result<()> {
        if !self.0.is_over() {
            return Ok(());
        }
        Err(Error::unavailable(format!(
            "The metadata store worked on this for its limit of {} s and gave it up: nothing was changed. Ask for less \
             at once, or repeat the request later.",
            self.0.time.as_secs()
        )))
    }

    /// What SQLite asks now and then while it runs a statement. It holds nobody to a limit whose work has ended.
    pub(super) fn brake(&self) -> impl FnMut() -> bool + Send + 'static {
        let limit = Arc::downgrade(&self.0);
        move || limit.upgrade().is_some_and(|limit| limit.is_over())
    }
}

impl Inner {
    fn is_over(&self) -> bool {
        self.given_up.load(Ordering::Relaxed) || self.began.elapsed() >= self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_over_when_its_time_is_or_nobody_waits() {
        let limit = Limit::of(Duration::from_hours(1));
        let (mut brake, waiting) = (limit.brake(), limit.waiting());
        assert!(limit.check().is_ok() && !brake());
        drop(waiting);
        assert!(limit.check().is_err() && brake());
        drop(limit);
        assert!(!brake(), "it was the brake of what has ended");

        let limit = Limit::of(Duration::ZERO);
        assert!(limit.check().unwrap_err().message().contains("limit of 0 s"));
    }
}
