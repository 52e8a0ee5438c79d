//! `strongback sql`: a query, answered as a table that people read, or as CSV, JSON lines or Arrow.

use std::{
    io::{IsTerminal, Read, Write},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value as Json, json};

use super::{client::Remote, printer};
use crate::{
    error::{Error, Result},
    tables::sql::End,
};

const EXAMPLES: &str = "\
Examples:
  strongback sql 'SELECT count(*) FROM prod.risk.transactions'
  strongback sql 'SELECT * FROM prod.risk.transactions VERSION AS OF 3 LIMIT 10'
  strongback sql 'SELECT * FROM transactions' --catalog prod --schema risk
  strongback sql 'SELECT * FROM prod.risk.transactions WHERE amount > $least' --param least=100
  strongback sql --format csv - < report.sql > report.csv

Names of tables and columns compare without case. Only queries run: tables are
made and changed by `strongback table`.";

/// Rows that are shown to people when nothing is said.
const ROWS_SHOWN: u64 = 1_000;

/// Ask tables by SQL
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SqlArgs {
    /// One query; - reads it from standard input
    statement: String,
    /// Catalog of names that do not say one
    #[arg(long, value_name = "NAME")]
    catalog: Option<String>,
    /// Schema of names that do not say one
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
    /// A value for $NAME in the query; a number, true, false, null, or else a text
    #[arg(long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// As JSON lines; the same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Rows at most [default: 1000 as a table, else all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Seconds that it may take
    #[arg(long, value_name = "S", default_value_t = 300)]
    time_s: u64,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
    Arrow,
}

pub(super) fn run(args: &SqlArgs) -> anyhow::Result<ExitCode> {
    let format = if args.json { Format::Json } else { args.format };
    let limit = args.limit.or((format == Format::Table).then_some(ROWS_SHOWN));
    let body = json!({
        "statement": statement(&args.statement)?,
        "catalog": args.catalog,
        "schema": args.schema,
        "parameters": parameters(&args.parameters)?,
        "row_limit": limit,
        "time_s": args.time_s,
        "format": match format {
            Format::Table => "texts",
            Format::Csv => "csv",
            Format::Json => "json",
            Format::Arrow => "arrow",
        },
    });
    if format == Format::Arrow && std::io::stdout().is_terminal() {
        let refused = "Arrow's stream is bytes that no terminal shows. Send it into a file: > answer.arrow";
        return Err(Error::invalid(refused).into());
    }
    let client = args.remote.client()?;
    if format == Format::Table {
        let mut text = Vec::new();
        client.stream("/api/1.0/sql", &body, &mut text)?;
        show(&text)?;
    } else {
        let mut out = std::io::stdout().lock();
        client.stream("/api/1.0/sql", &body, &mut out)?;
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn statement(given: &str) -> Result<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Error::invalid(format!("The query cannot be read from standard input: {error}.")))?;
    Ok(text)
}

fn parameters(given: &[String]) -> Result<Map<String, Json>> {
    let one = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Error::invalid(format!("The parameter '{text}' is not NAME=VALUE, such as least=100."))
        })?;
        let value = match serde_json::from_str::<Json>(value) {
            Ok(plain @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_))) => plain,
            _ => Json::from(value),
        };
        Ok((name.to_owned(), value))
    };
    given.iter().map(one).collect()
}

/// Shows lines of texts as a table: the first is the heading, the last says how many there were.
fn show(text: &[u8]) -> anyhow::Result<()> {
    let broke_off = || Error::unavailable("The answer broke off before its end. The server's log says why.");
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let end: End = lines.pop().and_then(|line| serde_json::from_slice(line).ok()).ok_or_else(broke_off)?;
    let mut lines = lines.into_iter();
    let heading: Vec<(String, String)> =
        serde_json::from_slice(lines.next().ok_or_else(broke_off)?).map_err(Error::internal)?;
    let rows: Vec<Vec<String>> = lines
        .map(|line| {
            let cells: Vec<Option<String>> = serde_json::from_slice(line).map_err(Error::internal)?;
            Ok(cells.into_iter().map(|cell| cell.unwrap_or_else(|| "null".to_owned())).collect())
        })
        .collect::<Result<_>>()?;
    let names: Vec<&str> = heading.iter().map(|(name, _)| name.as_str()).collect();
    printer::table(&names, &rows);
    let noun = if end.rows == 1 { "row" } else { "rows" };
    let more = if end.is_cut { "; there are more, --limit shows them" } else { "" };
    printer::talk(&format!("{} {noun}{more}", end.rows));
    Ok(())
}
