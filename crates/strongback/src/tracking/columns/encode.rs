//! Bytes of a column, version 1.
//!
//! ```text
//! 01
//! data      1 integers, 2 floats, 3 texts, 4 run ids of 16 bytes
//! presence  0 every row has a value, 1 bitmap of rows, 2 list of rows
//! rows, cells
//! zone      integers: min, max; floats: min, max as 8 bytes each, 1 if some are NaN; nothing else
//! block     compressed where that saves a quarter:
//!     presence  1: 8 bytes for 64 rows each; 2: two bytes a cell
//!     values    a slot a row (presence 0 and 1) or a cell (presence 2):
//!         integers  width, then value less min
//!         floats    width 4 if single precision holds all exactly, else 8
//!         texts     entries, length of ends (2 or 4), ends, entries ascending; width of codes (0, 1, 2, 4), codes
//!         run ids   16 bytes
//! ```
//!
//! Slots have a fixed width, so that a reader filters them in place and reaches any of them directly. Where a row has
//! more than one text, it is listed once for each (presence 2).

use crate::tracking::document::bytes::{exact_f32, put_int, put_loose, put_packed, put_uint};

pub(super) const VERSION: u8 = 1;
pub(super) const DATA_INTS: u8 = 1;
pub(super) const DATA_FLOATS: u8 = 2;
pub(super) const DATA_TEXTS: u8 = 3;
pub(super) const DATA_UUIDS: u8 = 4;
pub(super) const EVERY_ROW: u8 = 0;
pub(super) const BITMAP: u8 = 1;
pub(super) const LIST: u8 = 2;

/// Columns are rewritten often and read on the way to an answer.
const ZSTD_LEVEL: i32 = 1;

/// Cells as (row, value), rows ascending; they decide how presence is kept.
struct Layout<'c, T> {
    rows: usize,
    cells: &'c [(u16, T)],
    presence: u8,
}

impl<'c, T: Copy> Layout<'c, T> {
    /// `slot_bytes` is about what a value costs: a bitmap wastes that on every missing row.
    fn new(rows: usize, cells: &'c [(u16, T)], slot_bytes: usize) -> Self {
        let repeats = cells.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let presence = if repeats || cells.len() * (2 + slot_bytes) < rows / 8 + rows * slot_bytes {
            LIST
        } else if cells.len() == rows {
            EVERY_ROW
        } else {
            BITMAP
        };
        Self { rows, cells, presence }
    }

    fn head(&self, data: u8) -> Vec<u8> {
        let mut out = vec![VERSION, data, self.presence];
        put_uint(&mut out, self.rows as u64);
        put_uint(&mut out, self.cells.len() as u64);
        out
    }

    fn put_presence(&self, block: &mut Vec<u8>) {
        match self.presence {
            LIST => block.extend(self.cells.iter().flat_map(|(row, _)| row.to_le_bytes())),
            BITMAP => {
                let start = block.len();
                block.resize(start + self.rows.div_ceil(64) * 8, 0);
                for (row, _) in self.cells {
                    block[start + usize::from(*row) / 8] |= 1 << (row % 8);
                }
            }
            _ => {}
        }
    }

    /// Values by slot; `filler` stands where a row has none.
    fn slots(&self, filler: T) -> Vec<T> {
        if self.presence == LIST {
            return self.cells.iter().map(|(_, value)| *value).collect();
        }
        let mut slots = vec![filler; self.rows];
        for (row, value) in self.cells {
            slots[usize::from(*row)] = *value;
        }
        slots
    }
}

/// Integers; `cells` must not be empty.
pub(super) fn encode_ints(rows: usize, cells: &[(u16, i64)]) -> Vec<u8> {
    let min = cells.iter().map(|(_, value)| *value).min().unwrap_or_default();
    let max = cells.iter().map(|(_, value)| *value).max().unwrap_or_default();
    let width = width_of(max.abs_diff(min));
    let layout = Layout::new(rows, cells, width);
    let mut out = layout.head(DATA_INTS);
    put_int(&mut out, min);
    put_int(&mut out, max);
    let mut block = Vec::new();
    layout.put_presence(&mut block);
    block.push(width as u8);
    for value in layout.slots(min) {
        block.extend_from_slice(&value.abs_diff(min).to_le_bytes()[..width]);
    }
    put_packed(&mut out, &block, ZSTD_LEVEL);
    out
}

/// Floats, by their bits.
pub(super) fn encode_floats(rows: usize, cells: &[(u16, u64)]) -> Vec<u8> {
    let (mut out, block) = float_parts(rows, cells);
    put_packed(&mut out, &block, ZSTD_LEVEL);
    out
}

/// The same for a column that nobody stores: nothing is compressed.
pub(super) fn encode_loose_floats(rows: usize, cells: &[(u16, u64)]) -> Vec<u8> {
    let (mut out, block) = float_parts(rows, cells);
    put_loose(&mut out, &block);
    out
}

/// What stands before the block, and the block.
fn float_parts(rows: usize, cells: &[(u16, u64)]) -> (Vec<u8>, Vec<u8>) {
    let numbers = || cells.iter().map(|(_, bits)| f64::from_bits(*bits)).filter(|number| !number.is_nan());
    let narrow = cells.iter().all(|(_, bits)| exact_f32(f64::from_bits(*bits)).is_some());
    let width = if narrow { 4 } else { 8 };
    let layout = Layout::new(rows, cells, width);
    let mut out = layout.head(DATA_FLOATS);
    out.extend_from_slice(&numbers().fold(f64::NAN, f64::min).to_le_bytes());
    out.extend_from_slice(&numbers().fold(f64::NAN, f64::max).to_le_bytes());
    out.push(u8::from(numbers().count() < cells.len()));
    let mut block = Vec::new();
    layout.put_presence(&mut block);
    block.push(width as u8);
    for bits in layout.slots(0) {
        let value = f64::from_bits(bits);
        match exact_f32(value) {
            Some(single) if narrow => block.extend_from_slice(&single.to_le_bytes()),
            _ => block.extend_from_slice(&value.to_le_bytes()),
        }
    }
    (out, block)
}

/// Texts as codes into `dictionary`, which ascends strictly and has no entry that no cell uses.
pub(super) fn encode_texts(rows: usize, cells: &[(u16, u32)], dictionary: &[&str]) -> Vec<u8> {
    let text_bytes: usize = dictionary.iter().map(|entry| entry.len()).sum();
    let width = if dictionary.len() == 1 { 0 } else { width_of(dictionary.len() as u64 - 1) };
    let layout = Layout::new(rows, cells, width);
    let mut out = layout.head(DATA_TEXTS);
    let mut block = Vec::new();
    layout.put_presence(&mut block);
    put_uint(&mut block, dictionary.len() as u64);
    let end_width = if u16::try_from(text_bytes).is_ok() { 2 } else { 4 };
    block.push(end_width);
    let mut end = 0_u32;
    for entry in dictionary {
        end += entry.len() as u32;
        block.extend_from_slice(&end.to_le_bytes()[..usize::from(end_width)]);
    }
    for entry in dictionary {
        block.extend_from_slice(entry.as_bytes());
    }
    block.push(width as u8);
    for code in layout.slots(0) {
        block.extend_from_slice(&code.to_le_bytes()[..width]);
    }
    put_packed(&mut out, &block, ZSTD_LEVEL);
    out
}

/// Outside run ids.
pub(super) fn encode_uuids(rows: usize, cells: &[(u16, [u8; 16])]) -> Vec<u8> {
    let layout = Layout::new(rows, cells, 16);
    let mut out = layout.head(DATA_UUIDS);
    let mut block = Vec::new();
    layout.put_presence(&mut block);
    block.extend(layout.slots([0; 16]).into_iter().flatten());
    put_packed(&mut out, &block, ZSTD_LEVEL);
    out
}

/// The narrowest of 0, 1, 2, 4 and 8 bytes that hold `max`.
fn width_of(max: u64) -> usize {
    match max {
        0 => 0,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}
