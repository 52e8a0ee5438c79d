//! What a version came from: the logged model, the run and the version behind its source, and the lineage they make.
//!
//! What must stay true: nothing is taken from a place that the caller may not read, because whoever may read the version
//! may then read the files; what a client says beside the source must agree with it, and a run that is known from the
//! source is the version's run whatever else is said; a source on the server's own disk
//! lies below the files of the run or the logged model that is named with it. What a copy is made of is worked out once, when it is made:
//! from then on no name is followed.

use syntax::{paths::ArtifactPath, source::SourceUri};

use super::{
    aliases, names,
    signature::Signature,
    versions::{self, Pin, Status, Version},
};
use crate::{
    catalog::{
        Action, asset, authorize,
        lineage::{self, EdgeKind, Fact, NodeRef},
    },
    db::Sql,
    error::{Code, Error, Result},
    files,
    tracking::{artifacts::Home, limits, model, run},
};

/// What a client says about where a version comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimed<'a> {
    /// The source.
    pub source: &'a str,
    /// A run; empty if none was named.
    pub run_id: &'a str,
    /// A logged model; empty if none was named.
    pub model_id: &'a str,
    /// Whether the client uploads the files by itself, so that the source is a note and no address for anybody.
    pub awaits_files: bool,
    /// Whether it is a prompt, whose source is a word that addresses nothing.
    pub is_prompt: bool,
}

/// Where a version comes from.
#[derive(Debug, Default)]
pub(super) struct Origin {
    /// The source as it is stored: as given, but an alias became the version that it meant.
    pub source: String,
    /// The same once copies are followed.
    pub root: String,
    /// The run; empty if unknown.
    pub run_id: String,
    /// The logged model; empty if unknown.
    pub logged_model: String,
    /// `experiment.asset_id` of run or logged model.
    experiment_id: Option<i64>,
    /// The version it is a copy of.
    pub copied: Option<Copied>,
}

/// The version that another is a copy of.
#[derive(Debug)]
pub(super) struct Copied {
    /// `asset.id` of its model.
    pub model_id: i64,
    /// Its number.
    pub version: i64,
    /// Its files, which are the copy's too; none if they are elsewhere.
    pub pin: Option<Pin>,
    /// Its signature, which is the copy's too.
    pub signature: Option<Signature>,
}

/// Works out where a version comes from, for a caller who may read all of it.
pub(super) fn trace(sql: &mut Sql<'_>, claimed: Claimed<'_>) -> Result<Origin> {
    let source = SourceUri::parse(claimed.source).map_err(|error| Error::invalid(error.to_string()))?;
    let mut origin =
        Origin { source: claimed.source.to_owned(), root: claimed.source.to_owned(), ..Origin::default() };
    for (path, id) in [("run_id", claimed.run_id), ("model_id", claimed.model_id)] {
        if !id.is_empty() {
            limits::run_id(path, Some(id))?;
        }
    }
    match &source {
        SourceUri::LoggedModel { model_id } | SourceUri::LoggedModelArtifacts { model_id, .. } => {
            from_logged_model(sql, &mut origin, model_id)?;
        }
        SourceUri::ModelVersion { name, version } => from_version(sql, &mut origin, name, *version)?,
        SourceUri::VersionFiles { name, version, path } if path.is_root() => {
            from_version(sql, &mut origin, &name.to_string(), *version)?;
        }
        SourceUri::PinnedFiles { model_uuid, version, path } if path.is_root() => {
            from_address(sql, &mut origin, model_uuid, *version)?;
        }
        SourceUri::VersionFiles { .. } | SourceUri::PinnedFiles { .. } => {
            return Err(outside(claimed, "It is below the files of a version. Name the version itself"));
        }
        SourceUri::ModelAlias { name, alias } => from_alias(sql, &mut origin, name, alias)?,
        SourceUri::ModelLatest { name, stage } => from_latest(sql, &mut origin, name, *stage)?,
        SourceUri::RunRelative { run_id, path } | SourceUri::RunArtifacts { run_id, path, .. } => {
            same_run(claimed, run_id, claimed.run_id)?;
            from_run(sql, &mut origin, run_id)?;
            if claimed.model_id.is_empty() {
                from_name_in_run(sql, &mut origin, run_id, path)?;
            }
        }
        SourceUri::Local { .. } if claimed.awaits_files => {}
        SourceUri::Local { .. } => check_local(sql, claimed, &source)?,
        SourceUri::Opaque(_) if !claimed.is_prompt => return Err(outside(claimed, OPAQUE)),
        SourceUri::External { .. } | SourceUri::Opaque(_) => {}
    }
    if !claimed.model_id.is_empty() {
        if origin.logged_model.is_empty() {
            let of_source = (origin.run_id.clone(), origin.experiment_id);
            from_logged_model(sql, &mut origin, claimed.model_id)?;
            same_run(claimed, &of_source.0, &origin.run_id)?;
            if !of_source.0.is_empty() {
                (origin.run_id, origin.experiment_id) = of_source;
            }
        } else if origin.logged_model != claimed.model_id {
            return Err(Error::invalid(format!(
                "Invalid model version source: '{}'. It comes from the logged model {}, and model_id names {}.",
                claimed.source, origin.logged_model, claimed.model_id
            )));
        }
    }
    same_run(claimed, &origin.run_id, claimed.run_id)?;
    if origin.run_id.is_empty() && !claimed.run_id.is_empty() {
        from_run(sql, &mut origin, claimed.run_id)?;
    }
    Ok(origin)
}

/// Where a version of another store came from: the source as it was said there, and `root`, which is where the files that came along
/// are. What was allowed there is not asked again.
pub(super) fn carried(sql: &mut Sql<'_>, source: &str, root: &str, run_id: &str) -> Result<Origin> {
    let mut origin = Origin {
        source: source.to_owned(),
        root: root.to_owned(),
        run_id: run_id.to_owned(),
        ..Origin::default()
    };
    if let Ok(SourceUri::LoggedModel { model_id }) = SourceUri::parse(root)
        && let Some(found) = model::find(sql, &model_id)?
    {
        origin.experiment_id = Some(found.experiment_id);
        origin.logged_model = found.uuid;
    }
    if let Some(found) = run::find(sql, run_id)? {
        origin.experiment_id = Some(found.experiment_id);
    }
    if let Ok(SourceUri::RunRelative { run_id, path }) = SourceUri::parse(root) {
        if let Some(found) = run::find(sql, &run_id)? {
            origin.experiment_id = Some(found.experiment_id);
        }
        from_name_in_run(sql, &mut origin, &run_id, &path)?;
    }
    Ok(origin)
}

/// Refuses another run beside the one that is known from the source. Where either is unknown they agree.
fn same_run(claimed: Claimed<'_>, known: &str, said: &str) -> Result<()> {
    if known.is_empty() || said.is_empty() || known == said {
        return Ok(());
    }
    Err(outside(claimed, &format!("It comes from the run {known}, and 'run_id' is {said}")))
}

fn from_logged_model(sql: &mut Sql<'_>, origin: &mut Origin, model_id: &str) -> Result<()> {
    let found = model::load(sql, model_id)?;
    origin.experiment_id = Some(found.experiment_id);
    origin.run_id = found.source_run;
    origin.logged_model = found.uuid;
    Ok(())
}

/// A run that is not known here may be one of another tracking server, and is only written down.
fn from_run(sql: &mut Sql<'_>, origin: &mut Origin, run_id: &str) -> Result<()> {
    run_id.clone_into(&mut origin.run_id);
    if let Some(found) = run::find(sql, run_id)? {
        authorize(sql, Action::Read, found.experiment_id)?;
        origin.experiment_id = Some(found.experiment_id);
    }
    Ok(())
}

/// A run's logged model is called a directory of the run by clients that know no logged models, and by `runs:/`. It is
/// meant where the run has no such directory.
fn from_name_in_run(sql: &mut Sql<'_>, origin: &mut Origin, run_id: &str, path: &ArtifactPath) -> Result<()> {
    let (name, rest) = path.as_str().split_once('/').unwrap_or((path.as_str(), ""));
    let home = Home::Run(run_id.to_owned());
    let Some(experiment) = origin.experiment_id.filter(|_| !name.is_empty()) else { return Ok(()) };
    let place = home.place(sql)?;
    if files::is_directory(sql, &place.area, path)? {
        return Ok(());
    }
    if let Some(found) = model::of_run(sql, run_id, name, experiment)? {
        let root = found.artifact_uri();
        origin.root = if rest.is_empty() { root } else { format!("{root}/{rest}") };
        origin.logged_model = found.uuid;
    }
    Ok(())
}

fn from_version(sql: &mut Sql<'_>, origin: &mut Origin, name: &str, number: u64) -> Result<()> {
    let number = i64::try_from(number).map_err(|_| versions::missing(name, i64::MAX))?;
    let (_, version) = versions::load(sql, name, names::Levels::Any, number)?;
    inherit(origin, version)
}

/// The address that clients are told to download a version from.
fn from_address(sql: &mut Sql<'_>, origin: &mut Origin, model_uuid: &str, number: u64) -> Result<()> {
    let missing = || Error::missing(format!("There is no version of a model at '{}'.", origin.source));
    let found = asset::by_uuid(sql, model_uuid)?.ok_or_else(missing)?;
    authorize(sql, Action::Read, found.id)?;
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let version = versions::get(sql, found.id, number)?.ok_or_else(missing)?;
    inherit(origin, version)
}

fn from_alias(sql: &mut Sql<'_>, origin: &mut Origin, name: &str, alias: &str) -> Result<()> {
    let found = names::load(sql, name, names::Levels::Any)?;
    let version = aliases::resolve(sql, &found, alias)?
        .ok_or_else(|| aliases::missing(alias).with_code(Code::InvalidParameterValue))?;
    // The alias may move on; what this version is made of does not.
    origin.source = format!("models:/{}/{}", found.name(), version.version);
    inherit(origin, version)
}

fn from_latest(sql: &mut Sql<'_>, origin: &mut Origin, name: &str, stage: Option<&str>) -> Result<()> {
    let found = names::load(sql, name, names::Levels::Any)?;
    let version = match stage {
        None => versions::newest(sql, found.id)?,
        Some(stage) => {
            let highest = versions::latest(sql, &[found.id])?;
            highest.into_iter().find(|version| version.stage.name() == stage)
        }
    };
    let version = version.ok_or_else(|| {
        let within = stage.map_or_else(String::new, |stage| format!(" in the stage {stage}"));
        Error::invalid(format!(
            "Invalid model version source: '{}'. The model '{}' has no version{within}.",
            origin.source,
            found.name()
        ))
    })?;
    // Others may come; what this version is made of does not change.
    origin.source = format!("models:/{}/{}", found.name(), version.version);
    inherit(origin, version)
}

/// Whoever may read the version may read its files, so that nothing more is asked about where they came from.
fn inherit(origin: &mut Origin, version: Version) -> Result<()> {
    if version.status != Status::Ready {
        return Err(Error::invalid(format!(
            "Invalid model version source: '{}'. That version is {}: finalize it before it is copied.",
            origin.source,
            version.status.name()
        )));
    }
    origin.root = version.origin;
    origin.run_id = version.run_id;
    origin.logged_model = version.logged_model;
    origin.copied = Some(Copied {
        model_id: version.model_id,
        version: version.version,
        pin: version.pin,
        signature: version.signature,
    });
    Ok(())
}

const OPAQUE: &str =
    "It addresses nothing. Write it as an absolute path or a URI, such as models:/<model id>";

/// A path on the server's disk is taken only where the run or the logged model that is named keeps its files there.
fn check_local(sql: &mut Sql<'_>, claimed: Claimed<'_>, source: &SourceUri) -> Result<()> {
    let mut homes = Vec::with_capacity(2);
    if !claimed.run_id.is_empty() {
        homes.push(run::load(sql, claimed.run_id)?.artifact_uri());
    }
    if !claimed.model_id.is_empty() {
        homes.push(model::load(sql, claimed.model_id)?.artifact_uri());
    }
    let is_home = |home: &String| match (source, SourceUri::parse(home)) {
        (SourceUri::Local { path }, Ok(SourceUri::Local { path: root })) => path.is_under(&root),
        _ => false,
    };
    if homes.iter().any(is_home) {
        return Ok(());
    }
    let of = if claimed.model_id.is_empty() { "run" } else { "model" };
    Err(outside(
        claimed,
        &format!(
            "To use a local path as a model version source, the {of}_id request parameter has to be specified and the local path \
             has to be contained within the artifact directory of the {of} specified by the {of}_id"
        ),
    ))
}

fn outside(claimed: Claimed<'_>, why: &str) -> Error {
    Error::invalid(format!("Invalid model version source: '{}'. {why}.", claimed.source))
}

/// Records what a new version came from.
pub(super) fn record(tx: &mut Sql<'_>, origin: &Origin, model_id: i64, number: i64) -> Result<()> {
    let target_version = number.to_string();
    let target = NodeRef::Asset(model_id);
    if let Some(copied) = &origin.copied {
        let source_version = copied.version.to_string();
        let fact = Fact {
            run_uuid: &origin.run_id,
            source_version: &source_version,
            target_version: &target_version,
            detail: None,
        };
        lineage::record(tx, NodeRef::Asset(copied.model_id), target, EdgeKind::Copies, fact)?;
    } else if let Some(experiment) = origin.experiment_id {
        let fact = Fact { run_uuid: &origin.run_id, target_version: &target_version, ..Fact::default() };
        lineage::record(tx, NodeRef::Asset(experiment), target, EdgeKind::Produces, fact)?;
    }
    Ok(())
}
