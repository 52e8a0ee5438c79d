//! Where the files of a version are.
//!
//! What must stay true: files that this server keeps lie in an area of the version's own, which every face serves; no
//! model's name is followed here. A version keeps the address of what it, or the first version that it is a copy of, was
//! made of (`origin`); models are renamed and deleted, and their names are given again.

use std::collections::HashMap;

use syntax::{paths::ArtifactPath, source::SourceUri};

use super::{
    models::Model,
    versions::{Status, Version},
};
use crate::{
    db::Sql,
    error::{Code, Result},
    files::{self, Place},
    tracking::artifacts::{Home, version_uri},
};

/// The place of a version's own files.
pub(super) fn own(model_id: i64, number: i64) -> Place {
    Place::of_version(model_id, number)
}

/// Where the files of a version are, and are to come as long as it is pending; none if this server does not keep them.
pub(super) fn of(version: &Version) -> Option<Place> {
    let is_here = version.status == Status::Pending || version.pin.is_some();
    is_here.then(|| own(version.model_id, version.version))
}

/// The files that an address means, where this server keeps them: an area, and the directory there.
pub(super) fn kept(
    sql: &mut Sql<'_>,
    origin: &str,
    logged_model: &str,
) -> Result<Option<(Place, ArtifactPath)>> {
    let Some((home, dir)) = tracked(origin, logged_model) else { return Ok(None) };
    match home.artifact_uri(sql) {
        Ok(uri) if uri.starts_with("mlflow-artifacts:") => {}
        // What clients store in a bucket by themselves is elsewhere, and so is a run of another tracking server.
        Ok(_) => return Ok(None),
        Err(error) if error.code() == Code::ResourceDoesNotExist => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some((home.place(sql)?, dir)))
}

/// Whose files an address means, if it is those of a run or a logged model.
fn tracked(origin: &str, logged_model: &str) -> Option<(Home, ArtifactPath)> {
    match SourceUri::parse(origin).ok()? {
        SourceUri::LoggedModel { model_id } => Some((Home::Model(model_id), ArtifactPath::root())),
        SourceUri::LoggedModelArtifacts { model_id, path, .. } => Some((Home::Model(model_id), path)),
        // What a run calls its model may be a logged model, and no directory of its artifacts.
        SourceUri::RunRelative { .. } if !logged_model.is_empty() => {
            Some((Home::Model(logged_model.to_owned()), ArtifactPath::root()))
        }
        SourceUri::RunRelative { run_id, path } | SourceUri::RunArtifacts { run_id, path, .. } => {
            Some((Home::Run(run_id), path))
        }
        _ => None,
    }
}

/// The address by which MLflow's plain client downloads the files.
pub(super) fn download_uri(sql: &mut Sql<'_>, model: &Model, version: &Version) -> Result<String> {
    match of(version) {
        Some(_) => Ok(version_uri(&model.uuid, version.version)),
        None => elsewhere(sql, version),
    }
}

/// Where the faces with the Files API say that the files lie: a path of it, where this server keeps them.
pub(super) fn storage(sql: &mut Sql<'_>, model: &Model, version: &Version) -> Result<String> {
    Addresses::default().storage(sql, model, version)
}

/// Addresses of files that this server does not keep: each is looked up once, however many versions of a page have it.
#[derive(Debug, Default)]
pub(super) struct Addresses(HashMap<String, String>);

impl Addresses {
    /// As [`storage`].
    pub fn storage(&mut self, sql: &mut Sql<'_>, model: &Model, version: &Version) -> Result<String> {
        if of(version).is_some() {
            let Model { catalog, schema, leaf, .. } = model;
            return Ok(format!("/Models/{catalog}/{schema}/{leaf}/{}", version.version));
        }
        if let Some(known) = self.0.get(&version.origin) {
            return Ok(known.clone());
        }
        let found = elsewhere(sql, version)?;
        self.0.insert(version.origin.clone(), found.clone());
        Ok(found)
    }
}

/// The address of files that this server does not keep. `runs:/` is for clients to follow.
fn elsewhere(sql: &mut Sql<'_>, version: &Version) -> Result<String> {
    let as_it_is = || Ok(version.origin.clone());
    match SourceUri::parse(&version.origin) {
        Ok(SourceUri::RunRelative { .. }) | Err(_) => as_it_is(),
        Ok(_) => match tracked(&version.origin, "") {
            Some((home, dir)) => match home.artifact_uri(sql) {
                Ok(root) => Ok(joined(root, &dir)),
                // A run of another tracking server.
                Err(error) if error.code() == Code::ResourceDoesNotExist => as_it_is(),
                Err(error) => Err(error),
            },
            None => as_it_is(),
        },
    }
}

fn joined(root: String, dir: &ArtifactPath) -> String {
    if dir.is_root() { root } else { format!("{root}/{dir}") }
}

/// The address at which the run or the logged model that a version was made of still has the very files of the version.
pub(super) fn made_of(sql: &mut Sql<'_>, version: &Version) -> Result<Option<String>> {
    let Some(pin) = &version.pin else { return Ok(None) };
    let Some((place, dir)) = kept(sql, &version.origin, &version.logged_model)? else { return Ok(None) };
    let is_same = match files::manifest(sql, &place.area, &dir) {
        Ok(now) => now == pin.manifest,
        Err(error) if error.is_ours() => return Err(error),
        // More than a version can have.
        Err(_) => false,
    };
    match tracked(&version.origin, &version.logged_model).filter(|_| is_same) {
        Some((home, dir)) => Ok(Some(joined(home.artifact_uri(sql)?, &dir))),
        None => Ok(None),
    }
}
