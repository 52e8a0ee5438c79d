//! Loads. In a closed loop each client sends its next request when the last one is answered; in an open one requests are due
//! at a constant rate, whatever became of those before.
//!
//! Invariant: in an open loop a latency begins when its request was due, so that an answer that keeps the next requests
//! waiting counts against them too.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use testkit::http::Response;

/// What one round of one side gave.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Units finished without error.
    pub done: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    /// One a unit, microseconds, sorted: from when it was due to its end; in a closed loop it is due when it begins.
    pub latencies_us: Vec<u32>,
    /// Of an open loop: how much later than it was due each unit began, and what it took from then on.
    pub late_us: Vec<u32>,
    pub own_us: Vec<u32>,
    /// From the common start to the last unit's end.
    pub elapsed: Duration,
}

impl Tally {
    pub fn per_second(&self) -> f64 {
        self.done as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency, in milliseconds, that `share` of the units did not exceed; 0 without units.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        percentile_ms(&self.latencies_us, share)
    }

    /// Counts what became of a unit that was due, began and ended then.
    fn count(&mut self, outcome: Result<()>, due: Instant, ended: Instant) {
        match outcome {
            Ok(()) => {
                self.done += 1;
                self.latencies_us.push(micros(ended.saturating_duration_since(due)));
            }
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    fn absorb(&mut self, other: Self) {
        self.done += other.done;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.latencies_us.extend(other.latencies_us);
        self.late_us.extend(other.late_us);
        self.own_us.extend(other.own_us);
        self.elapsed = self.elapsed.max(other.elapsed);
    }
}

/// The value, in milliseconds, that `share` of sorted microseconds do not exceed; 0 without any.
pub fn percentile_ms(sorted_us: &[u32], share: f64) -> f64 {
    let last = sorted_us.len().saturating_sub(1);
    let index = (last as f64 * share).round() as usize;
    sorted_us.get(index).map_or(0.0, |&us| f64::from(us) / 1e3)
}

fn micros(duration: Duration) -> u32 {
    duration.as_micros().try_into().unwrap_or(u32::MAX)
}

/// Runs `clients` threads. Each prepares its state, waits for the others, then runs units until `duration` is over; a
/// unit that began in time is finished and counted, and each thread runs at least one. The states come back too, so
/// that what they wrote can be checked when the clock no longer runs.
pub fn closed_loop<S: Send>(
    clients: usize,
    duration: Duration,
    prepare: impl Fn(usize) -> Result<S> + Sync,
    unit: impl Fn(&mut S) -> Result<()> + Sync,
) -> Result<(Tally, Vec<S>)> {
    closed_loop_until(clients, |elapsed| elapsed >= duration, prepare, unit)
}

/// The same until `is_over`, which is asked after each unit with the time since the thread's first.
pub fn closed_loop_until<S: Send>(
    clients: usize,
    is_over: impl Fn(Duration) -> bool + Sync,
    prepare: impl Fn(usize) -> Result<S> + Sync,
    unit: impl Fn(&mut S) -> Result<()> + Sync,
) -> Result<(Tally, Vec<S>)> {
    in_threads(clients, prepare, |state, tally| {
        let began = Instant::now();
        loop {
            let unit_began = Instant::now();
            let outcome = unit(state);
            tally.count(outcome, unit_began, Instant::now());
            if is_over(began.elapsed()) {
                break;
            }
        }
        tally.elapsed = began.elapsed();
    })
}

/// Runs units at a constant rate, the next that is due by whichever of the `clients` threads is free. Where all of them
/// are busy it begins late, and its latency counts from when it was due.
pub fn open_loop<S: Send>(
    clients: usize,
    per_second: f64,
    duration: Duration,
    prepare: impl Fn(usize) -> Result<S> + Sync,
    unit: impl Fn(&mut S) -> Result<()> + Sync,
) -> Result<(Tally, Vec<S>)> {
    let units = (per_second * duration.as_secs_f64()).round().max(1.0) as u64;
    let (next, first_due) = (AtomicU64::new(0), OnceLock::new());
    wake_in_time();
    in_threads(clients, prepare, |state, tally| {
        let first_due = *first_due.get_or_init(|| Instant::now() + LEAD);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= units {
                break;
            }
            let due = first_due + Duration::from_secs_f64(number as f64 / per_second);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let began = Instant::now();
            let outcome = unit(state);
            let ended = Instant::now();
            tally.late_us.push(micros(began.saturating_duration_since(due)));
            tally.own_us.push(micros(ended - began));
            tally.count(outcome, due, ended);
            tally.elapsed = ended.saturating_duration_since(first_due);
        }
    })
}

/// Until every thread of an open loop is there.
const LEAD: Duration = Duration::from_millis(20);

/// Lets sleeping threads be woken when they asked for it: else the kernel may take 50 µs more, to wake several at once.
/// Threads that are started later inherit it. Where that is not allowed the figures say how late requests were sent.
fn wake_in_time() {
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");
}

fn in_threads<S: Send>(
    clients: usize,
    prepare: impl Fn(usize) -> Result<S> + Sync,
    work: impl Fn(&mut S, &mut Tally) + Sync,
) -> Result<(Tally, Vec<S>)> {
    let barrier = Barrier::new(clients);
    let one_client = |client: usize| -> Result<(Tally, S)> {
        let prepared = prepare(client);
        barrier.wait();
        let mut state = prepared?;
        let mut tally = Tally::default();
        work(&mut state, &mut tally);
        Ok((tally, state))
    };
    let one_client = &one_client;
    let results: Vec<Result<(Tally, S)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|client| scope.spawn(move || one_client(client))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("a client thread panicked")))
            .collect()
    });
    let mut total = Tally::default();
    let mut states = Vec::with_capacity(clients);
    for result in results {
        let (tally, state) = result?;
        total.absorb(tally);
        states.push(state);
    }
    for values in [&mut total.latencies_us, &mut total.late_us, &mut total.own_us] {
        values.sort_unstable();
    }
    Ok((total, states))
}

/// The answer, unless it is anything but 200.
pub fn expect_ok(response: Response) -> Result<Response> {
    if response.status != 200 {
        bail!("status {}: {}", response.status, response.text().chars().take(300).collect::<String>());
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::{Tally, closed_loop, open_loop};
    use anyhow::ensure;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn errors_are_counted_and_not_taken_for_work() {
        let (tally, states) = closed_loop(
            3,
            Duration::from_millis(20),
            |client| Ok((client, 0)),
            |(client, count)| {
                *count += 1;
                std::thread::sleep(Duration::from_millis(1));
                ensure!(*client != 0, "refused");
                Ok(())
            },
        )
        .unwrap();
        let counts: Vec<u64> = states.iter().map(|(_, count)| *count).collect();
        assert_eq!((tally.errors, tally.done), (counts[0], counts[1] + counts[2]));
        assert_eq!(tally.first_error.as_deref(), Some("refused"));
        assert_eq!(tally.latencies_us.len() as u64, tally.done);
    }

    #[test]
    fn an_open_loop_counts_from_when_a_request_was_due() {
        // One client, ten requests due 10 ms apart; the first takes 100 ms, and the others are answered at once.
        let number = AtomicUsize::new(0);
        let (tally, _) = open_loop(
            1,
            100.0,
            Duration::from_millis(100),
            |_| Ok(()),
            |()| {
                if number.fetch_add(1, Ordering::Relaxed) == 0 {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Ok(())
            },
        )
        .unwrap();
        assert_eq!((tally.done, tally.errors), (10, 0));
        // Due after 10, 20, … 90 ms, sent after 100: the middle one waited for 50 ms, although it took nothing itself.
        assert!(tally.percentile_ms(0.5) >= 40.0, "{tally:?}");
        assert!(tally.late_us[5] >= 40_000 && tally.own_us[5] < 40_000, "{tally:?}");
    }

    #[test]
    fn percentiles_are_of_the_units() {
        let tally = Tally { latencies_us: (1..=101).map(|ms| ms * 1_000).collect(), ..Tally::default() };
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| tally.percentile_ms(share)), [1.0, 51.0, 100.0, 101.0]);
        assert_eq!(Tally::default().percentile_ms(0.5), 0.0);
    }
}
