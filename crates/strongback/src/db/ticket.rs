//! The two ends of a queued write: who waits for it, and who makes it.
//!
//! What must stay true: a caller is told that nothing happened only when nothing happened and nothing will. So a write
//! is either given up while it waits, and then never begun, or begun, and then nobody can call it back: who stops
//! waiting is told that it may stand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use crate::error::{Error, Result};

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// The end of who makes the write.
pub(super) struct Answer<T> {
    progress: Arc<AtomicU8>,
    sender: oneshot::Sender<Result<T>>,
}

/// The end of who waits. Dropping it gives the write up, if it was not begun.
pub(super) struct Ticket<T> {
    progress: Arc<AtomicU8>,
    receiver: oneshot::Receiver<Result<T>>,
}

pub(super) fn pair<T>() -> (Answer<T>, Ticket<T>) {
    let (sender, receiver) = oneshot::channel();
    let progress = Arc::new(AtomicU8::new(WAITING));
    (Answer { progress: Arc::clone(&progress), sender }, Ticket { progress, receiver })
}

impl<T> Answer<T> {
    /// Begins the write; `false` if it was given up.
    pub(super) fn begin(&self) -> bool {
        self.progress.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether somebody still waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Whoever asked may be gone; the write stands all the same.
    pub(super) fn send(self, outcome: Result<T>) {
        let _ = self.sender.send(outcome);
    }
}

impl<T> Ticket<T> {
    /// Waits for the outcome, at most so long.
    pub(super) async fn outcome(mut self, limit: Duration) -> Result<T> {
        match tokio::time::timeout(limit, &mut self.receiver).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) if self.was_begun() => {
                Err(Error::outcome_unknown("The server stopped in the middle of this write."))
            }
            Ok(Err(_)) => Err(Error::unavailable(
                "The server stopped before this write was begun: nothing was changed. Repeat the request later.",
            )),
            Err(_) if self.give_up() => Err(Error::unavailable(format!(
                "The write waited {} s for its turn and was given up: nothing was changed. Repeat the request later.",
                limit.as_secs()
            ))),
            Err(_) => Err(Error::outcome_unknown(format!(
                "The write was begun and has not ended after {} s.",
                limit.as_secs()
            ))),
        }
    }

    fn was_begun(&self) -> bool {
        self.progress.load(Ordering::Acquire) == BEGUN
    }

    fn give_up(&self) -> bool {
        self.progress.compare_exchange(WAITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_write_that_waits_is_given_up_and_never_begun() {
        let (answer, ticket) = pair::<()>();
        let error = ticket.outcome(SOON).await.unwrap_err();
        assert_eq!(error.code(), Code::TemporarilyUnavailable);
        assert!(error.message().contains("nothing was changed"), "{error}");
        assert!(!answer.begin());
        let (answer, ticket) = pair::<()>();
        drop(ticket);
        assert!(!answer.begin(), "its caller went away");
    }

    #[tokio::test]
    async fn a_write_that_was_begun_is_not_called_undone() {
        let (answer, ticket) = pair::<()>();
        assert!(answer.begin());
        let error = ticket.outcome(SOON).await.unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(error.message().contains("may have been made"), "{error}");
        answer.send(Ok(()));

        let (answer, ticket) = pair::<()>();
        assert!(answer.begin());
        drop(answer);
        assert_eq!(ticket.outcome(SOON).await.unwrap_err().code(), Code::DeadlineExceeded);
        let (answer, ticket) = pair::<()>();
        drop(answer);
        assert_eq!(ticket.outcome(SOON).await.unwrap_err().code(), Code::TemporarilyUnavailable);
    }
}
