//! Whether somebody still waits for what takes long.

use std::{fmt, sync::Arc};

/// Asked between two resamples whether they are to be given up. Without a question they never are.
#[derive(Clone, Default)]
pub struct Ends(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Ends {
    /// As soon as this says so.
    pub fn when(is_over: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(is_over)))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|is_over| is_over())
    }
}

/// It is no part of what is computed.
impl PartialEq for Ends {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Ends {}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Ends(when)" } else { "Ends(never)" })
    }
}
