//! `strongback audit-log`: reads the stream of events where it lies, also beside a running server.
//!
//! It reads the store itself and not through the server: an auditor does not take the server's word for it.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{Settings, printer};
use crate::{
    answers::moment,
    app,
    catalog::audit::{self, ListRequest},
    config::Config,
    db::{self, Location},
    error::Error,
    events::{
        checkpoint::{self, Checkpoint},
        verify::{self, Report},
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
    /// Let this data directory, with its own key, succeed the one that the metadata store belonged to, when that is lost
    AdoptKey,
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
    /// Not before: a date (2026-11-24), a time (2026-11-24T09:30:00Z) or milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<i64>,
    /// Not after
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<i64>,
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
    /// A public key that checkpoints may be signed with, in hexadecimal; may be given several times
    #[arg(long, value_name = "HEX")]
    public_key: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(settings: Settings, command: AuditLogCommand) -> anyhow::Result<ExitCode> {
    let config = settings.config()?;
    let location = config.location();
    match command {
        AuditLogCommand::AdoptKey => adopt_key(config),
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

fn adopt_key(config: Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let dir = config.data_dir.value.display().to_string();
    if runtime.block_on(app::adopt(config))? {
        printer::talk(&format!(
            "The metadata store belongs to {dir} from now on. Its key signs; the log has the event signing_key.adopt. \
             Artifacts that lay in the former data directory are not here."
        ));
    } else {
        printer::talk(&format!("The metadata store belongs to {dir} already; nothing was changed."));
    }
    Ok(ExitCode::SUCCESS)
}

fn list(location: &Location, args: ListArgs) -> anyhow::Result<ExitCode> {
    let mut request = ListRequest {
        principal: args.principal,
        action: args.action,
        asset: args.asset,
        subject: args.subject,
        since: args.since.map(Int64),
        until: args.until.map(Int64),
        max_results: Some(Int64(args.limit)),
        page_token: None,
    };
    let events = db::inspect(location, |sql| {
        let mut events = Vec::new();
        loop {
            let page = audit::event_list(sql, &request)?;
            events.extend(page.events);
            request.max_results = Some(Int64(args.limit - events.len() as i64));
            request.page_token = page.next_page_token;
            if request.page_token.is_none() || events.len() as i64 >= args.limit {
                return Ok(events);
            }
        }
    })?;
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
    let report = db::inspect(location, |sql| verify::verify(sql, kept.as_ref(), &args.public_key))?;
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
        conclude(&report);
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the findings prove, and what they do not.
fn conclude(report: &Report) {
    match &report.proven {
        _ if !report.is_clean() => {
            printer::data(&format!("NOT verified: {} things are wrong", report.wrong));
        }
        Some(proven) => {
            printer::data(&format!(
                "verified: nothing was changed, removed, inserted or reordered before checkpoint {} of {} UTC",
                proven.checkpoint,
                printer::time(proven.at)
            ));
            printer::talk("What came after it is consistent, which is no proof.");
            if !proven.kept_elsewhere {
                printer::talk(
                    "A cut-off end is found only by a checkpoint that was kept elsewhere (--checkpoint FILE).",
                );
            }
        }
        None => {
            printer::data("consistent: the log agrees with itself and with the checkpoints stored beside it");
            printer::talk(
                "That proves nothing against somebody who can write the store and sign anew. Keep a checkpoint elsewhere \
                 (strongback audit-log export-checkpoint) and verify with --checkpoint FILE.",
            );
        }
    }
}

/// A date, the end of that day included.
fn until(text: &str) -> Result<i64, Error> {
    moment::parse(text)
}

/// A date, from the beginning of that day.
fn since(text: &str) -> Result<i64, Error> {
    const DAY_MS: i64 = 86_400_000;
    let is_date = text.contains('-') && text.len() == 10;
    Ok(if is_date { moment::parse(text)? + 1 - DAY_MS } else { moment::parse(text)? })
}
