//! `strongback owner`: who answers for an asset.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::{client::Remote, kind::AssetKind, printer};
use crate::catalog::owner::SetResponse;

const EXAMPLES: &str = "\
Examples:
  strongback owner set prod.risk risk-team
  strongback owner set prod.risk.fraud_classifier ana@example.com
  strongback owner set /Shared/fraud-detection/feature-eng-v3 ana@example.com

An owner may read and change the asset and what lies in it, delete it, and give
it away; so may administrators, and nobody else.";

/// Change who owns an asset
#[derive(Debug, Subcommand)]
pub(super) enum OwnerCommand {
    /// Give a catalog, schema, table, model or experiment to another owner
    #[command(after_help = EXAMPLES)]
    Set(SetArgs),
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// catalog, catalog.schema, catalog.schema.name, an experiment's path, or a model's name
    asset: String,
    /// A user, a service principal or a group
    owner: String,
    /// Which kind, where several have that name
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<AssetKind>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(command: OwnerCommand) -> anyhow::Result<ExitCode> {
    let OwnerCommand::Set(args) = command;
    let body = json!({ "name": args.asset, "kind": args.kind.map(AssetKind::name), "owner": args.owner });
    let set: SetResponse = args.remote.client()?.send(Method::PATCH, "/api/1.0/owner", &body)?;
    if args.json {
        printer::json(&set)?;
    } else {
        printer::talk(&format!("The {} {} belongs to {}.", set.kind, set.name, set.owner));
    }
    Ok(ExitCode::SUCCESS)
}
