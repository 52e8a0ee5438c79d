//! Zstandard with a context that each thread keeps: to make one costs more than to compress a kilobyte with it.
//!
//! What must stay true: what a thread keeps is small. A context grows with what it compressed, so one that met a large
//! input is let go.

use std::{cell::RefCell, io};

use zstd::bulk::Compressor;

/// Bytes of the largest input after which a context is kept: about a megabyte of context at most, at every level in use.
const KEPT_BYTES_MAX: usize = 128 << 10;

thread_local! {
    static CONTEXT: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// One frame that holds these bytes and says how many they are.
pub(crate) fn compress(bytes: &[u8], level: i32) -> io::Result<Vec<u8>> {
    CONTEXT.with_borrow_mut(|kept| {
        let mut context = match kept.take() {
            Some(mut context) => {
                context.set_compression_level(level)?;
                context
            }
            None => Compressor::new(level)?,
        };
        let packed = context.compress(bytes)?;
        if bytes.len() <= KEPT_BYTES_MAX {
            *kept = Some(context);
        }
        Ok(packed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_context_compresses_as_a_new_one_does() {
        let texts: Vec<Vec<u8>> = (1..40_usize)
            .map(|at| (0..at * 997).map(|byte| ((byte * byte) % (at + 3)) as u8).collect())
            .chain([vec![7; KEPT_BYTES_MAX + 1], Vec::new()])
            .collect();
        for (at, text) in texts.iter().chain(&texts).enumerate() {
            let level = [1, 3, 9][at % 3];
            let packed = compress(text, level).unwrap();
            assert_eq!(packed, zstd::bulk::compress(text, level).unwrap());
            assert_eq!(&zstd::bulk::decompress(&packed, text.len()).unwrap(), text);
            assert_eq!(zstd::zstd_safe::get_frame_content_size(&packed).unwrap(), Some(text.len() as u64));
        }
        CONTEXT.with_borrow(|kept| assert!(kept.is_some()));
        compress(&vec![7; KEPT_BYTES_MAX + 1], 1).unwrap();
        CONTEXT.with_borrow(|kept| assert!(kept.is_none()));
    }
}
