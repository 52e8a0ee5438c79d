//! `strongback artifacts`: the bytes of runs, logged models and versions, where they lie.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};

use super::{exit, printer, progress::Status, settings::StoreArgs};
use crate::{
    app,
    files::{self, Report},
    objects::{
        Remote,
        place::{self, Record},
    },
};

const VERIFY_EXAMPLES: &str = "\
Examples:
  strongback artifacts verify
  strongback artifacts verify --data-dir /var/lib/strongback --json

It reads every byte from the disk, or the object store, also beside a running
server, and compares it with the sha-256 that was kept when the file was stored. Exit code 1: some
are others or gone; bring those back from a backup. 3 or 4: it could not be
looked at.";

const ADOPT_EXAMPLES: &str = "\
Examples:
  strongback artifacts adopt --data-dir /var/lib/strongback-new
  strongback artifacts adopt --artifacts-url s3://bucket/prefix

An object store's place belongs to one data directory. After this it belongs to
this one: the server that had it removes nothing there any more, and is not
ready. For a data directory that a backup was brought back into, or artifacts
that were copied elsewhere, each under the same two last parts of its name
(objects/ab/…). The server must be stopped. Look at them afterwards:
  strongback artifacts verify";

/// Look after the files of runs and models
#[derive(Debug, Subcommand)]
pub(super) enum ArtifactsCommand {
    /// Compare every file with the digest that was kept when it was stored; exit code 1 if any is damaged
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Take the place in the object store that artifacts lie in over from another data directory
    #[command(after_help = ADOPT_EXAMPLES)]
    Adopt(AdoptArgs),
}

#[derive(Debug, Args)]
pub(super) struct AdoptArgs {
    /// Where they lie now [default: where they lay]
    #[arg(long, value_name = "URL")]
    artifacts_url: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn run(command: ArtifactsCommand) -> anyhow::Result<ExitCode> {
    let args = match command {
        ArtifactsCommand::Verify(args) => args,
        ArtifactsCommand::Adopt(args) => return adopt(args),
    };
    let config = args.store.config()?;
    let report = files::verify(&config.location(), &config.data_dir.value, progress())?;
    if args.json {
        printer::json(&report)?;
    } else {
        show(&report);
    }
    Ok(exit::answer(report.wrong == 0))
}

fn adopt(args: AdoptArgs) -> anyhow::Result<ExitCode> {
    let config = args.store.config_with_artifacts(args.artifacts_url)?;
    let data = &config.data_dir.value;
    ensure!(data.is_dir(), "The data directory {} does not exist. Name it with --data-dir.", data.display());
    let _lock = app::lock(data)?;
    let record = match &config.artifacts_url.value {
        Some(address) => Record::new(address),
        None => place::read(data)?.context(
            "Artifacts lie in the data directory, which needs no adoption. To have them elsewhere, name it with \
             --artifacts-url.",
        )?,
    };
    let remote = Remote::open(data, record)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(remote.adopt())?;
    printer::data(remote.address());
    printer::talk(
        "It belongs to this data directory now. See whether all is there: strongback artifacts verify",
    );
    Ok(ExitCode::SUCCESS)
}

/// Shows how far it is.
fn progress() -> impl FnMut(&Report) {
    let mut status = Status::new();
    move |report| {
        status.show(|seconds| {
            let mebibytes = report.bytes as f64 / f64::from(1 << 20);
            let (objects, rate) = (report.objects, mebibytes / seconds.max(1e-3));
            format!("{objects} objects, {mebibytes:.0} MiB, {rate:.0} MiB/s")
        });
    }
}

fn show(report: &Report) {
    let rows: Vec<Vec<String>> = report
        .damaged
        .iter()
        .map(|damage| vec![damage.area.clone(), damage.path.clone(), damage.problem.clone()])
        .collect();
    if !rows.is_empty() {
        printer::table(&["OF", "FILE", "PROBLEM"], &rows);
    }
    let (objects, mebibytes) = (report.objects, report.bytes as f64 / f64::from(1 << 20));
    if report.wrong == 0 {
        printer::data(&format!("verified: {objects} objects, {mebibytes:.1} MiB, each as it was stored"));
    } else {
        printer::data(&format!("NOT verified: {} of {objects} objects are damaged or gone", report.wrong));
    }
}
