//! Processor time of what is done for somebody, on whatever threads it is done.
//!
//! Work for somebody runs in [`Meter::measured`], or is a future that a meter follows. What is begun from there at the engine
//! ([`crate::engine`]), by the engine's own tasks and with [`spawn_blocking`] is charged to the same meter, each poll on the
//! thread that it runs on. Times are those of the kernel's account of a thread (`/proc/thread-self/schedstat`, proc(5)), which is
//! brought up to date at every tick of some milliseconds: of one poll it may be off by as much, of many it is not.
//!
//! What must stay true: no time is charged twice; work for nobody costs nothing of this.

use std::{
    any::Any,
    cell::RefCell,
    fs::File,
    future::Future,
    os::unix::fs::FileExt as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use datafusion::common::runtime::{JoinSetTracer, set_join_set_tracer};
use futures::future::BoxFuture;
use tokio::task::JoinHandle;

/// What was used for somebody so far. Its clones are the same meter.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<AtomicU64>);

thread_local! {
    /// For whom this thread works at the moment, and what its account said when that was charged last.
    static CURRENT: RefCell<Option<(Meter, Duration)>> = const { RefCell::new(None) };
    /// The kernel's account of this thread.
    static ACCOUNT: Option<File> = File::open("/proc/thread-self/schedstat").ok();
}

impl Meter {
    /// Processor time so far.
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }

    /// Charges time that something else measured, such as that of another process.
    pub fn charge(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The meter of whom this thread works for at the moment.
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(|current| current.as_ref().map(|(meter, _)| meter.clone()))
    }

    /// Charges what this thread has used up to now for whom it works for, who is to know it before the work is over.
    pub fn settle() {
        CURRENT.with_borrow_mut(|current| {
            if let Some((meter, charged)) = current {
                let now = thread_time();
                meter.charge(now.saturating_sub(*charged));
                *charged = now;
            }
        });
    }

    /// Runs something on this thread and charges what it took. Within work that is measured already nothing is charged again.
    pub fn measured<T>(&self, work: impl FnOnce() -> T) -> T {
        if CURRENT.with_borrow(Option::is_some) {
            return work();
        }
        let _turn = Turn::begin(self.clone());
        work()
    }

    /// A future whose polls are charged.
    pub fn follow<F: Future>(self, work: F) -> Followed<F> {
        Followed { work: Box::pin(work), meter: self }
    }
}

/// The time that this thread works for somebody; it ends also where the work panics.
struct Turn;

impl Turn {
    fn begin(meter: Meter) -> Self {
        CURRENT.set(Some((meter, thread_time())));
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        Meter::settle();
        CURRENT.set(None);
    }
}

/// A future whose polls are charged.
pub struct Followed<F> {
    work: Pin<Box<F>>,
    meter: Meter,
}

impl<F: Future> Future for Followed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { work, meter } = self.get_mut();
        meter.measured(|| work.as_mut().poll(context))
    }
}

/// Begins a task that works for whom this thread works at the moment.
pub fn spawn<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match Meter::current() {
        Some(meter) => tokio::spawn(meter.follow(work)),
        None => tokio::spawn(work),
    }
}

/// Runs what blocks beside the threads that wait, for whom this thread works at the moment.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match Meter::current() {
        Some(meter) => tokio::task::spawn_blocking(move || meter.measured(work)),
        None => tokio::task::spawn_blocking(work),
    }
}

/// Processor time of this thread since it began; nothing where the kernel keeps no account.
fn thread_time() -> Duration {
    let mut bytes = [0; 64];
    let read = ACCOUNT.with(|account| account.as_ref()?.read_at(&mut bytes, 0).ok()).unwrap_or(0);
    let text = std::str::from_utf8(&bytes[..read]).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

/// Lets the tasks of the engine's operators work for whom the task works that begins them.
pub(crate) fn follow_operators() {
    // Another engine of this process may have said so before.
    let _ = set_join_set_tracer(&Operators);
}

struct Operators;

type Outcome = Box<dyn Any + Send>;

impl JoinSetTracer for Operators {
    fn trace_future(&self, work: BoxFuture<'static, Outcome>) -> BoxFuture<'static, Outcome> {
        match Meter::current() {
            Some(meter) => Box::pin(meter.follow(work)),
            None => work,
        }
    }

    fn trace_block(&self, work: Box<dyn FnOnce() -> Outcome + Send>) -> Box<dyn FnOnce() -> Outcome + Send> {
        match Meter::current() {
            Some(meter) => Box::new(move || meter.measured(work)),
            None => work,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Computes until the kernel has counted so much: on a loaded machine that takes longer than by the clock.
    fn burn(time: Duration) {
        let (before, began) = (thread_time(), Instant::now());
        while thread_time().saturating_sub(before) < time && began.elapsed() < Duration::from_mins(1) {
            std::hint::black_box((0..10_000_u64).sum::<u64>());
        }
    }

    #[test]
    fn work_is_charged_once_and_waiting_is_not() {
        let meter = Meter::default();
        meter.measured(|| std::thread::sleep(Duration::from_millis(40)));
        assert!(meter.used() < Duration::from_millis(20), "{meter:?}");
        meter.measured(|| Meter::default().measured(|| meter.measured(|| burn(Duration::from_millis(100)))));
        assert!(meter.used() >= Duration::from_millis(100) && Meter::current().is_none(), "{meter:?}");
        assert!(meter.used() < Duration::from_millis(160), "{meter:?}");
        let before = meter.used();
        meter.measured(|| {
            burn(Duration::from_millis(60));
            Meter::settle();
            assert!(meter.used().saturating_sub(before) >= Duration::from_millis(60));
        });
        assert!(meter.used().saturating_sub(before) < Duration::from_millis(100));
        let broken = std::panic::catch_unwind(|| meter.measured(|| panic!("to see")));
        assert!(broken.is_err() && Meter::current().is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn polls_and_what_is_begun_in_them_are_charged() {
        let meter = Meter::default();
        let work = async {
            tokio::task::yield_now().await;
            burn(Duration::from_millis(60));
            let beside = spawn_blocking(|| burn(Duration::from_millis(60)));
            beside.await.unwrap();
            // For nobody: what is begun by other ways is not known here.
            tokio::spawn(async { burn(Duration::from_millis(60)) }).await.unwrap();
            7
        };
        assert_eq!(meter.clone().follow(work).await, 7);
        let used = meter.used();
        assert!(used >= Duration::from_millis(110) && used < Duration::from_millis(170), "{used:?}");
    }
}
