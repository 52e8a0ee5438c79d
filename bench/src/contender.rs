//! One of the two servers that are measured: how it is started, filled, looked at and stopped.
//!
//! Invariant: both are asked over HTTP by the same code. The one difference is how the peer is filled: over HTTP it
//! takes about a tenth of a second a run, so its preload is written into its own schema by `seed_peer.py`, through
//! MLflow's own store for the schema and the experiment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use testkit::http::Client;
use testkit::process::{Launch, Process, free_port, loopback};

use crate::options::Options;

const START_DEADLINE: Duration = Duration::from_mins(3);
/// The peer's slowest search over 100,000 runs takes more than a minute.
const ANSWER_DEADLINE: Duration = Duration::from_mins(10);
const STOP_DEADLINE: Duration = Duration::from_mins(1);

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Ours,
    Peer,
}

/// A server with its data directory and what is stored in it.
#[derive(Debug)]
pub struct Contender {
    pub side: Side,
    launch: Launch,
    data_dir: PathBuf,
    address: SocketAddr,
    process: Option<Process>,
    venv: Option<PathBuf>,
    /// Runs and points that were stored before anything was measured.
    pub preloaded_runs: u32,
    pub history_run: Option<String>,
    pub preload_experiment: Option<String>,
}

/// Memory of a server's process tree.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    pub processes: usize,
    /// Of the process that was started.
    pub server: Usage,
    /// Of it and all its descendants.
    pub all: Usage,
}

/// Memory in MiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub resident: f64,
    /// Resident, with pages that several processes share divided among them.
    pub proportional: f64,
    pub anonymous: f64,
}

impl Memory {
    /// What is compared: ours is one process, the peer is several that are no use without each other.
    pub fn measured(&self, side: Side) -> Usage {
        match side {
            Side::Ours => self.server,
            Side::Peer => self.all,
        }
    }
}

impl Usage {
    /// By the text of a `smaps_rollup`.
    fn read(smaps: &str) -> Self {
        let field = |name| mebibytes(smaps, name);
        Self { resident: field("Rss:"), proportional: field("Pss:"), anonymous: field("Anonymous:") }
    }

    fn add(&mut self, other: Self) {
        self.resident += other.resident;
        self.proportional += other.proportional;
        self.anonymous += other.anonymous;
    }
}

impl Contender {
    /// Ours, on a fresh data directory below `folder`; not started yet.
    pub fn ours(options: &Options, folder: &Path) -> Result<Self> {
        let mut launch = Launch::strongback(&options.binary, options.database_url.as_deref());
        if let Some(venv) = &options.venv {
            let python = venv.join("bin/python").display().to_string();
            launch.environment.push(("STRONGBACK_WORKER_PYTHON".to_string(), python));
        }
        Self::new(Side::Ours, launch, folder, None)
    }

    /// MLflow's own server as its users run it: SQLite, artifacts through the server.
    pub fn peer(options: &Options, folder: &Path) -> Result<Option<Self>> {
        let Some(venv) = options.venv.as_ref().filter(|_| !options.no_peer) else { return Ok(None) };
        let mut launch = Launch::new(
            venv.join("bin/mlflow"),
            &[
                "server",
                "--host",
                "127.0.0.1",
                "--port",
                "{port}",
                "--backend-store-uri",
                "sqlite:///{data_dir}/mlflow.db",
                "--artifacts-destination",
                "{data_dir}/artifacts",
            ],
        );
        if let Some(workers) = options.peer_workers {
            launch.arguments.extend(["--workers".to_string(), workers.to_string()]);
        }
        Self::new(Side::Peer, launch, folder, Some(venv.clone())).map(Some)
    }

    fn new(side: Side, launch: Launch, folder: &Path, venv: Option<PathBuf>) -> Result<Self> {
        let data_dir = folder.join(format!("{side:?}").to_lowercase());
        std::fs::create_dir(&data_dir)?;
        Ok(Self {
            side,
            launch,
            data_dir,
            address: loopback(free_port()?),
            process: None,
            venv,
            preloaded_runs: 0,
            history_run: None,
            preload_experiment: None,
        })
    }

    /// Starts it and waits for `/health`; how long that took from exec on.
    pub fn start(&mut self) -> Result<Duration> {
        let began = Instant::now();
        let log = self.data_dir.with_extension("log");
        let mut process = self.launch.start(&self.data_dir, self.address.port(), &log)?;
        process.wait_until_healthy(self.address, START_DEADLINE)?;
        self.process = Some(process);
        Ok(began.elapsed())
    }

    /// Ends it in order; what it had is kept.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.terminate(STOP_DEADLINE)?;
        }
        Ok(())
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub fn client(&self) -> Client {
        Client::new(self.address).with_timeout(ANSWER_DEADLINE)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Runs a command of the binary that is measured against the server; an error with what it said where it fails.
    pub fn command(&self, options: &Options, arguments: &[&str]) -> Result<()> {
        let output =
            Command::new(&options.binary).args(arguments).args(["--server", &self.url()]).output()?;
        if !output.status.success() {
            bail!("{}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The Python interpreter that the peer runs on.
    pub fn python(&self) -> Option<PathBuf> {
        self.venv.as_ref().map(|venv| venv.join("bin/python"))
    }

    /// What the server says it is. Ours answers MLflow's clients with the version of MLflow that it stands for, and says
    /// its own in its description of itself.
    pub fn version(&self) -> Result<String> {
        let mut client = self.client();
        Ok(match self.side {
            Side::Ours => {
                let described = client.get("/api/openapi.json")?.json();
                described["info"]["version"].as_str().context("a version in the description")?.to_string()
            }
            Side::Peer => client.get("/version")?.text().trim().to_string(),
        })
    }

    /// Bytes of all files in the data directory, as the file system has allocated them; none where the metadata are
    /// elsewhere.
    pub fn stored_bytes(&self) -> Result<Option<u64>> {
        if self.launch.arguments.iter().any(|argument| argument == "--database-url") {
            return Ok(None);
        }
        allocated_bytes(&self.data_dir).map(Some)
    }

    /// Memory of the server process and all its descendants.
    pub fn memory(&self) -> Result<Memory> {
        let root = self.process.as_ref().context("the server does not run")?.id();
        let mut total = Memory::default();
        for pid in process_tree(root)? {
            // A process may end between listing and reading; what is gone holds no memory.
            let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
            let usage = Usage::read(&text);
            total.processes += 1;
            total.all.add(usage);
            if pid == root {
                total.server = usage;
            }
        }
        if total.processes == 0 {
            bail!("no process of the server could be read");
        }
        Ok(total)
    }
}

fn mebibytes(smaps: &str, field: &str) -> f64 {
    let line = smaps.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1_024.0
}

/// A process and all its descendants, by the parent each names.
fn process_tree(root: u32) -> Result<Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The command in parentheses may hold spaces; state and parent come after it.
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut tree = vec![root];
    let mut next = 0;
    while next < tree.len() {
        tree.extend(children.remove(&tree[next]).unwrap_or_default());
        next += 1;
    }
    Ok(tree)
}

fn allocated_bytes(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut total = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // Journals come and go while a server runs.
        let Ok(metadata) = entry.metadata() else { continue };
        total += if metadata.is_dir() { allocated_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::{mebibytes, process_tree};

    #[test]
    fn memory_is_read_in_mebibytes() {
        let text =
            "560-7ff ---p 00000000 00:00 0 [rollup]\nRss:     2048 kB\nPss:  1024 kB\nAnonymous:  512 kB\n";
        assert_eq!(
            [mebibytes(text, "Rss:"), mebibytes(text, "Pss:"), mebibytes(text, "Swap:")],
            [2.0, 1.0, 0.0]
        );
    }

    #[test]
    fn a_tree_holds_the_children() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let tree = process_tree(std::process::id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(tree.contains(&child.id()) && tree[0] == std::process::id(), "{tree:?}");
    }
}
