//! Columns of declared tables.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::names::fold_case;

use crate::{
    catalog::securable::check_text,
    error::{Error, Result},
    router::wire::Int64,
};

/// Columns that one table may have.
const COLUMNS_MAX: usize = 10_000;
/// Longest name of a column, in characters.
const NAME_CHARS_MAX: usize = 255;
/// Longest text about a column, in characters.
const TEXT_CHARS_MAX: usize = 65_535;
/// Type names that both clients know.
const TYPES: &[&str] = &[
    "BOOLEAN",
    "BYTE",
    "SHORT",
    "INT",
    "LONG",
    "FLOAT",
    "DOUBLE",
    "DATE",
    "TIMESTAMP",
    "TIMESTAMP_NTZ",
    "STRING",
    "BINARY",
    "DECIMAL",
    "INTERVAL",
    "ARRAY",
    "STRUCT",
    "MAP",
    "VARIANT",
    "CHAR",
    "NULL",
    "USER_DEFINED_TYPE",
    "TABLE_TYPE",
];

/// A column, on its way in, in the store and on its way out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// `LONG`, `STRING` and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// The whole type as SQL writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_text: Option<String>,
    /// The whole type as JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_json: Option<String>,
    /// Digits of a decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_precision: Option<Int64>,
    /// Digits of a decimal behind the point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_scale: Option<Int64>,
    /// Place among the columns, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Int64>,
    /// Whether it may be null; yes when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nullable: Option<bool>,
    /// Place among the columns that partition the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_index: Option<Int64>,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Columns of a table that is kept, as this face shows them, in the form in which they are stored.
pub(super) fn shown<'c>(columns: impl IntoIterator<Item = &'c lake::schema::Column>) -> Result<String> {
    let one = |(at, column): (usize, &lake::schema::Column)| Column {
        name: column.name.clone(),
        type_name: Some(column.type_name.clone()),
        type_text: Some(column.type_text.clone()),
        type_json: Some(column.type_json.clone()),
        position: Some(Int64(at as i64)),
        nullable: Some(column.nullable),
        ..Column::default()
    };
    let columns: Vec<Column> = columns.into_iter().enumerate().map(one).collect();
    serde_json::to_string(&columns).map_err(Error::internal)
}

/// Columns of a table that is to be kept: each needs a type.
pub(super) fn to_lake(columns: &[Column]) -> Result<Vec<lake::schema::Declared>> {
    let one = |(at, column): (usize, &Column)| {
        let plain = column.type_name.clone().filter(|name| name != "DECIMAL");
        let decimal = || match (&column.type_precision, &column.type_scale) {
            (Some(precision), scale) => {
                format!("decimal({},{})", precision.0, scale.as_ref().map_or(0, |scale| scale.0))
            }
            _ => "decimal".to_owned(),
        };
        let of_name = || column.type_name.as_ref().map(|_| decimal());
        let type_text = plain
            .or_else(|| column.type_text.clone())
            .or_else(of_name)
            .ok_or_else(|| Error::required(&format!("columns[{at}].type_name")))?;
        Ok(lake::schema::Declared {
            name: column.name.clone(),
            type_text,
            nullable: column.nullable.unwrap_or(true),
        })
    };
    columns.iter().enumerate().map(one).collect()
}

/// Checks columns: how many, their names, their types.
pub(super) fn check(columns: &[Column]) -> Result<()> {
    if columns.len() > COLUMNS_MAX {
        return Err(Error::invalid(format!(
            "'columns' has {} entries; the limit is {COLUMNS_MAX}.",
            columns.len()
        )));
    }
    let mut seen = HashSet::new();
    for (at, column) in columns.iter().enumerate() {
        if column.name.is_empty() {
            return Err(Error::required(&format!("columns[{at}].name")));
        }
        check_text(&format!("columns[{at}].name"), &column.name, NAME_CHARS_MAX)?;
        if !seen.insert(fold_case(&column.name)) {
            return Err(Error::invalid(format!(
                "The column '{}' stands in 'columns' twice; names of columns compare without case.",
                column.name
            )));
        }
        if let Some(other) = column.type_name.as_deref().filter(|name| !TYPES.contains(name)) {
            return Err(Error::invalid(format!(
                "Invalid value '{other}' for parameter 'columns[{at}].type_name' supplied: it is one of {}.",
                TYPES.join(", ")
            )));
        }
        for (path, text) in
            [("type_text", &column.type_text), ("type_json", &column.type_json), ("comment", &column.comment)]
        {
            check_text(
                &format!("columns[{at}].{path}"),
                text.as_deref().unwrap_or_default(),
                TEXT_CHARS_MAX,
            )?;
        }
    }
    Ok(())
}

/// The columns with their positions filled in.
pub(super) fn numbered(columns: &[Column]) -> Vec<Column> {
    let place = |(at, column): (usize, &Column)| Column {
        position: column.position.or(Some(Int64(at as i64))),
        ..column.clone()
    };
    columns.iter().enumerate().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, type_name: Option<&str>) -> Column {
        Column { name: name.into(), type_name: type_name.map(str::to_owned), ..Column::default() }
    }

    #[test]
    fn columns_have_names_once_and_known_types() {
        assert!(check(&[column("id", Some("LONG")), column("amount", None)]).is_ok());
        let refused = |columns: &[Column], part: &str| {
            let error = check(columns).unwrap_err();
            assert!(error.message().contains(part), "{error}");
        };
        refused(&[column("id", None), column("ID", None)], "twice");
        refused(&[column("", None)], "columns[0].name");
        refused(&[column("a", None), column("b", Some("bigint"))], "columns[1].type_name");
    }

    #[test]
    fn positions_are_filled_in() {
        let columns = numbered(&[column("a", None), column("b", None)]);
        assert_eq!(
            columns.iter().filter_map(|column| column.position).map(|at| at.0).collect::<Vec<_>>(),
            [0, 1]
        );
    }
}
