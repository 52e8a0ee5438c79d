//! Turns at the reader connections: how many read at once, how many wait, and for how long.
//!
//! What must stay true: a read occupies a thread only while it has a connection, so that slow reads do not fill the
//! pool of threads that files need too; nobody waits longer than [`WAIT`], and nobody joins a queue of [`WAITING_MAX`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// Reads that may wait before a new one is refused.
const WAITING_MAX: usize = 1024;
/// How long a read waits for its turn.
const WAIT: Duration = Duration::from_secs(10);

/// The turns of one store.
pub(super) struct Turns {
    free: Arc<Semaphore>,
    begun: AtomicU64,
    waiting: AtomicUsize,
    waiting_max: usize,
    wait: Duration,
}

impl Turns {
    /// As many at once as there are connections.
    pub(super) fn new(connections: usize) -> Self {
        let free = Arc::new(Semaphore::new(connections));
        Self {
            free,
            begun: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            waiting_max: WAITING_MAX,
            wait: WAIT,
        }
    }

    /// Turns that were asked for since the store was opened.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Reads that wait at this moment.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits for a turn, which lasts until the permit is dropped.
    pub(super) async fn take(&self) -> Result<OwnedSemaphorePermit> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(permit);
        }
        let queue = Queue::join(&self.waiting);
        if queue.before >= self.waiting_max {
            return Err(Error::unavailable(format!(
                "{} reads wait for the metadata store already. Repeat the request later.",
                self.waiting_max
            )));
        }
        match tokio::time::timeout(self.wait, Arc::clone(&self.free).acquire_owned()).await {
            Ok(permit) => permit.map_err(Error::internal),
            Err(_) => Err(Error::unavailable(format!(
                "The metadata store was busy with other reads for {} s. Repeat the request later.",
                self.wait.as_secs()
            ))),
        }
    }
}

/// A place in the queue, left when it is dropped: also by a caller that goes away.
struct Queue<'t> {
    waiting: &'t AtomicUsize,
    before: usize,
}

impl<'t> Queue<'t> {
    fn join(waiting: &'t AtomicUsize) -> Self {
        Self { before: waiting.fetch_add(1, Ordering::Relaxed), waiting }
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_has_a_length_and_a_wait_has_an_end() {
        let turns = Turns { waiting_max: 1, wait: Duration::from_secs(1), ..Turns::new(1) };
        let first = turns.take().await.unwrap();
        let ((second, waited), refused) = tokio::join!(
            async {
                let began = std::time::Instant::now();
                (turns.take().await, began.elapsed())
            },
            async {
                tokio::task::yield_now().await;
                turns.take().await
            }
        );
        let refused = refused.unwrap_err();
        assert!(refused.message().starts_with("1 reads wait"), "{refused}");
        let late = second.unwrap_err();
        assert!(late.message().contains("for 1 s") && waited >= turns.wait, "{late}");
        assert_eq!(turns.waiting(), 0);
        drop(first);
        assert!(turns.take().await.is_ok());
    }
}
