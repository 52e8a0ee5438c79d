//! A closed loop of clients: each sends its next request when the last one is answered.

use std::sync::Barrier;
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
    /// One a unit, microseconds, sorted.
    pub latencies_us: Vec<u32>,
    /// From the common start to the last unit's end.
    pub elapsed: Duration,
}

impl Tally {
    pub fn per_second(&self) -> f64 {
        self.done as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency, in milliseconds, that `share` of the units did not exceed; 0 without units.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        let last = self.latencies_us.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        self.latencies_us.get(index).map_or(0.0, |&us| f64::from(us) / 1e3)
    }

    fn absorb(&mut self, other: Self) {
        self.done += other.done;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.latencies_us.extend(other.latencies_us);
        self.elapsed = self.elapsed.max(other.elapsed);
    }
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
    let barrier = Barrier::new(clients);
    let one_client = |client: usize| -> Result<(Tally, S)> {
        let prepared = prepare(client);
        barrier.wait();
        let mut state = prepared?;
        let mut tally = Tally::default();
        let began = Instant::now();
        loop {
            let unit_began = Instant::now();
            match unit(&mut state) {
                Ok(()) => {
                    tally.done += 1;
                    tally.latencies_us.push(unit_began.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
                }
                Err(error) => {
                    tally.errors += 1;
                    tally.first_error.get_or_insert_with(|| format!("{error:#}"));
                }
            }
            if began.elapsed() >= duration {
                break;
            }
        }
        tally.elapsed = began.elapsed();
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
    total.latencies_us.sort_unstable();
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
    use super::{Tally, closed_loop};
    use anyhow::ensure;
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
    fn percentiles_are_of_the_units() {
        let tally = Tally { latencies_us: (1..=101).map(|ms| ms * 1_000).collect(), ..Tally::default() };
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| tally.percentile_ms(share)), [1.0, 51.0, 100.0, 101.0]);
        assert_eq!(Tally::default().percentile_ms(0.5), 0.0);
    }
}
