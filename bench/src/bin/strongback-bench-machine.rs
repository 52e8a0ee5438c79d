//! `strongback-bench-machine`: the head of a result, for the benchmarks that are scripts: when, which commit, which machine, how
//! noisy it is, what one fdatasync costs.
//!
//! Exit status: 0 the machine is quiet enough, or that was not insisted on; 1 it cannot be looked at; 2 it is too noisy to tell.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use bench::facts::{Facts, Insist};
use bench::machine::Noise;
use bench::say;
use clap::Parser;
use serde_json::json;

/// Prints what the machine is and how quiet, as JSON.
#[derive(Debug, Parser)]
#[command(name = "strongback-bench-machine")]
struct Options {
    /// Where fdatasync is measured.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// After a measurement, which has filled the load average itself: only the noise, judged by the calibration loop alone.
    #[arg(long)]
    after: bool,
    #[command(flatten)]
    insist: Insist,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(objection)) => {
            say::talk(&format!("the machine is too noisy to tell: {objection}"));
            ExitCode::from(2)
        }
        Err(error) => {
            say::talk(&format!("the machine cannot be looked at: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints; answers why nothing counts, if that was insisted on.
fn run(options: &Options) -> Result<Option<String>> {
    let insist = &options.insist;
    if options.after {
        let noise_after = Noise::measure()?;
        let objection = noise_after.objection(insist.load_max, insist.spread_max, true);
        say::result(&serde_json::to_string(&json!({"noise_after": noise_after, "objection": objection}))?);
        return Ok(objection.filter(|_| !insist.accept_noise));
    }
    let facts = Facts::gather(insist, &options.folder)?;
    say::result(&serde_json::to_string(&facts)?);
    Ok(facts.refusal(insist).map(str::to_owned))
}
