//! One job of a runner: its directory, its command behind a guard, what is told to the server, its end.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::DirBuilderExt, process::CommandExt},
    path::{Path, PathBuf},
    pin::Pin,
    process::{Child, ChildStdin, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value as Json, json};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    super::printer,
    Runner,
    capture::Capture,
    guard::{Figures, Report},
};
use crate::{
    error::{Code, Error, Result},
    jobs::runner::{HeartbeatResponse, LeasedJob, Reason},
};

/// How the names of directories begin that a runner makes and removes.
pub(super) const DIRECTORY: &str = "job-";
/// Between two heartbeats, which bring the log and hear of a cancellation.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How long the end of a job is told again and again to a server that does not answer.
const TELL_FOR: Duration = Duration::from_mins(10);
/// Between two tries.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Reports of the guard that may wait.
const REPORTS: usize = 64;
/// Bytes of the result that a command may leave.
const RESULT_BYTES_MAX: u64 = 32 << 10;

/// How an attempt ended, for the server.
struct End {
    reason: Reason,
    exit_code: Option<i32>,
    signal: Option<i32>,
    message: String,
}

/// Runs a job to its end and tells the server. Answers whether the command did what it was to do.
pub(super) async fn run(runner: &Runner, job: LeasedJob, stop: watch::Receiver<bool>) -> bool {
    printer::talk(&format!("Job {} begins: {}, version {}.", job.job_id, job.command, job.version));
    let directory = runner.work_dir.join(format!("{DIRECTORY}{}-{}", job.job_id, job.attempt));
    let mut attempt = Attempt::new(runner, &job);
    let end = if runner.allows(&job.command) {
        match Running::start(runner, &job, &directory, Arc::clone(&attempt.log)) {
            Ok(running) => attempt.attend(running, stop).await,
            Err(why) => Some(not_started(why)),
        }
    } else {
        Some(not_started(format!("This runner runs only {}.", runner.allow.join(", "))))
    };
    let is_done = match end {
        Some(end) => attempt.tell(end, &directory.join("result.json")).await,
        None => {
            printer::talk(&format!("Job {} is another's now; it was ended here.", job.job_id));
            false
        }
    };
    if !runner.is_kept
        && let Err(error) = fs::remove_dir_all(&directory)
    {
        printer::talk(&format!("{} cannot be removed: {error}.", directory.display()));
    }
    is_done
}

fn not_started(message: String) -> End {
    End { reason: Reason::NotStarted, exit_code: None, signal: None, message }
}

/// A command behind its guard.
struct Running {
    guard: Child,
    /// While this is open, the command may run.
    line: Option<ChildStdin>,
    reports: mpsc::Receiver<Report>,
    reader: std::thread::JoinHandle<()>,
    group: Option<i32>,
}

impl Running {
    fn start(
        runner: &Runner,
        job: &LeasedJob,
        directory: &Path,
        log: Arc<Mutex<Capture>>,
    ) -> Result<Self, String> {
        let temporary = directory.join("tmp");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&temporary)
            .map_err(|error| format!("{} cannot be made: {error}.", temporary.display()))?;
        let mut command = Command::new(&runner.program);
        command.arg("runner-guard").args(["--wall-ms", &job.wall_ms_left.to_string()]);
        if let Some(ms) = job.processor_ms_left {
            command.args(["--processor-ms", &ms.to_string()]);
        }
        if let Some(mb) = job.memory_mb {
            command.args(["--memory-mb", &mb.to_string()]);
        }
        command.arg("--").args(&job.argv);
        command.env_clear().envs(environment(runner, job, directory)).current_dir(directory);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let unusable =
            |error: std::io::Error| format!("The guard of the command cannot be started: {error}.");
        let mut guard = command.spawn().map_err(unusable)?;
        let (line, said, written) = (guard.stdin.take(), guard.stdout.take(), guard.stderr.take());
        let (Some(said), Some(mut written)) = (said, written) else {
            return Err("The guard of the command has no pipes.".into());
        };
        let reader = std::thread::spawn(move || {
            let mut bytes = vec![0; 16 << 10];
            while let Ok(read) = written.read(&mut bytes)
                && read > 0
            {
                log.lock().push(&bytes[..read]);
            }
        });
        let (tell, reports) = mpsc::channel(REPORTS);
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                let Ok(report) = serde_json::from_str(&line) else { continue };
                if tell.blocking_send(report).is_err() {
                    return;
                }
            }
        });
        Ok(Self { guard, line, reports, reader, group: None })
    }

    /// Asks the command to end; it has some seconds.
    fn ask_to_end(&mut self) {
        if let Some(line) = &mut self.line {
            // A guard that is gone has ended it.
            let _ = line.write_all(b"end\n").and_then(|()| line.flush());
        }
    }

    /// Ends the command at once, whoever is left of it and of its guard.
    fn end_at_once(&mut self) {
        self.line = None;
        if let Some(group) = self.group.and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Waits until the guard has gone and all that was written is read.
    async fn gone(mut self) {
        self.line = None;
        let joined = tokio::task::spawn_blocking(move || {
            let _ = self.guard.wait();
            let _ = self.reader.join();
        });
        // Something that got away could keep the log open for ever.
        let _ = tokio::time::timeout(Duration::from_secs(15), joined).await;
    }
}

/// What a command finds around it: nothing of this process but what its operator lets through.
fn environment(runner: &Runner, job: &LeasedJob, directory: &Path) -> Vec<(String, String)> {
    let url = runner.client.address().to_owned();
    let path = |path: PathBuf| path.display().to_string();
    let mut set: Vec<(String, String)> = vec![
        ("PATH".into(), std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".into())),
        ("LANG".into(), "C.UTF-8".into()),
        ("HOME".into(), path(directory.to_owned())),
        ("TMPDIR".into(), path(directory.join("tmp"))),
    ];
    set.extend(runner.pass_env.iter().cloned());
    set.extend(job.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    set.extend([
        ("STRONGBACK_URL".into(), url.clone()),
        ("MLFLOW_TRACKING_URI".into(), url.clone()),
        ("DATABRICKS_HOST".into(), url),
        ("STRONGBACK_JOB_ID".into(), job.job_id.clone()),
        ("STRONGBACK_ATTEMPT".into(), job.attempt.to_string()),
        ("STRONGBACK_RESULT".into(), path(directory.join("result.json"))),
    ]);
    // Databricks' client does not begin without a token; a server without authentication takes any.
    set.push(("DATABRICKS_TOKEN".into(), job.token.clone().unwrap_or_else(|| "none-needed".into())));
    if let Some(token) = &job.token {
        set.push(("STRONGBACK_TOKEN".into(), token.clone()));
        set.push(("MLFLOW_TRACKING_TOKEN".into(), token.clone()));
    }
    set
}

/// The answer to a heartbeat, and when that was sent: from then on the lease is counted.
type Beat<'a> = Pin<Box<dyn Future<Output = (Instant, Result<HeartbeatResponse>)> + 'a>>;

/// What is known of the job that runs.
struct Attempt<'a> {
    runner: &'a Runner,
    job: &'a LeasedJob,
    log: Arc<Mutex<Capture>>,
    used: Figures,
    /// Until when the lease is ours, as far as this machine knows.
    holds_until: Instant,
}

impl<'a> Attempt<'a> {
    fn new(runner: &'a Runner, job: &'a LeasedJob) -> Self {
        let log = Arc::new(Mutex::new(Capture::new(job.token.clone())));
        let holds_until = Instant::now() + lease(job);
        Self { runner, job, log, used: Figures::default(), holds_until }
    }

    /// Watches a command until it has ended. `None` when its job is another's.
    async fn attend(&mut self, mut running: Running, mut stop: watch::Receiver<bool>) -> Option<End> {
        // Why it is ended from here, if it is.
        let mut told: Option<Reason> = None;
        // The first one at once: the answer with the job may have been long under way, that to a heartbeat is counted from when
        // it was sent.
        let mut next_beat = Instant::now();
        let mut beat: Option<Beat<'a>> = None;
        let end = loop {
            tokio::select! {
                report = running.reports.recv() => match report {
                    Some(Report::Started { group }) => running.group = Some(group),
                    Some(Report::Used(used)) => self.used = used,
                    Some(Report::Ended { reason, exit_code, signal, message, used }) => {
                        self.used = used;
                        // Of its own accord before it heard of anything else: then it counts.
                        let reason = if reason == Reason::Stopped { told.unwrap_or(reason) } else { reason };
                        break Some(End { reason, exit_code, signal, message });
                    }
                    None => {
                        let message = "The guard of the command died, and the command was ended.".to_owned();
                        running.end_at_once();
                        break Some(End { reason: Reason::Exited, exit_code: None, signal: None, message });
                    }
                },
                answer = async { match &mut beat { Some(beat) => beat.await, None => std::future::pending().await } } => {
                    beat = None;
                    next_beat = Instant::now() + BEAT_EVERY.min(lease(self.job) / 3);
                    match self.heard(answer) {
                        Some(reason) if told.is_none() => {
                            told = Some(reason);
                            running.ask_to_end();
                        }
                        Some(_) | None => {}
                    }
                },
                () = tokio::time::sleep_until(next_beat), if beat.is_none() => beat = Some(self.beat()),
                () = tokio::time::sleep_until(self.holds_until) => {
                    running.end_at_once();
                    break None;
                },
                _ = stop.wait_for(|is_told| *is_told), if told.is_none() => {
                    told = Some(Reason::Stopped);
                    running.ask_to_end();
                },
            }
        };
        drop(beat);
        running.gone().await;
        self.log.lock().finish();
        end
    }

    /// A heartbeat with the next piece of the log.
    fn beat(&self) -> Beat<'a> {
        let (runner, job) = (self.runner, self.job);
        let body = {
            let log = self.log.lock();
            let (at, piece) = log.piece();
            json!({
                "runner": runner.name, "fencing_token": job.fencing_token, "lease_seconds": job.lease_seconds,
                "processor_ms": self.used.processor_ms, "wall_ms": self.used.wall_ms,
                "bytes_read": self.used.bytes_read, "bytes_written": self.used.bytes_written, "log": piece, "log_at": at,
            })
        };
        let path = format!("/api/1.0/runner/jobs/{}/heartbeat", job.job_id);
        let sent = Instant::now();
        Box::pin(async move { (sent, runner.client.post(&path, &body).await) })
    }

    /// What the answer to a heartbeat means: why the command is to end, if it is.
    fn heard(&mut self, (sent, answer): (Instant, Result<HeartbeatResponse>)) -> Option<Reason> {
        match answer {
            Ok(answer) => {
                self.holds_until = sent + lease(self.job);
                self.log.lock().sent_to(usize::try_from(answer.log_next).unwrap_or(0));
                answer.cancel.then_some(Reason::Cancelled)
            }
            Err(error) if is_lost(&error) => {
                printer::talk(error.message());
                self.holds_until = Instant::now();
                None
            }
            Err(error) => {
                printer::talk(&format!("No heartbeat: {}", error.message()));
                None
            }
        }
    }

    /// Tells the server the rest of the log and the end, again and again while it does not answer. Answers whether the job
    /// succeeded.
    async fn tell(&mut self, end: End, result: &Path) -> bool {
        let body = self.ended(&end, result);
        let until = Instant::now() + TELL_FOR;
        let path = format!("/api/1.0/runner/jobs/{}/end", self.job.job_id);
        loop {
            let told = match self.flush().await {
                Ok(()) => self.runner.client.post::<Json>(&path, &body).await,
                Err(error) => Err(error),
            };
            let error = match told {
                Ok(job) => {
                    let state = job["state"].as_str().unwrap_or_default();
                    let why = job["error"]["message"].as_str().unwrap_or_default();
                    printer::talk(format!("Job {} is {state}. {why}", self.job.job_id).trim_end());
                    return state == "succeeded";
                }
                Err(error) => error,
            };
            printer::talk(&format!("The end of job {} was not told: {}", self.job.job_id, error.message()));
            if is_lost(&error) || !error.is_ours() || Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(TELL_EVERY).await;
        }
    }

    /// Sends what is left of the log.
    async fn flush(&mut self) -> Result<()> {
        while !self.log.lock().piece().1.is_empty() {
            let before = self.log.lock().piece().0;
            let (_, answer) = self.beat().await;
            let answer = answer?;
            self.log.lock().sent_to(usize::try_from(answer.log_next).unwrap_or(0));
            if self.log.lock().piece().0 == before {
                return Err(Error::invalid("The server does not take the log."));
            }
        }
        Ok(())
    }

    fn ended(&self, end: &End, result: &Path) -> Json {
        let is_success = end.reason == Reason::Exited && end.exit_code == Some(0);
        let (output, complaint) = match read_result(result) {
            Ok(output) => (output.filter(|_| is_success), String::new()),
            Err(why) => (None, why),
        };
        json!({
            "runner": self.runner.name, "fencing_token": self.job.fencing_token, "reason": end.reason,
            "exit_code": end.exit_code, "signal": end.signal,
            "message": format!("{} {complaint}", end.message).trim(),
            "processor_ms": self.used.processor_ms, "wall_ms": self.used.wall_ms,
            "bytes_read": self.used.bytes_read, "bytes_written": self.used.bytes_written,
            "peak_memory_bytes": self.used.peak_memory_bytes, "output": output,
        })
    }
}

fn lease(job: &LeasedJob) -> Duration {
    Duration::from_secs(job.lease_seconds.max(1) as u64)
}

/// Whether the job is another's now, or nobody's.
fn is_lost(error: &Error) -> bool {
    matches!(error.code(), Code::ResourceConflict | Code::ResourceDoesNotExist)
}

/// What the command left as its result, if it did; or what is wrong with it.
fn read_result(path: &Path) -> Result<Option<String>, String> {
    let Ok(file) = fs::File::open(path) else { return Ok(None) };
    let mut text = String::new();
    let read = file.take(RESULT_BYTES_MAX + 1).read_to_string(&mut text);
    if read.is_err() || text.len() as u64 > RESULT_BYTES_MAX {
        return Err(format!("STRONGBACK_RESULT holds no text, or more than {RESULT_BYTES_MAX} bytes."));
    }
    match serde_json::from_str::<Json>(&text) {
        Ok(value) => Ok(Some(value.to_string())),
        Err(error) => Err(format!("STRONGBACK_RESULT holds no valid JSON: {error}.")),
    }
}
