//! What a browser gets: the page at `/`, why a request got its answer at `/why`, and the user's own installed MLflow pages below `/mlflow/`.
//!
//! What must stay true: nothing of MLflow's is in this product. Its pages are found through the user's Python and read
//! from there; the data that they show comes from this server's interface.

mod chart;
mod drift;
mod endpoints;
mod format;
mod gates;
pub(crate) mod graphql;
mod home;
mod mlflow;
mod nothing;
pub(crate) mod python;
pub(crate) mod refusal;
mod sections;
mod why;

use crate::router::Route;

pub use mlflow::{Pages, find};

/// Routes of the pages.
pub fn routes() -> Vec<Route> {
    [home::routes(), mlflow::routes(), nothing::routes(), why::routes(), graphql::routes()].concat()
}
