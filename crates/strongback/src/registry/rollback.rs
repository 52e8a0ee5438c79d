//! Going back: one more move of an alias, to where it pointed before.
//!
//! Rollbacks undo moves like a stack: after 1 → 2 → 3 a rollback leads to 2 and the next one to 1, never to what was rolled
//! away from, nor to a version that was deleted since. Whoever saw where the alias points may say so, and is refused when
//! it points elsewhere by then: of two who roll back at once one does. What the alias rested on when it first pointed there
//! (a gate report, an override) is what it rests on again, although that may have expired since: going back must not wait
//! for gates. Where it rested on nothing because the alias was not governed then, going back is an override
//! (docs/decisions/0022).

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{
    aliases::{self, Move},
    evidence::Evidence,
    governance::Authority,
    models::Model,
    names::{self, Levels},
    versions::{self, Version},
};
use crate::{
    catalog::Action,
    db::{Change, Sql},
    error::{Code, Error, Result},
    time,
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

/// Moves an alias back to where it pointed before, from where whoever asks saw it point, if that is told. Answers the model,
/// and from where to where.
pub fn alias_roll_back(
    tx: &mut Sql<'_>,
    name: &str,
    alias: &str,
    seen: Option<i64>,
    reason: &str,
) -> Result<Change<(Model, i64, i64)>> {
    // Moves of one model happen one after another: what is read here is so until this one is made.
    let model = names::lock(tx, name, Levels::Any, Action::Edit)?;
    let moves = aliases::moves(tx, model.id, alias)?;
    let now = moves.last().and_then(|newest| newest.to);
    if let Some(seen) = seen.filter(|seen| now != Some(*seen)) {
        let now = now.map_or("nowhere".to_owned(), |now| format!("to version {now}"));
        return Err(Error::new(
            Code::ResourceConflict,
            format!(
                "The alias '{alias}' of '{name}' points {now}, and not to version {seen}: it was moved meanwhile. Nothing was \
                 rolled back. strongback history {name}@{alias}",
                name = model.name()
            ),
        ));
    }
    let mut living = BTreeSet::new();
    for number in moves.iter().filter_map(|step| step.to).collect::<BTreeSet<_>>() {
        if versions::get(tx, model.id, number)?.is_some() {
            living.insert(number);
        }
    }
    let Some((undone, earlier)) = before(&moves, &living) else {
        return Err(Error::missing(format!(
            "There is nothing to roll back: the alias '{alias}' of '{name}' points nowhere, or pointed to no other version \
             before that is still there. strongback history {name}@{alias}",
            name = model.name()
        )));
    };
    let (Some(from), Some(to)) = (undone.to, earlier.to) else {
        return Err(Error::internal("a move that leads nowhere was to be undone, or gone back to"));
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

/// Refuses to go back on a report to a version that was rolled away from since the report was made: whatever was wrong with it,
/// the report did not see.
pub(super) fn refuse_unexplained(tx: &mut Sql<'_>, model: &Model, report: &Evidence) -> Result<()> {
    let Evidence { alias, version, .. } = report;
    let moves = aliases::moves(tx, model.id, alias)?;
    let since =
        |step: &&Move| step.at >= report.made_at && step.from == Some(*version) && returns_to(step).is_some();
    let Some(back) = moves.iter().rev().find(since) else { return Ok(()) };
    let name = model.name();
    Err(Error::denied(format!(
        "The gate report {} does not move the alias '{alias}' by itself: '{alias}' was rolled back from version {version} on {}, \
         after the report was made. Run the gates again, or say why it goes back there: strongback promote {name} {version} \
         --alias {alias} --reason '...'",
        report.id,
        time::utc(back.at)
    )))
}

/// The move that a rollback undoes, and the newest one before it that led to another version which is still there. None where
/// the alias points nowhere.
fn before<'m>(moves: &'m [Move], living: &BTreeSet<i64>) -> Option<(&'m Move, &'m Move)> {
    let now = moves.last()?.to?;
    let mut standing: Vec<&Move> = Vec::new();
    for step in moves {
        match returns_to(step) {
            Some(returns_to) => match standing.iter().rposition(|earlier| earlier.n == returns_to) {
                Some(at) => standing.truncate(at + 1),
                None => _ = standing.pop(),
            },
            // One that leads nowhere is neither undone nor gone back to.
            None if step.to.is_some() => standing.push(step),
            None => {}
        }
    }
    let newest = standing.pop()?;
    let is_meant = |to: i64| to != now && living.contains(&to);
    let earlier = standing.into_iter().rev().find(|step| step.to.is_some_and(is_meant))?;
    Some((newest, earlier))
}

/// The number of the move that a rollback went back to; none of a move that is no rollback.
fn returns_to(step: &Move) -> Option<i64> {
    let evidence: Json = serde_json::from_str(step.evidence.as_deref()?).ok()?;
    evidence.get("rollback_of")?;
    Some(evidence.get("returns_to").and_then(Json::as_i64).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A move to a version, to nowhere (0), or back to where a move of this number led.
    enum Step {
        To(i64),
        Back(usize),
    }
    use Step::{Back, To};

    fn steps(of: &[Step]) -> Vec<Move> {
        let mut moves: Vec<Move> = Vec::new();
        for (at, step) in of.iter().enumerate() {
            let (to, evidence) = match step {
                To(to) => (Some(*to).filter(|to| *to > 0), None),
                Back(n) => {
                    let kept = json!({ "rollback_of": at, "returns_to": n });
                    (moves[n - 1].to, Some(kept.to_string()))
                }
            };
            moves.push(Move {
                alias: "champion".into(),
                n: at as i64 + 1,
                from: None,
                to,
                at: 0,
                by: 1,
                reason: String::new(),
                evidence,
            });
        }
        moves
    }

    /// From where to where a rollback leads, where some versions were deleted.
    fn target(of: &[Step], deleted: &[i64]) -> Option<(i64, i64)> {
        let living = (1..10).filter(|number| !deleted.contains(number)).collect();
        before(&steps(of), &living).and_then(|(undone, earlier)| Some((undone.to?, earlier.to?)))
    }

    #[test]
    fn rollbacks_undo_moves_like_a_stack() {
        assert_eq!(target(&[], &[]), None);
        assert_eq!(target(&[To(1)], &[]), None);
        assert_eq!(target(&[To(1), To(2)], &[]), Some((2, 1)));
        assert_eq!(target(&[To(1), To(2), To(3), Back(2)], &[]), Some((2, 1)));
        assert_eq!(target(&[To(1), To(2), Back(1)], &[]), None);
        assert_eq!(target(&[To(1), To(2), Back(1), To(3)], &[]), Some((3, 1)));
    }

    #[test]
    fn what_is_gone_is_passed_over() {
        assert_eq!(target(&[To(1), To(2), To(3)], &[2]), Some((3, 1)));
        assert_eq!(target(&[To(1), To(2), To(3)], &[1, 2]), None);
        assert_eq!(target(&[To(1), To(2), To(0)], &[]), None, "it points nowhere");
        assert_eq!(target(&[To(1), To(2), To(0), To(3)], &[]), Some((3, 2)));
        assert_eq!(target(&[To(1), To(2), To(0), To(3)], &[2]), Some((3, 1)));
        assert_eq!(target(&[To(1), To(2), To(0), To(2)], &[]), Some((2, 1)), "never to where it points");
        // A rollback that passed over a deleted version undid two moves.
        assert_eq!(target(&[To(1), To(2), To(3), To(4), Back(2)], &[3]), Some((2, 1)));
        assert_eq!(target(&[To(1), To(2), To(3), To(4), Back(2), To(5)], &[3]), Some((5, 2)));
    }
}
