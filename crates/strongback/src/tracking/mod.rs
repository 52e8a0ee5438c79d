//! Experiments, runs, metrics, logged models and their files.

use crate::{db::Stmt, router::Route};

/// Every statement of this slice.
pub(crate) static STATEMENTS: &[&Stmt] = &[];

/// Routes of this slice.
pub fn routes() -> Vec<Route> {
    Vec::new()
}
