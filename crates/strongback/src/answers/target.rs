//! What a name in a question means: an asset, a run of an experiment, a version of a model.

use super::store;
use crate::{
    bind,
    catalog::{Action, Asset, Kind, authorize, names},
    db::Sql,
    error::{Error, Result},
};

/// What was asked about. The asset is one that the caller may read.
pub(super) struct Target {
    /// The asset that answers for it.
    pub asset: Asset,
    /// The run, where it was one.
    pub run: Option<String>,
    /// The version, where it was one.
    pub version: Option<i64>,
}

/// Finds `runs:/<id>` (or the id alone), `models:/<name>/<version>`, `models:/<name>@<alias>`, or an asset by name, and
/// authorises reading it.
pub(super) fn find(sql: &mut Sql<'_>, name: &str, kind: Option<Kind>) -> Result<Target> {
    if let Some(id) = run_id(name) {
        return find_run(sql, id);
    }
    if let Some(rest) = name.strip_prefix("models:/") {
        return find_version(sql, rest.trim_start_matches('/'));
    }
    let asset = names::resolve(sql, name, kind)?;
    authorize(sql, Action::Read, asset.id)?;
    Ok(Target { asset, run: None, version: None })
}

fn run_id(name: &str) -> Option<&str> {
    let is_id = |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    match name.strip_prefix("runs:/") {
        Some(rest) => Some(rest.split('/').next().unwrap_or_default()),
        None => is_id(name).then_some(name),
    }
}

fn find_run(sql: &mut Sql<'_>, id: &str) -> Result<Target> {
    let missing = || Error::missing(format!("The run '{id}' does not exist."));
    if id.contains('\0') {
        return Err(missing());
    }
    let experiment: i64 =
        sql.first(&store::RUN_EXPERIMENT, bind![id], |row| row.get(0))?.ok_or_else(missing)?;
    authorize(sql, Action::Read, experiment)?;
    let asset = crate::catalog::asset::get(sql, experiment)?.ok_or_else(missing)?;
    Ok(Target { asset, run: Some(id.to_owned()), version: None })
}

fn find_version(sql: &mut Sql<'_>, rest: &str) -> Result<Target> {
    let (name, version, alias) = match (rest.rsplit_once('@'), rest.rsplit_once('/')) {
        (Some((name, alias)), _) => (name, None, Some(alias)),
        (None, Some((name, version))) => (name, Some(version), None),
        (None, None) => (rest, None, None),
    };
    let asset = names::resolve(sql, name, Some(Kind::Model))?;
    authorize(sql, Action::Read, asset.id)?;
    let version = match (version, alias) {
        (Some(text), _) => Some(require_version(sql, &asset, name, text)?),
        (None, Some(alias)) => Some(require_alias(sql, &asset, name, alias)?),
        (None, None) => None,
    };
    Ok(Target { asset, run: None, version })
}

fn require_version(sql: &mut Sql<'_>, asset: &Asset, name: &str, text: &str) -> Result<i64> {
    let missing = || Error::missing(format!("The model '{name}' has no version '{text}'."));
    let version: i64 = text.parse().map_err(|_| missing())?;
    sql.first(&store::VERSION_EXISTS, bind![asset.id, version], |row| row.get(0))?.ok_or_else(missing)
}

fn require_alias(sql: &mut Sql<'_>, asset: &Asset, name: &str, alias: &str) -> Result<i64> {
    let found = match alias.contains('\0') {
        true => None,
        false => sql.first(&store::ALIAS_VERSION, bind![asset.id, alias], |row| row.get(0))?,
    };
    found.ok_or_else(|| Error::missing(format!("The model '{name}' has no alias '{alias}' now.")))
}
