//! Aliases: names for the version that is in use, and the history of what they meant.
//!
//! `point` is the one function that moves an alias of a living version, on the grounds that an [`Authority`] gives it
//! ([`super::governance`]): for whoever sets an alias, and for whoever moves a version to a stage of the same name; deleting an alias is a move to nowhere, and so is what happens to it when its version or its model
//! is deleted, which a governed alias forbids. Moves are numbered from 1 without gaps and never
//! changed. Their times do not go backward, so the newest move before a date says what the alias meant then.

use serde_json::{Value as Json, json};
use syntax::names::{check_alias, check_alias_not_reserved};

use super::{
    governance::{self, Authority},
    limits::ALIASES_MAX,
    models::Model,
    names::{self, Levels},
    store,
    versions::{self, Status, Version, pin_detail},
};
use crate::{
    bind,
    catalog::{Action, asset, names::refused},
    db::{Change, Row, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
};

/// Stands for the highest version.
const LATEST: &str = "latest";

/// An alias of a model, and the version that it points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// `asset.id` of the model.
    pub model_id: i64,
    /// Its name; case matters.
    pub alias: String,
    /// Number of the version.
    pub version: i64,
}

/// One move of an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The alias.
    pub alias: String,
    /// Counts the moves of this alias from 1.
    pub n: i64,
    /// The version that it pointed to before; none if it was not set.
    pub from: Option<i64>,
    /// The version that it pointed to afterwards; none if it was deleted.
    pub to: Option<i64>,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// `principal.id` of who moved it.
    pub by: i64,
    /// Why, in words.
    pub reason: String,
    /// What the move rested on, as JSON: `gate_report`, `override`, `rollback_of`, and the `digest` of the version's files;
    /// none where nothing was asked for.
    pub evidence: Option<String>,
}

/// Points an alias to a version (or, with none, deletes it) for a stated reason. Setting what is set already and deleting
/// what is not there change nothing, and need no grounds.
pub fn alias_set(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    alias: &str,
    to: Option<i64>,
    reason: &str,
    authority: &Authority,
) -> Result<Change<Model>> {
    alias_set_as(tx, name, levels, alias, to, (reason, true), authority)
}

/// The same with a reason that somebody said, or that stands there in its place.
pub fn alias_set_as(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    alias: &str,
    to: Option<i64>,
    (reason, is_said): (&str, bool),
    authority: &Authority,
) -> Result<Change<Model>> {
    match to {
        Some(_) => check_alias_not_reserved(alias).map_err(refused)?,
        None => check_alias(alias).map_err(refused)?,
    }
    let model = names::lock(tx, name, levels, Action::Edit)?;
    let target = to.map(|number| versions::require(tx, &model, number)).transpose()?;
    if target.is_some() {
        refuse_too_many(tx, &model, alias)?;
    }
    let Some(moved) = point(tx, &model, alias, target.as_ref(), (reason, is_said), authority)? else {
        return Ok(Change::Nothing(model));
    };
    let revision = asset::touch(tx, model.id)?;
    let pin = target.and_then(|version| version.pin);
    // The alias is a text that somebody chose: erasable, and therefore no subject.
    let event = Event::new(EventKind::AliasMove).asset(model.id, revision).detail(json!({
        "alias": alias, "n": moved.n, "from": moved.from, "to": to, "reason": reason,
        "pinned": pin_detail(pin.as_ref()), "grounds": moved.grounds,
    }));
    Ok(Change::Made(model, event))
}

/// What came of a move.
pub(super) struct Moved {
    pub(super) n: i64,
    pub(super) from: Option<i64>,
    grounds: Option<Json>,
}

/// Points an alias of a model, which is locked, to one of its versions. None if it points there already. The event is the caller's.
pub(super) fn point(
    tx: &mut Sql<'_>,
    model: &Model,
    alias: &str,
    target: Option<&Version>,
    (reason, is_said): (&str, bool),
    authority: &Authority,
) -> Result<Option<Moved>> {
    if let Some(version) = target.filter(|version| version.status != Status::Ready) {
        return Err(Error::invalid(format!(
            "The alias '{alias}' cannot be set: version {} of '{}' is {}. Finalize it first.",
            version.version,
            model.name(),
            version.status.name()
        )));
    }
    let to = target.map(|version| version.version);
    let (from, moves) = locked(tx, model.id, alias)?;
    if from == to {
        return Ok(None);
    }
    let said = if is_said { reason } else { "" };
    let grounds = governance::grounds(tx, model, alias, (from, target), authority, said)?;
    let n = shift(tx, model.id, alias, (from, to), moves, (reason, grounds.as_ref()))?;
    Ok(Some(Moved { n, from, grounds }))
}

/// Refuses one more alias than a model can have. The model is locked, so that nobody sets another one meanwhile. Those that follow
/// stages are not kept out by it: a client with stages knows nothing of aliases.
fn refuse_too_many(tx: &mut Sql<'_>, model: &Model, alias: &str) -> Result<()> {
    let there: i64 = tx.one(&store::ALIAS_COUNT, bind![model.id], |row| row.get(0))?;
    let is_there = version(tx, model.id, alias)?.is_some();
    if there < ALIASES_MAX || is_there {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "'{}' has {there} aliases, and a model can have at most {ALIASES_MAX} aliases at a time. Delete some first.",
        model.name()
    )))
}

/// Takes away the aliases of a version, or of all versions, as part of their deletion. Answers which.
pub(super) fn drop_all(
    tx: &mut Sql<'_>,
    model_id: i64,
    version: Option<i64>,
    reason: &str,
) -> Result<Vec<String>> {
    let mut found = list(tx, &[model_id])?;
    found.retain(|alias| version.is_none_or(|version| version == alias.version));
    let mut held = Vec::with_capacity(found.len());
    for Alias { alias, .. } in found {
        held.push((locked(tx, model_id, &alias)?, alias));
    }
    held.into_iter()
        .map(|((from, moves), alias)| {
            shift(tx, model_id, &alias, (from, None), moves, (reason, None))?;
            Ok(alias)
        })
        .collect()
}

/// Where an alias points and how often it moved, kept from others until the transaction ends.
fn locked(tx: &mut Sql<'_>, model_id: i64, alias: &str) -> Result<(Option<i64>, i64)> {
    let found = tx.first(&store::ALIAS_LOCK, bind![model_id, alias], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.unwrap_or((None, 0)))
}

/// Writes the next move and where the alias points since.
fn shift(
    tx: &mut Sql<'_>,
    model_id: i64,
    alias: &str,
    (from, to): (Option<i64>, Option<i64>),
    moves: i64,
    (reason, grounds): (&str, Option<&Json>),
) -> Result<i64> {
    let before = tx.first(&store::MOVE_BY_N, bind![model_id, alias, moves], read_move)?;
    // Requests are stored in another order than they came in; history must not go backward.
    let at = tx.now().max(before.map_or(i64::MIN, |before| before.at));
    let (n, by) = (moves + 1, tx.caller().id);
    tx.execute(&store::ALIAS_PUT, bind![model_id, alias, to, n])?;
    let grounds = grounds.map(Json::to_string);
    tx.execute(&store::MOVE_INSERT, bind![model_id, alias, n, from, to, at, by, reason, grounds.as_deref()])?;
    Ok(n)
}

/// The newest move of an alias at a time: what it meant then is where that move led. None if it never moved before.
pub fn history(sql: &mut Sql<'_>, model_id: i64, alias: &str, at: i64) -> Result<Option<Move>> {
    sql.first(&store::MOVE_AT, bind![model_id, alias, at], read_move)
}

/// Every move of an alias, oldest first.
pub fn moves(sql: &mut Sql<'_>, model_id: i64, alias: &str) -> Result<Vec<Move>> {
    sql.all(&store::MOVE_LIST, bind![model_id, alias], read_move)
}

/// The aliases of some models, by model and name.
pub fn list(sql: &mut Sql<'_>, model_ids: &[i64]) -> Result<Vec<Alias>> {
    let ids = serde_json::to_string(model_ids).map_err(Error::internal)?;
    sql.all(&store::ALIAS_LIST, bind![&ids], |row| {
        Ok(Alias { model_id: row.get(0)?, alias: row.get(1)?, version: row.get(2)? })
    })
}

/// The number that an alias points to; none where there never was one, or is no more.
pub fn version(sql: &mut Sql<'_>, model_id: i64, alias: &str) -> Result<Option<i64>> {
    sql.first(&store::ALIAS_VERSION, bind![model_id, alias], |row| row.get(0))
}

/// The version that an alias points to; `latest` is the highest. None if there is no such alias.
pub fn resolve(sql: &mut Sql<'_>, model: &Model, alias: &str) -> Result<Option<Version>> {
    check_alias(alias).map_err(refused)?;
    if alias.eq_ignore_ascii_case(LATEST) {
        return versions::newest(sql, model.id);
    }
    match version(sql, model.id, alias)? {
        Some(number) => versions::get(sql, model.id, number),
        None => Ok(None),
    }
}

/// The error for an alias that is not set, which the faces give different codes.
pub fn missing(alias: &str) -> Error {
    Error::missing(format!("Registered model alias {alias} not found."))
}

pub(super) fn read_move(row: &Row<'_>) -> Result<Move> {
    Ok(Move {
        alias: row.get(0)?,
        n: row.get(1)?,
        from: row.get(2)?,
        to: row.get(3)?,
        at: row.get(4)?,
        by: row.get(5)?,
        reason: row.get(6)?,
        evidence: row.get(7)?,
    })
}
