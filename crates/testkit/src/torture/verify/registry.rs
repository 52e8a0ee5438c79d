//! Registered models that clients made beside the one of the round; versions and aliases of the latter.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Listed, Wanted, ask, list, outcomes, reconcile, token_of};
use crate::http::{Client, with_query};
use crate::torture::content::{API, alias, name_in, name_prefix, sorted, version_source};
use crate::torture::ledger::Ledger;
use crate::torture::operation::{Operation, World};
use crate::torture::registered::{RegisteredLedger, version_number};

pub(super) fn check(
    http: &mut Client,
    world: &World,
    ledgers: &[Ledger],
    problems: &mut Vec<String>,
) -> Result<()> {
    models(http, world, ledgers, problems)?;
    versions(http, world, ledgers, problems)?;
    aliases(http, world, ledgers, problems)
}

/// Each is there once, with the description and the tag that it was left with.
fn models(http: &mut Client, world: &World, ledgers: &[Ledger], problems: &mut Vec<String>) -> Result<()> {
    let filter = format!("name LIKE '{}%'", name_prefix(&world.model));
    let query = [("filter", filter.as_str()), ("max_results", "1000")];
    let answer = ask(http, &with_query(&format!("{API}/registered-models/search"), &query))?;
    ensure!(answer["next_page_token"].is_null(), "a round makes no second page of models");
    let listed = list(&answer["registered_models"]).iter().map(|each| Listed {
        token: token_of(&each["tags"]),
        id: each["name"].as_str().unwrap_or_default().to_string(),
        look: json!({"description": each["description"], "tags": sorted(list(&each["tags"]).iter().cloned())}),
    });
    problems.extend(reconcile("registered model", listed.collect(), ledgers.iter().flat_map(wanted)));
    Ok(())
}

fn wanted(ledger: &Ledger) -> Vec<Wanted<'_>> {
    let known = ledger.registered.iter().enumerate().map(|(index, known)| {
        let number = match &ledger.in_flight {
            Some(Operation::Describe { model, number }) if *model == index => Some(number),
            _ => None,
        };
        let outcomes = outcomes(known, number, |known, number| known.description = *number);
        let looks = outcomes.iter().map(RegisteredLedger::look).collect();
        Wanted::acknowledged(&known.token, name_in(&ledger.world.model, &known.token), looks)
    });
    let mut wanted: Vec<Wanted<'_>> = known.collect();
    if let Some(Operation::CreateRegistered { token }) = &ledger.in_flight {
        wanted.push(Wanted::in_flight(token, vec![RegisteredLedger::new(token.clone()).look()]));
    }
    wanted
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
    Ok(())
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
