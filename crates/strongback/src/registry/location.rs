//! Where the files of a version are.
//!
//! What must stay true: no model's name is followed here. A version keeps the address of what it, or the first version
//! that it is a copy of, was made of (`origin`); models are renamed and deleted, and their names are given again.

use syntax::{paths::ArtifactPath, source::SourceUri};

use super::versions::Version;
use crate::{
    db::Sql,
    error::{Code, Error, Result},
    files::Place,
    tracking::artifacts::Home,
};

/// Where the files of a version are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// In an area of the version's own.
    Own(Place),
    /// Those of a run or a logged model, below a directory.
    Tracked(Home, ArtifactPath),
    /// Not kept by this server.
    Elsewhere,
}

/// The place of a version's own files.
pub(super) fn own(model_id: i64, number: i64) -> Place {
    Place { area: format!("model/{model_id}/{number}"), asset: model_id, subject: number.to_string() }
}

/// Where the files of a version are.
pub(super) fn of(version: &Version) -> Location {
    if version.has_own_files {
        return Location::Own(own(version.model_id, version.version));
    }
    match tracked(&version.origin, &version.logged_model) {
        Some((home, dir)) => Location::Tracked(home, dir),
        None => Location::Elsewhere,
    }
}

/// Whose files an address means, if it is those of a run or a logged model.
pub(super) fn tracked(origin: &str, logged_model: &str) -> Option<(Home, ArtifactPath)> {
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

/// The address by which MLflow's plain client downloads the files. `runs:/` is for that client to follow.
pub(super) fn download_uri(sql: &mut Sql<'_>, version: &Version) -> Result<String> {
    let as_it_is = || Ok(version.origin.clone());
    match SourceUri::parse(&version.origin) {
        Ok(SourceUri::Local { .. }) if version.has_own_files => Err(Error::invalid(format!(
            "Version {} was uploaded from '{}', a place of that client's own. Its files are in the registry: read them \
             with mlflow.set_registry_uri(\"databricks-uc\").",
            version.version, version.source
        ))),
        Ok(SourceUri::RunRelative { .. }) | Err(_) => as_it_is(),
        Ok(_) => match tracked(&version.origin, "") {
            Some((home, dir)) => match home.artifact_uri(sql) {
                Ok(root) if dir.is_root() => Ok(root),
                Ok(root) => Ok(format!("{root}/{dir}")),
                // A run of another tracking server.
                Err(error) if error.code() == Code::ResourceDoesNotExist => as_it_is(),
                Err(error) => Err(error),
            },
            None => as_it_is(),
        },
    }
}
