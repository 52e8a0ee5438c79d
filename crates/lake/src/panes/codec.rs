//! Stored panes.
//!
//! A pane: version byte, body. Panes of one entity: version byte, how many, then for each its index (the first as it is, the
//! others as the distance from the one before, less one) and its body. A body: rows, columns, then for each column its count
//! and, unless that is 0, sum, mean, squared deviations, min, max, last as 64-bit floats, lowest byte first. Whole numbers are
//! LEB128, the first index zigzag before that. One content has one form: anything else is refused, and so are lengths that
//! the bytes cannot hold. The form of a version never changes; golden bytes stand in the tests.

use super::error::PaneError;
use super::moments::Moments;
use super::pane::Pane;

/// Version that is written.
pub(super) const VERSION: u8 = 1;

/// Largest bytes that are read.
pub const PANES_BYTES_MAX: usize = 16 << 20;

/// The bytes of one pane.
pub fn encode_pane(pane: &Pane) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    write_body(&mut bytes, pane);
    bytes
}

/// The pane of these bytes. `columns` is how many the plan aggregates.
pub fn decode_pane(bytes: &[u8], columns: usize) -> Result<Pane, PaneError> {
    let mut reader = Reader::new(bytes)?;
    let pane = reader.body(columns)?;
    reader.end()?;
    Ok(pane)
}

/// The bytes of the panes of one entity; they ascend by index.
pub fn encode_panes(panes: &[(i64, &Pane)]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    write_number(&mut bytes, panes.len() as u64);
    let mut before = None;
    for (index, pane) in panes {
        let number = match before {
            None => ((index << 1) ^ (index >> 63)).cast_unsigned(),
            Some(before) => index.wrapping_sub(before).wrapping_sub(1).cast_unsigned(),
        };
        write_number(&mut bytes, number);
        write_body(&mut bytes, pane);
        before = Some(*index);
    }
    bytes
}

/// The panes of these bytes, by index.
pub fn decode_panes(bytes: &[u8], columns: usize) -> Result<Vec<(i64, Pane)>, PaneError> {
    let mut reader = Reader::new(bytes)?;
    let count = reader.number()?;
    let mut panes: Vec<(i64, Pane)> = vec![];
    // No room is made in advance: what the bytes do not hold ends them.
    for _ in 0..count {
        let number = reader.number()?;
        let index = match panes.last() {
            None => (number >> 1).cast_signed() ^ -((number & 1).cast_signed()),
            Some((before, _)) => i64::try_from(number)
                .ok()
                .and_then(|gap| before.checked_add(gap))
                .and_then(|index| index.checked_add(1))
                .ok_or(PaneError::Stored("an index is too large"))?,
        };
        panes.push((index, reader.body(columns)?));
    }
    reader.end()?;
    Ok(panes)
}

fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn write_body(bytes: &mut Vec<u8>, pane: &Pane) {
    write_number(bytes, pane.rows);
    write_number(bytes, pane.columns.len() as u64);
    for moments in &pane.columns {
        let (count, fields) = moments.fields();
        write_number(bytes, count);
        if count > 0 {
            bytes.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
        }
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
}

impl<'b> Reader<'b> {
    fn new(bytes: &'b [u8]) -> Result<Self, PaneError> {
        if bytes.len() > PANES_BYTES_MAX {
            return Err(PaneError::Stored("they are longer than any that are written"));
        }
        match bytes.split_first() {
            Some((&VERSION, bytes)) => Ok(Self { bytes }),
            Some((version, _)) => Err(PaneError::Version(*version)),
            None => Err(PaneError::Stored("they are empty")),
        }
    }

    fn number(&mut self) -> Result<u64, PaneError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.bytes.split_first().ok_or(PaneError::Stored("they end too early"))?;
            self.bytes = rest;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (*byte == 0 && shift > 0) {
                return Err(PaneError::Stored("a number has another form than is written"));
            }
            number |= bits << shift;
            if *byte < 0x80 {
                return Ok(number);
            }
        }
        Err(PaneError::Stored("a number is too large"))
    }

    fn float(&mut self) -> Result<f64, PaneError> {
        let (bytes, rest) =
            self.bytes.split_first_chunk::<8>().ok_or(PaneError::Stored("they end too early"))?;
        self.bytes = rest;
        let value = f64::from_le_bytes(*bytes);
        if value.is_nan() && value.to_bits() != f64::NAN.to_bits() {
            return Err(PaneError::Stored("a NaN has another form than is written"));
        }
        Ok(value)
    }

    fn body(&mut self, columns: usize) -> Result<Pane, PaneError> {
        let rows = self.number()?;
        if self.number()? != columns as u64 {
            return Err(PaneError::Stored("they have another number of columns than the definition"));
        }
        let mut pane = Pane { rows, columns: vec![] };
        for _ in 0..columns {
            let count = self.number()?;
            if count > rows {
                return Err(PaneError::Stored("a column has more values than rows"));
            }
            let mut moments = Moments::NONE;
            if count > 0 {
                let mut fields = [0.0; 6];
                for field in &mut fields {
                    *field = self.float()?;
                }
                moments = Moments::of_fields(count, fields);
            }
            pane.columns.push(moments);
        }
        Ok(pane)
    }

    fn end(&self) -> Result<(), PaneError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(PaneError::Stored("something follows them")) }
    }
}
