//! Rows of a request as typed columns, in the order of the model's signature.
//!
//! What must stay true: a value that does not fit its column's type is an error that names column, row, what was expected and
//! what came, and nothing is changed in silence: an integer keeps its value or is refused; a missing value stands only where
//! the signature allows one.

use std::sync::Arc;

use lake::arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float32Array, Float64Array, Int32Array,
        Int64Array, StringArray, TimestampMicrosecondArray,
    },
    datatypes::{Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType},
    record_batch::RecordBatch,
};

use super::{
    cell::{Cell, Whole, as_boolean, as_bytes, as_double, as_long, as_moment, is_missing, is_moment},
    signature::{Input, Schema, Type},
    size::check_size,
};
use crate::error::{Code, Error, Result};

/// Values of one column. Where one is missing, something of the type stands in its place.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each holds values of the type of its name")]
pub enum Values {
    Boolean(Vec<bool>),
    Integer(Vec<i32>),
    Long(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    String(Vec<String>),
    Binary(Vec<Vec<u8>>),
    Datetime(Vec<i64>),
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its values.
    pub values: Values,
    /// Rows that have none, ascending.
    pub missing: Vec<usize>,
}

/// Rows, by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// How many rows.
    pub rows: usize,
    /// In the signature's order.
    pub columns: Vec<Column>,
}

impl Column {
    fn new(kind: Type, rows: usize) -> Self {
        let values = match kind {
            Type::Boolean => Values::Boolean(Vec::with_capacity(rows)),
            Type::Integer => Values::Integer(Vec::with_capacity(rows)),
            Type::Long => Values::Long(Vec::with_capacity(rows)),
            Type::Float => Values::Float(Vec::with_capacity(rows)),
            Type::Double => Values::Double(Vec::with_capacity(rows)),
            Type::String => Values::String(Vec::with_capacity(rows)),
            Type::Binary => Values::Binary(Vec::with_capacity(rows)),
            Type::Datetime => Values::Datetime(Vec::with_capacity(rows)),
        };
        Self { values, missing: Vec::new() }
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Boolean(values) => values.len(),
            Values::Integer(values) => values.len(),
            Values::Long(values) | Values::Datetime(values) => values.len(),
            Values::Float(values) => values.len(),
            Values::Double(values) => values.len(),
            Values::String(values) => values.len(),
            Values::Binary(values) => values.len(),
        }
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a value, of which the input says what it must be.
    pub fn push(&mut self, input: &Input, cell: Cell<'_>) -> Result<()> {
        let row = self.len();
        let refused = |what: &str| Err(refused(input, row, cell, what));
        let is_fitting = match &mut self.values {
            Values::Double(values) => match as_double(cell) {
                Some(value) if value.is_infinite() => return refused(INFINITE),
                found => found.map(|value| values.push(value)),
            },
            Values::Float(values) => match as_double(cell).map(as_float).transpose() {
                Ok(found) => found.map(|value| values.push(value)),
                Err(what) => return refused(what),
            },
            Values::Long(values) => match as_long(cell) {
                Whole::Is(value) => {
                    let _: () = values.push(value);
                    Some(())
                }
                Whole::Beyond => return refused("it is beyond the range of long"),
                Whole::Fraction => return refused("it is no whole number"),
                Whole::Not => None,
            },
            Values::Integer(values) => match as_long(cell) {
                Whole::Is(value) => match i32::try_from(value) {
                    Ok(value) => {
                        let _: () = values.push(value);
                        Some(())
                    }
                    Err(_) => return refused("it is beyond the range of integer"),
                },
                Whole::Beyond => return refused("it is beyond the range of integer"),
                Whole::Fraction => return refused("it is no whole number"),
                Whole::Not => None,
            },
            Values::Boolean(values) => as_boolean(cell).map(|value| values.push(value)),
            Values::String(values) => match cell {
                Cell::Text(text) | Cell::Plain(text) => {
                    let _: () = values.push(text.to_owned());
                    Some(())
                }
                _ => None,
            },
            Values::Binary(values) => as_bytes(cell).map(|value| values.push(value)),
            Values::Datetime(values) => match as_moment(cell) {
                Some(value) if !is_moment(value) => return refused("it is not within the years 1 to 9999"),
                found => found.map(|value| values.push(value)),
            },
        };
        match is_fitting {
            // A NaN is what the clients of this protocol write for "no value".
            Some(()) if self.ends_with_nan() => self.note_missing(input, row),
            Some(()) => Ok(()),
            None if is_missing(cell, input.kind) => {
                self.stand_in();
                self.note_missing(input, row)
            }
            None => refused(""),
        }
    }

    fn ends_with_nan(&self) -> bool {
        match &self.values {
            Values::Double(values) => values.last().is_some_and(|value| value.is_nan()),
            Values::Float(values) => values.last().is_some_and(|value| value.is_nan()),
            _ => false,
        }
    }

    fn note_missing(&mut self, input: &Input, row: usize) -> Result<()> {
        if input.required {
            return Err(Error::new(
                Code::BadRequest,
                format!(
                    "Failed to enforce schema: column '{}', row {row}: expected {}, got no value (null or NaN), and the \
                     signature says that each row has one.",
                    input.name,
                    input.kind.name()
                ),
            ));
        }
        self.missing.push(row);
        Ok(())
    }

    /// Puts what was looked up in the place of a number that a row lacks; whoever asks keeps count of the rows that lack one. One
    /// that nobody has stays missing, which is `false`, where the type knows NaN: so did the rows that the model was trained on.
    pub(super) fn put(&mut self, input: &Input, row: usize, value: Option<f64>) -> Result<bool> {
        let cell = value.map_or(Cell::Null, Cell::Float);
        let refused = |what: &str| Err(refused(input, row, cell, what));
        let Some(value) = value else {
            return match &self.values {
                Values::Float(_) | Values::Double(_) => Ok(false),
                _ => refused("nothing is known by then, and the type has no such value"),
            };
        };
        match (&mut self.values, as_long(cell)) {
            (Values::Float(values), _) => match as_float(value) {
                Ok(value) => values[row] = value,
                Err(what) => return refused(what),
            },
            (Values::Double(_), _) if value.is_infinite() => return refused(INFINITE),
            (Values::Double(values), _) => values[row] = value,
            (Values::Long(values), Whole::Is(value)) => values[row] = value,
            (Values::Integer(values), Whole::Is(value)) => match i32::try_from(value) {
                Ok(value) => values[row] = value,
                Err(_) => return refused("it is beyond the range of integer"),
            },
            _ => return refused("it is no whole number within the range"),
        }
        Ok(true)
    }

    fn stand_in(&mut self) {
        match &mut self.values {
            Values::Boolean(values) => values.push(false),
            Values::Integer(values) => values.push(0),
            Values::Long(values) | Values::Datetime(values) => values.push(0),
            Values::Float(values) => values.push(f32::NAN),
            Values::Double(values) => values.push(f64::NAN),
            Values::String(values) => values.push(String::new()),
            Values::Binary(values) => values.push(Vec::new()),
        }
    }

    /// As a column of a table.
    fn to_arrow(&self) -> ArrayRef {
        let mut missing = self.missing.iter().peekable();
        let mut has = move |row: usize| missing.next_if(|next| **next == row).is_none();
        macro_rules! optional {
            ($array:ty, $values:expr) => {
                Arc::new(<$array>::from_iter(
                    $values.iter().enumerate().map(|(row, value)| has(row).then_some(value)),
                ))
            };
        }
        macro_rules! numbers {
            ($array:ty, $values:expr) => {
                // Nearly always, and with half the work.
                if self.missing.is_empty() {
                    Arc::new(<$array>::from($values.clone()))
                } else {
                    Arc::new(<$array>::from_iter(
                        $values.iter().enumerate().map(|(row, value)| has(row).then_some(*value)),
                    ))
                }
            };
        }
        match &self.values {
            Values::Boolean(values) => numbers!(BooleanArray, values),
            Values::Integer(values) => numbers!(Int32Array, values),
            Values::Long(values) => numbers!(Int64Array, values),
            Values::Float(values) => numbers!(Float32Array, values),
            Values::Double(values) => numbers!(Float64Array, values),
            Values::String(values) => optional!(StringArray, values),
            Values::Binary(values) => optional!(BinaryArray, values),
            Values::Datetime(values) => {
                let plain: TimestampMicrosecondArray =
                    values.iter().enumerate().map(|(row, value)| has(row).then_some(*value)).collect();
                Arc::new(plain.with_timezone("UTC"))
            }
        }
    }

    /// From a column of a table, which has the type of the input.
    fn of_arrow(input: &Input, array: &dyn Array) -> Result<Self> {
        let mut column = Self::new(input.kind, array.len());
        let wrong = || {
            Error::invalid(format!(
                "Failed to enforce schema: column '{}': expected {}, got a column of type {}.",
                input.name,
                input.kind.name(),
                array.data_type()
            ))
        };
        macro_rules! copy {
            ($values:expr, $found:expr, $convert:expr) => {{
                let found = $found.ok_or_else(wrong)?;
                $values.extend(found.iter().map(|value| value.map($convert).unwrap_or_default()));
            }};
        }
        match &mut column.values {
            Values::Boolean(values) => copy!(values, array.as_boolean_opt(), |value| value),
            Values::Integer(values) => copy!(values, array.as_primitive_opt::<Int32Type>(), |value| value),
            Values::Long(values) => copy!(values, array.as_primitive_opt::<Int64Type>(), |value| value),
            Values::Datetime(values) => {
                copy!(values, array.as_primitive_opt::<TimestampMicrosecondType>(), |value| value);
            }
            Values::Float(values) => {
                let found = array.as_primitive_opt::<Float32Type>().ok_or_else(wrong)?;
                values.extend(found.iter().map(|value| value.unwrap_or(f32::NAN)));
            }
            Values::Double(values) => {
                let found = array.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
                values.extend(found.iter().map(|value| value.unwrap_or(f64::NAN)));
            }
            Values::String(values) => copy!(values, array.as_string_opt::<i32>(), str::to_owned),
            Values::Binary(values) => copy!(values, array.as_binary_opt::<i32>(), <[u8]>::to_vec),
        }
        for row in (0..array.len()).filter(|row| array.is_null(*row)) {
            column.note_missing(input, row)?;
        }
        Ok(column)
    }
}

impl Frame {
    /// Of no rows, with a place for each input.
    pub fn new(schema: &Schema, rows: usize) -> Self {
        let columns = schema.inputs.iter().map(|input| Column::new(input.kind, rows)).collect();
        Self { rows: 0, columns }
    }

    /// Of rows that hold what stands in the place of a value, and lack none.
    pub(super) fn of_nothing(schema: &Schema, rows: usize) -> Self {
        let mut frame = Self { rows, ..Self::new(schema, rows) };
        for column in &mut frame.columns {
            (0..rows).for_each(|_| column.stand_in());
        }
        frame
    }

    /// Ends a row: inputs that it did not have are missing. `row` is its number.
    pub fn end_row(&mut self, schema: &Schema) -> Result<()> {
        let row = self.rows;
        self.rows += 1;
        check_size(self.rows, self.columns.len())?;
        for (column, input) in self.columns.iter_mut().zip(&schema.inputs) {
            match column.len() {
                len if len == self.rows => {}
                len if len == row => {
                    if input.required {
                        return Err(missing_columns(schema, &[&input.name], Some(row)));
                    }
                    column.push(input, Cell::Null)?;
                }
                _ => return Err(twice(&input.name, row)),
            }
        }
        Ok(())
    }

    /// As a batch of a table, with a column an input.
    pub fn to_batch(&self, schema: &Schema) -> Result<RecordBatch> {
        let columns = self.columns.iter().map(Column::to_arrow).collect();
        RecordBatch::try_new(Arc::clone(schema.arrow()), columns).map_err(Error::internal)
    }

    /// From a batch of a table: columns by name, others are left out.
    pub fn of_batch(schema: &Schema, batch: &RecordBatch) -> Result<Self> {
        let mut columns = Vec::with_capacity(schema.inputs.len());
        for input in &schema.inputs {
            match batch.column_by_name(&input.name) {
                Some(array) => columns.push(Column::of_arrow(input, array)?),
                None if input.required => return Err(missing_columns(schema, &[&input.name], None)),
                None => {
                    let mut column = Column::new(input.kind, batch.num_rows());
                    (0..batch.num_rows()).try_for_each(|_| column.push(input, Cell::Null))?;
                    columns.push(column);
                }
            }
        }
        Ok(Self { rows: batch.num_rows(), columns })
    }
}

/// Why an infinite number is refused: JSON has none, so that no client could have sent it, and none reads it back.
const INFINITE: &str = "it is no finite number";

/// A number of 32 bits, which keeps a NaN, or why it is none.
fn as_float(value: f64) -> Result<f32, &'static str> {
    if value.is_infinite() {
        return Err(INFINITE);
    }
    if value.abs() > f64::from(f32::MAX) { Err("it is beyond the range of float") } else { Ok(value as f32) }
}

/// The error for columns that the model needs and the request lacks.
pub fn missing_columns(schema: &Schema, missing: &[&String], row: Option<usize>) -> Error {
    let place = row.map_or_else(String::new, |row| format!(" in row {row}"));
    let expected: Vec<String> = schema
        .inputs
        .iter()
        .take(50)
        .map(|input| {
            format!("{} {}{}", input.name, input.kind.name(), if input.required { "" } else { " (optional)" })
        })
        .collect();
    Error::invalid(format!(
        "Failed to enforce schema: the model needs the column{} {missing:?}, which the request does not have{place}. \
         Expected: {}{}.",
        if missing.len() == 1 { "" } else { "s" },
        expected.join(", "),
        if schema.inputs.len() > 50 { ", …" } else { "" }
    ))
}

/// The error for a column that a row has twice.
pub fn twice(name: &str, row: usize) -> Error {
    Error::new(
        Code::BadRequest,
        format!("Failed to enforce schema: column '{name}' stands twice in row {row}."),
    )
}

fn refused(input: &Input, row: usize, cell: Cell<'_>, what: &str) -> Error {
    let more = if what.is_empty() { String::new() } else { format!(": {what}") };
    Error::new(
        Code::BadRequest,
        format!(
            "Failed to enforce schema: column '{}', row {row}: expected {}, got {}{more}.",
            input.name,
            input.kind.name(),
            cell.shown()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(kind: Type, required: bool) -> Input {
        Input { name: "x".into(), kind, required }
    }

    fn push(kind: Type, cell: Cell<'_>) -> Result<Column> {
        let mut column = Column::new(kind, 1);
        column.push(&input(kind, true), cell).map(|()| column)
    }

    #[test]
    fn what_the_reference_casts_is_cast() {
        let check =
            |kind, cell, values| assert_eq!(push(kind, cell).unwrap().values, values, "{kind:?} {cell:?}");
        check(Type::Double, Cell::Int(1), Values::Double(vec![1.0]));
        check(Type::Double, Cell::Text("1.0"), Values::Double(vec![1.0]));
        check(Type::Double, Cell::Bool(true), Values::Double(vec![1.0]));
        check(Type::Long, Cell::Float(2.0), Values::Long(vec![2]));
        check(Type::Boolean, Cell::Int(1), Values::Boolean(vec![true]));
        check(Type::Float, Cell::Float(0.1), Values::Float(vec![0.1]));
        check(Type::Binary, Cell::Text("AQI="), Values::Binary(vec![vec![1, 2]]));
        check(Type::Datetime, Cell::Text("1970-01-01T00:00:01Z"), Values::Datetime(vec![1_000_000]));
        check(Type::Datetime, Cell::Text("1970-01-01 00:00:00.5"), Values::Datetime(vec![500_000]));
        check(Type::Datetime, Cell::Text("1970-01-02"), Values::Datetime(vec![86_400_000_000]));
        check(Type::Integer, Cell::Plain("-3"), Values::Integer(vec![-3]));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_column_row_expected_and_got() {
        let check = |kind, cell, words: &str| {
            let error = push(kind, cell).unwrap_err();
            assert_eq!(error.status(), 400);
            let expected = format!("column 'x', row 0: expected {}, got {words}", Type::name(kind));
            assert!(error.message().contains(&expected), "{error}");
        };
        check(Type::Long, Cell::Float(1.5), "1.5: it is no whole number");
        check(Type::Long, Cell::Huge(u64::MAX), "18446744073709551615: it is beyond the range of long");
        check(Type::Long, Cell::Float(1e300), "1000000000");
        check(Type::Integer, Cell::Int(1 << 40), "1099511627776: it is beyond the range of integer");
        check(Type::Float, Cell::Float(1e300), "1000000000");
        check(Type::Double, Cell::Text("abc"), "\"abc\"");
        check(Type::String, Cell::Int(1), "1");
        check(Type::Boolean, Cell::Text("true"), "\"true\"");
        check(Type::Datetime, Cell::Text("soon"), "\"soon\"");
        check(
            Type::Datetime,
            Cell::Text("+55840-01-01"),
            "\"+55840-01-01\": it is not within the years 1 to 9999",
        );
        check(
            Type::Datetime,
            Cell::Text("0000-12-31"),
            "\"0000-12-31\": it is not within the years 1 to 9999",
        );
        check(Type::Double, Cell::Text("-inf"), "\"-inf\": it is no finite number");
        check(Type::Double, Cell::Plain("1e999"), "\"1e999\": it is no finite number");
        check(Type::Float, Cell::Text("Infinity"), "\"Infinity\": it is no finite number");
        check(Type::Double, Cell::Null, "no value");
        check(Type::Double, Cell::Text("NaN"), "no value");
        check(Type::Long, Cell::Null, "no value");
    }

    #[test]
    fn what_is_looked_up_fits_the_type_or_is_refused() {
        let put = |kind, value| {
            let mut column = push(Type::Double, Cell::Int(0)).unwrap();
            column.values = match kind {
                Type::Long => Values::Long(vec![0]),
                Type::Integer => Values::Integer(vec![0]),
                Type::Float => Values::Float(vec![f32::NAN]),
                _ => Values::Double(vec![f64::NAN]),
            };
            column.put(&input(kind, false), 0, value).map(|is_put| (is_put, column.values))
        };
        assert_eq!(put(Type::Double, Some(1.5)).unwrap(), (true, Values::Double(vec![1.5])));
        assert!(!put(Type::Double, None).unwrap().0);
        assert_eq!(put(Type::Long, Some(2.0)).unwrap(), (true, Values::Long(vec![2])));
        assert_eq!(put(Type::Float, Some(0.5)).unwrap(), (true, Values::Float(vec![0.5])));
        for (kind, value) in [
            (Type::Long, None),
            (Type::Long, Some(1.5)),
            (Type::Integer, Some(1e10)),
            (Type::Integer, None),
            (Type::Float, Some(1e39)),
            (Type::Float, Some(f64::NEG_INFINITY)),
            (Type::Double, Some(f64::INFINITY)),
        ] {
            assert_eq!(put(kind, value).unwrap_err().status(), 400, "{kind:?} {value:?}");
        }
    }

    #[test]
    fn a_missing_value_stands_where_it_may() {
        let mut column = Column::new(Type::Double, 2);
        let optional = input(Type::Double, false);
        column.push(&optional, Cell::Float(1.0)).unwrap();
        column.push(&optional, Cell::Null).unwrap();
        assert_eq!(column.missing, [1]);
        let Values::Double(values) = &column.values else { unreachable!() };
        assert!(values[1].is_nan());
    }
}
