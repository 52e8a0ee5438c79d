//! `strongback webhook`: who is told of what happens to models, what was delivered, and whether a receiver takes it.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value as Json, json};

use super::{
    client::{Remote, segment},
    exit, printer,
};
use crate::{error::Error, time, webhooks::Topic};

const WEBHOOKS: &str = "/api/2.0/mlflow/webhooks";

const EXAMPLES: &str = "\
Examples:
  strongback webhook list
  strongback webhook deliveries 01a212d4-7a9a-42a8-9d1e-70d21dbc389e --state failed
  strongback webhook test 01a212d4-7a9a-42a8-9d1e-70d21dbc389e
  strongback webhook test 01a212d4-7a9a-42a8-9d1e-70d21dbc389e --event model_version.created

For administrators. MLflow's client makes webhooks, changes and deletes them
(MlflowClient.create_webhook).";

/// List webhooks, see what was delivered to them, try them
#[derive(Debug, Subcommand)]
pub(super) enum WebhookCommand {
    /// List webhooks, newest first
    #[command(after_help = EXAMPLES)]
    List(ListArgs),
    /// Show what was delivered to a webhook, newest first, and what waits
    #[command(after_help = EXAMPLES)]
    Deliveries(DeliveriesArgs),
    /// Send an example to a webhook now; the exit code is 1 when it is not taken
    #[command(after_help = EXAMPLES)]
    Test(TestArgs),
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
pub(super) struct DeliveriesArgs {
    /// Its id
    #[arg(value_name = "WEBHOOK_ID")]
    webhook_id: String,
    /// Only those that are waiting, delivered or failed
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Its id
    #[arg(value_name = "WEBHOOK_ID")]
    webhook_id: String,
    /// Of which event, e.g. model_version.created [default: the first that it wants]
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(command: WebhookCommand) -> anyhow::Result<ExitCode> {
    match command {
        WebhookCommand::List(args) => list(&args)?,
        WebhookCommand::Deliveries(args) => deliveries(&args)?,
        WebhookCommand::Test(args) => return test(&args),
    }
    Ok(ExitCode::SUCCESS)
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let found = args.remote.client()?.list(WEBHOOKS, &[], "webhooks")?;
    if args.json {
        return printer::json(&found);
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            let events = one["events"].as_array().map(Vec::as_slice).unwrap_or_default();
            let events: Vec<String> = events
                .iter()
                .map(|event| format!("{}.{}", text(&event["entity"]), text(&event["action"])).to_lowercase())
                .collect();
            vec![
                text(&one["webhook_id"]),
                text(&one["name"]),
                text(&one["status"]),
                text(&one["url"]),
                events.join(" "),
            ]
        })
        .collect();
    printer::table(&["WEBHOOK", "NAME", "STATUS", "URL", "EVENTS"], &rows);
    Ok(())
}

fn deliveries(args: &DeliveriesArgs) -> anyhow::Result<()> {
    let path = format!("/api/1.0/webhooks/{}/deliveries", segment(&args.webhook_id));
    let query: Vec<(&str, &str)> = args.state.as_deref().map(|state| ("state", state)).into_iter().collect();
    let found = args.remote.client()?.list(&path, &query, "deliveries")?;
    if args.json {
        return printer::json(&found);
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            let at = |key: &str| one[key].as_i64().map_or_else(String::new, time::utc);
            let status =
                one["response_status"].as_i64().map_or_else(String::new, |status| status.to_string());
            vec![
                at("created_at"),
                text(&one["event"]),
                text(&one["state"]),
                one["attempts"].to_string(),
                status,
                at("next_attempt_at"),
                text(&one["error"]),
            ]
        })
        .collect();
    printer::table(&["AT (UTC)", "EVENT", "STATE", "ATTEMPTS", "ANSWER", "NEXT (UTC)", "ERROR"], &rows);
    Ok(())
}

fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let body = match &args.event {
        None => json!({}),
        Some(name) => {
            let topic = Topic::parse(name).ok_or_else(|| {
                let all: Vec<&str> = Topic::ALL.iter().map(|topic| topic.name()).collect();
                Error::invalid(format!("--event {name:?} is none of these: {}.", all.join(", ")))
            })?;
            json!({ "event": { "entity": topic.entity_name(), "action": topic.action_name() } })
        }
    };
    let path = format!("{WEBHOOKS}/{}/test", segment(&args.webhook_id));
    let answer: Json = args.remote.client()?.send(Method::POST, &path, &body)?;
    let result = &answer["result"];
    let is_taken = result["success"] == true;
    if args.json {
        printer::json(result)?;
    } else if is_taken {
        printer::data(&format!("taken, with status {}", result["response_status"]));
    } else {
        printer::data(&format!("not taken: {}", text(&result["error_message"])));
    }
    Ok(exit::answer(is_taken))
}
