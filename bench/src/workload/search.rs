//! Search over the preloaded runs: one metric filter, one param filter, one metric order; the median a query.
//!
//! The threshold differs from query to query, so that no answer can be kept from the last time. Each side's first
//! answer to a form of the query is compared with the one that the data's definition implies.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::http::Client;
use testkit::random::Random;

use super::{Definition, Sample, interleave};
use crate::contender::Contender;
use crate::data::{API, Run};
use crate::options::Options;
use crate::results::{Figure, Unit};
use bench::load::{closed_loop, expect_ok};

const MODEL: &str = "xgboost";

/// One form of the query.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    name: &'static str,
    page: usize,
    /// The metric that is filtered from below; the order is by `val_auc`, descending.
    filtered: &'static str,
    /// The threshold is drawn from here up to 0.02 more.
    threshold: f64,
    text: &'static str,
}

pub const PAGE_OF_100: Query = Query {
    name: "search-100",
    page: 100,
    filtered: "val_auc",
    threshold: 0.80,
    text: "4 % of the runs match, filter and order agree",
};

const QUERIES: [Query; 3] = [
    PAGE_OF_100,
    Query {
        name: "search-1000",
        page: 1_000,
        filtered: "val_auc",
        threshold: 0.80,
        text: "4 % of the runs match, filter and order agree",
    },
    Query {
        name: "search-disagree",
        page: 100,
        filtered: "val_loss",
        threshold: 0.50,
        text: "10 % of the runs match, and they are the last in the order: either index alone reads half \
               of the runs; bound: three values of every run are read once",
    },
];

pub fn measure(options: &Options, contenders: &mut [Contender]) -> Result<Vec<Figure>> {
    QUERIES.iter().map(|query| query.measure(options, contenders)).collect()
}

impl Query {
    fn measure(&self, options: &Options, contenders: &mut [Contender]) -> Result<Figure> {
        let definition = Definition {
            name: self.name.into(),
            unit: Unit::Milliseconds,
            text: format!(
                "metric and param filter, metric order, page of {}, one client; {}",
                self.page, self.text
            ),
            warm_up: true,
        };
        let mut checked = Vec::new();
        // One count a side, so that both get the same thresholds.
        let mut rounds = [0_u64; 2];
        interleave(options, contenders, &definition, |contender, duration| {
            let experiment = contender.preload_experiment.clone().context("runs were preloaded")?;
            let runs = contender.preloaded_runs;
            if !checked.contains(&contender.side) {
                self.check(&mut contender.client(), &experiment, runs)?;
                checked.push(contender.side);
            }
            let round = &mut rounds[contender.side as usize];
            *round += 1;
            let prepare = |_| Ok((contender.client(), Random::new(*round)));
            let (tally, _) = closed_loop(1, duration, prepare, |(client, random)| {
                self.ask_anything(client, &experiment, random)
            })?;
            Sample::median_ms(&tally)
        })
    }

    /// Asks with a threshold that was not asked for before.
    pub fn ask_anything(&self, client: &mut Client, experiment: &str, random: &mut Random) -> Result<()> {
        let body = self.ask(client, experiment, self.threshold + random.unit() * 0.02)?;
        ensure!(body.len() > 2, "an empty page");
        Ok(())
    }

    fn ask(&self, client: &mut Client, experiment: &str, threshold: f64) -> Result<Vec<u8>> {
        let filter = format!("metrics.{} > {threshold} AND params.model = '{MODEL}'", self.filtered);
        let body = json!({"experiment_ids": [experiment], "filter": filter, "max_results": self.page,
                          "order_by": ["metrics.val_auc DESC"]});
        Ok(expect_ok(client.post(&format!("{API}/runs/search"), &body)?)?.body)
    }

    /// The page is exactly the one that the data implies.
    fn check(&self, client: &mut Client, experiment: &str, runs: u32) -> Result<()> {
        let chosen = |run: &Run| {
            let value = if self.filtered == "val_auc" { run.val_auc } else { run.val_loss };
            value > self.threshold && run.model == MODEL
        };
        let mut expected: Vec<f64> = (0..runs)
            .map(|number| Run::new(u64::from(number)))
            .filter(chosen)
            .map(|run| run.val_auc)
            .collect();
        expected.sort_by(|left, right| right.total_cmp(left));
        expected.truncate(self.page);
        let answer: Value = serde_json::from_slice(&self.ask(client, experiment, self.threshold)?)?;
        let found: Vec<f64> =
            answer["runs"].as_array().map_or(&[][..], Vec::as_slice).iter().map(val_auc).collect();
        // A value may differ by the last bit of its decimal form, which the parser here does not promise.
        let same = found.len() == expected.len()
            && found.iter().zip(&expected).all(|(left, right)| (left - right).abs() < 1e-12);
        ensure!(
            same,
            "{}: {} runs found, {} expected, or not in that order",
            self.name,
            found.len(),
            expected.len()
        );
        Ok(())
    }
}

fn val_auc(run: &Value) -> f64 {
    let metrics = run["data"]["metrics"].as_array().map_or(&[][..], Vec::as_slice);
    metrics
        .iter()
        .find(|each| each["key"] == "val_auc")
        .and_then(|each| each["value"].as_f64())
        .unwrap_or(f64::NAN)
}
