//! `strongback labels`: what became of the rows that were served.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use super::{
    client::{Remote, segment},
    import::{self, Format, digest},
    printer,
    progress::sending,
};
use crate::{error::Error, monitoring::LabelsResponse};

const EXAMPLES: &str = "\
A file labels.csv:
  request_id,row,label,labelled_at
  0199f7c2-7a9a-72a8-9d1e-70d21dbc389e,0,1,2026-11-24T08:00:00Z

  strongback labels import labels.csv --endpoint prod.risk.fraud
  strongback labels import november.parquet --endpoint prod.risk.fraud --batch-id november

`row` is 0 and `labelled_at` is now where a file does not have them. The latest
label of a row counts. They land in prod.risk.fraud_labels; the same file again
is the same batch, and nothing is done. It says how many labels belong to a row
that is there; the others count once theirs is.";

/// Import labels
#[derive(Debug, Subcommand)]
pub(super) enum LabelsCommand {
    /// Import labels of rows that were served, from CSV, JSON lines, Parquet or Arrow
    #[command(after_help = EXAMPLES)]
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The endpoint, or the table that a monitor watches
    #[arg(long, value_name = "NAME")]
    endpoint: String,
    /// What the file is written in [default: by its name]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// By what the batch is known [default: the SHA-256 of the file]
    #[arg(long, value_name = "ID", value_parser = import::batch_id)]
    batch_id: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(command: LabelsCommand) -> anyhow::Result<ExitCode> {
    let LabelsCommand::Import(args) = command;
    let format = args.format.map_or_else(|| Format::of(&args.file), Ok)?;
    let unreadable = |error: std::io::Error| {
        Error::invalid(format!("The file {} cannot be read: {error}.", args.file.display()))
    };
    let file = std::fs::File::open(&args.file).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let batch_id = match &args.batch_id {
        Some(id) => id.clone(),
        None => digest(&args.file).map_err(unreadable)?,
    };
    let path = format!("/api/1.0/labels/{}/batches/{}", segment(&args.endpoint), segment(&batch_id));
    let query = [("format", format.name())];
    let done: LabelsResponse = args.remote.client()?.upload(&path, &query, file, sending(size))?;
    if args.json {
        printer::json(&done)?;
    } else if done.is_repeat {
        let (version, table) = (done.version, &done.table);
        printer::talk(&format!(
            "This batch landed before, as version {version} of {table}; nothing was changed."
        ));
    } else {
        printer::talk(&format!("{}: version {}, {} labels.", done.table, done.version, done.rows));
    }
    if !args.json {
        if let Some(said) = rows_of(&done) {
            printer::talk(&said);
        }
        if !done.note.is_empty() {
            printer::talk(&done.note);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How many labels have their row.
fn rows_of(done: &LabelsResponse) -> Option<String> {
    Some(match (done.matched?, done.unmatched?) {
        (matched, 0) => format!("All {matched} belong to a row that is there."),
        (0, unmatched) => {
            format!("None of the {unmatched} belongs to a row that is there: they count once there is one.")
        }
        (matched, unmatched) => format!(
            "{matched} belong to a row that is there, {unmatched} to none: those count once there is one."
        ),
    })
}
