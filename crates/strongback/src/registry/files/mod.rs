//! The Files API, as databricks-sdk and MLflow's client of governed models use it, and files of versions for MLflow's
//! web pages.
//!
//! Paths are `/Models/<catalog>/<schema>/<model>/<version>/…` for versions, and
//! `/WorkspaceInternal/Mlflow/Artifacts/<experiment>/Runs/<run>/artifacts/…` (or `LoggedModels/<model>`) for clients
//! whose tracking URI is `databricks`. The bytes are [`crate::files`]' concern.
//!
//! What must stay true: a version's files change only until it is ready, and are shown to whoever may read the version;
//! what is missing is `NOT_FOUND` here, not MLflow's code.

mod directories;
mod multipart;
mod pages;
mod place;
mod single;
mod wire;

use crate::{
    error::{Code, Error},
    router::Route,
};

/// Routes of this face.
pub(super) fn routes() -> Vec<Route> {
    [single::routes(), multipart::routes(), directories::routes(), pages::routes()].concat()
}

/// The Files API's code for what is missing.
fn as_files_api(error: Error) -> Error {
    if error.code() == Code::ResourceDoesNotExist { error.with_code(Code::NotFound) } else { error }
}
