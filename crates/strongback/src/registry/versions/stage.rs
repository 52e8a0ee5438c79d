//! MLflow's stages of versions, which aliases have replaced.
//!
//! What must stay true: a version that goes to an active stage is where the alias of the same name points, so that whoever follows
//! aliases sees what clients with stages do; and a stage is no way around the gates of a governed model (docs/decisions/0030).

use serde_json::{Value as Json, json};

use super::{Status, Version, pin_detail, read, require, save};
use crate::{
    bind,
    catalog::{Action, asset},
    db::{Change, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    registry::{
        aliases,
        governance::{self, Authority},
        models::Model,
        names::{self, Levels},
        store,
    },
};

/// MLflow's stages, which aliases replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// In none.
    None,
    /// To be tried.
    Staging,
    /// In use.
    Production,
    /// Kept.
    Archived,
}

impl Stage {
    const ALL: [Self; 4] = [Self::None, Self::Staging, Self::Production, Self::Archived];

    /// As it is written, and stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Staging => "Staging",
            Self::Production => "Production",
            Self::Archived => "Archived",
        }
    }

    /// Reads a stage in any case.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|stage| stage.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            let shown: String = name.chars().take(100).collect();
            Error::invalid(format!(
                "Invalid Model Version stage: {shown}. Value must be one of None, Staging, Production, Archived."
            ))
        })
    }

    /// The alias that follows an active stage.
    fn alias(self) -> Option<&'static str> {
        match self {
            Self::Staging => Some("staging"),
            Self::Production => Some("production"),
            Self::None | Self::Archived => None,
        }
    }
}

/// How a version is moved.
#[derive(Debug, Clone)]
pub struct Transition {
    /// Where it goes.
    pub stage: Stage,
    /// Whether every other version there goes to the archive.
    pub archive_others: bool,
    /// What the mover said of it; the event keeps it.
    pub comment: Option<String>,
}

/// Moves a version to a stage.
pub fn transition(
    tx: &mut Sql<'_>,
    name: &str,
    number: i64,
    how: &Transition,
) -> Result<Change<(Model, Version)>> {
    let Transition { stage, archive_others, ref comment } = *how;
    if archive_others && stage.alias().is_none() {
        return Err(Error::invalid(format!(
            "Model version transition cannot archive existing model versions because '{}' is not an Active stage. \
             Valid stages are ['Staging', 'Production']",
            stage.name()
        )));
    }
    let model = names::lock(tx, name, Levels::Any, Action::Edit)?;
    let mut version = require(tx, &model, number)?;
    let mut others = if archive_others { all_in(tx, model.id, stage, Some(number))? } else { Vec::new() };
    let in_production = highest(tx, model.id, Stage::Production)?;
    let before = std::mem::replace(&mut version.stage, stage);
    let mut aliases = Vec::new();
    if before != stage {
        save(tx, &mut version)?;
        aliases.extend(leave(tx, &model, before, number)?);
    }
    for other in &mut others {
        other.stage = Stage::Archived;
        save(tx, other)?;
    }
    refuse_unjudged(tx, &model, in_production.as_ref())?;
    aliases.extend(follow(tx, &model, stage)?);
    if before == stage && others.is_empty() && aliases.is_empty() {
        return Ok(Change::Nothing((model, version)));
    }
    let archived: Vec<i64> = others.iter().map(|other| other.version).collect();
    let revision = asset::touch(tx, model.id)?;
    let mut detail =
        json!({ "from": before.name(), "to": stage.name(), "archived": archived, "aliases": aliases });
    if let Some(comment) = comment {
        detail["comment"] = comment.as_str().into();
    }
    let event = Event::new(EventKind::ModelVersionStage)
        .asset(model.id, revision)
        .subject(number.to_string())
        .detail(detail);
    Ok(Change::Made((model, version), event))
}

/// What becomes of a stage whose version was deleted, with the aliases that pointed to it. Answers the move of the stage's alias.
pub(super) fn deleted(
    tx: &mut Sql<'_>,
    model: &Model,
    version: &Version,
    dropped: &[String],
) -> Result<Option<Json>> {
    let was_highest = version.stage == Stage::Production
        && highest(tx, model.id, Stage::Production)?.is_none_or(|left| left.version < version.version);
    if was_highest {
        refuse_unjudged(tx, model, Some(version))?;
    }
    match version.stage.alias() {
        Some(alias) if dropped.iter().any(|dropped| dropped == alias) => follow(tx, model, version.stage),
        _ => Ok(None),
    }
}

/// Refuses that `models:/NAME/Production` comes to mean a version that no gate has judged, where gates decide that. `before` is what
/// it meant.
fn refuse_unjudged(tx: &mut Sql<'_>, model: &Model, before: Option<&Version>) -> Result<()> {
    let governed = governance::policy(tx, model.id)?.aliases;
    let Some(after) = highest(tx, model.id, Stage::Production)? else { return Ok(()) };
    if governed.is_empty() || before.is_some_and(|before| before.version == after.version) {
        return Ok(());
    }
    // A report is about one alias: another one's says nothing of what is in use.
    let deciding =
        ["production", "champion"].into_iter().find(|alias| governed.iter().any(|one| one == alias));
    let deciding = deciding.map_or(governed, |alias| vec![alias.to_owned()]);
    let aliases = aliases::list(tx, &[model.id])?;
    if aliases.iter().any(|held| held.version == after.version && deciding.contains(&held.alias)) {
        return Ok(());
    }
    let (name, number, alias) = (model.name(), after.version, &deciding[0]);
    Err(Error::denied(format!(
        "'{name}' is governed: version {number} would become what is in Production, and no alias that decides it ({}) points there. \
         Move the alias with passing gates: strongback gate run --model {name} --candidate {number} --config gates.yaml --move \
         {alias}. If it is in that stage from earlier, archive it first",
        deciding.join(", ")
    )))
}

/// Points the alias of a stage to what clients find there: its highest version, nothing if there is none.
fn follow(tx: &mut Sql<'_>, model: &Model, stage: Stage) -> Result<Option<Json>> {
    let Some(alias) = stage.alias() else { return Ok(None) };
    let ready = all_in(tx, model.id, stage, None)?.into_iter().filter(|one| one.status == Status::Ready);
    let to = ready.max_by_key(|version| version.version);
    let reason = format!("follows the stage {}", stage.name());
    let moved = aliases::point(tx, model, alias, to.as_ref(), (&reason, false), &Authority::Ungoverned)?;
    Ok(moved.map(|moved| {
        let pin = to.as_ref().and_then(|to| to.pin.as_ref());
        json!({
            "alias": alias, "n": moved.n, "from": moved.from, "to": to.as_ref().map(|to| to.version),
            "pinned": pin_detail(pin),
        })
    }))
}

/// The same for a stage that a version has left. Where its alias points elsewhere, somebody has set it, and it stays.
fn leave(tx: &mut Sql<'_>, model: &Model, stage: Stage, number: i64) -> Result<Option<Json>> {
    let held = aliases::list(tx, &[model.id])?;
    let is_held = |alias: &str| held.iter().any(|held| held.alias == alias && held.version == number);
    if stage.alias().is_some_and(is_held) { follow(tx, model, stage) } else { Ok(None) }
}

/// What a client that asks for a stage gets.
fn highest(sql: &mut Sql<'_>, model_id: i64, stage: Stage) -> Result<Option<Version>> {
    Ok(all_in(sql, model_id, stage, None)?.into_iter().max_by_key(|version| version.version))
}

/// The versions in a stage, but for one.
fn all_in(sql: &mut Sql<'_>, model_id: i64, stage: Stage, but: Option<i64>) -> Result<Vec<Version>> {
    let mut found = sql.all(&store::VERSION_LIST, bind![model_id], read)?;
    found.retain(|other| other.stage == stage && Some(other.version) != but);
    Ok(found)
}
