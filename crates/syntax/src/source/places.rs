//! Sources that name a place: the artifact proxy, the workspace's file system, the Files API, the server's disk.

use crate::names::FullName;
use crate::paths::ArtifactPath;

use super::{
    ArtifactRoot, SourceProblem, SourceUri, is_experiment_id, local_part, plain_path, read_model_id,
    read_run_id, read_uuid, read_version, rooted,
};

/// `/<place>/<run>/artifacts[/<path>]`, `/<place>/models/<model>/artifacts[/<path>]`, `/versions/<model id>/<n>[/<path>]`. The place is
/// the experiment's, which is its number where nobody chose another, and may have several parts or none.
pub(super) fn proxied(rest: &str) -> Result<SourceUri, SourceProblem> {
    const FORM: &str = "mlflow-artifacts:/<experiment>/<run>/artifacts/<path> or mlflow-artifacts:/<experiment>/models/<model id>/artifacts";
    let path = plain_path(rooted(rest)?)?;
    pinned_files(&path).or_else(|| below_place(&path)).ok_or(SourceProblem::Form(FORM))
}

/// What is below the place of an experiment: the first run, or logged model, with the word `artifacts` behind it.
fn below_place(path: &ArtifactPath) -> Option<SourceUri> {
    let segments: Vec<&str> = path.segments().collect();
    let root = ArtifactRoot::Proxied;
    (0..segments.len()).find_map(|at| match &segments[at..] {
        ["models", model, "artifacts", below @ ..] => Some(SourceUri::LoggedModelArtifacts {
            root,
            model_id: read_model_id(model)?,
            path: rejoined(below)?,
        }),
        [run, "artifacts", below @ ..] => {
            Some(SourceUri::RunArtifacts { root, run_id: read_run_id(run)?, path: rejoined(below)? })
        }
        _ => None,
    })
}

/// `/databricks/mlflow-tracking/<exp>/…` is a run's or a logged model's; any other place is kept as it is.
pub(super) fn dbfs(rest: &str) -> Result<SourceUri, SourceProblem> {
    const FORM: &str = "dbfs:/databricks/mlflow-tracking/<experiment>/<run>/artifacts/<path> or \
                        dbfs:/databricks/mlflow-tracking/<experiment>/logged_models/<model id>/artifacts";
    let path = plain_path(rooted(local_part(rest)?)?)?;
    match path.as_str().strip_prefix("databricks/mlflow-tracking/") {
        Some(tracked) => {
            let tracked = plain_path(tracked)?;
            workspace_files(&tracked).ok_or(SourceProblem::Form(FORM))
        }
        None => Ok(SourceUri::External { scheme: "dbfs".to_owned(), authority: String::new(), path }),
    }
}

/// A path of the Files API, or of the server's own disk.
pub(super) fn absolute_path(path: &str) -> Result<SourceUri, SourceProblem> {
    const VERSION_FORM: &str = "/Models/<catalog>/<schema>/<model>/<version>/<path>";
    const TRACKING_FORM: &str = "/WorkspaceInternal/Mlflow/Artifacts/<experiment>/Runs/<run>/artifacts/<path> or \
                                 /WorkspaceInternal/Mlflow/Artifacts/<experiment>/LoggedModels/<model id>/artifacts/<path>";
    if let Some(version) = path.strip_prefix("/Models/") {
        return version_files(&plain_path(version)?)?.ok_or(SourceProblem::Form(VERSION_FORM));
    }
    if let Some(tracked) = path.strip_prefix("/WorkspaceInternal/Mlflow/Artifacts/") {
        return tracking_files(&plain_path(tracked)?).ok_or(SourceProblem::Form(TRACKING_FORM));
    }
    local(path)
}

/// `/<path>` on the server's disk.
pub(super) fn local(path: &str) -> Result<SourceUri, SourceProblem> {
    let below_root = path.strip_prefix('/').ok_or(SourceProblem::Form("file:/<path>, an absolute path"))?;
    Ok(SourceUri::Local { path: plain_path(below_root)? })
}

/// `versions/<model id>/<n>/…`
fn pinned_files(path: &ArtifactPath) -> Option<SourceUri> {
    let segments: Vec<&str> = path.segments().collect();
    let ["versions", model, version, below @ ..] = segments.as_slice() else { return None };
    Some(SourceUri::PinnedFiles {
        model_uuid: read_uuid(model)?,
        version: read_version(version)?,
        path: rejoined(below)?,
    })
}

/// `<exp>/<run>/artifacts/…`, `<exp>/logged_models/<model>/artifacts/…`
fn workspace_files(path: &ArtifactPath) -> Option<SourceUri> {
    let segments: Vec<&str> = path.segments().collect();
    let root = ArtifactRoot::Workspace;
    match segments.as_slice() {
        [experiment, "logged_models", model, "artifacts", below @ ..] if is_experiment_id(experiment) => {
            Some(SourceUri::LoggedModelArtifacts {
                root,
                model_id: read_model_id(model)?,
                path: rejoined(below)?,
            })
        }
        [experiment, run, "artifacts", below @ ..] if is_experiment_id(experiment) => {
            Some(SourceUri::RunArtifacts { root, run_id: read_run_id(run)?, path: rejoined(below)? })
        }
        _ => None,
    }
}

/// `<exp>/Runs/<run>/artifacts/…`, `<exp>/LoggedModels/<model>/artifacts/…`
fn tracking_files(path: &ArtifactPath) -> Option<SourceUri> {
    let segments: Vec<&str> = path.segments().collect();
    let [experiment, kind, id, "artifacts", below @ ..] = segments.as_slice() else { return None };
    let path = rejoined(below).filter(|_| is_experiment_id(experiment))?;
    let root = ArtifactRoot::Files;
    match *kind {
        "Runs" => Some(SourceUri::RunArtifacts { root, run_id: read_run_id(id)?, path }),
        "LoggedModels" => Some(SourceUri::LoggedModelArtifacts { root, model_id: read_model_id(id)?, path }),
        _ => None,
    }
}

/// `<catalog>/<schema>/<model>/<version>/…`
fn version_files(path: &ArtifactPath) -> Result<Option<SourceUri>, SourceProblem> {
    let segments: Vec<&str> = path.segments().collect();
    let [catalog, schema, model, version, below @ ..] = segments.as_slice() else { return Ok(None) };
    let name = FullName::new(catalog, schema, model)?;
    let files = read_version(version).zip(rejoined(below));
    Ok(files.map(|(version, path)| SourceUri::VersionFiles { name, version, path }))
}

/// Segments of a checked path, put together again.
fn rejoined(segments: &[&str]) -> Option<ArtifactPath> {
    ArtifactPath::parse_directory(&segments.join("/")).ok()
}
