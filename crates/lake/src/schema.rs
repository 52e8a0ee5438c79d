//! Columns of tables: the types that there are, as Unity Catalog, Delta and Arrow call them.
//!
//! What must stay true: a column that this module lets through is one that Delta's other readers (Spark, DuckDB,
//! Polars, deltalake) take, without column mapping; times are microseconds since the epoch in UTC.

use std::{collections::HashSet, sync::Arc};

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use deltalake::kernel::{StructField, engine::arrow_conversion::TryIntoKernel as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Columns that one table may have.
pub const COLUMNS_MAX: usize = 10_000;
/// Longest name of a column, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// What Delta's writers refuse in a name where columns are not mapped, as Parquet's older readers trip over it.
const REFUSED: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];
/// Zone of all instants.
const UTC: &str = "UTC";

/// A column as people and Unity Catalog's clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type's name: `LONG`, `DOUBLE`, `ARRAY`.
    pub type_name: String,
    /// The whole type in SQL: `bigint`, `decimal(10,2)`, `array<bigint>`.
    pub type_text: String,
    /// The field as Spark writes it in JSON.
    pub type_json: String,
    /// Whether a value may be absent.
    pub nullable: bool,
}

/// A type that somebody may ask for by name. Nested ones come with files that have them.
pub(crate) fn parse_type(text: &str) -> Result<DataType> {
    let lower = text.trim().to_ascii_lowercase();
    Ok(match lower.as_str() {
        "boolean" | "bool" => DataType::Boolean,
        "byte" | "tinyint" => DataType::Int8,
        "short" | "smallint" => DataType::Int16,
        "int" | "integer" => DataType::Int32,
        "long" | "bigint" => DataType::Int64,
        "float" | "real" => DataType::Float32,
        "double" => DataType::Float64,
        "date" => DataType::Date32,
        "timestamp" => instant(),
        "string" | "varchar" | "text" => DataType::Utf8,
        "binary" => DataType::Binary,
        other => return decimal(other).ok_or_else(|| unknown_type(text)),
    })
}

/// An instant: microseconds since the epoch, UTC.
pub(crate) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

fn unknown_type(text: &str) -> Error {
    Error::invalid(format!(
        "The type {text:?} is not known. Types are boolean, byte, short, int, long, float, double, decimal(p,s), date, timestamp, string and binary."
    ))
}

fn decimal(text: &str) -> Option<DataType> {
    if text == "decimal" {
        return Some(DataType::Decimal128(10, 0));
    }
    let inside = text.strip_prefix("decimal(")?.strip_suffix(')')?;
    let (precision, scale) = inside.split_once(',').unwrap_or((inside, "0"));
    let (precision, scale): (u8, i8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    let fits = (1..=38).contains(&precision) && scale >= 0 && scale <= precision.cast_signed();
    fits.then_some(DataType::Decimal128(precision, scale))
}

/// A column that was asked for by name and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Its type, by any of its names.
    pub type_text: String,
    /// Whether a value may be absent.
    pub nullable: bool,
}

/// The schema that some declared columns make.
pub(crate) fn of_declared(columns: &[Declared]) -> Result<SchemaRef> {
    let fields: Vec<Field> = columns
        .iter()
        .map(|column| Ok(Field::new(&column.name, parse_type(&column.type_text)?, column.nullable)))
        .collect::<Result<_>>()?;
    let schema = Arc::new(Schema::new(fields));
    check(&schema)?;
    Ok(schema)
}

/// Checks that a table may have such columns.
pub(crate) fn check(schema: &Schema) -> Result<()> {
    let fields = schema.fields();
    if fields.is_empty() {
        return Err(Error::invalid("A table has at least one column; there is none."));
    }
    if fields.len() > COLUMNS_MAX {
        return Err(Error::invalid(format!(
            "There are {} columns; a table has at most {COLUMNS_MAX}.",
            fields.len()
        )));
    }
    let mut seen = HashSet::new();
    for (at, field) in fields.iter().enumerate() {
        check_name(field.name(), at)?;
        if !seen.insert(field.name().to_lowercase()) {
            return Err(Error::invalid(format!(
                "There are two columns called '{}'; names of columns compare without case. Rename one.",
                field.name()
            )));
        }
    }
    Ok(())
}

fn check_name(name: &str, at: usize) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(format!("Column {} has no name. Give it one in the header.", at + 1)));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::invalid(format!(
            "The name of column {} has {} bytes; it may have {NAME_BYTES_MAX}.",
            at + 1,
            name.len()
        )));
    }
    match name.chars().find(|c| REFUSED.contains(c) || c.is_control()) {
        Some(c) => {
            let delimiter = match c {
                ';' | '\t' => {
                    "Where that separates the columns of the file, name it as the delimiter. Else rename"
                }
                _ => "Rename",
            };
            Err(Error::invalid(format!(
                "The column name '{name}' contains {c:?}, which tables do not take. {delimiter} it, or ask for clean names, which \
                 makes it '{}'.",
                clean_name(name)
            )))
        }
        None => Ok(()),
    }
}

/// A name that every reader takes: lower case letters, digits and underscores.
pub(crate) fn clean_name(name: &str) -> String {
    let mut clean = String::with_capacity(name.len());
    for c in name.trim().chars() {
        if c.is_alphanumeric() {
            clean.extend(c.to_lowercase());
        } else if !clean.ends_with('_') && !clean.is_empty() {
            clean.push('_');
        }
    }
    let clean = clean.trim_end_matches('_');
    if clean.is_empty() { "column".to_owned() } else { clean.to_owned() }
}

/// The type in which a table keeps what a file brings, without losing anything; refused where Delta has none.
pub(crate) fn stored_type(name: &str, given: &DataType) -> Result<DataType> {
    Ok(match given {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        // A value above 2^63 - 1 is refused where it is met.
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        // A column without a value has no type; a text may become anything later.
        DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        // An instant without a zone is read as UTC.
        DataType::Timestamp(_, _) => instant(),
        DataType::Dictionary(_, value) => stored_type(name, value)?,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(stored_field(item)?)
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(stored_field).collect::<Result<_>>()?),
        DataType::Map(entries, sorted) => DataType::Map(stored_field(entries)?, *sorted),
        DataType::Decimal128(precision, scale) if *scale >= 0 => DataType::Decimal128(*precision, *scale),
        plain @ (DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32
        | DataType::Utf8
        | DataType::Binary) => plain.clone(),
        other => {
            return Err(Error::invalid(format!(
                "The column '{name}' has the type {other}, which tables do not have. Convert it before you import it."
            )));
        }
    })
}

fn stored_field(field: &Arc<Field>) -> Result<Arc<Field>> {
    let stored = stored_type(field.name(), field.data_type())?;
    Ok(Arc::new(Field::new(field.name(), stored, field.is_nullable())))
}

/// The columns of a schema, as people see them.
pub(crate) fn columns(schema: &Schema) -> Result<Vec<Column>> {
    let fields = schema.fields().iter();
    fields
        .map(|field| {
            let kernel: StructField = field.as_ref().try_into_kernel().map_err(Error::internal)?;
            Ok(Column {
                name: field.name().clone(),
                type_name: type_name(field.data_type()).to_owned(),
                type_text: type_text(field.data_type()),
                type_json: serde_json::to_string(&kernel).map_err(Error::internal)?,
                nullable: field.is_nullable(),
            })
        })
        .collect()
}

/// The columns of an answer. The engine computes in types that no table has; they are told by the nearest that is.
pub(crate) fn shown(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| {
        let kind = stored_type(field.name(), field.data_type()).unwrap_or(DataType::Utf8);
        Field::new(field.name(), kind, field.is_nullable())
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn type_name(kind: &DataType) -> &'static str {
    match kind {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "BYTE",
        DataType::Int16 => "SHORT",
        DataType::Int32 => "INT",
        DataType::Int64 => "LONG",
        DataType::Float32 => "FLOAT",
        DataType::Float64 => "DOUBLE",
        DataType::Date32 => "DATE",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP",
        DataType::Timestamp(_, None) => "TIMESTAMP_NTZ",
        DataType::Binary => "BINARY",
        DataType::Decimal128(..) => "DECIMAL",
        DataType::List(_) => "ARRAY",
        DataType::Struct(_) => "STRUCT",
        DataType::Map(..) => "MAP",
        _ => "STRING",
    }
}

/// A type as SQL writes it.
pub(crate) fn type_text(kind: &DataType) -> String {
    match kind {
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::List(item) => format!("array<{}>", type_text(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}:{}", field.name(), type_text(field.data_type())))
                .collect();
            format!("struct<{}>", fields.join(","))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("map<{},{}>", type_text(pair[0].data_type()), type_text(pair[1].data_type()))
            }
            _ => "map".to_owned(),
        },
        plain => type_name(plain).to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_type_means_the_same_and_comes_back() {
        for (text, name, sql) in [
            ("LONG", "LONG", "bigint"),
            ("bigint", "LONG", "bigint"),
            ("Decimal(10, 2)", "DECIMAL", "decimal(10,2)"),
            ("timestamp", "TIMESTAMP", "timestamp"),
            ("double", "DOUBLE", "double"),
            ("varchar", "STRING", "string"),
        ] {
            let kind = parse_type(text).unwrap();
            assert_eq!((type_name(&kind), type_text(&kind).as_str()), (name, sql), "{text}");
        }
        for wrong in ["", "bignum", "decimal(0)", "decimal(39,2)", "decimal(5,6)", "decimal(5"] {
            assert!(parse_type(wrong).unwrap_err().message().contains("Types are"), "{wrong}");
        }
    }

    #[test]
    fn names_are_refused_with_the_clean_one() {
        let of = |names: &[&str]| {
            Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect::<Vec<_>>())
        };
        assert!(check(&of(&["id", "Größe", "a.b"])).is_ok());
        let said = |names: &[&str]| check(&of(names)).unwrap_err().message().to_owned();
        assert!(said(&["Amount (USD)"]).contains("'amount_usd'"));
        assert!(said(&["id", "ID"]).contains("two columns"));
        assert!(said(&["id", ""]).contains("Column 2"));
        assert!(said(&[]).contains("at least one"));
    }

    #[test]
    fn spark_reads_the_json_of_a_column() {
        let schema = Schema::new(vec![Field::new("amount", DataType::Float64, true)]);
        let column = &columns(&schema).unwrap()[0];
        let json: serde_json::Value = serde_json::from_str(&column.type_json).unwrap();
        assert_eq!(
            json,
            serde_json::json!({ "name": "amount", "type": "double", "nullable": true, "metadata": {} })
        );
    }
}
