//! The command line: arguments become resolved settings, one file a command does the work, a printer talks.
//!
//! Data goes to standard output, talk to standard error. Exit codes: 0 done, 1 failed, 2 the call itself was wrong or
//! nothing could be judged.

mod audit_log;
mod backup;
mod catalog;
mod client;
mod config_show;
mod doctor;
mod history;
mod lineage;
mod owner;
mod place;
mod principal;
mod printer;
mod runs;
mod table;
mod token;
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
    /// Show every setting and where its value came from
    #[command(subcommand)]
    Config(config_show::ConfigCommand),
    /// Check this machine: disk, sync latency, port, client version, clock
    Doctor(doctor::DoctorArgs),
    /// Copy metadata, artifacts and keys into a directory, also while the server runs
    Backup(backup::BackupArgs),
    /// Bring a backup back into an empty data directory
    Restore(backup::RestoreArgs),
    /// Read and verify the log of everything that happened
    #[command(subcommand)]
    AuditLog(audit_log::AuditLogCommand),
    /// Create and list catalogs
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// Create and list schemas
    #[command(subcommand)]
    Schema(catalog::SchemaCommand),
    /// Declare and list tables that live elsewhere
    #[command(subcommand)]
    Table(table::TableCommand),
    /// Change who owns an asset
    #[command(subcommand)]
    Owner(owner::OwnerCommand),
    /// Create and list users, service principals and groups
    #[command(subcommand)]
    Principal(principal::PrincipalCommand),
    /// Change and list the members of groups
    #[command(subcommand)]
    Group(principal::GroupCommand),
    /// Create, list and revoke tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Show what something came from, and what came from it
    Lineage(lineage::LineageArgs),
    /// Show where an alias pointed when, who moved it and why
    History(history::HistoryArgs),
    /// Find runs, e.g. the best by a metric
    #[command(subcommand)]
    Runs(runs::RunsCommand),
}

/// Times as people read them.
pub(crate) use printer::time;

/// Statements that commands run by themselves.
pub(crate) use backup::STATEMENTS;

/// What a command is given besides its own arguments.
struct Settings {
    flags: Layer,
    file: Option<PathBuf>,
}

impl Settings {
    /// The resolved configuration.
    fn config(self) -> anyhow::Result<Config> {
        Ok(Config::load(self.flags, self.file)?)
    }
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
    let flags = Layer {
        data_dir: global.data_dir,
        database_url: global.database_url,
        log_format: global.log_format,
        log: global.log,
        ..Layer::default()
    };
    let settings = Settings { flags, file: global.config };
    match command {
        Command::Up(args) => up::run(settings, args),
        Command::Config(command) => config_show::run(settings, command),
        Command::Doctor(args) => doctor::run(settings, args),
        Command::Backup(args) => backup::backup(settings, args),
        Command::Restore(args) => backup::restore(settings, args),
        Command::AuditLog(command) => audit_log::run(settings, command),
        Command::Catalog(command) => catalog::run(command),
        Command::Schema(command) => catalog::run_schema(command),
        Command::Table(command) => table::run(command),
        Command::Owner(command) => owner::run(command),
        Command::Principal(command) => principal::run(settings, command),
        Command::Group(command) => principal::run_group(settings, command),
        Command::Token(command) => token::run(settings, command),
        Command::Lineage(args) => lineage::run(&args),
        Command::History(args) => history::run(&args),
        Command::Runs(command) => runs::run(command),
    }
}
