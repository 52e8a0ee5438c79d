//! `strongback promote` and `strongback rollback`: an alias moves, on gates or on somebody's word.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde_json::{Map, Value as Json, json};

use super::{client::Remote, printer};
use crate::{
    answers::HistoryResponse,
    promotion::{PromoteResponse, RollbackResponse},
};

const PROMOTE: &str = "\
Examples:
  strongback promote prod.risk.fraud_classifier 7
  strongback promote prod.risk.fraud_classifier challenger --alias champion \\
      --report 01a212d4-7a9a-72a8-9d1e-70d21dbc389e
  strongback promote prod.risk.fraud_classifier 7 --override \\
      --reason 'the champion scores refunds wrongly; gates run tonight'

A governed alias moves on a passing gate report of exactly these files against
the present champion, or as an override, which is for administrators (unless the
server's gate_overrides says owners) and stays in its history. Where the alias
was rolled back from this version since the report was made, --reason is needed.
`strongback gate run --move` judges and moves.";

const ROLLBACK: &str = "\
Examples:
  strongback rollback prod.risk.fraud_classifier
  strongback rollback prod.risk.fraud_classifier --alias champion \\
      --reason 'p99 doubled'

After 1, 2 and 3 a rollback leads to 2 and the next one to 1. It rests on what
the alias rested on when it pointed there, also where that has expired. Where
the version before was never judged, it is an override. A version that was
deleted since is passed over. When somebody moves the alias at the same moment,
nothing is rolled back.";

#[derive(Debug, Args)]
#[command(after_help = PROMOTE)]
pub(super) struct PromoteArgs {
    /// The registered model
    name: String,
    /// The version, or an alias that points to it
    #[arg(value_name = "VERSION|ALIAS")]
    version: String,
    /// The alias that moves
    #[arg(long, value_name = "ALIAS", default_value = "champion")]
    alias: String,
    /// The gate report that it rests on [default: the newest of the version]
    #[arg(long, value_name = "ID")]
    report: Option<String>,
    /// Move it although no gates passed
    #[arg(long = "override", requires = "reason", conflicts_with = "report")]
    is_override: bool,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
#[command(after_help = ROLLBACK)]
pub(super) struct RollbackArgs {
    /// The registered model
    name: String,
    /// The alias that moves back
    #[arg(long, value_name = "ALIAS", default_value = "champion")]
    alias: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn promote(args: &PromoteArgs) -> anyhow::Result<ExitCode> {
    let mut body = json!({ "name": args.name, "version": args.version, "alias": args.alias, "override": args.is_override });
    if let Json::Object(body) = &mut body {
        put(body, "report_id", args.report.as_ref());
        put(body, "reason", args.reason.as_ref());
    }
    let moved: PromoteResponse = args.remote.client()?.send(Method::POST, "/api/1.0/model/promote", &body)?;
    if args.json {
        printer::json(&moved)?;
        return Ok(ExitCode::SUCCESS);
    }
    let full = format!("{}@{}", moved.name, moved.alias);
    printer::data(&match (moved.is_same, &moved.report_id) {
        (true, _) => format!("{full} is version {} already.", moved.version),
        (false, Some(id)) => format!("{full} is version {} now, on gate report {id}.", moved.version),
        (false, None) => format!("{full} is version {} now.", moved.version),
    });
    Ok(ExitCode::SUCCESS)
}

pub(super) fn rollback(args: &RollbackArgs) -> anyhow::Result<ExitCode> {
    let client = args.remote.client()?;
    let seen: HistoryResponse = client.get(
        "/api/1.0/history",
        &[("name", args.name.as_str()), ("alias", args.alias.as_str()), ("max_results", "1")],
    )?;
    let mut body = json!({ "name": args.name, "alias": args.alias });
    if let Json::Object(body) = &mut body {
        put(body, "reason", args.reason.as_ref());
        if let Some(version) = seen.current_version {
            printer::talk(&format!("{}@{} is version {version} now.", seen.name, seen.alias));
            body.insert("from_version".to_owned(), version.into());
        }
    }
    let moved: RollbackResponse = client.send(Method::POST, "/api/1.0/model/rollback", &body)?;
    if args.json {
        printer::json(&moved)?;
        return Ok(ExitCode::SUCCESS);
    }
    let RollbackResponse { name, alias, from_version, version } = moved;
    printer::data(&format!("{name}@{alias} is version {version} again; it was version {from_version}."));
    Ok(ExitCode::SUCCESS)
}

fn put(body: &mut Map<String, Json>, key: &str, value: Option<&String>) {
    if let Some(value) = value {
        body.insert(key.to_owned(), value.as_str().into());
    }
}
