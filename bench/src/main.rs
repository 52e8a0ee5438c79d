//! `strongback-bench`: Strongback beside MLflow's own server, the same requests from the same clients in the same run,
//! rounds interleaved. Definitions and reading help stand in `README.md`.
//!
//! Invariant: nothing is printed as a figure that had an error or was taken on a machine too noisy to tell, unless
//! noise was accepted, and then the result says so.

mod contender;
mod data;
mod options;
mod preload;
mod results;
mod wire;
mod workload;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use bench::facts::Facts;
use bench::machine::Noise;
use bench::say;
use clap::Parser;

use contender::Contender;
use options::{Options, Workload};
use results::{Document, Figure};

/// What a session ends with.
enum Outcome {
    Measured(Box<Document>),
    TooNoisy(String),
}

fn main() -> ExitCode {
    let options = Options::parse();
    match session(&options).and_then(|outcome| publish(&options, outcome)) {
        Ok(code) => code,
        Err(error) => {
            say::talk(&format!("no figures: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn publish(options: &Options, outcome: Outcome) -> Result<ExitCode> {
    let document = match outcome {
        Outcome::Measured(document) => document,
        Outcome::TooNoisy(objection) => {
            say::talk(&format!("the machine is too noisy to tell: {objection}"));
            return Ok(ExitCode::from(2));
        }
    };
    if options.json {
        say::result(&serde_json::to_string_pretty(&document)?);
    } else {
        document.print_table();
    }
    if options.is_debug() {
        say::talk("nothing is kept of a debug build");
    } else if !options.results.as_os_str().is_empty() {
        document.keep(&options.results)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How long the machine is left alone before its noise is measured once more.
const SETTLE: Duration = Duration::from_secs(20);

fn session(options: &Options) -> Result<Outcome> {
    let insist = &options.insist;
    ensure!(
        insist.accept_noise || !options.is_debug(),
        "{} is no release build; bench/run.sh makes one, and --accept-noise measures all the same",
        options.binary.display()
    );
    let folder = tempfile::Builder::new().prefix("strongback-bench-").tempdir()?;
    let mut facts = Facts::gather(insist, folder.path())?;
    if let Some(objection) = facts.refusal(insist) {
        return Ok(Outcome::TooNoisy(objection.to_string()));
    }
    let mut contenders = vec![Contender::ours(options, folder.path())?];
    contenders.extend(Contender::peer(options, folder.path())?);
    let figures = measure(options, &mut contenders)?;
    let versions = contenders.iter().map(Contender::version).collect::<Result<Vec<String>>>()?;
    contenders.iter_mut().try_for_each(Contender::stop)?;

    // The peer's workers may be ending still, and what was written is on its way.
    std::thread::sleep(SETTLE);
    let noise_after = Noise::measure()?;
    let objection = noise_after.objection(insist.load_max, insist.spread_max, true);
    if let (Some(objection), false) = (&objection, insist.accept_noise) {
        return Ok(Outcome::TooNoisy(format!("at the end {objection}")));
    }
    facts.objection = facts.objection.or(objection);
    if options.is_debug() {
        facts.objection = Some("the server is a debug build".to_string());
    }
    Ok(Outcome::Measured(Box::new(Document {
        facts,
        noise_after,
        durability: "power on both sides: an answer follows fdatasync (ours, or its database's), a synchronous SQLite commit (peer)",
        ours_version: versions.first().cloned().unwrap_or_default(),
        ours_store: if options.database_url.is_some() { "PostgreSQL" } else { "SQLite" },
        peer_version: versions.get(1).cloned(),
        peer_workers: options
            .peer_workers
            .map_or_else(|| "as shipped (4)".to_string(), |count| count.to_string()),
        figures,
    })))
}

/// Writing is measured on the smaller store; then both stores grow for what is read.
fn measure(options: &Options, contenders: &mut [Contender]) -> Result<Vec<Figure>> {
    let chosen = options.chosen();
    let (writing, reading): (Vec<Workload>, Vec<Workload>) =
        chosen.iter().partition(|workload| matches!(workload, Workload::CompleteRuns | Workload::LogBatch));
    let mut figures = Vec::new();
    if reading.contains(&Workload::Memory) {
        workload::memory::prepare(options, contenders)?;
    }
    if !writing.is_empty() {
        fill(contenders, options.preload, options.peer_preload, 0)?;
    }
    for workload in writing {
        figures.extend(one(workload, options, contenders)?);
    }
    if !reading.is_empty() {
        let points = if reading.contains(&Workload::History) { options.history_points } else { 0 };
        fill(contenders, options.search_preload, options.peer_search_preload, points)?;
    }
    for workload in reading {
        figures.extend(one(workload, options, contenders)?);
    }
    Ok(figures)
}

fn fill(contenders: &mut [Contender], runs: u32, peer_runs: Option<u32>, points: u32) -> Result<()> {
    for contender in contenders {
        let runs = match contender.side {
            contender::Side::Ours => runs,
            contender::Side::Peer => peer_runs.unwrap_or(runs),
        };
        say::talk(&format!("{:?}: storing {runs} runs and {points} points of one series", contender.side));
        preload::ensure(contender, runs, points)?;
    }
    Ok(())
}

fn one(workload: Workload, options: &Options, contenders: &mut [Contender]) -> Result<Vec<Figure>> {
    match workload {
        Workload::CompleteRuns => workload::complete_runs::measure(options, contenders),
        Workload::LogBatch => workload::log_batch::measure(options, contenders),
        Workload::Search => workload::search::measure(options, contenders),
        Workload::SearchWriting => workload::contended::measure(options, contenders),
        Workload::Artifacts => workload::artifacts::measure(options, contenders),
        Workload::History => workload::history::measure(options, contenders),
        Workload::Requests => workload::requests::measure(options, contenders),
        Workload::Memory => workload::memory::measure(options, contenders),
        Workload::Start => workload::start::measure(options, contenders),
    }
}
