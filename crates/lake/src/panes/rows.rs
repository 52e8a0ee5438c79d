//! Source rows, read from Arrow columns.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, NullArray, RecordBatch};
use datafusion::arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use datafusion::arrow::row::{OwnedRow, RowConverter, Rows as Encoded, SortField};

use super::error::PaneError;
use super::plan::PanePlan;

/// Event times lie between the years 1 and 9999; in microseconds since 1970.
pub const TIME_MICROS: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// The values of the key columns. Ordered and compared by value, in memory only: its bytes are stored nowhere.
pub type Entity = OwnedRow;

/// Rows that belong to no pane, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PassedOver {
    /// Without an event time.
    pub no_time: usize,
    /// With a null in a key column.
    pub no_key: usize,
    /// With an event time outside the years 1 to 9999.
    pub impossible_time: usize,
}

/// Source rows with what places them and what is aggregated.
#[derive(Debug)]
pub struct Rows {
    pub(super) entities: Encoded,
    pub(super) times: ScalarBuffer<i64>,
    pub(super) row_keys: Encoded,
    pub(super) values: Vec<Float64Array>,
    /// Positions of the rows that belong to a pane.
    pub(super) placed: Vec<usize>,
    /// Types of the key columns.
    pub(super) key_types: Vec<DataType>,
    passed_over: PassedOver,
}

impl Rows {
    /// Reads the declared columns. Numbers and booleans are aggregated as 64-bit floats (integers beyond 2⁵³ are rounded);
    /// times are timestamps or dates, nanoseconds are cut to microseconds.
    pub fn read(plan: &PanePlan, batch: &RecordBatch) -> Result<Self, PaneError> {
        let declared = plan.declared();
        let keys = columns(batch, &declared.keys)?;
        let count = batch.num_rows();
        let entities = encode(&declared.keys, &keys, count)?;
        let row_keys = encode(&declared.row_key, &columns(batch, &declared.row_key)?, count)?;
        let (times, time_nulls) = micros(&declared.timestamp, &column(batch, &declared.timestamp)?)?;
        let values = plan.columns().iter().map(|name| floats(name, &column(batch, name)?));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let key_nulls = keys
            .iter()
            .map(Array::logical_nulls)
            .fold(None, |all, one| NullBuffer::union(all.as_ref(), one.as_ref()));
        let mut passed_over = PassedOver::default();
        let is_null =
            |nulls: &Option<NullBuffer>, row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let mut placed = Vec::with_capacity(count);
        for row in 0..count {
            if is_null(&time_nulls, row) {
                passed_over.no_time += 1;
            } else if is_null(&key_nulls, row) {
                passed_over.no_key += 1;
            } else if TIME_MICROS.contains(&times[row]) {
                placed.push(row);
            } else {
                passed_over.impossible_time += 1;
            }
        }
        let key_types = keys.iter().map(|column| column.data_type().clone()).collect();
        Ok(Self { entities, times, row_keys, values, placed, key_types, passed_over })
    }

    /// Rows that belong to no pane.
    pub fn passed_over(&self) -> PassedOver {
        self.passed_over
    }

    pub(super) fn entity(&self, row: usize) -> Entity {
        self.entities.row(row).owned()
    }

    /// The aggregated values of a row.
    pub(super) fn values(&self, row: usize) -> impl Iterator<Item = Option<f64>> {
        self.values.iter().map(move |column| column.is_valid(row).then(|| column.value(row)))
    }

    /// Whether two rows are aggregated alike.
    pub(super) fn same_values(&self, a: usize, b: usize) -> bool {
        let bits = |value: Option<f64>| value.map(|value| super::moments::one_nan(value).to_bits());
        self.values(a).map(bits).eq(self.values(b).map(bits))
    }
}

/// The order and the identity of these columns' values. Without columns all rows are one.
fn encode(names: &[String], columns: &[ArrayRef], count: usize) -> Result<Encoded, PaneError> {
    for (name, column) in names.iter().zip(columns) {
        if column.data_type().is_floating() || column.data_type().is_nested() {
            return Err(PaneError::Type {
                column: name.clone(),
                found: column.data_type().to_string(),
                need: super::error::KEY,
            });
        }
    }
    if columns.is_empty() {
        let none: ArrayRef = Arc::new(NullArray::new(count));
        return Ok(encoder(&[DataType::Null])?.convert_columns(&[none])?);
    }
    let kinds: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    Ok(encoder(&kinds)?.convert_columns(columns)?)
}

/// How values of these types are encoded.
pub(super) fn encoder(kinds: &[DataType]) -> Result<RowConverter, PaneError> {
    Ok(RowConverter::new(kinds.iter().cloned().map(SortField::new).collect())?)
}

fn column(batch: &RecordBatch, name: &str) -> Result<ArrayRef, PaneError> {
    batch.column_by_name(name).cloned().ok_or_else(|| PaneError::NoColumn {
        column: name.to_owned(),
        known: batch
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect::<Vec<_>>()
            .join(", "),
    })
}

fn columns(batch: &RecordBatch, names: &[String]) -> Result<Vec<ArrayRef>, PaneError> {
    names.iter().map(|name| column(batch, name)).collect()
}

fn floats(name: &str, column: &ArrayRef) -> Result<Float64Array, PaneError> {
    if !column.data_type().is_numeric() && *column.data_type() != DataType::Boolean {
        return Err(PaneError::Type {
            column: name.to_owned(),
            found: column.data_type().to_string(),
            need: "what is aggregated is a number or a boolean; aggregate an expression, such as cast(column AS double)",
        });
    }
    Ok(cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

/// Microseconds since 1970, and where there are none.
fn micros(name: &str, column: &ArrayRef) -> Result<(ScalarBuffer<i64>, Option<NullBuffer>), PaneError> {
    let numbers = |column: &ArrayRef| -> Result<_, PaneError> {
        Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    };
    let micros = match column.data_type() {
        // A cast would cut towards zero, and move times before 1970 into the pane after theirs.
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            numbers(column)?.unary(|nanos| nanos.div_euclid(1_000))
        }
        DataType::Timestamp(_, zone) => {
            numbers(&cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?)?
        }
        DataType::Date32 | DataType::Date64 => {
            numbers(&cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?)?
        }
        other => {
            return Err(PaneError::Type {
                column: name.to_owned(),
                found: other.to_string(),
                need: super::error::TIMESTAMP,
            });
        }
    };
    Ok((micros.values().clone(), micros.nulls().cloned()))
}

/// A cast that refuses what does not fit.
fn cast(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, PaneError> {
    if column.data_type() == to {
        return Ok(Arc::clone(column));
    }
    Ok(cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() })?)
}
