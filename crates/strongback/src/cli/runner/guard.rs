//! `strongback runner-guard`: stands between a runner and one command, so that the command never outlives either; and
//! between the server and a model's Python process, in the same way.
//!
//! The runner holds the other end of the guard's standard input. A line there, and the command is asked to end and then ended;
//! its end, which comes with the runner's death however it dies, and it is ended at once. The guard is in a process group of its
//! own, so that what is sent to the runner's does not reach it, and is marked as subreaper: whatever the command started
//! comes back to it when its parent ends, also what left the command's group or session, and is found and ended. It
//! reports on standard output, a line of JSON each; standard error is the command's log and carries both its streams.
//!
//! What must stay true: when the guard ends, nothing of the command is left. What the guard cannot stand in for is its own
//! `kill -9`: then the runner ends the command's group, and what had left that group stays.

use std::{
    io::{BufRead, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process_group, set_child_subreaper, wait,
};
use serde::{Deserialize, Serialize};

use super::{
    fence,
    processes::{self, Usage},
};
use crate::jobs::runner::Reason;

const EXAMPLES: &str = "\
What `strongback runner` calls; a person has no use for it:
  strongback runner-guard --wall-ms 60000 -- /bin/echo hello";

/// Between two looks at whether the command has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Between two looks at what it uses.
const MEASURE_EVERY_MS: u64 = 200;
/// How long a command that was asked to end may take.
const GRACE: Duration = Duration::from_secs(2);
/// How long what is left is ended again and again.
const KILL_FOR: Duration = Duration::from_secs(10);

/// Run one command within limits, and end it with whoever holds standard input
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in super::super) struct GuardArgs {
    /// How long it may take
    #[arg(long, value_name = "MS")]
    wall_ms: u64,
    /// How much processor time its processes may use together
    #[arg(long, value_name = "MS")]
    processor_ms: Option<u64>,
    /// How much memory they may have resident together
    #[arg(long, value_name = "MIB")]
    memory_mb: Option<u64>,
    /// Between two looks at what they use
    #[arg(long, value_name = "MS", default_value_t = MEASURE_EVERY_MS)]
    measure_ms: u64,
    /// A directory that it is kept out of, where the kernel can do that
    #[arg(long, value_name = "DIR")]
    deny: Option<PathBuf>,
    /// What in there it may read
    #[arg(long, value_name = "PATH")]
    read: Vec<PathBuf>,
    /// What in there it may read and write
    #[arg(long, value_name = "PATH")]
    write: Vec<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    argv: Vec<String>,
}

/// What a guard says of its command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// It runs, in the process group of this number.
    Started { group: i32 },
    /// What it has used so far.
    Used(Figures),
    /// It has ended, and nothing of it is left.
    Ended { reason: Reason, exit_code: Option<i32>, signal: Option<i32>, message: String, used: Figures },
}

/// What a command used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figures {
    pub processor_ms: u64,
    pub wall_ms: u64,
    pub peak_memory_bytes: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
}

/// Whether the command is to end: 0 for no, then as the constants say.
type Told = Arc<AtomicU8>;
/// It is asked to, and ended after a while.
const ASKED: u8 = 1;
/// The runner is gone: it is ended at once.
const ORPHANED: u8 = 2;

pub(in super::super) fn run(args: &GuardArgs) -> anyhow::Result<ExitCode> {
    set_child_subreaper(Some(getpid()))?;
    let told = listen();
    if let Some(denied) = &args.deny {
        fence::keep_out(denied, &args.read, &args.write)
            .with_context(|| format!("the command cannot be kept out of {}", denied.display()))?;
    }
    let began = Instant::now();
    let mut command = Command::new(&args.argv[0]);
    let log = || std::io::stderr().as_fd().try_clone_to_owned().map(Stdio::from);
    command.args(&args.argv[1..]).stdin(Stdio::null()).stdout(log()?).stderr(log()?).process_group(0);
    let group = match command.spawn() {
        Ok(child) => child.id() as i32,
        Err(error) => {
            let message = format!("{} cannot be started: {error}.", args.argv[0]);
            let (exit_code, signal, used) = (None, None, Figures::default());
            report(&Report::Ended { reason: Reason::NotStarted, exit_code, signal, message, used });
            return Ok(ExitCode::SUCCESS);
        }
    };
    drop(command);
    report(&Report::Started { group });
    let mut watched = Watched { group, began, status: None, used: Figures::default() };
    let (reason, message) = watched.until_it_ends(args, &told);
    watched.end_what_is_left();
    let status = watched.status;
    report(&Report::Ended {
        reason,
        exit_code: status.and_then(WaitStatus::exit_status),
        signal: status.and_then(WaitStatus::terminating_signal),
        message,
        used: watched.used,
    });
    Ok(ExitCode::SUCCESS)
}

/// Hears what the runner says, on a thread of its own.
fn listen() -> Told {
    let told = Told::default();
    let heard = Arc::clone(&told);
    std::thread::spawn(move || {
        let mut line = String::new();
        while std::io::stdin().lock().read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            heard.fetch_max(ASKED, Ordering::Relaxed);
        }
        heard.store(ORPHANED, Ordering::Relaxed);
    });
    told
}

/// Says something to the runner. Who is gone hears nothing, and the end of standard input says that it is.
fn report(report: &Report) {
    if let Ok(line) = serde_json::to_string(report) {
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

/// A command that runs.
struct Watched {
    group: i32,
    began: Instant,
    status: Option<WaitStatus>,
    used: Figures,
}

impl Watched {
    /// Waits for the end of the command, or brings it about. Answers why it ended.
    fn until_it_ends(&mut self, args: &GuardArgs, told: &Told) -> (Reason, String) {
        let measure_every = Duration::from_millis(args.measure_ms);
        let mut measured: Option<Instant> = None;
        let mut end: Option<(Reason, String, Instant)> = None;
        loop {
            self.reap();
            if self.status.is_some() {
                self.measure();
                let (reason, message) =
                    end.map_or((Reason::Exited, String::new()), |(why, said, _)| (why, said));
                return (reason, message);
            }
            if measured.is_none_or(|at| at.elapsed() >= measure_every) {
                measured = Some(Instant::now());
                let memory = self.measure().memory_bytes;
                report(&Report::Used(self.used));
                if let Some(why) = self.over_limit(args, memory).filter(|_| end.is_none()) {
                    end = Some((Reason::Limit, why, Instant::now()));
                    self.signal_group(Signal::TERM);
                }
            }
            match told.load(Ordering::Relaxed) {
                ORPHANED => {
                    let (reason, message) =
                        end.map_or((Reason::Stopped, String::new()), |(why, said, _)| (why, said));
                    return (reason, message);
                }
                ASKED if end.is_none() => {
                    end = Some((Reason::Stopped, String::new(), Instant::now()));
                    self.signal_group(Signal::TERM);
                }
                _ => {}
            }
            if end.as_ref().is_some_and(|(.., since)| since.elapsed() >= GRACE) {
                self.signal_group(Signal::KILL);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The limit that it is over, in words.
    fn over_limit(&self, args: &GuardArgs, memory_bytes: u64) -> Option<String> {
        if self.used.wall_ms > args.wall_ms {
            return Some(format!("It ran for more than the {} ms that it may.", args.wall_ms));
        }
        if let Some(most) = args.processor_ms.filter(|most| self.used.processor_ms > *most) {
            return Some(format!("It used more than the {most} ms of processor time that it may."));
        }
        let most = args.memory_mb.filter(|most| memory_bytes > most.saturating_mul(1 << 20))?;
        Some(format!("It had {} MiB in memory; it may have {most}.", memory_bytes >> 20))
    }

    fn measure(&mut self) -> Usage {
        let (_, usage) = processes::below_this();
        self.count(usage);
        usage
    }

    fn count(&mut self, usage: Usage) {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.used.wall_ms = ms(self.began.elapsed());
        // A process that ended between the two parts of an account is in neither for a moment.
        self.used.processor_ms = self.used.processor_ms.max(ms(usage.processor));
        self.used.peak_memory_bytes = self.used.peak_memory_bytes.max(usage.memory_bytes);
        self.used.bytes_read = self.used.bytes_read.max(usage.moved.read);
        self.used.bytes_written = self.used.bytes_written.max(usage.moved.written);
    }

    fn signal_group(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.group) {
            // All of it may be gone.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Takes leave of everything that has ended: the command, and orphans of what it started.
    fn reap(&mut self) {
        while let Ok(Some((id, status))) = wait(WaitOptions::NOHANG) {
            if id.as_raw_nonzero().get() == self.group {
                self.status = Some(status);
            }
        }
    }

    /// Ends whatever came from the command, until nothing is left.
    fn end_what_is_left(&mut self) {
        let until = Instant::now() + KILL_FOR;
        self.signal_group(Signal::KILL);
        loop {
            self.reap();
            let (left, usage) = processes::below_this();
            self.count(usage);
            if left.is_empty() || Instant::now() >= until {
                return;
            }
            for id in left {
                processes::signal(id, Signal::KILL);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
