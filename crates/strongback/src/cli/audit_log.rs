//! `strongback audit-log`: reads the stream of events where it lies, also beside a running server.
//!
//! It reads the store itself and not through the server: an auditor does not take the server's word for it. Where there is no
//! store, `list` asks a server and says so; `verify` never does. What is written (`erase`) goes the way of every write.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value as Json;

use super::{
    audit_erase,
    client::{Client, Remote},
    exit, printer,
    settings::StoreArgs,
};
use crate::{
    answers::moment,
    app,
    catalog::{
        audit::{self, ListRequest, ListResponse, Listed},
        names,
    },
    config::{Config, Source},
    db::{self, Sql},
    error::{Error, Result},
    events::{
        EventKind,
        checkpoint::{self, Awaited, Checkpoint, Look},
        verify::{self, Report},
    },
    router::wire::Int64,
    time,
};

/// Characters of an event's detail that a line of the table shows.
const DETAIL_SHOWN: usize = 100;
/// Events that are read at a time.
const PAGE: usize = 1_000;

const LIST_EXAMPLES: &str = "\
Examples:
  strongback audit-log list --asset prod.risk.fraud_classifier
  strongback audit-log list --action alias.move --principal ana@example.com
  strongback audit-log list --subject 2537164787b843699abcaffe3f1e74fd --json
  strongback audit-log list --data-dir /var/lib/strongback
  strongback audit-log list --server https://ml.example.com

It reads the store in the data directory itself. Only where there is none, or
with --server, it asks a server and takes its word.";

const VERIFY_EXAMPLES: &str = "\
Now and then, to where the writers of this store cannot reach, and later:
  strongback audit-log export-checkpoint > /elsewhere/checkpoint.json
  strongback audit-log verify --checkpoint /elsewhere/checkpoint.json

A checkpoint kept elsewhere shows that nothing before it was changed, removed,
inserted or reordered, whoever can write the store. Without one, the log is
only compared with itself. Exit code 1: something is wrong; 3 or 4: it could
not be read.";

const ADOPT_EXAMPLES: &str = "\
Examples:
  strongback audit-log adopt-key --data-dir /var/lib/strongback-new \\
      --database-url postgres://me@db.example.com/strongback

The former server must be gone: a metadata store has one data directory.";

/// Read and verify the log of everything that happened
#[derive(Debug, Subcommand)]
pub(super) enum AuditLogCommand {
    /// List events, newest first
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Verify the hash chain, the details and the checkpoints; exit code 1 if anything is wrong
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Print the newest signed checkpoint, to be kept where nobody who can change this store can change it
    #[command(after_help = VERIFY_EXAMPLES)]
    ExportCheckpoint(StoreArgs),
    /// Erase what some events say; the log still verifies, and an event of its own says how much went and why
    #[command(after_help = audit_erase::EXAMPLES)]
    Erase(audit_erase::EraseArgs),
    /// Let this data directory, with its own key, succeed the one that the metadata store belonged to, when that is lost
    #[command(after_help = ADOPT_EXAMPLES)]
    AdoptKey(StoreArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only events of this principal
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Only this kind, e.g. alias.move, or all kinds of a noun, e.g. alias
    #[arg(long, value_name = "KIND", value_parser = action)]
    action: Option<String>,
    /// Only events of this asset, also the one by which it went with its catalog or schema
    #[arg(long, value_name = "NAME")]
    asset: Option<String>,
    /// Only events of this run, logged model or version
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Not before: a date (2026-11-24), a time (2026-11-24T09:30:00Z) or milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<i64>,
    /// Not after
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<i64>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
    /// As JSON, with everything that was said
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// A checkpoint that was exported earlier and kept elsewhere
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// A public key that checkpoints may be signed with, in hexadecimal; may be given several times
    #[arg(long, value_name = "HEX", value_parser = public_key)]
    public_key: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn run(command: AuditLogCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditLogCommand::List(args) => list(args),
        AuditLogCommand::Verify(args) => verify(args),
        AuditLogCommand::Erase(args) => audit_erase::run(args),
        AuditLogCommand::AdoptKey(store) => adopt_key(store),
        AuditLogCommand::ExportCheckpoint(store) => export_checkpoint(store),
    }
}

/// Waits until a running server has signed what there is now; one that does not run signs no more.
fn export_checkpoint(store: StoreArgs) -> anyhow::Result<ExitCode> {
    let location = store.config()?.location();
    let awaited = Awaited::new(db::inspect(&location, checkpoint::heads)?);
    loop {
        let Look::Ends(newest, is_covering) = awaited.look(db::inspect(&location, checkpoint::newest)?)?
        else {
            std::thread::sleep(checkpoint::LOOK_EVERY);
            continue;
        };
        printer::json(&newest)?;
        if !is_covering {
            printer::talk(
                "It does not cover the newest events: the next one is signed when a server runs on this store.",
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
}

fn adopt_key(store: StoreArgs) -> anyhow::Result<ExitCode> {
    let config = store.config()?;
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

fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let config = args.store.config()?;
    let mut request = ListRequest {
        principal: args.principal,
        action: args.action,
        asset: args.asset,
        subject: args.subject,
        since: args.since.map(Int64),
        until: args.until.map(Int64),
        max_results: None,
        page_token: None,
    };
    let limit = args.limit as usize;
    let (found, is_name_known) = match server(&config, &args.remote)? {
        Some(client) => (newest(&mut request, limit, |request| asked(&client, request))?, true),
        None => db::inspect(&config.location(), |sql| {
            let found = newest(&mut request, limit, |request| audit::event_list(sql, request))?;
            Ok((found, is_name_known(sql, request.asset.as_deref())?))
        })?,
    };
    if found.events.is_empty() && !is_name_known {
        printer::talk(
            "Nothing has that name now. Names are compared whole, as this list shows them; what was deleted keeps its last one.",
        );
    }
    if args.json {
        printer::json(&found)?;
    } else {
        show_events(found);
    }
    Ok(ExitCode::SUCCESS)
}

/// What was found, newest first.
#[derive(Debug, Serialize)]
struct Found {
    events: Vec<Listed>,
    /// Whether there are older ones that `-n` left out.
    is_cut: bool,
}

/// The server to ask: one that the call names, or, as other commands have it, where there is no data directory and nobody named
/// one. Its word is taken for what it says.
fn server(config: &Config, remote: &Remote) -> Result<Option<Client>> {
    if remote.is_asked_for() {
        return Ok(Some(remote.client()?));
    }
    let dir = &config.data_dir;
    if config.database_url.value.is_some() || dir.source != Source::Default || dir.value.exists() {
        return Ok(None);
    }
    let client = remote.client()?;
    if !client.answers() {
        return Ok(None);
    }
    printer::talk(&format!("There is no data directory here; asking the server at {}.", client.address()));
    Ok(Some(client))
}

/// A page of the list as a server has it.
fn asked(client: &Client, request: &ListRequest) -> Result<ListResponse> {
    let number = |number: &Option<Int64>| number.map(|number| number.0.to_string());
    let (since, until, most) = (number(&request.since), number(&request.until), number(&request.max_results));
    let fields = [
        ("principal", &request.principal),
        ("action", &request.action),
        ("asset", &request.asset),
        ("subject", &request.subject),
        ("since", &since),
        ("until", &until),
        ("max_results", &most),
        ("page_token", &request.page_token),
    ];
    let query: Vec<(&str, &str)> =
        fields.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
    client.get("/api/1.0/audit-log", &query)
}

fn newest(
    request: &mut ListRequest,
    limit: usize,
    mut page_of: impl FnMut(&ListRequest) -> Result<ListResponse>,
) -> Result<Found> {
    let mut events = Vec::new();
    loop {
        // One more than is shown tells whether there are more.
        request.max_results = Some(Int64((limit + 1 - events.len()).min(PAGE) as i64));
        let page = page_of(request)?;
        events.extend(page.events);
        request.page_token = page.next_page_token;
        if request.page_token.is_none() || events.len() > limit {
            let is_cut = events.len() > limit;
            events.truncate(limit);
            return Ok(Found { events, is_cut });
        }
    }
}

/// Whether an asset has this name now, where one was given.
fn is_name_known(sql: &mut Sql<'_>, name: Option<&str>) -> Result<bool> {
    Ok(match name {
        Some(name) => !names::candidates(sql, name)?.is_empty(),
        None => true,
    })
}

fn show_events(found: Found) {
    let rows: Vec<Vec<String>> = found
        .events
        .into_iter()
        .map(|event| {
            let what = [event.asset, event.subject].into_iter().flatten().collect::<Vec<_>>().join(" ");
            let detail = event.detail.as_ref().map(said).unwrap_or_default();
            vec![time::utc(event.at), event.block, event.principal, event.action, what, detail]
        })
        .collect();
    printer::table(&["TIME (UTC)", "BLOCK", "PRINCIPAL", "EVENT", "WHAT", "DETAIL"], &rows);
    if found.is_cut {
        printer::talk("There are older ones (-n).");
    }
}

fn verify(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let location = args.store.config()?.location();
    let kept = args.checkpoint.as_deref().map(kept_checkpoint).transpose()?;
    let report = db::inspect(&location, |sql| verify::verify(sql, kept.as_ref(), &args.public_key))?;
    if args.json {
        printer::json(&report)?;
    } else {
        show(&report);
    }
    Ok(exit::answer(report.is_clean()))
}

fn show(report: &Report) {
    printer::data(&format!(
        "{} entries in {} blocks, {} checkpoints, {} details erased",
        report.entries, report.blocks, report.checkpoints, report.erased
    ));
    for finding in &report.findings {
        printer::data(&format!("  wrong: {finding}"));
    }
    conclude(report);
}

/// What the findings prove, and what they do not.
fn conclude(report: &Report) {
    match &report.proven {
        _ if !report.is_clean() => {
            printer::data(&format!("NOT verified: {} things are wrong", report.wrong));
        }
        Some(proven) => {
            let kept = if proven.kept_elsewhere { "the kept " } else { "" };
            printer::data(&format!(
                "verified: nothing was changed, removed, inserted or reordered before {kept}checkpoint {} of {} UTC",
                proven.checkpoint,
                time::utc(proven.at)
            ));
            if let Some(signed) = &report.signed_since {
                printer::data(&format!(
                    "signed since then: up to checkpoint {} of {} UTC; only who can write the store and has the key can \
                     have changed that",
                    signed.checkpoint,
                    time::utc(signed.at)
                ));
            }
            printer::talk("What came after it is consistent, which is no proof.");
            if !proven.kept_elsewhere {
                printer::talk(
                    "Who can write the store and has the key can have changed it, or cut off its end: only a checkpoint \
                     that was kept elsewhere (--checkpoint FILE) shows that.",
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

fn kept_checkpoint(path: &Path) -> Result<Checkpoint> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::invalid(format!("The checkpoint {} cannot be read: {error}.", path.display()))
    })?;
    serde_json::from_str(&text).map_err(|error| {
        Error::invalid(format!(
            "{} is no checkpoint as `strongback audit-log export-checkpoint` prints it: {error}.",
            path.display()
        ))
    })
}

/// What an event says, as `key=value` and cut to a line's length; `--json` has it whole.
fn said(detail: &Json) -> String {
    let is_empty = |value: &Json| match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(values) => values.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    };
    let fields = detail.as_object().into_iter().flatten().filter(|(_, value)| !is_empty(value));
    let words: Vec<String> = fields
        .map(|(key, value)| match value {
            Json::String(text) => format!("{key}={text}"),
            other => format!("{key}={other}"),
        })
        .collect();
    let line = words.join(" ");
    match line.char_indices().nth(DETAIL_SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A kind of event, or the noun of some.
fn action(text: &str) -> std::result::Result<String, String> {
    let names = || EventKind::ALL.iter().map(|kind| kind.name());
    let noun = |name: &'static str| name.split('.').next().unwrap_or(name);
    if names().any(|name| name == text || noun(name) == text) {
        return Ok(text.to_owned());
    }
    let nouns: BTreeSet<&str> = names().map(noun).collect();
    let nouns: Vec<&str> = nouns.into_iter().collect();
    Err(format!("there are no such events; their nouns are {}", nouns.join(", ")))
}

fn public_key(text: &str) -> std::result::Result<String, &'static str> {
    match hex::decode(text) {
        Ok(bytes) if bytes.len() == 32 => Ok(text.to_lowercase()),
        _ => Err("write the 64 hexadecimal digits that an exported checkpoint shows as public_key"),
    }
}

/// A date, the end of that day included.
pub(super) fn until(text: &str) -> Result<i64> {
    Ok(moment::parse(text, "until")?.last)
}

/// A date, from the beginning of that day.
pub(super) fn since(text: &str) -> Result<i64> {
    Ok(moment::parse(text, "since")?.first)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_detail_is_one_short_line() {
        let detail = json!({ "from": null, "to": 3, "reason": "two words", "tags": {}, "list": ["a"] });
        assert_eq!(said(&detail), r#"list=["a"] reason=two words to=3"#);
        let long = said(&json!({ "text": "ü".repeat(500) }));
        assert_eq!(long.chars().count(), DETAIL_SHOWN + 1);
        assert_eq!(said(&Json::Null), "");
    }

    #[test]
    fn actions_are_kinds_or_their_nouns() {
        assert!(action("alias").is_ok() && action("alias.move").is_ok());
        assert!(action("alias.").is_err() && action("move").is_err());
        assert!(action("nope").unwrap_err().contains("alias"));
    }
}
