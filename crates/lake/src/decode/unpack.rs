//! How much a page really unpacks to, where its decoder would take whatever comes.
//!
//! A page announces how many bytes it has once it is unpacked, and the decoders of most codecs are given room for just as many. Those
//! of gzip, Brotli and LZ4 go on to the end of what they read: a few KiB may become GiB.
//!
//! What must stay true: nothing of what is counted here is kept, and the count ends a byte above what was announced.

use std::io::{self, Read};

use deltalake::parquet::basic::Compression;
use flate2::read::MultiGzDecoder;

/// Bytes that Brotli reads at a time.
const BUFFER_BYTES: usize = 4 << 10;

/// Whether more comes out of a page than it announces. What cannot be unpacked is for its decoder to refuse.
pub(super) fn exceeds(codec: Compression, packed: impl Read, announced: u64) -> bool {
    match codec {
        Compression::GZIP(_) => is_longer(MultiGzDecoder::new(packed), announced),
        Compression::BROTLI(_) => is_longer(brotli::Decompressor::new(packed, BUFFER_BYTES), announced),
        // As old writers wrote it, LZ4 may also be in frames.
        Compression::LZ4 => is_longer(lz4_flex::frame::FrameDecoder::new(packed), announced),
        _ => false,
    }
}

fn is_longer(unpacked: impl Read, announced: u64) -> bool {
    io::copy(&mut unpacked.take(announced.saturating_add(1)), &mut io::sink()).is_ok_and(|n| n > announced)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use deltalake::parquet::basic::{BrotliLevel, GzipLevel};

    use super::*;

    #[test]
    fn what_unpacks_to_more_than_it_says_is_found() {
        let plain = vec![7; 3_000_000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let mut brotli = Vec::new();
        brotli::CompressorWriter::new(&mut brotli, BUFFER_BYTES, 1, 20).write_all(&plain).unwrap();
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(&plain).unwrap();
        let of = [
            (Compression::GZIP(GzipLevel::default()), gzip.finish().unwrap()),
            (Compression::BROTLI(BrotliLevel::default()), brotli),
            (Compression::LZ4, lz4.finish().unwrap()),
        ];
        for (codec, packed) in of {
            assert!(packed.len() < 100_000, "{codec:?}");
            for (announced, is_more) in [(2_999_999, true), (3_000_000, false), (3_000_001, false), (0, true)]
            {
                assert_eq!(exceeds(codec, &packed[..], announced), is_more, "{codec:?} {announced}");
            }
            // It breaks off. Of LZ4 nothing came out until then, as its block is not whole.
            let half = &packed[..packed.len() / 2];
            assert!(!exceeds(codec, half, 3_000_000), "{codec:?}");
            assert_eq!(exceeds(codec, half, 1), codec != Compression::LZ4, "{codec:?}");
        }
        assert!(!exceeds(Compression::SNAPPY, &[0; 10][..], 0));
    }
}
