//! `strongback table`: tables that live elsewhere, declared so that lineage and owners can name them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value as Json, json};
use syntax::names::FullName;

use super::{
    catalog::schema_name,
    client::{Remote, segment},
    printer,
};
use crate::{catalog::names, error::Code};

const TABLES: &str = "/api/2.1/unity-catalog/tables";

const EXAMPLES: &str = "\
Examples:
  strongback table declare prod.risk.features --location s3://lake/features
  strongback table declare prod.risk.labels --column id:LONG --column fraud:INT
  strongback table list prod.risk

A run with the tag feature_store_table=prod.risk.features is an edge of the
lineage: from the table to what the run makes.";

/// Declare and list tables
#[derive(Debug, Subcommand)]
pub(super) enum TableCommand {
    /// Declare a table that lives elsewhere, so that lineage can name it; nothing is created or read there
    #[command(after_help = EXAMPLES)]
    Declare(DeclareArgs),
    /// List the declared tables of a schema
    #[command(after_help = EXAMPLES)]
    List(ListArgs),
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
