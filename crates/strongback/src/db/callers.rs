//! Who writes at this moment, so that a commit group has them all.
//!
//! Callers that were answered together mostly come back together, a little apart. Who went on with the first of them would pay one sync for
//! it and another for the rest. So the next group waits for those who are expected: a fraction of what a group takes, and only where
//! more than one came lately.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::GROUP_LIMIT;

/// A group waits for callers that are expected for this part of what the last one took, and never longer than the next; it looks this
/// often. Nobody is expected whose answer is longer ago than the last of these.
const GATHER_SHARE: u32 = 4;
const GATHER_MAX: Duration = Duration::from_micros(250);
const GATHER_STEP: Duration = Duration::from_micros(20);
const COME_BACK: Duration = Duration::from_millis(2);

/// Who writes at this moment.
#[derive(Default)]
pub(super) struct Callers {
    /// How many were answered by the last group or waited behind it.
    expected: usize,
    /// When that was, and how long it took.
    last: Option<(Instant, Duration)>,
}

impl Callers {
    /// The next group: what waits, and what comes within a fraction of the time that a group takes, as long as it is expected.
    pub(super) fn gather<T>(&self, first: T, inbox: &async_channel::Receiver<T>) -> Vec<T> {
        let mut jobs = vec![first];
        let until = self.last.and_then(|(ended, took)| {
            (ended.elapsed() < COME_BACK).then(|| Instant::now() + (took / GATHER_SHARE).min(GATHER_MAX))
        });
        loop {
            while jobs.len() < GROUP_LIMIT {
                match inbox.try_recv() {
                    Ok(job) => jobs.push(job),
                    Err(_) => break,
                }
            }
            if jobs.len() >= self.expected.min(GROUP_LIMIT)
                || until.is_none_or(|until| Instant::now() >= until)
            {
                return jobs;
            }
            thread::sleep(GATHER_STEP);
        }
    }

    pub(super) fn answered(&mut self, callers: usize, took: Duration) {
        self.expected = callers;
        self.last = Some((Instant::now(), took));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1);

    #[test]
    fn who_comes_alone_waits_for_nobody() {
        let (_send, inbox) = async_channel::unbounded();
        let mut callers = Callers::default();
        assert_eq!(callers.gather(1, &inbox), [1]);
        callers.answered(1, LONG);
        let began = Instant::now();
        assert_eq!(callers.gather(2, &inbox), [2]);
        assert!(began.elapsed() < GATHER_MAX, "{:?}", began.elapsed());
    }

    #[test]
    fn those_who_are_expected_are_in_one_group() {
        let (send, inbox) = async_channel::unbounded();
        let mut callers = Callers::default();
        send.try_send(2).unwrap();
        assert_eq!(callers.gather(1, &inbox), [1, 2]);
        // One more waited meanwhile: three may come.
        callers.answered(3, LONG);
        let later = thread::spawn(move || {
            for caller in [4, 5] {
                thread::sleep(GATHER_STEP);
                send.try_send(caller).unwrap();
            }
            send
        });
        let group = callers.gather(3, &inbox);
        let _send = later.join().unwrap();
        assert!(group == [3, 4, 5] || inbox.len() + group.len() == 3, "{group:?}");
    }

    #[test]
    fn who_does_not_come_back_is_not_waited_for_long() {
        let (_send, inbox) = async_channel::unbounded();
        let mut callers = Callers::default();
        callers.answered(8, LONG);
        let began = Instant::now();
        assert_eq!(callers.gather(1, &inbox), [1]);
        assert!(began.elapsed() >= GATHER_MAX && began.elapsed() < LONG, "{:?}", began.elapsed());
        callers.answered(8, LONG);
        thread::sleep(2 * COME_BACK);
        let began = Instant::now();
        assert_eq!(callers.gather(1, &inbox), [1]);
        assert!(began.elapsed() < GATHER_MAX, "{:?}", began.elapsed());
    }
}
