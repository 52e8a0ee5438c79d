//! What a computation may hold in memory, and whether it is to end before it is done.

use std::{fmt, sync::Arc};

use super::error::PaneError;

/// Rows that are folded between two looks at whether it is to end.
pub(super) const LOOK_EVERY: usize = 4096;

/// Asked in every loop whose length the rows decide.
#[derive(Clone)]
pub struct Bounds {
    bytes_max: usize,
    is_to_end: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Bounds {
    /// So many bytes of panes, and as many of rows to publish; `is_to_end` says whether somebody wants it to end.
    pub fn new(bytes_max: usize, is_to_end: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { bytes_max, is_to_end: Arc::new(is_to_end) }
    }

    /// Refuses to go on: somebody wants it to end, or it holds too many bytes.
    pub(super) fn check(&self, bytes: usize) -> Result<(), PaneError> {
        if (self.is_to_end)() {
            return Err(PaneError::ToEnd);
        }
        if bytes > self.bytes_max {
            return Err(PaneError::TooLarge { bytes_max: self.bytes_max });
        }
        Ok(())
    }
}

impl Default for Bounds {
    /// None.
    fn default() -> Self {
        Self::new(usize::MAX, || false)
    }
}

impl fmt::Debug for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounds").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}
