//! What a declaration may say.

use std::collections::HashSet;

use super::{
    Aggregate, COLUMN_CHARS_MAX, EXPRESSION_CHARS_MAX, EXPRESSIONS_MAX, Expression, FEATURES_MAX, Feature,
    FeatureTable, KEYS_MAX, LENGTH_MICROS_MAX, Length, MERGED_PANES_MAX, WINDOW_PANES_MAX,
};
use crate::names::{FullName, shown};

/// Which part of a declaration is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// `name`.
    Name,
    /// `source`.
    Source,
    /// `keys`.
    Keys,
    /// `timestamp`.
    Timestamp,
    /// `row_key`.
    RowKey,
    /// `pane`.
    Pane,
    /// `lateness`.
    Lateness,
    /// `expressions` as a whole.
    Expressions,
    /// The expression of that position, from 0.
    Expression(usize),
    /// `features` as a whole.
    Features,
    /// The feature of that position, from 0.
    Feature(usize),
}

/// Why a declaration is refused: the first reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FeatureError {
    /// Where it stands.
    pub place: Place,
    /// Which value, what is wrong with it, and what to do.
    pub message: String,
}

fn refuse<T>(place: Place, message: String) -> Result<T, FeatureError> {
    Err(FeatureError { place, message })
}

impl FeatureTable {
    /// Whether this can be computed; if not, the first reason.
    pub fn check(&self) -> Result<(), FeatureError> {
        for (place, what, name) in
            [(Place::Name, "name", &self.name), (Place::Source, "source", &self.source)]
        {
            if let Err(error) = FullName::parse(name) {
                return refuse(place, format!("'{what}' is no name of a table: {error}"));
            }
        }
        self.check_columns()?;
        self.check_lengths()?;
        self.check_expressions()?;
        if self.features.is_empty() {
            return refuse(Place::Features, "'features' is empty; declare at least one".to_owned());
        }
        if self.features.len() > FEATURES_MAX {
            let count = self.features.len();
            return refuse(
                Place::Features,
                format!(
                    "'features' has {count} entries, at most {FEATURES_MAX} may stand there; split the table"
                ),
            );
        }
        let mut names = HashSet::new();
        for (index, feature) in self.features.iter().enumerate() {
            self.check_feature(Place::Feature(index), feature)?;
            if !names.insert(feature.name.to_lowercase()) {
                return refuse(
                    Place::Feature(index),
                    format!(
                        "two features are called '{}'; names count without case, give one another",
                        feature.name
                    ),
                );
            }
        }
        self.check_merged()
    }

    /// Whether one row takes a bounded time. Each feature for itself is in order.
    fn check_merged(&self) -> Result<(), FeatureError> {
        let windows: HashSet<i64> =
            self.features.iter().map(|feature| feature.window.micros() / self.pane.micros()).collect();
        let columns: HashSet<&String> =
            self.features.iter().filter_map(|feature| feature.column.as_ref()).collect();
        let panes: i64 = windows.iter().sum();
        let merged = panes.saturating_mul(i64::try_from(columns.len().max(1)).unwrap_or(i64::MAX));
        if merged > MERGED_PANES_MAX {
            return refuse(
                Place::Features,
                format!(
                    "'features' has windows of {panes} panes together over {} columns, {merged} for each row and request, at most \
                     {MERGED_PANES_MAX} there may be; choose a wider pane than {}, or split the table",
                    columns.len(),
                    self.pane
                ),
            );
        }
        Ok(())
    }

    fn check_columns(&self) -> Result<(), FeatureError> {
        check_column(Place::Timestamp, "timestamp", &self.timestamp)?;
        for (place, what, columns) in
            [(Place::Keys, "keys", &self.keys), (Place::RowKey, "row_key", &self.row_key)]
        {
            if columns.len() > KEYS_MAX {
                let count = columns.len();
                return refuse(
                    place,
                    format!("'{what}' has {count} columns, at most {KEYS_MAX} may stand there"),
                );
            }
            let mut seen = HashSet::new();
            for column in columns {
                check_column(place, what, column)?;
                if !seen.insert(column) {
                    return refuse(place, format!("'{what}' names '{column}' twice; name it once"));
                }
            }
        }
        if self.row_key.is_empty() {
            return refuse(
                Place::RowKey,
                "'row_key' is empty; name the columns that tell rows of one time apart, like an id"
                    .to_owned(),
            );
        }
        if self.keys.contains(&self.timestamp) {
            return refuse(
                Place::Keys,
                format!("'{}' is a key and the timestamp; it can be one of them", self.timestamp),
            );
        }
        Ok(())
    }

    fn check_lengths(&self) -> Result<(), FeatureError> {
        if self.pane.micros() == 0 {
            return refuse(Place::Pane, "'pane' is 0; give it a width, like 1m".to_owned());
        }
        for (place, what, length) in
            [(Place::Pane, "pane", self.pane), (Place::Lateness, "lateness", self.lateness)]
        {
            check_length(place, what, length)?;
        }
        Ok(())
    }

    fn check_expressions(&self) -> Result<(), FeatureError> {
        let count = self.expressions.len();
        if count > EXPRESSIONS_MAX {
            return refuse(
                Place::Expressions,
                format!("'expressions' has {count} entries, at most {EXPRESSIONS_MAX} may stand there"),
            );
        }
        let mut names = HashSet::new();
        for (index, Expression { name, sql }) in self.expressions.iter().enumerate() {
            let place = Place::Expression(index);
            check_name(place, "an expression", name)?;
            if !names.insert(name.to_lowercase()) {
                let message = format!(
                    "two expressions are called '{name}'; names count without case, give one another"
                );
                return refuse(place, message);
            }
            let mut taken = self.keys.iter().chain(&self.row_key).chain([&self.timestamp]);
            if let Some(taken) = taken.find(|column| column.eq_ignore_ascii_case(name)) {
                return refuse(
                    place,
                    format!(
                        "'{name}' is the name of the column '{taken}' too, and keys and times are the source's own; give the \
                         expression another"
                    ),
                );
            }
            let chars = sql.chars().count();
            if sql.trim().is_empty() || chars > EXPRESSION_CHARS_MAX || sql.contains('\0') {
                return refuse(
                    place,
                    format!(
                        "the expression '{name}' has {chars} characters; it has 1 to {EXPRESSION_CHARS_MAX}, and no NUL"
                    ),
                );
            }
        }
        Ok(())
    }

    fn check_feature(&self, place: Place, feature: &Feature) -> Result<(), FeatureError> {
        let name = &feature.name;
        check_name(place, "a feature", name)?;
        if let Some(taken) =
            self.keys.iter().chain([&self.timestamp]).find(|column| column.eq_ignore_ascii_case(name))
        {
            return refuse(
                place,
                format!("'{name}' is the name of the column '{taken}' too; give the feature another"),
            );
        }
        match (&feature.column, feature.aggregate) {
            (Some(column), _) => check_column(place, "column", column)?,
            (None, Aggregate::Count) => {}
            (None, _) => {
                return refuse(
                    place,
                    format!("'{name}' names no column to aggregate; only a count can do without"),
                );
            }
        }
        check_length(place, "window", feature.window)?;
        let (window, pane) = (feature.window.micros(), self.pane.micros());
        if window == 0 || window % pane != 0 {
            return refuse(
                place,
                format!(
                    "the window {} of '{name}' is no whole number of panes of {}; choose a multiple",
                    feature.window, self.pane
                ),
            );
        }
        if window / pane > WINDOW_PANES_MAX {
            return refuse(
                place,
                format!(
                    "the window {} of '{name}' has {} panes, at most {WINDOW_PANES_MAX} it may have; choose a wider pane \
                     than {}",
                    feature.window,
                    window / pane,
                    self.pane
                ),
            );
        }
        Ok(())
    }
}

fn check_name(place: Place, what: &str, name: &str) -> Result<(), FeatureError> {
    let mut chars = name.chars();
    let starts_well = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if starts_well && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') && name.len() <= COLUMN_CHARS_MAX {
        return Ok(());
    }
    refuse(
        place,
        format!(
            "'{}' is no name of {what}; use letters, digits and _, no digit first, at most {COLUMN_CHARS_MAX} characters",
            shown(name)
        ),
    )
}

fn check_column(place: Place, what: &str, column: &str) -> Result<(), FeatureError> {
    let chars = column.chars().count();
    if chars == 0 || chars > COLUMN_CHARS_MAX || column.chars().any(char::is_control) {
        return refuse(
            place,
            format!(
                "'{}' in '{what}' is no name of a column; it has 1 to {COLUMN_CHARS_MAX} characters, none of control",
                shown(column)
            ),
        );
    }
    Ok(())
}

fn check_length(place: Place, what: &str, length: Length) -> Result<(), FeatureError> {
    if length.micros() > LENGTH_MICROS_MAX {
        return refuse(place, format!("'{what}' is {length}, longer than ten years (3660d); shorten it"));
    }
    Ok(())
}
