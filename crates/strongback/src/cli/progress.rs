//! How far long work is. On a terminal it is a line that is written over; elsewhere, in a log or a CI job, a line now and then,
//! so that whoever reads it knows that the work goes on. What takes no time shows nothing.

use std::{
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};

use super::{exit, printer};

/// Between two lines that are written over.
const ON_TERMINAL: Duration = Duration::from_millis(300);
/// Between two lines of a log.
const IN_LOG: Duration = Duration::from_secs(10);

/// A line about work that goes on.
pub(super) struct Status {
    is_terminal: bool,
    began: Instant,
    /// When it was shown last.
    shown: Option<Instant>,
}

impl Status {
    /// Of work that begins now.
    pub(super) fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), began: Instant::now(), shown: None }
    }

    /// Shows the line that is made of the seconds since it began, unless one was shown a moment ago.
    pub(super) fn show(&mut self, line: impl FnOnce(f64) -> String) {
        let every = if self.is_terminal { ON_TERMINAL } else { IN_LOG };
        if self.shown.unwrap_or(self.began).elapsed() < every {
            return;
        }
        self.shown = Some(Instant::now());
        let line = line(self.began.elapsed().as_secs_f64());
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}\r");
        } else {
            printer::talk(&line);
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        if self.is_terminal && self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// A file that is being made under a name of its own, of which nothing is to stay: neither of an error nor of Ctrl-C. There is one at a time.
pub(super) struct Unfinished;

static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

impl Unfinished {
    /// From now on until this is dropped; what was made of it has another name then.
    pub(super) fn new(path: &Path) -> Self {
        *UNFINISHED.lock() = Some(path.to_owned());
        Self
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = UNFINISHED.lock().take() {
            // It is not there once it was renamed.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// From now on Ctrl-C says what became of the work before it ends the process, with the code that a shell has of one that SIGINT
/// ended. Where SIGINT is ignored, as of a command that a script left to itself, it stays so.
pub(super) fn on_interrupt(became: &'static str) -> anyhow::Result<()> {
    if is_ignored() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut interrupt = {
        let _within = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    std::thread::Builder::new().name("interrupt".into()).spawn(move || {
        if runtime.block_on(interrupt.recv()).is_some() {
            if std::io::stderr().is_terminal() {
                let _ = write!(std::io::stderr(), "\r\x1b[K");
            }
            printer::talk(&format!("Stopped. {became}"));
            // Locked until the end, so that no other file is begun.
            let mut unfinished = UNFINISHED.lock();
            if let Some(path) = unfinished.take() {
                let _ = std::fs::remove_file(path);
            }
            std::process::exit(exit::INTERRUPTED);
        }
    })?;
    Ok(())
}

/// Whether this process was begun with SIGINT ignored; Linux says it in a mask of the signals from 1 on.
fn is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (SignalKind::interrupt().as_raw_value() - 1)) != 0
}

/// How many of a part of the work are done.
pub(super) struct Progress {
    what: &'static str,
    /// None where it is not known before the end.
    total: Option<usize>,
    done: usize,
    status: Status,
}

impl Progress {
    /// Of so many of what it names.
    pub(super) fn new(what: &'static str, total: impl Into<Option<usize>>) -> Self {
        Self { what, total: total.into(), done: 0, status: Status::new() }
    }

    /// So many more are done.
    pub(super) fn add(&mut self, more: usize) {
        self.done += more;
        let Self { what, total, done, .. } = *self;
        self.status.show(|seconds| {
            let rate = done as f64 / seconds.max(1e-3);
            match total {
                Some(total) => {
                    let left = total.saturating_sub(done) as f64 / rate.max(1e-3);
                    format!("{what}: {done} of {total}, {rate:.0}/s, {left:.0} s left")
                }
                None => format!("{what}: {done}, {rate:.0}/s"),
            }
        });
    }
}

/// Shows how much of a file of so many bytes was sent, to whom it is told.
pub(super) fn sending(size: u64) -> impl Fn(u64) + Send + Sync + 'static {
    let status = Mutex::new(Status::new());
    move |sent| {
        let percent = sent * 100 / size.max(1);
        status.lock().show(|seconds| {
            let rate = sent as f64 / f64::from(1 << 20) / seconds.max(1e-3);
            format!("sending: {percent} %, {rate:.0} MiB/s")
        });
    }
}
