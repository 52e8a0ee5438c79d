//! Looks at a server and says what is lost, halved or doubled of what ledgers say.
//!
//! Invariant: a write that was acknowledged must be there, whole and once; the one write in flight at the kill may be
//! there, whole and once; nothing else may be there at all.

mod experiments;
mod logged;
mod reconcile;
mod registry;
mod run;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::content::{API, Batch, EPOCH_MS, TOKEN_TAG};
use super::ledger::Ledger;
use super::operation::{Operation, World};
use super::run::RunLedger;
use crate::http::Client;
use reconcile::{Listed, Wanted, reconcile};
use run::RunCheck;

const PAGE: usize = 1_000;
/// Runs a client that are looked up by their token through search, which goes through the index.
const SEARCHED_RUNS_MAX: usize = 5;

/// Checks everything the clients of one round wrote; the answer lists what is wrong.
pub(super) fn round(http: &mut Client, ledgers: &[Ledger]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let Some(first) = ledgers.first() else { return Ok(problems) };
    let listed = listed_runs(http, &first.world, ledgers, &mut problems)?;
    for ledger in ledgers {
        for (index, run) in ledger.runs.iter().enumerate() {
            RunCheck::new(http, ledger, index, run)?.check(http, &listed, &mut problems)?;
        }
        for run in ledger.runs.iter().rev().take(SEARCHED_RUNS_MAX) {
            searched_run(http, ledger, run, &mut problems)?;
        }
    }
    experiments::check(http, &first.world, ledgers, &mut problems)?;
    logged::check(http, &first.world, ledgers, &mut problems)?;
    registry::check(http, &first.world, ledgers, &mut problems)?;
    Ok(problems)
}

/// Every acknowledged run is listed once, and no run that nobody asked for. The answer is all runs by their id.
fn listed_runs(
    http: &mut Client,
    world: &World,
    ledgers: &[Ledger],
    problems: &mut Vec<String>,
) -> Result<BTreeMap<String, Value>> {
    let runs = search_runs(http, &world.experiment, "")?;
    let listed = runs.iter().map(|run| Listed {
        token: token_of(&run["data"]["tags"]),
        id: run_id(run).to_string(),
        look: json!({"name": run["info"]["run_name"], "start": run["info"]["start_time"]}),
    });
    let look = |token: &str| vec![json!({"name": token, "start": EPOCH_MS})];
    let mut wanted = Vec::new();
    for ledger in ledgers {
        for run in &ledger.runs {
            let Some(token) = &run.token else { continue };
            wanted.push(Wanted::acknowledged(token, run.id.as_str(), look(token)));
        }
        if let Some(Operation::CreateRun { token }) = &ledger.in_flight {
            wanted.push(Wanted::in_flight(token, look(token)));
        }
    }
    let listed = listed.filter(|run| run.token != "shared").collect();
    problems.extend(reconcile("run", listed, wanted));
    Ok(runs.into_iter().map(|run| (run_id(&run).to_string(), run)).collect())
}

fn searched_run(
    http: &mut Client,
    ledger: &Ledger,
    run: &RunLedger,
    problems: &mut Vec<String>,
) -> Result<()> {
    let Some(token) = &run.token else { return Ok(()) };
    let found = search_runs(http, &ledger.world.experiment, &format!("tags.`{TOKEN_TAG}` = '{token}'"))?;
    let ids: Vec<&str> = found.iter().map(run_id).collect();
    if ids != [run.id.as_str()] {
        problems.push(format!("searching run {} by its token finds {ids:?}", run.id));
    }
    if run.batches > 0 {
        let (key, value) = &Batch::new(ledger.client, run.batches - 1).params[0];
        let found = search_runs(http, &ledger.world.experiment, &format!("params.`{key}` = '{value}'"))?;
        let count = found.iter().filter(|each| run_id(each) == run.id).count();
        if count != 1 {
            problems.push(format!("searching run {} by its newest param finds it {count} times", run.id));
        }
    }
    Ok(())
}

/// What a thing may look like: as it was acknowledged and, where a write to it is in flight, as that leaves it.
fn outcomes<T: Clone, W>(acknowledged: &T, in_flight: Option<&W>, take: impl Fn(&mut T, &W)) -> Vec<T> {
    let mut outcomes = vec![acknowledged.clone()];
    outcomes.extend(in_flight.map(|write| {
        let mut changed = acknowledged.clone();
        take(&mut changed, write);
        changed
    }));
    outcomes
}

/// All runs of an experiment that a filter finds, deleted ones too.
fn search_runs(http: &mut Client, experiment: &str, filter: &str) -> Result<Vec<Value>> {
    let body = json!({"experiment_ids": [experiment], "filter": filter, "run_view_type": "ALL",
                      "max_results": PAGE});
    search(http, "runs/search", body, "runs")
}

/// Everything that a search finds, page by page.
fn search(http: &mut Client, call: &str, mut body: Value, field: &str) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    loop {
        let response = http.post(&format!("{API}/{call}"), &body)?;
        if response.status != 200 {
            bail!("{call} of {body}: {} {}", response.status, response.text());
        }
        let answer = response.json();
        found.extend_from_slice(list(&answer[field]));
        match answer["next_page_token"].as_str().filter(|token| !token.is_empty()) {
            Some(token) => body["page_token"] = json!(token),
            None => return Ok(found),
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

/// The token among the tags of a thing; empty where there is none.
fn token_of(tags: &Value) -> String {
    let tags = pairs(tags);
    tags.into_iter().find(|(key, _)| key == TOKEN_TAG).map(|(_, value)| value).unwrap_or_default()
}
