//! The files of runs and logged models, as MLflow's artifact proxy and its web pages ask for them, and through the proxy
//! those of model versions, to be read.
//!
//! What must stay true: a path means a run's, a logged model's or a version's root and what lies below it, never anything
//! else; a root is authorised by its experiment, like the run itself, or by the version's model; hostile paths are refused before anything is looked up.
//! The bytes are [`crate::files`]' concern.

mod home;
mod multipart;
mod pages;
mod proxy;
mod wire;

pub use home::{Access, Home, Located, guard, version_uri};

use crate::router::Route;

/// Routes of artifacts.
pub(super) fn routes() -> Vec<Route> {
    [proxy::routes(), multipart::routes(), pages::routes()].concat()
}
