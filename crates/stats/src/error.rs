//! What cannot be computed, with the value that was in the way and what to do about it.

use thiserror::Error;

/// A figure that was refused. [`std::fmt::Display`] says what was wrong, with which value, and the remedy.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum StatsError {
    /// No row had all the values that the figure is made of.
    #[error("{what} has no row left to judge ({missing} had a missing value): give rows with finite values")]
    Empty { what: &'static str, missing: u64 },

    /// Some rows, but too few for the figure or its interval.
    #[error("{what}: {found} found, at least {needed} are needed: collect more, or ask for a coarser figure")]
    TooFew { what: &'static str, found: u64, needed: u64 },

    /// More than this crate accepts; the limit is the remedy.
    #[error("{what}: {found} found, at most {limit} are taken: join or drop some")]
    TooMany { what: &'static str, found: u64, limit: u64 },

    /// Two columns that must have a value a row have different lengths.
    #[error("{left} has {left_rows} rows and {right} has {right_rows}: both must describe the same rows")]
    LengthMismatch { left: &'static str, left_rows: usize, right: &'static str, right_rows: usize },

    /// The labels of all rows are the same, where a figure needs both.
    #[error(
        "all {rows} labels are {label}: {figure} needs rows of both classes; take a larger or later sample"
    )]
    OneClass { figure: &'static str, rows: u64, label: bool },

    /// A value outside of what it can mean. `row` counts from 0 in the caller's input, for values of a column.
    #[error("{what} is {value}{}: it must be {expected}", .row.map(|row| format!(" in row {row}")).unwrap_or_default())]
    OutOfRange { what: &'static str, value: f64, row: Option<usize>, expected: &'static str },

    /// The formula divides nothing by nothing, or cannot be told from these rows.
    #[error("{figure} is undefined here: {why}")]
    Undefined { figure: &'static str, why: &'static str },

    /// Nobody waited for it any more.
    #[error("{figure} was given up before its end: nobody waits for it any more")]
    GivenUp { figure: &'static str },

    /// Two things that do not describe the same kind of column.
    #[error("{left} and {right} do not go together: {why}")]
    Incompatible { left: &'static str, right: &'static str, why: &'static str },

    /// A name that no figure has.
    #[error("there is no figure named '{name}': known are {known}")]
    UnknownName { name: String, known: String },

    /// Stored bytes of a sketch that are not what this crate writes.
    #[error("the bytes of the sketch are damaged at {at}: {why}; compute the sketch again from its rows")]
    Damaged { at: usize, why: &'static str },

    /// Stored bytes of a sketch in a format of another release.
    #[error("the sketch has format {found}, this release reads up to {known}: read it with a newer release")]
    UnknownFormat { found: u8, known: u8 },
}

/// What every function of this crate gives.
pub type Result<T> = std::result::Result<T, StatsError>;

/// Both columns have as many rows.
pub(crate) fn same_length(left: (&'static str, usize), right: (&'static str, usize)) -> Result<()> {
    if left.1 == right.1 {
        return Ok(());
    }
    let ((left, left_rows), (right, right_rows)) = (left, right);
    Err(StatsError::LengthMismatch { left, left_rows, right, right_rows })
}

/// A parameter that must be a finite number.
pub(crate) fn finite(what: &'static str, value: f64) -> Result<f64> {
    match value.is_finite() {
        true => Ok(value),
        false => Err(StatsError::OutOfRange { what, value, row: None, expected: "a finite number" }),
    }
}
