//! `torture`: kill rounds by hand, against any strongback binary; 100 rounds unless told otherwise. Exit status 1 when
//! anything acknowledged was lost, halved or doubled.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use testkit::postgres::{fresh_database, server_url};
use testkit::random::Random;
use testkit::server::strongback_binary;
use testkit::torture::{Config, kill_rounds};

/// Kills a Strongback server under load, again and again, and checks that nothing acknowledged is lost.
#[derive(Debug, Parser)]
struct Options {
    /// The binary under test (else STRONGBACK_BIN).
    #[arg(long)]
    binary: Option<PathBuf>,
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// The longest time of writing before a kill, in milliseconds.
    #[arg(long, default_value_t = 1_200)]
    writing_ms_max: u64,
    /// Repeats the choices of an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// Keep the metadata in a fresh database of the server that STRONGBACK_TEST_POSTGRES_URL names.
    #[arg(long)]
    postgres: bool,
    /// Do not run `audit-log verify` after each kill.
    #[arg(long)]
    no_audit_log: bool,
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(summary) => {
            say(&summary);
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> anyhow::Result<String> {
    let binary = options.binary.map_or_else(|| strongback_binary(None), Ok)?;
    let database = match (options.postgres, server_url()) {
        (false, _) => None,
        (true, Some(server)) => Some(fresh_database(&server)?),
        (true, None) => anyhow::bail!("--postgres needs STRONGBACK_TEST_POSTGRES_URL"),
    };
    let seed = options.seed.unwrap_or_else(Random::arbitrary_seed);
    let url = database.as_ref().map(testkit::postgres::FreshDatabase::url);
    let mut config = Config::strongback(binary, url, options.rounds, seed);
    config.writing = Duration::from_millis(50)..Duration::from_millis(options.writing_ms_max.max(51));
    config.audit_log = !options.no_audit_log;
    config.progress = say;
    let report = kill_rounds(&config)?.into_result()?;
    Ok(format!("{}: {report}", if options.postgres { "PostgreSQL" } else { "SQLite" }))
}

#[expect(clippy::print_stdout, reason = "the report of a command is what it prints")]
fn say(line: &str) {
    println!("{line}");
}
