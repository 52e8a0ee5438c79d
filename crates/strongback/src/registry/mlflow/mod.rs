//! The registry as MLflow's plain client speaks of it: `/api/2.0/mlflow/registered-models` and `…/model-versions`.
//!
//! Names are taken and given as they are; a version is ready at once, since its files are those of its source.

mod aliases;
mod models;
mod search;
mod stages;
pub(super) mod versions;
pub mod wire;
mod workspace;

use crate::router::Route;

pub(super) fn routes() -> Vec<Route> {
    [
        models::routes(),
        versions::routes(),
        aliases::routes(),
        stages::routes(),
        search::routes(),
        workspace::routes(),
    ]
    .concat()
}
