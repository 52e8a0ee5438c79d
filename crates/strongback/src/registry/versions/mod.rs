//! Versions of models: making, finishing, changing and deleting them.

mod create;
mod pin;
mod stage;

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

pub use create::{NewVersion, version_create, version_finalize};
pub(super) use create::{make_ready, make_ready_of_own};
pub use pin::{Pin, detail as pin_detail};
pub use stage::{Stage, Transition, transition};

use super::{
    aliases, governance, location,
    models::Model,
    names::{self, Levels},
    signature::Signature,
    store,
    tags::{self, Tags},
};
use crate::{
    bind,
    catalog::{Action, asset},
    context::Ctx,
    db::{Change, Row, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    files::{self, Manifest},
    objects::ObjectId,
};

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
    /// The same once copies are followed; no model's name is in it.
    pub origin: String,
    /// The run it came from; empty if there is none.
    pub run_id: String,
    /// A link to a run somewhere else; empty if there is none.
    pub run_link: String,
    /// The logged model it came from; empty if there is none.
    pub logged_model: String,
    /// Description; empty if there is none.
    pub description: String,
    /// What it takes and gives, as it was when it became ready; none if nothing was said about it.
    pub signature: Option<Signature>,
    /// The files that it is made of; none as long as it is pending, and where they are elsewhere.
    pub pin: Option<Pin>,
    /// Its tags.
    pub tags: Tags,
    /// Who made it.
    pub created_by: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
}

impl Version {
    /// About how many bytes it holds.
    pub(super) fn bytes(&self) -> u64 {
        let Self { source, origin, run_link, description, status_message, .. } = self;
        let texts = [source, origin, run_link, description, status_message];
        (size_of::<Self>() + texts.iter().map(|text| text.len()).sum::<usize>()) as u64
            + tags::bytes(&self.tags)
    }
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
        origin: row.get(6)?,
        run_id: row.get(7)?,
        run_link: row.get(8)?,
        logged_model: row.get(9)?,
        description: row.get(10)?,
        signature: row.get::<Option<String>>(11)?.map(|text| Signature::from_json(&text)).transpose()?,
        tags: tags::from_json(&row.get::<String>(12)?)?,
        created_by: row.get::<Option<String>>(13)?.unwrap_or_default(),
        created_at: row.get(14)?,
        updated_at: row.get(15)?,
        pin: match row.get::<Option<String>>(16)? {
            Some(digest) => Some(Pin {
                manifest: Manifest {
                    digest,
                    files: row.get::<i64>(17)? as u64,
                    bytes: row.get::<i64>(18)? as u64,
                },
                at: row.get(19)?,
            }),
            None => None,
        },
    })
}

/// The living version with this number, without asking whether the caller may see it.
pub fn get(sql: &mut Sql<'_>, model_id: i64, number: i64) -> Result<Option<Version>> {
    sql.first(&store::VERSION_BY_N, bind![model_id, number], read)
}

/// Living versions by `asset.id` of their model and number, in the order of these; a statement a model.
pub(super) fn in_order(sql: &mut Sql<'_>, ids: &[(i64, i64)]) -> Result<Vec<Version>> {
    let mut of_models: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (model_id, number) in ids {
        of_models.entry(*model_id).or_default().push(*number);
    }
    let mut found = HashMap::new();
    for (model_id, numbers) in of_models {
        let numbers = serde_json::to_string(&numbers).map_err(Error::internal)?;
        sql.each(&store::VERSION_BY_NUMBERS, bind![model_id, &numbers], |row| {
            let version = read(row)?;
            found.insert((model_id, version.version), version);
            Ok(true)
        })?;
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
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

/// The newest versions of a model, descending.
pub fn last(sql: &mut Sql<'_>, model_id: i64, most: i64) -> Result<Vec<Version>> {
    sql.all(&store::VERSION_LAST, bind![model_id, most], read)
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

/// Changes the description of a version; absent leaves it.
pub fn describe(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    number: i64,
    description: Option<&str>,
) -> Result<Change<(Model, Version)>> {
    change(tx, name, levels, number, EventKind::ModelVersionUpdate, |version| {
        let after = description.unwrap_or(&version.description).to_owned();
        let before = std::mem::replace(&mut version.description, after.clone());
        Ok(json!({ "description": [before, after] }))
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
        tags::apply(&mut version.tags, set, remove)?;
        Ok(tags::detail(set, remove))
    })
}

/// Changes one version; nothing happens if `edit` leaves it as it was.
fn change(
    tx: &mut Sql<'_>,
    name: &str,
    levels: Levels,
    number: i64,
    kind: EventKind,
    edit: impl FnOnce(&mut Version) -> Result<serde_json::Value>,
) -> Result<Change<(Model, Version)>> {
    let model = names::lock(tx, name, levels, Action::Edit)?;
    let before = require(tx, &model, number)?;
    let mut version = before.clone();
    let detail = edit(&mut version)?;
    if version.description == before.description && version.tags == before.tags {
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
    let stage = version.stage.name();
    tx.execute(
        &store::VERSION_UPDATE,
        bind![version.model_id, version.version, stage, &version.description, &tags, version.updated_at],
    )?;
    Ok(())
}

/// Deletes a version with its files; its aliases go with it, its number is not given again.
pub async fn version_delete(ctx: &Ctx, name: String, levels: Levels, number: i64) -> Result<()> {
    let garbage = ctx.write(move |tx| delete(tx, &name, levels, number)).await?;
    ctx.app.objects.remove(garbage).await;
    Ok(())
}

/// The same within a transaction. Answers the objects that are to be removed after it.
fn delete(tx: &mut Sql<'_>, name: &str, levels: Levels, number: i64) -> Result<Change<Vec<ObjectId>>> {
    let model = names::lock(tx, name, levels, Action::Delete)?;
    let version = require(tx, &model, number)?;
    governance::refuse_dropping(tx, &model, Some(number))?;
    let dropped = aliases::drop_all(tx, model.id, Some(number), "the version was deleted")?;
    let garbage = match location::of(&version) {
        Some(place) => files::clear(tx, &place.area)?,
        None => Vec::new(),
    };
    let now = tx.now();
    tx.execute(&store::VERSION_DELETE, bind![model.id, number, now])?;
    let followed = stage::deleted(tx, &model, &version, &dropped)?;
    let revision = asset::touch(tx, model.id)?;
    let event = Event::new(EventKind::ModelVersionDelete)
        .asset(model.id, revision)
        .subject(number.to_string())
        .detail(json!({ "aliases": dropped, "followed": followed }));
    Ok(Change::Made(garbage, event))
}

/// Deletes what a model that is being deleted has: its versions with their files, and its aliases. Answers the aliases,
/// and the objects that are to be removed after the transaction.
pub(super) fn delete_all(
    tx: &mut Sql<'_>,
    model_id: i64,
    reason: &str,
) -> Result<(Vec<String>, Vec<ObjectId>)> {
    let dropped = aliases::drop_all(tx, model_id, None, reason)?;
    let mut garbage = Vec::new();
    for number in tx.all(&store::VERSION_WITH_FILES, bind![model_id], |row| row.get(0))? {
        garbage.extend(files::clear(tx, &location::own(model_id, number).area)?);
    }
    let now = tx.now();
    tx.execute(&store::VERSION_DELETE_ALL, bind![model_id, now])?;
    Ok((dropped, garbage))
}
