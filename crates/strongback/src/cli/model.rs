//! `strongback model`: registered models for people to look at.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value as Json, json};

use super::{client::Remote, printer};
use crate::{
    error::Error,
    registry::{
        governance::{GovernResponse, Policy},
        view::{ModelView, MoveView, VersionView},
    },
    time,
};

/// Show registered models, and govern their aliases
#[derive(Debug, Subcommand)]
pub(super) enum ModelCommand {
    /// List the models that you may see
    List(ListArgs),
    /// Show a model, or one version of it: signature, where it came from, aliases, history
    Show(ShowArgs),
    /// Say which aliases of a model move with passing gates alone
    Govern(GovernArgs),
}

const LIST_EXAMPLES: &str = "\
Examples:
  strongback model list
  strongback model list --json";

const SHOW_EXAMPLES: &str = "\
Examples:
  strongback model show prod.risk.fraud_classifier
  strongback model show prod.risk.fraud_classifier@champion
  strongback model show prod.risk.fraud_classifier/3 --json";

#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(super) struct ListArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(super) struct ShowArgs {
    /// NAME, NAME@alias or NAME/version, e.g. prod.risk.fraud_classifier@champion
    name: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

const GOVERN_EXAMPLES: &str = "\
Examples:
  strongback model govern prod.risk.fraud_classifier --aliases champion
  strongback model govern prod.risk.fraud_classifier --aliases champion,shadow \\
      --config gates.yaml
  strongback model govern prod.risk.fraud_classifier --off

With --config only reports of exactly those gates move the aliases. It takes the
right to manage the model. To loosen what governs it (an alias less, other gates,
--off) is for administrators, unless the server's gate_overrides says owners.";

#[derive(Debug, Args)]
#[command(after_help = GOVERN_EXAMPLES)]
pub(super) struct GovernArgs {
    /// The registered model
    name: String,
    /// The aliases that are governed
    #[arg(long, value_name = "ALIAS,…", value_delimiter = ',', required_unless_present = "off")]
    aliases: Vec<String>,
    /// The gates whose reports count [default: any]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Govern none of its aliases
    #[arg(long, conflicts_with_all = ["aliases", "config"])]
    off: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

fn govern(args: &GovernArgs) -> anyhow::Result<()> {
    let mut body = json!({ "name": args.name, "aliases": args.aliases });
    if let Some(path) = &args.config {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|error| {
            Error::invalid(format!("The file {} cannot be read: {error}.", path.display()))
        })?;
        body["config"] = text.into();
    }
    let set: GovernResponse = args.remote.client()?.send(Method::POST, "/api/1.0/model/govern", &body)?;
    if args.json {
        return printer::json(&set);
    }
    printer::data(&governed(&set.policy).unwrap_or_else(|| format!("No alias of {} is governed.", set.name)));
    Ok(())
}

/// What is governed, as a sentence.
fn governed(policy: &Policy) -> Option<String> {
    let of = match &policy.config_digest {
        Some(digest) => format!(" of the gates sha256 {digest}"),
        None => String::new(),
    };
    (!policy.aliases.is_empty())
        .then(|| format!("Governed: {} move with passing reports{of} alone.", policy.aliases.join(", ")))
}

pub(super) fn run(command: ModelCommand) -> anyhow::Result<ExitCode> {
    match command {
        ModelCommand::List(args) => list(&args)?,
        ModelCommand::Show(args) => show(&args)?,
        ModelCommand::Govern(args) => govern(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let found = args.remote.client()?.list("/api/2.1/unity-catalog/models", &[], "registered_models")?;
    if args.json {
        return printer::json(&found);
    }
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let alias = |alias: &Json| format!("{}={}", text(&alias["alias_name"]), alias["version_num"]);
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|model| {
            let aliases = model["aliases"].as_array().map(Vec::as_slice).unwrap_or_default();
            let aliases: Vec<String> = aliases.iter().map(alias).collect();
            vec![text(&model["full_name"]), text(&model["owner"]), aliases.join(" "), text(&model["comment"])]
        })
        .collect();
    printer::table(&["NAME", "OWNER", "ALIASES", "DESCRIPTION"], &rows);
    Ok(())
}

fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let found: ModelView = args.remote.client()?.get("/api/1.0/model", &[("name", &args.name)])?;
    if args.json {
        return printer::json(&found);
    }
    printer::data(&found.name);
    let mut facts = vec![
        ("owner", found.owner.clone()),
        ("created", format!("{} by {}", time::utc(found.created_at), found.created_by)),
        ("description", found.description.clone()),
        ("tags", pairs(found.tags.iter())),
    ];
    if found.full_name != found.name {
        facts.insert(0, ("full name", found.full_name.clone()));
    }
    print_facts(facts);
    if let Some(said) = found.governed.as_ref().and_then(governed) {
        printer::data(&said);
    }
    if !found.aliases.is_empty() {
        let alias = |alias: crate::registry::view::AliasView| {
            vec![alias.alias, alias.version.to_string(), time::utc(alias.since), alias.by]
        };
        section(&["ALIAS", "VERSION", "SINCE (UTC)", "BY"], found.aliases.into_iter().map(alias).collect());
    }
    match &found.versions[..] {
        [] => printer::talk("It has no versions."),
        [one] => print_version(one),
        [newest, ..] => {
            section(
                &["VERSION", "STATUS", "ALIASES", "CREATED (UTC)", "BY", "RUN"],
                found.versions.iter().map(row).collect(),
            );
            if found.has_more_versions {
                printer::talk("There are older versions.");
            }
            print_signature(newest);
        }
    }
    if !found.moves.is_empty() {
        section(
            &["MOVED (UTC)", "ALIAS", "FROM", "TO", "BY", "WHY", "ON"],
            found.moves.into_iter().map(step).collect(),
        );
    }
    Ok(())
}

fn row(version: &VersionView) -> Vec<String> {
    vec![
        version.version.to_string(),
        version.status.clone(),
        version.aliases.join(" "),
        time::utc(version.created_at),
        version.created_by.clone(),
        version.run_id.clone(),
    ]
}

fn print_version(version: &VersionView) {
    printer::data("");
    printer::data(&format!("version {}", version.version));
    print_facts(vec![
        ("status", version.status.clone()),
        ("stage", version.stage.clone().unwrap_or_default()),
        ("created", format!("{} by {}", time::utc(version.created_at), version.created_by)),
        ("run", version.run_id.clone()),
        ("logged model", version.model_id.clone()),
        ("source", version.source.clone()),
        ("files", files(version)),
        ("digest", version.files.as_ref().map(|files| files.digest.clone()).unwrap_or_default()),
        ("description", version.description.clone()),
        ("tags", pairs(version.tags.iter())),
    ]);
    print_signature(version);
}

/// What is known about the files of a version.
fn files(version: &VersionView) -> String {
    match (&version.files, &version.not_pinned) {
        (Some(files), _) => {
            format!("{}, {} bytes, pinned {}", files.count, files.bytes, time::utc(files.pinned_at))
        }
        (None, Some(why)) => format!("not pinned; {why}"),
        (None, None) => String::new(),
    }
}

fn print_signature(version: &VersionView) {
    let mut rows = Vec::new();
    for part in ["inputs", "outputs", "params"] {
        let entries = version.signature.as_ref().and_then(|signature| signature.get(part)?.as_array());
        rows.extend(entries.into_iter().flatten().filter_map(Json::as_object).map(|entry| {
            let name = entry.get("name").and_then(Json::as_str).unwrap_or("-");
            vec![part.to_owned(), name.to_owned(), kind(entry), needed(part, entry).to_owned()]
        }));
    }
    match (&version.signature_problem, rows.is_empty()) {
        (Some(why), _) => {
            printer::talk(&format!("Version {} has no readable signature: {why}.", version.version));
        }
        (None, true) => printer::talk(&format!("Version {} has no signature.", version.version)),
        (None, false) => {
            printer::data("");
            printer::data(&format!("signature of version {}", version.version));
            printer::table(&["PART", "NAME", "TYPE", "NEEDED"], &rows);
        }
    }
}

/// The type of an entry of a signature, e.g. `double`, or `tensor float32[-1, 28]`.
fn kind(entry: &Map<String, Json>) -> String {
    let text = |value: Option<&Json>| value.and_then(Json::as_str).unwrap_or("?").to_owned();
    let kind = text(entry.get("type"));
    match entry.get("tensor-spec").and_then(Json::as_object) {
        Some(tensor) => {
            let shape = tensor.get("shape").map(Json::to_string).unwrap_or_default();
            format!("{kind} {}{shape}", text(tensor.get("dtype")))
        }
        None => kind,
    }
}

fn needed(part: &str, entry: &Map<String, Json>) -> &'static str {
    match (part, entry.get("required").and_then(Json::as_bool)) {
        ("inputs", Some(true)) => "yes",
        ("inputs", Some(false)) | ("params", _) => "no",
        _ => "",
    }
}

fn step(step: MoveView) -> Vec<String> {
    let version = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    vec![
        time::utc(step.at),
        step.alias,
        version(step.from_version),
        version(step.to_version),
        step.by,
        step.reason,
        step.evidence.as_ref().map(grounds).unwrap_or_default(),
    ]
}

/// On what an alias moved, in few words.
pub(super) fn grounds(evidence: &Json) -> String {
    let report = evidence["gate_report"].as_str().map(|id| format!("report {id}"));
    let parts = [
        evidence["rollback_of"].as_i64().map(|n| format!("rollback of move {n}")),
        report,
        (evidence["override"] == true).then(|| "override".to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn section(heading: &[&str], rows: Vec<Vec<String>>) {
    printer::data("");
    printer::table(heading, &rows);
}

/// Facts with a name each; what is not known is left out.
fn print_facts(facts: Vec<(&str, String)>) {
    for (name, text) in facts.into_iter().filter(|(_, text)| !text.is_empty()) {
        printer::data(&format!("  {name:<13}{text}"));
    }
}

fn pairs<'a>(tags: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    tags.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}
