//! The one thread that writes. It takes what waits, writes it with one call, lets it be durable, and answers everybody.
//!
//! What fails is not in the log: the file is cut back to its last good end, at once or before the next write, and the numbers
//! are given to the next records. After a failed sync nobody knows what the disk has of a file, so that the file is not
//! written to any more.

use std::{
    os::unix::fs::FileExt as _,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    error::{Error, Result},
    frame::{FRAME_BYTES, Frame, HEADER_BYTES},
    journal::{Mode, Observer, Position, Seen, Segment, Shared},
    queue::{Batch, Work},
    segment::{self, Open},
};

/// Memory that is kept for the next group of records; more, which a rush needed, is given back.
const SPARE_BYTES: usize = 1 << 20;
/// Zeros that are written ahead of the records. A sync of bytes that the file has already changes nothing but them: it need not
/// wait for the file system's own log, which takes a third to a half of the time.
const AHEAD_BYTES: usize = 1 << 20;

pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) mode: Mode,
    pub(crate) segment_bytes: u64,
    pub(crate) floor: Duration,
    pub(crate) observer: Observer,
    pub(crate) open: Option<Open>,
    /// The next sequence number.
    pub(crate) next: u64,
    /// Whether the open file may have bytes behind its end.
    pub(crate) is_dirty: bool,
    /// Whether the open file may not be written to any more.
    pub(crate) is_spent: bool,
}

/// Whoever waits for the writer, or comes later, hears that it has gone, whatever ended it.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.queue.abandon();
    }
}

impl Writer {
    /// Works until the queue is closed.
    pub(crate) fn run(mut self) {
        let _gone = Gone(Arc::clone(&self.shared));
        let (mut spare, mut not_before) = (Batch::default(), None);
        loop {
            let Work { mut batch, seals, is_last } = self.shared.queue.next(spare, not_before);
            let begun = Instant::now();
            if !batch.records.is_empty() {
                self.group(&mut batch);
                not_before = (!self.floor.is_zero()).then(|| begun + self.floor);
            }
            if !seals.is_empty() {
                let sealed = self.seal();
                for answer in seals {
                    // Whoever asked may be gone.
                    let _ = answer.send(sealed.clone());
                }
            }
            if is_last {
                return;
            }
            batch.bytes.clear();
            batch.bytes.shrink_to(SPARE_BYTES);
            spare = batch;
        }
    }

    /// Makes a group of records durable and answers those who wait.
    fn group(&mut self, batch: &mut Batch) {
        let outcome = self.write(batch);
        let start = match outcome {
            Ok(start) => start,
            Err(error) => {
                for record in batch.records.drain(..) {
                    let _ = record.answer.send(Err(error.clone()));
                }
                return;
            }
        };
        let first = self.next - batch.records.len() as u64;
        let segment = self.open.as_ref().map_or(0, |open| open.base);
        let place = |at: usize, frame: usize| Position {
            segment,
            offset: start + frame as u64,
            sequence: first + at as u64,
        };
        let bytes = &batch.bytes;
        let own = |start: usize, length: u32| &bytes[start + FRAME_BYTES..][..length as usize];
        for (at, record) in batch.records.iter().enumerate() {
            (self.observer)(Seen::Durable(place(at, record.start), own(record.start, record.length)));
        }
        for (at, record) in batch.records.drain(..).enumerate() {
            // Whoever appended it may be gone; the record stays.
            if record.answer.send(Ok(place(at, record.start))).is_err() {
                (self.observer)(Seen::Unheard(own(record.start, record.length)));
            }
        }
    }

    /// Writes a group to the open segment, or to a new one if it does not fit. Answers where it begins.
    fn write(&mut self, batch: &mut Batch) -> Result<u64> {
        let bytes = batch.bytes.len() as u64;
        let is_full = self
            .open
            .as_ref()
            .is_some_and(|open| open.end > HEADER_BYTES as u64 && open.end + bytes > self.segment_bytes);
        if is_full || self.is_spent || self.open.is_none() {
            self.roll()?;
        }
        let Some(open) = &mut self.open else { return Err(Error::Closed) };
        for (at, record) in batch.records.iter().enumerate() {
            let frame = Frame::new(record.length, record.crc, self.next + at as u64);
            batch.bytes[record.start..record.start + FRAME_BYTES].copy_from_slice(&frame.to_bytes());
        }
        if self.is_dirty {
            open.file.set_len(open.end).map_err(|error| Error::io(&open.path, error))?;
            self.is_dirty = false;
        }
        let start = open.end;
        let mut written = Ok(());
        if self.mode == Mode::Power && start + bytes > open.ready {
            batch.bytes.resize(batch.bytes.len() + AHEAD_BYTES, 0);
            written = open.file.write_all_at(&batch.bytes, start);
            if written.is_err() {
                // Where there is no room for what lies ahead there may be some for the records.
                batch.bytes.truncate(bytes as usize);
                written = open.file.set_len(start);
            }
        }
        if batch.bytes.len() as u64 == bytes {
            written = written.and_then(|()| open.file.write_all_at(&batch.bytes, start));
        }
        if let Err(error) = written {
            (self.is_dirty, open.ready) = (open.file.set_len(start).is_err(), start);
            return Err(Error::io(&open.path, error));
        }
        if self.mode == Mode::Power
            && let Err(error) = open.file.sync_data()
        {
            (self.is_dirty, self.is_spent, open.ready) = (open.file.set_len(start).is_err(), true, start);
            return Err(Error::io(&open.path, error));
        }
        open.end = start + bytes;
        open.ready = open.ready.max(start + batch.bytes.len() as u64);
        self.next += batch.records.len() as u64;
        self.shared.grown(open.base, open.end, self.next);
        Ok(start)
    }

    /// Seals the open segment if it has records, and answers what was sealed.
    fn seal(&mut self) -> Result<Option<Segment>> {
        match &self.open {
            Some(open) if open.end > HEADER_BYTES as u64 => self.roll(),
            _ => Ok(None),
        }
    }

    /// Makes the next segment; the open one is sealed by it, durable whatever the mode.
    fn roll(&mut self) -> Result<Option<Segment>> {
        if let Some(open) = &mut self.open {
            if self.is_dirty || open.ready > open.end {
                open.file.set_len(open.end).map_err(|error| Error::io(&open.path, error))?;
                (self.is_dirty, open.ready) = (false, open.end);
            }
            // A spent file was synced up to its end before the sync that failed.
            if !self.is_spent {
                open.file.sync_data().map_err(|error| Error::io(&open.path, error))?;
            }
            if open.base == self.next {
                // It has no record, and the next one would have its name.
                self.open = None;
                self.shared.dropped(self.next);
            }
        }
        self.open = Some(segment::create(&self.shared.dir, self.next)?);
        self.is_spent = false;
        Ok(self.shared.rolled(self.next, HEADER_BYTES as u64))
    }
}
