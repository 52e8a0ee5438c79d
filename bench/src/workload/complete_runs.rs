//! Complete runs a second: create, one log-batch of 10 metrics, 10 params and 4 tags, finish.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};

use super::{Definition, Sample, interleave};
use crate::contender::Contender;
use crate::data::Run;
use crate::options::Options;
use crate::results::{Figure, Unit};
use crate::wire;
use bench::load::closed_loop;

pub fn measure(options: &Options, contenders: &mut [Contender]) -> Result<Vec<Figure>> {
    let definition = Definition {
        name: "complete-runs".into(),
        unit: Unit::RunsPerSecond,
        text: format!(
            "create + log-batch (10 metrics, 10 params, 4 tags) + finish, {} clients, each request acknowledged",
            options.clients
        ),
        warm_up: true,
    };
    let next = AtomicU64::new(u64::from(u32::MAX));
    let figure = interleave(options, contenders, &definition, |contender, duration| {
        let experiment = wire::experiment(&mut contender.client(), "bench-complete-runs")?;
        let prepare = |_| Ok((contender.client(), String::new()));
        let (tally, states) = closed_loop(options.clients, duration, prepare, |(client, last)| {
            let run = Run::new(next.fetch_add(1, Ordering::Relaxed));
            *last = wire::complete_run(client, &experiment, &run)?;
            Ok(())
        })?;
        let sample = Sample::rate(&tally, 1.0)?;
        for (mut client, last) in states {
            check(&wire::get_run(&mut client, &last)?)?;
        }
        Ok(sample)
    })?;
    Ok(vec![figure])
}

/// The stored run is complete.
fn check(run: &serde_json::Value) -> Result<()> {
    let count = |part: &str| run["data"][part].as_array().map_or(0, Vec::len);
    let complete = count("metrics") == 10 && count("params") == 10 && count("tags") >= 4;
    ensure!(complete && run["info"]["status"] == "FINISHED", "a run came back incomplete: {run}");
    Ok(())
}
