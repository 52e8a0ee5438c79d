//! Metric points a second: batches of 1,000 points of 10 keys, values as a 32-bit training loop gives them.
//!
//! The bodies are built before the clock starts; only the run's id is put in between, because the generator shares its
//! processors with the server.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testkit::http::{Client, with_query};
use testkit::random::Random;

use super::{Definition, Sample, interleave};
use crate::contender::{Contender, Side};
use crate::data::{API, POINTS_PER_BATCH, points_of_ten_keys};
use crate::options::Options;
use crate::results::{Figure, Unit};
use crate::wire;
use bench::load::{closed_loop, expect_ok};

/// A run gets so many batches, 10 keys of 5,000 points each, then the next run begins.
const BATCHES_PER_RUN: usize = 50;
const STEPS_PER_BATCH: u32 = 100;
const NO_RUN: &str = "00000000000000000000000000000000";

struct Writer {
    http: Client,
    experiment: String,
    bodies: Vec<Vec<u8>>,
    run: String,
    batches: usize,
}

pub fn measure(options: &Options, contenders: &mut [Contender]) -> Result<Vec<Figure>> {
    let definition = Definition {
        name: "log-batch".into(),
        unit: Unit::PointsPerSecond,
        text: format!("log-batch of {POINTS_PER_BATCH} points of 10 keys, {} clients", options.clients),
        warm_up: true,
    };
    let mut growth: Vec<(Side, f64)> = Vec::new();
    let mut figure = interleave(options, contenders, &definition, |contender, duration| {
        let experiment = wire::experiment(&mut contender.client(), "bench-log-batch")?;
        let before = contender.stored_bytes()?;
        let prepare = |client| Writer::new(contender.client(), &experiment, client);
        let (tally, writers) = closed_loop(options.clients, duration, prepare, Writer::send)?;
        let sample = Sample::rate(&tally, f64::from(POINTS_PER_BATCH))?;
        let points = (tally.done * u64::from(POINTS_PER_BATCH)) as f64;
        if let (Some(before), Some(after)) = (before, contender.stored_bytes()?) {
            growth.push((contender.side, after.saturating_sub(before) as f64 / points));
        }
        writers.into_iter().try_for_each(Writer::check)?;
        Ok(sample)
    })?;
    for measured in std::iter::once(&mut figure.ours).chain(figure.peer.as_mut()) {
        let last = growth.iter().rev().find(|(side, _)| *side == measured.side);
        measured.notes.extend(last.map(|(_, bytes)| {
            format!("{bytes:.1} bytes a point on disk right after the last round, before any compaction")
        }));
    }
    Ok(vec![figure])
}

impl Writer {
    fn new(mut http: Client, experiment: &str, client: usize) -> Result<Self> {
        let mut random = Random::new(client as u64);
        let body = |batch: usize| {
            let points = points_of_ten_keys(&mut random, batch as u32 * STEPS_PER_BATCH);
            json!({"metrics": points, "run_id": NO_RUN}).to_string().into_bytes()
        };
        let bodies = (0..BATCHES_PER_RUN).map(body).collect();
        let run = wire::create_run(&mut http, experiment, "points", 1)?;
        Ok(Self { http, experiment: experiment.to_string(), bodies, run, batches: 0 })
    }

    fn send(&mut self) -> Result<()> {
        if self.batches == BATCHES_PER_RUN {
            self.run = wire::create_run(&mut self.http, &self.experiment, "points", 1)?;
            self.batches = 0;
        }
        let body = &mut self.bodies[self.batches];
        // `metrics` sorts before `run_id`: the id is what the body ends with.
        let end = body.len() - r#""}"#.len();
        let place = body.get_mut(end - NO_RUN.len()..end).context("a body ends with the run's id")?;
        place.copy_from_slice(self.run.as_bytes());
        let path = format!("{API}/runs/log-batch");
        expect_ok(self.http.request("POST", &path, Some("application/json"), body)?)?;
        self.batches += 1;
        Ok(())
    }

    /// Every acknowledged point of one key is there.
    fn check(mut self) -> Result<()> {
        let query = [("run_id", self.run.as_str()), ("metric_key", "loss_3"), ("max_results", "25000")];
        let path = with_query(&format!("{API}/metrics/get-history"), &query);
        let answer = expect_ok(self.http.get(&path)?)?.json();
        let (stored, sent) =
            (answer["metrics"].as_array().map_or(0, Vec::len), self.batches * STEPS_PER_BATCH as usize);
        ensure!(stored == sent, "{stored} points of a key are stored, {sent} were acknowledged");
        Ok(())
    }
}
