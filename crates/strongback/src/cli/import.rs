//! `strongback table import`: a file becomes a version of a table.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use sha2::{Digest, Sha256};

use super::{
    client::{Client, Remote, segment},
    exit, printer,
    progress::sending,
};
use crate::{
    error::{Code, Error, Result},
    tables::{batches::BatchResponse, versions::ListResponse},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  strongback table import creditcard.csv --name prod.risk.transactions
  strongback table import day2.parquet --name prod.risk.transactions --batch-id 2026-11-24
  strongback table import labels.csv --name prod.risk.labels --type id:string --null NA
  strongback table import dirty.csv --name prod.risk.raw --quarantine prod.risk.raw_bad
  strongback table import day2.csv --name prod.risk.transactions --dry-run

A table that does not exist is made, with types found from all rows. A batch
lands once: the same file again changes nothing, and says so. Without a
--batch-id the file's own digest is its id; with --overwrite the version that is
replaced belongs to it, so that a file of before can take its place again. Rows
that do not fit are named by line and stop the import, unless --quarantine has a
place for them.";

/// Bytes that are read at a time for a digest.
const BLOCK: usize = 1 << 20;

/// Import a file of CSV, JSON lines, Parquet or Arrow into a table
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct ImportArgs {
    /// The file
    file: PathBuf,
    /// catalog.schema.table
    #[arg(long)]
    name: String,
    /// What the file is written in [default: by its name's ending]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// What the batch is called: the same id lands once [default: the file's SHA-256]
    #[arg(long, value_name = "ID", value_parser = batch_id)]
    batch_id: Option<String>,
    /// Put the rows in the place of all others; older versions keep those
    #[arg(long)]
    overwrite: bool,
    /// Fail where the table does not exist
    #[arg(long)]
    no_create: bool,
    /// A table for rows that do not fit
    #[arg(long, value_name = "TABLE")]
    quarantine: Option<String>,
    /// What stands between two values of a CSV file; tab is a word
    #[arg(long, value_name = "CHAR", default_value = ",")]
    delimiter: String,
    /// A text that means "no value" in a CSV file, beside the empty one
    #[arg(long, value_name = "TEXT")]
    null: Option<String>,
    /// Make names of columns lower case letters, digits and underscores
    #[arg(long)]
    clean_names: bool,
    /// A type that is not found but given, e.g. id:string or amount:decimal(10,2); once for each column
    #[arg(long = "type", value_name = "COLUMN:TYPE")]
    types: Vec<String>,
    /// What a new table holds
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Say what the file holds and write nothing; exit code 1 if rows do not fit
    #[arg(long)]
    dry_run: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// By what a batch is known; an empty id, as of a variable that is not set, names none.
pub(super) fn batch_id(text: &str) -> std::result::Result<String, &'static str> {
    match text.is_empty() || text.chars().any(char::is_control) {
        true => Err("it is one to 200 printable characters; left out, the file's SHA-256 is the id"),
        false => Ok(text.to_owned()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Csv,
    Json,
    Parquet,
    Arrow,
}

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        }
    }

    pub(super) fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
        Ok(match ending.as_str() {
            "csv" | "tsv" | "txt" => Self::Csv,
            "json" | "jsonl" | "ndjson" => Self::Json,
            "parquet" | "pq" => Self::Parquet,
            "arrow" | "arrows" | "ipc" => Self::Arrow,
            _ => {
                return Err(Error::invalid(format!(
                    "The name {} does not say what the file is written in. Say it with --format csv, json, parquet or arrow.",
                    path.display()
                )));
            }
        })
    }
}

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let format = args.format.map_or_else(|| Format::of(&args.file), Ok)?;
    let unreadable = |error: std::io::Error| {
        Error::invalid(format!("The file {} cannot be read: {error}.", args.file.display()))
    };
    let file = File::open(&args.file).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let client = args.remote.client()?;
    let batch_id = match &args.batch_id {
        Some(id) => id.clone(),
        None if args.overwrite => replacing(&client, &args.name, digest(&args.file).map_err(unreadable)?)?,
        None => digest(&args.file).map_err(unreadable)?,
    };
    let delimiter = match args.file.extension().and_then(|ending| ending.to_str()) {
        Some("tsv") if args.delimiter == "," => "tab",
        _ => args.delimiter.as_str(),
    };
    let types = args.types.join(",");
    let mut query = vec![
        ("format", format.name()),
        ("mode", if args.overwrite { "overwrite" } else { "append" }),
        ("create", if args.no_create { "false" } else { "true" }),
        ("delimiter", delimiter),
        ("clean_names", if args.clean_names { "true" } else { "false" }),
        ("dry_run", if args.dry_run { "true" } else { "false" }),
        ("types", &types),
    ];
    query.extend(args.null.as_deref().map(|null| ("null", null)));
    query.extend(args.comment.as_deref().map(|comment| ("comment", comment)));
    query.extend(args.quarantine.as_deref().map(|name| ("quarantine", name)));
    let path = format!("/api/1.0/tables/{}/batches/{}", segment(&args.name), segment(&batch_id));
    let done: BatchResponse = client.upload(&path, &query, file, sending(size))?;
    if args.json {
        printer::json(&done)?;
    } else {
        report(&done);
    }
    Ok(exit::answer(!args.dry_run || done.bad_rows == 0))
}

/// The id of a file that is to stand alone in a table: the same one only as long as it is what the table has.
fn replacing(client: &Client, name: &str, digest: String) -> Result<String> {
    let path = format!("/api/1.0/tables/{}/versions", segment(name));
    let newest = match client.get::<ListResponse>(&path, &[("max_results", "1")]) {
        Ok(found) => found.versions.into_iter().next(),
        Err(error) if error.code() == Code::ResourceDoesNotExist => None,
        Err(error) => return Err(error),
    };
    let Some(newest) = newest else { return Ok(digest) };
    let known = newest.batch_id.filter(|id| newest.kind == "overwrite" && id.starts_with(&digest));
    Ok(known.unwrap_or_else(|| format!("{digest}-{}", newest.version)))
}

/// SHA-256 of a file, in hexadecimal.
pub(super) fn digest(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hex::encode(hash.finalize())),
            read => hash.update(&block[..read]),
        }
    }
}

fn report(done: &BatchResponse) {
    let rows: Vec<Vec<String>> = done
        .columns
        .iter()
        .map(|column| {
            vec![
                column.column.name.clone(),
                column.column.type_text.clone(),
                column.nulls.to_string(),
                column.note.clone(),
            ]
        })
        .collect();
    printer::table(&["COLUMN", "TYPE", "NULLS", "NOTE"], &rows);
    for bad in &done.first_bad_rows {
        printer::talk(&bad.said());
    }
    if !done.absent_columns.is_empty() {
        printer::talk(&format!("absent, so null: {}", done.absent_columns.join(", ")));
    }
    let bad = match done.bad_rows {
        0 => String::new(),
        count => format!(", {count} that do not fit"),
    };
    printer::talk(&match (done.version, done.is_repeat) {
        (Some(version), true) => {
            format!("This batch landed before, as version {version} of {}; nothing was changed.", done.table)
        }
        (Some(version), false) => format!("{}: version {version}, {} rows{bad}.", done.table, done.rows),
        (None, _) => format!("{}: {} rows{bad}; nothing was written.", done.table, done.rows),
    });
}
