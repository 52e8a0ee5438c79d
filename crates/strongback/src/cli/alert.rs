//! `strongback alert`: figures that are on the wrong side of their limits.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value as Json, json};

use super::{
    client::{Remote, segment},
    printer,
};
use crate::time;

const ALERTS: &str = "/api/1.0/alerts";

const EXAMPLES: &str = "\
Examples:
  strongback alert list
  strongback alert list --all --monitor prod.risk.fraud
  strongback alert show 01a212d4-7a9a-72a8-9d1e-70d21dbc389e
  strongback alert ack 01a212d4-7a9a-72a8-9d1e-70d21dbc389e --note 'a new terminal type'
  strongback alert resolve 01a212d4-7a9a-72a8-9d1e-70d21dbc389e --note 'retrained'

One alert stands for a monitor, metric and column. It ends by hand, or after as
many windows on the right side of its limit as the monitor says.";

/// List, take up and end alerts
#[derive(Debug, Subcommand)]
pub(super) enum AlertCommand {
    /// List the alerts that stand, newest first
    #[command(after_help = EXAMPLES)]
    List(ListArgs),
    /// Show an alert
    #[command(after_help = EXAMPLES)]
    Show(ShowArgs),
    /// Take an alert up
    #[command(after_help = EXAMPLES)]
    Ack(AnswerArgs),
    /// End an alert
    #[command(after_help = EXAMPLES)]
    Resolve(AnswerArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Those that are over, too
    #[arg(long)]
    all: bool,
    /// Only of this monitor
    #[arg(long, value_name = "NAME")]
    monitor: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its id
    #[arg(value_name = "ALERT_ID")]
    alert_id: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct AnswerArgs {
    /// Its id
    #[arg(value_name = "ALERT_ID")]
    alert_id: String,
    /// Why, or what is done about it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(command: AlertCommand) -> anyhow::Result<ExitCode> {
    match command {
        AlertCommand::List(args) => list(&args)?,
        AlertCommand::Show(args) => show(&args.remote.client()?.get(&one(&args.alert_id), &[])?, args.json)?,
        AlertCommand::Ack(args) => answer(&args, "acknowledge")?,
        AlertCommand::Resolve(args) => answer(&args, "resolve")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn one(id: &str) -> String {
    format!("{ALERTS}/{}", segment(id))
}

fn answer(args: &AnswerArgs, verb: &str) -> anyhow::Result<()> {
    let path = format!("{}/{verb}", one(&args.alert_id));
    show(&args.remote.client()?.send(Method::POST, &path, &json!({ "note": args.note }))?, args.json)
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let mut query = vec![("state", if args.all { "all" } else { "standing" })];
    query.extend(args.monitor.as_deref().map(|name| ("monitor", name)));
    let found = args.remote.client()?.list(ALERTS, &query, "alerts")?;
    if args.json {
        return printer::json(&found);
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            vec![
                text("alert_id"),
                text("state"),
                text("severity"),
                text("monitor"),
                figure(one),
                one["windows"].to_string(),
                text("owner"),
            ]
        })
        .collect();
    printer::table(&["ALERT", "STATE", "SEVERITY", "MONITOR", "FIGURE", "WINDOWS", "OWNER"], &rows);
    Ok(())
}

/// `psi of V1 1.57 (above 0.2)`
fn figure(alert: &Json) -> String {
    let text = |key: &str| alert[key].as_str().unwrap_or_default();
    let column = if text("column").is_empty() { String::new() } else { format!(" of {}", text("column")) };
    let value = alert["value"].as_f64().unwrap_or_default();
    format!("{}{column} {value:.4} ({} {})", text("metric"), text("side"), alert["limit"])
}

fn show(alert: &Json, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return printer::json(alert);
    }
    let line = |label: &str, value: String| printer::data(&format!("{label:<10}{value}"));
    let text = |key: &str| alert[key].as_str().unwrap_or_default().to_owned();
    line("alert", text("alert_id"));
    line("state", text("state"));
    line("figure", figure(alert));
    let bound = |key: &str| alert[key].as_f64().map_or_else(|| "?".to_owned(), |bound| format!("{bound:.4}"));
    line("interval", format!("{} to {} at 95 %, {} rows", bound("low"), bound("high"), alert["n"]));
    line("against", text("reference"));
    line("monitor", text("monitor"));
    line("severity", format!("{}, for {}", text("severity"), text("owner")));
    line("windows", format!("{}, {} to {}", alert["windows"], text("first_window"), text("last_window")));
    line("opened", format!("{} UTC", time::utc(alert["opened_at"].as_i64().unwrap_or_default())));
    for (label, key) in
        [("job", "job_id"), ("taken up", "acknowledged_by"), ("ended by", "resolved_by"), ("note", "note")]
    {
        if alert[key].is_string() {
            line(label, text(key));
        }
    }
    Ok(())
}
