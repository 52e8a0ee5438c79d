//! Promoting a version and rolling back, by hand: the same one function of the registry, on grounds that somebody names.

use ::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::latest_report;
use crate::{
    catalog::{Action, securable::check_text},
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    registry::{
        aliases::{self, alias_set_as},
        evidence::Verdict,
        governance::{self, Authority},
        models::Model,
        names::{self, Levels},
        rollback::alias_roll_back,
        versions::{self, Version},
    },
    router::{Limits, Policy, Route, wire::Int64},
};

/// The alias that is meant when none is named.
pub const CHAMPION: &str = "champion";
/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 1_000;

pub(super) fn routes() -> Vec<Route> {
    let (edit, small) = (Policy::Asset(Action::Edit), Limits::SMALL);
    vec![
        Route::json(
            Method::POST,
            "/api/1.0/model/promote",
            edit,
            small,
            "Move an alias to a version, on a gate report or as an override",
            promote,
        ),
        Route::json(
            Method::POST,
            "/api/1.0/model/rollback",
            edit,
            small,
            "Move an alias back to where it pointed before",
            rollback,
        ),
    ]
}

/// What moves where, and on what.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PromoteRequest {
    /// Name of the model.
    pub name: String,
    /// The version: its number, or an alias that points to it.
    pub version: String,
    /// The alias that moves; `champion` if absent.
    pub alias: Option<String>,
    /// The gate report it rests on; the newest one of the version if absent.
    pub report_id: Option<String>,
    /// Whether the gates are overridden, which needs a reason and is for administrators; for whoever may manage the model where
    /// the server is started with `gate_overrides = owners`.
    #[serde(rename = "override", default)]
    pub is_override: bool,
    /// Why. Where the alias was rolled back from this version since the report was made, it is needed.
    pub reason: Option<String>,
}

/// What moved where.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PromoteResponse {
    /// Name of the model.
    pub name: String,
    /// The alias.
    pub alias: String,
    /// The version it points to.
    pub version: i64,
    /// The gate report that it moved on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_id: Option<String>,
    /// Whether it pointed there already.
    pub is_same: bool,
}

/// The version that is meant: a number, or an alias of the model.
pub fn version(sql: &mut Sql<'_>, model: &Model, text: &str) -> Result<Version> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        let number = text.parse().map_err(|_| versions::missing(&model.name(), i64::MAX))?;
        return versions::require(sql, model, number);
    }
    aliases::resolve(sql, model, text)?.ok_or_else(|| aliases::missing(text))
}

async fn promote(ctx: Ctx, request: PromoteRequest) -> Result<PromoteResponse> {
    let reason = request.reason.clone().unwrap_or_default();
    check_text("reason", &reason, REASON_CHARS_MAX)?;
    let named = request.report_id.as_deref().filter(|id| !id.is_empty());
    let named = named.map(report_id).transpose()?;
    if named.is_some() && request.is_override {
        return Err(Error::invalid(
            "A move rests on a gate report or is an override: name 'report_id' or 'override'.",
        ));
    }
    let overriders = request.is_override.then_some(ctx.app.config.gate_overrides.value);
    ctx.write(move |tx| {
        let model = names::lock(tx, &request.name, Levels::Any, Action::Edit)?;
        let alias = request.alias.as_deref().unwrap_or(CHAMPION);
        let to = version(tx, &model, &request.version).map_err(|error| error.in_field("version"))?;
        let authority = match overriders {
            Some(overriders) => Authority::Override(overriders),
            None => authority(tx, &model, alias, &to, named)?,
        };
        let report = match &authority {
            Authority::Evidence(id) => Some(id.to_string()),
            _ => None,
        };
        let said = match (&report, reason.is_empty() && !request.is_override) {
            (Some(id), true) => format!("promoted on gate report {id}"),
            (None, true) => "promoted".to_owned(),
            _ => reason.clone(),
        };
        let said = (said.as_str(), !reason.is_empty());
        let change = alias_set_as(tx, &request.name, Levels::Any, alias, Some(to.version), said, &authority)?;
        let answer = |is_same: bool| PromoteResponse {
            name: model.name(),
            alias: alias.to_owned(),
            version: to.version,
            report_id: report.clone().filter(|_| !is_same),
            is_same,
        };
        Ok(match change {
            Change::Made(_, event) => Change::Made(answer(false), event),
            Change::Nothing(_) => Change::Nothing(answer(true)),
        })
    })
    .await
}

/// On what an alias is to move: what was named, else the newest report of the version if it passed. An alias that is not
/// governed moves without.
fn authority(
    tx: &mut Sql<'_>,
    model: &Model,
    alias: &str,
    to: &Version,
    named: Option<Uuid>,
) -> Result<Authority> {
    if let Some(id) = named {
        return Ok(Authority::Evidence(id));
    }
    if !governance::policy(tx, model.id)?.covers(alias) {
        return Ok(Authority::Ungoverned);
    }
    let newest = latest_report(tx, model, to.version)?;
    Ok(match newest.filter(|report| report.verdict == Verdict::Pass && report.alias == alias) {
        Some(report) => Authority::Evidence(report.id),
        // Refused, with what to do.
        None => Authority::Ungoverned,
    })
}

/// The id of a report.
pub fn report_id(text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|_| {
        let shown: String = text.chars().take(60).collect();
        Error::missing(format!("There is no gate report '{shown}'. strongback gate list --model NAME"))
    })
}

/// What moves back.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RollbackRequest {
    /// Name of the model.
    pub name: String,
    /// The alias; `champion` if absent.
    pub alias: Option<String>,
    /// The version that it is seen to point to: where it points elsewhere, nothing moves.
    pub from_version: Option<Int64>,
    /// Why. Where the version before was never judged it is needed, and so is the right to manage the model.
    pub reason: Option<String>,
}

/// What moved back.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RollbackResponse {
    /// Name of the model.
    pub name: String,
    /// The alias.
    pub alias: String,
    /// The version it pointed to.
    pub from_version: i64,
    /// The version it points to.
    pub version: i64,
}

async fn rollback(ctx: Ctx, request: RollbackRequest) -> Result<RollbackResponse> {
    let reason = request.reason.clone().unwrap_or_default();
    check_text("reason", &reason, REASON_CHARS_MAX)?;
    let alias = request.alias.clone().unwrap_or_else(|| CHAMPION.to_owned());
    let seen = request.from_version.map(|version| version.0);
    ctx.write(move |tx| {
        let answer = |(model, from_version, version): (Model, i64, i64)| RollbackResponse {
            name: model.name(),
            alias: alias.clone(),
            from_version,
            version,
        };
        Ok(match alias_roll_back(tx, &request.name, &alias, seen, &reason)? {
            Change::Made(found, event) => Change::Made(answer(found), event),
            Change::Nothing(found) => Change::Nothing(answer(found)),
        })
    })
    .await
}
