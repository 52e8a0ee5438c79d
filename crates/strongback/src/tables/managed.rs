//! The tables that this server keeps, as other slices and the routes here find them.

use lake::{TableId, query::AsOf};
use syntax::names::{FullName, fold_case};

use super::{
    operations::{self, Version},
    store,
};
use crate::{
    bind,
    catalog::{
        Action,
        asset::{self, Asset, Kind},
        authorize, names,
    },
    db::Sql,
    error::{Code, Error, Result},
};

/// A table that this server keeps, at its newest version.
#[derive(Debug, Clone)]
pub struct Managed {
    /// The asset.
    pub asset: Asset,
    /// Its name, as it was given.
    pub name: FullName,
    /// Where it lies.
    pub table: TableId,
    /// The newest version.
    pub newest: Totals,
}

/// How large a version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// The version.
    pub version: u64,
    /// Its rows, if somebody counted.
    pub rows: Option<u64>,
    /// Bytes of its files.
    pub bytes: u64,
    /// How many files.
    pub files: u64,
}

/// What a name of three levels means.
pub enum Found {
    /// A table that this server keeps.
    Managed(Box<Managed>),
    /// A table that lives elsewhere.
    Declared(Asset),
    /// Nothing; the schema that it would lie in.
    Nothing {
        /// The schema.
        schema: Asset,
    },
}

/// Reads a name of three levels.
pub fn parse(full_name: &str) -> Result<FullName> {
    FullName::parse(full_name).map_err(names::refused)
}

/// Looks a table up. It authorises nothing.
pub fn find(sql: &mut Sql<'_>, name: &FullName) -> Result<Found> {
    let (catalog, schema) = names::schema_of(sql, &name.catalog, &name.schema)?;
    let found = of_leaf(sql, schema.id, &fold_case(&name.leaf))?;
    let Some(found) = found else { return Ok(Found::Nothing { schema }) };
    Ok(match newest(sql, found.id)? {
        Some(newest) => {
            let name = FullName { catalog: catalog.leaf, schema: schema.leaf, leaf: found.leaf.clone() };
            Found::Managed(Box::new(Managed { table: found.uuid.parse()?, asset: found, name, newest }))
        }
        None => Found::Declared(found),
    })
}

/// What of a schema has this name as a table: a training set is read like a table of one version, so that the two share their
/// names. It authorises nothing.
pub fn of_leaf(sql: &mut Sql<'_>, schema: i64, leaf_key: &str) -> Result<Option<Asset>> {
    match asset::find(sql, Some(schema), Kind::Table, leaf_key)? {
        Some(table) => Ok(Some(table)),
        None => asset::find(sql, Some(schema), Kind::TrainingSet, leaf_key),
    }
}

/// The table of this name that this server keeps, for a caller who may do this with it.
pub fn get(sql: &mut Sql<'_>, name: &FullName, action: Action) -> Result<Managed> {
    match find(sql, name)? {
        Found::Managed(found) => {
            authorize(sql, action, found.asset.id)?;
            Ok(*found)
        }
        Found::Declared(found) => {
            authorize(sql, action, found.id)?;
            Err(elsewhere(name))
        }
        Found::Nothing { .. } => Err(missing(name)),
    }
}

/// The table of this `asset.id` that this server keeps, whatever it is called by now.
pub fn by_asset(sql: &mut Sql<'_>, id: i64, action: Action) -> Result<Managed> {
    let asset = asset::get(sql, id)?.ok_or_else(|| Error::missing("The table was deleted."))?;
    authorize(sql, action, id)?;
    let name = names::full_name_of(sql, id)?;
    match newest(sql, id)? {
        Some(newest) => Ok(Managed { table: asset.uuid.parse()?, asset, name, newest }),
        None => Err(elsewhere(&name)),
    }
}

/// The error for a table of which nothing is kept here.
pub(super) fn elsewhere(name: &FullName) -> Error {
    Error::invalid(format!(
        "The table '{}' is declared and lives elsewhere; its rows are not kept here. Import them under another name with: \
         strongback table import FILE --name NAME",
        show(name)
    ))
}

/// Refuses a table whose rows another slice computes.
pub(super) fn refuse_kept(sql: &mut Sql<'_>, table: &Managed) -> Result<()> {
    let kept_by =
        sql.first(&store::TABLE_KEPT_BY, bind![table.asset.id], |row| row.get::<Option<String>>(0))?;
    match kept_by.flatten() {
        None => Ok(()),
        Some(keeper) => Err(Error::invalid(format!(
            "The rows of '{}' are computed ({keeper}), so that nobody else writes them. Import into another table.",
            show(&table.name)
        ))),
    }
}

/// Refuses what never changes.
pub(super) fn refuse_frozen(table: &Managed) -> Result<()> {
    if table.asset.kind != Kind::TrainingSet {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "'{}' is a training set, which has one version and never changes: there is nothing to clean up.",
        show(&table.name)
    )))
}

/// Lets rows that lie where an asset's UUID says, and never change, be read like a table's. Answers the asset's revision.
pub fn freeze_in_tx(
    tx: &mut Sql<'_>,
    asset_id: i64,
    state: &lake::table::State,
    kept_by: &str,
) -> Result<i64> {
    let columns = super::column::shown(&state.columns)?;
    tx.execute(&store::TABLE_INSERT, bind![asset_id, "DELTA", "", &columns, state.version as i64])?;
    tx.execute(&store::TABLE_SET_KEPT_BY, bind![asset_id, kept_by])?;
    let (totals, by) = (Totals::of(state), tx.caller().id);
    let made = Version { kind: "create", operation: None, batch: None, report: String::new(), by };
    operations::record(tx, asset_id, totals.rows.unwrap_or_default(), totals, &made)
}

/// The error for a table that is not there.
pub fn missing(name: &FullName) -> Error {
    Error::missing(format!(
        "The table '{name}' does not exist. Import a file into it with: strongback table import FILE --name {name}",
        name = show(name)
    ))
}

/// A name as people write it.
pub fn show(name: &FullName) -> String {
    format!("{}.{}.{}", name.catalog, name.schema, name.leaf)
}

/// The newest version of a table that is kept here; none for any other. It authorises nothing.
pub fn newest(sql: &mut Sql<'_>, asset_id: i64) -> Result<Option<Totals>> {
    sql.first(&store::TABLE_NEWEST, bind![asset_id], |row| {
        Ok(Totals {
            version: row.get::<i64>(0)? as u64,
            rows: row.get::<Option<i64>>(1)?.map(|rows| rows as u64),
            bytes: row.get::<i64>(2)? as u64,
            files: row.get::<i64>(3)? as u64,
        })
    })
}

impl Managed {
    /// The version that is meant, if it can be read still.
    pub fn version_at(&self, sql: &mut Sql<'_>, as_of: Option<AsOf>) -> Result<u64> {
        let id = self.asset.id;
        let wanted = match as_of {
            None => return Ok(self.newest.version),
            Some(AsOf::Version(version)) => i64::try_from(version).unwrap_or(i64::MAX),
            Some(AsOf::Millis(at)) => {
                sql.first(&store::VERSION_AT, bind![id, at], |row| row.get(0))?.ok_or_else(|| {
                    Error::missing(format!(
                        "The table '{}' was made after that moment; its first version is of {}.",
                        show(&self.name),
                        crate::time::utc(self.asset.created_at)
                    ))
                })?
            }
        };
        match sql.first(&store::VERSION_GET, bind![id, wanted], |row| row.get::<Option<i64>>(9))? {
            Some(None) => Ok(wanted as u64),
            Some(Some(lost_at)) => Err(Error::new(
                Code::ResourceDoesNotExist,
                format!(
                    "The files of version {wanted} of '{}' were removed by a vacuum on {}. Pin a version to keep it.",
                    show(&self.name),
                    crate::time::utc(lost_at)
                ),
            )),
            None => Err(Error::missing(format!(
                "The table '{}' has no version {wanted}; the newest is {}.",
                show(&self.name),
                self.newest.version
            ))),
        }
    }
}
