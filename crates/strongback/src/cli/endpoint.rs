//! `strongback endpoint`: where models answer requests.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value as Json, json};

use super::{
    client::{Client, Remote, segment},
    exit,
    printer::{self, text},
};
use crate::{answers::HIDDEN_TABLE, error::Error};

const ENDPOINTS: &str = "/api/1.0/endpoints";
/// Between two looks at an endpoint that is being loaded.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How long that is done.
const WAIT: Duration = Duration::from_mins(5);

const EXAMPLES: &str = "\
Examples:
  strongback endpoint create fraud --model prod.risk.fraud_classifier@champion
  strongback endpoint show fraud
  strongback endpoint query fraud --data rows.json
  strongback endpoint query fraud --data rows.csv --json
  strongback endpoint update fraud --model prod.risk.fraud_classifier/3
  strongback endpoint log fraud --flush
  strongback endpoint list
  strongback endpoint delete fraud

An alias is followed: when it moves, the endpoint serves what it points to, with
no request failing. A file for `query` holds what a client would send, e.g.
  {\"dataframe_split\": {\"columns\": [\"amount\"], \"data\": [[12.5]]}}
or CSV: a line of the columns' names, then a line a row.";

/// Serve models: make, list, change, delete and query endpoints
#[derive(Debug, Subcommand)]
pub(super) enum EndpointCommand {
    /// Make an endpoint and wait until it answers
    #[command(after_help = EXAMPLES)]
    Create(CreateArgs),
    /// List endpoints
    #[command(after_help = EXAMPLES)]
    List(ListArgs),
    /// Show an endpoint: state, version, and how the model is run
    #[command(after_help = EXAMPLES)]
    Show(ShowArgs),
    /// Let an endpoint serve another model, version or alias
    #[command(after_help = EXAMPLES)]
    Update(UpdateArgs),
    /// Delete an endpoint
    #[command(after_help = EXAMPLES)]
    Delete(DeleteArgs),
    /// Send rows to an endpoint
    #[command(after_help = EXAMPLES)]
    Query(QueryArgs),
    /// Whether all that was served was logged, and where that is
    #[command(after_help = EXAMPLES)]
    Log(LogArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The name that clients call it by: letters, digits, - and _
    endpoint: String,
    /// NAME@ALIAS, which is followed, NAME/VERSION, or NAME, which is the newest version now
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// catalog.schema.endpoint [default: in the model's schema]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Do not wait until it answers
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
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its name
    endpoint: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    /// Its name
    endpoint: String,
    /// NAME@ALIAS, NAME/VERSION or NAME
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// Do not wait until it serves that
    #[arg(long)]
    no_wait: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Its name
    endpoint: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// Its name
    endpoint: String,
    /// A file of CSV with a header, or of JSON in one of MLflow's forms
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// What the file is written in [default: csv where its name ends so, else json]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<DataFormat>,
    /// The answer with the request's id in it, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// What rows for an endpoint are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DataFormat {
    Csv,
    Json,
}

#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// Its name
    endpoint: String,
    /// Bring what waits in the log into the payload table first
    #[arg(long)]
    flush: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(command: EndpointCommand) -> anyhow::Result<ExitCode> {
    match command {
        EndpointCommand::Create(args) => create(&args)?,
        EndpointCommand::List(args) => list(&args)?,
        EndpointCommand::Show(args) => {
            let found: Json = args.remote.client()?.get(&one(&args.endpoint), &[])?;
            show(&found, args.json)?;
        }
        EndpointCommand::Update(args) => {
            let client = args.remote.client()?;
            let mut changed: Json =
                client.send(Method::PATCH, &one(&args.endpoint), &json!({ "model": args.model }))?;
            if !args.no_wait {
                changed = wait(&client, &args.endpoint)?;
            }
            show(&changed, args.json)?;
        }
        EndpointCommand::Delete(args) => {
            args.remote.client()?.send::<Json>(Method::DELETE, &one(&args.endpoint), &json!({}))?;
            printer::talk(&format!("Deleted {}.", args.endpoint));
        }
        EndpointCommand::Query(args) => query(&args)?,
        EndpointCommand::Log(args) => return log(&args),
    }
    Ok(ExitCode::SUCCESS)
}

fn one(name: &str) -> String {
    format!("{ENDPOINTS}/{}", segment(name))
}

fn create(args: &CreateArgs) -> anyhow::Result<()> {
    let client = args.remote.client()?;
    let body = json!({
        "name": args.endpoint, "model": args.model, "full_name": args.name, "comment": args.comment,
    });
    let mut made: Json = client.send(Method::POST, ENDPOINTS, &body)?;
    if !args.no_wait {
        printer::talk("Loading the model; Ctrl-C ends the wait and not the endpoint.");
        made = wait(&client, &args.endpoint)?;
    }
    show(&made, args.json)
}

/// The endpoint once it serves its newest configuration.
fn wait(client: &Client, name: &str) -> anyhow::Result<Json> {
    let began = Instant::now();
    loop {
        let found: Json = client.get(&one(name), &[])?;
        if let Some(reason) = found["reason"].as_str() {
            return Err(
                Error::unavailable(format!("The endpoint {name} cannot serve the model: {reason}")).into()
            );
        }
        if found["serving"]["config"].as_i64() >= found["config"]["n"].as_i64() {
            return Ok(found);
        }
        if began.elapsed() > WAIT {
            return Err(Error::unavailable(format!(
                "The endpoint {name} is being loaded still after {} s.",
                WAIT.as_secs()
            ))
            .into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What is served, in a few words.
fn served(endpoint: &Json) -> String {
    let config = &endpoint["config"];
    let alias = config["alias"].as_str().map_or_else(String::new, |alias| format!("@{alias}"));
    format!("{}{alias} version {}", text(&config["model"]), text(&config["version"]))
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let found: Json = args.remote.client()?.get(ENDPOINTS, &[])?;
    if args.json {
        return printer::json(&found["endpoints"]);
    }
    let rows: Vec<Vec<String>> = found["endpoints"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|endpoint| {
            vec![
                text(&endpoint["name"]),
                text(&endpoint["state"]),
                served(endpoint),
                text(&endpoint["serving"]["runtime"]),
                text(&endpoint["requests"]),
                text(&endpoint["full_name"]),
            ]
        })
        .collect();
    printer::table(&["ENDPOINT", "STATE", "SERVES", "RUNTIME", "REQUESTS", "NAME"], &rows);
    Ok(())
}

/// Ends with 1 where something that was served is not in the log.
fn log(args: &LogArgs) -> anyhow::Result<ExitCode> {
    let client = args.remote.client()?;
    let found: Json = if args.flush {
        client.send(Method::POST, &format!("{}/flush", one(&args.endpoint)), &json!({}))?
    } else {
        client.get(&format!("{}/log", one(&args.endpoint)), &[])?
    };
    let count = |name: &str| found[name].as_u64().unwrap_or_default();
    let is_whole = count("served") + count("unanswered") <= count("logged");
    if args.json {
        printer::json(&found)?;
    } else {
        let line = |label: &str, value: String| printer::data(&format!("{label:<10}{value}"));
        line("served", count("served").to_string());
        line(
            "logged",
            format!("{}, of which {} were not answered any more", count("logged"), count("unanswered")),
        );
        line(
            "drained",
            format!(
                "{} requests, {} rows, into {}",
                count("drained"),
                count("drained_rows"),
                text(&found["table"])
            ),
        );
        line("waiting", count("waiting").to_string());
        if count("given_up") > 0 {
            line("given up", count("given_up").to_string());
        }
    }
    Ok(exit::answer(is_whole))
}

fn show(endpoint: &Json, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return printer::json(endpoint);
    }
    let line = |label: &str, value: String| {
        if !value.is_empty() {
            printer::data(&format!("{label:<10}{value}"));
        }
    };
    line("endpoint", format!("{}, {}", text(&endpoint["name"]), text(&endpoint["full_name"])));
    line("state", text(&endpoint["state"]));
    line("reason", text(&endpoint["reason"]));
    line("serves", format!("{}, configuration {}", served(endpoint), text(&endpoint["config"]["n"])));
    line("owner", text(&endpoint["owner"]));
    line(
        "requests",
        format!("{}, of which {} refused or failed", text(&endpoint["requests"]), text(&endpoint["errors"])),
    );
    line("of late", of_late(&endpoint["traffic"]));
    let serving = &endpoint["serving"];
    if serving.is_object() {
        line("runtime", format!("{}, version {}", text(&serving["runtime"]), text(&serving["version"])));
        line("because", because(&serving["report"]));
    }
    for one in endpoint["features"].as_array().into_iter().flatten() {
        line("features", looked_up(one));
    }
    Ok(())
}

/// Where inputs are looked up, and how far that is.
fn looked_up(from: &Json) -> String {
    let table = from["table"].as_str().unwrap_or(HIDDEN_TABLE);
    let (n, newest) = (&from["definition"], &from["newest_definition"]);
    let superseded =
        if n == newest { String::new() } else { format!(" (superseded by {newest}, kept for this)") };
    let behind = match from["versions_behind"].as_u64().unwrap_or_default() {
        0 => "up to date".to_owned(),
        1 => "1 version behind its source".to_owned(),
        behind => format!("{behind} versions behind its source"),
    };
    let problem =
        from["problem"].as_str().map_or_else(String::new, |why| format!(". It stays as it is: {why}"));
    format!("{table}, definition {n}{superseded}, {behind}{problem}")
}

/// What an endpoint did in the last minutes; nothing where it did nothing.
fn of_late(traffic: &Json) -> String {
    let number = |name: &str| traffic[name].as_f64();
    let (Some(rate), Some(seconds)) = (number("per_second"), number("seconds")) else { return String::new() };
    let time =
        |name: &str, label: &str| number(name).map(|ms| format!(", {label} {ms:.2} ms")).unwrap_or_default();
    match rate > 0.0 {
        true => format!(
            "{rate:.2} a second over {seconds:.0} s{}{}",
            time("p50_ms", "p50"),
            time("p99_ms", "p99")
        ),
        false => String::new(),
    }
}

/// A difference, of which the size matters: `2.8e-7`.
fn small(number: &Json) -> String {
    match number.as_f64() {
        Some(0.0) => "0".to_owned(),
        Some(difference) => format!("{difference:.1e}"),
        None => text(number),
    }
}

/// On what the choice of the runtime stands.
fn because(report: &Json) -> String {
    let mut said = text(&report["reason"]);
    if report["rows"].is_number() {
        let compared = format!(
            "compared with the original on {} rows ({} of the input example): largest difference {}, {} labels differ, \
             tolerance {}",
            report["rows"],
            text(&report["example_rows"]),
            small(&report["max_abs_diff"]),
            text(&report["labels_that_differ"]),
            small(&report["tolerance"])
        );
        said = if said.is_empty() { compared } else { format!("{said} ({compared})") };
    }
    said
}

fn query(args: &QueryArgs) -> anyhow::Result<()> {
    let place = args.data.display();
    let read = std::fs::read_to_string(&args.data)
        .map_err(|error| Error::invalid(format!("The file {place} cannot be read: {error}.")))?;
    let is_csv = args.data.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let kind = match args.format.unwrap_or(if is_csv { DataFormat::Csv } else { DataFormat::Json }) {
        DataFormat::Csv => "text/csv",
        DataFormat::Json => {
            serde_json::from_str::<serde::de::IgnoredAny>(&read).map_err(|error| {
                Error::invalid(format!(
                    "The file {place} is not JSON: {error}. If it is CSV, say so with --format csv."
                ))
            })?;
            "application/json"
        }
    };
    let path = format!("/endpoints/{}/invocations", segment(&args.endpoint));
    let (mut answer, id): (Json, String) = args.remote.client()?.send_named(&path, kind, read)?;
    if args.json && answer.is_object() {
        answer["request_id"] = id.as_str().into();
    }
    printer::json(&answer)?;
    printer::talk(&format!("Request {id}; `strongback why {id}` explains it."));
    Ok(())
}
