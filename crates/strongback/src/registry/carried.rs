//! Registered models and their versions in whole, as they travel between stores: with their numbers, times and stages.
//!
//! What must stay true: a version that comes is pinned like any other where its files are here ([`super::versions::Pin`]), and one
//! whose files come later is pinned then, once; stages come as they were, and move no alias; nobody is told of what happened elsewhere long ago, so that the event is the carrier's
//! and no hook fires.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::{names::check_alias_not_reserved, paths::ArtifactPath, source::SourceUri};

use super::{
    aliases::{self, Alias},
    governance::{self, Authority},
    location,
    models::{self, Model},
    names::{self, Levels},
    provenance::{self, Origin},
    signature::{self, Told},
    store,
    tags::{self, Tags},
    versions::{self, Stage, Version},
};
use crate::{
    bind,
    catalog::{asset, names::refused},
    context::Ctx,
    db::Sql,
    error::{Code, Error, Result},
    files::{self, File, Place},
    tracking::{
        artifacts::version_uri,
        limits,
        wire::{CARRIED_CHARS, Taken},
    },
};

/// How the reason of an alias begins that came from another store.
const REASON: &str = "imported from ";

/// A registered model in whole, but for its versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CarriedModel {
    /// Its name.
    pub name: String,
    /// Description; empty if there is none.
    #[serde(default)]
    pub description: String,
    /// Milliseconds since the epoch.
    pub created_time: i64,
    /// Milliseconds since the epoch.
    pub updated_time: i64,
    /// By key.
    #[serde(default)]
    pub tags: Tags,
}

/// A version in whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CarriedVersion {
    /// The model's name.
    pub name: String,
    /// Its number, from 1.
    pub version: i64,
    /// Where it came from, as it was said.
    #[serde(default)]
    pub source: String,
    /// The run it came from; empty if none is known.
    #[serde(default)]
    pub run_id: String,
    /// A link to a run somewhere else; empty if there is none.
    #[serde(default)]
    pub run_link: String,
    /// Description; empty if there is none.
    #[serde(default)]
    pub description: String,
    /// `READY`; one whose files never came cannot be taken.
    pub status: String,
    /// `None`, `Staging`, `Production` or `Archived`.
    pub stage: String,
    /// Milliseconds since the epoch.
    pub created_time: i64,
    /// Milliseconds since the epoch.
    pub updated_time: i64,
    /// By key.
    #[serde(default)]
    pub tags: Tags,
}

/// Which files in this server a version is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MadeOf {
    /// None: they are elsewhere, or have not come.
    #[default]
    Nothing,
    /// Those at `runs:/<run>/<path>` or `models:/m-<id>`.
    Address(String),
    /// Those that were put into its own place.
    Own,
}

/// Aliases of one model: each with the number of its version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CarriedAliases {
    /// The model's name.
    pub name: String,
    /// By name.
    pub aliases: BTreeMap<String, i64>,
}

fn check_tags(tags: &Tags) -> Result<()> {
    for (key, value) in tags {
        limits::key("tags", Some(key))?;
        limits::text("tags", value, CARRIED_CHARS)?;
    }
    Ok(())
}

/// The model with this name, if there is one. Asks for no rights.
pub fn present(sql: &mut Sql<'_>, name: &str) -> Result<Option<Model>> {
    match names::find(sql, name)? {
        Some(id) => models::get(sql, id),
        None => Ok(None),
    }
}

/// Whether a version is here. Asks for no rights.
pub fn is_here(sql: &mut Sql<'_>, carried: &CarriedVersion) -> Result<bool> {
    let Some(model) = present(sql, &carried.name)? else { return Ok(false) };
    Ok(versions::get(sql, model.id, carried.version)?.is_some())
}

/// Takes a model, or what is new of one that is here. The caller has authorised it, and leaves the event.
pub fn take_model(tx: &mut Sql<'_>, carried: &CarriedModel) -> Result<Taken> {
    check_tags(&carried.tags)?;
    limits::text("description", &carried.description, CARRIED_CHARS)?;
    let comment = Some(carried.description.as_str()).filter(|text| !text.is_empty());
    let times = (carried.created_time, carried.updated_time);
    let Some(found) = present(tx, &carried.name)? else {
        let place = names::place(tx, &carried.name, Levels::Any)?;
        asset::lock(tx, place.schema.id)?;
        let new = place.new_asset(tx, comment);
        let made = asset::create(tx, &new)?;
        tx.execute(&store::MODEL_INSERT, bind![made.id, &tags::to_json(&carried.tags)?])?;
        asset::backdate(tx, made.id, times)?;
        return Ok(Taken::Made);
    };
    let mut stored = asset::lock(tx, found.id)?;
    let mut tags = found.tags.clone();
    tags::apply(&mut tags, &carried.tags, &[])?;
    let is_same = tags == found.tags
        && stored.comment.as_deref() == comment
        && (stored.created_at, stored.updated_at) == times;
    if is_same {
        return Ok(Taken::Same);
    }
    if stored.comment.as_deref() != comment {
        stored.comment = comment.map(str::to_owned);
        let leaf_key = match stored.wire_name {
            Some(_) => stored.leaf.clone(),
            None => syntax::names::fold_case(&stored.leaf),
        };
        asset::update(tx, &stored, &leaf_key)?;
    }
    tx.execute(&store::MODEL_SET_TAGS, bind![found.id, &tags::to_json(&tags)?])?;
    asset::backdate(tx, found.id, times)?;
    Ok(Taken::Changed)
}

/// What the files of a version say about its inputs and outputs, read before the transaction that makes it.
pub async fn told(ctx: &Ctx, carried: &CarriedVersion, files: &MadeOf) -> Result<Told> {
    if *files == MadeOf::Nothing {
        return Ok(Told::default());
    }
    let (files, name, number) = (files.clone(), carried.name.clone(), carried.version);
    let look = move |sql: &mut Sql<'_>| {
        crate::catalog::authorize_admin(sql, "take models of another store")?;
        let found = match &files {
            MadeOf::Nothing => None,
            MadeOf::Address(address) => {
                let origin = provenance::carried(sql, address, address, "")?;
                location::kept(sql, &origin.root, &origin.logged_model)?
            }
            MadeOf::Own => {
                let model = present(sql, &name)?;
                model.map(|model| (location::own(model.id, number), ArtifactPath::root()))
            }
        };
        match found {
            Some((place, dir)) => signature::find(sql, &place, &dir),
            None => Ok(None),
        }
    };
    signature::read(ctx, look).await
}

/// Takes a version, or what is new of one that is here. The caller has authorised it, and leaves the event.
pub fn take_version(
    tx: &mut Sql<'_>,
    carried: &CarriedVersion,
    files: &MadeOf,
    told: &Told,
) -> Result<Taken> {
    let stage = check_version(carried)?;
    let model = require(tx, &carried.name)?;
    asset::lock(tx, model.id)?;
    let times = (carried.created_time, carried.updated_time);
    let Some(found) = versions::get(tx, model.id, carried.version)? else {
        let next: i64 = tx.one(&store::MODEL_NEXT_NUMBER, bind![model.id], |row| row.get(0))?;
        let is_gone = tx.first(&store::VERSION_EVER, bind![model.id, carried.version], |_| Ok(()))?.is_some();
        if is_gone {
            return Err(Error::new(
                Code::ResourceConflict,
                format!("Version {} of '{}' was deleted here.", carried.version, carried.name),
            ));
        }
        if carried.version >= next {
            tx.execute(&store::MODEL_SET_NEXT, bind![model.id, carried.version + 1])?;
        }
        make_version(tx, &model, carried, files, told)?;
        let tags = tags::to_json(&carried.tags)?;
        put_version(tx, (model.id, carried.version), stage, &carried.description, &tags, times)?;
        return Ok(Taken::Made);
    };
    let is_pinned_now = pin_late(tx, &model, &found, files, told)?;
    let mut tags = found.tags.clone();
    tags::apply(&mut tags, &carried.tags, &[])?;
    let is_same = !is_pinned_now
        && tags == found.tags
        && found.stage == stage
        && found.description == carried.description
        && (found.created_at, found.updated_at) == times;
    if is_same {
        return Ok(Taken::Same);
    }
    let tags = tags::to_json(&tags)?;
    put_version(tx, (model.id, carried.version), stage, &carried.description, &tags, times)?;
    Ok(Taken::Changed)
}

fn check_version(carried: &CarriedVersion) -> Result<Stage> {
    check_tags(&carried.tags)?;
    for (path, text) in
        [("source", &carried.source), ("run_link", &carried.run_link), ("description", &carried.description)]
    {
        limits::text(path, text, CARRIED_CHARS)?;
    }
    if !carried.run_id.is_empty() {
        limits::run_id("run_id", Some(&carried.run_id))?;
    }
    if carried.version < 1 {
        return Err(Error::invalid(format!("A version has a number from 1, not {}.", carried.version)));
    }
    if carried.status != versions::Status::Ready.name() {
        return Err(Error::invalid(format!(
            "Version {} of '{}' is {}: its files never came.",
            carried.version,
            carried.name,
            limits::cut(&carried.status, 100)
        )));
    }
    Stage::parse(&carried.stage)
}

fn require(sql: &mut Sql<'_>, name: &str) -> Result<Model> {
    present(sql, name)?
        .ok_or_else(|| Error::missing(format!("The model '{}' has not come.", limits::cut(name, 300))))
}

fn make_version(
    tx: &mut Sql<'_>,
    model: &Model,
    carried: &CarriedVersion,
    files: &MadeOf,
    told: &Told,
) -> Result<()> {
    // What is not among the files that came is nowhere here, whatever else has the ids that its source names.
    let root = match (files, SourceUri::parse(&carried.source)) {
        (MadeOf::Address(address), _) => address.as_str(),
        (_, Ok(SourceUri::External { .. })) => carried.source.as_str(),
        _ => "",
    };
    let origin = provenance::carried(tx, &carried.source, root, &carried.run_id)?;
    let Origin { source, root, run_id, logged_model, .. } = &origin;
    let (by, now) = (tx.caller().id, tx.now());
    tx.execute(
        &store::VERSION_INSERT,
        bind![
            model.id,
            carried.version,
            source,
            root,
            run_id,
            &carried.run_link,
            logged_model,
            &carried.description,
            &tags::to_json(&carried.tags)?,
            by,
            now
        ],
    )?;
    versions::make_ready(tx, model, carried.version, &origin, told)?;
    provenance::record(tx, &origin, model.id, carried.version)
}

/// Pins a version that has no files yet to those that have come since. Whether there are any.
fn pin_late(tx: &mut Sql<'_>, model: &Model, found: &Version, files: &MadeOf, told: &Told) -> Result<bool> {
    if has_files(found) {
        return Ok(false);
    }
    let number = found.version;
    let MadeOf::Address(address) = files else {
        let own = location::own(model.id, number);
        let is_there =
            *files == MadeOf::Own && files::manifest(tx, &own.area, &ArtifactPath::root())?.files > 0;
        if is_there {
            governance::refuse_files(tx, model, number)?;
            versions::make_ready_of_own(tx, model, number, told)?;
        }
        return Ok(is_there);
    };
    let origin = provenance::carried(tx, &found.source, address, &found.run_id)?;
    let Some((place, dir)) = location::kept(tx, &origin.root, &origin.logged_model)? else {
        return Ok(false);
    };
    if files::manifest(tx, &place.area, &dir)?.files == 0 {
        return Ok(false);
    }
    governance::refuse_files(tx, model, number)?;
    tx.execute(&store::VERSION_MADE_OF, bind![model.id, number, &origin.root, &origin.logged_model])?;
    versions::make_ready(tx, model, number, &origin, told)?;
    provenance::record(tx, &origin, model.id, number)?;
    Ok(true)
}

/// Whether a version is pinned to any file.
fn has_files(version: &Version) -> bool {
    version.pin.as_ref().is_some_and(|pin| pin.manifest.files > 0)
}

/// The place of the own files of the version `name/number`, and its address. To write there, it must have no files yet. The caller has
/// authorised it.
pub fn own_place(sql: &mut Sql<'_>, id: &str, is_to_write: bool) -> Result<(Place, String)> {
    let missing = || Error::missing(format!("There is no version '{}'.", limits::cut(id, 300)));
    let (model, version) = version_of(sql, id)?.ok_or_else(missing)?;
    if is_to_write && has_files(&version) {
        return Err(Error::new(
            Code::ResourceConflict,
            format!("Version {} of '{}' has its files, and they stay.", version.version, model.name()),
        ));
    }
    Ok((location::own(model.id, version.version), version_uri(&model.uuid, version.version)))
}

fn put_version(
    tx: &mut Sql<'_>,
    (model_id, number): (i64, i64),
    stage: Stage,
    description: &str,
    tags: &str,
    (created_at, updated_at): (i64, i64),
) -> Result<()> {
    tx.execute(
        &store::VERSION_CARRY,
        bind![model_id, number, stage.name(), description, tags, created_at, updated_at],
    )?;
    Ok(())
}

/// Points aliases to the versions that they had. Where these are `all` that the model has there, an alias that came from the same source
/// and is not among them is taken away, unless somebody moved it here since. A governed alias stays where its gates have it: that is an
/// error. The caller has authorised it, and leaves the event.
pub fn take_aliases(tx: &mut Sql<'_>, carried: &CarriedAliases, all: bool, source: &str) -> Result<Taken> {
    let model = require(tx, &carried.name)?;
    asset::lock(tx, model.id)?;
    let reason = format!("{REASON}{}", limits::cut(source, 200));
    let mut taken = Taken::Same;
    for (alias, number) in &carried.aliases {
        check_alias_not_reserved(alias).map_err(refused)?;
        let version = versions::require(tx, &model, *number)?;
        let last = aliases::moves(tx, model.id, alias)?.pop();
        if let Some(last) = last.filter(|last| last.to != Some(*number) && !last.reason.starts_with(REASON)) {
            return Err(Error::new(
                Code::ResourceConflict,
                format!(
                    "The alias '{alias}' was moved here since ({}): it stays where it is.",
                    limits::cut(&last.reason, 100)
                ),
            ));
        }
        let moved =
            aliases::point(tx, &model, alias, Some(&version), (&reason, false), &Authority::Ungoverned)?;
        if moved.is_some() {
            taken = Taken::Made;
        }
    }
    if all && remove_aliases(tx, &model, carried, &reason)? {
        taken = Taken::Made;
    }
    Ok(taken)
}

/// Takes away the aliases that came with this reason, were not moved since, and are not among those that come. Whether there were any.
fn remove_aliases(tx: &mut Sql<'_>, model: &Model, carried: &CarriedAliases, reason: &str) -> Result<bool> {
    let mut gone = aliases::list(tx, &[model.id])?;
    gone.retain(|alias| !carried.aliases.contains_key(&alias.alias));
    let mut is_news = false;
    for Alias { alias, .. } in gone {
        let last = aliases::moves(tx, model.id, &alias)?.pop();
        if last.is_some_and(|last| last.reason == reason) {
            is_news |=
                aliases::point(tx, model, &alias, None, (reason, false), &Authority::Ungoverned)?.is_some();
        }
    }
    Ok(is_news)
}

/// Every model, whoever may see it, by name: for administrators.
pub fn give_models(sql: &mut Sql<'_>) -> Result<Vec<CarriedModel>> {
    let mut ids = Vec::new();
    for outline in models::outlines(sql)? {
        ids.push(outline.id);
    }
    let mut given: Vec<CarriedModel> = models::in_order(sql, &ids)?.iter().map(whole_model).collect();
    given.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(given)
}

/// A model as it is given to another store.
pub fn whole_model(model: &Model) -> CarriedModel {
    CarriedModel {
        name: model.name(),
        description: model.description.clone(),
        created_time: model.created_at,
        updated_time: model.updated_at,
        tags: model.tags.clone(),
    }
}

/// The version that `name/number` means, in whole, and how many files it is pinned to. The caller has authorised it.
pub fn give_version(sql: &mut Sql<'_>, id: &str) -> Result<Option<(CarriedVersion, u64)>> {
    Ok(version_of(sql, id)?.map(|(model, version)| {
        let files = version.pin.as_ref().map_or(0, |pin| pin.manifest.files);
        (whole_version(&model, version), files)
    }))
}

fn version_of(sql: &mut Sql<'_>, id: &str) -> Result<Option<(Model, Version)>> {
    let Some((name, number)) = id.rsplit_once('/') else { return Ok(None) };
    let (Some(model), Ok(number)) = (present(sql, name)?, number.parse()) else { return Ok(None) };
    Ok(versions::get(sql, model.id, number)?.map(|version| (model, version)))
}

/// A version as it is given.
#[derive(Debug)]
pub struct Given {
    /// The version.
    pub item: CarriedVersion,
    /// The address at which its files are: those of the run or the logged model that it was made of, as long as they are the same.
    pub address: String,
    /// Its files, where they are its own alone.
    pub files: Vec<File>,
}

/// Versions of a model after a number, in whole. The caller has authorised it.
pub fn give_versions(sql: &mut Sql<'_>, model: &Model, after: i64, most: i64) -> Result<Vec<Given>> {
    let mut given = Vec::new();
    for version in versions::page(sql, model.id, after, most)? {
        let (address, files) = match (location::made_of(sql, &version)?, location::of(&version)) {
            (Some(address), _) => (address, Vec::new()),
            (None, Some(own)) => (location::download_uri(sql, model, &version)?, files::all(sql, &own.area)?),
            (None, None) => (location::download_uri(sql, model, &version)?, Vec::new()),
        };
        given.push(Given { item: whole_version(model, version), address, files });
    }
    Ok(given)
}

fn whole_version(model: &Model, version: Version) -> CarriedVersion {
    CarriedVersion {
        name: model.name(),
        version: version.version,
        source: version.source,
        run_id: version.run_id,
        run_link: version.run_link,
        description: version.description,
        status: version.status.name().to_owned(),
        stage: version.stage.name().to_owned(),
        created_time: version.created_at,
        updated_time: version.updated_at,
        tags: version.tags,
    }
}

/// The aliases of a model.
pub fn give_aliases(sql: &mut Sql<'_>, model: &Model) -> Result<CarriedAliases> {
    let aliases = aliases::list(sql, &[model.id])?;
    let aliases = aliases.into_iter().map(|alias| (alias.alias, alias.version)).collect();
    Ok(CarriedAliases { name: model.name(), aliases })
}
