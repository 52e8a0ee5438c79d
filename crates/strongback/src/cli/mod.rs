//! The command line: arguments become resolved settings, one file a command does the work, a printer talks.
//!
//! What must stay true: data goes to standard output, talk to standard error; exit codes are those of [`exit`]; every
//! command shows examples, and a test parses each of them and each command that a document shows.

mod alert;
mod artifacts;
mod audit_erase;
mod audit_log;
mod backup;
mod backup_tables;
mod catalog;
mod client;
mod command;
mod config_show;
mod doctor;
mod endpoint;
mod exchange;
mod exit;
mod feature_table;
mod gate;
mod history;
mod import;
mod job;
mod kind;
mod labels;
mod lineage;
mod mlflow_flags;
mod model;
mod monitor;
mod owner;
mod place;
mod principal;
mod printer;
mod progress;
mod promote;
mod runner;
mod runs;
mod runs_compare;
mod settings;
mod sql;
mod table;
mod table_show;
mod table_versions;
#[cfg(test)]
mod tests;
mod token;
mod training_set;
mod up;
mod webhook;
mod why;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// An MLOps backbone in one binary: tracking, registry and governance behind the clients you already use.
#[derive(Debug, Parser)]
#[command(name = "strongback", version, after_help = START)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What a person who has just met the program reads.
const START: &str = "\
A server, with everything in ./strongback-data; then your own code, unchanged:
  strongback up
  MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python train.py

Names for what is to be governed, such as prod.risk.fraud_classifier:
  strongback catalog create prod
  strongback schema create prod.risk

Questions:
  strongback runs best --metric val_ap
  strongback runs compare RUN OTHER_RUN
  strongback history prod.risk.fraud_classifier@champion --at 2026-11-24
  strongback lineage prod.risk.fraud_classifier
  strongback why REQUEST_ID
  strongback audit-log verify

Each command's --help has more. Where a server is asked, --server or
STRONGBACK_URL names it, and STRONGBACK_TOKEN is the token. Data goes to
standard output, talk to standard error; --json is for scripts.

Exit codes:
  0  done
  1  the answer is no: the log does not verify, nothing was found
  2  the call was wrong: an argument, a setting, a value; or gates could not judge
  3  refused or failed: no such name, taken, not allowed
  4  a server or a store does not answer or is busy; later it may
  130  stopped by Ctrl-C";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server
    Up(Box<up::UpArgs>),
    /// Show every setting and where its value came from
    #[command(subcommand)]
    Config(config_show::ConfigCommand),
    /// Check this machine: disk, sync latency, port, client version, clock, Landlock
    Doctor(doctor::DoctorArgs),
    /// Copy metadata, artifacts, tables and keys into a directory, also while the server runs
    Backup(backup::BackupArgs),
    /// Bring a backup back into an empty data directory
    Restore(backup::RestoreArgs),
    /// Create and list catalogs, the first level of names
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// Create and list schemas, the second level
    #[command(subcommand)]
    Schema(catalog::SchemaCommand),
    /// Import files into tables, show and list them, their versions and pins, clean and delete them; declare those elsewhere
    #[command(subcommand)]
    Table(table::TableCommand),
    /// Declare and compute tables of features
    #[command(subcommand)]
    FeatureTable(feature_table::FeatureTableCommand),
    /// Make training sets, read them, make them again
    #[command(subcommand)]
    TrainingSet(training_set::TrainingSetCommand),
    /// Ask tables by SQL
    Sql(sql::SqlArgs),
    /// Show registered models: versions, signatures, aliases, history
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Judge candidates by gates, on the server; list and show the reports
    #[command(subcommand)]
    Gate(gate::GateCommand),
    /// Move an alias to a version, on a gate report or as an override
    Promote(promote::PromoteArgs),
    /// Move an alias back to where it pointed before
    Rollback(promote::RollbackArgs),
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
    /// Serve models: endpoints, what they run, queries
    #[command(subcommand)]
    Endpoint(endpoint::EndpointCommand),
    /// Declare and run commands, e.g. a training, on machines where a runner is at work
    #[command(subcommand, name = "command")]
    Commands(command::CommandCommand),
    /// List, watch and end jobs
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Run the commands of jobs on this machine
    Runner(runner::RunnerArgs),
    /// Stands between a runner and a command
    #[command(hide = true)]
    RunnerGuard(runner::guard::GuardArgs),
    /// Watch what is served, or any table: windows, drift, performance
    #[command(subcommand)]
    Monitor(monitor::MonitorCommand),
    /// List, take up and end alerts
    #[command(subcommand)]
    Alert(alert::AlertCommand),
    /// List webhooks, see what was delivered to them, try them
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// Import labels of rows that were served
    #[command(subcommand)]
    Labels(labels::LabelsCommand),
    /// Find runs, e.g. the best by a metric, and compare them
    #[command(subcommand)]
    Runs(runs::RunsCommand),
    /// Show where an alias pointed when, who moved it and why
    History(history::HistoryArgs),
    /// Why a request got its answer: inputs, table versions, model, run, gates, alias
    Why(why::WhyArgs),
    /// Show what something came from, and what came from it
    Lineage(lineage::LineageArgs),
    /// Compare the files of runs and models with what was stored
    #[command(subcommand)]
    Artifacts(artifacts::ArtifactsCommand),
    /// Take over what another store holds, such as an MLflow database
    #[command(subcommand)]
    Import(exchange::ImportCommand),
    /// Hand over what this server holds, such as into an MLflow database
    #[command(subcommand)]
    Export(exchange::ExportCommand),
    /// Read and verify the log of everything that happened
    #[command(subcommand)]
    AuditLog(audit_log::AuditLogCommand),
}

/// Statements that commands run by themselves.
pub(crate) use backup::STATEMENTS;
pub(crate) use backup_tables::STATEMENTS as TABLE_STATEMENTS;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let parser = Cli::command();
    let line = mlflow_flags::with_host(std::env::args_os());
    let matches = match parser.clone().try_get_matches_from(line) {
        Ok(matches) => matches,
        Err(error) => return refused(&error),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    run(cli.command).unwrap_or_else(|error| {
        let error = words::Words::of(&parser, &matches).put(error);
        printer::error(&error);
        exit::of(&error)
    })
}

/// What the parser of arguments says, be it the help that was asked for.
fn refused(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { exit::wrong_call() } else { ExitCode::SUCCESS }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => up::run(*args),
        Command::Config(command) => config_show::run(command),
        Command::Doctor(args) => doctor::run(args),
        Command::Backup(args) => backup::backup(args),
        Command::Restore(args) => backup::restore(args),
        Command::Catalog(command) => catalog::run(command),
        Command::Schema(command) => catalog::run_schema(command),
        Command::Table(command) => table::run(command),
        Command::FeatureTable(command) => feature_table::run(command),
        Command::TrainingSet(command) => training_set::run(command),
        Command::Sql(args) => sql::run(&args),
        Command::Model(command) => model::run(command),
        Command::Gate(command) => gate::run(command),
        Command::Promote(args) => promote::promote(&args),
        Command::Rollback(args) => promote::rollback(&args),
        Command::Owner(command) => owner::run(command),
        Command::Principal(command) => principal::run(command),
        Command::Group(command) => principal::run_group(command),
        Command::Token(command) => token::run(command),
        Command::Endpoint(command) => endpoint::run(command),
        Command::Commands(command) => command::run(command),
        Command::Job(command) => job::run(command),
        Command::Runner(args) => runner::run(args),
        Command::RunnerGuard(args) => runner::guard::run(&args),
        Command::Monitor(command) => monitor::run(command),
        Command::Alert(command) => alert::run(command),
        Command::Webhook(command) => webhook::run(command),
        Command::Labels(command) => labels::run(command),
        Command::Runs(command) => runs::run(command),
        Command::History(args) => history::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Lineage(args) => lineage::run(&args),
        Command::Artifacts(command) => artifacts::run(command),
        Command::Import(command) => exchange::run(command),
        Command::Export(command) => exchange::run_export(command),
        Command::AuditLog(command) => audit_log::run(command),
    }
}
