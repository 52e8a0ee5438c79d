//! `strongback table show`, `delete`: all that is known of a table, and its end.

use clap::Args;
use http::Method;
use serde_json::{Value as Json, json};

use super::{
    client::{Remote, segment},
    feature_table,
    printer::{self, text},
};
use crate::{error::Code, features, time};

/// Pins that are shown.
const PINS_SHOWN: usize = 20;

/// Show a table: columns, owner, newest version, size, who pins it, how its features are computed
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// catalog.schema.table
    name: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Delete a table, or the declaration of one that lives elsewhere; refused where a version is pinned
#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// catalog.schema.table
    name: String,
    /// Also where versions are pinned: what stands on them cannot be made again
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let client = args.remote.client()?;
    let mut found: Json = client.get(&format!("/api/1.0/tables/{}", segment(&args.name)), &[])?;
    if found["kept_by"] == features::KEEPER {
        found["feature_table"] = match client.get::<Json>(&feature_table::one(&args.name), &[]) {
            Ok(declared) => declared,
            // It was deleted or made anew at the same moment.
            Err(error) if error.code() == Code::ResourceDoesNotExist => Json::Null,
            Err(error) => return Err(error.into()),
        };
    }
    if args.json {
        return printer::json(&found);
    }
    print_facts(&found);
    let columns = found["table"]["columns"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> = columns.iter().map(column).collect();
    printer::data("");
    printer::table(&["COLUMN", "TYPE", "NULL", "COMMENT"], &rows);
    print_pins(found["pins"].as_array().map(Vec::as_slice).unwrap_or_default());
    if found["feature_table"].is_object() {
        printer::data("");
        feature_table::print(&found["feature_table"]);
    }
    Ok(())
}

fn print_facts(found: &Json) {
    let line = |label: &str, value: String| {
        if !value.is_empty() {
            printer::data(&format!("{label:<12}{value}"));
        }
    };
    let table = &found["table"];
    let at = |key: &str| time::utc(table[key].as_i64().unwrap_or_default());
    line("table", text(&table["full_name"]));
    let format =
        table["data_source_format"].as_str().map(|format| format!(" as {format}")).unwrap_or_default();
    let place = if found["newest"].is_object() { "here" } else { "elsewhere; it is declared" };
    line("kept", format!("{place}{format}"));
    line("computed", found["kept_by"].as_str().map(|by| format!("by {by}")).unwrap_or_default());
    line("comment", text(&table["comment"]));
    line("owner", text(&table["owner"]));
    line("created", format!("{} UTC by {}", at("created_at"), text(&table["created_by"])));
    line("changed", format!("{} UTC by {}", at("updated_at"), text(&table["updated_by"])));
    let newest = &found["newest"];
    if newest.is_object() {
        line("version", text(&newest["version"]));
        line("rows", if newest["rows"].is_null() { "not counted".to_owned() } else { text(&newest["rows"]) });
        let mib = newest["bytes"].as_f64().unwrap_or_default() / f64::from(1 << 20);
        line("size", format!("{mib:.1} MiB in {} files", newest["files"]));
    }
    line("location", text(&table["storage_location"]));
    line("id", text(&table["table_id"]));
    let properties = table["properties"].as_object().into_iter().flatten();
    let pairs: Vec<String> = properties.map(|(key, value)| format!("{key}={}", text(value))).collect();
    line("properties", pairs.join(" "));
}

fn column(column: &Json) -> Vec<String> {
    let kind = [&column["type_text"], &column["type_name"]].into_iter().find(|kind| kind.is_string());
    let nullable = if column["nullable"] == false { "no" } else { "yes" };
    vec![
        text(&column["name"]),
        kind.map(text).unwrap_or_default(),
        nullable.to_owned(),
        text(&column["comment"]),
    ]
}

fn print_pins(pins: &[Json]) {
    if pins.is_empty() {
        return;
    }
    let rows: Vec<Vec<String>> = pins
        .iter()
        .take(PINS_SHOWN)
        .map(|pin| {
            let at = time::utc(pin["at"].as_i64().unwrap_or_default());
            vec![text(&pin["version"]), text(&pin["by"]), at, text(&pin["holder"]), text(&pin["reason"])]
        })
        .collect();
    printer::data("");
    printer::table(&["PINNED", "BY", "SINCE (UTC)", "FOR", "WHY"], &rows);
    if pins.len() > PINS_SHOWN {
        printer::talk(&format!("There are {} more pins; --json has all.", pins.len() - PINS_SHOWN));
    }
}

pub(super) fn delete(args: &DeleteArgs) -> anyhow::Result<()> {
    let path = format!("/api/2.1/unity-catalog/tables/{}", segment(&args.name));
    args.remote.client()?.send::<Json>(Method::DELETE, &path, &json!({ "force": args.force }))?;
    printer::talk(&format!(
        "Deleted {}. Files of a table that was kept here stay where they lie.",
        args.name
    ));
    Ok(())
}
