//! `strongback-bench-scoring`: one scoring request, again and again, at servers that are up already; rounds interleaved.
//!
//! `bench/scoring.py` trains the models, starts the servers and calls this. Every server gets the same bytes; an answer with
//! another status than 200 is an error, and a figure with errors is not a figure: the exit status is 1 then.

mod load;
mod say;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use serde::Serialize;
use testkit::http::Client;

use load::{closed_loop, expect_ok};

/// Sends one body to several servers in turn and prints rates and latencies as JSON.
#[derive(Debug, Parser)]
#[command(name = "strongback-bench-scoring")]
struct Options {
    /// NAME=ADDRESS:PORT/PATH; the first is what the others are compared with.
    #[arg(required = true)]
    servers: Vec<String>,
    /// The file of the body.
    #[arg(long)]
    body: std::path::PathBuf,
    /// Connections at once.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    connections: Vec<usize>,
    /// Rounds a server, in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds a round.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds a server that are run before and not counted.
    #[arg(long, default_value_t = 2.0)]
    warm_up_seconds: f64,
}

/// A server by its name, where it is, and the path there.
struct Server {
    name: String,
    address: SocketAddr,
    path: String,
}

impl Server {
    fn parse(text: &str) -> Result<Self> {
        let (name, place) =
            text.split_once('=').with_context(|| format!("{text} is not NAME=ADDRESS:PORT/PATH"))?;
        let (address, path) = place.split_once('/').with_context(|| format!("{place} has no path"))?;
        Ok(Self { name: name.into(), address: address.parse()?, path: format!("/{path}") })
    }
}

/// What one server gave at so many connections: medians over the rounds.
#[derive(Debug, Serialize)]
struct Figure {
    server: String,
    connections: usize,
    requests_per_second: f64,
    rounds: Vec<f64>,
    p50_ms: f64,
    p99_ms: f64,
    /// How many times the others' rate the first server has; 1 for itself.
    ratio_of_first: f64,
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
    let servers = options.servers.iter().map(|text| Server::parse(text)).collect::<Result<Vec<_>>>()?;
    let body = std::fs::read(&options.body).with_context(|| options.body.display().to_string())?;
    let mut figures = Vec::new();
    for &connections in &options.connections {
        ensure!(connections > 0, "no connection scores nothing");
        let mut measured: Vec<(Vec<f64>, Vec<f64>, Vec<f64>)> =
            servers.iter().map(|_| Default::default()).collect();
        for server in &servers {
            round(server, &body, connections, options.warm_up_seconds)?;
        }
        for _ in 0..options.rounds {
            for (server, (rates, p50, p99)) in servers.iter().zip(&mut measured) {
                let tally = round(server, &body, connections, options.seconds)?;
                rates.push(tally.per_second());
                p50.push(tally.percentile_ms(0.5));
                p99.push(tally.percentile_ms(0.99));
            }
        }
        let first = measured.first().map_or(0.0, |(rates, ..)| median(rates));
        for (server, (rates, p50, p99)) in servers.iter().zip(measured) {
            let rate = median(&rates);
            figures.push(Figure {
                server: server.name.clone(),
                connections,
                requests_per_second: rate,
                p50_ms: median(&p50),
                p99_ms: median(&p99),
                ratio_of_first: first / rate,
                rounds: rates,
            });
        }
    }
    Ok(serde_json::to_string_pretty(&figures)?)
}

fn round(server: &Server, body: &[u8], connections: usize, seconds: f64) -> Result<load::Tally> {
    let (tally, _) = closed_loop(
        connections,
        Duration::from_secs_f64(seconds),
        |_| Ok(Client::new(server.address)),
        |client| expect_ok(client.request("POST", &server.path, Some("application/json"), body)?).map(|_| ()),
    )?;
    if tally.errors > 0 {
        bail!(
            "{}: {} requests failed, the first: {}",
            server.name,
            tally.errors,
            tally.first_error.unwrap_or_default()
        );
    }
    Ok(tally)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
