//! CSV with a header.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom},
};

use csv::{ByteRecord, Reader, ReaderBuilder, Trim};
use datafusion::arrow::datatypes::SchemaRef;

use super::{
    BATCH_BYTES, BATCH_ROWS, BadRow, Counting, Found, Mapping, ROW_BYTES_MAX, Source, clean,
    guess::{self, Guess},
    open, shown, text_columns,
};
use crate::error::{Error, Result};

/// Bytes of the reader's buffer.
const BUFFER_BYTES: usize = 256 << 10;

/// A file that is read no further than a row may be long: the reader keeps a row whole, and a quotation mark that is never
/// closed makes one of all that follows.
struct Bounded {
    file: File,
    /// Bytes that were read.
    read: u64,
    /// Where the row begins that is being read.
    row: u64,
}

impl Read for Bounded {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.read - self.row > (ROW_BYTES_MAX + BUFFER_BYTES) as u64 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let read = self.file.read(bytes)?;
        self.read += read as u64;
        Ok(read)
    }
}

/// Reads the next row; false where there is none.
fn next(reader: &mut Reader<Bounded>, record: &mut ByteRecord) -> Result<bool> {
    let (byte, line) = (reader.position().byte(), reader.position().line());
    reader.get_mut().row = byte;
    reader.read_byte_record(record).map_err(|error| broken(error, line))
}

/// Where rows stand in the file.
struct Lines {
    /// Lines end with a carriage return and a line feed. The reader is done with a row at the first, and counts the second later.
    is_crlf: bool,
}

impl Lines {
    fn of(source: &Source) -> Result<Self> {
        let mut beginning = Vec::with_capacity(BUFFER_BYTES);
        let unread = |error| Error::internal(error);
        open(&source.path)?.take(BUFFER_BYTES as u64).read_to_end(&mut beginning).map_err(unread)?;
        let end = beginning.iter().position(|byte| *byte == b'\n');
        Ok(Self { is_crlf: end.is_some_and(|end| end > 0 && beginning[end - 1] == b'\r') })
    }

    /// The line that a row below the header begins at.
    fn of_row(&self, record: &ByteRecord) -> u64 {
        record.position().map_or(0, csv::Position::line) + u64::from(self.is_crlf)
    }
}

/// Refuses a file whose last row does not end, but for the end of the file: a quotation mark there is not closed, and what follows
/// it is no row of its own.
fn refuse_unclosed(source: &Source, last: &ByteRecord, lines: &Lines) -> Result<()> {
    let Some(place) = last.position() else { return Ok(()) };
    let mut file = open(&source.path)?;
    file.seek(SeekFrom::Start(place.byte())).map_err(Error::internal)?;
    if is_closed(BufReader::new(file), source.delimiter).map_err(Error::internal)? {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "The row that begins at line {} has a quotation mark that is never closed, so that everything after it would be one value. \
         Close it, or double it where it is part of the value.",
        lines.of_row(last)
    )))
}

/// Whether what is read ends outside of quotation marks, as RFC 4180 has them and the reader reads them.
fn is_closed(rest: impl BufRead, delimiter: u8) -> io::Result<bool> {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Begin,
        Plain,
        Quoted,
        /// Behind a mark in a quoted value: its end, or half of a doubled one.
        Mark,
    }
    let mut at = At::Begin;
    for byte in rest.bytes() {
        let byte = byte?;
        let ends = byte == delimiter || byte == b'\n' || byte == b'\r';
        at = match (at, byte) {
            (At::Quoted, b'"') => At::Mark,
            (At::Quoted, _) | (At::Begin | At::Mark, b'"') => At::Quoted,
            _ if ends => At::Begin,
            _ => At::Plain,
        };
    }
    Ok(at != At::Quoted)
}

fn reader(source: &Source) -> Result<(Reader<Bounded>, Vec<String>)> {
    let mut reader = ReaderBuilder::new()
        .delimiter(source.delimiter)
        .flexible(true)
        .trim(Trim::Headers)
        .buffer_capacity(BUFFER_BYTES)
        .from_reader(Bounded { file: open(&source.path)?, read: 0, row: 0 });
    let header = reader.headers().map_err(|error| match error.into_kind() {
        csv::ErrorKind::Utf8 { .. } => {
            Error::invalid("The header of the CSV file is not UTF-8. Convert the file to UTF-8.")
        }
        csv::ErrorKind::Io(error) => unread(error, 1),
        other => Error::internal(format!("{other:?}")),
    })?;
    let mut names: Vec<String> = header.iter().map(str::to_owned).collect();
    if let Some(first) = names.first_mut() {
        // A mark that some spreadsheets put before the first letter.
        *first = first.trim_start_matches('\u{feff}').to_owned();
    }
    if names.is_empty() {
        return Err(Error::invalid("The CSV file is empty. Its first line names the columns."));
    }
    Ok((reader, names))
}

fn is_null(source: &Source, field: &[u8]) -> bool {
    field.is_empty() || source.null.as_ref().is_some_and(|null| null.as_bytes() == field)
}

pub(super) fn guess(source: &Source) -> Result<Found> {
    let (mut reader, names) = reader(source)?;
    let names = clean(source, &names);
    let mut guesses = vec![Guess::default(); names.len()];
    let (mut record, lines) = (ByteRecord::new(), Lines::of(source)?);
    while next(&mut reader, &mut record)? {
        // A row of another length is bad, and its values may stand in other columns.
        if record.len() != names.len() {
            continue;
        }
        let line = lines.of_row(&record);
        for (guess, field) in guesses.iter_mut().zip(&record) {
            if !is_null(source, field) {
                guess.see(line, &String::from_utf8_lossy(field));
            }
        }
    }
    Ok(guess::found(&names, &guesses))
}

pub(super) fn decode(source: &Source, schema: &SchemaRef, out: &mut Counting<'_>) -> Result<Vec<String>> {
    let (mut reader, names) = reader(source)?;
    let mapping = Mapping::new(source, schema, &names)?;
    let mut records: Vec<ByteRecord> = vec![ByteRecord::new(); BATCH_ROWS];
    let (mut is_last, lines) = (false, Lines::of(source)?);
    let mut last = ByteRecord::new();
    while !is_last {
        let (mut count, mut bytes) = (0, 0);
        while count < records.len() && bytes < BATCH_BYTES {
            if !next(&mut reader, &mut records[count])? {
                is_last = true;
                break;
            }
            bytes += records[count].as_slice().len();
            count += 1;
        }
        if is_last {
            refuse_unclosed(source, records[..count].last().unwrap_or(&last), &lines)?;
        } else {
            last.clone_from(&records[count - 1]);
        }
        batch(source, schema, (&mapping, &lines), names.len(), &records[..count], out)?;
    }
    Ok(mapping.absent)
}

fn batch(
    source: &Source,
    schema: &SchemaRef,
    (mapping, lines): (&Mapping, &Lines),
    width: usize,
    records: &[ByteRecord],
    out: &mut Counting<'_>,
) -> Result<()> {
    let place_of = |row: usize| {
        let record: &ByteRecord = &records[row];
        (lines.of_row(record), raw(source, record))
    };
    let mut bad: Vec<Option<BadRow>> = Vec::with_capacity(records.len());
    for (row, record) in records.iter().enumerate() {
        bad.push((record.len() != width).then(|| {
            let (line, row) = place_of(row);
            let reason = format!("it has {} values, and the header has {width}", record.len());
            BadRow { line, column: String::new(), value: String::new(), reason, row: shown(&row) }
        }));
    }
    let cell_at = |row: usize, column: usize| {
        let Some(field) = mapping.places[column].and_then(|place| records[row].get(place)) else {
            return Ok(None);
        };
        if is_null(source, field) {
            return Ok(None);
        }
        std::str::from_utf8(field)
            .map(|text| Some(Cow::Borrowed(text)))
            .map_err(|_| "it is not UTF-8".to_owned())
    };
    let columns = text_columns(schema, &mut bad, &cell_at, &place_of)?;
    out.rows(columns, &bad)
}

/// A row about as it stands in the file.
fn raw(source: &Source, record: &ByteRecord) -> String {
    let fields: Vec<Cow<'_, str>> = record.iter().map(String::from_utf8_lossy).collect();
    fields.join(&char::from(source.delimiter).to_string())
}

fn broken(error: csv::Error, line: u64) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => unread(error, line),
        other => Error::internal(format!("{other:?}")),
    }
}

fn unread(error: io::Error, line: u64) -> Error {
    if error.kind() != io::ErrorKind::FileTooLarge {
        return Error::internal(error);
    }
    Error::invalid(format!(
        "The row that begins at line {line} has more than {ROW_BYTES_MAX} bytes. Is a quotation mark missing there?"
    ))
}
