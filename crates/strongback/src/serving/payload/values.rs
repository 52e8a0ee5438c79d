//! A column of inputs: from Arrow into the bytes of a record, and back into a column of a table.
//!
//! A column is one byte (0: no value is absent; 1: a bitmap follows, a bit a row, set where there is a value) and then a value
//! a row: fixed-size ones little-endian, absent ones zero; texts and bytes with their length before them. Floats keep their
//! bits, also those of a NaN.

use std::sync::Arc;

use lake::arrow::{
    array::{Array, ArrayRef, AsArray as _, BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, TimeUnit, TimestampMicrosecondType,
    },
};

use crate::error::{Error, Result};

/// Zone of all instants in tables.
const UTC: &str = "UTC";

/// Types that inputs may have, as tables call them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    Date,
    Timestamp,
    String,
    Binary,
}

impl Kind {
    /// Of an Arrow type; refused where a record has no place for it.
    pub(super) fn of(name: &str, kind: &DataType) -> Result<Self> {
        Ok(match kind {
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::TinyInt,
            DataType::Int16 => Self::SmallInt,
            DataType::Int32 => Self::Int,
            DataType::Int64 => Self::BigInt,
            DataType::Float32 => Self::Float,
            DataType::Float64 => Self::Double,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Timestamp,
            DataType::Utf8 => Self::String,
            DataType::Binary => Self::Binary,
            other => {
                return Err(Error::invalid(format!(
                    "The input '{name}' has the type {other}, which the payload log does not keep. Serve it as text."
                )));
            }
        })
    }

    /// As tables call it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::TinyInt => "tinyint",
            Self::SmallInt => "smallint",
            Self::Int => "int",
            Self::BigInt => "bigint",
            Self::Float => "float",
            Self::Double => "double",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::String => "string",
            Self::Binary => "binary",
        }
    }

    /// As Arrow calls what tables have.
    pub(super) fn arrow(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::TinyInt => DataType::Int8,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Self::String => DataType::Utf8,
            Self::Binary => DataType::Binary,
        }
    }
}

/// Adds a column to the bytes of a record.
pub(super) fn write(out: &mut Vec<u8>, kind: Kind, column: &dyn Array) {
    let rows = column.len();
    if column.null_count() == 0 {
        out.push(0);
    } else {
        out.push(1);
        let mut bits = vec![0_u8; rows.div_ceil(8)];
        for row in (0..rows).filter(|row| column.is_valid(*row)) {
            bits[row / 8] |= 1 << (row % 8);
        }
        out.extend(bits);
    }
    match kind {
        Kind::Boolean => {
            let column = column.as_boolean();
            out.extend((0..rows).map(|row| u8::from(column.is_valid(row) && column.value(row))));
        }
        Kind::TinyInt => primitives::<Int8Type>(out, column),
        Kind::SmallInt => primitives::<Int16Type>(out, column),
        Kind::Int => primitives::<Int32Type>(out, column),
        Kind::BigInt => primitives::<Int64Type>(out, column),
        Kind::Float => primitives::<Float32Type>(out, column),
        Kind::Double => primitives::<Float64Type>(out, column),
        Kind::Date => primitives::<Date32Type>(out, column),
        Kind::Timestamp => primitives::<TimestampMicrosecondType>(out, column),
        Kind::String => {
            let column = column.as_string::<i32>();
            spans(
                out,
                (0..rows).map(|row| if column.is_valid(row) { column.value(row).as_bytes() } else { &[] }),
            );
        }
        Kind::Binary => {
            let column = column.as_binary::<i32>();
            spans(out, (0..rows).map(|row| if column.is_valid(row) { column.value(row) } else { &[] }));
        }
    }
}

fn primitives<T: ArrowPrimitiveType>(out: &mut Vec<u8>, column: &dyn Array)
where
    T::Native: Fixed,
{
    let column = column.as_primitive::<T>();
    for row in 0..column.len() {
        let value = if column.is_valid(row) { column.value(row) } else { T::Native::default() };
        value.put(out);
    }
}

fn spans<'v>(out: &mut Vec<u8>, values: impl Iterator<Item = &'v [u8]>) {
    for value in values {
        (value.len() as u32).put(out);
        out.extend_from_slice(value);
    }
}

/// A number of fixed size.
pub(super) trait Fixed: Sized {
    /// Adds its bytes.
    fn put(self, out: &mut Vec<u8>);
    /// Reads it.
    fn take(input: &mut Input<'_>) -> Result<Self>;
}

macro_rules! fixed {
    ($($number:ty),+) => {$(
        impl Fixed for $number {
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn take(input: &mut Input<'_>) -> Result<Self> {
                Ok(<$number>::from_le_bytes(input.array()?))
            }
        }
    )+};
}

fixed!(i8, i16, i32, i64, u32, f32, f64);

/// Bytes of a record that are read from the front.
#[derive(Debug)]
pub(super) struct Input<'b>(pub(super) &'b [u8]);

impl<'b> Input<'b> {
    /// The next bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next bytes, as many as an array has.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| short())
    }
}

fn short() -> Error {
    Error::internal("a record of the payload log ends too early")
}

/// A column that grows record by record.
pub(super) enum Column {
    Boolean(BooleanBuilder),
    TinyInt(PrimitiveBuilder<Int8Type>),
    SmallInt(PrimitiveBuilder<Int16Type>),
    Int(PrimitiveBuilder<Int32Type>),
    BigInt(PrimitiveBuilder<Int64Type>),
    Float(PrimitiveBuilder<Float32Type>),
    Double(PrimitiveBuilder<Float64Type>),
    Date(PrimitiveBuilder<Date32Type>),
    Timestamp(PrimitiveBuilder<TimestampMicrosecondType>),
    String(StringBuilder),
    Binary(BinaryBuilder),
}

impl Column {
    pub(super) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Boolean => Self::Boolean(BooleanBuilder::new()),
            Kind::TinyInt => Self::TinyInt(PrimitiveBuilder::new()),
            Kind::SmallInt => Self::SmallInt(PrimitiveBuilder::new()),
            Kind::Int => Self::Int(PrimitiveBuilder::new()),
            Kind::BigInt => Self::BigInt(PrimitiveBuilder::new()),
            Kind::Float => Self::Float(PrimitiveBuilder::new()),
            Kind::Double => Self::Double(PrimitiveBuilder::new()),
            Kind::Date => Self::Date(PrimitiveBuilder::new()),
            Kind::Timestamp => Self::Timestamp(PrimitiveBuilder::new().with_data_type(kind.arrow())),
            Kind::String => Self::String(StringBuilder::new()),
            Kind::Binary => Self::Binary(BinaryBuilder::new()),
        }
    }

    /// Takes the rows of one record.
    pub(super) fn read(&mut self, input: &mut Input<'_>, rows: usize) -> Result<()> {
        let bits = match input.array::<1>()? {
            [0] => None,
            [1] => Some(input.take(rows.div_ceil(8))?),
            _ => return Err(Error::internal("a column of a payload record has an unknown form")),
        };
        let there = |row: usize| bits.is_none_or(|bits| bits[row / 8] >> (row % 8) & 1 == 1);
        match self {
            Self::Boolean(column) => {
                for (row, byte) in input.take(rows)?.iter().enumerate() {
                    column.append_option(there(row).then_some(*byte == 1));
                }
                Ok(())
            }
            Self::TinyInt(column) => numbers(column, input, rows, there),
            Self::SmallInt(column) => numbers(column, input, rows, there),
            Self::Int(column) => numbers(column, input, rows, there),
            Self::BigInt(column) => numbers(column, input, rows, there),
            Self::Float(column) => numbers(column, input, rows, there),
            Self::Double(column) => numbers(column, input, rows, there),
            Self::Date(column) => numbers(column, input, rows, there),
            Self::Timestamp(column) => numbers(column, input, rows, there),
            Self::String(column) => {
                for row in 0..rows {
                    let text = std::str::from_utf8(span(input)?).map_err(Error::internal)?;
                    column.append_option(there(row).then_some(text));
                }
                Ok(())
            }
            Self::Binary(column) => {
                for row in 0..rows {
                    let bytes = span(input)?;
                    column.append_option(there(row).then_some(bytes));
                }
                Ok(())
            }
        }
    }

    /// All rows that were taken.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(column) => Arc::new(column.finish()),
            Self::TinyInt(column) => Arc::new(column.finish()),
            Self::SmallInt(column) => Arc::new(column.finish()),
            Self::Int(column) => Arc::new(column.finish()),
            Self::BigInt(column) => Arc::new(column.finish()),
            Self::Float(column) => Arc::new(column.finish()),
            Self::Double(column) => Arc::new(column.finish()),
            Self::Date(column) => Arc::new(column.finish()),
            Self::Timestamp(column) => Arc::new(column.finish()),
            Self::String(column) => Arc::new(column.finish()),
            Self::Binary(column) => Arc::new(column.finish()),
        }
    }
}

fn span<'b>(input: &mut Input<'b>) -> Result<&'b [u8]> {
    let length = u32::take(input)?;
    input.take(length as usize)
}

fn numbers<T: ArrowPrimitiveType>(
    column: &mut PrimitiveBuilder<T>,
    input: &mut Input<'_>,
    rows: usize,
    there: impl Fn(usize) -> bool,
) -> Result<()>
where
    T::Native: Fixed,
{
    for row in 0..rows {
        let value = T::Native::take(input)?;
        column.append_option(there(row).then_some(value));
    }
    Ok(())
}
