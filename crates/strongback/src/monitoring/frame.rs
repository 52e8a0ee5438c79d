//! Columns in memory: made for what lands, and read from what a query answers in whatever form the engine has them.

use std::sync::Arc;

use lake::{
    arrow::{
        array::{
            Array, ArrayRef, AsArray as _, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
            TimestampMicrosecondArray,
        },
        compute::cast,
        datatypes::{DataType, Float64Type, Int64Type, SchemaRef, TimeUnit},
    },
    refill,
    schema::Declared,
};

use crate::error::{Error, Result};

/// Values of a column that is to land.
pub(super) enum Values {
    Text(Vec<Option<String>>),
    Int(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
    /// Microseconds since the epoch.
    Moment(Vec<Option<i64>>),
    Bytes(Vec<Vec<u8>>),
}

/// Columns of one length with their names, as rows that can land.
pub(super) fn batch(columns: Vec<(&str, Values)>) -> Result<(SchemaRef, RecordBatch)> {
    let declared: Vec<Declared> = columns
        .iter()
        .map(|(name, values)| {
            let type_text = match values {
                Values::Text(_) => "string",
                Values::Int(_) => "long",
                Values::Float(_) => "double",
                Values::Moment(_) => "timestamp",
                Values::Bytes(_) => "binary",
            };
            Declared { name: (*name).to_owned(), type_text: type_text.to_owned(), nullable: true }
        })
        .collect();
    let schema = refill::schema(&declared)?;
    let arrays = columns.into_iter().map(|(_, values)| array(values)).collect();
    let rows = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(Error::internal)?;
    Ok((schema, rows))
}

fn array(values: Values) -> ArrayRef {
    match values {
        Values::Text(values) => Arc::new(StringArray::from(values)),
        Values::Int(values) => Arc::new(Int64Array::from(values)),
        Values::Float(values) => Arc::new(Float64Array::from(values)),
        Values::Moment(values) => Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")),
        Values::Bytes(values) => Arc::new(BinaryArray::from_iter_values(values)),
    }
}

fn as_type(column: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    if column.data_type() == kind {
        Ok(Arc::clone(column))
    } else {
        cast(column, kind).map_err(Error::internal)
    }
}

/// Column `at` as numbers.
pub(super) fn floats(batch: &RecordBatch, at: usize) -> Result<Vec<Option<f64>>> {
    let column = as_type(batch.column(at), &DataType::Float64)?;
    Ok(column.as_primitive::<Float64Type>().iter().collect())
}

/// Column `at` as whole numbers.
pub(super) fn ints(batch: &RecordBatch, at: usize) -> Result<Vec<Option<i64>>> {
    let column = as_type(batch.column(at), &DataType::Int64)?;
    Ok(column.as_primitive::<Int64Type>().iter().collect())
}

/// Column `at` as moments, in microseconds since the epoch.
pub(super) fn moments(batch: &RecordBatch, at: usize) -> Result<Vec<Option<i64>>> {
    let column = batch.column(at);
    let zone = match column.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let micros = as_type(column, &DataType::Timestamp(TimeUnit::Microsecond, zone))?;
    let micros = as_type(&micros, &DataType::Int64)?;
    Ok(micros.as_primitive::<Int64Type>().iter().collect())
}

/// Column `at` as texts.
pub(super) fn texts(batch: &RecordBatch, at: usize) -> Result<StringArray> {
    Ok(as_type(batch.column(at), &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Column `at` as bytes.
pub(super) fn bytes(batch: &RecordBatch, at: usize) -> Result<Vec<Option<Vec<u8>>>> {
    let column = as_type(batch.column(at), &DataType::Binary)?;
    Ok(column.as_binary::<i32>().iter().map(|value| value.map(<[u8]>::to_vec)).collect())
}

/// Column `at` as texts of their own.
pub(super) fn owned_texts(batch: &RecordBatch, at: usize) -> Result<Vec<Option<String>>> {
    Ok(texts(batch, at)?.iter().map(|text| text.map(str::to_owned)).collect())
}
