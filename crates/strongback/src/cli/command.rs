//! `strongback command`: what runners run.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value as Json, json};

use super::{
    catalog::schema_name,
    client::{Remote, segment},
    exit, job, printer,
};
use crate::{error::Error, jobs::commands::Definition, time};

const COMMANDS: &str = "/api/1.0/commands";

const EXAMPLES: &str = "\
A file train.toml:
  argv = [\"python\", \"/opt/fraud/train.py\", \"--depth\", \"{depth}\"]
  label = \"gpu\"            # which runners; default: default
  wall_seconds = 3600      # ended after an hour; so by default
  processor_seconds = 7200
  memory_mb = 8192
  max_attempts = 2         # begun again when its runner died; default: 1
  retry_failed = false     # begun again when it ended with an error

  [env]
  MODE = \"{mode}\"

  [params.depth]
  type = \"integer\"         # text, integer, number or boolean
  default = 8
  min = 1
  max = 32

  [params.mode]
  choices = [\"fast\", \"exact\"]
  default = \"fast\"

An administrator declares it; its owner runs it, on a machine where
`strongback runner --label gpu` is at work:
  strongback command declare prod.risk.train_fraud --file train.toml --owner fraud-team
  strongback command show prod.risk.train_fraud
  strongback command list prod.risk
  strongback command run prod.risk.train_fraud --param depth=12 --wait

There is no shell. {depth} stands for the parameter where it is a whole argument
or a whole value of the environment, and is refused as a part of one. Declared
again with another definition a command gets its next version; a job keeps the
one that it was queued with.";

/// Declare, list and run commands
#[derive(Debug, Subcommand)]
pub(super) enum CommandCommand {
    /// Declare a command from a file, or its next version; for administrators
    #[command(after_help = EXAMPLES)]
    Declare(DeclareArgs),
    /// List the commands of a schema
    #[command(after_help = EXAMPLES)]
    List(ListArgs),
    /// Show a command
    #[command(after_help = EXAMPLES)]
    Show(ShowArgs),
    /// Delete a command; for administrators
    #[command(after_help = DELETE_EXAMPLES)]
    Delete(DeleteArgs),
    /// Queue a job that runs a command
    #[command(after_help = EXAMPLES)]
    Run(RunArgs),
}

const DELETE_EXAMPLES: &str = "\
Example:
  strongback command delete prod.risk.train_fraud

Jobs of it that wait fail when their turn comes; what they did stays in the log.";

#[derive(Debug, Args)]
pub(super) struct DeclareArgs {
    /// catalog.schema.command
    name: String,
    /// The definition, in TOML; the help shows one
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Who may run it: a user, a service principal or a group [default: you]
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// catalog.schema
    schema: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// catalog.schema.command
    name: String,
    /// Which version [default: the newest]
    #[arg(long, value_name = "N")]
    version: Option<i64>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// catalog.schema.command
    name: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// catalog.schema.command
    name: String,
    /// A parameter and its value; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// Which version [default: the newest]
    #[arg(long, value_name = "N")]
    version: Option<i64>,
    /// Whose rights count; only administrators name somebody else [default: you]
    #[arg(long, value_name = "NAME")]
    run_as: Option<String>,
    /// A text by which a repeated call is known: it answers the same job
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// Wait for its end; the exit code is 1 when it failed
    #[arg(long)]
    wait: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn run(command: CommandCommand) -> anyhow::Result<ExitCode> {
    match command {
        CommandCommand::Declare(args) => declare(&args)?,
        CommandCommand::List(args) => list(&args)?,
        CommandCommand::Show(args) => show(&args)?,
        CommandCommand::Delete(args) => {
            args.remote.client()?.send::<Json>(Method::DELETE, &one(&args.name), &json!({}))?;
            printer::talk(&format!("Deleted {}.", args.name));
        }
        CommandCommand::Run(args) => return queue(args),
    }
    Ok(ExitCode::SUCCESS)
}

fn one(name: &str) -> String {
    format!("{COMMANDS}/{}", segment(name))
}

/// Reads a definition, so that a mistake is shown with its place in the file before anybody is asked.
fn read(path: &Path) -> Result<Definition, Error> {
    let place = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::invalid(format!("The file {place} cannot be read: {error}.")))?;
    let definition: Definition = toml::from_str(&text).map_err(|error| {
        Error::invalid(format!("The file {place} is no definition of a command: {error}"))
    })?;
    definition.check().map(|()| definition)
}

fn declare(args: &DeclareArgs) -> anyhow::Result<()> {
    let body = json!({
        "name": args.name, "definition": read(&args.file)?, "comment": args.comment, "owner": args.owner,
    });
    let made: Json = args.remote.client()?.send(Method::POST, COMMANDS, &body)?;
    if args.json {
        return printer::json(&made);
    }
    let owner = made["owner"].as_str().unwrap_or_default();
    printer::talk(&format!("{} is version {} and belongs to {owner}.", args.name, made["version"]));
    Ok(())
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let Some((catalog, schema)) = args.schema.split_once('.') else {
        return Err(schema_name(&args.schema).into());
    };
    let query = [("catalog_name", catalog), ("schema_name", schema)];
    let found = args.remote.client()?.list(COMMANDS, &query, "commands")?;
    if args.json {
        return printer::json(&found);
    }
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            let argv = one["definition"]["argv"].as_array().map(Vec::as_slice).unwrap_or_default();
            let argv: Vec<String> = argv.iter().map(text).collect();
            vec![
                text(&one["full_name"]),
                one["version"].to_string(),
                text(&one["owner"]),
                text(&one["definition"]["label"]),
                argv.join(" "),
            ]
        })
        .collect();
    printer::table(&["NAME", "VERSION", "OWNER", "LABEL", "COMMAND"], &rows);
    Ok(())
}

fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let version = args.version.map(|n| n.to_string());
    let query: Vec<(&str, &str)> = version.as_deref().map(|n| ("version", n)).into_iter().collect();
    let found: Json = args.remote.client()?.get(&one(&args.name), &query)?;
    if args.json {
        return printer::json(&found);
    }
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    printer::data(&format!("# {}, version {}, of {}", text("full_name"), found["version"], text("owner")));
    let declared = time::utc(found["declared_at"].as_i64().unwrap_or_default());
    printer::data(&format!(
        "# declared by {} at {declared} UTC, sha256 {}",
        text("declared_by"),
        text("sha256")
    ));
    let definition: Definition = serde_json::from_value(found["definition"].clone())?;
    toml::to_string(&definition)?.lines().for_each(printer::data);
    Ok(())
}

fn queue(args: RunArgs) -> anyhow::Result<ExitCode> {
    let params: BTreeMap<String, String> = args.params.into_iter().collect();
    let body = json!({
        "params": params, "version": args.version, "run_as": args.run_as, "idempotency_key": args.key,
    });
    let client = args.remote.client()?;
    let mut queued: Json = client.send(Method::POST, &format!("{}/run", one(&args.name)), &body)?;
    let id = queued["job_id"].as_str().unwrap_or_default().to_owned();
    if args.wait {
        printer::talk(&format!(
            "Waiting for the job {id}; Ctrl-C ends the wait, `strongback job cancel` the job."
        ));
        queued = job::wait(&client, &id, None)?;
    }
    let state = queued["state"].as_str().unwrap_or_default().to_owned();
    if args.json {
        printer::json(&queued)?;
    } else {
        printer::data(&id);
        printer::talk(&job::said(&queued));
    }
    if args.wait && state != "succeeded" {
        job::talk_tail(&client, &id)?;
    }
    Ok(if args.wait { exit::answer(state == "succeeded") } else { ExitCode::SUCCESS })
}
