//! Walks the pages of a Parquet file before it is decoded: how much memory they take at a time.
//!
//! A page is in memory whole, and so is the dictionary of its column; each column has its own at the same time. What a page
//! takes is said in front of it and not in the footer. How large a row group is does not matter: of it no more is in memory
//! than these, and the rows of one batch. Layout: `PageHeader` of Parquet's `parquet.thrift`.
//!
//! What must stay true: what a page announces is never asked of the machine before it is known to be within bounds, and no page has
//! more than it announces.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::FileExt as _,
};

use deltalake::parquet::{
    basic::{Compression, Type},
    file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData},
};

use super::{
    BATCH_BYTES, BATCH_ROWS, TYPED_ROW_BYTES_MAX,
    footer::refused,
    format::{self, page},
    levels,
    thrift::{self, Field, Walk, kind},
    unpack,
};
use crate::error::{Error, Result};

/// Bytes of one page once it is unpacked. Writers make pages of a few MiB, and some of 100.
const PAGE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of the pages and dictionaries that are in memory at the same time: the largest of each column.
const OPEN_BYTES_MAX: u64 = 2 << 30;
/// Bytes of a row group's lists whose rows are not looked at one by one.
const UNCOUNTED_BYTES_MAX: u64 = 256 << 20;
/// Bytes in front of a page. Few, unless a page says its least and its largest value there.
const HEAD_BYTES_MIN: usize = 4 << 10;
const HEAD_BYTES_MAX: usize = 16 << 20;

/// Kinds of pages, as the header numbers them, and the part that each of them has. Nobody writes those of an index, which is the kind
/// that is left out: some decoders pass over one and some look into it.
const PAGES: [(i64, i64); 3] = [(0, page::DATA), (2, page::DICTIONARY), (3, page::DATA_2)];

/// Refuses a file whose pages take more memory than they may. Answers how many rows may be decoded at a time.
pub(super) fn check(file: &File, footer: &ParquetMetaData) -> Result<usize> {
    let length = file.metadata().map_err(Error::internal)?.len();
    let mut walk = Pages { file, length, walked: 0 };
    let mut rows = BATCH_ROWS;
    for group in footer.row_groups() {
        rows = rows.min(walk.group(group)?);
    }
    Ok(rows)
}

/// What stands in front of a page.
#[derive(Debug, Default, PartialEq, Eq)]
struct Head {
    bytes: u64,
    packed: u64,
    unpacked: u64,
    values: u64,
    is_dictionary: bool,
    /// Bytes in front of what is packed, as they are.
    levels: u64,
    /// Nothing of it is packed.
    is_plain: bool,
}

impl Head {
    fn read(bytes: &[u8]) -> thrift::Result<Self> {
        let (mut walk, mut head) = (Walk::new(bytes), Self::default());
        let (mut number, mut parts) = (None, Vec::new());
        walk.fields(format::PAGE, 0, &mut |walk, field| {
            match field.id {
                page::KIND => number = Some(walk.whole()?),
                page::UNPACKED => head.unpacked = walk.size()?.into(),
                page::PACKED => head.packed = walk.size()?.into(),
                part @ (page::DATA | page::DICTIONARY | page::DATA_2) => {
                    parts.push(part);
                    head.part(walk, field)?;
                }
                _ => walk.pass(field, 1)?,
            }
            Ok(())
        })?;
        let (_, part) =
            PAGES.into_iter().find(|page| Some(page.0) == number).ok_or("it is no kind of page")?;
        if parts != [part] {
            return Err("it has the parts of another page");
        }
        if head.levels > head.packed.min(head.unpacked) {
            return Err("its levels are longer than it is");
        }
        head.is_dictionary = part == page::DICTIONARY;
        head.bytes = (bytes.len() - walk.left()) as u64;
        Ok(head)
    }

    /// Reads what the header says of the kind of page that this is.
    fn part(&mut self, walk: &mut Walk<'_>, part: Field) -> thrift::Result<()> {
        let (fields, is_second) = match part.id {
            page::DATA => (format::DATA, false),
            page::DICTIONARY => (format::DICTIONARY, false),
            _ => (format::DATA_2, true),
        };
        walk.fields(fields, 1, &mut |walk, field| {
            match field.id {
                page::VALUES => self.values = walk.size()?.into(),
                page::DEFINITIONS | page::REPETITIONS if is_second => self.levels += u64::from(walk.size()?),
                page::IS_PACKED if is_second => self.is_plain = field.kind == kind::FALSE,
                _ => walk.pass(field, 2)?,
            }
            Ok(())
        })
    }
}

/// What a column takes within one row group.
#[derive(Debug, Default)]
struct Column {
    largest: u64,
    dictionary: u64,
    /// The most bytes that one value has on average within a page, and all bytes and values.
    value: u64,
    bytes: u64,
    values: u64,
}

impl Column {
    /// Bytes of all values.
    fn whole(&self, column: &ColumnChunkMetaData) -> u64 {
        self.bytes.saturating_add(self.values.saturating_mul(held_bytes(column)))
    }
}

struct Pages<'f> {
    file: &'f File,
    length: u64,
    /// Bytes of the columns that were walked over.
    walked: u64,
}

impl Pages<'_> {
    /// How many rows of a row group may be decoded at a time.
    fn group(&mut self, group: &RowGroupMetaData) -> Result<usize> {
        let rows = usize::try_from(group.num_rows()).unwrap_or(0).max(1);
        let found = group.columns().iter().map(|column| self.column(column));
        let found = found.collect::<Result<Vec<Column>>>()?;
        let open = found
            .iter()
            .fold(0_u64, |sum, one| sum.saturating_add(one.largest).saturating_add(one.dictionary));
        if open > OPEN_BYTES_MAX {
            return Err(refused(&format!(
                "the pages of its {} columns take {open} bytes of memory at a time; they may take {OPEN_BYTES_MAX}. Write smaller \
                 pages or smaller row groups",
                group.num_columns()
            )));
        }
        let columns = || group.columns().iter().zip(&found);
        let (mut row, mut lists) = (0_u64, 0_u64);
        for (column, found) in columns() {
            if column.column_descr().max_rep_level() > 0 {
                lists = lists.saturating_add(found.whole(column));
            } else {
                row = row.saturating_add(found.value).saturating_add(held_bytes(column));
            }
        }
        // Rows of lists may be of any length. Where all of them do not take much, they may be one row.
        let is_much = lists > UNCOUNTED_BYTES_MAX;
        let mut long = 0_u64;
        for (column, found) in columns().filter(|(column, _)| column.column_descr().max_rep_level() > 0) {
            long = long.saturating_add(if is_much {
                levels::longest_row(self.file, column, rows, held_bytes(column))?
            } else {
                found.whole(column).div_ceil(rows as u64)
            });
        }
        if long > TYPED_ROW_BYTES_MAX {
            return Err(refused(&format!(
                "the lists of one of its rows take {long} bytes of memory; they may take {TYPED_ROW_BYTES_MAX}. Keep such values in \
                 files, and their names in the table"
            )));
        }
        let row = row.saturating_add(long);
        Ok(usize::try_from(BATCH_BYTES as u64 / row.max(1)).unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS))
    }

    fn column(&mut self, column: &ColumnChunkMetaData) -> Result<Column> {
        let outside = || refused("one of its columns lies outside of the file");
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let start = u64::try_from(start).map_err(|_| outside())?;
        let size = u64::try_from(column.compressed_size()).map_err(|_| outside())?;
        let end = start.checked_add(size).filter(|end| *end <= self.length).ok_or_else(outside)?;
        // However often columns say the same place, it is not walked over more than once.
        self.walked = self.walked.saturating_add(size);
        if self.walked > self.length {
            return Err(refused("its columns lie one over the other"));
        }
        let (mut at, mut found) = (start, Column::default());
        // To its end, whatever the footer says of how many values there are: the decoder does not ask it either.
        while at < end {
            let head = self.head(at, end)?;
            // Of what is not packed the decoder takes what is there, and of all else that as well.
            let taken = head.unpacked.max(head.packed);
            if head.unpacked > PAGE_BYTES_MAX {
                return Err(refused(&format!(
                    "the page at byte {at} says that it has {} bytes once it is unpacked; it may have {PAGE_BYTES_MAX}. Write \
                     smaller pages",
                    head.unpacked
                )));
            }
            if head.packed > PAGE_BYTES_MAX {
                return Err(refused(&format!(
                    "the page at byte {at} has {} bytes; it may have {PAGE_BYTES_MAX}. Write smaller pages",
                    head.packed
                )));
            }
            let packed =
                at.saturating_add(head.bytes)..at.saturating_add(head.bytes).saturating_add(head.packed);
            if packed.end > end {
                return Err(refused(&format!("the page at byte {at} is longer than its column")));
            }
            self.unpacks_to_what_it_says(column.compression(), at, packed.start, &head)?;
            // Memory is taken for as many before they are read.
            if head.is_dictionary && head.values.saturating_mul(least_bytes(column)) > taken {
                return Err(refused(&format!(
                    "the dictionary at byte {at} says that it has {} values, for which it is too short",
                    head.values
                )));
            }
            if head.is_dictionary {
                let views = head.values.saturating_mul(held_bytes(column));
                found.dictionary = found.dictionary.max(taken.saturating_add(views));
            } else {
                found.largest = found.largest.max(taken);
                found.value = found.value.max(taken.div_ceil(head.values.max(1)));
                found.bytes = found.bytes.saturating_add(taken);
                found.values = found.values.saturating_add(head.values);
            }
            at = packed.end;
        }
        Ok(found)
    }

    fn unpacks_to_what_it_says(&self, codec: Compression, at: u64, from: u64, head: &Head) -> Result<()> {
        if head.is_plain {
            return Ok(());
        }
        let part = Part { file: self.file, at: from + head.levels }.take(head.packed - head.levels);
        if unpack::exceeds(codec, BufReader::new(part), head.unpacked - head.levels) {
            return Err(refused(&format!(
                "the page at byte {at} says that it has {} bytes once it is unpacked, and has more",
                head.unpacked
            )));
        }
        Ok(())
    }

    fn head(&self, at: u64, end: u64) -> Result<Head> {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        let mut wanted = HEAD_BYTES_MIN.min(left);
        loop {
            let mut bytes = vec![0; wanted];
            match self.file.read_exact_at(&mut bytes, at) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(refused("it breaks off"));
                }
                read => read.map_err(Error::internal)?,
            }
            match Head::read(&bytes) {
                Ok(head) => return Ok(head),
                Err(_) if wanted < left.min(HEAD_BYTES_MAX) => {
                    wanted = wanted.saturating_mul(16).min(left).min(HEAD_BYTES_MAX);
                }
                Err(_) => {
                    return Err(refused(&format!("what stands before the page at byte {at} is damaged")));
                }
            }
        }
    }
}

/// Bytes that a value has at least where it is written out.
fn least_bytes(column: &ColumnChunkMetaData) -> u64 {
    let described = column.column_descr();
    match described.physical_type() {
        Type::BOOLEAN => 1,
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::FIXED_LEN_BYTE_ARRAY => u64::try_from(described.type_length()).unwrap_or(0).max(1),
    }
}

/// Bytes that a value takes once it is decoded, beside those of a text: itself or a view of it, and its levels.
fn held_bytes(column: &ColumnChunkMetaData) -> u64 {
    const VIEW_BYTES: u64 = 16;
    const LEVELS_BYTES: u64 = 4;
    let value = match column.column_descr().physical_type() {
        Type::BYTE_ARRAY => VIEW_BYTES,
        // Values of a fixed length are written out, also where the file has them once.
        _ => least_bytes(column).max(8),
    };
    value + LEVELS_BYTES
}

/// A file from some byte on.
struct Part<'f> {
    file: &'f File,
    at: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_a_page_is_read() {
        // A data page: 1: kind 0, 2: 200 bytes, 3: 100 packed, 5: { 1: 50 values, 2: encoding 0 }.
        let data =
            [0x15, 0x00, 0x15, 0x90, 0x03, 0x15, 0xc8, 0x01, 0x2c, 0x15, 0x64, 0x15, 0x00, 0x00, 0x00, 0xff];
        let head = Head { bytes: 15, packed: 100, unpacked: 200, values: 50, ..Head::default() };
        assert_eq!(Head::read(&data), Ok(head));
        // A dictionary: 1: kind 2, 2: 3 bytes, 3: 3, 7: { 1: 1 value }.
        let dictionary = [0x15, 0x04, 0x15, 0x06, 0x15, 0x06, 0x4c, 0x15, 0x02, 0x00, 0x00];
        let head =
            Head { bytes: 11, packed: 3, unpacked: 3, values: 1, is_dictionary: true, ..Head::default() };
        assert_eq!(Head::read(&dictionary), Ok(head));
        // A data page of the second kind: 1: kind 3, 2: 20 bytes, 3: 20, 8: { 1: 1 value, 5: 2, 6: 3 bytes of levels, 7: false }.
        let second =
            [0x15, 0x06, 0x15, 0x28, 0x15, 0x28, 0x5c, 0x15, 0x02, 0x45, 0x04, 0x15, 0x06, 0x12, 0x00, 0x00];
        let head = Head {
            bytes: 16,
            packed: 20,
            unpacked: 20,
            values: 1,
            levels: 5,
            is_plain: true,
            ..Head::default()
        };
        assert_eq!(Head::read(&second), Ok(head));
        assert!(Head::read(&data[..9]).is_err(), "it breaks off");
        assert_eq!(Head::read(&[0x25, 0x01, 0x00]), Err("a size is negative"));
    }

    /// A decoder goes by the numbers of fields alone, and takes the last of them: what is not as it is always written is refused.
    #[test]
    fn what_two_readers_would_read_differently_is_refused() {
        // 1: kind 0, 2: 200 bytes, 3: 100, 5: { 1: 50 values }.
        let whole = [0x15, 0x00, 0x15, 0x90, 0x03, 0x15, 0xc8, 0x01, 0x2c, 0x15, 0x64, 0x00, 0x00];
        assert_eq!(Head::read(&whole).map(|head| head.unpacked), Ok(200));
        let with = |at: usize, bytes: &[u8]| {
            let mut changed = whole.to_vec();
            changed.splice(at..at, bytes.iter().copied());
            Head::read(&changed).unwrap_err()
        };
        // Field 2 once more, by its number.
        assert_eq!(with(12, &[0x05, 0x04, 0x02]), "a field comes twice");
        // Field 65538, which is 2 in 16 bits.
        assert_eq!(with(12, &[0x05, 0x84, 0x80, 0x08, 0x02]), "a field has a number that none has");
        // The part of a dictionary beside its own.
        assert_eq!(with(12, &[0x2c, 0x15, 0x02, 0x00]), "it has the parts of another page");
        let mut other = whole;
        other[1] = 0x02;
        assert_eq!(Head::read(&other), Err("it is no kind of page"), "a page of an index");
        other[1] = 0x08;
        assert_eq!(Head::read(&other), Err("it is no kind of page"));
        let mut other = whole;
        other[2] = 0x18;
        assert_eq!(Head::read(&other), Err("a field is written as another kind"), "a text");
        let large = [0x15, 0x00, 0x15, 0x80, 0x80, 0x80, 0x80, 0x20, 0x00];
        assert_eq!(Head::read(&large), Err("a number is too large"));
        // Of the second kind, with more levels than bytes, and with two words on whether it is packed.
        let second = [0x15, 0x06, 0x15, 0x28, 0x15, 0x28, 0x5c, 0x15, 0x02, 0x45, 0x2a, 0x00, 0x00];
        assert_eq!(Head::read(&second), Err("its levels are longer than it is"));
        let second = [0x15, 0x06, 0x15, 0x28, 0x15, 0x28, 0x5c, 0x15, 0x02, 0x62, 0x01, 0x0e, 0x00, 0x00];
        assert_eq!(Head::read(&second), Err("a field comes twice"));
    }
}
