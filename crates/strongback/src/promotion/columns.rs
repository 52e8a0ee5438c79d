//! Columns of a batch, as gates need them.

use std::sync::Arc;

use lake::arrow::{
    array::{Array as _, ArrayRef, AsArray as _, RecordBatch, RecordBatchOptions, new_null_array},
    compute::cast,
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

/// Values as numbers.
pub fn numbers(column: &ArrayRef, name: &str) -> Result<Vec<Option<f64>>> {
    let column = cast(column, &DataType::Float64).map_err(|error| unfit(name, error))?;
    Ok(column.as_primitive::<Float64Type>().iter().collect())
}

/// Values as texts.
pub fn texts(column: &ArrayRef, name: &str) -> Result<Vec<Option<String>>> {
    let column = cast(column, &DataType::Utf8).map_err(|error| unfit(name, error))?;
    Ok(column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
}

/// First and last time, in microseconds since the epoch.
pub fn span(column: &ArrayRef, name: &str) -> Result<Option<(i64, i64)>> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let column = cast(column, &micros).and_then(|column| cast(&column, &DataType::Int64));
    let column = column.map_err(|error| unfit(name, error))?;
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
            Some(column) => cast(column, &input.data_type).map_err(|error| unfit(&input.name, error))?,
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
