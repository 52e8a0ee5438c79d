//! Runs: points, batches, files, and everything else a client leaves in them.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::reconcile::difference;
use super::{ask, list, outcomes, pairs, token_of};
use crate::http::{Client, with_query};
use crate::torture::content::{
    API, Batch, Point, artifact_path, dataset_prefix, file_content, file_name, loss_key, param_prefix,
    progress_tag, sorted,
};
use crate::torture::ledger::Ledger;
use crate::torture::operation::Operation;
use crate::torture::run::{RunLedger, RunWrite};

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
pub(super) struct RunCheck<'a> {
    ledger: &'a Ledger,
    index: usize,
    run: &'a RunLedger,
    stored: Value,
    name: String,
}

impl<'a> RunCheck<'a> {
    pub(super) fn new(
        http: &mut Client,
        ledger: &'a Ledger,
        index: usize,
        run: &'a RunLedger,
    ) -> Result<Self> {
        let answer = ask(http, &with_query(&format!("{API}/runs/get"), &[("run_id", &run.id)]))?;
        let name = format!("client {} run {}", ledger.client, run.id);
        Ok(Self { ledger, index, run, stored: answer["run"].clone(), name })
    }

    /// `listed` is all runs as a search shows them, by id.
    pub(super) fn check(
        &self,
        http: &mut Client,
        listed: &BTreeMap<String, Value>,
        problems: &mut Vec<String>,
    ) -> Result<()> {
        if listed.get(&self.run.id).is_some_and(|listed| *listed != self.stored) {
            problems.push(format!("{}: a search shows it otherwise than it is", self.name));
        }
        self.batches(&history(http, &self.run.id, &loss_key(self.ledger.client))?, problems);
        self.singles(http, problems)?;
        self.look(problems);
        self.files(http, problems)
    }

    /// The write to this run of which nobody knows if it was applied.
    fn in_flight(&self) -> Option<&RunWrite> {
        match &self.ledger.in_flight {
            Some(Operation::Run { run, write }) if *run == self.index => Some(write),
            _ => None,
        }
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
            let flying = self.in_flight() == Some(&RunWrite::Batch(number));
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
        let stored = history(http, &self.run.id, &Point::single(client, 0).key)?;
        let flying = self.in_flight() == Some(&RunWrite::Metric(self.run.steps));
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

    fn look(&self, problems: &mut Vec<String>) {
        let looks: Vec<Value> = outcomes(self.run, self.in_flight(), RunLedger::take)
            .iter()
            .map(|run| run.look(self.ledger))
            .collect();
        let text = difference(&self.stored_look(), &looks);
        problems.extend(text.map(|text| format!("{}: {text}", self.name)));
    }

    /// What [`RunLedger::look`] has of it. Of the shared run what is another client's is left out.
    fn stored_look(&self) -> Value {
        let client = self.ledger.client;
        let (info, data) = (&self.stored["info"], &self.stored["data"]);
        let starts_with =
            |value: &Value, prefix: &str| value.as_str().is_some_and(|text| text.starts_with(prefix));
        let params =
            list(&data["params"]).iter().filter(|each| starts_with(&each["key"], &param_prefix(client)));
        let is_shared = self.run.token.is_none();
        let is_own = |id: &Value| !is_shared || self.ledger.logged.iter().any(|model| *id == model.id);
        let datasets = list(&self.stored["inputs"]["dataset_inputs"]).iter();
        let datasets = datasets
            .filter(|each| !is_shared || starts_with(&each["dataset"]["name"], &dataset_prefix(client)));
        let read = list(&self.stored["inputs"]["model_inputs"]).iter().map(|each| &each["model_id"]);
        let written = list(&self.stored["outputs"]["model_outputs"]).iter();
        json!({
            "token": if is_shared { Value::Null } else { json!(token_of(&data["tags"])) },
            "progress": count_in(&data["tags"], &progress_tag(client)),
            "params": sorted(params.cloned()),
            "finished": info["status"] == "FINISHED", "deleted": info["lifecycle_stage"] == "deleted",
            "inputs": {"datasets": sorted(datasets.cloned()),
                       "models": sorted(read.filter(|id| is_own(id)).cloned())},
            "outputs": sorted(written.filter(|each| is_own(&each["model_id"])).cloned()),
        })
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
            let flying = matches!(self.in_flight(), Some(RunWrite::File { number, .. }) if *number == file);
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

/// All points of one metric of a run.
pub(super) fn history(http: &mut Client, run: &str, key: &str) -> Result<Vec<Point>> {
    let path = format!("{API}/metrics/get-history");
    let query = [("run_id", run), ("metric_key", key), ("max_results", "25000")];
    let response = http.get(&with_query(&path, &query))?;
    if response.status != 200 {
        bail!("history of {key} of run {run}: {} {}", response.status, response.text());
    }
    let history: History<'_> = serde_json::from_slice(&response.body)?;
    Ok(history.metrics.iter().map(|each| each.to_point(key)).collect())
}

/// The number in a tag that counts: 0 where there is no such tag, null where its value is no number or it is there twice.
fn count_in(tags: &Value, key: &str) -> Value {
    let values: Vec<String> =
        pairs(tags).into_iter().filter(|(each, _)| each == key).map(|(_, value)| value).collect();
    match values.as_slice() {
        [] => json!(0),
        [value] => json!(value.parse::<u32>().ok()),
        _ => Value::Null,
    }
}
