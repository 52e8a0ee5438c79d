//! Files that a server of MLflow gives out: those that it passes on under an address of its own, and those of runs and logged models that
//! lie on its disk, as its own pages show them.

use std::fmt;

use syntax::paths::ArtifactPath;

use super::{
    super::{local::is_elsewhere, source::Held},
    Asked,
    api::Call,
    together,
    wire::{File, Files, Page as _},
};
use crate::{
    cli::client::segment,
    error::{Error, Result},
    exchange::ItemKind,
};

/// Files below one root.
const FILES_MAX: usize = 1_000_000;
/// Levels of folders below one root.
const DEPTH_MAX: usize = 64;
/// Where a server passes files on.
pub(super) const ARTIFACTS: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// Somebody's files, as a server is asked for them.
#[derive(Debug)]
pub(super) enum Root {
    /// At a path of those that it passes on.
    Proxied(ArtifactPath),
    /// Of a run.
    Run(String),
    /// Of a logged model.
    LoggedModel(String),
}

impl fmt::Display for Root {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proxied(path) => write!(out, "'{path}'"),
            Self::Run(id) => write!(out, "the run {id}"),
            Self::LoggedModel(id) => write!(out, "the logged model {id}"),
        }
    }
}

impl Root {
    /// The call that lists a folder.
    fn listing(&self, folder: &ArtifactPath) -> Result<Call> {
        let path = folder.as_str().to_owned();
        Ok(match self {
            Self::Proxied(root) => {
                let path = root.join(folder).map_err(|error| Error::invalid(error.to_string()))?;
                Call::get(ARTIFACTS, vec![("path", path.as_str().to_owned())])
            }
            Self::Run(id) => {
                Call::get("/api/2.0/mlflow/artifacts/list", vec![("run_id", id.clone()), ("path", path)])
            }
            Self::LoggedModel(id) => Call::get(
                format!("/api/2.0/mlflow/logged-models/{}/artifacts/directories", segment(id)),
                vec![("artifact_directory_path", path)],
            ),
        })
    }

    /// The call that gives a file.
    fn download(&self, path: &str) -> Result<Call> {
        let path = ArtifactPath::parse(path).map_err(|error| Error::invalid(error.to_string()))?;
        let text = path.as_str().to_owned();
        Ok(match self {
            Self::Proxied(root) => {
                let path = root.join(&path).map_err(|error| Error::invalid(error.to_string()))?;
                let path: Vec<String> = path.segments().map(segment).collect();
                Call::get(format!("{ARTIFACTS}/{}", path.join("/")), Vec::new())
            }
            Self::Run(id) => Call::get("/get-artifact", vec![("run_uuid", id.clone()), ("path", text)]),
            Self::LoggedModel(id) => Call::get(
                format!("/ajax-api/2.0/mlflow/logged-models/{}/artifacts/files", segment(id)),
                vec![("artifact_file_path", text)],
            ),
        })
    }
}

impl Asked {
    /// Where this server gives out somebody's files; none where it does not.
    pub(super) fn root(&self, owner: &Held<'_>) -> Result<Option<Root>> {
        let Some(rest) = owner.artifact_uri.strip_prefix("mlflow-artifacts:") else {
            return Ok(match owner.kind {
                _ if owner.artifact_uri.is_empty() || is_elsewhere(owner.artifact_uri) => None,
                ItemKind::Run => Some(Root::Run(owner.id.to_owned())),
                ItemKind::LoggedModel => Some(Root::LoggedModel(owner.id.to_owned())),
                _ => None,
            });
        };
        let path = match rest.strip_prefix("//") {
            None => rest,
            Some(rest) => {
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                let ours = url::Url::parse(self.api.address()).map_err(Error::internal)?;
                let named = url::Url::parse(&format!("{}://{host}", ours.scheme())).ok();
                if !host.is_empty() && named.is_none_or(|named| named.origin() != ours.origin()) {
                    return Ok(None);
                }
                path
            }
        };
        let path = ArtifactPath::parse_directory(path.trim_matches('/'));
        path.map(|path| Some(Root::Proxied(path))).map_err(|error| {
            Error::invalid(format!("The files at '{}' cannot be asked for: {error}.", owner.artifact_uri))
        })
    }

    pub(super) async fn files(&self, root: &Root) -> Result<Vec<(String, u64)>> {
        let (mut files, mut folders) = (Vec::new(), vec![ArtifactPath::root()]);
        for _ in 0..DEPTH_MAX {
            let listed = together(
                folders.iter().map(|folder| async move { Ok((folder, self.listed(root, folder).await?)) }),
            );
            let mut next = Vec::new();
            for (folder, entries) in listed.await? {
                for entry in entries {
                    let odd = |error| {
                        Error::unavailable(format!(
                            "{} lists a path that is none: {error}.",
                            self.api.address()
                        ))
                    };
                    let name = entry.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
                    let path = ArtifactPath::parse(name).and_then(|name| folder.join(&name)).map_err(odd)?;
                    match entry.is_dir {
                        true => next.push(path),
                        false => files
                            .push((path.as_str().to_owned(), u64::try_from(entry.file_size.0).unwrap_or(0))),
                    }
                }
            }
            if files.len() + next.len() > FILES_MAX {
                break;
            }
            if next.is_empty() {
                files.sort_unstable();
                files.dedup_by(|a, b| a.0 == b.0);
                return Ok(files);
            }
            folders = next;
        }
        Err(Error::invalid(format!(
            "{} lists more than {FILES_MAX} files or {DEPTH_MAX} levels of folders at {root}.",
            self.api.address(),
        )))
    }

    async fn listed(&self, root: &Root, folder: &ArtifactPath) -> Result<Vec<File>> {
        Ok(self.api.ask::<Files>(&root.listing(folder)?).await?.unwrap_or_default().split().0)
    }

    /// Writes one of the files into a local one.
    pub(super) async fn fetch(&self, root: &Root, path: &str, into: &mut std::fs::File) -> Result<()> {
        self.api.download(&root.download(path)?, into).await
    }
}
