//! Zstandard with contexts that are kept: to make one costs more than to compress or unfold a kilobyte with it.
//!
//! What must stay true: what is kept is small. A context that compresses is its thread's own and grows with what it met, so one that met a
//! large input is let go. One that unfolds has the same size for ever, about 160 KiB; a few are shared by all threads, of which many read.

use std::{cell::RefCell, io};

use parking_lot::Mutex;
use zstd::bulk::{Compressor, Decompressor};

/// Bytes of the largest input after which a context is kept: about a megabyte of context at most, at every level in use.
const KEPT_BYTES_MAX: usize = 128 << 10;

/// Contexts that unfold, as many as are kept: more threads than this rarely unfold at one moment.
const UNFOLDERS_MAX: usize = 4;

static UNFOLDERS: Mutex<Vec<Decompressor<'static>>> = Mutex::new(Vec::new());

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

/// What a frame holds, which is at most `size` bytes.
pub(crate) fn decompress(frame: &[u8], size: usize) -> io::Result<Vec<u8>> {
    let kept = UNFOLDERS.lock().pop();
    let mut context = match kept {
        Some(context) => context,
        None => Decompressor::new()?,
    };
    let unfolded = context.decompress(frame, size);
    let mut kept = UNFOLDERS.lock();
    if kept.len() < UNFOLDERS_MAX {
        kept.push(context);
    }
    unfolded
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
            assert_eq!(&decompress(&packed, text.len()).unwrap(), text);
            assert_eq!(zstd::zstd_safe::get_frame_content_size(&packed).unwrap(), Some(text.len() as u64));
        }
        CONTEXT.with_borrow(|kept| assert!(kept.is_some()));
        compress(&vec![7; KEPT_BYTES_MAX + 1], 1).unwrap();
        CONTEXT.with_borrow(|kept| assert!(kept.is_none()));
    }

    #[test]
    fn a_kept_context_unfolds_after_a_broken_frame_as_before() {
        let text = vec![3; 10_000];
        let packed = compress(&text, 3).unwrap();
        for _ in 0..2 {
            assert!(decompress(&packed[..packed.len() - 3], text.len()).is_err());
            assert!(decompress(&packed, text.len() - 1).is_err(), "more than it may be");
            assert!(decompress(b"nothing of the kind", 100).is_err());
            assert_eq!(decompress(&packed, text.len()).unwrap(), text);
        }
        let unfold = || assert_eq!(decompress(&packed, text.len()).unwrap(), text);
        std::thread::scope(|scope| (0..16).for_each(|_| drop(scope.spawn(unfold))));
        assert!((1..=UNFOLDERS_MAX).contains(&UNFOLDERS.lock().len()));
    }
}
