//! Reading and writing of the compact byte formats of this room.
//!
//! What must stay true: whatever bytes come in, a [`Reader`] answers with a value or with [`Damaged`]. It never
//! panics, never reads past the end, and never lets a stored count reserve more memory than the bytes behind it
//! can justify.

/// Stored bytes do not follow their format: a damaged database, or one written by a newer program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored {format} is damaged near byte {at}: {why}")]
pub struct Damaged {
    /// Which format was being read.
    pub format: &'static str,
    /// Where reading stopped, in bytes from the start.
    pub at: usize,
    /// What was wrong there.
    pub why: &'static str,
}

/// Largest size in bytes that compressed data may unfold to: a tag of 8,000 bytes for each run of an index segment
/// fits twice.
const UNPACKED_BYTES_MAX: usize = 64 << 20;

/// Blocks below this many bytes are not worth a compressor's frame.
const PACK_BYTES_MIN: usize = 256;

/// A cursor over stored bytes; integers are little-endian, varints are LEB128, signed ones zigzag.
#[derive(Debug, Clone)]
pub(in crate::tracking) struct Reader<'a> {
    format: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first of `bytes`; `format` names them in errors.
    pub(in crate::tracking) fn new(format: &'static str, bytes: &'a [u8]) -> Self {
        Self { format, bytes, at: 0 }
    }

    /// The error for this place.
    pub(in crate::tracking) fn damaged(&self, why: &'static str) -> Damaged {
        Damaged { format: self.format, at: self.at, why }
    }

    /// How many bytes were read.
    pub(in crate::tracking) fn at(&self) -> usize {
        self.at
    }

    /// Reads the version byte; only `version` is known.
    pub(in crate::tracking) fn version(&mut self, version: u8) -> Result<(), Damaged> {
        self.version_among(&[version]).map(drop)
    }

    /// Reads the version byte, which is one of these.
    pub(in crate::tracking) fn version_among(&mut self, known: &[u8]) -> Result<u8, Damaged> {
        let version = self.byte()?;
        if known.contains(&version) { Ok(version) } else { Err(self.damaged("unknown version")) }
    }

    /// One byte.
    pub(in crate::tracking) fn byte(&mut self) -> Result<u8, Damaged> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.damaged("ends early"))?;
        self.at += 1;
        Ok(byte)
    }

    /// The next `len` bytes.
    pub(in crate::tracking) fn take(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let end = self.at.checked_add(len).ok_or_else(|| self.damaged("length overflows"))?;
        let taken = self.bytes.get(self.at..end).ok_or_else(|| self.damaged("ends early"))?;
        self.at = end;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    pub(in crate::tracking) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| self.damaged("ends early"))
    }

    /// An unsigned varint.
    pub(in crate::tracking) fn uint(&mut self) -> Result<u64, Damaged> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.damaged("integer is too long"))
    }

    /// A signed zigzag varint.
    pub(in crate::tracking) fn int(&mut self) -> Result<i64, Damaged> {
        self.uint().map(unzigzag)
    }

    /// A count of entries of at least `entry_bytes_min` bytes each, refused where the rest cannot hold them.
    pub(in crate::tracking) fn count(&mut self, entry_bytes_min: usize) -> Result<usize, Damaged> {
        let count = self.uint()?;
        let limit = (self.bytes.len() - self.at) / entry_bytes_min.max(1);
        match usize::try_from(count) {
            Ok(count) if count <= limit => Ok(count),
            _ => Err(self.damaged("count exceeds what follows")),
        }
    }

    /// A text with its length in front.
    pub(in crate::tracking) fn text(&mut self) -> Result<&'a str, Damaged> {
        let len = self.count(1)?;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map_err(|_| self.damaged("text is not UTF-8"))
    }

    /// A block written by [`put_packed`] or [`put_loose`].
    pub(in crate::tracking) fn packed(&mut self) -> Result<std::borrow::Cow<'a, [u8]>, Damaged> {
        let flag = self.byte()?;
        if flag == 0 {
            let len = self.count(1)?;
            return Ok(std::borrow::Cow::Borrowed(self.take(len)?));
        }
        let raw_len = self.uint()?;
        let len = self.count(1)?;
        let bytes = self.take(len)?;
        let raw_len = usize::try_from(raw_len).unwrap_or(usize::MAX);
        if flag != 1 || raw_len > UNPACKED_BYTES_MAX {
            return Err(self.damaged("unknown compression"));
        }
        match crate::packing::decompress(bytes, raw_len) {
            Ok(raw) if raw.len() == raw_len => Ok(std::borrow::Cow::Owned(raw)),
            _ => Err(self.damaged("compressed block does not unfold")),
        }
    }

    /// Everything must have been read.
    pub(in crate::tracking) fn end(&self) -> Result<(), Damaged> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.damaged("bytes left over")) }
    }
}

/// Maps signed to unsigned so that small magnitudes stay small.
pub(in crate::tracking) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Inverse of [`zigzag`].
pub(in crate::tracking) fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Appends an unsigned varint.
pub(in crate::tracking) fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed zigzag varint.
pub(in crate::tracking) fn put_int(out: &mut Vec<u8>, value: i64) {
    put_uint(out, zigzag(value));
}

/// Appends a text with its length in front.
pub(in crate::tracking) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a block, compressed when that saves a quarter or more: less would cost readers more than it gives.
pub(in crate::tracking) fn put_packed(out: &mut Vec<u8>, raw: &[u8], level: i32) {
    if (PACK_BYTES_MIN..=UNPACKED_BYTES_MAX).contains(&raw.len())
        && let Ok(small) = crate::packing::compress(raw, level)
        && small.len() + small.len() / 3 < raw.len()
    {
        out.push(1);
        put_uint(out, raw.len() as u64);
        put_uint(out, small.len() as u64);
        out.extend_from_slice(&small);
    } else {
        put_loose(out, raw);
    }
}

/// Appends a block as it is.
pub(in crate::tracking) fn put_loose(out: &mut Vec<u8>, raw: &[u8]) {
    out.push(0);
    put_uint(out, raw.len() as u64);
    out.extend_from_slice(raw);
}

/// The single-precision value that stands for `value` without loss (NaN counts as one), if there is one.
pub(in crate::tracking) fn exact_f32(value: f64) -> Option<f32> {
    let narrow = value as f32;
    (value.is_nan() || f64::from(narrow).to_bits() == value.to_bits()).then_some(narrow)
}
