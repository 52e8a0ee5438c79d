//! `strongback runs`: questions about runs that deserve one command.

use std::{collections::BTreeSet, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use syntax::{
    names::closest,
    search::{Grammar, parse_filter},
};

use super::{
    client::{Client, Remote},
    exit, printer, runs_compare,
};
use crate::error::{Code, Error};

/// Experiments that are asked for at a time.
const EXPERIMENTS: i64 = 1_000;
/// Runs that can be asked for.
const RUNS: usize = 50_000;
/// Parameters that a line of the table shows.
const PARAMS_SHOWN: usize = 6;
/// Metrics that are named where the one that was asked for is missing.
const METRICS_SHOWN: usize = 10;

const EXAMPLES: &str = "\
Examples:
  strongback runs best --metric val_ap \\
      --where \"tags.dataset_version = '2024-Q4-v2' AND metrics.val_auc > 0.9\"
  strongback runs best --metric loss --min -n 5 --experiment /Shared/forecast
  strongback runs best --metric val_ap --json

A run counts with the newest value of the metric. Only runs that finished are
looked at, unless --any-status says otherwise. The exit code is 1 when no run
fits.";

/// Which runs are looked at when nobody says otherwise. One that still runs may win now and lose later.
const FINISHED: &str = "attributes.status = 'FINISHED'";

/// Find and compare runs
#[derive(Debug, Subcommand)]
pub(super) enum RunsCommand {
    /// The best runs by a metric, e.g. of one version of the data
    #[command(after_help = EXAMPLES)]
    Best(BestArgs),
    /// Runs side by side: params, metrics and which way they moved, data, code, environment
    Compare(runs_compare::CompareArgs),
}

#[derive(Debug, Args)]
pub(super) struct BestArgs {
    /// The metric that decides
    #[arg(long, value_name = "KEY")]
    metric: String,
    /// The smallest is best, as with a loss
    #[arg(long)]
    min: bool,
    /// Which runs, in MLflow's search language, e.g. "tags.dataset_version = 'X' and params.depth = '8'"
    #[arg(long = "where", value_name = "FILTER")]
    filter: Option<String>,
    /// Also runs that did not finish: running, failed, killed
    #[arg(long)]
    any_status: bool,
    /// Only of this experiment, by name; may be repeated
    #[arg(long, value_name = "NAME")]
    experiment: Vec<String>,
    /// How many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1, value_parser = limit)]
    limit: usize,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl BestArgs {
    /// The filter that is asked for. Ours stands first, so that what a refusal shows ends as the caller wrote it.
    fn whole_filter(&self) -> String {
        let theirs = self.filter.as_deref().map(str::trim).filter(|filter| !filter.is_empty());
        let ours = (!self.any_status).then_some(FINISHED);
        let theirs = theirs.map(|filter| match parse_filter(Grammar::Runs, filter) {
            // An OR would let through what is not ours.
            Ok(parsed) if ours.is_some() && parsed.required().len() < parsed.comparisons().len() => {
                format!("({filter})")
            }
            _ => filter.to_owned(),
        });
        ours.map(str::to_owned).into_iter().chain(theirs).collect::<Vec<_>>().join(" AND ")
    }
}

/// As many as a page of the search may have.
fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit) if (1..=RUNS).contains(&limit) => Ok(limit),
        _ => Err(format!("it is not a number from 1 to {RUNS}")),
    }
}

pub(super) fn run(command: RunsCommand) -> anyhow::Result<ExitCode> {
    match command {
        RunsCommand::Best(args) => best(&args),
        RunsCommand::Compare(args) => runs_compare::run(&args),
    }
}

fn best(args: &BestArgs) -> anyhow::Result<ExitCode> {
    if args.metric.contains(['`', '"']) {
        return Err(Error::invalid("A metric's key has no quotes.").into());
    }
    let client = args.remote.client()?;
    let experiments = experiments(&client, &args.experiment)?;
    let metric = format!("metrics.`{}`", args.metric);
    let order = format!("{metric} {}", if args.min { "ASC" } else { "DESC" });
    let ids: Vec<&str> = experiments.iter().map(|(id, _)| id.as_str()).collect();
    let body = json!({
        "experiment_ids": ids,
        "filter": args.whole_filter(),
        "run_view_type": "ACTIVE_ONLY",
        "order_by": [order],
    });
    let found = client.search("/api/2.0/mlflow/runs/search", &body, args.limit, "runs")?;
    // Runs without the metric, or with NaN, come last in either order and are no answer.
    let (runs, others): (Vec<Json>, Vec<Json>) =
        found.into_iter().partition(|run| value(run, &args.metric).is_some());
    if args.json {
        printer::json(&runs)?;
    } else if !runs.is_empty() {
        let heading = ["RUN", "NAME", args.metric.as_str(), "EXPERIMENT", "PARAMS"];
        let rows: Vec<Vec<String>> = runs.iter().map(|run| row(run, &args.metric, &experiments)).collect();
        printer::table(&heading, &rows);
    }
    if runs.is_empty() {
        printer::talk(&nothing_found(&args.metric, &others, args.any_status));
    }
    Ok(exit::answer(!runs.is_empty()))
}

/// Why there is no best run: nothing fits, or what fits was not measured so.
fn nothing_found(metric: &str, others: &[Json], is_any_status: bool) -> String {
    let fits =
        if is_any_status { "fits" } else { "finished and fits (--any-status looks at the others too)" };
    if others.is_empty() {
        return format!("No run {fits}.");
    }
    let measured = |run: &Json| run["data"]["metrics"].as_array().cloned().unwrap_or_default();
    let keys: BTreeSet<String> = others
        .iter()
        .flat_map(measured)
        .filter_map(|metric| Some(metric["key"].as_str()?.to_owned()))
        .filter(|key| key != metric)
        .collect();
    let has = match closest(metric, keys.iter().map(String::as_str)) {
        Some(meant) => format!(" Did you mean '{meant}'?"),
        None if keys.is_empty() => String::new(),
        None => {
            let shown: Vec<&str> = keys.iter().take(METRICS_SHOWN).map(String::as_str).collect();
            format!(" One has: {}.", shown.join(", "))
        }
    };
    format!("No run that {fits} has a number for the metric '{metric}'.{has}")
}

/// Ids and names of the named experiments, or of all that the caller may see.
fn experiments(client: &Client, names: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let both = |experiment: &Json| {
        let text = |field: &str| experiment[field].as_str().unwrap_or_default().to_owned();
        (text("experiment_id"), text("name"))
    };
    let most = EXPERIMENTS.to_string();
    let query = [("max_results", most.as_str()), ("view_type", "ACTIVE_ONLY")];
    let all = || client.list("/api/2.0/mlflow/experiments/search", &query, "experiments");
    if names.is_empty() {
        return Ok(all()?.iter().map(both).collect());
    }
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let query = [("experiment_name", name.as_str())];
        match client.get::<Json>("/api/2.0/mlflow/experiments/get-by-name", &query) {
            Ok(answer) => found.push(both(&answer["experiment"])),
            Err(error) if error.code() == Code::ResourceDoesNotExist => {
                let known: Vec<(String, String)> = all()?.iter().map(both).collect();
                let meant = closest(name, known.iter().map(|(_, name)| name.as_str()));
                let hint = meant.map(|meant| format!(" Did you mean '{meant}'?")).unwrap_or_default();
                return Err(Error::missing(format!("There is no experiment named '{name}'.{hint}")).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn row(run: &Json, metric: &str, experiments: &[(String, String)]) -> Vec<String> {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let params = run["data"]["params"].as_array().map(Vec::as_slice).unwrap_or_default();
    // A library that writes down every argument writes None for those that nobody gave.
    let params: Vec<&Json> = params.iter().filter(|param| param["value"] != "None").collect();
    let mut shown: Vec<String> = params
        .iter()
        .take(PARAMS_SHOWN)
        .map(|param| format!("{}={}", text(&param["key"]), text(&param["value"])))
        .collect();
    if params.len() > PARAMS_SHOWN {
        shown.push(format!("… {} more", params.len() - PARAMS_SHOWN));
    }
    vec![
        text(&run["info"]["run_id"]),
        text(&run["info"]["run_name"]),
        value(run, metric).map(number).unwrap_or_default(),
        experiments
            .iter()
            .find(|(id, _)| run["info"]["experiment_id"] == id.as_str())
            .map(|(_, name)| name.clone())
            .unwrap_or_default(),
        shown.join(" "),
    ]
}

/// A value to its last digit, in as many places as a person can read.
pub(super) fn number(value: f64) -> String {
    let is_short = value == 0.0 || (1e-5..1e15).contains(&value.abs());
    if is_short { value.to_string() } else { format!("{value:e}") }
}

/// The newest value of a metric, unless it is missing or NaN.
fn value(run: &Json, key: &str) -> Option<f64> {
    run["data"]["metrics"].as_array()?.iter().find(|metric| metric["key"] == key)?["value"].as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_and_short() {
        for (value, shown) in [
            (0.0, "0"),
            (0.92, "0.92"),
            (-284_807.0, "-284807"),
            (0.000_012_5, "0.0000125"),
            (1.25e-7, "1.25e-7"),
            (1e15, "1e15"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::MIN, "-1.7976931348623157e308"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number(value), shown, "{value:e}");
        }
    }
}
