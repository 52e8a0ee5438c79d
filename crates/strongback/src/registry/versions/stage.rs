//! MLflow's stages of versions, which aliases have replaced.
//!
//! What must stay true: a version that goes to an active stage is where the alias of the same name points, so that whoever follows
//! aliases sees what clients with stages do; and a stage is no way around the gates of a governed model (docs/decisions/0030).

use serde_json::{Value as Json, json};

use super::{Status, Version, read, require, save};
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

/// Moves a version to a stage, and with `archive_others` every other version there to the archive.
pub fn transition(
    tx: &mut Sql<'_>,
    name: &str,
    number: i64,
    stage: Stage,
    archive_others: bool,
) -> Result<Change<(Model, Version)>> {
    if archive_others && stage.alias().is_none() {
        return Err(Error::invalid(format!(
            "Model version transition cannot archive existing model versions because '{}' is not an Active stage. \
             Valid stages are ['Staging', 'Production']",
            stage.name()
        )));
    }
    let model = names::lock(tx, name, Levels::Any, Action::Edit)?;
    let mut version = require(tx, &model, number)?;
    let mut others = if archive_others { latest_in(tx, model.id, stage, number)? } else { Vec::new() };
    if version.stage == stage && others.is_empty() {
        return Ok(Change::Nothing((model, version)));
    }
    refuse_unjudged(tx, &model, &version, stage)?;
    let before = std::mem::replace(&mut version.stage, stage);
    save(tx, &mut version)?;
    for other in &mut others {
        other.stage = Stage::Archived;
        save(tx, other)?;
    }
    let archived: Vec<i64> = others.iter().map(|other| other.version).collect();
    let mut aliases = Vec::new();
    if before != stage {
        aliases.extend(leave(tx, &model, before, &version)?);
    }
    aliases.extend(follow(tx, &model, stage, Some(&version))?);
    let revision = asset::touch(tx, model.id)?;
    let event = Event::new(EventKind::ModelVersionStage)
        .asset(model.id, revision)
        .subject(number.to_string())
        .detail(
            json!({ "from": before.name(), "to": stage.name(), "archived": archived, "aliases": aliases }),
        );
    Ok(Change::Made((model, version), event))
}

/// Refuses to say of a version that it is in production where gates decide that, and have not.
fn refuse_unjudged(tx: &mut Sql<'_>, model: &Model, version: &Version, stage: Stage) -> Result<()> {
    let governed = governance::policy(tx, model.id)?.aliases;
    if stage != Stage::Production || governed.is_empty() {
        return Ok(());
    }
    let aliases = aliases::list(tx, &[model.id])?;
    if aliases.iter().any(|held| held.version == version.version && governed.contains(&held.alias)) {
        return Ok(());
    }
    let (name, number, alias) = (model.name(), version.version, &governed[0]);
    Err(Error::denied(format!(
        "'{name}' is governed: the stage Production takes only a version that a governed alias points to ({}), and version {number} \
         is none. Move the alias with passing gates: strongback gate run --model {name} --candidate {number} --config gates.yaml \
         --move {alias}",
        governed.join(", ")
    )))
}

/// Points the alias of a stage to a version; nowhere for none.
fn follow(tx: &mut Sql<'_>, model: &Model, stage: Stage, to: Option<&Version>) -> Result<Option<Json>> {
    let Some(alias) = stage.alias() else { return Ok(None) };
    let reason = format!("follows the stage {}", stage.name());
    let moved = aliases::point(tx, model, alias, to, (&reason, false), &Authority::Ungoverned)?;
    Ok(moved.map(
        |moved| json!({ "alias": alias, "n": moved.n, "from": moved.from, "to": to.map(|to| to.version) }),
    ))
}

/// Points the alias of a stage that a version has left to the highest version that is still there. Where it points elsewhere,
/// somebody has set it, and it stays.
fn leave(tx: &mut Sql<'_>, model: &Model, stage: Stage, version: &Version) -> Result<Option<Json>> {
    let held = aliases::list(tx, &[model.id])?;
    let is_held =
        |alias: &str| held.iter().any(|held| held.alias == alias && held.version == version.version);
    if !stage.alias().is_some_and(is_held) {
        return Ok(None);
    }
    let mut left = latest_in(tx, model.id, stage, version.version)?;
    left.retain(|left| left.status == Status::Ready);
    follow(tx, model, stage, left.iter().max_by_key(|left| left.version))
}

/// The other versions in a stage.
fn latest_in(sql: &mut Sql<'_>, model_id: i64, stage: Stage, but: i64) -> Result<Vec<Version>> {
    let mut found = sql.all(&store::VERSION_LIST, bind![model_id], read)?;
    found.retain(|other| other.stage == stage && other.version != but);
    Ok(found)
}
