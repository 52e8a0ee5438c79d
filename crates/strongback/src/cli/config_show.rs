//! `strongback config show`: every setting, its value, and where it came from.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::{printer, settings::ServerArgs};

const EXAMPLES: &str = "\
Examples:
  strongback config show
  strongback config show --port 6000 --json

A setting is a flag of `strongback up`, else the variable STRONGBACK_<NAME>,
else a line in strongback.toml such as `port = 6000`, else the default. The
table names which one decided.";

/// Look at the configuration
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show every setting and where its value came from: flag, environment, file or default
    #[command(after_help = EXAMPLES)]
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: ServerArgs,
}

pub(super) fn run(command: ConfigCommand) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Show(args) = command;
    let explained = args.settings.config()?.explain();
    if args.json {
        let object: serde_json::Map<String, Json> = explained
            .into_iter()
            .map(|(name, value, source)| {
                let value = if value.is_empty() { Json::Null } else { value.into() };
                (name.to_owned(), json!({ "value": value, "source": source.to_string() }))
            })
            .collect();
        printer::json(&object)?;
    } else {
        let rows: Vec<Vec<String>> = explained
            .into_iter()
            .map(|(name, value, source)| {
                let value = if value.is_empty() { "(none)".to_owned() } else { value };
                vec![name.to_owned(), value, source.to_string()]
            })
            .collect();
        printer::table(&["SETTING", "VALUE", "FROM"], &rows);
    }
    Ok(ExitCode::SUCCESS)
}
