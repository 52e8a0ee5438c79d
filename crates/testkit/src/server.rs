//! One Strongback server for one test: its own data directory, a free port, its log, and its whole life.
//!
//! Invariant: data directory and port stay the same through kills and restarts; a directory that was made here goes
//! when the server is dropped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::http::Client;
use crate::process::{Launch, Process, free_port, loopback};

/// How long a start may take before it counts as failed. The product's own goal is a small part of it; builds
/// without optimisation on a busy machine need the rest.
const START_DEADLINE: Duration = Duration::from_mins(1);
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// The binary under test: `STRONGBACK_BIN`, else what the caller was built with
/// (`option_env!("CARGO_BIN_EXE_strongback")`).
pub fn strongback_binary(built: Option<&str>) -> Result<PathBuf> {
    std::env::var_os("STRONGBACK_BIN")
        .map(PathBuf::from)
        .or_else(|| built.map(PathBuf::from))
        .context("which binary? Set STRONGBACK_BIN to the path of the strongback binary")
}

/// A server, running or not, and the folder that is its world.
#[derive(Debug)]
pub struct Server {
    launch: Launch,
    folder: TempDir,
    data_dir: PathBuf,
    address: SocketAddr,
    process: Option<Process>,
}

impl Server {
    /// Starts `launch` on a fresh data directory and waits for `/health`.
    pub fn start(launch: Launch) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("strongback-test-").tempdir()?;
        let data_dir = folder.path().join("data");
        std::fs::create_dir(&data_dir)?;
        Self::start_in(launch, folder, data_dir)
    }

    /// Starts `launch` on a data directory that is there already and stays when the server is dropped.
    pub fn start_on(launch: Launch, data_dir: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("strongback-test-").tempdir()?;
        Self::start_in(launch, folder, data_dir.to_path_buf())
    }

    fn start_in(launch: Launch, folder: TempDir, data_dir: PathBuf) -> Result<Self> {
        let mut server = Self { launch, folder, data_dir, address: loopback(free_port()?), process: None };
        server.restart()?;
        Ok(server)
    }

    /// [`Server::start`] for `strongback up`, with metadata in SQLite.
    pub fn strongback(binary: impl Into<PathBuf>) -> Result<Self> {
        Self::start(Launch::strongback(binary, None))
    }

    /// Starts it again on the same directory and port and says how long it took until `/health` answered. A server
    /// that still runs is killed first.
    pub fn restart(&mut self) -> Result<Duration> {
        self.begin_restart()?;
        self.wait_until_healthy()
    }

    /// Starts it again without waiting: for those who want to kill it while it recovers.
    pub fn begin_restart(&mut self) -> Result<()> {
        self.process = None;
        self.process = Some(self.launch.start(&self.data_dir(), self.address.port(), &self.log_path())?);
        Ok(())
    }

    /// Waits for the first answered `/health` since [`Server::begin_restart`].
    pub fn wait_until_healthy(&mut self) -> Result<Duration> {
        let address = self.address;
        self.running()?.wait_until_healthy(address, START_DEADLINE)
    }

    /// `kill -9`; returns when the process is gone.
    pub fn kill9(&mut self) -> Result<ExitStatus> {
        self.running()?.kill9()
    }

    /// SIGTERM, and the exit status of the orderly end.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.running()?.terminate(STOP_DEADLINE)
    }

    /// The process id, if it was started and not yet dropped.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Processor time that the process has used so far.
    pub fn processor_time(&self) -> Result<Duration> {
        let id = self.id().context("the server was never started")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_ascii_whitespace();
        // User and system time, the 14th and 15th field of proc(5), in hundredths of a second.
        let ticks: Vec<u64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        ensure!(ticks.len() == 2, "this is no line of a process: {stat}");
        Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.exited(), Ok(None)))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A new client of this server.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone()
    }

    /// A folder of its own, for files that belong to the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything written to stdout and stderr since the first start, restarts included.
    pub fn log(&self) -> String {
        std::fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Runs another command of the same binary on the same data: `arguments`, then `--data-dir` and, where the server
    /// has one, `--database-url`.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.launch.program);
        command.args(arguments).arg("--data-dir").arg(self.data_dir());
        if let Some(at) = self.launch.arguments.iter().position(|each| each == "--database-url") {
            command.args(&self.launch.arguments[at..=at + 1]);
        }
        command.envs(self.launch.environment.iter().map(|(name, value)| (name, value)));
        command.output().with_context(|| format!("cannot run {}", self.launch.program.display()))
    }

    /// Lets no file of the running server grow above so many bytes: what is written beyond fails in the middle, as on a disk that is
    /// full. `None`: as large as it likes. [`Launch::survives_file_limit`] has to be set.
    pub fn limit_files(&self, bytes: Option<u64>) -> Result<()> {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        ensure!(
            self.launch.survives_file_limit,
            "the server would be ended by its first write beyond the limit"
        );
        let pid = self.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("no server runs")?;
        prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None })?;
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the server was never started")
    }
}
