//! What a job of the server's own uses while it runs.
//!
//! Processor time is that of the job's own future, poll by poll, of what it runs beside the workers
//! ([`JobCtx::blocking`](super::JobCtx::blocking), [`lake::meter::spawn_blocking`]), of the query engine while it works for the
//! job, and of the Python processes that were started for it ([`lake::meter`] says how each of them is found). What the store's
//! writers do for it is in nobody's account.

use std::{
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Instant,
};

use lake::meter::Meter;

use super::job::Cost;

/// What one attempt has used so far.
#[derive(Debug)]
pub(super) struct Spent {
    began: Instant,
    processor: Meter,
    read: AtomicI64,
    written: AtomicI64,
}

impl Spent {
    pub fn new() -> Self {
        let [read, written] = [(); 2].map(|()| AtomicI64::new(0));
        Self { began: Instant::now(), processor: Meter::default(), read, written }
    }

    /// The meter of its processor time.
    pub fn processor(&self) -> &Meter {
        &self.processor
    }

    pub fn read(&self, bytes: u64) {
        self.read.fetch_add(i64::try_from(bytes).unwrap_or(i64::MAX), Relaxed);
    }

    pub fn written(&self, bytes: u64) {
        self.written.fetch_add(i64::try_from(bytes).unwrap_or(i64::MAX), Relaxed);
    }

    pub fn cost(&self) -> Cost {
        let ms = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Cost {
            processor_ms: ms(self.processor.used()),
            wall_ms: ms(self.began.elapsed()),
            bytes_read: self.read.load(Relaxed),
            bytes_written: self.written.load(Relaxed),
        }
    }
}
