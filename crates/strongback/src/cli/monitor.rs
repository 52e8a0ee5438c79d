//! `strongback monitor`: what is watched, and what was found.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value as Json, json};

use super::{
    catalog::schema_name,
    client::{Remote, segment},
    exit, job, printer,
};
use crate::{error::Error, time};

const MONITORS: &str = "/api/1.0/monitors";
/// Windows that are looked at for those with rows: as many as one answer has.
const WINDOWS_LOOKED_AT: u32 = 1_000;

const EXAMPLES: &str = "\
A file monitor.yaml:
  version: 1
  watch: prod.risk.fraud             # an endpoint, or any table
  baseline: prod.risk.train@3        # a table at a version
  event_time: _event_time            # so in payload tables, and by default
  window: { length: 1h, offset: 0s, delay: 5m }
  lateness: 1d                       # late rows count until then
  features: { exclude: [Time] }      # all others; include: [...] names some
  prediction: _prediction
  labels: { lateness: 7d, baseline: Class, metrics: [average_precision] }
  metrics: [psi, missing]            # of every column
  thresholds:
    - { metric: psi, above: 0.2 }
    - { metric: average_precision, below: 0.7, severity: high }
  minimum_rows: 100
  false_discovery_rate: 0.05
  alerts: { owner: fraud-team, severity: medium, resolve_after: 3 }
  trigger:
    command: prod.risk.train_fraud   # declared by an administrator
    parameters: { until: \"{window_end}\" }
    budget: { wall: 1h }
    cool_down: 1d

  strongback monitor apply monitor.yaml
  strongback monitor list prod.risk
  strongback monitor show prod.risk.fraud
  strongback monitor run prod.risk.fraud --wait
  strongback monitor run prod.risk.fraud --from 2026-11-24T00:00:00Z --to 2026-11-25T00:00:00Z
  strongback monitor delete prod.risk.fraud

The server looks every minute for windows that are due; `run` does not wait for
that. Figures land in prod.risk.fraud_drift, and as series of one run.";

/// Declare, list and run monitors
#[derive(Debug, Subcommand)]
pub(super) enum MonitorCommand {
    /// Declare a monitor from a file, or its next version
    #[command(after_help = EXAMPLES)]
    Apply(ApplyArgs),
    /// List the monitors of a schema
    #[command(after_help = EXAMPLES)]
    List(ListArgs),
    /// Show a monitor: how far it is, its newest windows
    #[command(after_help = EXAMPLES)]
    Show(ShowArgs),
    /// Queue a job that computes what is due, or a range once more
    #[command(after_help = EXAMPLES)]
    Run(RunArgs),
    /// Delete a monitor; what it computed stays
    #[command(after_help = EXAMPLES)]
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// The definition, in YAML; the help shows one
    #[arg(value_name = "FILE")]
    file: PathBuf,
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
    /// Name of what is watched
    name: String,
    /// How many windows with rows; those without are one line
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    limit: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Name of what is watched
    name: String,
    /// Only windows from this moment on, also where they were computed already and something has changed since
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<String>,
    /// Only windows that end then or before
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// Wait for its end; the exit code is 1 when it failed
    #[arg(long)]
    wait: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Name of what is watched
    name: String,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(command: MonitorCommand) -> anyhow::Result<ExitCode> {
    match command {
        MonitorCommand::Apply(args) => apply(&args)?,
        MonitorCommand::List(args) => list(&args)?,
        MonitorCommand::Show(args) => show(&args)?,
        MonitorCommand::Run(args) => return queue(&args),
        MonitorCommand::Delete(args) => {
            args.remote.client()?.send::<Json>(Method::DELETE, &one(&args.name), &json!({}))?;
            printer::talk(&format!("Nothing watches {} any more.", args.name));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn one(name: &str) -> String {
    format!("{MONITORS}/{}", segment(name))
}

fn apply(args: &ApplyArgs) -> anyhow::Result<()> {
    let place = args.file.display();
    let yaml = std::fs::read_to_string(&args.file)
        .map_err(|error| Error::invalid(format!("The file {place} cannot be read: {error}.")))?;
    // A mistake is shown with its place in the file before anybody is asked.
    syntax::monitors::from_yaml(&yaml).map_err(|error| Error::invalid(format!("{place}: {error}.")))?;
    let made: Json = args.remote.client()?.send(Method::POST, MONITORS, &json!({ "yaml": yaml }))?;
    if args.json {
        return printer::json(&made);
    }
    let text = |key: &str| made[key].as_str().unwrap_or_default().to_owned();
    printer::talk(&format!(
        "{} is watched by version {} of its monitor, in {}.",
        text("full_name"),
        made["version"],
        text("watched_table")
    ));
    Ok(())
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let Some((catalog, schema)) = args.schema.split_once('.') else {
        return Err(schema_name(&args.schema).into());
    };
    let query = [("catalog_name", catalog), ("schema_name", schema)];
    let found = args.remote.client()?.list(MONITORS, &query, "monitors")?;
    if args.json {
        return printer::json(&found);
    }
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            vec![
                text(&one["full_name"]),
                one["version"].to_string(),
                baseline(one),
                text(&one["definition"]["window"]["length"]),
                text(&one["computed_to"]),
                text(&one["owner"]),
            ]
        })
        .collect();
    printer::table(&["NAME", "VERSION", "BASELINE", "WINDOW", "COMPUTED TO", "OWNER"], &rows);
    Ok(())
}

fn baseline(monitor: &Json) -> String {
    let baseline = &monitor["definition"]["baseline"];
    let name = baseline["name"].as_str().unwrap_or_default();
    baseline["version"].as_u64().map_or_else(|| name.to_owned(), |version| format!("{name}@{version}"))
}

fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let client = args.remote.client()?;
    let mut found: Json = client.get(&one(&args.name), &[])?;
    // Empty windows are told of in few lines, so that more have to be looked at.
    let most = if args.json { args.limit } else { WINDOWS_LOOKED_AT }.to_string();
    let mut windows: Json = client.get(&format!("{}/windows", one(&args.name)), &[("max_results", &most)])?;
    if args.json {
        found["windows"] = windows["windows"].take();
        return printer::json(&found);
    }
    let line = |label: &str, value: String| printer::data(&format!("{label:<12}{value}"));
    let text = |key: &str| found[key].as_str().unwrap_or("-").to_owned();
    line("watched", format!("{} ({})", text("full_name"), text("watched_table")));
    line("baseline", baseline(&found));
    line("version", format!("{}, of {}", found["version"], text("declared_by")));
    line("window", found["definition"]["window"]["length"].as_str().unwrap_or_default().to_owned());
    line("computed", format!("to {}; the newest row is of {}", text("computed_to"), text("newest_event")));
    line("figures", format!("{}, run {}", text("drift_table"), text("run_id")));
    if let Some(at) = found["triggered_at"].as_i64() {
        line("triggered", format!("{} UTC", time::utc(at)));
    }
    let windows = windows["windows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = window_rows(windows, args.limit as usize);
    printer::table(&["WINDOW", "REVISION", "OUTCOME", "ROWS", "LABELLED"], &rows);
    Ok(())
}

/// The newest windows with rows, so many at most; those without between them are one line.
fn window_rows(windows: &[Json], limit: usize) -> Vec<Vec<String>> {
    let is_empty = |window: &Json| window["rows"] == 0 && window["state"] == "computed";
    let text = |window: &Json, key: &str| window[key].as_str().unwrap_or_default().to_owned();
    let (mut rows, mut shown) = (Vec::new(), 0);
    for run in windows.chunk_by(|one, other| is_empty(one) && is_empty(other)) {
        let (Some(newest), Some(oldest)) = (run.first(), run.last()) else { continue };
        if is_empty(newest) {
            let none = match run.len() {
                1 => "no rows".to_owned(),
                many => format!("no rows in {many} windows, to {}", text(newest, "end")),
            };
            rows.push(vec![text(oldest, "start"), String::new(), none]);
            continue;
        }
        if shown == limit {
            break;
        }
        shown += 1;
        let outcome = newest["outcome"].as_str().or(newest["state"].as_str()).unwrap_or_default();
        rows.push(vec![
            text(newest, "start"),
            newest["revision"].to_string(),
            outcome.to_owned(),
            newest["rows"].to_string(),
            newest["labelled_rows"].to_string(),
        ]);
    }
    rows
}

fn queue(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let client = args.remote.client()?;
    let body = json!({ "from": args.from, "to": args.to });
    let queued: Json = client.send(Method::POST, &format!("{}/run", one(&args.name)), &body)?;
    let id = queued["job_id"].as_str().unwrap_or_default().to_owned();
    if !args.wait {
        match args.json {
            true => printer::json(&queued)?,
            false => printer::data(&id),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let ended = job::wait(&client, &id, None)?;
    if args.json {
        printer::json(&ended)?;
    } else {
        printer::data(&id);
        let computed = match ended["result"]["windows"].as_i64() {
            Some(windows) => format!(" It computed {windows} windows."),
            None => String::new(),
        };
        printer::talk(&format!("{}{computed}", job::said(&ended)));
    }
    Ok(exit::answer(ended["state"] == "succeeded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_without_rows_are_one_line() {
        let window = |hour: u32, rows: u32| {
            json!({
                "start": format!("{hour:02}:00"), "end": format!("{:02}:00", hour + 1), "revision": 1,
                "state": "computed", "outcome": if rows == 0 { "empty" } else { "ok" }, "rows": rows, "labelled_rows": 0,
            })
        };
        let windows = [
            window(9, 0),
            window(8, 0),
            window(7, 0),
            window(6, 5),
            window(5, 0),
            window(4, 7),
            window(3, 9),
        ];
        let shown: Vec<String> = window_rows(&windows, 2).iter().map(|row| row.join(" ")).collect();
        assert_eq!(
            shown,
            ["07:00  no rows in 3 windows, to 10:00", "06:00 1 ok 5 0", "05:00  no rows", "04:00 1 ok 7 0"]
        );
        let planned =
            json!({ "start": "10:00", "revision": 1, "state": "planned", "rows": 0, "labelled_rows": 0 });
        assert_eq!(window_rows(&[planned], 9)[0][2], "planned");
    }
}
