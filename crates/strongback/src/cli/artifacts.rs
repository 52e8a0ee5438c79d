//! `strongback artifacts`: the bytes of runs, logged models and versions, where they lie.

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};

use super::{exit, printer, settings::StoreArgs};
use crate::files::{self, Report};

const VERIFY_EXAMPLES: &str = "\
Examples:
  strongback artifacts verify
  strongback artifacts verify --data-dir /var/lib/strongback --json

It reads every byte from the disk, also beside a running server, and compares
it with the sha-256 that was kept when the file was stored. Exit code 1: some
are others or gone; bring those back from a backup. 3 or 4: it could not be
looked at.";

/// Look after the files of runs and models
#[derive(Debug, Subcommand)]
pub(super) enum ArtifactsCommand {
    /// Compare every file with the digest that was kept when it was stored; exit code 1 if any is damaged
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
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
    let ArtifactsCommand::Verify(args) = command;
    let config = args.store.config()?;
    let report = files::verify(&config.location(), &config.data_dir.value, progress())?;
    if args.json {
        printer::json(&report)?;
    } else {
        show(&report);
    }
    Ok(exit::answer(report.wrong == 0))
}

/// Shows on a terminal how far it is.
fn progress() -> impl FnMut(&Report) {
    const EVERY: Duration = Duration::from_millis(500);
    let (shows, began, mut shown) = (std::io::stderr().is_terminal(), Instant::now(), Instant::now());
    move |report| {
        if shows && shown.elapsed() > EVERY {
            shown = Instant::now();
            let mebibytes = report.bytes as f64 / f64::from(1 << 20);
            let rate = mebibytes / began.elapsed().as_secs_f64();
            let objects = report.objects;
            let _ =
                write!(std::io::stderr(), "\r\x1b[K{objects} objects, {mebibytes:.0} MiB, {rate:.0} MiB/s\r");
        }
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
