//! The registry as Unity Catalog's REST speaks of it: `/api/2.1/unity-catalog/models`, for databricks-sdk and the
//! open-source client.
//!
//! What must stay true: no rule is here; a version's number is a number on this face, and times are milliseconds. A plain
//! model is shown too, under its escaped name in `main.default`.

mod aliases;
mod credentials;
mod models;
mod tags;
mod versions;
pub mod wire;

use crate::router::Route;

pub(super) fn routes() -> Vec<Route> {
    [models::routes(), versions::routes(), aliases::routes(), tags::routes(), credentials::routes()].concat()
}
