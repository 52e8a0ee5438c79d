//! `strongback training-set`: rows that models are trained on, made once and proven by their digest.

use std::{fs::File, io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value as Json, json};

use super::{
    catalog::schema_name,
    client::{Client, Remote, segment},
    exit, job,
    printer::{self, text},
};
use crate::{error::Error, time};

const TRAINING_SETS: &str = "/api/1.0/training-sets";
/// How long the call itself waits for the job that it queues, milliseconds.
const WAIT_MS: u32 = 10_000;
/// Exit code of a set that could not be made again.
const UNJUDGED: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  strongback training-set create prod.risk.day1 --labels prod.risk.transactions --features prod.risk.amounts
  strongback training-set create prod.risk.day1 --labels prod.risk.labels@7 --features prod.risk.amounts --where 'Time < 86400'
  strongback training-set show prod.risk.day1
  strongback training-set list prod.risk
  strongback training-set rows prod.risk.day1 --format parquet -o day1.parquet
  strongback training-set rebuild prod.risk.day1

Each row of the labels gets the features that were published by its time. Tables
are read at their newest version, or at one that is named: prod.risk.labels@7.
These versions are pinned. A set never changes.

`rebuild` makes the rows once more. It ends with 0 when they are the same to the
last bit, with 1 when not (and says where), with 2 when they cannot be made.

A run says by its tag strongback.training_set=NAME that it read one.";

/// Make training sets, read them, make them again
#[derive(Debug, Subcommand)]
pub(super) enum TrainingSetCommand {
    /// Make a training set: labels with the features that were known by their time
    #[command(after_help = EXAMPLES)]
    Create(CreateArgs),
    /// List the training sets of a schema
    #[command(after_help = EXAMPLES)]
    List(ListArgs),
    /// Show a training set: what it stands on, its digest
    #[command(after_help = EXAMPLES)]
    Show(OneArgs),
    /// Make the rows once more and compare; exit code 1 if they differ, 2 if they cannot be made
    #[command(after_help = EXAMPLES)]
    Rebuild(OneArgs),
    /// Write the rows into a file
    #[command(after_help = EXAMPLES)]
    Rows(RowsArgs),
    /// Delete a training set, and take its pins away
    #[command(after_help = DELETE_EXAMPLES)]
    Delete(DeleteArgs),
}

const DELETE_EXAMPLES: &str = "\
Example:
  strongback training-set delete prod.risk.day1

The versions that it stands on are pinned for it no longer.";

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// catalog.schema.name
    name: String,
    /// The table with a row for each label
    #[arg(long, value_name = "TABLE[@VERSION]")]
    labels: String,
    /// Feature tables, with commas between them
    #[arg(long, value_name = "TABLE[@VERSION]", value_delimiter = ',')]
    features: Vec<String>,
    /// Column of the labels' time [default: that of the first feature table]
    #[arg(long, value_name = "COLUMN")]
    timestamp: Option<String>,
    /// Column of the label itself
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Columns of the labels' table that come along, with commas between them [default: all]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    columns: Vec<String>,
    /// Which labels, as SQL over one row
    #[arg(long = "where", value_name = "SQL")]
    filter: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Answer once it is begun
    #[arg(long)]
    no_wait: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// catalog.schema
    schema: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// catalog.schema.name
    name: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// catalog.schema.name
    name: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct RowsArgs {
    /// catalog.schema.name
    name: String,
    /// How they are written
    #[arg(long, value_enum, default_value_t = Format::Parquet)]
    format: Format,
    /// The file; it must not be there
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Parquet,
    Csv,
    Arrow,
}

pub(super) fn run(command: TrainingSetCommand) -> anyhow::Result<ExitCode> {
    match command {
        TrainingSetCommand::Create(args) => return create(&args),
        TrainingSetCommand::List(args) => list(&args)?,
        TrainingSetCommand::Show(args) => show(&args)?,
        TrainingSetCommand::Rebuild(args) => return rebuild(&args),
        TrainingSetCommand::Rows(args) => rows(&args)?,
        TrainingSetCommand::Delete(args) => {
            args.remote.client()?.send::<Json>(Method::DELETE, &one(&args.name), &json!({}))?;
            printer::talk(&format!("Deleted {}.", args.name));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn one(name: &str) -> String {
    format!("{TRAINING_SETS}/{}", segment(name))
}

fn create(args: &CreateArgs) -> anyhow::Result<ExitCode> {
    let wait_ms = if args.no_wait { 0 } else { WAIT_MS };
    let body = json!({
        "name": args.name, "labels": args.labels, "features": args.features, "timestamp": args.timestamp,
        "label": args.label, "columns": args.columns, "where": args.filter, "comment": args.comment,
        "wait_ms": wait_ms,
    });
    let client = args.remote.client()?;
    let begun: Json = client.send(Method::POST, TRAINING_SETS, &body)?;
    if begun["is_repeat"] != true {
        let mut done = begun["job"].clone();
        let id = text(&done["job_id"]);
        if !args.no_wait && !done["ended_at"].is_i64() {
            done = job::wait(&client, &id, None)?;
        }
        let state = text(&done["state"]);
        if args.no_wait || state != "succeeded" {
            if args.json {
                printer::json(&done)?;
            } else {
                printer::data(&id);
                printer::talk(&job::said(&done));
            }
            return Ok(exit::answer(args.no_wait));
        }
    }
    let made: Json = client.get(&one(&args.name), &[])?;
    if made["rows"] == 0 {
        warn_of_no_rows(&client, &made);
    }
    if args.json {
        printer::json(&made)?;
    } else {
        let (name, rows, digest) = (text(&made["full_name"]), &made["rows"], text(&made["sha256"]));
        printer::data(&digest);
        let again = if begun["is_repeat"] == true { " It was there already." } else { "" };
        printer::talk(&format!("{name}: {rows} rows.{again}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Says why a set may be empty: each row of the labels that fulfils the condition becomes one of the set, whatever it finds.
fn warn_of_no_rows(client: &Client, made: &Json) {
    let (table, version) = (text(&made["labels"]["table"]), &made["labels"]["version"]);
    let statement = format!("SELECT count(*) AS n FROM {table} VERSION AS OF {version}");
    let mut answer = Vec::new();
    let asked =
        client.stream("/api/1.0/sql", &json!({ "statement": statement, "format": "json" }), &mut answer);
    let count = asked.ok().and_then(|()| serde_json::from_slice::<Json>(&answer).ok()?["n"].as_u64());
    let labels = stands_on(&made["labels"]);
    let why = match (count, made["where"].as_str()) {
        (Some(0), _) => {
            format!("{labels} has none; name a version that has some with --labels TABLE@VERSION")
        }
        (Some(count), Some(filter)) => {
            format!(
                "none of the {count} rows of {labels} fulfils --where '{filter}'; mind its units, types and spelling"
            )
        }
        (_, Some(filter)) => format!("{labels} has none, or none that fulfils --where '{filter}'"),
        (_, None) => format!("{labels} has none"),
    };
    printer::talk(&format!(
        "warning: the set has no rows: {why}. A set never changes; `strongback training-set delete {}` makes room for another.",
        text(&made["full_name"])
    ));
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let Some((catalog, schema)) = args.schema.split_once('.') else {
        return Err(schema_name(&args.schema).into());
    };
    let query = [("catalog_name", catalog), ("schema_name", schema)];
    let found = args.remote.client()?.list(TRAINING_SETS, &query, "training_sets")?;
    if args.json {
        return printer::json(&found);
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            let made = time::utc(one["created_at"].as_i64().unwrap_or_default());
            let digest = text(&one["sha256"]).chars().take(12).collect();
            vec![text(&one["full_name"]), one["rows"].to_string(), stands_on(&one["labels"]), made, digest]
        })
        .collect();
    printer::table(&["NAME", "ROWS", "LABELS", "MADE (UTC)", "SHA256"], &rows);
    Ok(())
}

fn stands_on(one: &Json) -> String {
    format!("{}@{}", text(&one["table"]), one["version"])
}

fn show(args: &OneArgs) -> anyhow::Result<()> {
    let found: Json = args.remote.client()?.get(&one(&args.name), &[])?;
    if args.json {
        return printer::json(&found);
    }
    let line = |label: &str, value: String| printer::data(&format!("{label:<12}{value}"));
    line("set", text(&found["full_name"]));
    line("owner", text(&found["owner"]));
    let made = time::utc(found["created_at"].as_i64().unwrap_or_default());
    line("made", format!("{made} UTC by {}, job {}", text(&found["created_by"]), text(&found["job"])));
    line("rows", found["rows"].to_string());
    line("sha256", text(&found["sha256"]));
    line("labels", stands_on(&found["labels"]));
    for (label, key) in [("where", "where"), ("timestamp", "timestamp"), ("label", "label")] {
        if found[key].is_string() {
            line(label, text(&found[key]));
        }
    }
    for table in found["features"].as_array().map(Vec::as_slice).unwrap_or_default() {
        line("features", format!("{}, definition {}", stands_on(table), table["definition"]));
    }
    let columns = found["columns"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> =
        columns.iter().map(|column| vec![text(&column["name"]), text(&column["type_text"])]).collect();
    printer::data("");
    printer::table(&["COLUMN", "TYPE"], &rows);
    Ok(())
}

fn rebuild(args: &OneArgs) -> anyhow::Result<ExitCode> {
    let client = args.remote.client()?;
    let judged: Json = client.send_long(&format!("{}/rebuild", one(&args.name)), &json!({}))?;
    let verdict = text(&judged["verdict"]);
    if args.json {
        printer::json(&judged)?;
    } else {
        printer::data(&verdict);
        printer::talk(&text(&judged["why"]));
        let difference = &judged["difference"];
        if difference.is_object() {
            let column =
                difference["column"].as_str().map_or(String::new(), |name| format!(", column {name}"));
            let (kept, made) = (text(&difference["kept"]), text(&difference["made"]));
            printer::talk(&format!("row {}{column}: '{kept}' is kept, '{made}' came out", difference["row"]));
        }
    }
    Ok(match verdict.as_str() {
        "equal" => ExitCode::SUCCESS,
        "differs" => exit::answer(false),
        _ => ExitCode::from(UNJUDGED),
    })
}

fn rows(args: &RowsArgs) -> anyhow::Result<()> {
    let client = args.remote.client()?;
    let format = match args.format {
        Format::Parquet => "parquet",
        Format::Csv => "csv",
        Format::Arrow => "arrow",
    };
    let unwritable = |error: std::io::Error| {
        Error::invalid(format!("The file {} cannot be written: {error}.", args.output.display()))
    };
    let mut file = File::create_new(&args.output).map_err(unwritable)?;
    let path = format!("{}/rows", one(&args.name));
    if let Err(error) = client.download(&path, &[("format", format)], &mut file) {
        // A part of the rows is nothing that anybody may take for all of them.
        std::fs::remove_file(&args.output).map_err(unwritable)?;
        return Err(error.into());
    }
    file.flush().map_err(unwritable)?;
    printer::talk(&format!("Wrote {}.", args.output.display()));
    Ok(())
}
