//! `strongback audit-log`: reads the stream of events where it lies, also beside a running server.
//!
//! It reads the store itself and not through the server: an auditor does not take the server's word for it.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{Settings, printer};
use crate::{
    catalog::audit::{self, ListRequest},
    db::{self, Location},
    events::{
        checkpoint::{self, Checkpoint},
        verify,
    },
    router::wire::Int64,
};

/// Read and verify the log of everything that happened
#[derive(Debug, Subcommand)]
pub(super) enum AuditLogCommand {
    /// List events, newest first
    List(ListArgs),
    /// Verify the hash chain, the details and the checkpoints; exit code 1 if anything is wrong
    Verify(VerifyArgs),
    /// Print the newest signed checkpoint, to be kept where nobody who can change this store can change it
    ExportCheckpoint,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only events of this principal
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Only this kind, e.g. alias.move, or all kinds of a noun, e.g. alias
    #[arg(long, value_name = "KIND")]
    action: Option<String>,
    /// Only events of this asset
    #[arg(long, value_name = "NAME")]
    asset: Option<String>,
    /// Only events of this run, version or alias
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: i64,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// A checkpoint that was exported earlier and kept elsewhere
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The public key that checkpoints must be signed with, in hexadecimal
    #[arg(long, value_name = "HEX")]
    public_key: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(settings: Settings, command: AuditLogCommand) -> anyhow::Result<ExitCode> {
    let location = settings.config()?.location();
    match command {
        AuditLogCommand::List(args) => list(&location, args),
        AuditLogCommand::Verify(args) => verify(&location, &args),
        AuditLogCommand::ExportCheckpoint => {
            let newest = db::inspect(&location, checkpoint::newest)?;
            printer::json(&newest.context(
                "There is no checkpoint yet: the first is made within a second of the first event.",
            )?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(location: &Location, args: ListArgs) -> anyhow::Result<ExitCode> {
    let request = ListRequest {
        principal: args.principal,
        action: args.action,
        asset: args.asset,
        subject: args.subject,
        max_results: Some(Int64(args.limit)),
        ..ListRequest::default()
    };
    let events = db::inspect(location, |sql| audit::event_list(sql, &request))?;
    if args.json {
        printer::json(&events)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = events
        .into_iter()
        .map(|event| {
            let what = [event.asset, event.subject].into_iter().flatten().collect::<Vec<_>>().join(" ");
            vec![printer::time(event.at), event.principal, event.action, what, event.block]
        })
        .collect();
    printer::table(&["TIME (UTC)", "PRINCIPAL", "EVENT", "WHAT", "BLOCK"], &rows);
    Ok(ExitCode::SUCCESS)
}

fn verify(location: &Location, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let kept: Option<Checkpoint> = match &args.checkpoint {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some(
                serde_json::from_str(&text)
                    .with_context(|| format!("{} is not an exported checkpoint", path.display()))?,
            )
        }
        None => None,
    };
    // A checkpoint that was kept elsewhere brings the key that it was signed with.
    let known_key = args.public_key.as_deref().or(kept.as_ref().map(|kept| kept.public_key.as_str()));
    let report = db::inspect(location, |sql| verify::verify(sql, kept.as_ref(), known_key))?;
    if args.json {
        printer::json(&report)?;
    } else {
        printer::data(&format!(
            "{} entries in {} blocks, {} checkpoints, {} details erased",
            report.entries, report.blocks, report.checkpoints, report.erased
        ));
        for finding in &report.findings {
            printer::data(&format!("  wrong: {finding}"));
        }
        if report.is_clean() && known_key.is_some() {
            printer::data(
                "verified: nothing was changed, removed, inserted or reordered before the newest checkpoint",
            );
            if kept.is_none() {
                printer::talk(
                    "A cut-off end is found only by a checkpoint that was kept elsewhere (--checkpoint FILE).",
                );
            }
        } else if report.is_clean() {
            printer::data("consistent: the log agrees with itself and with the checkpoints stored beside it");
            printer::talk(
                "That proves nothing against somebody who can write the store and sign anew. Keep a checkpoint elsewhere \
                 (strongback audit-log export-checkpoint) and verify with --checkpoint FILE.",
            );
        } else {
            printer::data(&format!("NOT verified: {} things are wrong", report.wrong));
        }
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
