//! Walks over values of Thrift's compact protocol, in which a Parquet file says what it holds.
//!
//! Decoders go by the numbers of fields alone, take the last one of those that come twice, and pass over what they do not know. So
//! bytes can mean one thing to them and another to who checks them. What must stay true: what this walk lets by is read by every
//! decoder as it was read here. A known field is written as it always is, and comes once; a list is not longer than what holds it.
//! Source: the Thrift compact protocol's specification.

use super::format::{Fields, Shape};

/// Values within values. Those of Parquet go less deep.
const DEPTH_MAX: usize = 24;

/// Elements of all lists together, whose counts take more than a byte: decoders keep each in memory, larger than it is written.
const LISTED_MAX: u64 = 1 << 24;

/// Kinds of values.
pub(super) mod kind {
    pub(super) const STOP: u8 = 0;
    pub(in crate::decode) const TRUE: u8 = 1;
    pub(in crate::decode) const FALSE: u8 = 2;
    pub(in crate::decode) const BYTE: u8 = 3;
    pub(in crate::decode) const I16: u8 = 4;
    pub(in crate::decode) const I32: u8 = 5;
    pub(in crate::decode) const I64: u8 = 6;
    pub(in crate::decode) const DOUBLE: u8 = 7;
    pub(in crate::decode) const BINARY: u8 = 8;
    pub(in crate::decode) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const MAP: u8 = 11;
    pub(in crate::decode) const STRUCT: u8 = 12;
    pub(super) const UUID: u8 = 13;
}

pub(super) type Result<T> = std::result::Result<T, &'static str>;

/// A field that stands before the walk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) id: i64,
    pub(super) kind: u8,
    /// None of one that the format does not have.
    pub(super) shape: Option<Shape>,
}

/// What is done with each field: it has to be walked over.
pub(super) type Visit<'v, 'b> = &'v mut dyn FnMut(&mut Walk<'b>, Field) -> Result<()>;

/// What is not walked over yet.
pub(super) struct Walk<'b> {
    rest: &'b [u8],
    /// Elements of lists that were walked over.
    listed: u64,
}

impl<'b> Walk<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes, listed: 0 }
    }

    /// How many bytes lie behind what was walked over.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The fields of a struct.
    pub(super) fn fields(&mut self, known: Fields, depth: usize, visit: Visit<'_, 'b>) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err("what it says of itself is nested too deeply");
        }
        let (mut id, mut came) = (0_i64, 0_u32);
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
            let shape = known.iter().find(|(known, _)| *known == id).map(|(_, shape)| *shape);
            if let Some(shape) = shape {
                if !shape.is_written_as(kind) {
                    return Err("a field is written as another kind");
                }
                let bit = 1_u32.checked_shl(id as u32).unwrap_or(0);
                if came & bit != 0 {
                    return Err("a field comes twice");
                }
                came |= bit;
            }
            visit(self, Field { id, kind, shape })?;
        }
    }

    /// Walks over a field.
    pub(super) fn pass(&mut self, field: Field, depth: usize) -> Result<()> {
        match field.shape {
            Some(shape) => self.known(shape, field.kind, depth),
            None => self.unknown(field.kind, depth),
        }
    }

    /// Calls `visit` for each element of a list, which it has to walk over. `known` is what an element is.
    pub(super) fn list(
        &mut self,
        known: Shape,
        visit: &mut dyn FnMut(&mut Self, u64) -> Result<()>,
    ) -> Result<()> {
        let (kind, count) = self.listed()?;
        if count > 0 && !known.is_written_as(kind) {
            return Err("a list has elements of another kind");
        }
        (0..count).try_for_each(|_| visit(self, count))
    }

    /// Walks over a value of the format.
    pub(super) fn known(&mut self, shape: Shape, kind: u8, depth: usize) -> Result<()> {
        match shape {
            Shape::Struct(fields) => {
                self.fields(fields, depth, &mut |walk, field| walk.pass(field, depth + 1))
            }
            Shape::List(element) => {
                let kind = element.kind();
                self.list(*element, &mut |walk, _| walk.known(*element, kind, depth + 1))
            }
            _ => self.unknown(kind, depth),
        }
    }

    fn unknown(&mut self, kind: u8, depth: usize) -> Result<()> {
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
                let (element, count) = self.listed()?;
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
            kind::STRUCT => self.fields(&[], depth, &mut |walk, field| walk.unknown(field.kind, depth + 1)),
            _ => Err("it has a value of an unknown kind"),
        }
    }

    /// A value in a list. What lies deeper than anything in a Parquet file is refused here too, since a list of lists has no struct
    /// in between.
    fn element(&mut self, kind: u8, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err("what it says of itself is nested too deeply");
        }
        match kind {
            // A truth value takes a byte here. No list of a Parquet file has them, and decoders pass over them otherwise.
            kind::TRUE | kind::FALSE => Err("a list of truths stands where none does"),
            kind => self.unknown(kind, depth),
        }
    }

    /// The kind of a list's elements, and how many there are.
    fn listed(&mut self) -> Result<(u8, u64)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.counted()?,
            count => u64::from(count),
        };
        Ok((head & 0x0f, count))
    }

    /// A number of values, each of which takes a byte at least.
    fn counted(&mut self) -> Result<u64> {
        let count = self.varint()?;
        if count > self.rest.len() as u64 {
            return Err("a list says that it is longer than what holds it");
        }
        self.listed += count;
        if self.listed > LISTED_MAX {
            return Err("its lists are too long together; write larger row groups");
        }
        Ok(count)
    }

    /// A whole number, in the zigzag form.
    pub(super) fn whole(&mut self) -> Result<i64> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A whole number of 32 bits that is not negative. Decoders drop what is above.
    pub(super) fn size(&mut self) -> Result<u32> {
        let number = i32::try_from(self.whole()?).map_err(|_| "a number is too large")?;
        u32::try_from(number).map_err(|_| "a size is negative")
    }

    /// How long a text is.
    pub(super) fn text(&mut self) -> Result<u64> {
        let length = self.varint()?;
        self.take(length)?;
        Ok(length)
    }

    fn varint(&mut self) -> Result<u64> {
        varint(&mut self.rest).ok_or("a number breaks off or is too long")
    }

    fn byte(&mut self) -> Result<u8> {
        let (byte, rest) = self.rest.split_first().ok_or("it breaks off")?;
        self.rest = rest;
        Ok(*byte)
    }

    fn take(&mut self, bytes: u64) -> Result<()> {
        let bytes = usize::try_from(bytes).map_err(|_| "it breaks off")?;
        self.rest = self.rest.get(bytes..).ok_or("it breaks off")?;
        Ok(())
    }
}

/// A whole number of at most 64 bits, seven of them a byte, the lowest first. None where it breaks off or is longer.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
