//! How a log of records reaches the disk: a growing file against one that was filled with zeros before, with and without a floor
//! between two syncs, and the journal as it is. What decision 20 rests on.
//!
//! Writers are threads that each wait for their record: what a connection does that waits for its answer. All ways run in turn,
//! in several rounds; the median of the rounds is printed, with the 50th and 99th percentile of an append.

#![allow(clippy::print_stdout, reason = "its answer is what it prints")]

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use journal::{Journal, Mode, Options};

/// Bytes of a record: a request of 30 features.
const RECORD_BYTES: usize = 400;
/// Bytes that the filled file has.
const FILLED_BYTES: u64 = 64 << 20;

/// What to measure.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the files lie: on the disk that is meant.
    #[arg(long, default_value = ".")]
    dir: std::path::PathBuf,
    /// Seconds a measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Rounds, of which the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// A way to the disk.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// A file of our own making: filled with zeros before, or growing; with a floor between syncs.
    Plain { filled: bool, floor: Duration },
    /// The journal.
    Journal { mode: Mode, floor: Duration },
}

/// What one measurement found.
struct Found {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (none, some) = (Duration::ZERO, Duration::from_micros(200));
    let ways = [
        ("growing", Way::Plain { filled: false, floor: none }),
        ("growing, floor 200 us", Way::Plain { filled: false, floor: some }),
        ("filled", Way::Plain { filled: true, floor: none }),
        ("filled, floor 200 us", Way::Plain { filled: true, floor: some }),
        ("journal, power", Way::Journal { mode: Mode::Power, floor: none }),
        ("journal, power, floor 200 us", Way::Journal { mode: Mode::Power, floor: some }),
        ("journal, process", Way::Journal { mode: Mode::Process, floor: none }),
    ];
    println!("| way | writers | appends/s | p50 | p99 |\n|---|---|---|---|---|");
    for writers in [1, 8, 32, 64] {
        let mut all: Vec<Vec<Found>> = ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..arguments.rounds {
            for ((_, way), found) in ways.iter().zip(&mut all) {
                let dir = tempfile::tempdir_in(&arguments.dir)?;
                found.push(measure(*way, dir.path(), writers, Duration::from_secs_f64(arguments.seconds))?);
            }
        }
        for ((name, _), mut found) in ways.iter().zip(all) {
            found.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
            let median = found.get(found.len() / 2).context("no round was made")?;
            println!(
                "| {name} | {writers} | {:.0} | {:.2} ms | {:.2} ms |",
                median.per_second,
                median.p50.as_secs_f64() * 1e3,
                median.p99.as_secs_f64() * 1e3
            );
        }
    }
    Ok(())
}

fn measure(way: Way, dir: &Path, writers: usize, time: Duration) -> Result<Found> {
    match way {
        Way::Plain { filled, floor } => {
            let plain = Plain::start(&dir.join("log"), filled, floor)?;
            drive(writers, time, || plain.append().map_err(|error| anyhow!(error)))
        }
        Way::Journal { mode, floor } => {
            let options = Options { mode, floor, ..Options::default() };
            let (journal, _) = Journal::open(dir, &options, Box::new(|_| {}))?;
            drive(writers, time, || Ok(journal.append_blocking(&[&[7; RECORD_BYTES]]).map(|_| ())?))
        }
    }
}

/// Lets so many threads append for a while.
fn drive(writers: usize, time: Duration, append: impl Fn() -> Result<()> + Sync) -> Result<Found> {
    append()?;
    let begun = Instant::now();
    let taken: Vec<Result<Vec<Duration>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|_| {
                scope.spawn(|| {
                    let mut taken = Vec::new();
                    while begun.elapsed() < time {
                        let begun = Instant::now();
                        append()?;
                        taken.push(begun.elapsed());
                    }
                    Ok(taken)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a writer died"))))
            .collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let mut taken: Vec<Duration> = taken.into_iter().collect::<Result<Vec<_>>>()?.concat();
    taken.sort_unstable();
    let at = |share: f64| taken.get((taken.len() as f64 * share) as usize).copied().unwrap_or_default();
    Ok(Found { per_second: taken.len() as f64 / seconds, p50: at(0.5), p99: at(0.99) })
}

/// The least that a log can be: a queue, a thread, one write and one sync a group.
struct Plain {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<io::Result<()>>>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<(Vec<mpsc::Sender<()>>, bool)>,
    bell: Condvar,
}

impl Plain {
    fn start(path: &Path, filled: bool, floor: Duration) -> Result<Self> {
        let file = File::create(path)?;
        if filled {
            for at in (0..FILLED_BYTES).step_by(1 << 20) {
                file.write_all_at(&vec![0; 1 << 20], at)?;
            }
            file.sync_all()?;
        }
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = Arc::clone(&shared);
            let end = if filled { FILLED_BYTES } else { u64::MAX };
            std::thread::spawn(move || write(&shared, &file, floor, end))
        };
        Ok(Self { shared, thread: Some(thread) })
    }

    fn append(&self) -> Result<(), mpsc::RecvError> {
        let (answer, answered) = mpsc::channel();
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).0.push(answer);
        self.shared.bell.notify_one();
        answered.recv()
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.shared.bell.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(shared: &Shared, file: &File, floor: Duration, end: u64) -> io::Result<()> {
    let (mut at, mut begun): (u64, Option<Instant>) = (0, None);
    loop {
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = begun.filter(|_| !waiting.0.is_empty()) {
            drop(waiting);
            std::thread::sleep(floor.saturating_sub(begun.elapsed()));
            waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        }
        while waiting.0.is_empty() && !waiting.1 {
            waiting = shared.bell.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let group = std::mem::take(&mut waiting.0);
        drop(waiting);
        if group.is_empty() {
            return Ok(());
        }
        begun = Some(Instant::now());
        let bytes = vec![7; group.len() * RECORD_BYTES];
        // The filled file is written from its beginning again once it is full, as one would take the next.
        at = if at + bytes.len() as u64 > end { 0 } else { at };
        file.write_all_at(&bytes, at)?;
        file.sync_data()?;
        at += bytes.len() as u64;
        for answer in group {
            let _ = answer.send(());
        }
    }
}
