//! Definitions of feature tables as they are stored, and what is published of them.

use std::sync::Arc;

use lake::panes::PanePlan;
use syntax::{
    features::{Aggregate, Expression, Feature, FeatureTable, Refresh},
    names::FullName,
};

use super::{state::Meta, store};
use crate::{
    bind,
    catalog::{Action, Kind, names},
    db::{Row, Sql},
    error::{Error, Result},
    tables::managed::{self, Managed},
};

/// By what name these tables are kept from other writers.
pub(crate) const KEEPER: &str = "a feature table";

/// What belongs to a feature table beside its definitions.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// Number of the newest definition.
    pub newest: i64,
    /// Asset of the source.
    pub source_id: i64,
    pub refresh: Refresh,
    /// Whose rights count where nobody asks.
    pub run_as_id: i64,
    pub published: Option<Published>,
}

/// What is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Published {
    pub definition: i64,
    pub source_version: u64,
    /// The version of the feature table.
    pub version: u64,
    /// The newest event time in it.
    pub newest_micros: Option<i64>,
    /// When, milliseconds since the epoch.
    pub at: i64,
}

impl Published {
    /// Whether requests look up just this, or what followed it, as far as the online store says.
    pub(super) fn is_online(&self, table: &str, online: &Meta) -> bool {
        online.table == table
            && online.definition == self.definition
            && online.source_version >= self.source_version
            && online.table_version.is_none_or(|version| version >= self.version)
    }
}

/// A version of a definition.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub n: i64,
    pub declared: FeatureTable,
    pub yaml: String,
    pub digest: String,
    pub source_id: i64,
    pub created_at: i64,
    pub created_by: i64,
}

impl Definition {
    /// Whether these features of another definition are what this one computes under their names, to the last bit.
    pub(super) fn answers(&self, other: &Self, features: &[String]) -> bool {
        let (mine, theirs) = (&self.declared, &other.declared);
        let is_same_frame = self.source_id == other.source_id
            && (&mine.keys, &mine.timestamp, &mine.row_key, mine.pane)
                == (&theirs.keys, &theirs.timestamp, &theirs.row_key, theirs.pane);
        let frame = mine.keys.iter().chain([&mine.timestamp]).chain(&mine.row_key);
        is_same_frame
            && frame.into_iter().all(|column| expression(mine, column) == expression(theirs, column))
            && features.iter().all(|name| {
                let (mine_of, theirs_of) = (feature(mine, name), feature(theirs, name));
                let column = mine_of.and_then(|feature| feature.column.as_ref());
                mine_of.is_some()
                    && mine_of == theirs_of
                    && column.is_none_or(|column| expression(mine, column) == expression(theirs, column))
            })
    }

    /// Made ready to be computed.
    pub(super) fn plan(&self) -> Result<Arc<PanePlan>> {
        PanePlan::new(self.declared.clone()).map(Arc::new).map_err(Error::internal)
    }
}

fn feature<'d>(declared: &'d FeatureTable, name: &str) -> Option<&'d Feature> {
    declared.features.iter().find(|one| one.name == name)
}

fn expression<'d>(declared: &'d FeatureTable, name: &str) -> Option<&'d Expression> {
    declared.expressions.iter().find(|one| one.name == name)
}

/// Whether a column of a feature table counts.
pub(super) fn is_count(declared: &FeatureTable, feature: &str) -> bool {
    let mut features = declared.features.iter();
    features.any(|one| one.name == feature && one.aggregate == Aggregate::Count)
}

/// The digest of what is computed. The source counts by its id, so that renaming it makes no new definition.
pub(super) fn digest(declared: &FeatureTable, source: &Managed) -> String {
    FeatureTable { source: format!("asset:{}", source.asset.uuid), ..declared.clone() }.digest()
}

/// What belongs to a feature table; `None` for any other table.
pub(super) fn state(sql: &mut Sql<'_>, asset_id: i64) -> Result<Option<State>> {
    sql.first(&store::TABLE_GET, bind![asset_id], |row| {
        let (definition, source_version, version, at) = (
            row.get::<Option<i64>>(4)?,
            row.get::<Option<i64>>(5)?,
            row.get::<Option<i64>>(6)?,
            row.get::<Option<i64>>(8)?,
        );
        let published = match (definition, source_version, version, at) {
            (Some(definition), Some(source_version), Some(version), Some(at)) => Some(Published {
                definition,
                source_version: source_version as u64,
                version: version as u64,
                newest_micros: row.get(7)?,
                at,
            }),
            _ => None,
        };
        Ok(State {
            newest: row.get(0)?,
            source_id: row.get(1)?,
            refresh: Refresh::parse(&row.get::<String>(2)?)
                .ok_or_else(|| Error::internal("a feature table is refreshed in an unknown way"))?,
            run_as_id: row.get(3)?,
            published,
        })
    })
}

/// What is known of a superseded definition that something served stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upheld {
    /// The version of its source that requests look up; none while nothing of it was computed.
    pub source_version: Option<u64>,
    /// Why it cannot be brought further.
    pub problem: Option<String>,
}

/// What is known of a definition as a superseded one.
pub(super) fn upheld(sql: &mut Sql<'_>, asset_id: i64, n: i64) -> Result<Option<Upheld>> {
    sql.first(&store::UPHELD_GET, bind![asset_id, n], |row| {
        Ok(Upheld {
            source_version: row.get::<Option<i64>>(0)?.map(|version| version as u64),
            problem: row.get(1)?,
        })
    })
}

/// The definitions of a feature table that something served stands on.
pub(super) fn used(sql: &mut Sql<'_>, asset_id: i64) -> Result<Vec<i64>> {
    sql.all(&store::USED_OF_TABLE, bind![asset_id], |row| row.get(0))
}

fn read(row: &Row<'_>) -> Result<Definition> {
    Ok(Definition {
        n: row.get(0)?,
        declared: serde_json::from_str(&row.get::<String>(1)?).map_err(Error::internal)?,
        yaml: row.get(2)?,
        digest: row.get(3)?,
        source_id: row.get(4)?,
        created_at: row.get(5)?,
        created_by: row.get(6)?,
    })
}

/// A definition.
pub(super) fn get(sql: &mut Sql<'_>, asset_id: i64, n: i64) -> Result<Definition> {
    let found = sql.first(&store::DEFINITION_GET, bind![asset_id, n], read)?;
    found.ok_or_else(|| Error::missing(format!("The feature table has no definition {n}.")))
}

/// The newest definitions.
pub(super) fn list(sql: &mut Sql<'_>, asset_id: i64, most: i64) -> Result<Vec<Definition>> {
    sql.all(&store::DEFINITION_LIST, bind![asset_id, most], read)
}

/// The feature table of this name, for a caller who may do this with it.
pub(super) fn find(sql: &mut Sql<'_>, name: &FullName, action: Action) -> Result<(Managed, State)> {
    let table = managed::get(sql, name, action).map_err(|error| match error.code() {
        crate::error::Code::ResourceDoesNotExist
            if matches!(managed::find(sql, name), Ok(managed::Found::Nothing { .. })) =>
        {
            let none = none(name);
            names::otherwise(sql, name, Kind::Table, none)
        }
        _ => error,
    })?;
    match state(sql, table.asset.id)? {
        Some(state) => Ok((table, state)),
        None => Err(Error::invalid(format!(
            "'{0}' is a table and no feature table: nobody declared how its rows are computed. `strongback table show {0}` shows \
             what it is.",
            managed::show(name)
        ))),
    }
}

fn none(name: &FullName) -> Error {
    Error::missing(format!(
        "The feature table '{}' does not exist. Declare it with: strongback feature-table apply FILE.yaml",
        managed::show(name)
    ))
}
