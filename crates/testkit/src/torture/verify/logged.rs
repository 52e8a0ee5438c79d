//! Logged models, and the points in their runs that measured them.

use anyhow::Result;
use serde_json::json;

use super::run::history;
use super::{Listed, PAGE, Wanted, list, outcomes, reconcile, search, token_of};
use crate::http::Client;
use crate::torture::content::{Point, measured_key, sorted};
use crate::torture::ledger::Ledger;
use crate::torture::logged::LoggedLedger;
use crate::torture::operation::{Operation, World};

/// Each is there once, with its params and tags, the status and the newest point that it was left with; and its run has
/// as many points of it as it was measured with.
pub(super) fn check(
    http: &mut Client,
    world: &World,
    ledgers: &[Ledger],
    problems: &mut Vec<String>,
) -> Result<()> {
    let body = json!({"experiment_ids": [world.experiment], "max_results": PAGE});
    let stored = search(http, "logged-models/search", body, "models")?;
    let listed = stored.iter().map(|each| {
        let (info, data) = (&each["info"], &each["data"]);
        let look = json!({"name": info["name"], "run": info["source_run_id"], "status": info["status"],
                          "metrics": list(&data["metrics"]), "points": [], "params": list(&data["params"]),
                          "tags": sorted(list(&info["tags"]).iter().cloned())});
        let id = info["model_id"].as_str().unwrap_or_default().to_string();
        Listed { token: token_of(&info["tags"]), id, look }
    });
    let mut listed: Vec<Listed> = listed.collect();
    for ledger in ledgers {
        for (number, known) in ledger.logged.iter().enumerate() {
            let Some(listed) = listed.iter_mut().find(|each| each.id == known.id) else { continue };
            let run = &ledger.runs[known.run].id;
            let points = history(http, run, &measured_key(ledger.client, number))?;
            listed.look["points"] = points.iter().map(Point::to_json).collect();
        }
    }
    problems.extend(reconcile("logged model", listed, ledgers.iter().flat_map(wanted)));
    Ok(())
}

fn wanted(ledger: &Ledger) -> Vec<Wanted<'_>> {
    let known = ledger.logged.iter().enumerate().map(|(number, known)| {
        let write = match &ledger.in_flight {
            Some(Operation::Logged { model, write }) if *model == number => Some(write),
            _ => None,
        };
        let outcomes = outcomes(known, write, LoggedLedger::take);
        let looks = outcomes.iter().map(|each| each.look(ledger, number)).collect();
        Wanted::acknowledged(&known.token, known.id.as_str(), looks)
    });
    let mut wanted: Vec<Wanted<'_>> = known.collect();
    if let Some(Operation::CreateLogged { token, run }) = &ledger.in_flight {
        let made = LoggedLedger::new(String::new(), token.clone(), *run);
        wanted.push(Wanted::in_flight(token, vec![made.look(ledger, wanted.len())]));
    }
    wanted
}
