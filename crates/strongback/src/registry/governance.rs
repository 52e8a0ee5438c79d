//! Governance: which aliases of a model move on grounds alone, and what is one: the report of its gates, an override with a
//! reason, or the way back to what was judged before.
//!
//! It is off unless somebody who may manage the model switched it on. To loosen it again, and to override gates, is for
//! administrators, unless the server was told otherwise (docs/decisions/0026). What must stay true: [`grounds`] is asked for every
//! move of an alias, in the transaction that makes it; what takes an alias away together with its version or its model is
//! refused where the alias is governed.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use syntax::{gates, names::check_alias_not_reserved};
use uuid::Uuid;

use super::{
    aliases, evidence,
    models::Model,
    names::{self, Levels},
    rollback::{self, Earlier},
    store,
    versions::{self, Version},
};
use crate::{
    bind,
    catalog::{Action, asset, authorize, names::refused},
    config::Overriders,
    context::Ctx,
    db::{Change, Sql},
    error::{Code, Error, Result},
    events::{Event, EventKind},
    router::{Limits, Policy as Access, Route},
};

/// Aliases that can be governed.
const ALIASES_MAX: usize = 20;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::POST,
        "/api/1.0/model/govern",
        Access::Asset(Action::Manage),
        Limits::JSON,
        "Say which aliases of a model move with passing gates alone",
        set,
    )]
}

/// On what somebody moves an alias.
#[derive(Debug, Clone, PartialEq)]
pub enum Authority {
    /// On nothing: moves aliases that are not governed.
    Ungoverned,
    /// On a gate report.
    Evidence(Uuid),
    /// On the word of somebody who is one of these, may manage the model and says why.
    Override(Overriders),
    /// On what the alias once rested on.
    Earlier(Earlier),
}

/// Which aliases of a model are governed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// The aliases; none is none.
    pub aliases: Vec<String>,
    /// Digest of the gates that count; absent, any gates do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_digest: Option<String>,
}

impl Policy {
    /// Whether an alias is governed.
    pub fn covers(&self, alias: &str) -> bool {
        self.aliases.iter().any(|governed| governed == alias)
    }

    /// Whether something that this one keeps from happening may happen under the next: an alias that is governed no more, or by
    /// other gates.
    fn is_loosened_by(&self, next: &Self) -> bool {
        !self.aliases.iter().all(|alias| next.covers(alias))
            || (self.config_digest.is_some() && self.config_digest != next.config_digest)
    }
}

/// What governs a model.
pub fn policy(sql: &mut Sql<'_>, model_id: i64) -> Result<Policy> {
    let found = sql.first(&store::POLICY_GET, bind![model_id], |row| {
        let aliases = serde_json::from_str(&row.get::<String>(0)?).map_err(Error::internal)?;
        Ok(Policy { aliases, config_digest: row.get(1)? })
    })?;
    Ok(found.unwrap_or_default())
}

/// Which model, and how.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GovernRequest {
    /// Name of the model.
    pub name: String,
    /// The aliases that are governed; an empty list switches it off.
    pub aliases: Vec<String>,
    /// The gates whose reports count, as YAML; absent, those of any gates do.
    pub config: Option<String>,
}

/// A model and what governs it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GovernResponse {
    /// Name of the model.
    pub name: String,
    /// What governs it.
    pub policy: Policy,
}

async fn set(ctx: Ctx, request: GovernRequest) -> Result<GovernResponse> {
    let mut aliases = request.aliases;
    for alias in &aliases {
        check_alias_not_reserved(alias).map_err(|error| refused(error).in_field("aliases"))?;
    }
    aliases.sort_unstable();
    aliases.dedup();
    if aliases.len() > ALIASES_MAX {
        return Err(Error::invalid(format!(
            "Invalid value for parameter 'aliases' supplied: it names {} aliases, at most {ALIASES_MAX}.",
            aliases.len()
        )));
    }
    let config = request.config.filter(|text| !text.is_empty());
    let config_digest =
        config.as_deref().map(|text| Ok::<_, Error>(read_gates(text)?.digest())).transpose()?;
    if aliases.is_empty() && config_digest.is_some() {
        return Err(Error::invalid(
            "Invalid value for parameter 'config' supplied: no alias is governed by it.",
        ));
    }
    let policy = Policy { aliases, config_digest };
    let overriders = ctx.app.config.gate_overrides.value;
    ctx.write(move |tx| {
        let model = names::lock(tx, &request.name, Levels::Any, Action::Manage)?;
        let answer = GovernResponse { name: model.name(), policy: policy.clone() };
        let before = self::policy(tx, model.id)?;
        if before == policy {
            return Ok(Change::Nothing(answer));
        }
        if before.is_loosened_by(&policy) {
            check_overrider(tx, &model, overriders, "loosen what governs")?;
        }
        let aliases = serde_json::to_string(&policy.aliases).map_err(Error::internal)?;
        tx.execute(&store::POLICY_PUT, bind![model.id, &aliases, policy.config_digest.as_deref()])?;
        let revision = asset::touch(tx, model.id)?;
        let event = Event::new(EventKind::ModelGovern)
            .asset(model.id, revision)
            .detail(json!({ "from": before, "to": policy }));
        Ok(Change::Made(answer, event))
    })
    .await
}

/// The gates in the text of a file, with the place of what is wrong in it.
pub fn read_gates(text: &str) -> Result<gates::Gates> {
    gates::from_yaml(text).map_err(|error| {
        Error::invalid(format!("The gates cannot be read: {}: {}.", error.position, error.message))
            .in_field("config")
    })
}

/// On what an alias moves, as its history keeps it; or why it does not move. The model is locked.
pub(super) fn grounds(
    tx: &mut Sql<'_>,
    model: &Model,
    alias: &str,
    (from, to): (Option<i64>, Option<&Version>),
    authority: &Authority,
    reason: &str,
) -> Result<Option<Json>> {
    let policy = policy(tx, model.id)?;
    let is_governed = policy.covers(alias);
    match authority {
        Authority::Ungoverned if is_governed => Err(governed(model, alias, to)),
        Authority::Ungoverned => Ok(None),
        Authority::Evidence(id) => {
            let missing = || {
                Error::missing(format!(
                    "There is no gate report '{id}'. strongback gate list --model {}",
                    model.name()
                ))
            };
            let report = evidence::get(tx, *id)?.ok_or_else(missing)?;
            let to = to.ok_or_else(|| Error::invalid("A gate report moves an alias to a version."))?;
            if is_governed
                && policy.config_digest.as_ref().is_some_and(|wanted| *wanted != report.config_digest)
            {
                return Err(Error::denied(format!(
                    "The gate report {id} does not move the alias '{alias}': it is of other gates than those that govern '{}'.",
                    model.name()
                )));
            }
            let now = tx.now();
            let from = from.map_or(Ok(None), |from| versions::get(tx, model.id, from))?;
            let grounds = report.check(model, alias, (from.as_ref(), to), now)?;
            if is_governed && reason.trim().is_empty() {
                rollback::refuse_unexplained(tx, model, &report)?;
            }
            Ok(Some(grounds))
        }
        Authority::Override(overriders) => {
            overridden(tx, model, reason)?;
            if is_governed {
                check_overrider(tx, model, *overriders, "override the gates of")?;
            }
            let digest = to.and_then(|to| to.pin.as_ref()).map(|pin| pin.manifest.digest.as_str());
            Ok(Some(json!({ "override": true, "digest": digest })))
        }
        Authority::Earlier(earlier) => {
            if is_governed && !earlier.was_judged() {
                overridden(tx, model, reason).map_err(|error| error.with_code(Code::PermissionDenied))?;
            }
            earlier.kept(to, is_governed && !earlier.was_judged())
        }
    }
}

/// Lets those pass who may manage the model and say why.
fn overridden(tx: &mut Sql<'_>, model: &Model, reason: &str) -> Result<()> {
    authorize(tx, Action::Manage, model.id)?;
    if reason.trim().is_empty() {
        return Err(Error::invalid(
            "Missing value for required parameter 'reason': say why the gates are overridden.",
        ));
    }
    Ok(())
}

/// Lets those pass who may set aside what keeps a governed alias where it is.
fn check_overrider(tx: &Sql<'_>, model: &Model, overriders: Overriders, what: &str) -> Result<()> {
    if overriders == Overriders::Owners || tx.caller().is_admin() {
        return Ok(());
    }
    let name = model.name();
    Err(Error::denied(format!(
        "{} may not {what} '{name}': whoever may run its gates does not also set them aside. That is for administrators (members of \
         the group admins), unless the server is started with gate_overrides = owners. Ask one, or pass the gates: strongback gate \
         run --model {name} --candidate VERSION --config gates.yaml --move ALIAS",
        tx.caller().name
    )))
}

/// The refusal of a move without grounds, with what to do instead.
fn governed(model: &Model, alias: &str, to: Option<&Version>) -> Error {
    let name = model.name();
    let Some(to) = to else {
        return Error::denied(format!(
            "The alias '{alias}' of '{name}' is governed and cannot be deleted. Whoever may override its gates can end that: \
             strongback model govern {name} --off"
        ));
    };
    let number = to.version;
    Error::denied(format!(
        "The alias '{alias}' of '{name}' is governed: it moves with passing gates alone. Run them: strongback gate run --model \
         {name} --candidate {number} --config gates.yaml --move {alias}. An administrator can override them with a \
         reason: strongback promote {name} {number} --alias {alias} --override --reason '...'"
    ))
}

/// Refuses to give a version other files while a governed alias points to it: it was judged without them.
pub(super) fn refuse_files(tx: &mut Sql<'_>, model: &Model, version: i64) -> Result<()> {
    let policy = policy(tx, model.id)?;
    let mut found = aliases::list(tx, &[model.id])?.into_iter();
    let Some(held) = found.find(|alias| policy.covers(&alias.alias) && alias.version == version) else {
        return Ok(());
    };
    Err(Error::denied(format!(
        "The governed alias '{}' of '{}' points to version {version}, which therefore gets no files now. Move it elsewhere first.",
        held.alias,
        model.name()
    )))
}

/// Refuses to delete what a governed alias points to: one version, or any.
pub(super) fn refuse_dropping(tx: &mut Sql<'_>, model: &Model, version: Option<i64>) -> Result<()> {
    let policy = policy(tx, model.id)?;
    let mut found = aliases::list(tx, &[model.id])?.into_iter();
    let held = found.find(|alias| policy.covers(&alias.alias) && version.is_none_or(|n| n == alias.version));
    let Some(held) = held else { return Ok(()) };
    let (name, alias) = (model.name(), held.alias);
    let how = match version {
        Some(_) => "Move it elsewhere first, with passing gates or by `strongback rollback`.".to_owned(),
        None => {
            format!("Whoever may override its gates can end that first: strongback model govern {name} --off")
        }
    };
    Err(Error::denied(format!(
        "The alias '{alias}' of '{name}' is governed and points to version {}, which therefore stays. {how}",
        held.version
    )))
}
