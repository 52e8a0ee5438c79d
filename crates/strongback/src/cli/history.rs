//! `strongback history`: where an alias pointed when, who moved it, and why.

use std::process::ExitCode;

use clap::Args;

use super::{client::Remote, exit, model::grounds, printer};
use crate::{
    answers::{HistoryResponse, Move},
    error::Error,
    time,
};

const EXAMPLES: &str = "\
Examples:
  strongback history prod.risk.fraud_classifier@champion
  strongback history prod.risk.fraud_classifier@champion --at 2026-03-31
  strongback history prod.risk.fraud_classifier@champion \\
      --at 2026-03-31T09:30:00+02:00 --json

With --at the exit code is 1 when the alias pointed nowhere at that time.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HistoryArgs {
    /// NAME@alias, e.g. prod.risk.fraud_classifier@champion
    name: String,
    /// Which version was it at this time? A date (its end) or a time, in UTC unless it says another zone: 2026-11-24,
    /// "2026-11-24 09:30", 2026-11-24T09:30:00+01:00
    #[arg(long, value_name = "DATE")]
    at: Option<String>,
    /// At most so many moves
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1_000))]
    limit: i64,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    if !args.name.contains('@') {
        return Err(Error::invalid(format!(
            "The history is that of an alias: name it too, e.g. {}@champion.",
            args.name
        ))
        .into());
    }
    let limit = args.limit.to_string();
    let mut query = vec![("name", args.name.as_str()), ("max_results", limit.as_str())];
    query.extend(args.at.as_deref().map(|at| ("at", at)));
    let found: HistoryResponse = args.remote.client()?.get("/api/1.0/history", &query)?;
    let is_found = found.at.is_none() || found.version_at.is_some();
    if args.json {
        printer::json(&found)?;
        return Ok(exit::answer(is_found));
    }
    let full = format!("{}@{}", found.name, found.alias);
    if let Some(at) = found.at {
        // The end of today is not there yet.
        let at = at.min(time::now_ms());
        printer::data(&at_that_time(&full, at, found.move_at.as_ref()));
        return Ok(exit::answer(is_found));
    }
    match found.current_version {
        Some(version) => printer::talk(&format!("{full} is version {version} now.")),
        None => printer::talk(&format!("{full} points nowhere now.")),
    }
    let rows: Vec<Vec<String>> = found
        .moves
        .into_iter()
        .map(|one| {
            let on = one.evidence.as_ref().map(grounds).unwrap_or_default();
            vec![
                time::utc(one.at),
                version(one.from_version),
                version(one.to_version),
                one.by,
                one.reason,
                on,
            ]
        })
        .collect();
    printer::table(&["TIME (UTC)", "FROM", "TO", "BY", "WHY", "ON"], &rows);
    if found.is_cut {
        printer::talk("There are older moves (-n).");
    }
    Ok(ExitCode::SUCCESS)
}

fn at_that_time(full: &str, at: i64, found: Option<&Move>) -> String {
    let when = time::utc(at);
    match found {
        None => format!("{full} did not exist yet at {when} UTC."),
        Some(one) => {
            let why = if one.reason.is_empty() { String::new() } else { format!(" ({})", one.reason) };
            let since = time::utc(one.at);
            match one.to_version {
                Some(to) => format!(
                    "{full} was version {to} at {when} UTC: moved there by {} at {since}{why}.",
                    one.by
                ),
                None => {
                    format!("{full} pointed nowhere at {when} UTC: deleted by {} at {since}{why}.", one.by)
                }
            }
        }
    }
}

fn version(number: Option<i64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}
