//! Columns of a batch, as gates need them.
//!
//! What must stay true: a value that is not one of the type that is needed is refused; none becomes another, or none at all,
//! in silence.

use std::sync::Arc;

use lake::arrow::{
    array::{Array as _, ArrayRef, AsArray as _, RecordBatch, RecordBatchOptions, new_null_array},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, Float64Type, Int64Type, Schema, TimeUnit},
};
use stats::sketch::{CategorySketch, ColumnSketch, NumericSketch};

use super::scoring::Input;
use crate::error::{Error, Result};

/// The column of a name, which compares without case where none has it exactly.
pub fn find<'b>(rows: &'b RecordBatch, name: &str) -> Option<&'b ArrayRef> {
    if let Some(column) = rows.column_by_name(name) {
        return Some(column);
    }
    let schema = rows.schema();
    let at = schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name))?;
    Some(rows.column(at))
}

/// The column that must be there.
pub fn require<'b>(rows: &'b RecordBatch, name: &str, of: &str) -> Result<&'b ArrayRef> {
    find(rows, name).ok_or_else(|| Error::invalid(format!("{of} has no column '{name}'.")))
}

fn unfit(name: &str, error: impl std::fmt::Display) -> Error {
    Error::invalid(format!("The column '{name}' does not fit: {error}."))
}

fn cast(column: &ArrayRef, to: &DataType, name: &str) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, to, &options).map_err(|error| unfit(name, error))
}

/// Values in the type that a model takes; numbers with a fraction are no whole numbers.
fn exact(column: &ArrayRef, to: &DataType, name: &str) -> Result<ArrayRef> {
    let found = cast(column, to, name)?;
    let may_have_fractions = column.data_type().is_floating()
        || matches!(column.data_type(), DataType::Decimal128(..) | DataType::Decimal256(..));
    if may_have_fractions && to.is_integer() {
        let (before, after) = (numbers(column, name)?, numbers(&found, name)?);
        if let Some((other, _)) = before.iter().zip(&after).find(|(before, after)| before != after) {
            return Err(unfit(name, format!("{} is no whole number", other.unwrap_or_default())));
        }
    }
    Ok(found)
}

/// Values as numbers; a text that is none is refused.
pub fn numbers(column: &ArrayRef, name: &str) -> Result<Vec<Option<f64>>> {
    let column = cast(column, &DataType::Float64, name)?;
    Ok(column.as_primitive::<Float64Type>().iter().collect())
}

/// Values as texts.
pub fn texts(column: &ArrayRef, name: &str) -> Result<Vec<Option<String>>> {
    let column = cast(column, &DataType::Utf8, name)?;
    Ok(column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
}

/// First and last time, in microseconds since the epoch.
pub fn span(column: &ArrayRef, name: &str) -> Result<Option<(i64, i64)>> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let column = cast(&cast(column, &micros, name)?, &DataType::Int64, name)?;
    let times = column.as_primitive::<Int64Type>().iter().flatten();
    Ok(times.fold(None, |span, at| {
        let (first, last) = span.unwrap_or((at, at));
        Some((at.min(first), at.max(last)))
    }))
}

/// Outcomes: true and false, 1 and 0, or whether a text is the positive one.
pub fn outcomes(column: &ArrayRef, name: &str, positive: Option<&str>) -> Result<Vec<Option<bool>>> {
    if let Some(positive) = positive {
        return Ok(texts(column, name)?.into_iter().map(|text| text.map(|text| text == positive)).collect());
    }
    let number = |value: f64| match value {
        0.0 => Ok(false),
        1.0 => Ok(true),
        other => Err(unfit(
            name,
            format!("{other} is neither 0 nor 1; say with 'positive' which value is looked for"),
        )),
    };
    if is_text(column.data_type()) {
        return Err(unfit(name, "it holds texts; say with 'positive' which of them is looked for"));
    }
    numbers(column, name)?.into_iter().map(|value| value.map(number).transpose()).collect()
}

/// Whether values are categories rather than numbers.
pub fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The columns that a model takes, in its order and types. A column that it can do without is empty where the rows have it
/// not.
pub fn inputs(rows: &RecordBatch, inputs: &[Input], of: &str) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(inputs.len());
    let mut fields = Vec::with_capacity(inputs.len());
    for input in inputs {
        let column = match find(rows, &input.name) {
            Some(column) => exact(column, &input.data_type, &input.name)?,
            None if !input.required => new_null_array(&input.data_type, rows.num_rows()),
            None => {
                return Err(Error::invalid(format!(
                    "{of} has no column '{}', which the model's signature requires.",
                    input.name
                )));
            }
        };
        fields.push(Field::new(&input.name, input.data_type.clone(), true));
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(Error::internal)
}

/// Takes the values of a column into its sketch, which is of numbers or of texts as the column is.
pub fn sketch(into: &mut Option<ColumnSketch>, column: &ArrayRef, name: &str) -> Result<()> {
    let mixed = || unfit(name, "it is of numbers in one place and of texts in another");
    if is_text(column.data_type()) {
        let sketch = into.get_or_insert_with(|| ColumnSketch::Categorical(CategorySketch::default()));
        let ColumnSketch::Categorical(sketch) = sketch else { return Err(mixed()) };
        for text in texts(column, name)? {
            sketch.insert(text.as_deref());
        }
        return Ok(());
    }
    let sketch = into.get_or_insert_with(|| ColumnSketch::Numeric(NumericSketch::default()));
    let ColumnSketch::Numeric(sketch) = sketch else { return Err(mixed()) };
    for value in numbers(column, name)? {
        sketch.insert(value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lake::arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    fn floats(values: &[Option<f64>]) -> ArrayRef {
        Arc::new(Float64Array::from(values.to_vec()))
    }

    #[test]
    fn no_value_becomes_another() {
        let whole = exact(&floats(&[Some(3.0), None, Some(-0.0)]), &DataType::Int64, "x").unwrap();
        assert_eq!(whole.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(3), None, Some(0)]);
        let refused = |values: &[Option<f64>], to: &DataType| {
            exact(&floats(values), to, "x").map(|_| ()).unwrap_err().message().to_owned()
        };
        assert_eq!(
            refused(&[Some(1.0), Some(2.5)], &DataType::Int64),
            "The column 'x' does not fit: 2.5 is no whole number."
        );
        for (value, to) in [
            (f64::NAN, DataType::Int64),
            (1e300, DataType::Int64),
            (3e9, DataType::Int32),
            (f64::INFINITY, DataType::Int32),
        ] {
            assert!(refused(&[Some(value)], &to).starts_with("The column 'x' does not fit: "), "{value}");
        }
        let long: ArrayRef = Arc::new(Int64Array::from(vec![5_000_000_000]));
        assert!(exact(&long, &DataType::Int32, "x").is_err());
        assert!(exact(&long, &DataType::Float64, "x").is_ok());
    }

    #[test]
    fn texts_are_numbers_only_where_they_say_one() {
        let texts = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
        assert_eq!(numbers(&texts(&["1.5", "2"]), "y").unwrap(), [Some(1.5), Some(2.0)]);
        let refused = numbers(&texts(&["1.5", "many"]), "y").unwrap_err();
        assert!(refused.message().starts_with("The column 'y' does not fit: "), "{refused}");
        assert!(refused.message().contains("many"), "{refused}");
        assert!(span(&texts(&["no time"]), "at").is_err());
    }
}
