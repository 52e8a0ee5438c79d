//! What a name in a question means: an asset, a run of an experiment, a version of a model. Who writes one that is not
//! there is told what they may have meant, among what they may read.

use syntax::names::closest;

use super::store;
use crate::{
    bind,
    catalog::{Action, Asset, Kind, asset, authorize, authorize::is_allowed, names},
    db::Sql,
    error::{Code, Error, Result},
    registry,
};

/// Names that are looked through for one that was meant.
const NAMES: i64 = 5_000;
/// Aliases of a model that are listed.
const ALIASES: i64 = 20;

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
    if let Some(rest) = name.strip_prefix("runs:/") {
        let id = rest.split('/').next().unwrap_or_default();
        return find_run(sql, id)?.ok_or_else(|| Error::missing(format!("The run '{id}' does not exist.")));
    }
    if let Some(rest) = name.strip_prefix("models:/") {
        return find_version(sql, rest.trim_start_matches('/'));
    }
    // A run's id alone; but a model or an experiment may be called so as well.
    if kind.is_none()
        && is_run_id(name)
        && let Some(run) = find_run(sql, name)?
    {
        return Ok(run);
    }
    let asset = resolve(sql, name, kind)?;
    authorize(sql, Action::Read, asset.id)?;
    Ok(Target { asset, run: None, version: None })
}

fn resolve(sql: &mut Sql<'_>, name: &str, kind: Option<Kind>) -> Result<Asset> {
    match names::resolve(sql, name, kind) {
        Err(error) if error.code() == Code::ResourceDoesNotExist && kind.is_none() && is_run_id(name) => {
            Err(Error::missing(format!("The run '{name}' does not exist, and nothing else has that name.")))
        }
        Err(error) if error.code() == Code::ResourceDoesNotExist => {
            let meant = meant(sql, name, kind)?.map(|meant| format!(" Did you mean '{meant}'?"));
            Err(Error::missing(format!("{}{}", error.message(), meant.unwrap_or_default())))
        }
        found => found,
    }
}

/// A name close to one that is not there. A plain model is suggested by the name that finds it now.
fn meant(sql: &mut Sql<'_>, name: &str, kind: Option<Kind>) -> Result<Option<String>> {
    let kinds = kind.map_or(vec![Kind::Table, Kind::Model, Kind::Experiment], |kind| vec![kind]);
    let kinds: Vec<&str> = kinds.into_iter().map(Kind::name).collect();
    let kinds = serde_json::to_string(&kinds).map_err(Error::internal)?;
    let mut known =
        sql.all(&store::NAMES, bind![&kinds, NAMES], |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?)))?;
    while let Some(close) = closest(name, known.iter().map(|(_, name)| name.as_str())).map(str::to_owned) {
        let Some(at) = known.iter().position(|(_, name)| *name == close) else { break };
        let (id, _) = known.swap_remove(at);
        if is_allowed(sql, Action::Read, id)? {
            return asset::display_name(sql, id).map(Some);
        }
    }
    Ok(None)
}

/// What to say of the aliases that a model has or had.
pub(super) fn aliases(sql: &mut Sql<'_>, model: &Asset) -> Result<String> {
    let known = sql.all(&store::ALIASES, bind![model.id, ALIASES], |row| row.get::<String>(0))?;
    Ok(match known.is_empty() {
        true => "It has none.".to_owned(),
        false => format!("It has or had: {}.", known.join(", ")),
    })
}

fn is_run_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The run with this id, if there is one.
fn find_run(sql: &mut Sql<'_>, id: &str) -> Result<Option<Target>> {
    if id.contains('\0') {
        return Ok(None);
    }
    let found: Option<i64> = sql.first(&store::RUN_EXPERIMENT, bind![id], |row| row.get(0))?;
    let Some(experiment) = found else { return Ok(None) };
    authorize(sql, Action::Read, experiment)?;
    let asset = asset::get(sql, experiment)?;
    Ok(asset.map(|asset| Target { asset, run: Some(id.to_owned()), version: None }))
}

fn find_version(sql: &mut Sql<'_>, rest: &str) -> Result<Target> {
    let (name, version, alias) = match (rest.rsplit_once('@'), rest.rsplit_once('/')) {
        (Some((name, alias)), _) => (name, None, Some(alias)),
        (None, Some((name, version))) => (name, Some(version), None),
        (None, None) => (rest, None, None),
    };
    let asset = resolve(sql, name, Some(Kind::Model))?;
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
    let found = if alias.contains('\0') { None } else { registry::aliases::version(sql, asset.id, alias)? };
    match found {
        Some(version) => Ok(version),
        None => {
            let known = aliases(sql, asset)?;
            Err(Error::missing(format!("The model '{name}' has no alias '{alias}' now. {known}")))
        }
    }
}
