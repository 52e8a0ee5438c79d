//! What waits for the writer: records one behind the other, as they will be written, and wishes to seal.
//!
//! Bytes are copied once, into the buffer that the writer hands to the system whole. What is missing in it, the sequence
//! number and the checksum over it, the writer fills in.

use std::time::Instant;

use futures::channel::oneshot;
use parking_lot::{Condvar, Mutex};

use crate::{
    crc::Crc,
    error::{Error, Result},
    frame::{FRAME_BYTES, RECORD_BYTES_MAX},
    journal::{Position, Segment},
};

/// Somebody who waits for a record to be durable.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Where its frame begins in the batch.
    pub(crate) start: usize,
    pub(crate) length: u32,
    /// Of its own bytes.
    pub(crate) crc: Crc,
    pub(crate) answer: oneshot::Sender<Result<Position>>,
}

/// Records that are written together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: Vec<Waiting>,
}

/// Whoever asked for the open segment to be sealed. What was sealed, if there was anything.
pub(crate) type Sealing = oneshot::Sender<Result<Option<Segment>>>;

/// What the writer does next: write, then seal, then end.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) batch: Batch,
    pub(crate) seals: Vec<Sealing>,
    pub(crate) is_last: bool,
}

#[derive(Default)]
struct State {
    work: Work,
    is_closed: bool,
}

/// The queue.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// There is work.
    bell: Condvar,
    /// There is work that waits for no more of it.
    urgent: Condvar,
    bytes_max: usize,
}

impl Queue {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { state: Mutex::default(), bell: Condvar::new(), urgent: Condvar::new(), bytes_max }
    }

    /// Puts a record at the end, of parts that belong behind each other.
    pub(crate) fn push(&self, parts: &[&[u8]]) -> Result<oneshot::Receiver<Result<Position>>> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let length = match u32::try_from(bytes) {
            Ok(length) if bytes <= RECORD_BYTES_MAX => length,
            _ => return Err(Error::TooLong { bytes, limit: RECORD_BYTES_MAX }),
        };
        // Outside of the lock, where callers do it beside each other.
        let crc = parts.iter().fold(Crc::new(), |crc, part| crc.and(part));
        let (answer, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Error::Closed);
        }
        let batch = &mut state.work.batch;
        let waiting = batch.bytes.len();
        // However long it is, a record has a place as soon as anything has: one that asked for room of its size would find none
        // while short ones keep coming.
        if waiting >= self.bytes_max {
            return Err(Error::Busy { waiting, limit: self.bytes_max });
        }
        batch.bytes.extend_from_slice(&[0; FRAME_BYTES]);
        for part in parts {
            batch.bytes.extend_from_slice(part);
        }
        batch.records.push(Waiting { start: waiting, length, crc, answer });
        let (is_first, is_much) = (batch.records.len() == 1, batch.bytes.len() >= self.bytes_max / 2);
        drop(state);
        if is_first {
            self.bell.notify_one();
        }
        if is_much {
            self.urgent.notify_one();
        }
        Ok(receiver)
    }

    /// Asks for the open segment to be sealed, behind what waits already.
    pub(crate) fn seal(&self) -> Result<oneshot::Receiver<Result<Option<Segment>>>> {
        let (answer, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Error::Closed);
        }
        state.work.seals.push(answer);
        drop(state);
        self.hurry();
        Ok(receiver)
    }

    /// Takes nothing more; what waits is still written.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.hurry();
    }

    /// The writer is gone: takes nothing more, and tells everybody who waits so.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let waiting = std::mem::take(&mut state.work);
        drop(state);
        // Whoever waits hears it by the end of the channel.
        drop(waiting);
    }

    fn hurry(&self) {
        self.bell.notify_one();
        self.urgent.notify_one();
    }

    /// Waits for work. `spare` is a batch that was written, whose memory serves again. Where records wait already, they
    /// wait until `not_before` for more of them.
    pub(crate) fn next(&self, spare: Batch, not_before: Option<Instant>) -> Work {
        let mut state = self.state.lock();
        if let Some(until) = not_before
            && !state.work.batch.records.is_empty()
            && state.work.seals.is_empty()
            && !state.is_closed
            && state.work.batch.bytes.len() < self.bytes_max / 2
        {
            self.urgent.wait_until(&mut state, until);
        }
        while state.work.batch.records.is_empty() && state.work.seals.is_empty() && !state.is_closed {
            self.bell.wait(&mut state);
        }
        let is_last = state.is_closed;
        let next = Work { batch: spare, ..Work::default() };
        Work { is_last, ..std::mem::replace(&mut state.work, next) }
    }
}
