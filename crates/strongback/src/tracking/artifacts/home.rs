//! Whose files a path means, and who may touch them.
//!
//! The proxy also gives out the files of versions of assets, at `versions/<the asset's id>/<number>`, to whoever may read
//! the asset. It takes none for them: what a version is made of is settled by those who make versions.

use std::sync::Arc;

use syntax::paths::ArtifactPath;

use crate::{
    catalog::{Action, asset, authorize},
    db::Sql,
    error::{Code, Error, Result},
    files::{Guard, Place},
    tracking::{model, run},
};

/// What somebody wants to do with files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read or list them.
    Read,
    /// Add or replace some. What was deleted takes none.
    Write,
    /// Remove some. Also from what was deleted: that is how space is won back.
    Remove,
}

/// Whose files they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// A run's, by its id.
    Run(String),
    /// A logged model's, by its id.
    Model(String),
}

/// Whose files a path of the proxy means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    Home(Home),
    /// A version of an asset, which has this id outside.
    Version {
        asset: String,
        number: i64,
    },
}

/// A path of the proxy, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    owner: Owner,
    /// The root as the client wrote it: `<experiment>/<run>/artifacts`, `<experiment>/models/<model>/artifacts` or
    /// `versions/<asset>/<number>`.
    pub root: String,
    /// Below the root; empty for the root itself.
    pub path: ArtifactPath,
}

impl Located {
    /// Takes a path of the proxy apart. What stands before the run or the model is the experiment's place, which may
    /// have several parts.
    pub fn parse(raw: &str) -> Result<Self> {
        let whole = ArtifactPath::parse_directory(raw)?;
        let parts: Vec<&str> = whole.segments().collect();
        if let Some(version) = version_of(&parts) {
            return Self::new(version, &parts, 3);
        }
        let found = parts.windows(2).enumerate().find_map(|(at, pair)| {
            let before = at.checked_sub(1).map(|before| parts[before]);
            let home = match before {
                Some("models") if is_model_id(pair[0]) => Home::Model(pair[0].to_owned()),
                _ if is_run_id(pair[0]) => Home::Run(pair[0].to_owned()),
                _ => return None,
            };
            (pair[1] == "artifacts").then_some((home, at + 2))
        });
        match found {
            Some((home, end)) => Self::new(Owner::Home(home), &parts, end),
            None => Err(nobodys(whole.as_str())),
        }
    }

    fn new(owner: Owner, parts: &[&str], end: usize) -> Result<Self> {
        let path = ArtifactPath::parse_directory(&parts[end..].join("/"))?;
        Ok(Self { owner, root: parts[..end].join("/"), path })
    }

    /// The guard for what the path means.
    pub fn guard(&self, access: Access) -> Guard {
        let root = self.root.clone();
        match self.owner.clone() {
            Owner::Version { asset, number } => {
                Arc::new(move |sql| version_place(sql, &asset, number, access, &root))
            }
            Owner::Home(home) => {
                let inner = guard(&home, access);
                Arc::new(move |sql| {
                    let place = inner(sql)?;
                    let uri = home.artifact_uri(sql)?;
                    if proxied_root(&uri).is_some_and(|proxied| proxied != root) {
                        return Err(nobodys(&root));
                    }
                    Ok(place)
                })
            }
        }
    }
}

impl Home {
    /// Whether its id is one that servers make. Imports bring ids of any kind.
    pub fn is_made_by_servers(&self) -> bool {
        match self {
            Self::Run(id) => is_run_id(id),
            Self::Model(id) => is_model_id(id),
        }
    }

    /// The root of its files as clients know it. Asks for no rights.
    pub fn artifact_uri(&self, sql: &mut Sql<'_>) -> Result<String> {
        match self {
            Self::Run(id) => Ok(run::find(sql, id)?.ok_or_else(|| run::unknown(id))?.artifact_uri()),
            Self::Model(id) => Ok(model::find(sql, id)?.ok_or_else(|| model::unknown(id))?.artifact_uri()),
        }
    }

    /// MLflow's id of its experiment. Asks for no rights.
    pub fn mlflow_id(&self, sql: &mut Sql<'_>) -> Result<i64> {
        match self {
            Self::Run(id) => Ok(run::find(sql, id)?.ok_or_else(|| run::unknown(id))?.home.mlflow_id),
            Self::Model(id) => Ok(model::find(sql, id)?.ok_or_else(|| model::unknown(id))?.mlflow_id),
        }
    }

    /// Where its files lie. Asks for no rights: for whoever may read something that was made of these files.
    pub fn place(&self, sql: &mut Sql<'_>) -> Result<Place> {
        match self {
            Self::Run(id) => {
                let run = run::find(sql, id)?.ok_or_else(|| run::unknown(id))?;
                Ok(place("run", run.experiment_id, run.uuid))
            }
            Self::Model(id) => {
                let found = model::find(sql, id)?.ok_or_else(|| model::unknown(id))?;
                Ok(place("model", found.experiment_id, found.uuid))
            }
        }
    }
}

/// The address at which the proxy gives out the files of a version of an asset, by the id that leaves the server.
pub fn version_uri(asset: &str, number: i64) -> String {
    format!("mlflow-artifacts:/versions/{asset}/{number}")
}

/// `versions/<asset>/<number>/…`
fn version_of(parts: &[&str]) -> Option<Owner> {
    let ["versions", asset, number, ..] = *parts else { return None };
    let asset = uuid::Uuid::try_parse(asset).ok()?.to_string();
    let number = number.parse().ok().filter(|number| *number > 0)?;
    Some(Owner::Version { asset, number })
}

fn version_place(sql: &mut Sql<'_>, uuid: &str, number: i64, access: Access, root: &str) -> Result<Place> {
    let found = asset::by_uuid(sql, uuid)?.ok_or_else(|| nobodys(root))?;
    authorize(sql, Action::Read, found.id)?;
    if access == Access::Read {
        return Ok(Place::of_version(found.id, number));
    }
    let message =
        format!("The files at '{root}' are those of a version: they do not change. Register a new one.");
    Err(Error::new(Code::ResourceConflict, message))
}

fn nobodys(path: &str) -> Error {
    Error::missing(format!("No run, no logged model and no version of a model has its files at '{path}'."))
}

/// The guard for a run's or a logged model's files.
pub fn guard(home: &Home, access: Access) -> Guard {
    let home = home.clone();
    Arc::new(move |sql| match &home {
        Home::Run(id) => run_place(sql, id, access),
        Home::Model(id) => model_place(sql, id, access),
    })
}

fn run_place(sql: &mut Sql<'_>, id: &str, access: Access) -> Result<Place> {
    let run = run::find(sql, id)?.ok_or_else(|| run::unknown(id))?;
    match access {
        Access::Read => authorize(sql, Action::Read, run.experiment_id)?,
        Access::Write | Access::Remove => run::authorize_change(sql, &run, Action::Edit)?,
    }
    if access == Access::Write {
        run.require_active()?;
    }
    Ok(place("run", run.experiment_id, run.uuid))
}

fn model_place(sql: &mut Sql<'_>, id: &str, access: Access) -> Result<Place> {
    let found = model::find(sql, id)?.ok_or_else(|| model::unknown(id))?;
    let action = match access {
        Access::Read => Action::Read,
        // As with runs: whoever may create in an experiment may change what is theirs.
        Access::Write | Access::Remove if sql.caller().is(found.owner_id) => Action::Create,
        Access::Write | Access::Remove => Action::Edit,
    };
    authorize(sql, action, found.experiment_id)?;
    // The files of a deleted model stay, since versions may have been registered from it.
    if access == Access::Write && found.deleted {
        return Err(model::unknown(id));
    }
    Ok(place("model", found.experiment_id, found.uuid))
}

fn place(kind: &str, experiment_id: i64, uuid: String) -> Place {
    Place { area: format!("exp/{experiment_id}/{kind}/{uuid}"), asset: experiment_id, subject: uuid }
}

/// The proxy's path of an artifact root; `None` where clients reach the root by themselves.
fn proxied_root(uri: &str) -> Option<String> {
    let rest = uri.strip_prefix("mlflow-artifacts:")?;
    let path = match rest.strip_prefix("//") {
        Some(with_host) => with_host.split_once('/').map_or("", |(_, path)| path),
        None => rest,
    };
    Some(path.trim_matches('/').to_owned())
}

fn is_run_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_model_id(text: &str) -> bool {
    text.strip_prefix("m-").is_some_and(is_run_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    const RUN: &str = "0123456789abcdef0123456789abcdef";
    const ASSET: &str = "019ab0c1-0000-7000-8000-000000000001";

    #[test]
    fn paths_of_the_proxy_are_taken_apart() {
        let check = |raw: &str, owner: Owner, root: &str, path: &str| {
            let located = Located::parse(raw).unwrap();
            assert_eq!(
                (located.owner, located.root.as_str(), located.path.as_str()),
                (owner, root, path),
                "{raw}"
            );
        };
        let run = || Owner::Home(Home::Run(RUN.into()));
        check(&format!("5/{RUN}/artifacts/a/b"), run(), &format!("5/{RUN}/artifacts"), "a/b");
        check(&format!("5/{RUN}/artifacts"), run(), &format!("5/{RUN}/artifacts"), "");
        check(&format!("5/{RUN}/artifacts/"), run(), &format!("5/{RUN}/artifacts"), "");
        check(&format!("own/place/{RUN}/artifacts/x"), run(), &format!("own/place/{RUN}/artifacts"), "x");
        let model = Owner::Home(Home::Model(format!("m-{RUN}")));
        check(&format!("5/models/m-{RUN}/artifacts/x"), model, &format!("5/models/m-{RUN}/artifacts"), "x");
        let version = || Owner::Version { asset: ASSET.into(), number: 3 };
        let root = version_uri(ASSET, 3).strip_prefix("mlflow-artifacts:/").unwrap().to_owned();
        check(&root, version(), &root, "");
        // Whatever a version's directories are called.
        check(
            &format!("{root}/data/{RUN}/artifacts/x"),
            version(),
            &root,
            &format!("data/{RUN}/artifacts/x"),
        );
    }

    #[test]
    fn other_paths_are_nobodys_or_refused() {
        let version = |rest: &str| format!("versions/{ASSET}{rest}");
        for raw in [
            "",
            "5",
            "5/x/artifacts",
            &format!("5/{RUN}/other/x"),
            &format!("5/m-{RUN}/artifacts/x"),
            "versions/5/3",
            &version(""),
            &version("/0/x"),
            &version("/x/y"),
        ] {
            assert_eq!(Located::parse(raw).unwrap_err().code(), Code::ResourceDoesNotExist, "{raw}");
        }
        for raw in [&format!("5/{RUN}/artifacts/../x"), &format!("/5/{RUN}/artifacts"), "c:/x", "a#b"] {
            let error = Located::parse(raw).unwrap_err();
            assert_eq!(error.code(), Code::InvalidParameterValue, "{raw}");
            assert!(error.message().starts_with("Invalid path"), "{error}");
        }
    }

    #[test]
    fn only_proxied_roots_have_a_path() {
        assert_eq!(proxied_root("mlflow-artifacts:/5/r/artifacts").as_deref(), Some("5/r/artifacts"));
        assert_eq!(proxied_root("mlflow-artifacts://host:80/5/r").as_deref(), Some("5/r"));
        assert_eq!(proxied_root("s3://bucket/5"), None);
    }
}
