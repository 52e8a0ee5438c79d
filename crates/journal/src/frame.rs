//! The bytes on the disk.
//!
//! A segment is a header and then records, nothing between them; behind the last of the open one there may be zeros, which are no
//! record:
//!
//! | header | bytes | record | bytes |
//! |---|---|---|---|
//! | `SBJRNL\n` | 7 | length of what was appended | 4 |
//! | format version | 1 | CRC-32C of what was appended, length, sequence number | 4 |
//! | sequence number of the first record | 8 | sequence number | 8 |
//! | CRC-32C of those 16 bytes | 4 | what was appended | |
//! | zero | 4 | | |
//!
//! Numbers are little-endian. The checksum covers the sequence number, so that bytes which an earlier write left where the
//! file was cut are never taken for records.

use crate::crc::Crc;

/// The version that is written.
pub(crate) const VERSION: u8 = 1;
/// Bytes of a header.
pub(crate) const HEADER_BYTES: usize = 24;
/// Bytes of a record before what was appended.
pub(crate) const FRAME_BYTES: usize = 16;
/// Bytes that may be appended as one record.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

const MAGIC: &[u8; 7] = b"SBJRNL\n";

/// What the first bytes of a segment are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// Those of a segment that begins with this sequence number.
    Known(u64),
    /// Those of a segment of another version.
    Version(u8),
    /// Something else.
    Unreadable,
}

/// The header of a segment.
pub(crate) fn header(base: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..7].copy_from_slice(MAGIC);
    bytes[7] = VERSION;
    bytes[8..16].copy_from_slice(&base.to_le_bytes());
    let crc = Crc::new().and(&bytes[..16]).end();
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a header.
pub(crate) fn read_header(bytes: &[u8]) -> Header {
    let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else { return Header::Unreadable };
    let crc = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
    if &bytes[..7] != MAGIC || crc != Crc::new().and(&bytes[..16]).end() {
        return Header::Unreadable;
    }
    match bytes[7] {
        VERSION => Header::Known(u64::from_le_bytes([
            bytes[8], bytes[9], bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15],
        ])),
        version => Header::Version(version),
    }
}

/// What stands before a record's own bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) length: u32,
    pub(crate) crc: u32,
    pub(crate) sequence: u64,
}

impl Frame {
    /// Of a record whose own bytes have this checksum so far.
    pub(crate) fn new(length: u32, own: Crc, sequence: u64) -> Self {
        let crc = own.and(&length.to_le_bytes()).and(&sequence.to_le_bytes()).end();
        Self { length, crc, sequence }
    }

    pub(crate) fn to_bytes(self) -> [u8; FRAME_BYTES] {
        let mut bytes = [0; FRAME_BYTES];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.crc.to_le_bytes());
        bytes[8..].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }

    pub(crate) fn of_bytes(b: [u8; FRAME_BYTES]) -> Self {
        Self {
            length: u32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            crc: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
            sequence: u64::from_le_bytes([b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]),
        }
    }

    /// Whether these are the bytes that stand behind it.
    pub(crate) fn is_of(self, own: &[u8]) -> bool {
        self.length as usize == own.len()
            && self == Self::new(self.length, Crc::new().and(own), self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    /// The bytes that version 1 writes, for ever.
    #[test]
    fn the_format_is_what_it_was() {
        let head = hex(&header(258));
        assert_eq!(head, "53424a524e4c0a01020100000000000096f3217800000000");
        let frame = Frame::new(3, Crc::new().and(b"abc"), 259);
        let bytes = hex(&frame.to_bytes());
        assert_eq!(bytes, "030000000310bb900301000000000000");
        assert_eq!(Frame::of_bytes(frame.to_bytes()), frame);
        assert!(frame.is_of(b"abc") && !frame.is_of(b"abd") && !frame.is_of(b"ab"));
    }

    #[test]
    fn a_header_is_known_or_of_another_version_or_nothing() {
        assert_eq!(read_header(&header(7)), Header::Known(7));
        assert_eq!(read_header(&header(7)[..23]), Header::Unreadable);
        let mut newer = header(7);
        newer[7] = 2;
        assert_eq!(read_header(&newer), Header::Unreadable, "its checksum is wrong");
        let crc = Crc::new().and(&newer[..16]).end();
        newer[16..20].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(read_header(&newer), Header::Version(2));
    }
}
