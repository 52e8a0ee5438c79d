//! `strongback import mlflow` and `strongback export mlflow`: an MLflow store in whole, into a server and out of it.
//!
//! ```text
//! source (database, folder, server) ──outline──▶ plan ──▶ batches ──▶ files ──▶ registry ──▶ check ──▶ report
//! server ──pages──▶ experiments ──▶ runs, logged models, their files ──▶ registry ──▶ read back ──▶ report
//! ```
//!
//! What must stay true: nothing is written before every id is known to be free or this source's own; what is broken off goes on
//! with the next call, since what came already is passed over; the report counts what is there, what came, what is equal, and
//! names what could not come.

mod batch;
mod database;
mod export;
mod folder;
mod import;
mod local;
mod mapping;
mod numbers;
mod report;
mod server;
mod source;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use super::client::Remote;

const IMPORT_EXAMPLES: &str = "\
Examples:
  strongback import mlflow sqlite:///mlflow.db --artifacts ./mlartifacts
  strongback import mlflow postgresql://user:secret@db/mlflow
  strongback import mlflow ./mlruns
  strongback import mlflow http://mlflow.example.com:5000
  strongback import mlflow sqlite:///mlflow.db --dry-run

Everything comes with its id, its times and its owner's name: experiments,
runs with every point, data sets, logged models, registered models, versions,
aliases, stages, tags, files. An id that something else has here stops the
import before it begins; --remap gives what comes another one and keeps the
mapping. A call that was broken off goes on with the same call, and one that is
made again brings what is new. At the end every item is compared with what was
read, by digest. Exit code 1: something could not come, or differs.

Files in a bucket (s3://, gs://, …) stay there, and so do the addresses. Of a
server its database is read faster, and tells more, than the server does. Its
credentials stand in MLflow's own variables (MLFLOW_TRACKING_TOKEN, or
MLFLOW_TRACKING_USERNAME and _PASSWORD).";

/// Take over what another store holds
#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// Everything in an MLflow store: a database, a folder mlruns, or a running server; for administrators
    #[command(after_help = IMPORT_EXAMPLES)]
    Mlflow(MlflowArgs),
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct MlflowArgs {
    /// sqlite:///file.db or a file, postgresql://user:password@host/database, a folder mlruns, or http://server:5000
    source: String,
    /// Where the server there kept its files (`mlflow server --artifacts-destination`) [default: mlartifacts beside the database]
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
    /// Leave the files
    #[arg(long, conflicts_with = "artifacts")]
    no_artifacts: bool,
    /// Give what comes another id, or another name, where something else has it here
    #[arg(long)]
    remap: bool,
    /// By what the source is known in the next call [default: its place]
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
    /// Say what would come and write nothing; exit code 1 if ids are taken
    #[arg(long)]
    dry_run: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

const EXPORT_EXAMPLES: &str = "\
Examples:
  mlflow db upgrade sqlite:///mlflow.db
  strongback export mlflow sqlite:///mlflow.db
  mlflow server --backend-store-uri sqlite:///mlflow.db

  strongback export mlflow postgresql://user:secret@db/mlflow --artifacts /srv/mlartifacts
  strongback export mlflow sqlite:///mlflow.db --artifact-root file:///srv/mlartifacts
  strongback export mlflow sqlite:///mlflow.db --dry-run

Everything that MLflow has a place for goes: experiments, runs with every
point, data sets, logged models, registered models, versions, aliases, stages,
tags, with ids and times, and the files. What is there already stays as it is,
and the call may be made again: it brings what is new, and with --replace also
what has changed. Each item is read back and compared by digest, each file by
SHA-256. Exit code 1: something could not go, or differs there.

PostgreSQL: MLflow's ids of experiments are narrower there than ours. Such an
experiment gets the next number, and a tag strongback.experiment_id, by which
an import and the next export know it.";

/// Hand over what this server holds
#[derive(Debug, Subcommand)]
pub(super) enum ExportCommand {
    /// Everything that MLflow has a place for, into one of its databases; for administrators
    #[command(after_help = EXPORT_EXAMPLES)]
    Mlflow(ExportArgs),
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct ExportArgs {
    /// sqlite:///file.db or a file, or postgresql://user:password@host/database; `mlflow db upgrade` makes one
    destination: String,
    /// Where files go: what `mlflow server --artifacts-destination` is to have [default: mlartifacts beside the file]
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
    /// Leave the files
    #[arg(long, conflicts_with = "artifacts")]
    no_artifacts: bool,
    /// What the addresses of files begin with there; file:///… of --artifacts, for use without a server
    #[arg(long, value_name = "URI", default_value = "mlflow-artifacts:/")]
    artifact_root: String,
    /// Write over what is there and differs
    #[arg(long)]
    replace: bool,
    /// Say what would go and write nothing; exit code 1 if something is there and differs
    #[arg(long)]
    dry_run: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run_export(command: ExportCommand) -> anyhow::Result<ExitCode> {
    let ExportCommand::Mlflow(args) = command;
    export::run(&args)
}

pub(super) fn run(command: ImportCommand) -> anyhow::Result<ExitCode> {
    let ImportCommand::Mlflow(args) = command;
    import::run(&args)
}
