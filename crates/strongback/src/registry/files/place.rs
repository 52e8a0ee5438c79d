//! Whose files a path of the Files API means.

use std::sync::Arc;

use syntax::paths::ArtifactPath;

use super::as_files_api;
use crate::{
    catalog::{Action, authorize},
    context::Ctx,
    db::Sql,
    error::{Code, Error, Result},
    files::{Guard, Place},
    registry::{
        location,
        names::Levels,
        versions::{self, Status, Version},
    },
    tracking::artifacts::{Access, Home, guard},
};

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Root {
    /// A version of a model, by the model's name on any face.
    Version { name: String, levels: Three, number: i64 },
    /// A run or a logged model, of the experiment with this id.
    Tracked { home: Home, experiment: i64 },
}

/// Whether the model's name has three levels for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Three {
    Yes,
    Perhaps,
}

/// A path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    pub root: Root,
    /// The whole path as the client wrote it, without slashes at its ends.
    pub whole: String,
    /// Below the root; empty for the root itself.
    pub path: ArtifactPath,
}

/// A path that is ready for [`crate::files`].
pub(super) struct Resolved {
    pub guard: Guard,
    pub path: ArtifactPath,
}

impl Located {
    /// Takes a path apart. One `/` before it is how this face writes paths in JSON.
    pub fn parse(raw: &str) -> Result<Self> {
        let whole = ArtifactPath::parse_directory(raw.strip_prefix('/').unwrap_or(raw))?;
        let parts: Vec<&str> = whole.segments().collect();
        let (root, used) = match parts[..] {
            ["Models", catalog, schema, model, version, ..] => {
                let name = format!("{catalog}.{schema}.{model}");
                let number =
                    version.parse().ok().filter(|number| *number > 0).ok_or_else(|| nowhere(&whole))?;
                (Root::Version { name, levels: Three::Yes, number }, 5)
            }
            ["WorkspaceInternal", "Mlflow", "Artifacts", experiment, kind, id, "artifacts", ..] => {
                let experiment = experiment.parse().map_err(|_| nowhere(&whole))?;
                let home = match kind {
                    "Runs" => Home::Run(id.to_owned()),
                    "LoggedModels" => Home::Model(id.to_owned()),
                    _ => return Err(nowhere(&whole)),
                };
                (Root::Tracked { home, experiment }, 7)
            }
            _ => return Err(nowhere(&whole)),
        };
        let path = ArtifactPath::parse_directory(&parts[used..].join("/"))?;
        Ok(Self { root, whole: whole.as_str().to_owned(), path })
    }

    /// Finds where the files are. Rights are asked by the guard, when it runs.
    pub async fn resolve(&self, ctx: &Ctx, access: Access) -> Result<Resolved> {
        match (&self.root, access) {
            (Root::Tracked { home, experiment }, _) => {
                let (home, experiment, whole) = (home.clone(), *experiment, self.whole.clone());
                let inner = guard(&home, access);
                let guard: Guard = Arc::new(move |sql| {
                    let place = inner(sql).map_err(as_files_api)?;
                    if home.mlflow_id(sql)? != experiment {
                        return Err(nowhere_text(&whole));
                    }
                    Ok(place)
                });
                Ok(Resolved { guard, path: self.path.clone() })
            }
            (Root::Version { name, levels, number }, Access::Read) => {
                read_version(ctx, name, *levels, *number, &self.path).await
            }
            (Root::Version { name, levels, number }, _) => {
                let (name, levels, number) = (name.clone(), *levels, *number);
                let guard: Guard =
                    Arc::new(move |sql| write_version(sql, &name, levels, number).map_err(as_files_api));
                Ok(Resolved { guard, path: self.path.clone() })
            }
        }
    }
}

impl From<Three> for Levels {
    fn from(three: Three) -> Self {
        match three {
            Three::Yes => Self::Three,
            Three::Perhaps => Self::Any,
        }
    }
}

/// A version's files never move, so that where they are is looked up once and only the rights each time.
async fn read_version(
    ctx: &Ctx,
    name: &str,
    levels: Three,
    number: i64,
    below: &ArtifactPath,
) -> Result<Resolved> {
    let wanted = name.to_owned();
    let place = ctx
        .read(move |sql| {
            let (_, version) = versions::load(sql, &wanted, levels.into(), number)?;
            location::of(&version).ok_or_else(|| elsewhere(&version))
        })
        .await
        .map_err(as_files_api)?;
    let name = name.to_owned();
    let guard: Guard = Arc::new(move |sql| {
        versions::load(sql, &name, levels.into(), number).map_err(as_files_api)?;
        Ok(place.clone())
    });
    Ok(Resolved { guard, path: below.clone() })
}

fn write_version(sql: &mut Sql<'_>, name: &str, levels: Three, number: i64) -> Result<Place> {
    let (model, version) = versions::load(sql, name, levels.into(), number)?;
    authorize(sql, Action::Edit, model.id)?;
    if version.status != Status::Pending {
        return Err(Error::new(
            Code::ResourceConflict,
            format!(
                "Version {number} of {name} is {}: its files do not change any more. Register a new version.",
                version.status.name()
            ),
        ));
    }
    Ok(location::own(version.model_id, version.version))
}

fn elsewhere(version: &Version) -> Error {
    Error::new(
        Code::NotFound,
        format!(
            "The files of version {} are not kept by this server: its source is '{}'. Read them from there.",
            version.version, version.source
        ),
    )
}

fn nowhere(path: &ArtifactPath) -> Error {
    nowhere_text(path.as_str())
}

fn nowhere_text(path: &str) -> Error {
    Error::new(
        Code::NotFound,
        format!(
            "There are no files at '/{path}'. Files are below /Models/<catalog>/<schema>/<model>/<version> and \
             /WorkspaceInternal/Mlflow/Artifacts/<experiment>/Runs/<run>/artifacts."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let located = Located::parse("/Models/prod/risk/fraud/3/data/model.pkl").unwrap();
        assert_eq!(
            located.root,
            Root::Version { name: "prod.risk.fraud".into(), levels: Three::Yes, number: 3 }
        );
        assert_eq!(located.path.as_str(), "data/model.pkl");
        assert!(Located::parse("Models/prod/risk/fraud/3/").unwrap().path.is_root());
        let tracked = "WorkspaceInternal/Mlflow/Artifacts/5/Runs/abc/artifacts/x";
        let located = Located::parse(tracked).unwrap();
        assert_eq!(located.root, Root::Tracked { home: Home::Run("abc".into()), experiment: 5 });
        assert_eq!(located.path.as_str(), "x");
        let model =
            Located::parse("WorkspaceInternal/Mlflow/Artifacts/5/LoggedModels/m-1/artifacts").unwrap();
        assert_eq!(model.root, Root::Tracked { home: Home::Model("m-1".into()), experiment: 5 });
    }

    #[test]
    fn other_paths_are_not_found_or_refused() {
        for raw in ["/", "Models/a/b/c", "Models/a/b/c/x", "Models/a/b/c/0/f", "Volumes/a/b/c/f", "Tmp/x"] {
            assert_eq!(Located::parse(raw).unwrap_err().code(), Code::NotFound, "{raw}");
        }
        for raw in ["/Models/a/b/c/1/../../../x", "//Models/a/b/c/1/x", "/Models/a/b/c/1/%2e%2e/x"] {
            assert_eq!(Located::parse(raw).unwrap_err().code(), Code::InvalidParameterValue, "{raw}");
        }
    }
}
