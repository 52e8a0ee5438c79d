//! Checks the footer of a Parquet file before it is decoded: how deep it goes, and how long its lists say they are.
//!
//! The footer is a value of Thrift's compact protocol, which decoders read by recursion, taking memory for a list before
//! they have seen its elements; a file can so end the process that reads it. It is walked first, with bounds on both.
//! Layout: the Thrift compact protocol's specification, and `FileMetaData` of Parquet's `parquet.thrift`.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use crate::error::{Error, Result};

/// Bytes of a footer.
const FOOTER_BYTES_MAX: u64 = 64 << 20;
/// Values within values of the footer. Those of the format itself go less deep.
const DEPTH_MAX: usize = 24;
/// Columns within columns.
const NESTED_MAX: usize = 32;
/// The length of the footer and the mark behind it.
const TAIL_BYTES: u64 = 8;
/// The field of `FileMetaData` that lists the columns, and that of a column which says how many lie below it.
const SCHEMA_FIELD: i64 = 2;
const CHILDREN_FIELD: i64 = 5;

/// Kinds of values in the compact protocol.
pub(super) mod kind {
    pub(super) const STOP: u8 = 0;
    pub(in crate::decode) const TRUE: u8 = 1;
    pub(in crate::decode) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(in crate::decode) const I32: u8 = 5;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const MAP: u8 = 11;
    pub(in crate::decode) const STRUCT: u8 = 12;
    pub(super) const UUID: u8 = 13;
}

/// Refuses a footer that goes too deep or announces more than it holds. The file is at its beginning afterwards.
pub(super) fn check(file: &mut File) -> Result<()> {
    let length = file.metadata().map_err(Error::internal)?.len();
    let mut tail = [0; TAIL_BYTES as usize];
    let footer = if length < TAIL_BYTES {
        0
    } else {
        file.seek(SeekFrom::Start(length - TAIL_BYTES)).map_err(Error::internal)?;
        file.read_exact(&mut tail).map_err(Error::internal)?;
        let [a, b, c, d, ..] = tail;
        u64::from(u32::from_le_bytes([a, b, c, d]))
    };
    // What is no Parquet file at all is told by the decoder, in better words.
    if tail.ends_with(b"PAR1") && footer <= length - TAIL_BYTES {
        if footer > FOOTER_BYTES_MAX {
            return Err(refused(&format!(
                "its footer has {footer} bytes, and it may have {FOOTER_BYTES_MAX}; write larger row groups"
            )));
        }
        file.seek(SeekFrom::Start(length - TAIL_BYTES - footer)).map_err(Error::internal)?;
        let mut bytes = vec![0; footer as usize];
        file.read_exact(&mut bytes).map_err(Error::internal)?;
        walk(&bytes).map_err(refused)?;
    }
    file.seek(SeekFrom::Start(0)).map_err(Error::internal)?;
    Ok(())
}

pub(super) fn refused(why: &str) -> Error {
    Error::invalid(format!("The file is no Parquet file that can be read: {why}."))
}

fn walk(bytes: &[u8]) -> Result<(), &'static str> {
    let mut walk = Walk::new(bytes);
    let mut below = Vec::new();
    walk.fields(0, &mut |walk, id, kind| {
        if id != SCHEMA_FIELD || kind != kind::LIST {
            return walk.pass(kind, 1);
        }
        let (element, count) = walk.list()?;
        for _ in 0..count {
            if element != kind::STRUCT {
                walk.pass(element, 2)?;
                continue;
            }
            let mut children = 0;
            walk.fields(2, &mut |walk, id, kind| {
                if id == CHILDREN_FIELD {
                    if !matches!(kind, kind::I16 | kind::I32 | kind::I64) {
                        return Err("it says of a column how many are in it as no number");
                    }
                    children = walk.whole()?;
                    if i64::try_from(count).is_ok_and(|count| children > count) || children < 0 {
                        return Err("it says of a column that more are in it than there are");
                    }
                    return Ok(());
                }
                walk.pass(kind, 3)
            })?;
            nest(&mut below, children)?;
        }
        Ok(())
    })
}

/// Counts one more column, of those that stand in the order of a walk from the root.
fn nest(below: &mut Vec<i64>, children: i64) -> Result<(), &'static str> {
    if let Some(left) = below.last_mut() {
        *left -= 1;
    }
    if children > 0 {
        below.push(children);
        if below.len() > NESTED_MAX {
            return Err("its columns are nested too deeply");
        }
    }
    while below.last().is_some_and(|left| *left <= 0) {
        below.pop();
    }
    Ok(())
}

type Visit<'v, 'b> = &'v mut dyn FnMut(&mut Walk<'b>, i64, u8) -> Result<(), &'static str>;

/// Walks over values of the compact protocol.
pub(super) struct Walk<'b> {
    rest: &'b [u8],
}

impl<'b> Walk<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes lie behind what was walked over.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The fields of a struct; `visit` walks over each value.
    pub(super) fn fields(&mut self, depth: usize, visit: Visit<'_, 'b>) -> Result<(), &'static str> {
        if depth > DEPTH_MAX {
            return Err("its footer is nested too deeply");
        }
        let mut id = 0_i64;
        loop {
            let head = self.byte()?;
            let kind = head & 0x0f;
            if kind == kind::STOP {
                return Ok(());
            }
            id = match head >> 4 {
                0 => self.whole()?,
                step => id.wrapping_add(i64::from(step)),
            };
            // A decoder has 16 bits for it.
            if !(0..=i64::from(i16::MAX)).contains(&id) {
                return Err("a field has a number that none has");
            }
            visit(self, id, kind)?;
        }
    }

    /// Walks over a value of a field or of a list.
    pub(super) fn pass(&mut self, kind: u8, depth: usize) -> Result<(), &'static str> {
        match kind {
            kind::TRUE | kind::FALSE => Ok(()),
            kind::BYTE => self.take(1),
            kind::I16 | kind::I32 | kind::I64 => self.varint().map(|_| ()),
            kind::DOUBLE => self.take(8),
            kind::UUID => self.take(16),
            kind::BINARY => {
                let length = self.varint()?;
                self.take(length)
            }
            kind::LIST | kind::SET => {
                let (element, count) = self.list()?;
                (0..count).try_for_each(|_| self.element(element, depth + 1))
            }
            kind::MAP => {
                let count = self.counted()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                (0..count).try_for_each(|_| {
                    self.element(kinds >> 4, depth + 1)?;
                    self.element(kinds & 0x0f, depth + 1)
                })
            }
            kind::STRUCT => self.fields(depth, &mut |walk, _, kind| walk.pass(kind, depth + 1)),
            _ => Err("its footer has a value of an unknown kind"),
        }
    }

    /// A value in a list, where a truth value takes a byte. What lies deeper than anything in a footer is refused here too,
    /// since a list of lists has no struct in between.
    fn element(&mut self, kind: u8, depth: usize) -> Result<(), &'static str> {
        if depth > DEPTH_MAX {
            return Err("its footer is nested too deeply");
        }
        match kind {
            // No list of a footer or of a page's header has them, and decoders pass over them otherwise.
            kind::TRUE | kind::FALSE => Err("a list of truths stands where none does"),
            kind => self.pass(kind, depth),
        }
    }

    /// The kind of a list's elements, and how many there are.
    fn list(&mut self) -> Result<(u8, u64), &'static str> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.counted()?,
            count => u64::from(count),
        };
        Ok((head & 0x0f, count))
    }

    /// A number of values, each of which takes a byte at least.
    fn counted(&mut self) -> Result<u64, &'static str> {
        let count = self.varint()?;
        if count > self.rest.len() as u64 {
            return Err("a list of its footer says that it is longer than the footer");
        }
        Ok(count)
    }

    /// A whole number, in the zigzag form.
    pub(super) fn whole(&mut self) -> Result<i64, &'static str> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number of its footer is too long")
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        let (byte, rest) = self.rest.split_first().ok_or("its footer breaks off")?;
        self.rest = rest;
        Ok(*byte)
    }

    fn take(&mut self, bytes: u64) -> Result<(), &'static str> {
        let bytes = usize::try_from(bytes).map_err(|_| "its footer breaks off")?;
        self.rest = self.rest.get(bytes..).ok_or("its footer breaks off")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_and_length_are_bounded() {
        // A struct within a struct within …: field 1 of kind struct, over and over.
        let deep = vec![0x1c; 1_000_000];
        assert_eq!(walk(&deep), Err("its footer is nested too deeply"));
        // Field 1: a list of lists of lists …
        let lists = [vec![0x19], vec![0x19; 1_000_000]].concat();
        assert_eq!(walk(&lists), Err("its footer is nested too deeply"));
        // Field 1: a list that says it has 2^31 structs.
        let long = [0x19, 0xfc, 0x80, 0x80, 0x80, 0x80, 0x08];
        assert_eq!(walk(&long), Err("a list of its footer says that it is longer than the footer"));
        assert_eq!(walk(&[]), Err("its footer breaks off"));
        assert_eq!(walk(&[0x15, 0x02, 0x00]), Ok(()));
    }

    #[test]
    fn columns_within_columns_are_bounded() {
        // Field 2: a list of 100 structs, each of which says by field 5 that it has one child.
        let columns = [&[0x29, 0xfc, 100][..], &[0x55, 0x02, 0x00].repeat(100), &[0x00]].concat();
        assert_eq!(walk(&columns), Err("its columns are nested too deeply"));
        // A root with 99 columns below it.
        let flat = [&[0x29, 0xfc, 100][..], &[0x55, 0xc6, 0x01, 0x00], &[0x00].repeat(99), &[0x00]].concat();
        assert_eq!(walk(&flat), Ok(()));
    }
}
