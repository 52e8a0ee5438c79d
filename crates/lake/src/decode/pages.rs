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
    BATCH_BYTES, BATCH_ROWS,
    footer::{Walk, kind, refused},
    unpack,
};
use crate::error::{Error, Result};

/// Bytes of one page once it is unpacked. Writers make pages of a few MiB, and some of 100.
const PAGE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of the pages and dictionaries that are in memory at the same time: the largest of each column.
const OPEN_BYTES_MAX: u64 = 2 << 30;
/// Bytes in front of a page. Few, unless a page says its least and its largest value there.
const HEAD_BYTES_MIN: usize = 4 << 10;
const HEAD_BYTES_MAX: usize = 16 << 20;

/// Fields of a page's header, and the field of each of its parts that says how many values there are.
mod field {
    pub(super) const UNPACKED: i64 = 2;
    pub(super) const PACKED: i64 = 3;
    pub(super) const DATA: i64 = 5;
    pub(super) const DICTIONARY: i64 = 7;
    pub(super) const DATA_2: i64 = 8;
    pub(super) const VALUES: i64 = 1;
    /// Of a data page of the second kind: levels that stand in front of what is packed, and whether that is packed at all.
    pub(super) const DEFINITIONS: i64 = 5;
    pub(super) const REPETITIONS: i64 = 6;
    pub(super) const IS_PACKED: i64 = 7;
}

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
    fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let (mut walk, mut head) = (Walk::new(bytes), Self::default());
        let size = |walk: &mut Walk<'_>| u64::try_from(walk.whole()?).map_err(|_| "a size is negative");
        walk.fields(0, &mut |walk, id, kind| {
            match (id, kind) {
                (field::UNPACKED, kind::I32) => head.unpacked = size(walk)?,
                (field::PACKED, kind::I32) => head.packed = size(walk)?,
                (field::DATA | field::DICTIONARY | field::DATA_2, kind::STRUCT) => {
                    head.is_dictionary |= id == field::DICTIONARY;
                    let is_second = id == field::DATA_2;
                    walk.fields(1, &mut |walk, id, kind| {
                        match (id, kind) {
                            (field::VALUES, kind::I32) => head.values = size(walk)?,
                            (field::DEFINITIONS | field::REPETITIONS, kind::I32) if is_second => {
                                head.levels = head.levels.saturating_add(size(walk)?);
                            }
                            (field::IS_PACKED, kind::FALSE) if is_second => head.is_plain = true,
                            _ => walk.pass(kind, 2)?,
                        }
                        Ok(())
                    })?;
                }
                _ => walk.pass(kind, 1)?,
            }
            Ok(())
        })?;
        head.bytes = (bytes.len() - walk.left()) as u64;
        Ok(head)
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

struct Pages<'f> {
    file: &'f File,
    length: u64,
    /// Bytes of the columns that were walked over.
    walked: u64,
}

impl Pages<'_> {
    /// How many rows of a row group may be decoded at a time.
    fn group(&mut self, group: &RowGroupMetaData) -> Result<usize> {
        let rows = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
        let (mut open, mut row) = (0_u64, 0_u64);
        for column in group.columns() {
            let found = self.column(column)?;
            open = open.saturating_add(found.largest).saturating_add(found.dictionary);
            let described = column.column_descr();
            // Values of a fixed length are written out, also where the file has them once.
            let fixed = match described.physical_type() {
                Type::FIXED_LEN_BYTE_ARRAY => u64::try_from(described.type_length()).unwrap_or(0),
                _ => 0,
            };
            let bytes = if described.max_rep_level() == 0 {
                found.value.saturating_add(fixed)
            } else {
                found.bytes.saturating_add(found.values.saturating_mul(fixed)).div_ceil(rows)
            };
            row = row.saturating_add(bytes);
        }
        if open > OPEN_BYTES_MAX {
            return Err(refused(&format!(
                "the pages of its {} columns take {open} bytes of memory at a time; they may take {OPEN_BYTES_MAX}. Write smaller \
                 pages or smaller row groups",
                group.num_columns()
            )));
        }
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
        let values = u64::try_from(column.num_values()).unwrap_or(0);
        let (mut at, mut found) = (start, Column::default());
        while at < end && found.values < values {
            let head = self.head(at, end)?;
            if head.unpacked > PAGE_BYTES_MAX {
                return Err(refused(&format!(
                    "the page at byte {at} says that it has {} bytes once it is unpacked; it may have {PAGE_BYTES_MAX}. Write \
                     smaller pages",
                    head.unpacked
                )));
            }
            let packed =
                at.saturating_add(head.bytes)..at.saturating_add(head.bytes).saturating_add(head.packed);
            if packed.end > end {
                return Err(refused(&format!("the page at byte {at} is longer than its column")));
            }
            self.unpacks_to_what_it_says(column.compression(), at, packed.start, &head)?;
            if head.is_dictionary {
                found.dictionary = found.dictionary.max(head.unpacked);
            } else {
                found.largest = found.largest.max(head.unpacked);
                found.value = found.value.max(head.unpacked.div_ceil(head.values.max(1)));
                found.bytes = found.bytes.saturating_add(head.unpacked);
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
        let (levels, packed) = (head.levels.min(head.packed), head.packed.saturating_sub(head.levels));
        let part = Part { file: self.file, at: from + levels }.take(packed);
        let announced = head.unpacked.saturating_sub(levels);
        if unpack::exceeds(codec, BufReader::new(part), announced) {
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
}
