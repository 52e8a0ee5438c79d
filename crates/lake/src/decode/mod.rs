//! Files that somebody brings: CSV, JSON lines, Parquet, Arrow. They become batches of a table's rows, and what cannot
//! is told by line.
//!
//! What must stay true:
//! - memory grows with the length of a row and not with the number of rows;
//! - no value is changed on its way in: what a column's type cannot hold is a bad row, never a near value;
//! - reading a file twice gives the same rows and the same bad rows, in the same order.

mod arrow;
mod cell;
mod csv;
mod footer;
mod format;
mod framing;
mod guess;
mod json;
mod levels;
mod pages;
mod thrift;
mod unpack;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::arrow::{
    array::{Array, ArrayRef, BooleanArray, RecordBatch, new_null_array},
    compute::filter_record_batch,
    datatypes::{Field, Schema, SchemaRef},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    schema::{self, Column, Declared},
};

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8192;
/// Bytes of texts that are decoded at a time, where rows are long: a column of texts holds less than 2³¹.
const BATCH_BYTES: usize = 64 << 20;
/// Bytes of one row of a file with types at most.
const TYPED_ROW_BYTES_MAX: u64 = 1 << 30;
/// Bytes of one row of a file of texts at most; a longer one is no row of a table.
const ROW_BYTES_MAX: usize = 16 << 20;
/// Bad rows that a report names.
pub const NAMED_MAX: usize = 20;
/// Characters of a bad value or row that are shown or kept.
const SHOWN_CHARS_MAX: usize = 1_000;

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// A JSON object a line.
    Json,
    /// Parquet.
    Parquet,
    /// A stream of Arrow's IPC format.
    Arrow,
}

/// A file and how to read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// What it is written in.
    pub format: Format,
    /// What stands between two values of a CSV file: one byte.
    pub delimiter: u8,
    /// A text that means "no value" in a CSV file, beside the empty one.
    pub null: Option<String>,
    /// Whether names of columns are made such that every reader takes them.
    pub clean_names: bool,
    /// Columns whose types are not left to be guessed.
    pub declared: Vec<Declared>,
}

/// A row that does not fit the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BadRow {
    /// Line of the file that the row begins at, from 1; of formats without lines the row's number.
    pub line: u64,
    /// The column, where it is about one.
    pub column: String,
    /// The value that does not fit.
    pub value: String,
    /// Why not.
    pub reason: String,
    /// The row as it stands in the file, shortened.
    pub row: String,
}

impl BadRow {
    /// Where it is and why it does not fit, as a line for a person.
    pub fn said(&self) -> String {
        let column = if self.column.is_empty() { String::new() } else { format!(", column {}", self.column) };
        let value = if self.value.is_empty() { String::new() } else { format!(", '{}'", self.value) };
        format!("line {}{column}{value}: {}", self.line, self.reason)
    }
}

/// What is said about a column of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ColumnReport {
    /// As the table has it.
    #[serde(flatten)]
    pub column: Column,
    /// Rows without a value, among the good ones.
    pub nulls: u64,
    /// What a person might wonder about, such as why a column of digits is a text.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub note: String,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The table's columns.
    pub columns: Vec<ColumnReport>,
    /// Rows that fit.
    pub rows: u64,
    /// Rows that do not.
    pub bad_rows: u64,
    /// The first of those.
    pub first_bad_rows: Vec<BadRow>,
    /// Columns of the table that the file does not have; they are null.
    pub absent_columns: Vec<String>,
}

/// Takes what a file is decoded into.
pub(crate) trait Sink {
    /// Good rows.
    fn rows(&mut self, batch: RecordBatch) -> Result<()>;
    /// A bad one.
    fn bad_row(&mut self, row: BadRow) -> Result<()>;
}

/// Finds the columns that a new table for this file has. Reads all of it where types have to be guessed.
pub(crate) fn find_schema(source: &Source) -> Result<Found> {
    let mut found = match source.format {
        Format::Csv => csv::guess(source)?,
        Format::Json => json::guess(source)?,
        Format::Parquet | Format::Arrow => arrow::stored_schema(source)?,
    };
    found.apply(&source.declared)?;
    schema::check(&found.schema)?;
    Ok(found)
}

/// The columns of a new table, with what was noticed when they were found.
pub(crate) struct Found {
    pub(crate) schema: SchemaRef,
    pub(crate) notes: HashMap<String, String>,
}

impl Found {
    /// Puts declared types in the place of found ones.
    fn apply(&mut self, declared: &[Declared]) -> Result<()> {
        let mut fields: Vec<Arc<Field>> = self.schema.fields().iter().cloned().collect();
        for column in declared {
            let field =
                fields.iter_mut().find(|field| same(field.name(), &column.name)).ok_or_else(|| {
                    Error::invalid(format!(
                        "The column '{}' was given a type and is not in the file, which has {}.",
                        column.name,
                        list(self.schema.fields().iter().map(|field| field.name().as_str()))
                    ))
                })?;
            let kind = schema::parse_type(&column.type_text)?;
            *field = Arc::new(Field::new(field.name(), kind, column.nullable));
            self.notes.remove(field.name());
        }
        self.schema = Arc::new(Schema::new(fields));
        Ok(())
    }
}

/// Refuses types that were declared for columns which a table has already, and has with others.
pub(crate) fn check_declared(declared: &[Declared], schema: &Schema) -> Result<()> {
    for column in declared {
        let kind = schema::parse_type(&column.type_text)?;
        let there = schema.fields().iter().find(|field| same(field.name(), &column.name));
        if let Some(field) = there.filter(|field| *field.data_type() != kind) {
            return Err(Error::invalid(format!(
                "The column '{}' was given the type {}, and the table has it as {}. Leave the type out, or import the file into a \
                 table of another name.",
                field.name(),
                schema::type_text(&kind),
                schema::type_text(field.data_type())
            )));
        }
        if there.is_none() {
            return Err(Error::invalid(format!(
                "The column '{}' was given a type, and the table has no such column; it has {}.",
                column.name,
                list(schema.fields().iter().map(|field| field.name().as_str()))
            )));
        }
    }
    Ok(())
}

/// Decodes a file into rows of a table with this schema. Answers what it held, without notes.
pub(crate) fn decode(source: &Source, schema: &SchemaRef, sink: &mut dyn Sink) -> Result<Report> {
    let mut counting =
        Counting { sink, schema: schema.clone(), report: Report::default(), nulls: Vec::new() };
    counting.nulls.resize(schema.fields().len(), 0);
    let absent = match source.format {
        Format::Csv => csv::decode(source, schema, &mut counting)?,
        Format::Json => json::decode(source, schema, &mut counting)?,
        Format::Parquet | Format::Arrow => arrow::decode(source, schema, &mut counting)?,
    };
    let mut report = counting.report;
    report.absent_columns = absent;
    let columns = schema::columns(schema)?.into_iter().zip(counting.nulls);
    report.columns =
        columns.map(|(column, nulls)| ColumnReport { column, nulls, note: String::new() }).collect();
    Ok(report)
}

/// Counts what goes by.
struct Counting<'s> {
    sink: &'s mut dyn Sink,
    schema: SchemaRef,
    report: Report,
    nulls: Vec<u64>,
}

impl Counting<'_> {
    /// Hands on columns of one length, less the rows that are bad.
    fn rows(&mut self, columns: Vec<ArrayRef>, bad: &[Option<BadRow>]) -> Result<()> {
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(Error::internal)?;
        let batch = if bad.iter().any(Option::is_some) {
            let good: BooleanArray = bad.iter().map(|bad| Some(bad.is_none())).collect();
            filter_record_batch(&batch, &good).map_err(Error::internal)?
        } else {
            batch
        };
        for (nulls, column) in self.nulls.iter_mut().zip(batch.columns()) {
            *nulls += column.logical_null_count() as u64;
        }
        self.report.rows += batch.num_rows() as u64;
        for row in bad.iter().flatten() {
            self.bad_row(row.clone())?;
        }
        if batch.num_rows() > 0 { self.sink.rows(batch) } else { Ok(()) }
    }

    fn bad_row(&mut self, row: BadRow) -> Result<()> {
        self.report.bad_rows += 1;
        if self.report.first_bad_rows.len() < NAMED_MAX {
            self.report.first_bad_rows.push(row.clone());
        }
        self.sink.bad_row(row)
    }
}

/// Which column of a file is which of a table.
struct Mapping {
    /// For each column of the table, where it is in the file.
    places: Vec<Option<usize>>,
    absent: Vec<String>,
}

impl Mapping {
    /// Names compare without case; a column of the file that the table does not have is refused, since it would be lost.
    fn new(source: &Source, schema: &Schema, names: &[String]) -> Result<Self> {
        let names = clean(source, names);
        let mut at: HashMap<String, usize> = HashMap::new();
        for (place, name) in names.iter().enumerate() {
            if at.insert(name.to_lowercase(), place).is_some() {
                return Err(Error::invalid(format!(
                    "The file has two columns called '{name}'; names of columns compare without case. Rename one."
                )));
            }
        }
        let fields = schema.fields().iter();
        let places: Vec<Option<usize>> =
            fields.clone().map(|field| at.remove(&field.name().to_lowercase())).collect();
        if !at.is_empty() {
            let mut extra: Vec<usize> = at.into_values().collect();
            extra.sort_unstable();
            return Err(Error::invalid(format!(
                "The file has columns that the table does not have: {}. Take them out of the file; the table has {}.",
                list(extra.iter().map(|place| names[*place].as_str())),
                list(fields.map(|field| field.name().as_str()))
            )));
        }
        let mut absent = Vec::new();
        for (field, place) in fields.zip(&places) {
            if place.is_none() {
                if !field.is_nullable() {
                    return Err(Error::invalid(format!(
                        "The file has no column '{}', which the table requires.",
                        field.name()
                    )));
                }
                absent.push(field.name().clone());
            }
        }
        Ok(Self { places, absent })
    }
}

/// The names of a file's columns as the table is to have them. Names that become the same get a number.
fn clean(source: &Source, names: &[String]) -> Vec<String> {
    if !source.clean_names {
        return names.to_vec();
    }
    let mut taken: HashMap<String, u32> = HashMap::new();
    let number = |name: &String| {
        let name = schema::clean_name(name);
        let count = taken.entry(name.clone()).or_default();
        *count += 1;
        if *count == 1 { name } else { format!("{name}_{count}") }
    };
    names.iter().map(number).collect()
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(Error::internal)
}

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// Some names for a message.
fn list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<&str> = names.collect();
    let text = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{text} and {} more", names.len() - SHOWN) } else { text }
}

/// A text, shortened to what is shown of it.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Texts, column by column, to what the table holds. `line` and `row` say where a row of the batch stands in the file
/// and what it says there.
fn text_columns<'t>(
    schema: &Schema,
    bad: &mut [Option<BadRow>],
    cell_at: &dyn Fn(usize, usize) -> Result<Option<std::borrow::Cow<'t, str>>, String>,
    place_of: &dyn Fn(usize) -> (u64, String),
) -> Result<Vec<ArrayRef>> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate() {
        let mut building = cell::Building::new(field.data_type(), bad.len())?;
        for (row, bad) in bad.iter_mut().enumerate() {
            let (value, outcome) = match cell_at(row, at) {
                Ok(Some(text)) => {
                    let outcome = building.push(&text);
                    (shown(&text), outcome)
                }
                Ok(None) if field.is_nullable() => {
                    building.push_null();
                    continue;
                }
                Ok(None) => (String::new(), Err("a value is required".to_owned())),
                Err(reason) => (String::new(), Err(reason)),
            };
            let Err(reason) = outcome else { continue };
            building.push_null();
            if bad.is_none() {
                let (line, text) = place_of(row);
                *bad = Some(BadRow { line, column: field.name().clone(), value, reason, row: shown(&text) });
            }
        }
        columns.push(building.finish());
    }
    nullable_where_bad(schema, &mut columns, bad);
    Ok(columns)
}

/// A bad row may stand as null in a column that takes none, until it is filtered out: it gets a value there.
fn nullable_where_bad(schema: &Schema, columns: &mut [ArrayRef], bad: &[Option<BadRow>]) {
    if bad.iter().all(Option::is_none) {
        return;
    }
    for (field, column) in schema.fields().iter().zip(columns) {
        if !field.is_nullable() && column.null_count() > 0 {
            *column = cell::without_nulls(column);
        }
    }
}

fn nulls(field: &Field, rows: usize) -> ArrayRef {
    new_null_array(field.data_type(), rows)
}
