//! A column as it is read: in place, slot by slot, without building values that nobody asked for.

use std::ops::Range;

use crate::tracking::document::Damaged;
use crate::tracking::document::bytes::Reader;

use super::encode::{
    BITMAP, DATA_FLOATS, DATA_INTS, DATA_TEXTS, DATA_UUIDS, EVERY_ROW, LIST, VERSION, encode_loose_floats,
};
use super::{Bitmap, SEGMENT_RUNS_MAX};

/// A column whose shape was checked once, so that later look-ups can neither fail nor panic.
#[derive(Debug)]
pub(in crate::tracking) struct Column {
    head: Head,
    block: Vec<u8>,
    /// Where presence ends and values begin in the block.
    values_at: usize,
    /// Of a text column.
    dictionary: Option<Dictionary>,
}

/// Where the parts of a text column's values are in its block.
#[derive(Debug)]
struct Dictionary {
    ends: Range<usize>,
    end_width: usize,
    text: String,
    codes: Range<usize>,
    code_width: usize,
}

/// What stands before the block.
#[derive(Debug, Clone, Copy)]
struct Head {
    data: u8,
    presence: u8,
    rows: usize,
    cells: usize,
    zone: Zone,
}

/// Bounds of all values of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::tracking) enum Zone {
    /// Integers.
    Ints { min: i64, max: i64 },
    /// Floats; the bounds are NaN where no number is.
    Floats { min: f64, max: f64, has_nan: bool },
    /// Nothing is known.
    Unknown,
}

/// Which rows have a value.
#[derive(Debug, Clone, Copy)]
pub(in crate::tracking) enum Presence<'c> {
    /// Every one below `rows`; a slot a row.
    Every,
    /// Those in the bitmap; a slot a row.
    Bitmap(&'c [u8]),
    /// Those listed, two bytes each, ascending; a slot a listed row.
    List(&'c [u8]),
}

/// Values of a text column.
#[derive(Debug, Clone, Copy)]
pub(in crate::tracking) struct Texts<'c> {
    ends: &'c [u8],
    end_width: usize,
    text: &'c str,
    codes: &'c [u8],
    code_width: usize,
}

impl Column {
    /// Reads a column and checks its contents too: that rows and dictionary ascend and that codes stand for entries.
    /// Every rewrite of a segment does this; searches, which may read thousands of columns, [`open`](Self::open) them.
    pub(in crate::tracking) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let column = Self::open(bytes)?;
        let listed_fit = match column.presence() {
            Presence::List(bytes) => {
                listed(bytes).is_sorted() && listed(bytes).all(|row| row < column.head.rows)
            }
            _ => true,
        };
        if !listed_fit || column.texts().is_some_and(|texts| !texts.is_sound()) {
            return Err(Damaged {
                format: "index column",
                at: column.values_at,
                why: "contents do not ascend",
            });
        }
        Ok(column)
    }

    /// Reads a column and checks its shape. Of damaged contents, look-ups give arbitrary values.
    pub(in crate::tracking) fn open(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new("index column", bytes);
        let head = read_head(&mut reader)?;
        let block = reader.packed()?.into_owned();
        reader.end()?;
        let mut inside = Reader::new("index column", &block);
        let presence_len = match head.presence {
            BITMAP => head.rows.div_ceil(64) * 8,
            LIST => head.cells.saturating_mul(2),
            _ => 0,
        };
        inside.take(presence_len)?;
        let mut column = Self { head, values_at: presence_len, block, dictionary: None };
        if head.data == DATA_TEXTS {
            column.dictionary = Some(column.read_dictionary()?);
        }
        column.check_shape()?;
        Ok(column)
    }

    /// A column of floats (by their bits) that is worked out and stored nowhere; `None` without a single cell.
    pub(in crate::tracking) fn of_floats(rows: usize, cells: &[(u16, u64)]) -> Result<Option<Self>, Damaged> {
        if cells.is_empty() { Ok(None) } else { Self::open(&encode_loose_floats(rows, cells)).map(Some) }
    }

    /// Rows that the column knows of.
    pub(in crate::tracking) fn rows(&self) -> usize {
        self.head.rows
    }

    /// Whether every row below `rows` has exactly one value.
    pub(in crate::tracking) fn is_total(&self, rows: usize) -> bool {
        self.head.presence == EVERY_ROW && self.head.rows >= rows
    }

    /// Bounds of its values.
    pub(in crate::tracking) fn bounds(&self) -> Zone {
        self.head.zone
    }

    /// Which rows have a value, and how slots relate to rows.
    pub(in crate::tracking) fn presence(&self) -> Presence<'_> {
        let bytes = &self.block[..self.values_at];
        match self.head.presence {
            BITMAP => Presence::Bitmap(bytes),
            LIST => Presence::List(bytes),
            _ => Presence::Every,
        }
    }

    /// The rows that have a value, as a set over `rows` rows.
    pub(in crate::tracking) fn present(&self, rows: usize) -> Bitmap {
        match self.presence() {
            Presence::Every => Bitmap::all(rows.min(self.head.rows)),
            Presence::Bitmap(bytes) => Bitmap::from_words(rows, words(bytes)),
            Presence::List(bytes) => {
                let mut present = Bitmap::none(rows);
                listed(bytes).for_each(|row| present.insert(row));
                present
            }
        }
    }

    /// Every cell as (row, slot), ascending.
    pub(in crate::tracking) fn cells(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let list = if let Presence::List(bytes) = self.presence() { bytes } else { &[] };
        let dense = if list.is_empty() { self.present(self.head.rows) } else { Bitmap::none(0) };
        let dense: Vec<usize> = dense.iter().collect();
        dense.into_iter().map(|row| (row, row)).chain(listed(list).zip(0..))
    }

    /// The slot of a row's (first) value.
    pub(in crate::tracking) fn slot(&self, row: usize) -> Option<usize> {
        match self.presence() {
            Presence::Every => (row < self.head.rows).then_some(row),
            Presence::Bitmap(bytes) => {
                (row < self.head.rows && bytes[row / 8] >> (row % 8) & 1 == 1).then_some(row)
            }
            Presence::List(bytes) => {
                let row_at =
                    |slot: usize| usize::from(u16::from_le_bytes([bytes[2 * slot], bytes[2 * slot + 1]]));
                let (mut low, mut high) = (0, bytes.len() / 2);
                while low < high {
                    let middle = usize::midpoint(low, high);
                    if row_at(middle) < row { low = middle + 1 } else { high = middle }
                }
                (low < bytes.len() / 2 && row_at(low) == row).then_some(low)
            }
        }
    }

    /// Width in bytes and slots of integers less their minimum; `None` of other columns.
    pub(in crate::tracking) fn ints(&self) -> Option<(i64, usize, &[u8])> {
        let Zone::Ints { min, .. } = self.head.zone else { return None };
        let (width, slots) = self.block[self.values_at..].split_first()?;
        Some((min, usize::from(*width), slots))
    }

    /// Width in bytes and slots of floats; `None` of other columns.
    pub(in crate::tracking) fn floats(&self) -> Option<(usize, &[u8])> {
        let Zone::Floats { .. } = self.head.zone else { return None };
        let (width, slots) = self.block[self.values_at..].split_first()?;
        Some((usize::from(*width), slots))
    }

    /// The integer at a slot.
    pub(in crate::tracking) fn int_at(&self, slot: usize) -> Option<i64> {
        let (min, width, slots) = self.ints()?;
        Some(min.wrapping_add_unsigned(uint_at(slots, width, slot)))
    }

    /// The float at a slot.
    pub(in crate::tracking) fn float_at(&self, slot: usize) -> Option<f64> {
        match self.floats()? {
            (4, slots) => slots.as_chunks::<4>().0.get(slot).map(|bytes| f32::from_le_bytes(*bytes).into()),
            (_, slots) => slots.as_chunks::<8>().0.get(slot).map(|bytes| f64::from_le_bytes(*bytes)),
        }
    }

    /// The outside run id at a slot.
    pub(in crate::tracking) fn uuid_at(&self, slot: usize) -> Option<&[u8; 16]> {
        if self.head.data != DATA_UUIDS {
            return None;
        }
        self.block[self.values_at..].as_chunks::<16>().0.get(slot)
    }

    /// The texts; `None` of other columns.
    pub(in crate::tracking) fn texts(&self) -> Option<Texts<'_>> {
        let dictionary = self.dictionary.as_ref()?;
        Some(Texts {
            ends: self.block.get(dictionary.ends.clone())?,
            end_width: dictionary.end_width,
            text: &dictionary.text,
            codes: self.block.get(dictionary.codes.clone())?,
            code_width: dictionary.code_width,
        })
    }

    fn slots(&self) -> usize {
        if self.head.presence == LIST { self.head.cells } else { self.head.rows }
    }

    fn read_dictionary(&self) -> Result<Dictionary, Damaged> {
        let mut reader = Reader::new("index column", &self.block);
        reader.take(self.values_at)?;
        let entries = reader.count(2)?;
        let end_width = usize::from(reader.byte()?);
        if !matches!(end_width, 2 | 4) || entries == 0 {
            return Err(reader.damaged("dictionary is empty or has unknown ends"));
        }
        let ends_at = reader.at();
        let ends = reader.take(entries * end_width)?;
        let bytes = reader.take(uint_at(ends, end_width, entries - 1) as usize)?;
        let text = std::str::from_utf8(bytes).map_err(|_| reader.damaged("text is not UTF-8"))?.to_owned();
        let code_width = usize::from(reader.byte()?);
        let codes_at = reader.at();
        let codes = reader.take(self.slots().saturating_mul(code_width))?;
        reader.end()?;
        let (ends, codes) = (ends_at..ends_at + ends.len(), codes_at..codes_at + codes.len());
        Ok(Dictionary { ends, end_width, text, codes, code_width })
    }

    /// What holds after this lets every look-up index without checks of its own.
    fn check_shape(&self) -> Result<(), Damaged> {
        let values = &self.block[self.values_at..];
        let slots_of = |widths: &[u8]| match values.split_first() {
            Some((width, slots)) if widths.contains(width) => {
                slots.len() == self.slots().saturating_mul(usize::from(*width))
            }
            _ => false,
        };
        let fits = match self.head.data {
            DATA_INTS => slots_of(&[0, 1, 2, 4, 8]),
            DATA_FLOATS => slots_of(&[4, 8]),
            DATA_TEXTS => {
                self.dictionary.as_ref().is_some_and(|parts| matches!(parts.code_width, 0 | 1 | 2 | 4))
            }
            _ => values.len() == self.slots().saturating_mul(16),
        };
        let why = "values do not fit";
        if fits { Ok(()) } else { Err(Damaged { format: "index column", at: self.values_at, why }) }
    }
}

impl<'c> Texts<'c> {
    /// Entries of the dictionary.
    pub(in crate::tracking) fn entries(&self) -> usize {
        self.ends.len() / self.end_width
    }

    /// An entry of the dictionary; entries ascend strictly.
    pub(in crate::tracking) fn entry(&self, code: usize) -> &'c str {
        let start = if code == 0 { 0 } else { uint_at(self.ends, self.end_width, code - 1) as usize };
        let end = uint_at(self.ends, self.end_width, code) as usize;
        self.text.get(start..end).unwrap_or_default()
    }

    /// Where a text is among the entries, or would be.
    pub(in crate::tracking) fn find(&self, text: &str) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.entries());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.entry(middle).cmp(text) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// The code at a slot.
    pub(in crate::tracking) fn code_at(&self, slot: usize) -> usize {
        uint_at(self.codes, self.code_width, slot) as usize
    }

    /// Width in bytes and slots of the codes; of width 0, every slot has code 0.
    pub(in crate::tracking) fn codes(&self) -> (usize, &'c [u8]) {
        (self.code_width, self.codes)
    }

    fn is_sound(&self) -> bool {
        let entries = self.entries();
        let ends = || (0..entries).map(|code| uint_at(self.ends, self.end_width, code) as usize);
        let codes_fit = match self.code_width {
            0 => true,
            1 => self.codes.iter().all(|code| usize::from(*code) < entries),
            2 => self
                .codes
                .as_chunks::<2>()
                .0
                .iter()
                .all(|code| usize::from(u16::from_le_bytes(*code)) < entries),
            4 => self
                .codes
                .as_chunks::<4>()
                .0
                .iter()
                .all(|code| (u32::from_le_bytes(*code) as usize) < entries),
            _ => false,
        };
        codes_fit
            && ends().is_sorted()
            && ends().all(|end| self.text.is_char_boundary(end))
            && (1..entries).all(|code| self.entry(code - 1) < self.entry(code))
    }
}

fn read_head(reader: &mut Reader<'_>) -> Result<Head, Damaged> {
    reader.version(VERSION)?;
    let data = reader.byte()?;
    let presence = reader.byte()?;
    let rows = usize::try_from(reader.uint()?).unwrap_or(usize::MAX);
    let cells = usize::try_from(reader.uint()?).unwrap_or(usize::MAX);
    let zone = match data {
        DATA_INTS => Zone::Ints { min: reader.int()?, max: reader.int()? },
        DATA_FLOATS => Zone::Floats {
            min: f64::from_le_bytes(reader.array()?),
            max: f64::from_le_bytes(reader.array()?),
            has_nan: reader.byte()? != 0,
        },
        DATA_TEXTS | DATA_UUIDS => Zone::Unknown,
        _ => return Err(reader.damaged("unknown data")),
    };
    if presence > LIST || rows > SEGMENT_RUNS_MAX {
        return Err(reader.damaged("unknown presence, or too many rows"));
    }
    Ok(Head { data, presence, rows, cells, zone })
}

/// The unsigned integer of `width` bytes at `slot`; 0 where the width is 0.
pub(super) fn uint_at(slots: &[u8], width: usize, slot: usize) -> u64 {
    let mut bytes = [0; 8];
    let start = slot * width;
    if let (Some(from), Some(into)) = (slots.get(start..start + width), bytes.get_mut(..width)) {
        into.copy_from_slice(from);
    }
    u64::from_le_bytes(bytes)
}

/// The rows of a list.
pub(in crate::tracking) fn listed(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    bytes.as_chunks::<2>().0.iter().map(|row| usize::from(u16::from_le_bytes(*row)))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word))
}
