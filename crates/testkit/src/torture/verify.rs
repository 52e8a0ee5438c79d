//! Looks at a server and says what is lost, halved or doubled of what ledgers say.
//!
//! Invariant: a write that was acknowledged must be there, whole and once; the one write in flight at the kill may be
//! there, whole and once; nothing else may be there at all.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::ledger::{Ledger, RunLedger, version_number};
use super::operation::{
    API, Batch, Operation, Point, TOKEN_TAG, World, alias, artifact_path, file_content, file_name, loss_key,
    progress_tag, version_source,
};
use crate::http::{Client, with_query};

const PAGE: usize = 1_000;
/// Runs a client that are looked up by their token through search, which goes through the index.
const SEARCHED_RUNS_MAX: usize = 5;

/// Checks everything the clients of one round wrote; the answer lists what is wrong.
pub(super) fn round(http: &mut Client, ledgers: &[Ledger]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let Some(first) = ledgers.first() else { return Ok(problems) };
    listed_runs(http, &first.world, ledgers, &mut problems)?;
    for ledger in ledgers {
        for (index, run) in ledger.runs.iter().enumerate() {
            RunCheck::new(http, ledger, index, run)?.check(http, &mut problems)?;
        }
        for run in ledger.runs.iter().rev().take(SEARCHED_RUNS_MAX) {
            searched_run(http, ledger, run, &mut problems)?;
        }
    }
    versions(http, &first.world, ledgers, &mut problems)?;
    Ok(problems)
}

/// Every acknowledged run is listed once, and no run that nobody asked for.
fn listed_runs(
    http: &mut Client,
    world: &World,
    ledgers: &[Ledger],
    problems: &mut Vec<String>,
) -> Result<()> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for run in search(http, &world.experiment, "")? {
        *seen.entry(token_of(&run)).or_default() += 1;
    }
    for ledger in ledgers {
        for token in ledger.runs.iter().filter_map(|run| run.token.as_ref()) {
            match seen.remove(token) {
                None => problems.push(format!("run {token} was acknowledged and is not listed")),
                Some(1) => {}
                Some(count) => problems.push(format!("run {token} is listed {count} times")),
            }
        }
        if let Some(Operation::CreateRun { token }) = &ledger.in_flight
            && seen.remove(token).is_some_and(|count| count > 1)
        {
            problems.push(format!("run {token} was asked for once and exists twice"));
        }
    }
    seen.remove("shared");
    problems.extend(seen.keys().map(|token| format!("run {token:?} exists and nobody asked for it")));
    Ok(())
}

fn searched_run(
    http: &mut Client,
    ledger: &Ledger,
    run: &RunLedger,
    problems: &mut Vec<String>,
) -> Result<()> {
    let Some(token) = &run.token else { return Ok(()) };
    let found = search(http, &ledger.world.experiment, &format!("tags.`{TOKEN_TAG}` = '{token}'"))?;
    let ids: Vec<&str> = found.iter().map(run_id).collect();
    if ids != [run.id.as_str()] {
        problems.push(format!("searching run {} by its token finds {ids:?}", run.id));
    }
    if run.batches > 0 {
        let (key, value) = &Batch::new(ledger.client, run.batches - 1).params[0];
        let found = search(http, &ledger.world.experiment, &format!("params.`{key}` = '{value}'"))?;
        let count = found.iter().filter(|each| run_id(each) == run.id).count();
        if count != 1 {
            problems.push(format!("searching run {} by its newest param finds it {count} times", run.id));
        }
    }
    Ok(())
}

/// The answer of metrics/get-history. A value is read by Rust's own parser, which is exact: that a float comes back
/// with its last bit is part of what is checked.
#[derive(Deserialize)]
struct History<'a> {
    #[serde(default, borrow)]
    metrics: Vec<StoredPoint<'a>>,
}

#[derive(Deserialize)]
struct StoredPoint<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
    timestamp: u64,
    #[serde(default)]
    step: u64,
}

impl StoredPoint<'_> {
    fn to_point(&self, key: &str) -> Point {
        let value = self.value.get().parse().unwrap_or(f64::NAN);
        Point { key: key.to_string(), value, timestamp: self.timestamp, step: self.step }
    }
}

/// One client's share of one run, beside what the server has of it.
struct RunCheck<'a> {
    ledger: &'a Ledger,
    index: usize,
    run: &'a RunLedger,
    stored: Value,
    name: String,
}

impl<'a> RunCheck<'a> {
    fn new(http: &mut Client, ledger: &'a Ledger, index: usize, run: &'a RunLedger) -> Result<Self> {
        let answer = ask(http, &with_query(&format!("{API}/runs/get"), &[("run_id", &run.id)]))?;
        let name = format!("client {} run {}", ledger.client, run.id);
        Ok(Self { ledger, index, run, stored: answer["run"].clone(), name })
    }

    fn check(&self, http: &mut Client, problems: &mut Vec<String>) -> Result<()> {
        let losses = self.history(http, &loss_key(self.ledger.client))?;
        self.batches(&losses, problems);
        self.singles(http, problems)?;
        self.progress_and_status(problems);
        self.files(http, problems)
    }

    /// Whether `operation` is the one of which nobody knows if it was applied.
    fn in_flight(&self, operation: &Operation) -> bool {
        self.ledger.in_flight.as_ref() == Some(operation)
    }

    fn history(&self, http: &mut Client, key: &str) -> Result<Vec<Point>> {
        let path = format!("{API}/metrics/get-history");
        let query = [("run_id", self.run.id.as_str()), ("metric_key", key), ("max_results", "25000")];
        let response = http.get(&with_query(&path, &query))?;
        if response.status != 200 {
            bail!("history of {key} of run {}: {} {}", self.run.id, response.status, response.text());
        }
        let history: History<'_> = serde_json::from_slice(&response.body)?;
        Ok(history.metrics.iter().map(|each| each.to_point(key)).collect())
    }

    fn batches(&self, losses: &[Point], problems: &mut Vec<String>) {
        let (params, tags) = (pairs(&self.stored["data"]["params"]), pairs(&self.stored["data"]["tags"]));
        let prefix = format!("c{}.b", self.ledger.client);
        let own =
            |pairs: &[(String, String)]| pairs.iter().filter(|(key, _)| key.starts_with(&prefix)).count();
        let mut explained = 0;
        for number in 0..=self.run.batches {
            let batch = Batch::new(self.ledger.client, number);
            let present = batch.points.iter().filter(|each| losses.contains(each)).count()
                + batch.params.iter().filter(|each| params.contains(each)).count()
                + batch.tags.iter().filter(|each| tags.contains(each)).count();
            let parts = batch.parts();
            let flying = self.in_flight(&Operation::LogBatch { run: self.index, batch: number });
            if flying || number < self.run.batches {
                explained += present;
            }
            if number < self.run.batches && present < parts {
                problems.push(format!(
                    "{}: acknowledged batch {number} has {present} of {parts} parts",
                    self.name
                ));
            } else if flying && present > 0 && present < parts {
                problems
                    .push(format!("{}: batch {number} in flight has {present} of {parts} parts", self.name));
            }
        }
        let stored = losses.len() + own(&params) + own(&tags);
        if stored > explained {
            problems.push(format!("{}: {stored} parts are stored, batches explain {explained}", self.name));
        }
    }

    fn singles(&self, http: &mut Client, problems: &mut Vec<String>) -> Result<()> {
        let client = self.ledger.client;
        let stored = self.history(http, &Point::single(client, 0).key)?;
        let flying = self.in_flight(&Operation::LogMetric { run: self.index, step: self.run.steps });
        let mut expected: Vec<Point> = (0..self.run.steps).map(|step| Point::single(client, step)).collect();
        let applied = flying && stored.len() == expected.len() + 1;
        expected.extend(applied.then(|| Point::single(client, self.run.steps)));
        if stored != expected {
            let (have, want) = (stored.len(), self.run.steps);
            problems.push(format!(
                "{}: {have} single points, {want} acknowledged, in flight: {flying}",
                self.name
            ));
        }
        Ok(())
    }

    fn progress_and_status(&self, problems: &mut Vec<String>) {
        let key = progress_tag(self.ledger.client);
        let values: Vec<u32> = pairs(&self.stored["data"]["tags"])
            .iter()
            .filter(|(each, _)| *each == key)
            .filter_map(|(_, value)| value.parse().ok())
            .collect();
        let value = values.first().copied().unwrap_or(0);
        let flying = self.in_flight(&Operation::SetTag { run: self.index, value });
        if values.len() > 1 || (value != self.run.progress && !flying) {
            problems
                .push(format!("{}: progress is {values:?}, acknowledged {}", self.name, self.run.progress));
        }
        let finished = self.stored["info"]["status"] == "FINISHED";
        if finished != self.run.finished && !self.in_flight(&Operation::Finish { run: self.index }) {
            problems
                .push(format!("{}: finished is {finished}, acknowledged {}", self.name, self.run.finished));
        }
        if let Some(token) = &self.run.token
            && token_of(&self.stored) != *token
        {
            problems.push(format!("{}: the token it was created with is gone", self.name));
        }
    }

    fn files(&self, http: &mut Client, problems: &mut Vec<String>) -> Result<()> {
        let client = self.ledger.client;
        let answer = ask(http, &with_query(&format!("{API}/artifacts/list"), &[("run_id", &self.run.id)]))?;
        let mut listed: BTreeMap<&str, u64> = list(&answer["files"])
            .iter()
            .map(|file| (file["path"].as_str().unwrap_or_default(), file["file_size"].as_u64().unwrap_or(0)))
            .filter(|(path, _)| path.starts_with(&format!("c{client}-")) || self.run.token.is_some())
            .collect();
        for file in 0..=self.run.files {
            let flying = self.in_flight(&Operation::Upload { run: self.index, file });
            if file == self.run.files && !flying {
                continue;
            }
            let (name, expected) = (file_name(client, file), file_content(client, file));
            let response = http.get(&artifact_path(self.run, client, file))?;
            let size = listed.remove(name.as_str());
            let whole =
                response.status == 200 && response.body == expected && size == Some(expected.len() as u64);
            let absent = response.status == 404 && size.is_none();
            if !(whole || (absent && flying)) {
                let (status, length) = (response.status, response.body.len());
                problems.push(format!(
                    "{}: {name} of {} bytes, in flight: {flying}: GET {status} with {length} bytes, listed {size:?}",
                    self.name,
                    expected.len(),
                ));
            }
        }
        problems.extend(
            listed.keys().map(|path| format!("{}: file {path} is listed, nobody sent it", self.name)),
        );
        Ok(())
    }
}

/// Version numbers are dense, each belongs to who was told so, and every alias stands where it was last put.
fn versions(http: &mut Client, world: &World, ledgers: &[Ledger], problems: &mut Vec<String>) -> Result<()> {
    let filter = format!("name = '{}'", world.model);
    let query = [("filter", filter.as_str()), ("max_results", "10000")];
    let answer = ask(http, &with_query(&format!("{API}/model-versions/search"), &query))?;
    let mut stored: Vec<(u64, String)> = list(&answer["model_versions"])
        .iter()
        .map(|each| {
            (version_number(&each["version"]), each["source"].as_str().unwrap_or_default().to_string())
        })
        .collect();
    stored.sort_unstable();
    let numbers: Vec<u64> = stored.iter().map(|(number, _)| *number).collect();
    if numbers != (1..=numbers.len() as u64).collect::<Vec<_>>() {
        problems.push(format!("model {}: version numbers are not dense: {numbers:?}", world.model));
    }
    for ledger in ledgers {
        for version in &ledger.versions {
            let before = stored.len();
            stored.retain(|(number, source)| {
                (*number, source) != (version.number, &version_source(&version.token))
            });
            if before - stored.len() != 1 {
                problems.push(format!(
                    "model {}: {version:?} is stored {} times",
                    world.model,
                    before - stored.len()
                ));
            }
        }
        if let Some(Operation::CreateVersion { token }) = &ledger.in_flight
            && let Some(at) = stored.iter().position(|(_, source)| *source == version_source(token))
        {
            stored.remove(at);
        }
    }
    for (number, source) in stored {
        problems.push(format!("model {}: version {number} of {source} exists and nobody asked", world.model));
    }
    aliases(http, world, ledgers, problems)
}

fn aliases(http: &mut Client, world: &World, ledgers: &[Ledger], problems: &mut Vec<String>) -> Result<()> {
    let model = ask(http, &with_query(&format!("{API}/registered-models/get"), &[("name", &world.model)]))?;
    for ledger in ledgers {
        let name = alias(ledger.client);
        let stored: Vec<u64> = list(&model["registered_model"]["aliases"])
            .iter()
            .filter(|each| each["alias"] == name.as_str())
            .map(|each| version_number(&each["version"]))
            .collect();
        let flying =
            stored.first().is_some_and(|&version| ledger.in_flight == Some(Operation::MoveAlias { version }));
        let settled = stored.first().copied() == ledger.alias;
        if stored.len() > 1 || !(settled || flying) {
            problems.push(format!("alias {name} stands at {stored:?}, acknowledged {:?}", ledger.alias));
        }
    }
    Ok(())
}

/// All runs of an experiment that a filter finds, page by page.
fn search(http: &mut Client, experiment: &str, filter: &str) -> Result<Vec<Value>> {
    let mut runs = Vec::new();
    let mut token = String::new();
    loop {
        let mut body = json!({"experiment_ids": [experiment], "filter": filter, "max_results": PAGE});
        if !token.is_empty() {
            body["page_token"] = json!(token);
        }
        let response = http.post(&format!("{API}/runs/search"), &body)?;
        if response.status != 200 {
            bail!("runs/search for {filter:?}: {} {}", response.status, response.text());
        }
        let answer = response.json();
        runs.extend_from_slice(list(&answer["runs"]));
        token = answer["next_page_token"].as_str().unwrap_or_default().to_string();
        if token.is_empty() {
            return Ok(runs);
        }
    }
}

fn ask(http: &mut Client, path: &str) -> Result<Value> {
    let response = http.get(path).with_context(|| path.to_string())?;
    if response.status != 200 {
        bail!("GET {path}: {} {}", response.status, response.text());
    }
    Ok(response.json())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    list(value).iter().map(|each| (text(&each["key"]), text(&each["value"]))).collect()
}

fn run_id(run: &Value) -> &str {
    run["info"]["run_id"].as_str().unwrap_or_default()
}

fn token_of(run: &Value) -> String {
    let tags = pairs(&run["data"]["tags"]);
    tags.into_iter().find(|(key, _)| key == TOKEN_TAG).map(|(_, value)| value).unwrap_or_default()
}
