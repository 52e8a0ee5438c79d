//! Configurations of endpoints: immutable, with every name resolved.

use super::{provenance, store};
use crate::{
    bind,
    db::{Row, Sql},
    error::{Error, Result},
};

/// What an endpoint serves, or served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Its number, from 1.
    pub n: i64,
    /// `asset.id` of the model.
    pub model_id: i64,
    /// Number of the version.
    pub version: i64,
    /// Of the version's files.
    pub digest: String,
    /// The alias that is followed; without one the endpoint stays at the version.
    pub alias: Option<String>,
    /// How flat faces call what is served.
    pub served_name: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// `principal.id`
    pub created_by: i64,
}

/// A configuration to be stored.
#[derive(Debug, Clone)]
pub struct NewConfig {
    /// `asset.id` of the model.
    pub model_id: i64,
    /// Number of the version.
    pub version: i64,
    /// Of the version's files.
    pub digest: String,
    /// The alias that is followed.
    pub alias: Option<String>,
    /// How flat faces call what is served.
    pub served_name: String,
}

/// Stores the configuration of this number, with its lineage.
pub(super) fn insert(tx: &mut Sql<'_>, endpoint_id: i64, n: i64, new: &NewConfig) -> Result<()> {
    let (now, by) = (tx.now(), tx.caller().id);
    let NewConfig { model_id, version, digest, alias, served_name } = new;
    let alias = alias.as_deref();
    tx.execute(
        &store::CONFIG_INSERT,
        bind![endpoint_id, n, *model_id, *version, digest, alias, served_name, now, by],
    )?;
    provenance::record(tx, endpoint_id, n, (*model_id, *version))
}

/// The configuration of this number.
pub fn get(sql: &mut Sql<'_>, endpoint_id: i64, n: i64) -> Result<Option<Config>> {
    sql.first(&store::CONFIG_GET, bind![endpoint_id, n], read)
}

/// The one that the endpoint is to serve.
pub(super) fn newest(sql: &mut Sql<'_>, endpoint_id: i64) -> Result<Config> {
    let n: i64 = sql.one(&store::ENDPOINT_CONFIG, bind![endpoint_id], |row| row.get(0))?;
    get(sql, endpoint_id, n)?.ok_or_else(|| Error::internal("an endpoint has no configuration"))
}

/// The newest version that was configured beside this one: model and number.
pub(super) fn before(
    sql: &mut Sql<'_>,
    endpoint_id: i64,
    (model_id, version): (i64, i64),
) -> Result<Option<(i64, i64)>> {
    sql.first(&store::CONFIG_BEFORE, bind![endpoint_id, model_id, version], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

fn read(row: &Row<'_>) -> Result<Config> {
    Ok(Config {
        n: row.get(0)?,
        model_id: row.get(1)?,
        version: row.get(2)?,
        digest: row.get(3)?,
        alias: row.get(4)?,
        served_name: row.get(5)?,
        created_at: row.get(6)?,
        created_by: row.get(7)?,
    })
}
