//! Checks the footer of a Parquet file before it is decoded: how deep it goes, and how long its lists say they are.
//!
//! The footer is a value of Thrift's compact protocol, which decoders read by recursion, taking memory for a list before
//! they have seen its elements; a file can so end the process that reads it. It is walked first, with bounds on both.
//! Layout: the Thrift compact protocol's specification, and `FileMetaData` of Parquet's `parquet.thrift`.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use super::{
    format::{self, Shape, element, file, group},
    thrift::{self, Walk, kind},
};
use crate::error::{Error, Result};

/// Bytes of a footer.
const FOOTER_BYTES_MAX: u64 = 64 << 20;
/// Columns within columns.
const NESTED_MAX: usize = 32;
/// The length of the footer and the mark behind it.
const TAIL_BYTES: u64 = 8;
/// Columns of a file, with those that hold others.
const COLUMNS_MAX: u64 = 1 << 16;
/// Row groups of a file: a decoder counts them in 16 bits.
const GROUPS_MAX: u64 = i16::MAX as u64;
/// Columns of all row groups together. A decoder takes some hundred bytes for each.
const CHUNKS_MAX: u64 = 1 << 20;
/// Keys of what a file says besides.
const KEYS_MAX: u64 = 1 << 16;
/// Bytes of the columns' names, each with those of the columns that it is in.
const NAMES_BYTES_MAX: u64 = 64 << 20;

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

fn walk(bytes: &[u8]) -> thrift::Result<()> {
    let (mut columns, mut groups) = (Columns::default(), Groups::default());
    Walk::new(bytes).fields(format::FILE, 0, &mut |walk, field| match field.id {
        file::SCHEMA => {
            walk.list(Shape::Struct(format::ELEMENT), &mut |walk, count| columns.add(walk, count))
        }
        file::GROUPS => walk.list(Shape::Struct(format::GROUP), &mut |walk, count| groups.add(walk, count)),
        file::METADATA => walk.list(format::KEY_VALUE, &mut |walk, count| {
            if count > KEYS_MAX {
                return Err("it has more metadata than 65536 keys");
            }
            walk.known(format::KEY_VALUE, kind::STRUCT, 2)
        }),
        _ => walk.pass(field, 1),
    })
}

/// Columns, which stand in the order of a walk from the root.
#[derive(Default)]
struct Columns {
    /// Of each column that the next one is in: how many are still to come, and how long its name is with all before it.
    within: Vec<(u32, u64)>,
    names: u64,
}

impl Columns {
    /// Counts one more, of so many.
    fn add(&mut self, walk: &mut Walk<'_>, count: u64) -> thrift::Result<()> {
        if count > COLUMNS_MAX {
            return Err("it has more columns than 65536");
        }
        let (mut children, mut name) = (0, 0);
        walk.fields(format::ELEMENT, 2, &mut |walk, field| {
            match field.id {
                element::NAME => name = walk.text()?,
                element::CHILDREN => children = walk.size()?,
                _ => walk.pass(field, 3)?,
            }
            Ok(())
        })?;
        if u64::from(children) > count {
            return Err("it says of a column that more are in it than there are");
        }
        if let Some((left, before)) = self.within.last_mut() {
            *left = left.saturating_sub(1);
            name += *before;
        }
        self.names += name;
        if self.names > NAMES_BYTES_MAX {
            return Err("the names of its columns are too long");
        }
        if children > 0 {
            self.within.push((children, name));
            if self.within.len() > NESTED_MAX {
                return Err("its columns are nested too deeply");
            }
        }
        while self.within.last().is_some_and(|(left, _)| *left == 0) {
            self.within.pop();
        }
        Ok(())
    }
}

#[derive(Default)]
struct Groups {
    chunks: u64,
}

impl Groups {
    /// Counts one more, of so many.
    fn add(&mut self, walk: &mut Walk<'_>, count: u64) -> thrift::Result<()> {
        if count > GROUPS_MAX {
            return Err("it has more row groups than 32767; write larger ones");
        }
        walk.fields(format::GROUP, 2, &mut |walk, field| match field.id {
            group::COLUMNS => walk.list(Shape::Struct(format::CHUNK), &mut |walk, _| {
                self.chunks += 1;
                if self.chunks > CHUNKS_MAX {
                    return Err(
                        "its row groups have more than a million columns together; write larger ones",
                    );
                }
                walk.known(Shape::Struct(format::CHUNK), kind::STRUCT, 4)
            }),
            _ => walk.pass(field, 3),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_and_length_are_bounded() {
        // A struct within a struct within …: field 8, which is not known, of kind struct, and in it field 1, over and over.
        let deep = [vec![0x8c], vec![0x1c; 1_000_000]].concat();
        assert_eq!(walk(&deep), Err("what it says of itself is nested too deeply"));
        // Field 8: a list of lists of lists …
        let lists = [vec![0x89], vec![0x19; 1_000_000]].concat();
        assert_eq!(walk(&lists), Err("what it says of itself is nested too deeply"));
        // Field 4: a list that says it has 2^31 structs.
        let long = [0x49, 0xfc, 0x80, 0x80, 0x80, 0x80, 0x08];
        assert_eq!(walk(&long), Err("a list says that it is longer than what holds it"));
        assert_eq!(walk(&[]), Err("it breaks off"));
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
        let more = [&[0x29, 0xfc, 100][..], &[0x55, 0xca, 0x01, 0x00], &[0x00].repeat(99), &[0x00]].concat();
        assert_eq!(walk(&more), Err("it says of a column that more are in it than there are"));
    }

    /// Columns stand with the names of all that they are in: a long one is in memory once for each.
    #[test]
    fn names_of_columns_are_bounded() {
        let name = |bytes: usize| {
            [&[0x48, 0x80 | (bytes & 0x7f) as u8, (bytes >> 7) as u8][..], &vec![b'a'; bytes]].concat()
        };
        let file = |root: usize| {
            let root = [&name(root)[..], &[0x15, 0xd0, 0x8c, 0x01, 0x00]].concat();
            // A list of 9,001 structs.
            [&[0x29, 0xfc, 0xa9, 0x46][..], &root, &[0x00].repeat(9_000), &[0x00]].concat()
        };
        assert_eq!(walk(&file(1_000)), Ok(()));
        assert_eq!(walk(&file(8_000)), Err("the names of its columns are too long"));
    }

    /// What a decoder would read as another field, or in another way, than it was checked as.
    #[test]
    fn what_two_readers_would_read_differently_is_refused() {
        let groups = |group: &[u8]| [&[0x49, 0x1c][..], group, &[0x00, 0x00]].concat();
        assert_eq!(walk(&groups(&[0x26, 0x02, 0x16, 0x02])), Ok(()), "2: 1 byte, 3: 1 row");
        // The columns of a row group: as text, which holds who knows what to a decoder that takes it for a list.
        assert_eq!(walk(&groups(&[0x18, 0x02, 0x1c, 0x00])), Err("a field is written as another kind"));
        assert_eq!(walk(&groups(&[0x26, 0x02, 0x06, 0x04, 0x04])), Err("a field comes twice"));
        // A list of structs whose elements are whole numbers.
        assert_eq!(walk(&groups(&[0x19, 0x15, 0x02])), Err("a list has elements of another kind"));
        // Within a column of a row group: its part 3 as a number.
        assert_eq!(walk(&groups(&[0x19, 0x1c, 0x36, 0x02, 0x00])), Err("a field is written as another kind"));
        // The schema twice, and a list of truths where nothing is known.
        assert_eq!(walk(&[0x29, 0x0c, 0x09, 0x04, 0x0c, 0x00]), Err("a field comes twice"));
        assert_eq!(walk(&[0x89, 0x12, 0x01, 0x00]), Err("a list of truths stands where none does"));
    }

    #[test]
    fn what_a_file_says_besides_is_bounded() {
        let keys = |count: usize| {
            let varint = [0x80 | count as u8, 0x80 | (count >> 7) as u8, (count >> 14) as u8];
            [&[0x59, 0xfc][..], &varint, &[0x18, 0x00, 0x00].repeat(count), &[0x00]].concat()
        };
        assert_eq!(walk(&keys(65_536)), Ok(()));
        assert_eq!(walk(&keys(65_537)), Err("it has more metadata than 65536 keys"));
        // Field 8, which is not known: a list of 2^24 + 1 bytes.
        let long = [&[0x89, 0xf3, 0x81, 0x80, 0x80, 0x08][..], &vec![0; (1 << 24) + 1], &[0x00]].concat();
        assert_eq!(walk(&long), Err("its lists are too long together; write larger row groups"));
    }

    #[test]
    fn row_groups_and_their_columns_are_counted() {
        let many = |group: &[u8], count: usize| {
            let varint = |count: usize| [0x80 | count as u8, 0x80 | (count >> 7) as u8, (count >> 14) as u8];
            [&[0x49, 0xfc][..], &varint(count), &group.repeat(count), &[0x00]].concat()
        };
        assert_eq!(walk(&many(&[0x00], 32_767)), Ok(()));
        assert_eq!(walk(&many(&[0x00], 32_768)), Err("it has more row groups than 32767; write larger ones"));
        let group = [&[0x19, 0xfc, 100][..], &[0x00; 100], &[0x00]].concat();
        assert_eq!(walk(&many(&group, 10_000)), Ok(()));
        let why = "its row groups have more than a million columns together; write larger ones";
        assert_eq!(walk(&many(&group, 20_000)), Err(why));
    }
}
