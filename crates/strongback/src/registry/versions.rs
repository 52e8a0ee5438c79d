//! Versions of models: making, finishing, changing and deleting them, and where their files are.

use serde_json::json;
use syntax::source::SourceUri;

use super::{
    aliases,
    models::Model,
    names::{self, Levels},
    provenance::{self, Claimed},
    store,
    tags::{self, Tags},
};
use crate::{
    bind,
    catalog::{Action, asset},
    db::{Change, Row, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
};

/// Versions are followed to those they were copied from at most so often.
const COPIES_MAX: usize = 32;

/// Where a version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its files are on their way.
    Pending,
    /// It can be used.
    Ready,
}

impl Status {
    /// As every face writes it, and as it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING_REGISTRATION",
            Self::Ready => "READY",
        }
    }

    fn parse(name: &str) -> Result<Self> {
        [Self::Pending, Self::Ready]
            .into_iter()
            .find(|status| status.name() == name)
            .ok_or_else(|| Error::internal(format!("a model version has the unknown status {name:?}")))
    }
}

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

/// A version of a model.
#[derive(Debug, Clone)]
pub struct Version {
    /// `asset.id` of the model.
    pub model_id: i64,
    /// Its number, from 1.
    pub version: i64,
    /// Where it stands.
    pub status: Status,
    /// Why it stands there; mostly empty.
    pub status_message: String,
    /// MLflow's stage.
    pub stage: Stage,
    /// Where it came from, as the client said it.
    pub source: String,
    /// The run it came from; empty if there is none.
    pub run_id: String,
    /// A link to a run somewhere else; empty if there is none.
    pub run_link: String,
    /// The logged model it came from; empty if there is none.
    pub logged_model: String,
    /// Description; empty if there is none.
    pub description: String,
    /// Whether files were uploaded for it; else its files are those of its source.
    pub has_own_files: bool,
    /// Its tags.
    pub tags: Tags,
    /// Who made it.
    pub created_by: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
}

/// Columns of the statements that list versions.
pub(super) fn read(row: &Row<'_>) -> Result<Version> {
    Ok(Version {
        model_id: row.get(0)?,
        version: row.get(1)?,
        status: Status::parse(&row.get::<String>(2)?)?,
        status_message: row.get(3)?,
        stage: Stage::parse(&row.get::<String>(4)?)?,
        source: row.get(5)?,
        run_id: row.get(6)?,
        run_link: row.get(7)?,
        logged_model: row.get(8)?,
        description: row.get(9)?,
        has_own_files: row.flag(10)?,
        tags: tags::from_json(&row.get::<String>(11)?)?,
        created_by: row.get::<Option<String>>(12)?.unwrap_or_default(),
        created_at: row.get(13)?,
        updated_at: row.get(14)?,
    })
}

/// The living version with this number, without asking whether the caller may see it.
pub fn get(sql: &mut Sql<'_>, model_id: i64, number: i64) -> Result<Option<Version>> {
    sql.first(&store::VERSION_BY_N, bind![model_id, number], read)
}

/// The version with this number, which must be there.
pub fn require(sql: &mut Sql<'_>, model: &Model, number: i64) -> Result<Version> {
    get(sql, model.id, number)?.ok_or_else(|| missing(&model.name(), number))
}

/// The version with the highest number.
pub fn newest(sql: &mut Sql<'_>, model_id: i64) -> Result<Option<Version>> {
    sql.first(&store::VERSION_NEWEST, bind![model_id], read)
}

/// The highest version of each stage, of some models.
pub fn latest(sql: &mut Sql<'_>, model_ids: &[i64]) -> Result<Vec<Version>> {
    let ids = serde_json::to_string(model_ids).map_err(Error::internal)?;
    sql.all(&store::VERSION_LATEST, bind![&ids], read)
}

/// Versions of a model after a number, ascending.
pub fn page(sql: &mut Sql<'_>, model_id: i64, after: i64, most: i64) -> Result<Vec<Version>> {
    sql.all(&store::VERSION_PAGE, bind![model_id, after, most], read)
}

/// A model and one of its versions, for a caller who may read the model.
pub fn load(sql: &mut Sql<'_>, name: &str, levels: Levels, number: i64) -> Result<(Model, Version)> {
    let model = names::load(sql, name, levels)?;
    let version = require(sql, &model, number)?;
    Ok((model, version))
}

/// The error for a number that is not there.
pub fn missing(name: &str, number: i64) -> Error {
    Error::missing(format!("Model Version (name={name}, version={number}) not found"))
}

/// What a version is made of.
#[derive(Debug, Clone, Default)]
pub struct NewVersion {
    /// Where it comes from.
    pub source: String,
    /// The run that the client names; empty if none.
    pub run_id: String,
    /// The logged model that the client names; empty if none.
    pub model_id: String,
    /// A link to a run somewhere else.
    pub run_link: String,
    /// Description.
    pub description: String,
    /// Its tags.
    pub tags: Tags,
    /// Whether the client will upload files for it and then finalize it.
    pub awaits_files: bool,
}

/// Makes the next version of a model, with the lineage that its source tells.
pub fn create(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    new: &NewVersion,
) -> Result<Change<(Model, Version)>> {
    let model = names::lock(tx, name, levels, Action::Edit)?;
    let claimed = Claimed { source: &new.source, run_id: &new.run_id, model_id: &new.model_id };
    let origin = provenance::trace(tx, claimed)?;
    let status = if new.awaits_files { Status::Pending } else { Status::Ready };
    let number: i64 = tx.one(&store::MODEL_TAKE_NUMBER, bind![model.id], |row| row.get(0))?;
    let (now, by) = (tx.now(), tx.caller().id);
    tx.execute(
        &store::VERSION_INSERT,
        bind![
            model.id,
            number,
            status.name(),
            &origin.source,
            &origin.run_id,
            &new.run_link,
            &origin.logged_model,
            &new.description,
            new.awaits_files,
            &tags::to_json(&new.tags)?,
            by,
            now
        ],
    )?;
    provenance::record(tx, &origin, model.id, number)?;
    let revision = asset::touch(tx, model.id)?;
    let event = Event::new(EventKind::ModelVersionCreate)
        .asset(model.id, revision)
        .subject(number.to_string())
        .detail(json!({
            "source": origin.source, "run_id": origin.run_id, "model_id": origin.logged_model,
            "status": status.name(), "description": new.description, "tags": new.tags,
        }));
    let version = require(tx, &model, number)?;
    Ok(Change::Made((model, version), event))
}

/// Declares the files of a version complete.
pub fn finalize(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    number: i64,
) -> Result<Change<(Model, Version)>> {
    change(tx, name, levels, number, EventKind::ModelVersionFinalize, |version| {
        version.status = Status::Ready;
        json!({})
    })
}

/// Changes the description of a version.
pub fn describe(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    number: i64,
    description: &str,
) -> Result<Change<(Model, Version)>> {
    change(tx, name, levels, number, EventKind::ModelVersionUpdate, |version| {
        let before = std::mem::replace(&mut version.description, description.to_owned());
        json!({ "description": [before, description] })
    })
}

/// Sets and removes tags of a version.
pub fn change_tags(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    number: i64,
    set: &Tags,
    remove: &[String],
) -> Result<Change<(Model, Version)>> {
    let kind = if set.is_empty() { EventKind::ModelVersionTagDelete } else { EventKind::ModelVersionTagSet };
    change(tx, name, levels, number, kind, |version| {
        tags::apply(&mut version.tags, set, remove);
        json!({ "set": set, "removed": remove })
    })
}

/// Changes one version; nothing happens if `edit` leaves it as it was.
fn change(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    number: i64,
    kind: EventKind,
    edit: impl FnOnce(&mut Version) -> serde_json::Value,
) -> Result<Change<(Model, Version)>> {
    let model = names::lock(tx, name, levels, Action::Edit)?;
    let before = require(tx, &model, number)?;
    let mut version = before.clone();
    let detail = edit(&mut version);
    let is_same = version.status == before.status
        && version.description == before.description
        && version.tags == before.tags;
    if is_same {
        return Ok(Change::Nothing((model, before)));
    }
    save(tx, &mut version)?;
    let revision = asset::touch(tx, model.id)?;
    let event = Event::new(kind).asset(model.id, revision).subject(number.to_string()).detail(detail);
    Ok(Change::Made((model, version), event))
}

fn save(tx: &mut Sql<'_>, version: &mut Version) -> Result<()> {
    version.updated_at = tx.now();
    let tags = tags::to_json(&version.tags)?;
    let (status, stage) = (version.status.name(), version.stage.name());
    tx.execute(
        &store::VERSION_UPDATE,
        bind![
            version.model_id,
            version.version,
            status,
            stage,
            &version.description,
            &tags,
            version.updated_at
        ],
    )?;
    Ok(())
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

/// Deletes a version; its aliases go with it, its number is not given again.
pub fn delete(tx: &mut Sql<'_>, name: &str, levels: Levels, number: i64) -> Result<Change<()>> {
    let model = names::lock(tx, name, levels, Action::Delete)?;
    require(tx, &model, number)?;
    let dropped = aliases::drop_all(tx, model.id, Some(number), "the version was deleted")?;
    let now = tx.now();
    tx.execute(&store::VERSION_DELETE, bind![model.id, number, now])?;
    let revision = asset::touch(tx, model.id)?;
    let event = Event::new(EventKind::ModelVersionDelete)
        .asset(model.id, revision)
        .subject(number.to_string())
        .detail(json!({ "aliases": dropped }));
    Ok(Change::Made((), event))
}

/// The address by which MLflow's plain client downloads the files: that of the logged model it came from, also through
/// copies; else the source as it is.
pub fn download_uri(sql: &mut Sql<'_>, version: &Version) -> Result<String> {
    let mut version = version.clone();
    for _ in 0..COPIES_MAX {
        if let Some(uri) = provenance::logged_model_uri(sql, &version)? {
            return Ok(uri);
        }
        let (name, number) = match SourceUri::parse(&version.source) {
            Ok(SourceUri::ModelVersion { name, version }) => (name, version as i64),
            Ok(SourceUri::VersionFiles { name, version, .. }) => (name.to_string(), version as i64),
            _ => return Ok(version.source),
        };
        let Some(model_id) = names::find(sql, &name)? else { return Ok(version.source) };
        match get(sql, model_id, number)? {
            Some(earlier) => version = earlier,
            None => return Ok(version.source),
        }
    }
    Ok(version.source)
}
