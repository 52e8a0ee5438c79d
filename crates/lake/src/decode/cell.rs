//! One value: from a text to what a column of a type holds, or why not.

use std::{borrow::Cow, sync::Arc};

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime};
use datafusion::arrow::{
    array::{
        Array, ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
        Float64Builder, Int8Builder, Int16Builder, Int32Builder, Int64Builder, StringBuilder,
        TimestampMicrosecondBuilder, make_array,
    },
    datatypes::DataType,
};

use crate::{
    error::{Error, Result},
    schema::type_text,
};

/// Days from the first of January of the year 1 to the epoch.
const EPOCH_DAYS: i32 = 719_163;

/// A column that is being filled.
pub(super) enum Building {
    Bool(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Date(Date32Builder),
    Instant(TimestampMicrosecondBuilder),
    Decimal(Decimal128Builder, u8, i8),
    Text(StringBuilder),
    Binary(BinaryBuilder),
}

/// Runs the same code for every builder.
macro_rules! each {
    ($building:expr, $builder:ident => $do:expr) => {
        match $building {
            Building::Bool($builder) => $do,
            Building::Int8($builder) => $do,
            Building::Int16($builder) => $do,
            Building::Int32($builder) => $do,
            Building::Int64($builder) => $do,
            Building::Float32($builder) => $do,
            Building::Float64($builder) => $do,
            Building::Date($builder) => $do,
            Building::Instant($builder) => $do,
            Building::Decimal($builder, ..) => $do,
            Building::Text($builder) => $do,
            Building::Binary($builder) => $do,
        }
    };
}

impl Building {
    pub(super) fn new(kind: &DataType, rows: usize) -> Result<Self> {
        Ok(match kind {
            DataType::Boolean => Self::Bool(BooleanBuilder::with_capacity(rows)),
            DataType::Int8 => Self::Int8(Int8Builder::with_capacity(rows)),
            DataType::Int16 => Self::Int16(Int16Builder::with_capacity(rows)),
            DataType::Int32 => Self::Int32(Int32Builder::with_capacity(rows)),
            DataType::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            DataType::Float32 => Self::Float32(Float32Builder::with_capacity(rows)),
            DataType::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            DataType::Date32 => Self::Date(Date32Builder::with_capacity(rows)),
            DataType::Timestamp(..) => {
                Self::Instant(TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(kind.clone()))
            }
            DataType::Decimal128(precision, scale) => Self::Decimal(
                Decimal128Builder::with_capacity(rows)
                    .with_precision_and_scale(*precision, *scale)
                    .map_err(Error::internal)?,
                *precision,
                *scale,
            ),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Binary => Self::Binary(BinaryBuilder::new()),
            other => {
                return Err(Error::invalid(format!(
                    "A column of the type {} cannot be read from a file of texts. Bring its rows as Parquet or Arrow.",
                    type_text(other)
                )));
            }
        })
    }

    pub(super) fn push_null(&mut self) {
        each!(self, builder => builder.append_null());
    }

    /// Takes a value, or says why the column cannot hold it; nothing was taken then.
    pub(super) fn push(&mut self, text: &str) -> Result<(), String> {
        match self {
            Self::Bool(builder) => {
                builder.append_value(boolean(text).ok_or("it is neither true nor false")?);
            }
            Self::Int8(builder) => builder.append_value(whole(text)?),
            Self::Int16(builder) => builder.append_value(whole(text)?),
            Self::Int32(builder) => builder.append_value(whole(text)?),
            Self::Int64(builder) => builder.append_value(whole(text)?),
            Self::Float32(builder) => builder.append_value(float32(text)?),
            Self::Float64(builder) => builder.append_value(float(text).ok_or("it is no number")?),
            Self::Date(builder) => {
                builder.append_value(date(text).ok_or("it is no date such as 2026-11-24")?);
            }
            Self::Instant(builder) => builder.append_value(instant(text)?),
            Self::Decimal(builder, precision, scale) => {
                builder.append_value(decimal(text, *precision, *scale)?);
            }
            Self::Text(builder) => builder.append_value(text),
            Self::Binary(_) => return Err("bytes cannot be written as text".to_owned()),
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        each!(&mut self, builder => Arc::new(builder.finish()))
    }
}

/// The same values where there are any, and whatever lies below the others.
pub(super) fn without_nulls(column: &ArrayRef) -> ArrayRef {
    match column.to_data().into_builder().nulls(None).build() {
        Ok(data) => make_array(data),
        Err(_) => Arc::clone(column),
    }
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    match (is("true"), is("false")) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// A whole number in a column of some width.
fn whole<N: TryFrom<i64>>(text: &str) -> Result<N, String> {
    let number: i64 = text.parse().map_err(|_| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let is_long = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_long { "it is too large".to_owned() } else { "it is no whole number".to_owned() }
    })?;
    N::try_from(number).map_err(|_| "it is too large".to_owned())
}

/// A number. The words for infinity and for no number are those of Python, Spark and Rust.
pub(super) fn float(text: &str) -> Option<f64> {
    // Rust would take `infinity` in any case, and nothing else that is no number; so does everybody.
    text.parse().ok()
}

fn float32(text: &str) -> Result<f32, String> {
    let wide = float(text).ok_or("it is no number")?;
    let narrow: f32 = text.parse().map_err(|_| "it is no number")?;
    if narrow.is_infinite() && wide.is_finite() {
        return Err("it is too large for a float; a double holds it".to_owned());
    }
    Ok(narrow)
}

/// Days since the epoch.
pub(super) fn date(text: &str) -> Option<i32> {
    let date: NaiveDate = text.parse().ok()?;
    Some(date.num_days_from_ce() - EPOCH_DAYS)
}

/// Microseconds since the epoch; without a zone it is UTC.
pub(super) fn instant(text: &str) -> Result<i64, String> {
    let moment = moment(text).ok_or("it is no time such as 2026-11-24T08:00:00Z")?;
    if moment.timestamp_subsec_nanos() % 1_000 != 0 {
        return Err("it is finer than a microsecond".to_owned());
    }
    Ok(moment.timestamp_micros())
}

fn moment(text: &str) -> Option<DateTime<chrono::Utc>> {
    // Cheap to refuse: most texts that are no times do not begin with a year.
    if !text.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment.to_utc());
    }
    let text: Cow<'_, str> =
        if text.contains('T') { Cow::Borrowed(text) } else { Cow::Owned(text.replacen(' ', "T", 1)) };
    if let Ok(moment) = DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f%#z") {
        return Some(moment.to_utc());
    }
    if let Ok(moment) = NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f") {
        return Some(moment.and_utc());
    }
    let day: NaiveDate = text.parse().ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc())
}

/// A decimal number as the whole number of its smallest unit.
fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, String> {
    let no_decimal = || "it is no decimal number".to_owned();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !is_digits(whole) || !is_digits(part) {
        return Err(no_decimal());
    }
    let part = part.trim_end_matches('0');
    let scale = usize::try_from(scale).map_err(|_| no_decimal())?;
    if part.len() > scale {
        return Err(format!("it has more than {scale} digits behind the point"));
    }
    let whole = whole.trim_start_matches('0');
    if whole.len() + scale > usize::from(precision) {
        return Err("it is too large".to_owned());
    }
    let number: i128 = format!("0{whole}{part:0<scale$}").parse().map_err(|_| no_decimal())?;
    Ok(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_to_the_microsecond() {
        let is = |text: &str, micros: i64| assert_eq!(instant(text), Ok(micros), "{text}");
        is("1970-01-01", 0);
        is("1970-01-01T00:00:01Z", 1_000_000);
        is("1970-01-01 00:00:01", 1_000_000);
        is("1970-01-01T01:00:00+01:00", 0);
        is("1970-01-01 01:00:00.000001+0100", 1);
        is("1969-12-31T23:59:59.999999Z", -1);
        assert!(instant("1970-01-01T00:00:00.0000001Z").unwrap_err().contains("microsecond"));
        for wrong in ["", "yesterday", "1970-13-01", "1970-01-01T25:00:00Z", "12"] {
            assert!(instant(wrong).is_err(), "{wrong}");
        }
        assert_eq!(date("1970-01-02"), Some(1));
        assert_eq!(date("1970-02-30"), None);
    }

    #[test]
    fn numbers_are_taken_whole_or_not_at_all() {
        assert_eq!(whole::<i8>("127"), Ok(127));
        assert!(whole::<i8>("128").unwrap_err().contains("too large"));
        assert!(whole::<i64>("9223372036854775808").unwrap_err().contains("too large"));
        assert!(whole::<i64>("1.0").unwrap_err().contains("whole"));
        assert!(float32("1e39").unwrap_err().contains("double"));
        assert!(float32("inf").unwrap().is_infinite());
        assert_eq!(decimal("-12.340", 4, 2), Ok(-1234));
        assert_eq!(decimal(".5", 4, 2), Ok(50));
        assert!(decimal("1.234", 4, 2).unwrap_err().contains("behind the point"));
        assert!(decimal("123", 4, 2).unwrap_err().contains("too large"));
        for wrong in ["", ".", "-", "1e2", "1,0"] {
            assert!(decimal(wrong, 4, 2).is_err(), "{wrong}");
        }
    }
}
