//! Experiments that clients made beside the one of the round.

use anyhow::Result;
use serde_json::json;

use super::{Listed, PAGE, Wanted, list, outcomes, reconcile, search, token_of};
use crate::http::Client;
use crate::torture::content::{name_prefix, sorted};
use crate::torture::experiment::ExperimentLedger;
use crate::torture::ledger::Ledger;
use crate::torture::operation::{Operation, World};

/// Each is there once, with the name, the stage of its life and the tags that it was left with.
pub(super) fn check(
    http: &mut Client,
    world: &World,
    ledgers: &[Ledger],
    problems: &mut Vec<String>,
) -> Result<()> {
    let filter = format!("name LIKE '{}%'", name_prefix(&world.model));
    let body = json!({"filter": filter, "view_type": "ALL", "max_results": PAGE});
    let stored = search(http, "experiments/search", body, "experiments")?;
    let listed = stored.iter().map(|each| Listed {
        token: token_of(&each["tags"]),
        id: each["experiment_id"].as_str().unwrap_or_default().to_string(),
        look: json!({"name": each["name"], "stage": each["lifecycle_stage"],
                     "tags": sorted(list(&each["tags"]).iter().cloned())}),
    });
    problems.extend(reconcile("experiment", listed.collect(), ledgers.iter().flat_map(wanted)));
    Ok(())
}

fn wanted(ledger: &Ledger) -> Vec<Wanted<'_>> {
    let known = ledger.experiments.iter().enumerate().map(|(index, known)| {
        let write = match &ledger.in_flight {
            Some(Operation::Experiment { experiment, write }) if *experiment == index => Some(write),
            _ => None,
        };
        let looks =
            outcomes(known, write, ExperimentLedger::take).iter().map(|each| each.look(ledger)).collect();
        Wanted::acknowledged(&known.token, known.id.as_str(), looks)
    });
    let mut wanted: Vec<Wanted<'_>> = known.collect();
    if let Some(Operation::CreateExperiment { token }) = &ledger.in_flight {
        let made = ExperimentLedger::new(String::new(), token.clone());
        wanted.push(Wanted::in_flight(token, vec![made.look(ledger)]));
    }
    wanted
}
