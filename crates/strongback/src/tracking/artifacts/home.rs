//! Whose files a path means, and who may touch them.

use std::sync::Arc;

use syntax::paths::ArtifactPath;

use crate::{
    catalog::{Action, authorize},
    db::Sql,
    error::{Error, Result},
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

/// A path of the proxy, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Whose.
    pub home: Home,
    /// The root as the client wrote it: `<experiment>/<run>/artifacts` or `<experiment>/models/<model>/artifacts`.
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
        let found = parts.windows(2).enumerate().find_map(|(at, pair)| {
            let before = at.checked_sub(1).map(|before| parts[before]);
            let home = match before {
                Some("models") if is_model_id(pair[0]) => Home::Model(pair[0].to_owned()),
                _ if is_run_id(pair[0]) => Home::Run(pair[0].to_owned()),
                _ => return None,
            };
            (pair[1] == "artifacts").then_some((home, at + 2))
        });
        let Some((home, end)) = found else {
            return Err(Error::missing(format!(
                "No run and no logged model has its artifacts at '{whole}'."
            )));
        };
        let path = ArtifactPath::parse_directory(&parts[end..].join("/"))?;
        Ok(Self { home, root: parts[..end].join("/"), path })
    }

    /// The guard for what the path means.
    pub fn guard(&self, access: Access) -> Guard {
        let (located, inner) = (self.clone(), guard(&self.home, access));
        Arc::new(move |sql| {
            let place = inner(sql)?;
            let uri = located.home.artifact_uri(sql)?;
            if proxied_root(&uri).is_some_and(|root| root != located.root) {
                return Err(Error::missing(format!(
                    "No run and no logged model has its artifacts at '{}'.",
                    located.root
                )));
            }
            Ok(place)
        })
    }
}

impl Home {
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

    #[test]
    fn paths_of_the_proxy_are_taken_apart() {
        let check = |raw: &str, home: Home, root: &str, path: &str| {
            let located = Located::parse(raw).unwrap();
            assert_eq!(
                (located.home, located.root.as_str(), located.path.as_str()),
                (home, root, path),
                "{raw}"
            );
        };
        let run = || Home::Run(RUN.into());
        check(&format!("5/{RUN}/artifacts/a/b"), run(), &format!("5/{RUN}/artifacts"), "a/b");
        check(&format!("5/{RUN}/artifacts"), run(), &format!("5/{RUN}/artifacts"), "");
        check(&format!("5/{RUN}/artifacts/"), run(), &format!("5/{RUN}/artifacts"), "");
        check(&format!("own/place/{RUN}/artifacts/x"), run(), &format!("own/place/{RUN}/artifacts"), "x");
        let model = Home::Model(format!("m-{RUN}"));
        check(&format!("5/models/m-{RUN}/artifacts/x"), model, &format!("5/models/m-{RUN}/artifacts"), "x");
    }

    #[test]
    fn other_paths_are_nobodys_or_refused() {
        for raw in ["", "5", "5/x/artifacts", &format!("5/{RUN}/other/x"), &format!("5/m-{RUN}/artifacts/x")]
        {
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
