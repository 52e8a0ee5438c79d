//! The Files API, as databricks-sdk and MLflow's client of governed models use it, and files of versions for MLflow's
//! web pages.
//!
//! Paths are `/Models/<catalog>/<schema>/<model>/<version>/…` for versions, and
//! `/WorkspaceInternal/Mlflow/Artifacts/<experiment>/Runs/<run>/artifacts/…` (or `LoggedModels/<model>`) for clients
//! whose tracking URI is `databricks`. The bytes are [`crate::files`]' concern.
//!
//! What must stay true: a version's own files change only until it is finalized; a version without own files shows those
//! of its source, read-only, to whoever may read the version; what is missing is `NOT_FOUND` here, not MLflow's code.

mod directories;
mod multipart;
mod pages;
mod place;
mod single;
mod wire;

use crate::{
    error::{Code, Error},
    files,
    router::Route,
};

/// Routes of this face.
pub(super) fn routes() -> Vec<Route> {
    [single::routes(), multipart::routes(), directories::routes(), pages::routes()].concat()
}

/// Lets go of a version's own files; answers the objects to hand to [`crate::objects::Objects::remove`] after the
/// commit. The caller authorises, and names it in its own event.
pub fn version_clear(
    tx: &mut crate::db::Sql<'_>,
    model_id: i64,
    number: i64,
) -> crate::error::Result<Vec<crate::objects::ObjectId>> {
    files::clear(tx, &place::area(model_id, number))
}

/// The Files API's code for what is missing.
fn as_files_api(error: Error) -> Error {
    if error.code() == Code::ResourceDoesNotExist { error.with_code(Code::NotFound) } else { error }
}
