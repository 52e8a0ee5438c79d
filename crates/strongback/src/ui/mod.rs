//! What a browser gets: the page at `/`, and the user's own installed MLflow pages below `/mlflow/`.
//!
//! What must stay true: nothing of MLflow's is in this product. Its pages are found through the user's Python and read
//! from there; the data that they show comes from this server's interface.

mod drift;
mod format;
pub(crate) mod graphql;
mod home;
mod mlflow;
mod nothing;
pub(crate) mod python;
pub(crate) mod refusal;
mod sections;

use crate::router::Route;

pub use mlflow::{Pages, find};

/// Routes of the pages.
pub fn routes() -> Vec<Route> {
    [home::routes(), mlflow::routes(), nothing::routes(), graphql::routes()].concat()
}
