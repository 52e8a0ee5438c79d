//! JSON lines: an object a line, of plain values.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
};

use datafusion::arrow::datatypes::SchemaRef;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    BATCH_BYTES, BATCH_ROWS, BadRow, Counting, Found, Mapping, ROW_BYTES_MAX, Source, clean,
    guess::{self, Guess},
    open, shown, text_columns,
};
use crate::{
    error::{Error, Result},
    schema::COLUMNS_MAX,
};

/// An object: its values as they are written, so that no digit of a number is lost.
#[derive(Debug, Default, serde::Serialize)]
#[serde(transparent)]
struct Object(BTreeMap<String, Box<RawValue>>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Object;

            fn expecting(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                text.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Object, A::Error> {
                let mut object = BTreeMap::new();
                while let Some(key) = pairs.next_key::<String>()? {
                    if object.contains_key(&key) {
                        // The rest is read, so that the error is about this and not about where reading stopped.
                        pairs.next_value::<IgnoredAny>()?;
                        while pairs.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                        return Err(A::Error::custom(format_args!("the key '{key}' stands in it twice")));
                    }
                    object.insert(key, pairs.next_value()?);
                }
                Ok(Object(object))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

type Row = (u64, Result<Object, String>, String);

/// Reads the lines of a file, the empty ones left out.
struct Lines {
    reader: BufReader<std::fs::File>,
    line: u64,
    /// Whether no line had anything yet.
    is_first: bool,
    buffer: Vec<u8>,
}

impl Lines {
    fn open(source: &Source) -> Result<Self> {
        Ok(Self { reader: BufReader::new(open(&source.path)?), line: 0, is_first: true, buffer: Vec::new() })
    }

    fn next(&mut self) -> Result<Option<Row>> {
        loop {
            self.buffer.clear();
            let read = std::io::Read::take(&mut self.reader, ROW_BYTES_MAX as u64 + 1)
                .read_until(b'\n', &mut self.buffer)
                .map_err(Error::internal)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if read > ROW_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "Line {} has more than {ROW_BYTES_MAX} bytes. A file of JSON has one object a line.",
                    self.line
                )));
            }
            let text = String::from_utf8_lossy(self.buffer.trim_ascii());
            if text.is_empty() {
                continue;
            }
            if self.is_first && text.starts_with('[') {
                return Err(Error::invalid(
                    "The file is a JSON array. Rows come as JSON lines, an object a line and nothing around them: \
                     jq -c '.[]' FILE > FILE.jsonl makes such a file.",
                ));
            }
            self.is_first = false;
            let row = serde_json::from_str(&text).map_err(|error| match error.classify() {
                serde_json::error::Category::Data => format!("it is no JSON object for a row: {error}"),
                _ => format!("it is no JSON: {error}"),
            });
            let shown = if row.is_err() { shown(&text) } else { String::new() };
            return Ok(Some((self.line, row, shown)));
        }
    }
}

/// A value as the text that a column reads.
fn text(value: &RawValue) -> Result<Option<Cow<'_, str>>, String> {
    let written = value.get();
    match written.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => match serde_json::from_str::<Cow<'_, str>>(written) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(format!("it is no text: {error}")),
        },
        Some(b'[' | b'{') => {
            Err("it is a list or an object; rows with those come as Parquet or Arrow".to_owned())
        }
        _ => Ok(Some(Cow::Borrowed(written))),
    }
}

pub(super) fn guess(source: &Source) -> Result<Found> {
    let mut lines = Lines::open(source)?;
    let (mut names, mut guesses): (Vec<String>, Vec<Guess>) = (Vec::new(), Vec::new());
    while let Some((line, row, _)) = lines.next()? {
        let Ok(row) = row else { continue };
        for (key, value) in &row.0 {
            let at = names.iter().position(|name| name == key).unwrap_or_else(|| {
                names.push(key.clone());
                guesses.push(Guess::default());
                names.len() - 1
            });
            if let Ok(Some(text)) = text(value) {
                guesses[at].see(line, &text);
            }
        }
        if names.len() > COLUMNS_MAX {
            break;
        }
    }
    if names.is_empty() {
        return Err(Error::invalid("The file has no JSON object, so it says nothing about columns."));
    }
    Ok(guess::found(&clean(source, &names), &guesses))
}

pub(super) fn decode(source: &Source, schema: &SchemaRef, out: &mut Counting<'_>) -> Result<Vec<String>> {
    let names = keys(source)?;
    let mapping = Mapping::new(source, schema, &names)?;
    let mut lines = Lines::open(source)?;
    loop {
        let (mut rows, mut bytes): (Vec<Row>, usize) = (Vec::with_capacity(BATCH_ROWS), 0);
        while rows.len() < BATCH_ROWS && bytes < BATCH_BYTES {
            match lines.next()? {
                Some(row) => rows.push(row),
                None => break,
            }
            bytes += lines.buffer.len();
        }
        if rows.is_empty() {
            return Ok(mapping.absent);
        }
        batch(schema, &mapping, &names, &rows, out)?;
    }
}

fn batch(
    schema: &SchemaRef,
    mapping: &Mapping,
    names: &[String],
    rows: &[Row],
    out: &mut Counting<'_>,
) -> Result<()> {
    let place_of = |row: usize| {
        let (line, object, text) = &rows[row];
        let text = object
            .as_ref()
            .map_or_else(|_| text.clone(), |object| serde_json::to_string(object).unwrap_or_default());
        (*line, text)
    };
    let mut bad: Vec<Option<BadRow>> = rows
        .iter()
        .map(|(line, row, text)| {
            row.as_ref().err().map(|reason| BadRow {
                line: *line,
                column: String::new(),
                value: String::new(),
                reason: reason.clone(),
                row: text.clone(),
            })
        })
        .collect();
    let cell_at = |row: usize, column: usize| match (&rows[row].1, mapping.places[column]) {
        (Ok(object), Some(place)) => object.0.get(&names[place]).map_or(Ok(None), |value| text(value)),
        _ => Ok(None),
    };
    let columns = text_columns(schema, &mut bad, &cell_at, &place_of)?;
    out.rows(columns, &bad)
}

/// All keys of all objects, in the order in which they are met; of more than a table can have, only the first.
fn keys(source: &Source) -> Result<Vec<String>> {
    let mut lines = Lines::open(source)?;
    let mut names: Vec<String> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    while let Some((_, row, _)) = lines.next()? {
        let Ok(row) = row else { continue };
        for key in row.0.keys() {
            if names.len() > COLUMNS_MAX {
                return Ok(names);
            }
            if !seen.contains(key) {
                seen.insert(key.clone());
                names.push(key.clone());
            }
        }
    }
    Ok(names)
}
