//! `strongback import mlflow` and what it reads: an MLflow store in whole, into a server.
//!
//! ```text
//! source (database, folder, server) ──outline──▶ plan ──▶ batches ──▶ files ──▶ registry ──▶ check ──▶ report
//! ```
//!
//! What must stay true: nothing is written before every id is known to be free or this source's own; what is broken off goes on
//! with the next call, since what came already is passed over; the report counts what is there, what came, what is equal, and
//! names what could not come.

mod batch;
mod database;
mod folder;
mod import;
mod local;
mod mapping;
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

pub(super) fn run(command: ImportCommand) -> anyhow::Result<ExitCode> {
    let ImportCommand::Mlflow(args) = command;
    import::run(&args)
}
