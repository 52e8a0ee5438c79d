//! Training sets: rows that a model is trained on, made once by a recipe, pinned, and proven by a digest.
//!
//! A set is an asset of its own kind in a schema. Its rows lie in a Delta table that the asset's UUID names. It never changes:
//! the same name with another recipe is refused, and deleting it takes its pins away.

mod create;
mod found;
mod judge;
mod rows;
mod show;

use lake::{
    TableId,
    schema::Column,
    training::{At, Recipe},
};
use serde::{Deserialize, Serialize};
use syntax::names::{FullName, fold_case};

pub use create::KIND as BUILD;

use super::store;
use crate::{
    bind,
    catalog::{
        Action,
        asset::{self, Asset, Kind},
        authorize, names,
    },
    db::Sql,
    error::{Error, Result},
    jobs::Handler,
    router::Route,
    tables::managed,
    tracking::run::{self, Run},
};

pub(super) fn routes() -> Vec<Route> {
    [create::routes(), show::routes(), judge::routes(), rows::routes()].concat()
}

pub(super) fn handler() -> Handler {
    create::handler()
}

/// What a training set is made of, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// How its rows are made.
    pub recipe: Recipe,
    /// Column of the label, if it was said.
    pub label: Option<String>,
    /// Asset of the table of labels.
    pub label_table: i64,
    /// The feature tables, in the order of the recipe.
    pub features: Vec<Source>,
}

/// A feature table that a training set stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its asset.
    pub table: i64,
    /// By which definition that version was computed.
    pub definition: i64,
    /// Version of the feature table.
    pub version: u64,
}

/// A training set.
#[derive(Debug, Clone)]
pub struct TrainingSet {
    /// The asset.
    pub asset: Asset,
    /// Column of the label, if it was said.
    pub label: Option<String>,
    /// Column of the time at which features had to be known.
    pub timestamp: Option<String>,
    /// Keys of its feature tables, each once.
    pub keys: Vec<String>,
    /// Columns that come from the table of labels.
    pub label_columns: Vec<String>,
    /// Columns that are features: name, and the asset and definition of the table that they come from.
    pub features: Vec<(String, Source)>,
    /// SHA-256 of the rows in their canonical form, hexadecimal.
    pub digest: String,
    /// Where the rows lie.
    pub table: TableId,
    /// The version of that which holds them.
    pub version: u64,
    /// How many.
    pub rows: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// All columns, in their order.
    pub columns: Vec<Column>,
    /// What it is made of.
    pub definition: Definition,
    /// The job that made it.
    pub job: String,
}

impl TrainingSet {
    /// Where its rows are.
    pub fn at(&self) -> At {
        At { table: self.table.0, version: self.version }
    }
}

/// The training set of this name, for a caller who may do this with it.
pub fn get(sql: &mut Sql<'_>, full_name: &str, action: Action) -> Result<TrainingSet> {
    let name = managed::parse(full_name)?;
    let Some(found) = find(sql, &name)? else {
        return Err(names::otherwise(sql, &name, Kind::TrainingSet, missing(&name)));
    };
    authorize(sql, action, found.id)?;
    read(sql, found)
}

/// The training set that a run read, though it was deleted since or another has its name by now. It authorises nothing.
pub fn of_run(sql: &mut Sql<'_>, run: &Run) -> Result<Option<TrainingSet>> {
    let read = run::training_data(sql, run)?.map(|read| read.asset);
    read.filter(|read| read.kind == Kind::TrainingSet).map(|found| self::read(sql, found)).transpose()
}

/// The asset of this name. It authorises nothing.
fn find(sql: &mut Sql<'_>, name: &FullName) -> Result<Option<Asset>> {
    let (_, schema) = names::schema_of(sql, &name.catalog, &name.schema)?;
    asset::find(sql, Some(schema.id), Kind::TrainingSet, &fold_case(&name.leaf))
}

fn missing(name: &FullName) -> Error {
    let name = managed::show(name);
    Error::missing(format!(
        "The training set '{name}' does not exist. Make it with: strongback training-set create {name} --labels TABLE --features TABLE"
    ))
}

fn read(sql: &mut Sql<'_>, found: Asset) -> Result<TrainingSet> {
    let (definition, columns, digest, numbers, job) = sql.one(&store::SET_GET, bind![found.id], |row| {
        let definition: Definition = serde_json::from_str(&row.get::<String>(0)?).map_err(Error::internal)?;
        let columns: Vec<Column> = serde_json::from_str(&row.get::<String>(5)?).map_err(Error::internal)?;
        let numbers = (row.get::<i64>(2)? as u64, row.get::<i64>(3)? as u64, row.get::<i64>(4)? as u64);
        Ok((definition, columns, row.get::<String>(1)?, numbers, row.get::<String>(6)?))
    })?;
    let (rows, bytes, version) = numbers;
    let recipe = &definition.recipe;
    let mut keys: Vec<String> = Vec::new();
    for key in recipe.features.iter().flat_map(|features| &features.keys) {
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    let taken = recipe.features.iter().zip(&definition.features);
    let features = taken
        .flat_map(|(table, source)| table.take.iter().map(|taken| (taken.column.clone(), *source)))
        .collect();
    Ok(TrainingSet {
        table: found.uuid.parse()?,
        label: definition.label.clone(),
        timestamp: recipe.timestamp.clone(),
        keys,
        label_columns: recipe.columns.clone(),
        features,
        digest,
        version,
        rows,
        bytes,
        columns,
        job,
        asset: found,
        definition,
    })
}

/// Who pins what a training set stands on.
fn holder(uuid: &str) -> String {
    format!("training_set/{uuid}")
}

/// Every table that a training set stands on, by asset and version.
fn pinned(definition: &Definition) -> Vec<(i64, u64)> {
    let labels = (definition.label_table, definition.recipe.labels.version);
    let features = definition.features.iter().map(|source| (source.table, source.version));
    [labels].into_iter().chain(features).collect()
}
