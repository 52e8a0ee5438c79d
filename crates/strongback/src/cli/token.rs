//! `strongback token`: credentials of principals.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value as Json, json};

use super::{client::Remote, place::Place, printer, settings::StoreArgs};
use crate::{error::Code, time};

const CREATE_EXAMPLES: &str = "\
The first one, before the server starts:
  strongback token create --principal ana@example.com --admin

Later ones:
  strongback token create --principal nightly-training --expires-in 90d
  export DATABRICKS_TOKEN=$(strongback token create --principal bo)

Without --server it is made in the data directory, unless a server is running
there: then that server is asked.";

const EXAMPLES: &str = "\
Examples:
  strongback token list --principal ana@example.com
  strongback token revoke 01a212d4-7a9a-72a8-9d1e-70d21dbc389e";

/// Create, list and revoke tokens
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Create a token and show it once, on standard output; works without a running server
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// List tokens, without their secrets
    #[command(after_help = EXAMPLES)]
    List(ListArgs),
    /// Revoke a token
    #[command(after_help = EXAMPLES)]
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Whose it becomes; a user of this name is created if there is none
    #[arg(long, value_name = "NAME")]
    principal: String,
    /// What it is for
    #[arg(long, default_value = "", value_name = "TEXT")]
    comment: String,
    /// How long it lives, e.g. 12h, 90d, 52w; for ever when left out
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires_in: Option<i64>,
    /// Make the principal an administrator
    #[arg(long)]
    admin: bool,
    /// As JSON, with the token's id and end
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only of this principal
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// Its id, as `strongback token list` shows it
    #[arg(value_name = "TOKEN_ID")]
    token_id: String,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(command: TokenCommand) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Create(args) => create(args)?,
        TokenCommand::List(args) => list(&args)?,
        TokenCommand::Revoke(args) => {
            let body = json!({ "token_id": args.token_id });
            args.remote.client()?.send::<Json>(Method::POST, "/api/2.0/token/delete", &body)?;
            printer::talk(&format!("Revoked {}.", args.token_id));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn create(args: CreateArgs) -> anyhow::Result<()> {
    let place = Place::open(args.store, &args.remote)?;
    if args.admin {
        ensure_admin(&place, &args.principal)?;
    } else {
        ensure_user(&place, &args.principal)?;
    }
    let made = place.token_create(&args.principal, &args.comment, args.expires_in)?;
    if args.json {
        printer::json(&json!({ "token_value": made.value, "token_info": made.info }))?;
        return Ok(());
    }
    let end = match made.info["expiry_time"].as_i64() {
        Some(at) if at >= 0 => format!("ends {} UTC", time::utc(at)),
        _ => "does not end".to_owned(),
    };
    let id = made.info["token_id"].as_str().unwrap_or_default();
    printer::talk(&format!("Token {id} of {}, {end}. It is shown once, on the next line:", args.principal));
    printer::data(&made.value);
    printer::talk("Clients: MLFLOW_TRACKING_TOKEN or DATABRICKS_TOKEN; this command line: STRONGBACK_TOKEN.");
    Ok(())
}

fn ensure_user(place: &Place, name: &str) -> anyhow::Result<()> {
    match place.principal_create(name, "user", false) {
        Ok(_) => printer::talk(&format!("Created the user {name}.")),
        Err(error) if error.code() == Code::ResourceAlreadyExists => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn ensure_admin(place: &Place, name: &str) -> anyhow::Result<()> {
    match place.principal_create(name, "user", true) {
        Ok(_) => printer::talk(&format!("Created the user {name}, an administrator.")),
        Err(error) if error.code() == Code::ResourceAlreadyExists => {
            place.group_member_add("admins", name)?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let query: Vec<(&str, &str)> = args.principal.iter().map(|name| ("principal", name.as_str())).collect();
    let tokens = args.remote.client()?.list("/api/1.0/tokens", &query, "token_infos")?;
    if args.json {
        return printer::json(&tokens);
    }
    let text = |token: &Json, key: &str| token[key].as_str().unwrap_or_default().to_owned();
    let time = |token: &Json, key: &str| match token[key].as_i64() {
        Some(at) if at >= 0 => time::utc(at),
        _ => "never".to_owned(),
    };
    let rows: Vec<Vec<String>> = tokens
        .iter()
        .map(|token| {
            vec![
                text(token, "token_id"),
                text(token, "principal"),
                time(token, "creation_time"),
                time(token, "expiry_time"),
                text(token, "comment"),
            ]
        })
        .collect();
    printer::table(&["ID", "PRINCIPAL", "CREATED (UTC)", "ENDS (UTC)", "COMMENT"], &rows);
    Ok(())
}

/// `90d` and the like, in seconds.
fn lifetime(text: &str) -> Result<i64, &'static str> {
    let wrong = || "write a number and s, m, h, d or w, e.g. 90d";
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number: i64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::lifetime;

    #[test]
    fn lifetimes_have_a_unit() {
        assert_eq!(lifetime("90d").unwrap(), 90 * 86_400);
        assert_eq!(lifetime("12h").unwrap(), 43_200);
        for wrong in ["", "90", "d", "-1d", "0s", "1y", "1ü", "99999999999999999w"] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }
}
