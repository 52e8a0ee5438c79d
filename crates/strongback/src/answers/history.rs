//! Where an alias pointed when, who moved it, and why.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{moment, store, target};
use crate::{
    bind,
    catalog::{Action, Kind, asset, securable::People},
    context::Ctx,
    db::{Row, Sql},
    error::{Error, Result},
    registry,
    router::{Limits, Policy, Route, wire::Int64},
};

/// Moves in an answer when nothing is asked for.
const MOVES: i64 = 100;
/// Moves in an answer at most.
const MOVES_MAX: i64 = 1_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::GET,
        "/api/1.0/history",
        Policy::Asset(Action::Read),
        Limits::SMALL,
        "The moves of an alias, and where it pointed at a time",
        history,
    )]
}

/// Which alias, and when.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct HistoryRequest {
    /// The registered model; `NAME@alias` names the alias too.
    pub name: String,
    /// The alias.
    pub alias: Option<String>,
    /// A date, a time (UTC unless it says another zone) or milliseconds since the epoch. What is left out counts to its
    /// end: `2026-11-24` is the end of that day.
    pub at: Option<String>,
    /// At most so many moves; 100 by default.
    pub max_results: Option<Int64>,
}

/// What an alias did.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct HistoryResponse {
    /// The registered model.
    pub name: String,
    /// The alias.
    pub alias: String,
    /// Where it points now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version: Option<i64>,
    /// The time that was asked for, milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<i64>,
    /// Where it pointed at that time; absent when nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_at: Option<i64>,
    /// The move that had put it there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub move_at: Option<Move>,
    /// Newest first.
    pub moves: Vec<Move>,
    /// Whether there are older moves than `max_results` left room for.
    pub is_cut: bool,
}

/// One move.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Move {
    /// Counts the moves of this alias from 1.
    pub n: i64,
    /// The version before; absent when it pointed nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_version: Option<i64>,
    /// The version after; absent when it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_version: Option<i64>,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// Name of the principal who did it.
    pub by: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What it rested on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Json>,
}

async fn history(ctx: Ctx, request: HistoryRequest) -> Result<HistoryResponse> {
    let most = request.max_results.map_or(MOVES, |n| n.0);
    if !(1..=MOVES_MAX).contains(&most) {
        return Err(Error::invalid(format!(
            "Invalid value {most} for parameter 'max_results' supplied: it is 1 to {MOVES_MAX}."
        )));
    }
    let at = request.at.as_deref().filter(|at| !at.is_empty());
    let at = at.map(|at| moment::parse(at, "at")).transpose()?.map(|at| at.last);
    let (name, alias) = split(&request)?;
    ctx.read(move |sql| {
        let model = target::find(sql, &name, Some(Kind::Model))?.asset;
        if alias.is_empty() {
            let known = target::aliases(sql, &model)?;
            return Err(Error::invalid(format!(
                "Say which alias of '{name}', as {name}@champion, or with the parameter 'alias'. {known}"
            )));
        }
        let people = &mut People::default();
        // One more than is shown tells whether there are more.
        let mut rows = sql.all(&store::MOVES, bind![model.id, &alias, most + 1], read)?;
        let is_cut = rows.len() as i64 > most;
        rows.truncate(most as usize);
        if rows.is_empty() {
            let known = target::aliases(sql, &model)?;
            return Err(Error::missing(format!("The model '{name}' never had an alias '{alias}'. {known}")));
        }
        let found = match at {
            Some(at) => sql.first(&store::MOVE_AT, bind![model.id, &alias, at], read)?,
            None => None,
        };
        let current_version = registry::aliases::version(sql, model.id, &alias)?;
        let move_at = found.map(|row| finish(sql, people, row)).transpose()?;
        Ok(HistoryResponse {
            name: asset::display_name(sql, model.id)?,
            alias,
            current_version,
            at,
            version_at: move_at.as_ref().and_then(|found| found.to_version),
            move_at,
            moves: rows.into_iter().map(|row| finish(sql, people, row)).collect::<Result<_>>()?,
            is_cut,
        })
    })
    .await
}

/// The last move that had put an alias on a version by some time.
pub(super) fn move_at(
    sql: &mut Sql<'_>,
    (model_id, alias): (i64, &str),
    version: i64,
    at: i64,
) -> Result<Option<Move>> {
    let found = sql.first(&store::MOVE_ONTO, bind![model_id, alias, version, at], read)?;
    found.map(|row| finish(sql, &mut People::default(), row)).transpose()
}

/// Model and alias of a request; the alias is empty where none was named.
fn split(request: &HistoryRequest) -> Result<(String, String)> {
    let (name, alias) = match (&request.alias, request.name.rsplit_once('@')) {
        (Some(alias), _) if !alias.is_empty() => (request.name.as_str(), alias.as_str()),
        (_, Some((name, alias))) => (name, alias),
        (_, None) => (request.name.as_str(), ""),
    };
    if alias.contains('\0') {
        return Err(Error::invalid("'alias' contains a NUL character; remove it."));
    }
    Ok((name.trim_start_matches("models:/").to_owned(), alias.to_owned()))
}

/// A move with the principal's number where its name will stand.
fn read(row: &Row<'_>) -> Result<(Move, i64)> {
    let evidence: Option<String> = row.get(6)?;
    let evidence = evidence.map(|text| serde_json::from_str(&text).unwrap_or(Json::String(text)));
    let found = Move {
        n: row.get(0)?,
        from_version: row.get(1)?,
        to_version: row.get(2)?,
        at: row.get(3)?,
        by: String::new(),
        reason: row.get(5)?,
        evidence,
    };
    Ok((found, row.get(4)?))
}

fn finish(sql: &mut Sql<'_>, people: &mut People, (found, by): (Move, i64)) -> Result<Move> {
    Ok(Move { by: people.name(sql, by)?, ..found })
}
