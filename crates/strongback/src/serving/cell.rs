//! One value of a request, and what it can be: the casts of the reference, but for those that lose something.

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, NaiveDate, NaiveDateTime};

use super::signature::Type;

/// Characters of a value that a message repeats.
const SHOWN_CHARS_MAX: usize = 60;

/// A value on its way into a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// None.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond 64 bits with sign.
    Huge(u64),
    /// Another number.
    Float(f64),
    /// Text of JSON.
    Text(&'a str),
    /// A field of a file of text, where numbers are written like texts.
    Plain(&'a str),
}

impl Cell<'_> {
    /// As a message says it.
    pub(super) fn shown(self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Huge(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(text) | Self::Plain(text) => {
                let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
                let more = if cut.len() < text.len() { "…" } else { "" };
                format!("{cut:?}{more}")
            }
        }
    }
}

pub(super) fn is_missing(cell: Cell<'_>, kind: Type) -> bool {
    match cell {
        Cell::Null => true,
        Cell::Plain(text) => text.is_empty() && kind != Type::String,
        Cell::Text(text) => kind != Type::String && text == "NaN",
        _ => false,
    }
}

/// Numbers, booleans and texts that are numbers, as the reference casts them.
pub(super) fn as_double(cell: Cell<'_>) -> Option<f64> {
    match cell {
        Cell::Int(value) => Some(value as f64),
        Cell::Huge(value) => Some(value as f64),
        Cell::Float(value) => Some(value),
        Cell::Bool(value) => Some(f64::from(u8::from(value))),
        Cell::Text(text) | Cell::Plain(text) => text.trim().parse().ok(),
        Cell::Null => None,
    }
}

/// What came of asking for a whole number.
pub(super) enum Whole {
    Is(i64),
    Beyond,
    Fraction,
    Not,
}

pub(super) fn as_long(cell: Cell<'_>) -> Whole {
    match cell {
        Cell::Int(value) => Whole::Is(value),
        Cell::Huge(_) => Whole::Beyond,
        Cell::Bool(value) => Whole::Is(i64::from(value)),
        Cell::Float(value) if value.fract() != 0.0 => Whole::Fraction,
        // From 2^63 on there is no such integer; every double below it that is whole is one.
        Cell::Float(value) if value.abs() >= 9_223_372_036_854_775_808.0 => Whole::Beyond,
        Cell::Float(value) => Whole::Is(value as i64),
        Cell::Text(text) | Cell::Plain(text) => text.trim().parse().map_or(Whole::Not, Whole::Is),
        Cell::Null => Whole::Not,
    }
}

pub(super) fn as_boolean(cell: Cell<'_>) -> Option<bool> {
    match cell {
        Cell::Bool(value) => Some(value),
        Cell::Int(0) | Cell::Float(0.0) => Some(false),
        Cell::Int(1) | Cell::Float(1.0) => Some(true),
        Cell::Plain(text) => match text.trim() {
            "true" | "True" | "TRUE" | "1" => Some(true),
            "false" | "False" | "FALSE" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn as_bytes(cell: Cell<'_>) -> Option<Vec<u8>> {
    match cell {
        Cell::Text(text) | Cell::Plain(text) => BASE64_STANDARD.decode(text).ok(),
        _ => None,
    }
}

/// Whether features, tables and Python know a moment, in microseconds since the epoch: the years 1 to 9999.
pub(super) fn is_moment(micros: i64) -> bool {
    lake::panes::TIME_MICROS.contains(&micros)
}

/// A moment as ISO 8601 writes it; without an offset it is UTC.
pub(super) fn as_moment(cell: Cell<'_>) -> Option<i64> {
    let (Cell::Text(text) | Cell::Plain(text)) = cell else { return None };
    moment(text)
}

/// The microseconds since the epoch of a moment as ISO 8601 writes it, a blank in place of the `T` too; without an offset
/// it is UTC, and without a time it is midnight.
pub fn moment(text: &str) -> Option<i64> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment.timestamp_micros());
    }
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    if let Some(plain) = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok()) {
        return Some(plain.and_utc().timestamp_micros());
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}
