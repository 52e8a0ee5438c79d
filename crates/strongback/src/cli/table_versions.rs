//! `strongback table versions`, `pin`, `unpin`, `vacuum`, `compact`: what becomes of a table's versions.

use clap::Args;
use http::Method;
use serde_json::{Value as Json, json};

use super::{
    client::{Remote, segment},
    printer,
};
use crate::{
    tables::{
        Pin,
        upkeep::{CompactResponse, VacuumResponse},
        versions::VersionView,
    },
    time,
};

/// Show the versions of a table, the newest first
#[derive(Debug, Args)]
pub(super) struct VersionsArgs {
    /// catalog.schema.table
    name: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Keep a version readable, whatever is cleaned
#[derive(Debug, Args)]
pub(super) struct PinArgs {
    /// catalog.schema.table
    name: String,
    /// The version [default: the newest]
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// Why: whoever cleans the table reads it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Take a pin away that a person made: your own, or with --principal somebody else's
#[derive(Debug, Args)]
pub(super) struct UnpinArgs {
    /// catalog.schema.table
    name: String,
    /// The version
    #[arg(long, value_name = "N")]
    version: u64,
    /// Whose pin [default: your own]
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Remove the files that only old versions need; refused where a pinned version needs one
#[derive(Debug, Args)]
pub(super) struct VacuumArgs {
    /// catalog.schema.table
    name: String,
    /// Keep this version and all after it [default: those of the last seven days]
    #[arg(long, value_name = "N")]
    keep_from: Option<u64>,
    /// Go round pinned versions instead of refusing
    #[arg(long)]
    keep_pinned: bool,
    /// Say what would be removed
    #[arg(long)]
    dry_run: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Join the small files of a table into large ones
#[derive(Debug, Args)]
pub(super) struct CompactArgs {
    /// catalog.schema.table
    name: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

fn path(name: &str, what: &str) -> String {
    format!("/api/1.0/tables/{}/{what}", segment(name))
}

pub(super) fn versions(args: &VersionsArgs) -> anyhow::Result<()> {
    let found = args.remote.client()?.list(&path(&args.name, "versions"), &[], "versions")?;
    if args.json {
        return printer::json(&found);
    }
    let versions: Vec<VersionView> = serde_json::from_value(Json::from(found))?;
    let rows: Vec<Vec<String>> = versions.iter().map(row).collect();
    let heading = ["VERSION", "KIND", "ROWS", "ADDED", "MIB", "WHEN", "BY", "BATCH", "PINNED FOR"];
    printer::table(&heading, &rows);
    Ok(())
}

fn row(version: &VersionView) -> Vec<String> {
    let kind = match version.lost_at {
        Some(_) => format!("{}, lost", version.kind),
        None => version.kind.clone(),
    };
    let pins: Vec<String> = version
        .pins
        .iter()
        .map(|pin| if pin.reason.is_empty() { pin.said() } else { format!("{} ({})", pin.reason, pin.by) })
        .collect();
    vec![
        version.version.to_string(),
        kind,
        version.rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string()),
        version.rows_added.to_string(),
        format!("{:.1}", version.bytes as f64 / f64::from(1 << 20)),
        time::utc(version.at),
        version.by.clone(),
        version.batch_id.as_deref().map(shortened).unwrap_or_default(),
        pins.join("; "),
    ]
}

/// A digest is a long name for a batch.
fn shortened(batch: &str) -> String {
    const SHOWN: usize = 20;
    match batch.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &batch[..end]),
        None => batch.to_owned(),
    }
}

pub(super) fn pin(args: &PinArgs) -> anyhow::Result<()> {
    let body = json!({ "version": args.version, "reason": args.reason });
    let pin: Pin = args.remote.client()?.send(Method::POST, &path(&args.name, "pins"), &body)?;
    if args.json {
        return printer::json(&pin);
    }
    printer::talk(&format!("Version {} of {} stays readable.", pin.version, args.name));
    Ok(())
}

pub(super) fn unpin(args: &UnpinArgs) -> anyhow::Result<()> {
    let body = json!({ "version": args.version, "principal": args.principal });
    args.remote.client()?.send::<Json>(Method::POST, &path(&args.name, "unpin"), &body)?;
    let whose =
        args.principal.as_deref().map_or_else(|| "Your pin".to_owned(), |name| format!("The pin of {name}"));
    printer::talk(&format!("{whose} does not keep version {} of {} any more.", args.version, args.name));
    Ok(())
}

pub(super) fn vacuum(args: &VacuumArgs) -> anyhow::Result<()> {
    let body = json!({
        "keep_from": args.keep_from, "keep_pinned": args.keep_pinned, "dry_run": args.dry_run,
    });
    let done: VacuumResponse = args.remote.client()?.send_long(&path(&args.name, "vacuum"), &body)?;
    if args.json {
        return printer::json(&done);
    }
    for pin in &done.pins {
        printer::talk(&format!("kept: version {}, pinned by {}", pin.version, pin.said()));
    }
    let verb = if done.dry_run { "would go" } else { "went" };
    let mib = done.bytes as f64 / f64::from(1 << 20);
    printer::talk(&format!(
        "{} files with {mib:.1} MiB {verb}; versions from {} on stay readable.",
        done.files, done.keep_from
    ));
    Ok(())
}

pub(super) fn compact(args: &CompactArgs) -> anyhow::Result<()> {
    let done: CompactResponse = args.remote.client()?.send_long(&path(&args.name, "compact"), &json!({}))?;
    if args.json {
        return printer::json(&done);
    }
    printer::talk(&match done.files_removed {
        0 => format!("There was nothing to join; version {} stays.", done.version),
        removed => format!("{removed} files became {}: version {}.", done.files_added, done.version),
    });
    Ok(())
}
