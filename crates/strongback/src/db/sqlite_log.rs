//! The last step of a SQLite commit: the log goes to the disk while the next group is made.
//!
//! SQLite writes the pages of a commit into its write-ahead log and, left to itself, syncs that before COMMIT returns;
//! the writer would stand still meanwhile. Here COMMIT leaves the sync out (`synchronous = NORMAL`: the log's header and
//! checkpoints are still synced by SQLite), and [`Log`] calls fdatasync on the same file, for a group of several on a
//! thread of its own.
//!
//! What must stay true:
//! - nobody is answered a write before its group is on the disk, nor a read that may have seen one that is not yet
//!   ([`Log::is_kept`]);
//! - one group at most is committed and not on the disk: the next may be made meanwhile, and commits afterwards;
//! - where a sync fails, its callers hear that nobody knows, and nothing else is begun until the log was written anew
//!   and synced ([`Log::rewrite`]): of a page that it could not write, a kernel may forget that it still had to.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use tokio::sync::watch;

use super::group::Finished;
use crate::error::{Error, Result};

/// Bytes that are read and written at once where the log is written anew.
const BLOCK: usize = 1 << 20;

/// The log's file, and how far it is known to be on the disk.
pub(super) struct Log {
    file: File,
    /// Groups whose COMMIT was begun, one after the other.
    begun: AtomicU64,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// As many of the groups, from the first, are on the disk, or nothing of them stands.
    kept: u64,
    /// The group after these is committed and could not be synced.
    is_in_doubt: bool,
}

impl Log {
    /// The log of an open database that was read from, so that its file is there.
    pub(super) fn open(database: &Path) -> Result<Self> {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        let path = PathBuf::from(path);
        let open = || -> io::Result<File> {
            let file = File::options().read(true).write(true).open(&path)?;
            // The file may be new, and so may be its name.
            file.sync_all()?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(file)
        };
        let file = open().map_err(|error| {
            let path = path.display();
            Error::unavailable(format!("The log of the metadata store, {path}, cannot be opened: {error}."))
                .because(error)
        })?;
        Ok(Self::over(file))
    }

    /// A log in this file, of which nothing is to be brought to the disk.
    pub(super) fn over(file: File) -> Self {
        Self { file, begun: AtomicU64::new(0), state: watch::Sender::new(State::default()) }
    }

    /// Says that a COMMIT is about to be made: whoever sees something of it from now on has to wait for it.
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// Says that everything whose COMMIT was begun is on the disk, or that nothing of it stands.
    pub(super) fn keep(&self) {
        let kept = self.begun.load(Ordering::SeqCst);
        self.state.send_modify(|state| *state = State { kept, is_in_doubt: false });
    }

    /// Says that nobody knows what became of the COMMIT that was begun last.
    pub(super) fn doubt(&self) {
        self.state.send_modify(|state| state.is_in_doubt = true);
    }

    /// Whether something is committed that could not be synced.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.state.borrow().is_in_doubt
    }

    /// What a read may have seen that ends now; for [`Self::is_kept`].
    pub(super) fn seen(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Waits until so much is on the disk; `false` where that failed.
    pub(super) async fn is_kept(&self, seen: u64) -> bool {
        let mut states = self.state.subscribe();
        let state = states.wait_for(|state| state.kept >= seen || state.is_in_doubt).await;
        state.is_ok_and(|state| state.kept >= seen)
    }

    /// Brings the group whose COMMIT was begun last to the disk, and answers its callers. Nobody begins a COMMIT meanwhile.
    fn finish(&self, group: Finished) -> io::Result<()> {
        let synced = self.file.sync_data();
        match &synced {
            Ok(()) => {
                self.keep();
                group.settle();
            }
            Err(error) => {
                tracing::error!(%error, "the disk did not keep the metadata store's log");
                self.doubt();
                group.fail(&Error::outcome_unknown(format!(
                    "The disk of the metadata store failed in the middle of the commit: {error}."
                )));
            }
        }
        synced
    }

    /// Writes the log anew, byte for byte, and syncs it. For the writer alone, outside a transaction. So many frames count; where
    /// fewer can be read back, the kernel has lost some, and nothing may be written behind them.
    pub(super) fn rewrite(&self, frames: u64) -> io::Result<()> {
        let whole = frames::count(&self.file)?;
        if whole < frames {
            return Err(io::Error::other(format!(
                "of {frames} frames of the log {whole} can be read back; start the server anew, which goes on with those"
            )));
        }
        let length = self.file.metadata()?.len();
        let mut block = vec![0; BLOCK];
        let mut at = 0;
        while at < length {
            let part = &mut block[..(length - at).min(BLOCK as u64) as usize];
            self.file.read_exact_at(part, at)?;
            self.file.write_all_at(part, at)?;
            at += part.len() as u64;
        }
        self.file.sync_data()
    }
}

/// Frames of the log, by SQLite's file format (sqlite.org/fileformat2.html, section 4).
mod frames {
    use std::{fs::File, io, os::unix::fs::FileExt};

    const HEADER: usize = 32;
    const FRAME: usize = 24;
    /// The checksum is over words in the byte order that the last bit says.
    const MAGIC: u32 = 0x377f_0682;

    /// How many frames from the first belong to the log as it is now and are whole, each checksum carried on from the one before.
    pub(super) fn count(file: &File) -> io::Result<u64> {
        let length = file.metadata()?.len();
        if length < HEADER as u64 {
            return Ok(0);
        }
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0)?;
        let magic = word(&header, 0, true);
        let page = match word(&header, 8, true) {
            size @ 512..=65_536 if size.is_power_of_two() => size as usize,
            _ => return Ok(0),
        };
        let is_big = magic & 1 == 1;
        let mut sum = add((0, 0), &header[..24], is_big);
        if magic & !1 != MAGIC || sum != stored(&header[24..]) {
            return Ok(0);
        }
        let (mut frame, mut at, mut count) = (vec![0; FRAME + page], HEADER as u64, 0);
        while at + frame.len() as u64 <= length {
            file.read_exact_at(&mut frame, at)?;
            sum = add(add(sum, &frame[..8], is_big), &frame[FRAME..], is_big);
            if frame[8..16] != header[16..24] || sum != stored(&frame[16..FRAME]) {
                break;
            }
            (at, count) = (at + frame.len() as u64, count + 1);
        }
        Ok(count)
    }

    fn word(bytes: &[u8], at: usize, is_big: bool) -> u32 {
        let mut four = [0; 4];
        four.copy_from_slice(&bytes[at..at + 4]);
        if is_big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    }

    fn stored(bytes: &[u8]) -> (u32, u32) {
        (word(bytes, 0, true), word(bytes, 4, true))
    }

    fn add((mut first, mut second): (u32, u32), bytes: &[u8], is_big: bool) -> (u32, u32) {
        for at in (0..bytes.len()).step_by(8) {
            first = first.wrapping_add(word(bytes, at, is_big)).wrapping_add(second);
            second = second.wrapping_add(word(bytes, at + 4, is_big)).wrapping_add(first);
        }
        (first, second)
    }
}

/// The thread that brings groups to the disk, seen from the writer.
pub(super) struct Syncer {
    log: Arc<Log>,
    groups: mpsc::SyncSender<Finished>,
    done: mpsc::Receiver<io::Result<()>>,
    is_busy: bool,
    /// What became of the last group, once that was looked at.
    outcome: Option<io::Result<()>>,
    /// Whether the group before the last was one of several.
    was_crowded: bool,
}

impl Syncer {
    pub(super) fn start(log: Arc<Log>) -> Result<Self> {
        let (groups, inbox) = mpsc::sync_channel::<Finished>(1);
        let (outbox, done) = mpsc::channel();
        let ours = Arc::clone(&log);
        let work = move || {
            while let Ok(group) = inbox.recv() {
                // Nobody listens any more where the writer has ended.
                let _ = outbox.send(ours.finish(group));
            }
        };
        thread::Builder::new().name("strongback-sync".into()).spawn(work).map_err(Error::internal)?;
        Ok(Self { log, groups, done, is_busy: false, outcome: None, was_crowded: false })
    }

    /// Brings a group to the disk that was committed just now. Where several write, it goes by the thread, while the next is
    /// made; a single one has nobody to wait with, and two changes of threads would only make it later.
    pub(super) fn take(&mut self, group: Finished) -> io::Result<()> {
        let is_crowded = group.len() > 1;
        let by_thread = is_crowded || self.was_crowded;
        self.was_crowded = is_crowded;
        if !by_thread {
            return self.log.finish(group);
        }
        match self.groups.send(group) {
            Ok(()) => {
                self.is_busy = true;
                Ok(())
            }
            Err(mpsc::SendError(group)) => self.log.finish(group),
        }
    }

    /// Whether nothing is on its way.
    pub(super) fn is_idle(&mut self) -> bool {
        if self.is_busy
            && let Ok(outcome) = self.done.try_recv()
        {
            (self.is_busy, self.outcome) = (false, Some(outcome));
        }
        !self.is_busy
    }

    /// Waits until the group that was taken last is on the disk.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        if !self.is_idle() {
            self.is_busy = false;
            let ended = || Err(io::Error::other("the thread that syncs the log has ended"));
            self.outcome = Some(self.done.recv().unwrap_or_else(|_| ended()));
        }
        self.outcome.take().unwrap_or(Ok(()))
    }
}
