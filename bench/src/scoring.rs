//! `strongback-bench-scoring`: one scoring request, again and again, at servers that are up already; rounds interleaved.
//!
//! The scripts train the models, start the servers and call this. Every server gets the same bytes; an answer with another status
//! than 200 is an error, and a figure with errors is not a figure: the exit status is 1 then. With `--rate` requests are due at
//! that rate and latencies begin when they were due; a rate that was not reached is an error too.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bench::bare::Bare;
use bench::load::{Tally, closed_loop, expect_ok, open_loop, percentile_ms};
use bench::machine::SyncCost;
use bench::say;
use clap::Parser;
use serde::Serialize;
use testkit::http::Client;

/// Share of the rate below which it counts as not reached.
const REACHED: f64 = 0.95;

/// Sends one body to several servers in turn and prints rates and latencies as JSON.
#[derive(Debug, Parser)]
#[command(name = "strongback-bench-scoring")]
struct Options {
    /// NAME=ADDRESS:PORT/PATH, or NAME=onnx:FILE for a model that is run here, without a server; the first is what the others
    /// are compared with.
    #[arg(required = true)]
    servers: Vec<String>,
    /// The file of the body.
    #[arg(long)]
    body: PathBuf,
    /// Connections at once.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    connections: Vec<usize>,
    /// Requests a second, evenly spaced; else each connection sends its next one when the last one is answered.
    #[arg(long)]
    rate: Option<f64>,
    /// Rounds a server, in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds a round.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds a server that are run before and not counted.
    #[arg(long, default_value_t = 2.0)]
    warm_up_seconds: f64,
    /// Measure what one fdatasync costs in this folder, before each round.
    #[arg(long)]
    sync_in: Option<PathBuf>,
    /// ONNX Runtime's library, for models that are run here.
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
}

/// What is asked.
enum Target {
    Server { address: SocketAddr, path: String },
    Bare(Bare),
}

/// A target by its name.
struct Asked {
    name: String,
    target: Target,
}

/// What one server gave at so many connections: medians over the rounds.
#[derive(Debug, Serialize)]
struct Figure {
    server: String,
    connections: usize,
    requests_per_second: f64,
    requests: u64,
    rounds: Vec<f64>,
    p50_ms: f64,
    p99_ms: f64,
    /// The two of each round.
    percentiles_ms: Vec<(f64, f64)>,
    /// How many times the others' rate the first server has; 1 for itself.
    ratio_of_first: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    paced: Option<Paced>,
    /// What one fdatasync cost before each round.
    #[serde(skip_serializing_if = "Option::is_none")]
    sync_cost: Option<SyncCost>,
}

/// What an open loop tells besides: latencies begin when requests were due.
#[derive(Debug, Serialize)]
struct Paced {
    rate: f64,
    /// How late requests were sent: the generator's own share of the latency.
    late_p50_ms: f64,
    late_p99_ms: f64,
    /// From when they were sent.
    own_p50_ms: f64,
    own_p99_ms: f64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(text) => {
            say::result(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            say::talk(&format!("no figures: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<String> {
    let body = std::fs::read(&options.body).with_context(|| options.body.display().to_string())?;
    let asked =
        options.servers.iter().map(|text| Asked::parse(text, options, &body)).collect::<Result<Vec<_>>>()?;
    ensure!(options.rate.is_none_or(|rate| rate > 0.0), "a rate is more than 0");
    let mut figures = Vec::new();
    for &connections in &options.connections {
        ensure!(connections > 0, "no connection scores nothing");
        figures.extend(at(options, &asked, &body, connections)?);
    }
    Ok(serde_json::to_string_pretty(&figures)?)
}

/// All rounds at so many connections.
fn at(options: &Options, asked: &[Asked], body: &[u8], connections: usize) -> Result<Vec<Figure>> {
    let round = |one: &Asked, seconds| one.round(body, connections, seconds, options.rate);
    let mut rounds: Vec<Vec<(Tally, Option<SyncCost>)>> = asked.iter().map(|_| Vec::new()).collect();
    if options.warm_up_seconds > 0.0 {
        for one in asked {
            round(one, options.warm_up_seconds)?;
        }
    }
    for _ in 0..options.rounds {
        for (one, rounds) in asked.iter().zip(&mut rounds) {
            let sync = options.sync_in.as_deref().map(SyncCost::once_calm).transpose()?;
            rounds.push((round(one, options.seconds)?, sync));
        }
    }
    let mut figures: Vec<Figure> = asked
        .iter()
        .zip(&rounds)
        .map(|(one, rounds)| Figure::of(&one.name, connections, options.rate, rounds))
        .collect();
    let first = figures.first().map_or(0.0, |figure| figure.requests_per_second);
    for figure in &mut figures {
        figure.ratio_of_first = first / figure.requests_per_second;
    }
    Ok(figures)
}

impl Asked {
    fn parse(text: &str, options: &Options, body: &[u8]) -> Result<Self> {
        let shape = || format!("{text} is neither NAME=ADDRESS:PORT/PATH nor NAME=onnx:FILE");
        let (name, place) = text.split_once('=').with_context(shape)?;
        let target = match place.strip_prefix("onnx:") {
            Some(model) => {
                let library = options.onnxruntime.as_deref().context("--onnxruntime names the library")?;
                Target::Bare(Bare::load(library, Path::new(model), body)?)
            }
            None => {
                let (address, path) = place.split_once('/').with_context(shape)?;
                Target::Server { address: address.parse()?, path: format!("/{path}") }
            }
        };
        Ok(Self { name: name.into(), target })
    }

    fn round(&self, body: &[u8], connections: usize, seconds: f64, rate: Option<f64>) -> Result<Tally> {
        let tally = match &self.target {
            Target::Bare(bare) => load(connections, seconds, rate, |_| Ok(()), |()| bare.run())?,
            Target::Server { address, path } => {
                let ask = |client: &mut Client| {
                    let answer = client.request("POST", path, Some("application/json"), body)?;
                    expect_ok(answer).map(|_| ())
                };
                // Each connection is open, and has asked once, before the clock runs.
                let prepare = |_| {
                    let mut client = Client::new(*address);
                    ask(&mut client).map(|()| client)
                };
                load(connections, seconds, rate, prepare, ask)?
            }
        };
        if tally.errors > 0 {
            bail!(
                "{}: {} requests failed, the first: {}",
                self.name,
                tally.errors,
                tally.first_error.unwrap_or_default()
            );
        }
        if let Some(rate) = rate {
            let reached = tally.per_second();
            ensure!(
                reached >= rate * REACHED,
                "{}: {reached:.0} requests/s were answered, and {rate:.0} were due",
                self.name
            );
        }
        Ok(tally)
    }
}

fn load<S: Send>(
    connections: usize,
    seconds: f64,
    rate: Option<f64>,
    prepare: impl Fn(usize) -> Result<S> + Sync,
    unit: impl Fn(&mut S) -> Result<()> + Sync,
) -> Result<Tally> {
    let duration = Duration::from_secs_f64(seconds);
    let (tally, _) = match rate {
        Some(rate) => open_loop(connections, rate, duration, prepare, unit)?,
        None => closed_loop(connections, duration, prepare, unit)?,
    };
    Ok(tally)
}

impl Figure {
    fn of(server: &str, connections: usize, rate: Option<f64>, rounds: &[(Tally, Option<SyncCost>)]) -> Self {
        let over = |value: &dyn Fn(&Tally) -> f64| median(rounds.iter().map(|(tally, _)| value(tally)));
        let latency = |share| over(&|tally| tally.percentile_ms(share));
        let late = |share| over(&|tally| percentile_ms(&tally.late_us, share));
        let own = |share| over(&|tally| percentile_ms(&tally.own_us, share));
        let syncs: Vec<&SyncCost> = rounds.iter().filter_map(|(_, sync)| sync.as_ref()).collect();
        Self {
            server: server.to_string(),
            connections,
            requests_per_second: over(&Tally::per_second),
            requests: rounds.iter().map(|(tally, _)| tally.done).sum(),
            rounds: rounds.iter().map(|(tally, _)| tally.per_second()).collect(),
            p50_ms: latency(0.5),
            p99_ms: latency(0.99),
            percentiles_ms: rounds
                .iter()
                .map(|(tally, _)| (tally.percentile_ms(0.5), tally.percentile_ms(0.99)))
                .collect(),
            ratio_of_first: 1.0,
            paced: rate.map(|rate| Paced {
                rate,
                late_p50_ms: late(0.5),
                late_p99_ms: late(0.99),
                own_p50_ms: own(0.5),
                own_p99_ms: own(0.99),
            }),
            sync_cost: (!syncs.is_empty()).then(|| SyncCost {
                p50_ms: median(syncs.iter().map(|sync| sync.p50_ms)),
                p99_ms: median(syncs.iter().map(|sync| sync.p99_ms)),
            }),
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
