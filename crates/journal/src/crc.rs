//! CRC-32C (Castagnoli; polynomial 0x1EDC6F41, reflected), eight bytes at a time.
//!
//! The method is "slicing by 8": M. Kounavis and F. Berry, "A Systematic Approach to Building High Performance
//! Software-Based CRC Generators", 2005. Reference values are those of RFC 3720, appendix B.4.

/// The polynomial, reflected.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// `TABLES[k][b]` is the remainder of the byte `b` followed by `k` zero bytes.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[zeros - 1][byte];
            tables[zeros][byte] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

/// A checksum that is being made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crc(u32);

impl Crc {
    /// Of no bytes yet.
    pub(crate) fn new() -> Self {
        Self(!0)
    }

    /// With more bytes.
    #[must_use]
    pub(crate) fn and(self, bytes: &[u8]) -> Self {
        let mut crc = self.0;
        let (blocks, rest) = bytes.as_chunks::<8>();
        for &[a, b, c, d, e, f, g, h] in blocks {
            let low = crc ^ u32::from_le_bytes([a, b, c, d]);
            let [a, b, c, d] = low.to_le_bytes();
            crc = at(7, a) ^ at(6, b) ^ at(5, c) ^ at(4, d) ^ at(3, e) ^ at(2, f) ^ at(1, g) ^ at(0, h);
        }
        for byte in rest {
            crc = (crc >> 8) ^ at(0, *byte ^ crc.to_le_bytes()[0]);
        }
        Self(crc)
    }

    /// The checksum.
    pub(crate) fn end(self) -> u32 {
        !self.0
    }
}

fn at(zeros: usize, byte: u8) -> u32 {
    TABLES[zeros][usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_rfc_3720() {
        let check = |bytes: &[u8], crc: u32| assert_eq!(Crc::new().and(bytes).end(), crc);
        check(&[0; 32], 0x8A91_36AA);
        check(&[0xFF; 32], 0x62A8_AB43);
        check(&(0..32).collect::<Vec<u8>>(), 0x46DD_794E);
        check(&(0..32).rev().collect::<Vec<u8>>(), 0x113F_DB5C);
        check(b"123456789", 0xE306_9283);
    }

    #[test]
    fn parts_make_the_same_as_the_whole() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let whole = Crc::new().and(&bytes).end();
        for at in 0..bytes.len() {
            assert_eq!(Crc::new().and(&bytes[..at]).and(&bytes[at..]).end(), whole, "{at}");
        }
    }
}
