//! Parquet and Arrow: rows that have types already.

use std::{collections::HashMap, sync::Arc};

use datafusion::arrow::{
    array::{Array, ArrayRef, RecordBatch},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
    ipc::reader::StreamReader,
};
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{BATCH_ROWS, Counting, Format, Found, Mapping, Source, clean, footer, framing, nulls, open};
use crate::{
    error::{Error, Result},
    schema::{stored_type, type_text},
};

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

fn read(source: &Source) -> Result<(SchemaRef, Batches)> {
    let mut file = open(&source.path)?;
    let unreadable = |what: &str, error: &dyn std::fmt::Display| {
        Error::invalid(format!("The file is no {what} file that can be read: {error}."))
    };
    if source.format == Format::Arrow {
        framing::check(&mut file)?;
        let reader =
            StreamReader::try_new_buffered(file, None).map_err(|error| unreadable("Arrow", &error))?;
        return Ok((reader.schema(), Box::new(reader)));
    }
    footer::check(&mut file)?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| unreadable("Parquet", &error))?;
    let schema = Arc::clone(builder.schema());
    let reader =
        builder.with_batch_size(BATCH_ROWS).build().map_err(|error| unreadable("Parquet", &error))?;
    Ok((schema, Box::new(reader)))
}

pub(super) fn stored_schema(source: &Source) -> Result<Found> {
    let (schema, _) = read(source)?;
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut notes = HashMap::new();
    let mut fields = Vec::with_capacity(names.len());
    for (name, field) in clean(source, &names).into_iter().zip(schema.fields()) {
        let kind = stored_type(&name, field.data_type())?;
        if kind != *field.data_type() {
            notes.insert(name.clone(), format!("{} in the file", field.data_type()));
        }
        fields.push(Field::new(name, kind, field.is_nullable()));
    }
    Ok(Found { schema: Schema::new(fields).into(), notes })
}

pub(super) fn decode(source: &Source, schema: &SchemaRef, out: &mut Counting<'_>) -> Result<Vec<String>> {
    let (given, batches) = read(source)?;
    let names: Vec<String> = given.fields().iter().map(|field| field.name().clone()).collect();
    let mapping = Mapping::new(source, schema, &names)?;
    for batch in batches {
        let batch = batch.map_err(|error| {
            Error::invalid(format!("The file breaks off or is damaged: {error}. Nothing was imported."))
        })?;
        // A batch may say that it has very many rows of nothing.
        for start in (0..batch.num_rows()).step_by(BATCH_ROWS) {
            let piece = batch.slice(start, BATCH_ROWS.min(batch.num_rows() - start));
            pass(schema, &mapping, &piece, out)?;
        }
    }
    Ok(mapping.absent)
}

fn pass(schema: &SchemaRef, mapping: &Mapping, batch: &RecordBatch, out: &mut Counting<'_>) -> Result<()> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (field, place) in schema.fields().iter().zip(&mapping.places) {
        columns.push(match place {
            Some(place) => convert(field, batch.column(*place))?,
            None => nulls(field, batch.num_rows()),
        });
    }
    out.rows(columns, &[])
}

/// Values as the table holds them, or an error that names the column: a file with types is one whole, of which no row is
/// left out.
fn convert(field: &Field, given: &ArrayRef) -> Result<ArrayRef> {
    let cannot = |why: &str| {
        Error::invalid(format!(
            "The column '{}' is {} in the file and {} in the table: {why}. Convert it before you import it.",
            field.name(),
            given.data_type(),
            type_text(field.data_type())
        ))
    };
    if !field.is_nullable() && given.logical_null_count() > 0 {
        return Err(cannot("some rows have no value, and the table requires one"));
    }
    if given.data_type() == field.data_type() {
        return Ok(Arc::clone(given));
    }
    if !fits(given.data_type(), field.data_type()) {
        return Err(cannot("one is not the other"));
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let stored = cast_with_options(given, field.data_type(), &strict)
        .map_err(|error| cannot(&format!("not every value fits ({error})")))?;
    if may_round(given.data_type(), field.data_type()) {
        let back = cast_with_options(&stored, given.data_type(), &strict)
            .map_err(|error| cannot(&format!("not every value fits ({error})")))?;
        if back.as_ref() != given.as_ref() {
            return Err(cannot("some values have more digits than the table can hold"));
        }
    }
    Ok(stored)
}

/// Whether a value may come out near what it was, so that it has to be compared.
fn may_round(given: &DataType, stored: &DataType) -> bool {
    match (given, stored) {
        (DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Date64, _)
        | (DataType::Float64, DataType::Float32) => true,
        (DataType::Dictionary(_, value), stored) => may_round(value, stored),
        // A decimal may lose digits behind the point, and within a list or a struct any value may.
        (given, _) if given.is_decimal() || given.is_nested() => true,
        (given, stored) => given.is_integer() && stored.is_floating(),
    }
}

/// Whether values of one type may become values of another without being another thing.
fn fits(given: &DataType, stored: &DataType) -> bool {
    let is_text = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let is_bytes = |kind: &DataType| {
        matches!(
            kind,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
        )
    };
    let is_decimal = |kind: &DataType| matches!(kind, DataType::Decimal128(..) | DataType::Decimal256(..));
    match (given, stored) {
        (DataType::Null, _) => true,
        (DataType::Dictionary(_, value), stored) => fits(value, stored),
        (given, stored) if is_text(given) => is_text(stored),
        (given, stored) if is_bytes(given) => is_bytes(stored),
        (DataType::Boolean, stored) => *stored == DataType::Boolean,
        (DataType::Date32 | DataType::Date64, stored) => *stored == DataType::Date32,
        (DataType::Timestamp(..), stored) => matches!(stored, DataType::Timestamp(..)),
        (given, stored) if given.is_integer() => stored.is_integer() || stored.is_floating(),
        (given, stored) if given.is_floating() => stored.is_floating(),
        (given, stored) if is_decimal(given) => is_decimal(stored),
        (DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..), DataType::List(_))
        | (DataType::Struct(_), DataType::Struct(_))
        | (DataType::Map(..), DataType::Map(..)) => true,
        _ => false,
    }
}
