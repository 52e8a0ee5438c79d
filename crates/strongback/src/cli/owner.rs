//! `strongback owner`: who answers for an asset.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::{client::Remote, printer};
use crate::catalog::owner::SetResponse;

/// Change who owns an asset
#[derive(Debug, Subcommand)]
pub(super) enum OwnerCommand {
    /// Give a catalog, schema, table, model or experiment to another owner
    Set(SetArgs),
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// catalog, catalog.schema, catalog.schema.name, an experiment's path, or a model's name
    asset: String,
    /// A user, a service principal or a group
    owner: String,
    /// Which kind, where several have that name: catalog, schema, table, experiment, model
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(command: OwnerCommand) -> anyhow::Result<ExitCode> {
    let OwnerCommand::Set(args) = command;
    let body = json!({ "name": args.asset, "kind": args.kind, "owner": args.owner });
    let set: SetResponse = args.remote.client()?.send(Method::PATCH, "/api/1.0/owner", &body)?;
    if args.json {
        printer::json(&set)?;
    } else {
        printer::talk(&format!("The {} {} belongs to {}.", set.kind, set.name, set.owner));
    }
    Ok(ExitCode::SUCCESS)
}
