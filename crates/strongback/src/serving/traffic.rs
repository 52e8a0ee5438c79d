//! How much an endpoint answers and how quickly, over the last minutes and in this process.
//!
//! Requests are counted in slots of ten seconds, and what they took in bins that are each 2^(1/8) wide: a quantile that is read
//! from them is its bin's upper edge, and so at most 9.1 % too high and never too low.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

/// Seconds of a slot.
const SLOT_SECONDS: u64 = 10;
/// Slots that are kept: five minutes.
const SLOTS: u64 = 30;
/// Bins for each doubling of the time.
const BINS_PER_OCTAVE: f64 = 8.0;
/// Bins: up to 2^26 µs, which is over a minute; what took longer is in the last one.
const BINS: usize = 26 * 8;
/// Requests that are remembered by their ids.
const NEWEST: usize = 5;

/// Counts the requests of an endpoint.
pub struct Traffic {
    begun: Instant,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    requests: u64,
    errors: u64,
    /// The slots before the one that is being counted into.
    older: VecDeque<Slot>,
    current: Slot,
    newest: VecDeque<Newest>,
}

struct Slot {
    /// Slots since the endpoint began here.
    number: u64,
    requests: u64,
    errors: u64,
    took: Box<[u32; BINS]>,
}

impl Slot {
    fn new(number: u64) -> Self {
        Self { number, requests: 0, errors: 0, took: Box::new([0; BINS]) }
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new(0)
    }
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Newest {
    /// The id that its answer carried; `strongback why` tells what it rested on.
    pub request_id: String,
    /// When, milliseconds since the epoch.
    pub at: i64,
    /// What it took, milliseconds.
    pub latency_ms: f64,
}

/// What an endpoint did of late.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct TrafficInfo {
    /// Seconds that the figures speak of: 300, or less where the endpoint began here since.
    pub seconds: f64,
    /// Requests in that time.
    pub requests: u64,
    /// How many of them were refused or failed.
    pub errors: u64,
    /// Requests a second.
    pub per_second: f64,
    /// What half of the answered requests did not exceed, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// What 99 % of the answered requests did not exceed, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// Requests a second by ten seconds, the newest last.
    pub series: Vec<f64>,
    /// The last few that were answered, the newest first.
    pub newest: Vec<Newest>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { begun: Instant::now(), counted: Mutex::default() }
    }
}

impl Traffic {
    /// Counts a request that was answered.
    pub fn answered(&self, request_id: Uuid, at: i64, took: Duration) {
        let mut counted = self.counted.lock();
        counted.requests += 1;
        let slot = counted.slot(self.number(Instant::now()));
        slot.requests += 1;
        if let Some(bin) = slot.took.get_mut(bin(took)) {
            *bin += 1;
        }
        counted.newest.truncate(NEWEST - 1);
        let latency_ms = took.as_secs_f64() * 1e3;
        counted.newest.push_front(Newest { request_id: request_id.to_string(), at, latency_ms });
    }

    /// Counts a request that was refused, or failed.
    pub fn failed(&self) {
        let mut counted = self.counted.lock();
        counted.requests += 1;
        counted.errors += 1;
        let slot = counted.slot(self.number(Instant::now()));
        slot.requests += 1;
        slot.errors += 1;
    }

    /// Requests since the process began, and how many of them were refused or failed.
    pub fn totals(&self) -> (u64, u64) {
        let counted = self.counted.lock();
        (counted.requests, counted.errors)
    }

    /// What happened of late.
    pub fn info(&self) -> TrafficInfo {
        self.info_at(Instant::now())
    }

    fn info_at(&self, now: Instant) -> TrafficInfo {
        let elapsed = now.saturating_duration_since(self.begun).as_secs_f64();
        let last = self.number(now);
        let first = (last + 1).saturating_sub(SLOTS);
        let counted = self.counted.lock();
        let mut took = [0_u64; BINS];
        let mut series = vec![0.0; (last - first + 1) as usize];
        let mut info = TrafficInfo {
            // At least a second, so that the first requests make no rate of millions.
            seconds: (elapsed - (first * SLOT_SECONDS) as f64).max(1.0),
            newest: counted.newest.iter().cloned().collect(),
            ..TrafficInfo::default()
        };
        for slot in counted.older.iter().chain([&counted.current]).filter(|slot| slot.number >= first) {
            info.requests += slot.requests;
            info.errors += slot.errors;
            for (sum, count) in took.iter_mut().zip(slot.took.iter()) {
                *sum += u64::from(*count);
            }
            let width = (elapsed - (slot.number * SLOT_SECONDS) as f64).clamp(1.0, SLOT_SECONDS as f64);
            if let Some(rate) = series.get_mut((slot.number - first) as usize) {
                *rate = slot.requests as f64 / width;
            }
        }
        drop(counted);
        info.per_second = info.requests as f64 / info.seconds;
        info.p50_ms = quantile(&took, 0.5);
        info.p99_ms = quantile(&took, 0.99);
        info.series = series;
        info
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begun).as_secs() / SLOT_SECONDS
    }
}

impl Counted {
    /// The slot of this number. Whoever counts late, while another slot has begun, counts into that one.
    fn slot(&mut self, number: u64) -> &mut Slot {
        if self.current.number < number {
            self.older.push_back(std::mem::replace(&mut self.current, Slot::new(number)));
            while self.older.front().is_some_and(|oldest| oldest.number + SLOTS <= number) {
                self.older.pop_front();
            }
        }
        &mut self.current
    }
}

fn bin(took: Duration) -> usize {
    let micros = (took.as_nanos() as f64 / 1e3).max(1.0);
    ((micros.log2() * BINS_PER_OCTAVE) as usize).min(BINS - 1)
}

/// The upper edge of the bin in which this share of what was counted ends, milliseconds; none where nothing was.
fn quantile(took: &[u64; BINS], share: f64) -> Option<f64> {
    let all: u64 = took.iter().sum();
    let wanted = ((all as f64 * share).ceil() as u64).max(1);
    let mut below = 0;
    let bin = took.iter().position(|count| {
        below += count;
        below >= wanted
    })?;
    Some(((bin + 1) as f64 / BINS_PER_OCTAVE).exp2() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_at_most_a_bin_too_high() {
        let traffic = Traffic::default();
        for micros in 1..=1_000_u64 {
            traffic.answered(Uuid::nil(), 0, Duration::from_micros(micros * 10));
        }
        let info = traffic.info();
        for (found, exact) in [(info.p50_ms, 5.0), (info.p99_ms, 9.9)] {
            let found = found.unwrap();
            assert!(found >= exact && found <= exact * 1.091, "{found} for {exact}");
        }
        assert_eq!((info.requests, info.errors, info.newest.len()), (1_000, 0, NEWEST));
        assert!((info.newest[0].latency_ms - 10.0).abs() < 1e-9);
    }

    #[test]
    fn the_shortest_and_the_longest_have_a_bin() {
        let traffic = Traffic::default();
        traffic.answered(Uuid::nil(), 0, Duration::ZERO);
        assert!(traffic.info().p50_ms.unwrap() < 0.0011);
        traffic.answered(Uuid::nil(), 0, Duration::from_hours(1));
        assert!(traffic.info().p99_ms.unwrap() > 60_000.0);
    }

    #[test]
    fn what_happened_long_ago_is_forgotten_and_still_counted() {
        let mut traffic = Traffic::default();
        let Some(before) = Instant::now().checked_sub(Duration::from_secs(295)) else { return };
        traffic.begun = before;
        traffic.counted.get_mut().slot(0).requests = 5;
        traffic.failed();
        let info = traffic.info();
        assert_eq!((info.requests, info.errors), (6, 1));
        assert_eq!(info.series.len(), 30);
        assert!((info.series[0] - 0.5).abs() < 1e-9, "{:?}", info.series);
        let later = traffic.info_at(Instant::now() + Duration::from_secs(30));
        assert_eq!((later.requests, later.errors, later.p99_ms), (1, 1, None));
        assert!(later.seconds > 290.0 && later.seconds <= 300.0, "{}", later.seconds);
        assert_eq!(traffic.totals(), (1, 1));
        // A slot that begins lets the oldest go.
        traffic.counted.get_mut().slot(31);
        assert_eq!(traffic.counted.get_mut().older.front().map(|slot| slot.number), Some(29));
    }
}
