//! What clients and pages ask all the time: one experiment, by eight clients at once, and a search among registered models.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::http::{Client, with_query};

use super::{Definition, Sample, interleave};
use crate::contender::Contender;
use crate::data::API;
use crate::options::Options;
use crate::results::{Figure, Unit};
use crate::wire;
use bench::load::{closed_loop, expect_ok};

/// Registered models, each with one version.
const MODELS: usize = 1_000;
const TEAMS: [&str; 4] = ["risk", "growth", "credit", "search"];
const PAGE: usize = 100;

pub fn measure(options: &Options, contenders: &mut [Contender]) -> Result<Vec<Figure>> {
    Ok(vec![experiment_get(options, contenders)?, model_search(options, contenders)?])
}

fn experiment_get(options: &Options, contenders: &mut [Contender]) -> Result<Figure> {
    let definition = Definition {
        name: "experiment-get".into(),
        unit: Unit::RequestsPerSecond,
        text: format!("experiments/get of one experiment, {} clients", options.clients),
        warm_up: true,
    };
    interleave(options, contenders, &definition, |contender, duration| {
        let experiment = wire::experiment(&mut contender.client(), "bench-requests")?;
        let path = with_query(&format!("{API}/experiments/get"), &[("experiment_id", &experiment)]);
        let answer = expect_ok(contender.client().get(&path)?)?.json();
        ensure!(answer["experiment"]["name"] == "bench-requests", "another experiment came back: {answer}");
        let prepare = |_| Ok(contender.client());
        let (tally, _) = closed_loop(options.clients, duration, prepare, |client| {
            expect_ok(client.get(&path)?).map(drop)
        })?;
        Sample::rate(&tally, 1.0)
    })
}

fn model_search(options: &Options, contenders: &mut [Contender]) -> Result<Figure> {
    let definition = Definition {
        name: "model-search".into(),
        unit: Unit::Milliseconds,
        text: format!(
            "registered-models/search among {MODELS} models by part of a name and a tag, page of {PAGE}, one client"
        ),
        warm_up: true,
    };
    for contender in contenders.iter_mut() {
        register(&mut contender.client())?;
    }
    // Half of the names have it, and a quarter of the tags.
    let filter = format!("name LIKE '%-even-%' AND tags.team = '{}'", TEAMS[0]);
    let max_results = PAGE.to_string();
    let query =
        [("filter", filter.as_str()), ("max_results", max_results.as_str()), ("order_by", "name ASC")];
    let path = with_query(&format!("{API}/registered-models/search"), &query);
    interleave(options, contenders, &definition, |contender, duration| {
        let answer = expect_ok(contender.client().get(&path)?)?.json();
        let found: Vec<&str> = answer["registered_models"]
            .as_array()
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .filter_map(|model| model["name"].as_str())
            .collect();
        let expected: Vec<String> = (0..MODELS).filter(|at| at % 4 == 0).map(model_name).take(PAGE).collect();
        ensure!(found == expected, "{} models came back, or not in that order", found.len());
        let (tally, _) = closed_loop(
            1,
            duration,
            |_| Ok(contender.client()),
            |client| expect_ok(client.get(&path)?).map(drop),
        )?;
        Sample::median_ms(&tally)
    })
}

fn model_name(number: usize) -> String {
    let kind = if number.is_multiple_of(2) { "even" } else { "odd" };
    format!("bench-{kind}-{number:04}")
}

/// Registers the models, of which a version each points at a bucket that nobody asks.
fn register(client: &mut Client) -> Result<()> {
    for number in 0..MODELS {
        let (name, team) = (model_name(number), TEAMS[number % TEAMS.len()]);
        let model = json!({"name": name, "tags": [{"key": "team", "value": team}]});
        let made: Value = expect_ok(client.post(&format!("{API}/registered-models/create"), &model)?)?.json();
        let named = made["registered_model"]["name"].as_str().context("a model has a name")?;
        let version = json!({"name": named, "source": format!("s3://bench/{name}")});
        expect_ok(client.post(&format!("{API}/model-versions/create"), &version)?)?;
    }
    Ok(())
}
