//! The canonical form of rows, and its digest.
//!
//! First the columns: how many, in 4 bytes, then for each its name and its SQL type, texts with their length in 4 bytes before
//! them. Then the rows one after the other, each value by value: 0 for null, else 1 and the value: whole numbers, instants
//! (microseconds since 1970) and days in 8 bytes, 64-bit floats in 8 (every NaN as one, −0.0 as it is; narrower ones are widened),
//! decimals in 16, booleans in 1, texts and bytes with their length in 8 bytes before them. Lowest byte first. The form of
//! a version never changes: digests are kept.

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, Schema, TimeUnit},
};
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    schema::type_text,
};

/// The version of the form, which begins it.
const VERSION: u8 = 1;

/// Takes rows in their order.
pub(super) struct Canon {
    hash: Sha256,
    rows: u64,
}

impl Canon {
    /// Of rows with these columns.
    pub(super) fn new(schema: &Schema) -> Self {
        let mut head = vec![VERSION];
        head.extend((schema.fields().len() as u32).to_le_bytes());
        for field in schema.fields() {
            for text in [field.name(), &type_text(field.data_type())] {
                head.extend((text.len() as u32).to_le_bytes());
                head.extend(text.as_bytes());
            }
        }
        Self { hash: Sha256::new_with_prefix(head), rows: 0 }
    }

    pub(super) fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let cells = Cells::new(batch)?;
        let mut bytes = Vec::new();
        for row in 0..batch.num_rows() {
            for column in 0..batch.num_columns() {
                cells.write(column, row, &mut bytes);
            }
            if bytes.len() > 1 << 16 {
                self.hash.update(&bytes);
                bytes.clear();
            }
        }
        self.hash.update(&bytes);
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// How many rows there were, and their digest in lower-case hex.
    pub(super) fn finish(self) -> (u64, String) {
        use std::fmt::Write as _;
        let digest = self.hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        (self.rows, digest)
    }
}

/// The cells of a batch, each in its canonical form.
pub(super) struct Cells(Vec<ArrayRef>);

impl Cells {
    pub(super) fn new(batch: &RecordBatch) -> Result<Self> {
        let columns = batch.columns().iter().map(|column| {
            let common = match column.data_type() {
                DataType::Boolean | DataType::Decimal128(..) => return Ok(column.clone()),
                kind if kind.is_integer() => DataType::Int64,
                kind if kind.is_floating() => DataType::Float64,
                DataType::Timestamp(..) => {
                    let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
                    return cast(&micros, &DataType::Int64);
                }
                DataType::Date32 => return cast(&cast(column, &DataType::Int32)?, &DataType::Int64),
                DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
                _ => DataType::Utf8,
            };
            cast(column, &common)
        });
        Ok(Self(columns.collect::<Result<_, _>>().map_err(Error::internal)?))
    }

    pub(super) fn write(&self, column: usize, row: usize, bytes: &mut Vec<u8>) {
        let Some(column) = self.0.get(column) else { return };
        if column.is_null(row) {
            bytes.push(0);
            return;
        }
        bytes.push(1);
        let mut measured = |value: &[u8]| {
            bytes.extend((value.len() as u64).to_le_bytes());
            bytes.extend(value);
        };
        match column.data_type() {
            DataType::Boolean => bytes.push(u8::from(column.as_boolean().value(row))),
            DataType::Int64 => bytes.extend(column.as_primitive::<Int64Type>().value(row).to_le_bytes()),
            DataType::Float64 => {
                let value = column.as_primitive::<Float64Type>().value(row);
                let value = if value.is_nan() { f64::NAN } else { value };
                bytes.extend(value.to_bits().to_le_bytes());
            }
            DataType::Decimal128(..) => {
                bytes.extend(column.as_primitive::<Decimal128Type>().value(row).to_le_bytes());
            }
            DataType::Binary => measured(column.as_binary::<i32>().value(row)),
            _ => measured(column.as_string::<i32>().value(row).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Float64Array, Int32Array, StringArray};

    use super::*;

    fn batch(numbers: Vec<Option<f64>>) -> RecordBatch {
        let count = numbers.len();
        RecordBatch::try_from_iter([
            ("id", Arc::new(Int32Array::from_iter_values(0..count as i32)) as ArrayRef),
            ("x", Arc::new(Float64Array::from(numbers))),
            ("who", Arc::new(StringArray::from(vec![Some("é"); count]))),
        ])
        .unwrap()
    }

    fn digest(batches: &[RecordBatch]) -> (u64, String) {
        let mut canon = Canon::new(&batches[0].schema());
        for batch in batches {
            canon.take(batch).unwrap();
        }
        canon.finish()
    }

    #[test]
    fn the_digest_is_of_the_rows_and_not_of_their_batches() {
        let whole = batch(vec![Some(1.5), None, Some(-0.0)]);
        let pieces = [whole.slice(0, 1), whole.slice(1, 2)];
        assert_eq!(digest(std::slice::from_ref(&whole)), digest(&pieces));
        assert_ne!(digest(&[whole]), digest(&[batch(vec![Some(1.5), None, Some(0.0)])]));
        let other_nan = f64::from_bits(f64::NAN.to_bits() | 1);
        assert_eq!(digest(&[batch(vec![Some(f64::NAN)])]), digest(&[batch(vec![Some(other_nan)])]));
    }

    /// Digests are kept: this one was made by the first version of the form.
    #[test]
    fn the_form_stays() {
        let (rows, digest) = digest(&[batch(vec![Some(1.5), None])]);
        assert_eq!(
            (rows, digest.as_str()),
            (2, "5b2a89d592a1834e7f07620d3b571d0e82acdcd9da000099c347420aab4aa6b8")
        );
    }
}
