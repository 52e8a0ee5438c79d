//! The command line: arguments become resolved settings, one file a command does the work, a printer talks.
//!
//! Data goes to standard output, talk to standard error. Exit codes: 0 done, 1 failed, 2 the call itself was wrong or
//! nothing could be judged.

mod printer;
mod up;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Layer};

/// An MLOps backbone in one binary: tracking, registry and governance behind the clients you already use.
#[derive(Debug, Parser)]
#[command(name = "strongback", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = "Start a server with `strongback up`, then point MLFLOW_TRACKING_URI at it.")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Settings that every command shares. Each may also stand in STRONGBACK_<NAME> or in strongback.toml.
#[derive(Debug, Args)]
struct Global {
    /// Configuration file (default: strongback.toml in the working directory, if there is one)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory that holds everything: metadata, artifacts, keys
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// postgres://… moves the metadata there
    #[arg(long, global = true, value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
    /// text or json
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// What is logged, e.g. info or strongback=debug
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server
    Up(up::UpArgs),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            printer::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { global, command } = cli;
    let mut flags = Layer {
        data_dir: global.data_dir,
        database_url: global.database_url,
        log_format: global.log_format,
        log: global.log,
        ..Layer::default()
    };
    match command {
        Command::Up(args) => {
            args.add_to(&mut flags);
            up::run(Config::load(flags, global.config)?)
        }
    }
}
