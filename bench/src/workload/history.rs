//! One long series reduced to 2,000 points by the bulk-interval call; the median a request.

use anyhow::{Context as _, Result, ensure};
use testkit::http::with_query;

use super::{Definition, Sample, interleave};
use crate::contender::Contender;
use crate::data::API;
use crate::options::Options;
use crate::results::{Figure, Unit};
use bench::load::{closed_loop, expect_ok};

const POINTS_WANTED: usize = 2_000;

pub fn measure(options: &Options, contenders: &mut [Contender]) -> Result<Vec<Figure>> {
    let points = options.history_points;
    let definition = Definition {
        name: "history".into(),
        unit: Unit::Milliseconds,
        text: format!(
            "{points} points of one key reduced to {POINTS_WANTED} by get-history-bulk-interval, one client"
        ),
        warm_up: true,
    };
    let figure = interleave(options, contenders, &definition, |contender, duration| {
        let run = contender.history_run.as_deref().context("a series was preloaded")?;
        let path = with_query(
            &format!("{API}/metrics/get-history-bulk-interval"),
            &[("run_ids", run), ("metric_key", "loss"), ("max_results", &POINTS_WANTED.to_string())],
        );
        let answer = expect_ok(contender.client().get(&path)?)?.json();
        let steps: Vec<u64> = answer["metrics"]
            .as_array()
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .filter_map(|point| point["step"].as_u64())
            .collect();
        let expected = POINTS_WANTED.min(points as usize);
        let ends = (steps.first().copied(), steps.last().copied());
        ensure!(
            steps.len().abs_diff(expected) <= 1 && ends == (Some(0), Some(u64::from(points) - 1)),
            "{} points came back, from step {ends:?}; {expected} were asked for",
            steps.len()
        );
        let (tally, _) = closed_loop(
            1,
            duration,
            |_| Ok(contender.client()),
            |client| {
                let body = expect_ok(client.get(&path)?)?.body;
                ensure!(body.len() > 2, "an empty history");
                Ok(())
            },
        )?;
        Sample::median_ms(&tally)
    })?;
    Ok(vec![figure])
}
