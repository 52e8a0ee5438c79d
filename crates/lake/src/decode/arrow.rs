//! Parquet and Arrow: rows that have types already.

use std::{collections::HashMap, sync::Arc};

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray as _, OffsetSizeTrait, RecordBatch},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
    ipc::reader::StreamReader,
};
use deltalake::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use super::{
    BATCH_BYTES, BATCH_ROWS, Counting, Format, Found, Mapping, Source, TYPED_ROW_BYTES_MAX, clean, footer,
    framing, nulls, open, pages,
};
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
    let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
        .map_err(|error| unreadable("Parquet", &error))?;
    let (schema, rows) = (Arc::clone(footer.schema()), pages::check(&file, footer.metadata())?);
    // Where that is refused, the types are not those of the file's columns, and the values say so.
    let options = ArrowReaderOptions::new().with_schema(viewed_schema(&schema));
    let footer = ArrowReaderMetadata::try_new(Arc::clone(footer.metadata()), options).unwrap_or(footer);
    let reader =
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer).with_batch_size(rows).build();
    Ok((schema, Box::new(reader.map_err(|error| unreadable("Parquet", &error))?)))
}

fn viewed_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(viewed_field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn viewed_field(field: &FieldRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(viewed(field.data_type())))
}

/// The type in which a column is decoded: a value that a file has once, and rows very often, is in memory once, too.
fn viewed(kind: &DataType) -> DataType {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Dictionary(_, value)
            if matches!(viewed(value), DataType::Utf8View | DataType::BinaryView) =>
        {
            viewed(value)
        }
        DataType::List(field) => DataType::List(viewed_field(field)),
        DataType::LargeList(field) => DataType::LargeList(viewed_field(field)),
        DataType::FixedSizeList(field, length) => DataType::FixedSizeList(viewed_field(field), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(viewed_field).collect()),
        DataType::Map(field, is_sorted) => DataType::Map(viewed_field(field), *is_sorted),
        other => other.clone(),
    }
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
            pass_in_pieces(schema, &mapping, &piece, out)?;
        }
    }
    Ok(mapping.absent)
}

/// Values that stand once in memory may become very many when they are written out.
fn pass_in_pieces(
    schema: &SchemaRef,
    mapping: &Mapping,
    batch: &RecordBatch,
    out: &mut Counting<'_>,
) -> Result<()> {
    let (rows, mut bytes) = (batch.num_rows(), 0_u64);
    for column in batch.columns() {
        bytes = bytes.saturating_add(written_out(column)?);
    }
    if bytes <= BATCH_BYTES as u64 {
        return pass(schema, mapping, batch, out);
    }
    if rows > 1 {
        for (start, length) in [(0, rows / 2), (rows / 2, rows - rows / 2)] {
            pass_in_pieces(schema, mapping, &batch.slice(start, length), out)?;
        }
        return Ok(());
    }
    if bytes > TYPED_ROW_BYTES_MAX {
        return Err(Error::invalid(format!(
            "A row of the file has {bytes} bytes; it may have {TYPED_ROW_BYTES_MAX}. Keep such values in files, and their names \
             in the table."
        )));
    }
    pass(schema, mapping, batch, out)
}

/// Bytes of values once each stands by itself, or more where even that is little.
fn written_out(column: &ArrayRef) -> Result<u64> {
    let views = |views: &[u128]| views.iter().map(|view| u64::from(*view as u32)).sum();
    Ok(match column.data_type() {
        DataType::Utf8View => views(column.as_string_view().views()),
        DataType::BinaryView => views(column.as_binary_view().views()),
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let all = written_out(dictionary.values())?.saturating_mul(column.len() as u64);
            if all <= BATCH_BYTES as u64 {
                return Ok(all);
            }
            let mut sum = 0_u64;
            for (row, key) in dictionary.normalized_keys().into_iter().enumerate() {
                if dictionary.keys().is_valid(row) {
                    sum = sum.saturating_add(written_out(&dictionary.values().slice(key, 1))?);
                }
            }
            sum
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            written_out(&inner(list.values(), list.value_offsets()))?
        }
        DataType::LargeList(_) => {
            let list = column.as_list::<i64>();
            written_out(&inner(list.values(), list.value_offsets()))?
        }
        DataType::Map(..) => {
            let map = column.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            written_out(&inner(&entries, map.value_offsets()))?
        }
        DataType::Struct(_) => {
            let columns = column.as_struct().columns();
            columns
                .iter()
                .try_fold(0_u64, |sum, column| Ok::<_, Error>(sum.saturating_add(written_out(column)?)))?
        }
        DataType::FixedSizeList(..) => written_out(column.as_fixed_size_list().values())?,
        _ => column.to_data().get_slice_memory_size().map_err(Error::internal)? as u64,
    })
}

/// The values of lists that may be a part of others.
fn inner<O: OffsetSizeTrait>(values: &ArrayRef, offsets: &[O]) -> ArrayRef {
    let at = |offset: Option<&O>| offset.map_or(0, |offset| offset.as_usize());
    let (start, end) = (at(offsets.first()), at(offsets.last()));
    values.slice(start, end.saturating_sub(start))
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
