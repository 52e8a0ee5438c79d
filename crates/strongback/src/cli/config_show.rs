//! `strongback config show`: every setting, its value, and where it came from.

use std::process::ExitCode;

use clap::Subcommand;

use super::{Settings, printer};

/// Look at the configuration
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show every setting and where its value came from: flag, environment, file or default
    Show {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(settings: Settings, command: ConfigCommand) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Show { json } = command;
    let explained = settings.config()?.explain();
    if json {
        let object: serde_json::Map<String, serde_json::Value> = explained
            .into_iter()
            .map(|(name, value, source)| {
                (name.to_owned(), serde_json::json!({ "value": value, "source": source.to_string() }))
            })
            .collect();
        printer::json(&object)?;
    } else {
        let rows: Vec<Vec<String>> = explained
            .into_iter()
            .map(|(name, value, source)| vec![name.to_owned(), value, source.to_string()])
            .collect();
        printer::table(&["SETTING", "VALUE", "FROM"], &rows);
    }
    Ok(ExitCode::SUCCESS)
}
