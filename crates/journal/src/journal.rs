//! Opening a journal, appending to it, and giving back what was brought elsewhere.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread::JoinHandle,
    time::Duration,
};

use futures::channel::oneshot;
use parking_lot::Mutex;

use crate::{
    error::{Error, Result},
    queue::Queue,
    reader::Reader,
    segment::{self, Found},
    writer::Writer,
};

/// What an acknowledged record survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// A power cut: its bytes went through `fdatasync`.
    #[default]
    Power,
    /// The death of the process: the kernel has its bytes.
    Process,
}

/// How a journal works.
#[derive(Debug, Clone)]
pub struct Options {
    /// What acknowledged records survive.
    pub mode: Mode,
    /// Bytes of a segment, above which the next one is begun.
    pub segment_bytes: u64,
    /// How long one group waits after the one before it began, if records wait already. Zero: not at all.
    pub floor: Duration,
    /// Bytes that may wait to be written.
    pub queue_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { mode: Mode::Power, segment_bytes: 64 << 20, floor: Duration::ZERO, queue_bytes: 16 << 20 }
    }
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment: the sequence number of its first record.
    pub segment: u64,
    /// Bytes from the beginning of the segment's file.
    pub offset: u64,
    /// The record's own sequence number.
    pub sequence: u64,
}

/// A segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number of its first record; it is its name.
    pub base: u64,
    /// The sequence number after its last record.
    pub next: u64,
    /// Bytes of its file that are durable.
    pub bytes: u64,
    /// Whether it gets no more records.
    pub is_sealed: bool,
}

impl Segment {
    /// How many records it has.
    pub fn records(&self) -> u64 {
        self.next - self.base
    }
}

/// What opening found after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Records of the segment that was open.
    pub records: u64,
    /// Bytes behind them that were no whole record.
    pub cut_bytes: u64,
    /// Records behind a damaged place of it, which cannot be read and whose numbers are not given again.
    pub lost_records: u64,
    /// Files of segments that never came to be.
    pub removed_files: u64,
}

/// What an [`Observer`] is told of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'r> {
    /// It is durable, here. Whoever appended it is told next.
    Durable(Position, &'r [u8]),
    /// It is durable, and whoever appended it had gone.
    Unheard(&'r [u8]),
}

/// Is told of every record once it is durable, before whoever appended it: on the writer's thread, in the order of sequence
/// numbers. It must be quick, and must not call the journal.
pub type Observer = Box<dyn FnMut(Seen<'_>) + Send>;

/// A record on its way. Ends with where it is, once it is durable.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Position>>);

impl Pending {
    /// Does not wait any more. Answers whether the record was durable by then; if it comes to be later, the observer hears
    /// [`Seen::Unheard`]: of every durable record exactly one of the three is told, its end, this, or that.
    pub fn give_up(&mut self) -> bool {
        self.0.close();
        matches!(self.0.try_recv(), Ok(Some(Ok(_))))
    }
}

impl Future for Pending {
    type Output = Result<Position>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or(Err(Error::Closed)))
    }
}

/// What the writer and everybody else share.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) queue: Queue,
    /// Ascending; the last is the open one.
    segments: Mutex<Vec<Segment>>,
}

impl Shared {
    pub(crate) fn grown(&self, base: u64, bytes: u64, next: u64) {
        let mut segments = self.segments.lock();
        if let Some(open) = segments.last_mut().filter(|open| open.base == base) {
            (open.bytes, open.next) = (bytes, next);
        }
    }

    /// A new segment is open; answers the one that it sealed.
    pub(crate) fn rolled(&self, base: u64, bytes: u64) -> Option<Segment> {
        let mut segments = self.segments.lock();
        let sealed = segments.last_mut().map(|last| {
            last.is_sealed = true;
            *last
        });
        segments.push(Segment { base, next: base, bytes, is_sealed: false });
        sealed
    }

    /// The open segment, which has no record, is to be made anew.
    pub(crate) fn dropped(&self, base: u64) {
        self.segments.lock().retain(|segment| segment.base != base);
    }
}

/// The journal. Dropping it writes what waits and ends its thread.
pub struct Journal {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens the journal of a directory, which need not exist, and recovers it. Blocks. It reads the last segment through,
    /// and of the others only the names.
    pub fn open(dir: &Path, options: &Options, observer: Observer) -> Result<(Self, Recovered)> {
        let Found { segments, open, next, recovered } = segment::recover(dir)?;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            queue: Queue::new(options.queue_bytes),
            segments: Mutex::new(segments),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            mode: options.mode,
            segment_bytes: options.segment_bytes,
            floor: options.floor,
            observer,
            open,
            next,
            is_dirty: false,
            is_spent: false,
        };
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || writer.run());
        let thread = thread.map_err(|error| Error::io(dir, error))?;
        Ok((Self { shared, writer: Mutex::new(Some(thread)) }, recovered))
    }

    /// Begins to append a record, of parts that belong behind each other. Nothing is written if this or the end of what it
    /// answers is an error, but for a crash before the file was cut back. Whoever drops it does not call the record off.
    pub fn begin(&self, parts: &[&[u8]]) -> Result<Pending> {
        self.shared.queue.push(parts).map(Pending)
    }

    /// Appends a record, and answers once it is durable.
    pub async fn append(&self, parts: &[&[u8]]) -> Result<Position> {
        self.begin(parts)?.await
    }

    /// The same for a thread that may wait.
    pub fn append_blocking(&self, parts: &[&[u8]]) -> Result<Position> {
        futures::executor::block_on(self.append(parts))
    }

    /// Seals the open segment, with all that was appended before, and answers it. `None` if it has no record.
    pub async fn seal(&self) -> Result<Option<Segment>> {
        let answer: oneshot::Receiver<_> = self.shared.queue.seal()?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// The segments that are there, ascending; the last is open, unless there is none.
    pub fn segments(&self) -> Vec<Segment> {
        self.shared.segments.lock().clone()
    }

    /// Reads what is durable of a segment at this moment. Blocks, as reading does.
    pub fn read(&self, base: u64) -> Result<Reader> {
        let (segment, file) = self.segment(base)?;
        let until = segment.is_sealed.then_some(segment.next);
        Reader::open(file, &self.path(base), base, segment.bytes, until)
    }

    /// The same from a record on.
    pub fn read_at(&self, at: Position) -> Result<Reader> {
        let (segment, file) = self.segment(at.segment)?;
        let until = segment.is_sealed.then_some(segment.next);
        Reader::open_at(file, &self.path(at.segment), at, segment.bytes, until)
    }

    /// Removes a sealed segment, whose records are safe elsewhere. Blocks. Whoever reads it goes on reading it.
    pub fn free(&self, base: u64) -> Result<()> {
        self.take_away(base, |path| fs::remove_file(path))
    }

    /// Takes a sealed segment out of the journal and leaves its file, under a name that ends with `.damaged`, to whoever wants
    /// to look into it. Blocks.
    pub fn set_aside(&self, base: u64) -> Result<()> {
        self.take_away(base, |path| fs::rename(path, segment::path_set_aside(&self.shared.dir, base)))
    }

    fn take_away(&self, base: u64, take: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
        // Held meanwhile, so that nobody begins to read what goes.
        let mut segments = self.shared.segments.lock();
        let at = segments.iter().position(|segment| segment.base == base && segment.is_sealed);
        let at = at.ok_or(Error::NoSegment(base))?;
        let path = self.path(base);
        take(&path).map_err(|error| Error::io(&path, error))?;
        segments.remove(at);
        drop(segments);
        segment::sync_dir(&self.shared.dir).map_err(|error| Error::io(&self.shared.dir, error))
    }

    /// Takes no more records, writes those that wait, and ends the thread. Blocks.
    pub fn close(&self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of a log ended with a panic");
        }
    }

    /// A segment and its file, which is opened before anybody can take it away.
    fn segment(&self, base: u64) -> Result<(Segment, File)> {
        let segments = self.shared.segments.lock();
        let found = segments.iter().find(|segment| segment.base == base).copied();
        let found = found.ok_or(Error::NoSegment(base))?;
        let path = self.path(base);
        let file = File::open(&path).map_err(|error| Error::io(path, error))?;
        Ok((found, file))
    }

    fn path(&self, base: u64) -> PathBuf {
        segment::path_of(&self.shared.dir, base)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}
