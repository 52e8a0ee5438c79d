//! Going back: one more move of an alias, to where it pointed before.
//!
//! Rollbacks undo moves like a stack: after 1 → 2 → 3 a rollback leads to 2 and the next one to 1, never to what was rolled
//! away from. What the alias rested on when it first pointed there (a gate report, an override) is what it rests on again,
//! although that may have expired since: going back must not wait for gates. Where it rested on nothing because the alias was
//! not governed then, going back is an override (docs/decisions/0022).

use serde_json::{Value as Json, json};

use super::{
    aliases::{self, Move},
    governance::Authority,
    models::Model,
    names::{self, Levels},
    versions::Version,
};
use crate::{
    catalog::Action,
    db::{Change, Sql},
    error::{Error, Result},
};

/// What an alias rested on when it pointed to where it goes back. Made here alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Earlier {
    /// Number of the move that is undone.
    undone: i64,
    /// Number of the move that had led to where the alias goes.
    returns_to: i64,
    /// What that one rested on.
    evidence: Option<Json>,
}

impl Earlier {
    fn get(&self, key: &str) -> Option<&Json> {
        self.evidence.as_ref().and_then(|evidence| evidence.get(key))
    }

    /// Whether somebody answered for it: gates, or whoever overrode them.
    pub(super) fn was_judged(&self) -> bool {
        self.get("gate_report").is_some() || self.get("override").is_some()
    }

    /// What the move back keeps. Refused where the files are not those that were judged.
    pub(super) fn kept(&self, to: Option<&Version>, is_override: bool) -> Result<Option<Json>> {
        let digest = to.and_then(|to| to.pin.as_ref()).map(|pin| pin.manifest.digest.as_str());
        if let Some(judged) = self.get("digest").and_then(Json::as_str)
            && digest != Some(judged)
        {
            return Err(Error::denied(
                "The files of the version before are not those that were judged then.",
            ));
        }
        let mut kept = json!({ "rollback_of": self.undone, "returns_to": self.returns_to, "digest": digest });
        for key in ["gate_report", "override"] {
            if let Some(value) = self.get(key) {
                kept[key] = value.clone();
            }
        }
        if is_override {
            kept["override"] = true.into();
        }
        Ok(Some(kept))
    }
}

/// Moves an alias back to where it pointed before. Answers the model, and from where to where.
pub fn alias_roll_back(
    tx: &mut Sql<'_>,
    name: &str,
    alias: &str,
    reason: &str,
) -> Result<Change<(Model, i64, i64)>> {
    let model = names::lock(tx, name, Levels::Any, Action::Edit)?;
    let moves = aliases::moves(tx, model.id, alias)?;
    let Some((undone, earlier)) = before(&moves) else {
        return Err(Error::missing(format!(
            "There is nothing to roll back: the alias '{alias}' of '{}' pointed to no version before. strongback history \
             {}@{alias}",
            model.name(),
            model.name()
        )));
    };
    let (Some(from), Some(to)) = (undone.to, earlier.to) else {
        return Err(Error::missing(format!(
            "The alias '{alias}' of '{}' points nowhere, or did before.",
            model.name()
        )));
    };
    let evidence =
        earlier.evidence.as_deref().map(serde_json::from_str).transpose().map_err(Error::internal)?;
    let authority = Authority::Earlier(Earlier { undone: undone.n, returns_to: earlier.n, evidence });
    let said = if reason.is_empty() { format!("rolled back from version {from}") } else { reason.to_owned() };
    let is_said = !reason.is_empty();
    let change = aliases::alias_set_as(tx, name, Levels::Any, alias, Some(to), (&said, is_said), &authority)?;
    Ok(match change {
        Change::Made(model, event) => Change::Made((model, from, to), event),
        Change::Nothing(model) => Change::Nothing((model, from, to)),
    })
}

/// The move that a rollback undoes, and the one before it that still counts.
fn before(moves: &[Move]) -> Option<(&Move, &Move)> {
    let mut standing: Vec<&Move> = Vec::new();
    for step in moves {
        if is_rollback(step) {
            standing.pop();
        } else {
            standing.push(step);
        }
    }
    let newest = standing.pop()?;
    Some((newest, standing.pop()?))
}

fn is_rollback(step: &Move) -> bool {
    let evidence = step.evidence.as_deref().and_then(|text| serde_json::from_str::<Json>(text).ok());
    evidence.is_some_and(|evidence| evidence.get("rollback_of").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(of: &[(i64, bool)]) -> Vec<Move> {
        let step = |(at, (to, back)): (usize, &(i64, bool))| Move {
            alias: "champion".into(),
            n: at as i64 + 1,
            from: None,
            to: Some(*to),
            at: 0,
            by: 1,
            reason: String::new(),
            evidence: back.then(|| r#"{"rollback_of":1}"#.to_owned()),
        };
        of.iter().enumerate().map(step).collect()
    }

    #[test]
    fn rollbacks_undo_moves_like_a_stack() {
        let target = |of: &[(i64, bool)]| before(&steps(of)).map(|(undone, to)| (undone.to, to.to));
        assert_eq!(target(&[]), None);
        assert_eq!(target(&[(1, false)]), None);
        assert_eq!(target(&[(1, false), (2, false)]), Some((Some(2), Some(1))));
        assert_eq!(target(&[(1, false), (2, false), (3, false), (2, true)]), Some((Some(2), Some(1))));
        assert_eq!(target(&[(1, false), (2, false), (1, true)]), None);
        assert_eq!(target(&[(1, false), (2, false), (1, true), (3, false)]), Some((Some(3), Some(1))));
    }
}
