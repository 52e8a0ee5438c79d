//! A declaration in a file.
//!
//! ```yaml
//! version: 1
//! name: prod.risk.amounts
//! source: prod.risk.transactions
//! keys: []
//! timestamp: event_time
//! row_key: [transaction_id]
//! pane: 1m
//! lateness: 5m
//! refresh: on_commit
//! expressions:
//!   log_amount: ln(amount + 1)
//! features:
//!   - name: amount_mean_1h
//!     aggregate: mean
//!     column: amount
//!     window: 1h
//! ```

use std::collections::HashMap;

use super::{Aggregate, Expression, Feature, FeatureTable, Length, Place, Refresh};
use crate::names::shown;
use crate::yaml::{Fields, Node, Position, Value, list, read, scalar};

pub use crate::yaml::YamlError;

/// The version of the form above.
const VERSION: &str = "1";

/// Keys of the outer mapping.
const FIELDS: [&str; 11] = [
    "version",
    "name",
    "source",
    "keys",
    "timestamp",
    "row_key",
    "pane",
    "lateness",
    "refresh",
    "expressions",
    "features",
];

/// Keys of a feature.
const FEATURE_FIELDS: [&str; 4] = ["name", "aggregate", "column", "window"];

/// The declaration in the text of a file, checked.
///
/// # Errors
/// The first thing that is wrong, with its line and column.
pub fn from_yaml(text: &str) -> Result<FeatureTable, YamlError> {
    file_from_yaml(text).map(|(table, _)| table)
}

/// The same with what the file says besides about when the table is computed, which is no part of the definition.
///
/// # Errors
/// The first thing that is wrong, with its line and column.
pub fn file_from_yaml(text: &str) -> Result<(FeatureTable, Refresh), YamlError> {
    let root = read(text)?;
    let fields = Fields::of(&root, &FIELDS)?;
    let version = fields.text("version")?;
    if version.1 != VERSION {
        let message =
            format!("version '{}' is not known; this server reads version {VERSION}", shown(version.1));
        return Err(YamlError::new(version.0, message));
    }
    let mut places = HashMap::new();
    let mut text = |field: &'static str, place: Place| -> Result<String, YamlError> {
        let (position, value) = fields.text(field)?;
        places.insert(place, position);
        Ok(value.to_owned())
    };
    let (name, source) = (text("name", Place::Name)?, text("source", Place::Source)?);
    let timestamp = text("timestamp", Place::Timestamp)?;
    let mut texts = |field: &'static str, place: Place| -> Result<Vec<String>, YamlError> {
        let Some(node) = fields.get(field) else {
            return Ok(vec![]);
        };
        places.insert(place, node.position);
        list(field, node)?.iter().map(|item| Ok(scalar(field, item)?.to_owned())).collect()
    };
    let (keys, row_key) = (texts("keys", Place::Keys)?, texts("row_key", Place::RowKey)?);
    let mut length = |field: &'static str, place: Place| -> Result<Length, YamlError> {
        let (position, value) = fields.text(field)?;
        places.insert(place, position);
        value.parse().map_err(|message: String| YamlError::new(position, message))
    };
    let pane = length("pane", Place::Pane)?;
    let has_lateness = fields.get("lateness").is_some();
    let lateness = if has_lateness { length("lateness", Place::Lateness)? } else { Length::default() };
    let expressions = match fields.get("expressions") {
        Some(node) => {
            places.insert(Place::Expressions, node.position);
            expressions(node, &mut places)?
        }
        None => vec![],
    };
    let declared = fields.need("features")?;
    places.insert(Place::Features, declared.position);
    let mut features = vec![];
    for (index, node) in list("features", declared)?.iter().enumerate() {
        places.insert(Place::Feature(index), node.position);
        features.push(feature(node)?);
    }
    let table =
        FeatureTable { name, source, keys, timestamp, row_key, pane, lateness, expressions, features };
    table.check().map_err(|error| {
        let position = places.get(&error.place).copied().unwrap_or(root.position);
        YamlError::new(position, error.message)
    })?;
    Ok((table, refresh(&fields)?))
}

fn refresh(fields: &Fields<'_>) -> Result<Refresh, YamlError> {
    let Some(node) = fields.get("refresh") else { return Ok(Refresh::default()) };
    let written = scalar("refresh", node)?;
    Refresh::parse(written).ok_or_else(|| {
        let message = format!("'{}' is no way to refresh; known are manual, on_commit", shown(written));
        YamlError::new(node.position, message)
    })
}

fn expressions(node: &Node, places: &mut HashMap<Place, Position>) -> Result<Vec<Expression>, YamlError> {
    let Value::Mapping(entries) = &node.value else {
        let message = format!("'expressions' takes names with an expression each, not {}", node.value.kind());
        return Err(YamlError::new(node.position, message));
    };
    let mut expressions = vec![];
    for (index, (key, node)) in entries.iter().enumerate() {
        places.insert(Place::Expression(index), key.position);
        let sql = scalar(&key.text, node)?.to_owned();
        expressions.push(Expression { name: key.text.clone(), sql });
    }
    Ok(expressions)
}

fn feature(node: &Node) -> Result<Feature, YamlError> {
    let fields = Fields::of(node, &FEATURE_FIELDS)?;
    let (position, written) = fields.text("aggregate")?;
    let aggregate = Aggregate::ALL.iter().find(|(_, name)| *name == written);
    let Some((aggregate, _)) = aggregate else {
        let known = Aggregate::ALL.map(|(_, name)| name).join(", ");
        let message = format!("'{}' is no aggregate; known are {known}", shown(written));
        return Err(YamlError::new(position, message));
    };
    let (position, window) = fields.text("window")?;
    let window = window.parse().map_err(|message: String| YamlError::new(position, message))?;
    let column = match fields.get("column") {
        Some(node) => Some(scalar("column", node)?.to_owned()),
        None => None,
    };
    Ok(Feature { name: fields.text("name")?.1.to_owned(), aggregate: *aggregate, column, window })
}
