//! `strongback feature-table`: tables of features, computed from other tables.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value as Json, json};

use super::{
    catalog::schema_name,
    client::{Remote, segment},
    exit, job,
    printer::{self, text},
};
use crate::{error::Error, time};

const FEATURE_TABLES: &str = "/api/1.0/feature-tables";
/// How long the call itself waits for a job that it queues, milliseconds.
const WAIT_MS: u32 = 10_000;

const EXAMPLES: &str = "\
A file amounts.yaml:
  version: 1
  name: prod.risk.amounts
  source: prod.risk.transactions
  keys: []                    # none: one sequence for all; or [card]
  timestamp: event_time
  row_key: [transaction_id]   # tells rows of one time apart
  pane: 1m                    # features are up to one pane old
  lateness: 5m                # rows may come so much later
  refresh: on_commit          # or manual, which is the default
  expressions:                # columns that are computed from each row first
    log_amount: ln(amount + 1)
  features:
    - {name: amount_count_1h, aggregate: count, window: 1h}
    - {name: amount_mean_1h, aggregate: mean, column: amount, window: 1h}
    - {name: amount_std_1h, aggregate: std, column: amount, window: 1h}

  strongback feature-table apply amounts.yaml --dry-run
  strongback feature-table apply amounts.yaml
  strongback feature-table materialize prod.risk.amounts --wait
  strongback feature-table show prod.risk.amounts
  strongback feature-table list prod.risk

Aggregates are count, sum, mean, std, std_population, min, max and last. Applied
again with another definition the table gets its next version, and is computed
anew; what computes the same changes nothing.";

/// Declare and compute tables of features
#[derive(Debug, Subcommand)]
pub(super) enum FeatureTableCommand {
    /// Declare a feature table from a file, or its next version
    #[command(after_help = EXAMPLES)]
    Apply(ApplyArgs),
    /// List the feature tables of a schema
    #[command(after_help = EXAMPLES)]
    List(ListArgs),
    /// Show a feature table: its definitions, what is published, how far it is behind
    #[command(after_help = EXAMPLES)]
    Show(ShowArgs),
    /// Compute a feature table from what its source gained
    #[command(after_help = EXAMPLES)]
    Materialize(MaterializeArgs),
}

#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// The definition, in YAML; the help shows one
    file: PathBuf,
    /// Say what would change and change nothing
    #[arg(long)]
    dry_run: bool,
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
pub(super) struct ShowArgs {
    /// catalog.schema.table
    name: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct MaterializeArgs {
    /// catalog.schema.table
    name: String,
    /// Compute everything, also where the source only gained rows
    #[arg(long)]
    full: bool,
    /// Wait for its end; the exit code is 1 when it failed
    #[arg(long)]
    wait: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(command: FeatureTableCommand) -> anyhow::Result<ExitCode> {
    match command {
        FeatureTableCommand::Apply(args) => apply(&args)?,
        FeatureTableCommand::List(args) => list(&args)?,
        FeatureTableCommand::Show(args) => show(&args)?,
        FeatureTableCommand::Materialize(args) => return materialize(&args),
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn one(name: &str) -> String {
    format!("{FEATURE_TABLES}/{}", segment(name))
}

fn words(value: &Json) -> String {
    let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn apply(args: &ApplyArgs) -> anyhow::Result<()> {
    let yaml = std::fs::read_to_string(&args.file).map_err(|error| {
        Error::invalid(format!("The file {} cannot be read: {error}.", args.file.display()))
    })?;
    let body = json!({ "yaml": yaml, "dry_run": args.dry_run });
    let done: Json = args.remote.client()?.send(Method::POST, FEATURE_TABLES, &body)?;
    if args.json {
        return printer::json(&done);
    }
    let changes = done["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    for change in changes {
        printer::data(&text(change));
    }
    let (name, n) = (text(&done["full_name"]), &done["definition"]);
    printer::talk(&match (changes.is_empty(), args.dry_run) {
        (true, _) => format!("{name}: nothing changes; it is definition {n}."),
        (false, true) => format!("{name}: this would be definition {n}; nothing was done."),
        (false, false) => {
            format!(
                "{name} is at definition {n}. Compute it with: strongback feature-table materialize {name} --wait"
            )
        }
    });
    Ok(())
}

/// How fresh a table is, in words.
fn freshness(table: &Json) -> String {
    let published = &table["published"];
    if published.is_null() {
        return "nothing is published".to_owned();
    }
    let behind = match published["versions_behind"].as_u64().unwrap_or_default() {
        0 => "up to date".to_owned(),
        1 => "1 version behind".to_owned(),
        many => format!("{many} versions behind"),
    };
    let online = if published["is_online"] == true { "" } else { ", not online yet" };
    let old = if published["definition"] == table["definition"] { "" } else { ", of an older definition" };
    format!("{behind}{old}{online}")
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let Some((catalog, schema)) = args.schema.split_once('.') else {
        return Err(schema_name(&args.schema).into());
    };
    let query = [("catalog_name", catalog), ("schema_name", schema)];
    let found = args.remote.client()?.list(FEATURE_TABLES, &query, "feature_tables")?;
    if args.json {
        return printer::json(&found);
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            let count = one["features"].as_array().map_or(0, Vec::len).to_string();
            let (name, source) = (text(&one["full_name"]), text(&one["source"]));
            vec![name, one["definition"].to_string(), source, count, freshness(one)]
        })
        .collect();
    printer::table(&["NAME", "DEFINITION", "SOURCE", "FEATURES", "STATE"], &rows);
    Ok(())
}

fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let found: Json = args.remote.client()?.get(&one(&args.name), &[])?;
    if args.json {
        return printer::json(&found);
    }
    printer::data(&format!("{:<12}{}", "table", text(&found["full_name"])));
    printer::data(&format!("{:<12}{}", "owner", text(&found["owner"])));
    print(&found);
    Ok(())
}

/// What is declared of a feature table, and what is published of it.
pub(super) fn print(found: &Json) {
    let line = |label: &str, value: String| printer::data(&format!("{label:<12}{value}"));
    line("source", format!("{} at version {}", text(&found["source"]), found["source_version"]));
    line("keys", words(&found["keys"]));
    line("timestamp", text(&found["timestamp"]));
    line("features", words(&found["features"]));
    line("refresh", text(&found["refresh"]));
    line("definition", found["definition"].to_string());
    line("state", freshness(found));
    let published = &found["published"];
    if published.is_object() {
        let at = time::utc(published["at"].as_i64().unwrap_or_default());
        let (of, source, version) =
            (&published["definition"], &published["source_version"], &published["table_version"]);
        line(
            "published",
            format!("version {version} at {at} UTC, by definition {of} from version {source} of the source"),
        );
        if let Some(newest) = published["newest_event_micros"].as_i64() {
            line("newest", format!("{} UTC", time::utc(newest.div_euclid(1_000))));
        }
    }
    for one in found["superseded"].as_array().into_iter().flatten() {
        line("kept", kept(one));
    }
    for one in found["definitions"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let at = time::utc(one["declared_at"].as_i64().unwrap_or_default());
        printer::data("");
        let (n, by, digest) = (&one["definition"], text(&one["declared_by"]), text(&one["digest"]));
        printer::data(&format!("# definition {n}, by {by} at {at} UTC, sha256 {digest}"));
        text(&one["yaml"]).lines().for_each(printer::data);
    }
}

/// An earlier definition that endpoints stand on.
fn kept(one: &Json) -> String {
    let by = match words(&one["used_by"]) {
        by if by.is_empty() => "an endpoint".to_owned(),
        by => by,
    };
    let far = match (one["source_version"].as_u64(), one["versions_behind"].as_u64().unwrap_or_default()) {
        (None, _) => "not computed yet".to_owned(),
        (Some(version), 0) => format!("version {version} of its source"),
        (Some(version), behind) => format!("version {version} of its source, {behind} behind"),
    };
    let problem =
        one["problem"].as_str().map_or_else(String::new, |why| format!(". It stays as it is: {why}"));
    format!("definition {}, for {by}: {far}{problem}", one["definition"])
}

fn materialize(args: &MaterializeArgs) -> anyhow::Result<ExitCode> {
    let client = args.remote.client()?;
    let wait_ms = if args.wait { WAIT_MS } else { 0 };
    let body = json!({ "full": args.full, "wait_ms": wait_ms });
    let mut done: Json = client.send(Method::POST, &format!("{}/materialize", one(&args.name)), &body)?;
    let id = text(&done["job_id"]);
    if args.wait && !done["ended_at"].is_i64() {
        done = job::wait(&client, &id, None)?;
    }
    let state = text(&done["state"]);
    if args.json {
        printer::json(&done)?;
    } else {
        printer::data(&id);
        let result = &done["result"];
        printer::talk(&match state.as_str() {
            "succeeded" => format!(
                "{}: version {}, {} rows published ({}: {}).",
                text(&result["full_name"]),
                result["table_version"],
                result["rows_published"],
                text(&result["how"]),
                text(&result["why"])
            ),
            _ => job::said(&done),
        });
    }
    Ok(if args.wait { exit::answer(state == "succeeded") } else { ExitCode::SUCCESS })
}
