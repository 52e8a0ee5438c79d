//! What stands at the head of every result: when, of which commit and on what machine it was taken, and whether it counts.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use chrono::DateTime;
use clap::Args;
use serde::Serialize;

use crate::machine::{self, Machine, Noise, SyncCost};

/// On which state of the machine to insist.
#[derive(Debug, Clone, Args)]
pub struct Insist {
    /// Load average a processor above which the machine counts as noisy.
    #[arg(long, default_value_t = 0.5)]
    pub load_max: f64,
    /// Spread of the calibration loop, as a share of its fastest pass, above which the machine counts as noisy.
    #[arg(long, default_value_t = 0.25)]
    pub spread_max: f64,
    /// Seconds to wait at most until the machine is quieter than that: what is to be measured is the machine, and neither the
    /// compiler that ran on it just now nor a neighbour's.
    #[arg(long, env = "BENCH_SETTLE_SECONDS", default_value_t = 600)]
    pub settle_seconds: u64,
    /// Measure on a noisy machine all the same; the result says so and is no figure.
    #[arg(long)]
    pub accept_noise: bool,
}

/// The head of a result.
#[derive(Debug, Serialize)]
pub struct Facts {
    pub taken_at: String,
    pub commit: String,
    pub build: &'static str,
    pub machine: Machine,
    pub noise_before: Noise,
    pub sync_cost: SyncCost,
    /// Why the machine was too noisy, if it was and that was accepted: the figures are then none.
    pub objection: Option<String>,
}

impl Facts {
    /// Looks at the machine, before anything is measured; what a sync costs is that of the file system of `folder`.
    pub fn gather(insist: &Insist, folder: &Path) -> Result<Self> {
        let patience = Duration::from_secs(if insist.accept_noise { 0 } else { insist.settle_seconds });
        let (noise_before, objection) = machine::once_quiet(patience, |noise| {
            noise.objection(insist.load_max, insist.spread_max, false)
        })?;
        Ok(Self {
            taken_at: now(),
            commit: commit(),
            build: if cfg!(debug_assertions) { "debug generator" } else { "release generator" },
            machine: Machine::describe(),
            noise_before,
            sync_cost: SyncCost::measure(folder)?,
            objection,
        })
    }

    /// Why nothing is to be measured.
    pub fn refusal(&self, insist: &Insist) -> Option<&str> {
        self.objection.as_deref().filter(|_| !insist.accept_noise)
    }
}

/// The commit that is checked out, with `-dirty` when tracked files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let dirty =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_string());
    if dirty { format!("{commit}-dirty") } else { commit }
}

/// The time now as `2026-01-31T23:59:59Z`.
fn now() -> String {
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let at = DateTime::from_timestamp_millis(ms as i64).unwrap_or_default();
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
