//! `strongback table`: tables that are kept here, and those that live elsewhere, declared so that lineage can name them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value as Json, json};
use syntax::names::FullName;

use super::{
    catalog::schema_name,
    client::{Remote, segment},
    import, printer, table_show as shown, table_versions as versions,
};
use crate::{catalog::names, error::Code};

const TABLES: &str = "/api/2.1/unity-catalog/tables";

const EXAMPLES: &str = "\
Examples:
  strongback table declare prod.risk.features --location s3://lake/features
  strongback table declare prod.risk.labels --column id:LONG --column fraud:INT

A run with the tag feature_store_table=prod.risk.features is an edge of the
lineage: from the table to what the run makes.";

const LOOKING: &str = "\
Examples:
  strongback table list prod.risk
  strongback table show prod.risk.transactions
  strongback table show prod.risk.transactions --json
  strongback sql 'SELECT * FROM prod.risk.transactions LIMIT 10'";

const DELETING: &str = "\
Examples:
  strongback table delete prod.risk.transactions
  strongback table delete prod.risk.transactions --force

A table of which a version is pinned is not deleted, and who pins it is named:
a person, a training set, a monitor, a gate report. With --force it is, and what
stands on it cannot be made again. Files stay where they lie.";

const KEEPING: &str = "\
Examples:
  strongback table versions prod.risk.transactions
  strongback table pin prod.risk.transactions --version 3 --reason 'audit of November'
  strongback table vacuum prod.risk.transactions --keep-from 7 --dry-run
  strongback table vacuum prod.risk.transactions --keep-from 7 --keep-pinned
  strongback table unpin prod.risk.transactions --version 3
  strongback table compact prod.risk.transactions";

/// Import files into tables, show and list them, their versions and pins, clean and delete them; declare those elsewhere
#[derive(Debug, Subcommand)]
pub(super) enum TableCommand {
    /// Import a file of CSV, JSON lines, Parquet or Arrow into a table
    Import(import::ImportArgs),
    /// List the tables of a schema
    #[command(after_help = LOOKING)]
    List(ListArgs),
    /// Show a table: columns, owner, newest version, size, who pins it, how its features are computed
    #[command(after_help = LOOKING)]
    Show(shown::ShowArgs),
    /// Show the versions of a table, the newest first
    #[command(after_help = KEEPING)]
    Versions(versions::VersionsArgs),
    /// Keep a version readable, whatever is cleaned
    #[command(after_help = KEEPING)]
    Pin(versions::PinArgs),
    /// Take a pin away that a person made
    #[command(after_help = KEEPING)]
    Unpin(versions::UnpinArgs),
    /// Remove the files that only old versions need; refused where a pinned version needs one
    #[command(after_help = KEEPING)]
    Vacuum(versions::VacuumArgs),
    /// Join the small files of a table into large ones
    #[command(after_help = KEEPING)]
    Compact(versions::CompactArgs),
    /// Declare a table that lives elsewhere, so that lineage can name it; nothing is created or read there
    #[command(after_help = EXAMPLES)]
    Declare(DeclareArgs),
    /// Delete a table, or the declaration of one that lives elsewhere; refused where a version is pinned
    #[command(after_help = DELETING)]
    Delete(shown::DeleteArgs),
}

#[derive(Debug, Args)]
pub(super) struct DeclareArgs {
    /// catalog.schema.table
    name: String,
    /// Where it lives, e.g. s3://bucket/path
    #[arg(long, value_name = "URL")]
    location: Option<String>,
    /// DELTA, PARQUET, ICEBERG, CSV, JSON, AVRO, ORC or TEXT
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// A column as name or name:TYPE, e.g. amount:DOUBLE; once for each column
    #[arg(long = "column", value_name = "NAME[:TYPE]")]
    columns: Vec<String>,
    /// What it holds
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Be content when it exists already
    #[arg(long)]
    if_not_exists: bool,
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

pub(super) fn run(command: TableCommand) -> anyhow::Result<ExitCode> {
    match command {
        TableCommand::Import(args) => return import::run(&args),
        TableCommand::Show(args) => shown::show(&args)?,
        TableCommand::Delete(args) => shown::delete(&args)?,
        TableCommand::Versions(args) => versions::versions(&args)?,
        TableCommand::Pin(args) => versions::pin(&args)?,
        TableCommand::Unpin(args) => versions::unpin(&args)?,
        TableCommand::Vacuum(args) => versions::vacuum(&args)?,
        TableCommand::Compact(args) => versions::compact(&args)?,
        TableCommand::Declare(args) => declare(&args)?,
        TableCommand::List(args) => list(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn declare(args: &DeclareArgs) -> anyhow::Result<()> {
    let name = FullName::parse(&args.name).map_err(names::refused)?;
    let columns: Vec<Json> = args
        .columns
        .iter()
        .map(|column| match column.split_once(':') {
            Some((name, kind)) => json!({ "name": name, "type_name": kind.to_uppercase() }),
            None => json!({ "name": column }),
        })
        .collect();
    let body = json!({
        "name": name.leaf,
        "catalog_name": name.catalog,
        "schema_name": name.schema,
        "table_type": "EXTERNAL",
        "data_source_format": args.format.as_deref().map(str::to_uppercase),
        "storage_location": args.location,
        "columns": columns,
        "comment": args.comment,
    });
    let client = args.remote.client()?;
    match client.send::<Json>(Method::POST, TABLES, &body) {
        Ok(made) if args.json => printer::json(&made),
        Ok(_) => {
            printer::talk(&format!(
                "Declared {}: a table that lives elsewhere, so that lineage can name it.",
                args.name
            ));
            Ok(())
        }
        Err(error) if args.if_not_exists && error.code() == Code::AlreadyExists => {
            printer::talk(&format!("The table {} is declared already.", args.name));
            if args.json {
                let found: Json = client.get(&format!("{TABLES}/{}", segment(&args.name)), &[])?;
                printer::json(&found)?;
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let Some((catalog, schema)) = args.schema.split_once('.') else {
        return Err(schema_name(&args.schema).into());
    };
    let query = [("catalog_name", catalog), ("schema_name", schema)];
    let found = args.remote.client()?.list(TABLES, &query, "tables")?;
    if args.json {
        return printer::json(&found);
    }
    let text = |one: &Json, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            let columns = one["columns"].as_array().map_or(0, Vec::len).to_string();
            vec![text(one, "full_name"), text(one, "owner"), columns, text(one, "storage_location")]
        })
        .collect();
    printer::table(&["NAME", "OWNER", "COLUMNS", "LOCATION"], &rows);
    Ok(())
}
