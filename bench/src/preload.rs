//! Fills both stores with the same runs and the same long series before anything is measured.

use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use testkit::http::Client;
use testkit::random::Random;

use crate::contender::{Contender, Side};
use crate::data::{API, POINTS_PER_BATCH, Run, points_of_one_key};
use crate::wire;
use bench::load::expect_ok;

pub const EXPERIMENT: &str = "bench-preload";
const SEEDER: &str = include_str!("../seed_peer.py");
const CLIENTS: usize = 8;
/// What both sides call the run of the long series; the peer's is made without a server that could choose an id.
const PEER_HISTORY_RUN: &str = "000000000000000000000000000bebc4";

/// Sees to it that `runs` runs, and `points` points of one series, are stored, and that the server runs.
pub fn ensure(contender: &mut Contender, runs: u32, points: u32) -> Result<()> {
    match contender.side {
        Side::Ours => over_http(contender, runs, points)?,
        Side::Peer => into_its_schema(contender, runs, points)?,
    }
    contender.preloaded_runs = contender.preloaded_runs.max(runs);
    Ok(())
}

fn over_http(contender: &mut Contender, runs: u32, points: u32) -> Result<()> {
    if !contender.is_running() {
        contender.start()?;
    }
    let experiment = wire::experiment(&mut contender.client(), EXPERIMENT)?;
    let next = AtomicU32::new(contender.preloaded_runs);
    in_parallel(contender, |client| {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= runs {
                return Ok(());
            }
            wire::complete_run(client, &experiment, &Run::new(u64::from(number)))?;
        }
    })?;
    if points > 0 && contender.history_run.is_none() {
        let series = wire::experiment(&mut contender.client(), "bench-history")?;
        let run = wire::create_run(&mut contender.client(), &series, "long", 1)?;
        let next_batch = AtomicU32::new(0);
        in_parallel(contender, |client| {
            loop {
                let first = next_batch.fetch_add(1, Ordering::Relaxed) * POINTS_PER_BATCH;
                if first >= points {
                    return Ok(());
                }
                let count = POINTS_PER_BATCH.min(points - first);
                let metrics = points_of_one_key(&mut Random::new(u64::from(first)), first, count);
                expect_ok(
                    client.post(
                        &format!("{API}/runs/log-batch"),
                        &json!({"run_id": run, "metrics": metrics}),
                    )?,
                )?;
            }
        })?;
        contender.history_run = Some(run);
    }
    contender.preload_experiment = Some(experiment);
    Ok(())
}

fn in_parallel(contender: &Contender, work: impl Fn(&mut Client) -> Result<()> + Sync) -> Result<()> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(move || work(&mut contender.client()))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a client thread panicked")))
    })
}

fn into_its_schema(contender: &mut Contender, runs: u32, points: u32) -> Result<()> {
    contender.stop()?;
    let python = contender.python().context("the peer has a Python environment")?;
    let mut child = Command::new(python)
        .args(["-c", SEEDER])
        .arg(contender.data_dir().join("mlflow.db"))
        .arg(EXPERIMENT)
        .env("MLFLOW_LOGGING_LEVEL", "WARNING")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdin = child.stdin.take().context("the seeder reads its input")?;
    let mut out = BufWriter::new(stdin);
    for number in contender.preloaded_runs..runs.max(contender.preloaded_runs) {
        let run = Run::new(u64::from(number));
        let mut line = run.batch(&format!("{number:032x}"));
        line["name"] = json!(run.name());
        line["start_time"] = json!(run.start_time());
        writeln!(out, "{line}")?;
    }
    if points > 0 && contender.history_run.is_none() {
        writeln!(out, "{}", json!({"run_id": PEER_HISTORY_RUN, "name": "long", "start_time": 1}))?;
        for first in (0..points).step_by(POINTS_PER_BATCH as usize) {
            let count = POINTS_PER_BATCH.min(points - first);
            let metrics = points_of_one_key(&mut Random::new(u64::from(first)), first, count);
            writeln!(out, "{}", json!({"run_id": PEER_HISTORY_RUN, "metrics": metrics}))?;
        }
        contender.history_run = Some(PEER_HISTORY_RUN.to_string());
    }
    out.flush()?;
    drop(out);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("the peer's store could not be filled: {}", output.status);
    }
    contender.preload_experiment = Some(String::from_utf8(output.stdout)?.trim().to_string());
    contender.start()?;
    Ok(())
}
