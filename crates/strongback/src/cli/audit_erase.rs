//! `strongback audit-log erase`: takes out what people wrote, batch by batch.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{audit_log, client::Remote, place::Place, printer, settings::StoreArgs};
use crate::{catalog::audit_erase::EraseRequest, router::wire::Int64};

pub(super) const EXAMPLES: &str = "\
Examples:
  strongback audit-log erase --principal ana@example.com --dry-run
  strongback audit-log erase --principal ana@example.com --until 2026-06-30 --reason \"request 4711\"
  strongback audit-log erase --asset prod.risk.fraud_classifier --subject 3 --reason \"request 4711\"

What stays: that something happened, when, of which kind, the numbers of
principal and asset, ids, and a salted digest that nothing can be guessed
from. Do not name a person in --reason: it stays as well.";

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("whose").args(["principal", "asset", "subject"]).required(true).multiple(true)))]
pub(super) struct EraseArgs {
    /// What is said by events that this principal caused
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// What is said by events of this asset, also by the one by which it went with its catalog or schema, which names all
    /// that went
    #[arg(long, value_name = "NAME")]
    asset: Option<String>,
    /// What is said by events of this run, logged model or version
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Not before: a date (2026-11-24), a time (2026-11-24T09:30:00Z) or milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = audit_log::since)]
    since: Option<i64>,
    /// Not after
    #[arg(long, value_name = "TIME", value_parser = audit_log::until)]
    until: Option<i64>,
    /// Why; the log keeps it
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Only say how much would go
    #[arg(long)]
    dry_run: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(args: EraseArgs) -> anyhow::Result<ExitCode> {
    let place = Place::open(args.store, &args.remote)?;
    let mut request = EraseRequest {
        principal: args.principal,
        asset: args.asset,
        subject: args.subject,
        since: args.since.map(Int64),
        until: args.until.map(Int64),
        reason: args.reason,
        dry_run: args.dry_run,
        page_token: None,
    };
    let (mut details, mut blocks, mut unreadable) = (0, 0, 0);
    loop {
        let batch = place.audit_erase(&request)?;
        details += batch.details;
        blocks += batch.blocks;
        unreadable += batch.unreadable_blocks;
        request.page_token = batch.next_page_token;
        if request.page_token.is_none() {
            break;
        }
    }
    if args.json {
        let done = json!({
            "details": details, "blocks": blocks, "unreadable_blocks": unreadable, "dry_run": args.dry_run,
        });
        printer::json(&done)?;
        return Ok(ExitCode::SUCCESS);
    }
    let done = if args.dry_run { "would be erased" } else { "erased" };
    printer::data(&format!("{details} details in {blocks} blocks {done}"));
    if unreadable > 0 {
        printer::talk(&format!(
            "{unreadable} blocks cannot be read, so nothing goes from them: strongback audit-log verify says what is wrong."
        ));
    }
    Ok(ExitCode::SUCCESS)
}
