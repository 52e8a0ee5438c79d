//! How much memory the longest row of a column takes, where a row has many values.
//!
//! A decoder reads rows whole. Where each of them ends is said by the repetition levels of its values, which are written as runs: two
//! bytes may stand for a row of 2³¹ values without any. So a footer and the pages' headers do not say how long a row is; its levels
//! do. They are counted here, run by run.
//! Source: "Data Pages" and the hybrid of run lengths and packed bits in the Apache Parquet format's `Encodings.md`.

use std::{fs::File, sync::Arc};

use deltalake::parquet::{
    basic::Encoding,
    column::page::Page,
    file::{metadata::ColumnChunkMetaData, serialized_reader::SerializedPageReader},
};

use super::{footer::refused, thrift::varint};
use crate::error::{Error, Result};

/// Bytes of the longest row. A value takes its share of its page and `held` bytes besides. The pages were checked before.
pub(super) fn longest_row(file: &File, column: &ColumnChunkMetaData, rows: usize, held: u64) -> Result<u64> {
    let unreadable = |error: &dyn std::fmt::Display| refused(&error.to_string());
    let file = Arc::new(file.try_clone().map_err(Error::internal)?);
    let pages = SerializedPageReader::new(file, column, rows, None).map_err(|error| unreadable(&error))?;
    let highest = u16::try_from(column.column_descr().max_rep_level()).unwrap_or(0);
    let mut found = Rows::default();
    for page in pages {
        let page = page.map_err(|error| unreadable(&error))?;
        let values = u64::from(page.num_values());
        found.value = (page.buffer().len() as u64).div_ceil(values.max(1)).saturating_add(held);
        let levels = match &page {
            Page::DataPage { rep_level_encoding: Encoding::RLE, buf, .. } => {
                let length = buf.first_chunk().map(|length| u32::from_le_bytes(*length) as usize);
                length.and_then(|length| buf.get(4..)?.get(..length))
            }
            Page::DataPageV2 { buf, rep_levels_byte_len, .. } => buf.get(..*rep_levels_byte_len as usize),
            // As nobody has written them for long: taken for a part of one row.
            Page::DataPage { .. } => {
                found.goes_on(values);
                continue;
            }
            Page::DictionaryPage { .. } => continue,
        };
        levels.and_then(|levels| found.count(levels, values, highest)).ok_or_else(|| {
            refused(&format!("it does not say where the rows of the column {} end", column.column_path()))
        })?;
    }
    Ok(found.longest.max(found.row))
}

/// Rows as they go by.
#[derive(Debug, Default)]
struct Rows {
    /// Bytes of a value of this page.
    value: u64,
    /// Bytes of the row that has not ended yet, and of the longest that has.
    row: u64,
    longest: u64,
}

impl Rows {
    fn goes_on(&mut self, values: u64) {
        self.row = self.row.saturating_add(self.value.saturating_mul(values));
    }

    /// So many rows begin, of a value each so far.
    fn begin(&mut self, rows: u64) {
        if rows > 0 {
            self.longest = self.longest.max(self.row).max(if rows > 1 { self.value } else { 0 });
            self.row = self.value;
        }
    }

    fn level(&mut self, level: u64, values: u64) {
        if level == 0 { self.begin(values) } else { self.goes_on(values) }
    }

    /// Counts the levels of a page with so many values. None where they break off.
    fn count(&mut self, mut levels: &[u8], values: u64, highest: u16) -> Option<()> {
        let bits = u16::BITS - highest.leading_zeros();
        let mut left = values;
        while left > 0 {
            let head = varint(&mut levels)?;
            if head & 1 == 0 {
                let mut level = 0;
                for byte in 0..bits.div_ceil(8) {
                    level |= u64::from(*levels.split_off_first()?) << (8 * byte);
                }
                let run = (head >> 1).min(left);
                if run == 0 {
                    return None;
                }
                self.level(level, run);
                left -= run;
            } else {
                for _ in 0..head >> 1 {
                    // Eight values in as many bytes as one has bits; the last ones may be left out.
                    let (packed, rest) = levels.split_at(levels.len().min(bits as usize));
                    if packed.is_empty() {
                        break;
                    }
                    let mut eight =
                        packed.iter().rev().fold(0_u128, |all, byte| all << 8 | u128::from(*byte));
                    for _ in 0..left.min(8) {
                        self.level(eight as u64 & ((1 << bits) - 1), 1);
                        eight >>= bits;
                    }
                    left -= left.min(8);
                    levels = rest;
                }
                if levels.is_empty() && left > 0 {
                    return None;
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(levels: &[u8], values: u64, highest: u16) -> Option<u64> {
        let mut rows = Rows { value: 1, ..Rows::default() };
        rows.count(levels, values, highest)?;
        Some(rows.longest.max(rows.row))
    }

    #[test]
    fn runs_of_levels_are_rows() {
        // Ten rows of one value.
        assert_eq!(longest(&[20, 0], 10, 1), Some(1));
        // A row begins, and 2^28 - 1 values more are of it.
        let long = [&[2, 0][..], &[0xfe, 0xff, 0xff, 0xff, 0x01, 1]].concat();
        assert_eq!(longest(&long, 1 << 28, 1), Some(1 << 28));
        // Packed, from the lowest bit: 0 1 1 0 1 0 0 1 | 1.
        assert_eq!(longest(&[0b101, 0b1001_0110, 0b0000_0001], 9, 1), Some(3));
        assert_eq!(longest(&[0b101, 0b1001_0110, 0b0000_0001], 8, 1), Some(3));
        // Of two bits each: 0 2 1 2 | 0 0 0 0.
        assert_eq!(longest(&[0b11, 0b1001_1000, 0], 8, 2), Some(4));
        // A run, and packed ones that go on with its row.
        assert_eq!(longest(&[4, 0, 0b11, 0b0000_0111], 10, 1), Some(4));
    }

    #[test]
    fn levels_that_break_off_are_none() {
        assert_eq!(longest(&[], 1, 1), None);
        assert_eq!(longest(&[4], 2, 1), None, "a run without its level");
        assert_eq!(longest(&[4, 0], 3, 1), None, "fewer than the page has values");
        assert_eq!(longest(&[0, 0], 1, 1), None, "a run of nothing");
        assert_eq!(longest(&[0b101, 0], 9, 1), None);
        assert_eq!(longest(&[0x80; 20], 1, 1), None);
        assert_eq!(longest(&[0x01], 1, 1), None, "packed ones, of which there are none");
    }
}
