//! `strongback why`: why a request got its answer, as a tree.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value as Json;

use super::{client::Remote, printer};
use crate::{
    answers::{GatePart, InputPart, RowPart, RunPart, Why},
    time,
};

const EXAMPLES: &str = "\
Examples:
  strongback why 0198c9de-7c1d-7e2a-9a7e-3c0a52b7f1aa
  strongback why 0198c9de-7c1d-7e2a-9a7e-3c0a52b7f1aa --inputs all
  strongback why 0198c9de-7c1d-7e2a-9a7e-3c0a52b7f1aa --json

The id of a request is in the header x-request-id of its answer.";

/// Inputs that a person sees of those that a request brought.
const INPUTS_SHOWN: usize = 6;

/// Which inputs are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Inputs {
    /// Those that were looked up, and the first of the others
    Some,
    /// All
    All,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct WhyArgs {
    /// The id of the request
    request_id: String,
    /// Which inputs to show
    #[arg(long, value_enum, default_value = "some")]
    inputs: Inputs,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(args: &WhyArgs) -> anyhow::Result<ExitCode> {
    let id = percent_encoding::utf8_percent_encode(&args.request_id, percent_encoding::NON_ALPHANUMERIC);
    let found: Why = args.remote.client()?.get(&format!("/api/1.0/requests/{id}/why"), &[])?;
    if args.json {
        printer::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    for line in lines(&found, args.inputs) {
        printer::data(&line);
    }
    if !found.hidden.is_empty() {
        printer::talk(&format!("You may not read: {}.", found.hidden.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}

/// A node of the tree: what it says, and what lies below.
struct Node(String, Vec<Node>);

impl Node {
    fn leaf(label: &str, text: impl std::fmt::Display) -> Self {
        Self(format!("{label:<9} {text}"), Vec::new())
    }
}

fn lines(why: &Why, inputs: Inputs) -> Vec<String> {
    let mut branches: Vec<Node> =
        why.rows.iter().map(|row| row_node(row, why.rows.len() > 1, inputs)).collect();
    if why.is_cut {
        branches.push(Node("…         more rows".to_owned(), Vec::new()));
    }
    let config = match &why.endpoint.alias {
        Some(alias) => format!("configuration {}, which follows @{alias}", why.endpoint.config),
        None => format!("configuration {}", why.endpoint.config),
    };
    let since = why.endpoint.since.map(|since| format!(", since {}", time::utc(since))).unwrap_or_default();
    branches.push(Node::leaf("endpoint", format_args!("{}, {config}{since}", why.endpoint.shown())));
    if let Some(model) = &why.model {
        let text = format!(
            "{} version {}, registered by {} at {}",
            model.name,
            model.version,
            model.registered_by,
            time::utc(model.registered_at)
        );
        let mut below = Vec::new();
        below.extend(
            model.digest.as_ref().map(|digest| Node::leaf("files", format_args!("sha-256 {digest}"))),
        );
        below.extend(why.run.as_ref().map(run_node));
        branches.push(Node(format!("{:<9} {text}", "model"), below));
    }
    match &why.gate {
        Some(report) => branches.push(gate_node(report)),
        None if why.model.is_some() => {
            branches.push(Node::leaf("gates", "it was not judged before it was served"));
        }
        None => {}
    }
    if let (Some(moved), Some(alias)) = (&why.alias_move, &why.endpoint.alias) {
        let from = moved.from_version.map_or("nothing".to_owned(), |version| format!("version {version}"));
        let to = moved.to_version.map_or("nothing".to_owned(), |version| format!("version {version}"));
        let because = if moved.reason.is_empty() { String::new() } else { format!(": {}", moved.reason) };
        let text =
            format!("@{alias} from {from} to {to}, by {} at {}{because}", moved.by, time::utc(moved.at));
        branches.push(Node::leaf("moved", text));
    }
    let mut out = vec![head(why)];
    draw(&branches, "", &mut out);
    out
}

fn head(why: &Why) -> String {
    let client = why.client_request_id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
    let log = if why.is_waiting { ", still in the log" } else { "" };
    format!(
        "request {}{client}, served {} in {:.1} ms{log}",
        why.request_id,
        time::utc(why.served_at_micros / 1_000),
        why.latency_us as f64 / 1e3
    )
}

fn row_node(row: &RowPart, has_others: bool, inputs: Inputs) -> Node {
    let score = row.prediction.map_or("no number".to_owned(), |score| format!("{score:.6}"));
    let label = row.prediction_label.as_ref().map(|label| format!(", label {label}")).unwrap_or_default();
    let which = if has_others { format!("row {}: ", row.row) } else { String::new() };
    let (looked_up, brought): (Vec<&InputPart>, Vec<&InputPart>) =
        row.inputs.iter().partition(|input| input.from.is_some());
    let mut below: Vec<Node> = looked_up
        .iter()
        .filter_map(|input| {
            let from = input.from.as_ref()?;
            let text = format!("{} = {}   from {}", input.name, shown(&input.value), from.words());
            Some(Node(text, Vec::new()))
        })
        .collect();
    let most = if inputs == Inputs::All { brought.len() } else { INPUTS_SHOWN.min(brought.len()) };
    let texts: Vec<String> =
        brought.iter().take(most).map(|input| format!("{} = {}", input.name, shown(&input.value))).collect();
    if !texts.is_empty() {
        let more = brought.len() - most;
        let more = if more > 0 { format!(" and {more} more (--inputs all)") } else { String::new() };
        below.push(Node(format!("{}{more}   from the request", texts.join(", ")), Vec::new()));
    }
    Node(format!("{:<9} {which}{score}{label}", "answer"), below)
}

fn shown(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn run_node(run: &RunPart) -> Node {
    let pairs = |pairs: &[(String, String)]| {
        pairs.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", ")
    };
    let parts = [("params", &run.params), ("code", &run.code), ("data", &run.data)];
    let below = parts.into_iter().filter(|(_, found)| !found.is_empty());
    let below = below.map(|(label, found)| Node::leaf(label, pairs(found))).collect();
    let mut text = format!("{} ({})", run.name, run.run_id);
    // Neither is asked of a client.
    if !run.user.is_empty() {
        text = format!("{text}, by {}", run.user);
    }
    if run.started_at > 0 {
        text = format!("{text} at {}", time::utc(run.started_at));
    }
    Node(format!("{:<9} {text}", "run"), below)
}

fn gate_node(report: &GatePart) -> Node {
    let against = report.champion.map_or("no champion".to_owned(), |version| format!("version {version}"));
    let text = format!(
        "{} for @{} against {against} at {} (report {})",
        report.verdict.replace('_', " "),
        report.alias,
        time::utc(report.made_at),
        report.report_id
    );
    let checks = report.checks.iter();
    let below =
        checks.map(|(name, outcome, sentence)| Node(format!("{name}: {outcome}. {sentence}"), Vec::new()));
    Node(format!("{:<9} {text}", "gates"), below.collect())
}

fn draw(nodes: &[Node], indent: &str, out: &mut Vec<String>) {
    for (at, Node(text, below)) in nodes.iter().enumerate() {
        let is_last = at + 1 == nodes.len();
        out.push(format!("{indent}{} {text}", if is_last { "└─" } else { "├─" }));
        draw(below, &format!("{indent}{}", if is_last { "   " } else { "│  " }), out);
    }
}
