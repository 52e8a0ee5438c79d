//! What a job of the server's own uses while it runs.
//!
//! Processor time is that of the job's own future, poll by poll, and of what it runs beside the workers
//! ([`JobCtx::blocking`](super::JobCtx::blocking)), read from the kernel's account of the thread
//! (`/proc/thread-self/schedstat`, proc(5)), which is exact to the kernel's tick of a few milliseconds. What other threads do
//! for it, a query engine's for example, they have to charge.

use std::{
    future::Future,
    io::Read,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;

use super::job::Cost;

/// What one attempt has used so far.
#[derive(Debug)]
pub(super) struct Spent {
    began: Instant,
    processor_ns: AtomicI64,
    read: AtomicI64,
    written: AtomicI64,
}

impl Spent {
    pub fn new() -> Self {
        let [processor_ns, read, written] = [(); 3].map(|()| AtomicI64::new(0));
        Self { began: Instant::now(), processor_ns, read, written }
    }

    pub fn processor(&self, time: Duration) {
        self.processor_ns.fetch_add(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX), Relaxed);
    }

    pub fn read(&self, bytes: u64) {
        self.read.fetch_add(i64::try_from(bytes).unwrap_or(i64::MAX), Relaxed);
    }

    pub fn written(&self, bytes: u64) {
        self.written.fetch_add(i64::try_from(bytes).unwrap_or(i64::MAX), Relaxed);
    }

    pub fn cost(&self) -> Cost {
        Cost {
            processor_ms: self.processor_ns.load(Relaxed) / 1_000_000,
            wall_ms: i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX),
            bytes_read: self.read.load(Relaxed),
            bytes_written: self.written.load(Relaxed),
        }
    }

    /// Runs something on this thread and charges what it took.
    pub fn measured<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = thread_time();
        let value = work();
        self.processor(thread_time().saturating_sub(before));
        value
    }
}

/// A future whose polls are charged.
pub(super) struct Metered<T> {
    work: BoxFuture<'static, T>,
    spent: Arc<Spent>,
}

impl<T> Metered<T> {
    pub fn new(work: BoxFuture<'static, T>, spent: Arc<Spent>) -> Self {
        Self { work, spent }
    }
}

impl<T> Future for Metered<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let spent = Arc::clone(&self.spent);
        spent.measured(|| self.work.as_mut().poll(context))
    }
}

/// Processor time of this thread since it began; nothing where the kernel keeps no account.
fn thread_time() -> Duration {
    let mut bytes = [0; 64];
    let read = std::fs::File::open("/proc/thread-self/schedstat").and_then(|mut file| file.read(&mut bytes));
    let text = std::str::from_utf8(&bytes[..read.unwrap_or(0)]).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_charged_and_waiting_is_not() {
        let spent = Spent::new();
        let until = Instant::now() + Duration::from_millis(40);
        spent.measured(|| std::thread::sleep(Duration::from_millis(40)));
        assert!(Instant::now() >= until && spent.cost().processor_ms < 20, "{:?}", spent.cost());
        // Until the kernel has counted it: on a loaded machine that takes longer than by the clock.
        let mut turns = 0_u64;
        while spent.cost().processor_ms < 100 && spent.began.elapsed() < Duration::from_mins(1) {
            spent.measured(|| {
                for _ in 0..2_000_000 {
                    turns = std::hint::black_box(turns + 1);
                }
            });
        }
        assert!(turns > 0 && spent.cost().processor_ms >= 100, "{:?}", spent.cost());
    }

    #[tokio::test]
    async fn the_polls_of_a_future_are_charged() {
        let spent = Arc::new(Spent::new());
        let work = async {
            let began = Instant::now();
            let before = thread_time();
            while thread_time().saturating_sub(before) < Duration::from_millis(60)
                && began.elapsed().as_secs() < 60
            {
                std::hint::black_box(0);
            }
            7
        };
        let value = Metered::new(Box::pin(work), Arc::clone(&spent)).await;
        assert_eq!(value, 7);
        assert!(spent.cost().processor_ms >= 40, "{:?}", spent.cost());
    }
}
