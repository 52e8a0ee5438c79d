//! The command line: what to measure, how long, on which machine state to insist.

use std::path::PathBuf;

use bench::facts::Insist;
use clap::{Parser, ValueEnum};

/// Measures Strongback beside MLflow's own server: same run, same clients, same data, rounds interleaved.
///
/// Exit status: 0 figures were taken, 1 something failed (a figure with errors is not a figure), 2 the machine is too
/// noisy to tell.
#[derive(Debug, Clone, Parser)]
#[command(name = "strongback-bench", version)]
pub struct Options {
    /// What to measure; everything unless named.
    pub workloads: Vec<Workload>,
    /// The strongback binary.
    #[arg(long, env = "STRONGBACK_BIN")]
    pub binary: PathBuf,
    /// Strongback's metadata goes to this PostgreSQL database, which must be empty, instead of SQLite.
    #[arg(long)]
    pub database_url: Option<String>,
    /// The Python environment that holds MLflow, the peer.
    #[arg(long, env = "STRONGBACK_VENV", required_unless_present = "no_peer")]
    pub venv: Option<PathBuf>,
    /// Measure without the peer; no ratios then.
    #[arg(long)]
    pub no_peer: bool,
    /// Worker processes of the peer; its own default unless given.
    #[arg(long)]
    pub peer_workers: Option<u32>,
    /// Runs stored before writing is measured.
    #[arg(long, default_value_t = 50_000)]
    pub preload: u32,
    /// Runs stored before searches, memory and start are measured.
    #[arg(long, default_value_t = 100_000)]
    pub search_preload: u32,
    /// The same two for the peer, where it shall hold less than ours.
    #[arg(long)]
    pub peer_preload: Option<u32>,
    #[arg(long)]
    pub peer_search_preload: Option<u32>,
    /// Points of the one series whose history is asked for.
    #[arg(long, default_value_t = 1_000_000)]
    pub history_points: u32,
    /// Clients that write at once.
    #[arg(long, default_value_t = 8)]
    pub clients: usize,
    /// Rounds a side, ours and peer in turn.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Seconds a round.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds a side that are run before and not counted.
    #[arg(long, default_value_t = 2.0)]
    pub warm_up_seconds: f64,
    #[command(flatten)]
    pub insist: Insist,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Folder that results are added to; an empty value keeps none.
    #[arg(long, default_value = "bench/results", value_parser = |text: &str| Ok::<_, std::convert::Infallible>(PathBuf::from(text)))]
    pub results: PathBuf,
}

/// One thing to measure, in the order in which a session measures them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Workload {
    /// Create, one log-batch of 10 metrics, 10 params and 4 tags, finish: runs a second.
    CompleteRuns,
    /// Batches of 1,000 points of 10 keys: points a second.
    LogBatch,
    /// Metric filter, param filter, metric order: milliseconds.
    Search,
    /// The same while four clients write into the experiment that is searched, 99th percentile: milliseconds.
    SearchWriting,
    /// One long series reduced to 2,000 points: milliseconds.
    History,
    /// One large file through the server, up and down, beside `cp`: MiB a second.
    Artifacts,
    /// One experiment by eight clients, requests a second; a search among registered models, milliseconds.
    Requests,
    /// Memory after all of the above, again after the first SQL query, and with an endpoint loaded: megabytes.
    Memory,
    /// From exec to the first answered /health: milliseconds.
    Start,
}

impl Options {
    /// Whether the binary is no release build: of such a one nothing is kept.
    pub fn is_debug(&self) -> bool {
        self.binary.components().any(|part| part.as_os_str() == "debug")
    }

    /// The chosen workloads in their order, all of them when none is named.
    pub fn chosen(&self) -> Vec<Workload> {
        let mut chosen = match self.workloads.as_slice() {
            [] => Workload::value_variants().to_vec(),
            named => named.to_vec(),
        };
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }
}
