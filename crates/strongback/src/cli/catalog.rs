//! `strongback catalog` and `strongback schema`: the first two levels of names.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value as Json, json};

use super::{
    client::{Client, Remote, segment},
    printer,
};
use crate::error::{Code, Error};

const CATALOGS: &str = "/api/2.1/unity-catalog/catalogs";
const SCHEMAS: &str = "/api/2.1/unity-catalog/schemas";

const CATALOG_EXAMPLES: &str = "\
Examples:
  strongback catalog create prod --comment 'what customers see'
  strongback catalog create prod --if-not-exists
  strongback catalog list --json";

const SCHEMA_EXAMPLES: &str = "\
Examples:
  strongback schema create prod.risk --comment 'fraud and credit'
  strongback schema create prod.risk --if-not-exists
  strongback schema list prod";

/// Create and list catalogs
#[derive(Debug, Subcommand)]
pub(super) enum CatalogCommand {
    /// Create a catalog
    #[command(after_help = CATALOG_EXAMPLES)]
    Create(CreateArgs),
    /// List catalogs
    #[command(after_help = CATALOG_EXAMPLES)]
    List(ListArgs),
}

/// Create and list schemas
#[derive(Debug, Subcommand)]
pub(super) enum SchemaCommand {
    /// Create a schema, as catalog.schema
    #[command(after_help = SCHEMA_EXAMPLES)]
    Create(CreateArgs),
    /// List schemas, of one catalog or of all
    #[command(after_help = SCHEMA_EXAMPLES)]
    List(SchemaListArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Its name
    name: String,
    /// What it is for
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
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct SchemaListArgs {
    /// The catalog; all of them when left out
    catalog: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(command: CatalogCommand) -> anyhow::Result<ExitCode> {
    match command {
        CatalogCommand::Create(args) => {
            let body = json!({ "name": args.name, "comment": args.comment });
            create(&args, CATALOGS, "catalog", &body)?;
        }
        CatalogCommand::List(args) => {
            let found = args.remote.client()?.list(CATALOGS, &[], "catalogs")?;
            show(&found, args.json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run_schema(command: SchemaCommand) -> anyhow::Result<ExitCode> {
    match command {
        SchemaCommand::Create(args) => {
            let Some((catalog, schema)) = args.name.split_once('.') else {
                return Err(schema_name(&args.name).into());
            };
            let body = json!({ "name": schema, "catalog_name": catalog, "comment": args.comment });
            create(&args, SCHEMAS, "schema", &body)?;
        }
        SchemaCommand::List(args) => {
            let client = args.remote.client()?;
            let mut found = Vec::new();
            for catalog in catalogs(&client, args.catalog)? {
                found.extend(client.list(SCHEMAS, &[("catalog_name", &catalog)], "schemas")?);
            }
            show(&found, args.json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What to say of a name that is not one of a schema.
pub(super) fn schema_name(text: &str) -> Error {
    Error::invalid(format!("'{text}' is no schema: write catalog.schema, e.g. prod.risk."))
}

fn catalogs(client: &Client, named: Option<String>) -> anyhow::Result<Vec<String>> {
    if let Some(name) = named {
        return Ok(vec![name]);
    }
    let all = client.list(CATALOGS, &[], "catalogs")?;
    Ok(all.iter().filter_map(|catalog| catalog["name"].as_str()).map(str::to_owned).collect())
}

fn create(args: &CreateArgs, path: &str, label: &str, body: &Json) -> anyhow::Result<()> {
    let client = args.remote.client()?;
    match client.send::<Json>(Method::POST, path, body) {
        Ok(made) if args.json => printer::json(&made),
        Ok(_) => {
            printer::talk(&format!("Created the {label} {}.", args.name));
            Ok(())
        }
        Err(error) if args.if_not_exists && error.code() == Code::AlreadyExists => {
            printer::talk(&format!("The {label} {} exists already.", args.name));
            if args.json {
                let found: Json = client.get(&format!("{path}/{}", segment(&args.name)), &[])?;
                printer::json(&found)?;
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn show(found: &[Json], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return printer::json(&found);
    }
    let text = |one: &Json, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| vec![text(one, "full_name"), text(one, "owner"), text(one, "comment")])
        .collect();
    printer::table(&["NAME", "OWNER", "COMMENT"], &rows);
    Ok(())
}
