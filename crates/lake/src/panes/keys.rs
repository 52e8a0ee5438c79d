//! The values of key columns outside of a batch: as a request names them, and as bytes that are stored.
//!
//! Whole numbers of every width are one kind, so that a request need not know how wide a column is. The stored form of a key:
//! for each value a tag and then, lowest byte first, 1 byte for a boolean, 8 for a whole number or an instant, 4 for a day, 16
//! for a decimal number's digits; before texts and bytes their length in 4 bytes. No key's bytes begin another one's of as
//! many values. The form never changes; golden bytes stand in the tests.

use std::fmt;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use serde::{Deserialize, Serialize};

use super::error::PaneError;
use super::rows::{Entity, encoder};
use super::table::Panes;

/// The value of a key column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyValue {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// The digits of a decimal number, without the point.
    Decimal(i128),
    /// A day, counted since 1970-01-01.
    Days(i32),
    /// An instant, in microseconds since 1970.
    Micros(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// What a key column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// True or false.
    Bool,
    /// Whole numbers.
    Int,
    /// Decimal numbers.
    Decimal,
    /// Days.
    Days,
    /// Instants.
    Micros,
    /// Texts.
    Text,
    /// Bytes.
    Bytes,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Decimal => "a decimal number",
            Self::Days => "a day",
            Self::Micros => "an instant",
            Self::Text => "a text",
            Self::Bytes => "bytes",
        })
    }
}

impl KeyKind {
    /// Of a column's type; none where it can be no key.
    fn of(kind: &DataType) -> Option<Self> {
        Some(match kind {
            DataType::Boolean => Self::Bool,
            kind if kind.is_integer() => Self::Int,
            DataType::Decimal128(..) => Self::Decimal,
            DataType::Date32 | DataType::Date64 => Self::Days,
            DataType::Timestamp(..) => Self::Micros,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Bytes,
            _ => return None,
        })
    }

    /// The type in which values of a kind are taken from a column.
    fn common(self, given: &DataType) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Decimal => given.clone(),
            Self::Days => DataType::Date32,
            Self::Micros => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Text => DataType::Utf8,
            Self::Bytes => DataType::Binary,
        }
    }

    fn value(self, column: &ArrayRef, row: usize) -> KeyValue {
        match self {
            Self::Bool => KeyValue::Bool(column.as_boolean().value(row)),
            Self::Int => KeyValue::Int(column.as_primitive::<Int64Type>().value(row)),
            Self::Decimal => KeyValue::Decimal(column.as_primitive::<Decimal128Type>().value(row)),
            Self::Days => KeyValue::Days(column.as_primitive::<Date32Type>().value(row)),
            Self::Micros => KeyValue::Micros(column.as_primitive::<TimestampMicrosecondType>().value(row)),
            Self::Text => KeyValue::Text(column.as_string::<i32>().value(row).to_owned()),
            Self::Bytes => KeyValue::Bytes(column.as_binary::<i32>().value(row).to_vec()),
        }
    }
}

impl KeyValue {
    /// What it is.
    pub fn kind(&self) -> KeyKind {
        match self {
            Self::Bool(_) => KeyKind::Bool,
            Self::Int(_) => KeyKind::Int,
            Self::Decimal(_) => KeyKind::Decimal,
            Self::Days(_) => KeyKind::Days,
            Self::Micros(_) => KeyKind::Micros,
            Self::Text(_) => KeyKind::Text,
            Self::Bytes(_) => KeyKind::Bytes,
        }
    }
}

/// The stored form of a key.
pub fn encode_key(values: &[KeyValue]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        match value {
            KeyValue::Bool(value) => bytes.extend([1, u8::from(*value)]),
            KeyValue::Int(value) => {
                bytes.push(2);
                bytes.extend(value.to_le_bytes());
            }
            KeyValue::Decimal(value) => {
                bytes.push(3);
                bytes.extend(value.to_le_bytes());
            }
            KeyValue::Days(value) => {
                bytes.push(4);
                bytes.extend(value.to_le_bytes());
            }
            KeyValue::Micros(value) => {
                bytes.push(5);
                bytes.extend(value.to_le_bytes());
            }
            KeyValue::Text(text) => measured(&mut bytes, 6, text.as_bytes()),
            KeyValue::Bytes(value) => measured(&mut bytes, 7, value),
        }
    }
    bytes
}

fn measured(bytes: &mut Vec<u8>, tag: u8, value: &[u8]) {
    bytes.push(tag);
    bytes.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(value);
}

impl Panes {
    /// What the key columns hold, once rows were seen.
    pub fn key_kinds(&self) -> Result<Vec<KeyKind>, PaneError> {
        let names = self.plan.declared().keys.iter();
        names
            .zip(self.key_types.iter().flatten())
            .map(|(name, kind)| {
                KeyKind::of(kind).ok_or_else(|| PaneError::Type {
                    column: name.clone(),
                    found: kind.to_string(),
                    need: super::error::KEY,
                })
            })
            .collect()
    }

    /// The keys of some entities.
    pub fn keys_of<'e>(
        &self,
        entities: impl Iterator<Item = &'e Entity>,
    ) -> Result<Vec<Vec<KeyValue>>, PaneError> {
        let kinds = self.key_kinds()?;
        let entities: Vec<&Entity> = entities.collect();
        if kinds.is_empty() {
            return Ok(vec![vec![]; entities.len()]);
        }
        let converter = encoder(self.key_types.as_deref().unwrap_or_default())?;
        let parser = converter.parser();
        let columns = converter.convert_rows(entities.iter().map(|entity| parser.parse(entity.as_ref())))?;
        let columns = kinds
            .iter()
            .zip(&columns)
            .map(|(kind, column)| cast(column, &kind.common(column.data_type())))
            .collect::<Result<Vec<_>, _>>()?;
        let of = |row| kinds.iter().zip(&columns).map(|(kind, column)| kind.value(column, row)).collect();
        Ok((0..entities.len()).map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_stays() {
        let key = [
            KeyValue::Bool(true),
            KeyValue::Int(-2),
            KeyValue::Days(1),
            KeyValue::Micros(3),
            KeyValue::Text("é".to_owned()),
            KeyValue::Bytes(vec![0]),
        ];
        let golden = "010102feffffffffffffff040100000005030000000000000006020000 00c3a9070100000000";
        assert_eq!(hex::encode(encode_key(&key)), golden.replace(' ', ""));
        assert_eq!(hex::encode(encode_key(&[KeyValue::Decimal(5)])), format!("0305{}", "00".repeat(15)));
        assert!(encode_key(&[]).is_empty());
    }
}
