//! MLflow's stages of versions.

use serde_json::json;

use super::{Version, read, require, save};
use crate::{
    bind,
    catalog::{Action, asset},
    db::{Change, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    registry::{
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

    fn is_active(self) -> bool {
        matches!(self, Self::Staging | Self::Production)
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
    if archive_others && !stage.is_active() {
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
    let before = std::mem::replace(&mut version.stage, stage);
    save(tx, &mut version)?;
    for other in &mut others {
        other.stage = Stage::Archived;
        save(tx, other)?;
    }
    let archived: Vec<i64> = others.iter().map(|other| other.version).collect();
    let revision = asset::touch(tx, model.id)?;
    let event = Event::new(EventKind::ModelVersionStage)
        .asset(model.id, revision)
        .subject(number.to_string())
        .detail(json!({ "from": before.name(), "to": stage.name(), "archived": archived }));
    Ok(Change::Made((model, version), event))
}

/// The other versions in a stage.
fn latest_in(sql: &mut Sql<'_>, model_id: i64, stage: Stage, but: i64) -> Result<Vec<Version>> {
    let mut found = sql.all(&store::VERSION_LIST, bind![model_id], read)?;
    found.retain(|other| other.stage == stage && other.version != but);
    Ok(found)
}
