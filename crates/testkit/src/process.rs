//! A server as a child process: started in a process group of its own, its output captured in a file, awaited until
//! `/health` answers, killed or terminated.
//!
//! Invariant: no child outlives its [`Process`]; dropping one kills the whole group.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::http::Client;

const POLL: Duration = Duration::from_micros(500);
const LOG_TAIL_BYTES: usize = 4_000;

/// What to run: `{data_dir}` and `{port}` in an argument stand for where it shall work and listen.
#[derive(Debug, Clone)]
pub struct Launch {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// Whether a write beyond the limit on the size of files fails, as on a full disk, in place of ending the process.
    pub survives_file_limit: bool,
}

impl Launch {
    pub fn new(program: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Self { program: program.into(), arguments, environment: Vec::new(), survives_file_limit: false }
    }

    /// `strongback up` on a data directory and a port, metadata in `database_url` when one is given.
    pub fn strongback(binary: impl Into<PathBuf>, database_url: Option<&str>) -> Self {
        let mut launch = Self::new(binary, &["up", "--data-dir", "{data_dir}", "--port", "{port}"]);
        if let Some(url) = database_url {
            launch.arguments.extend(["--database-url".to_string(), url.to_string()]);
        }
        launch
    }

    /// Starts it, without waiting for anything, with its output appended to `log`.
    pub fn start(&self, data_dir: &Path, port: u16, log: &Path) -> Result<Process> {
        let data_dir = data_dir.to_str().context("the data directory's path is not UTF-8")?;
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(&self.program);
        if self.survives_file_limit {
            // What is ignored stays ignored by whatever a process becomes.
            command = Command::new("sh");
            command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(&self.program);
        }
        let child = command
            .args(
                self.arguments
                    .iter()
                    .map(|each| each.replace("{data_dir}", data_dir).replace("{port}", &port.to_string())),
            )
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(File::try_clone(&output)?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        Ok(Process { child, log: log.to_path_buf(), exit: None })
    }
}

/// A running child and its group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    exit: Option<ExitStatus>,
}

impl Process {
    /// The process id of the child itself.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `GET /health` at `address` answers 200 and says how long that took; an error with the end of the
    /// log when the child ends first or `deadline` passes.
    pub fn wait_until_healthy(&mut self, address: SocketAddr, deadline: Duration) -> Result<Duration> {
        let began = Instant::now();
        let mut client = Client::new(address).with_timeout(Duration::from_secs(2));
        loop {
            if client.get("/health").is_ok_and(|answer| answer.status == 200) {
                return Ok(began.elapsed());
            }
            if let Some(status) = self.exited()? {
                bail!(
                    "the server ended with {status} before it was healthy; its log ends:\n{}",
                    self.log_tail()
                );
            }
            if began.elapsed() > deadline {
                bail!("the server was not healthy within {deadline:?}; its log ends:\n{}", self.log_tail());
            }
            std::thread::sleep(POLL);
        }
    }

    /// The exit status, if the child has ended.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait()?;
        }
        Ok(self.exit)
    }

    /// `kill -9` to the whole group, and waits for the child's end.
    pub fn kill9(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.exit {
            return Ok(status);
        }
        if let Some(group) = self.pid() {
            // The group is gone when every member has ended on its own: nothing is left to kill then.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let status = self.child.wait()?;
        self.exit = Some(status);
        Ok(status)
    }

    /// SIGTERM to the child, which then has until `deadline` to end by itself; after that an error, and the group is
    /// killed.
    pub fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let began = Instant::now();
        if self.exited()?.is_none()
            && let Some(pid) = self.pid()
        {
            kill_process(pid, Signal::TERM)?;
        }
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if began.elapsed() > deadline {
                self.kill9()?;
                bail!(
                    "the server did not end within {deadline:?} of SIGTERM; its log ends:\n{}",
                    self.log_tail()
                );
            }
            std::thread::sleep(POLL);
        }
    }

    /// All that the child has written to stdout and stderr.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let cut = log.len().saturating_sub(LOG_TAIL_BYTES);
        let start = (cut..=log.len()).find(|&index| log.is_char_boundary(index)).unwrap_or(0);
        log[start..].to_string()
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id() as i32)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exit.is_none() {
            // Nothing can be reported from here; the group is dead or was never there.
            let _ = self.kill9();
        }
    }
}

/// A port of the loopback interface that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The loopback address with this port.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::{Launch, free_port, loopback};
    use std::os::unix::process::ExitStatusExt as _;
    use std::time::Duration;

    fn shell(script: &str) -> Launch {
        Launch::new("/bin/sh", &["-c", script])
    }

    #[test]
    fn a_child_that_ends_early_is_reported_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port().unwrap();
        let mut child = shell("echo on {data_dir}; exit 3")
            .start(folder.path(), port, &folder.path().join("log"))
            .unwrap();
        let error =
            child.wait_until_healthy(loopback(port), Duration::from_secs(10)).unwrap_err().to_string();
        assert!(
            error.contains("exit status: 3") && error.contains(folder.path().to_str().unwrap()),
            "{error}"
        );
    }

    #[test]
    fn killing_and_terminating_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut killed = shell("sleep 60 & wait").start(folder.path(), 1, &log).unwrap();
        assert_eq!(killed.kill9().unwrap().signal(), Some(9));
        assert_eq!(killed.kill9().unwrap().signal(), Some(9), "a second kill reports the first");

        let orderly = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
        let mut terminated = shell(orderly).start(folder.path(), 1, &log).unwrap();
        while !terminated.log().contains("ready") {
            std::thread::yield_now();
        }
        assert!(terminated.terminate(Duration::from_secs(10)).unwrap().success());
        assert!(terminated.log().ends_with("bye\n"));

        let mut deaf = shell("trap '' TERM; echo deaf; while :; do sleep 0.05; done")
            .start(folder.path(), 1, &log)
            .unwrap();
        while !deaf.log().contains("deaf") {
            std::thread::yield_now();
        }
        let error = deaf.terminate(Duration::from_millis(200)).unwrap_err().to_string();
        assert!(error.contains("did not end within"), "{error}");
        assert_eq!(deaf.exited().unwrap().unwrap().signal(), Some(9));
    }
}
