//! The registry as MLflow's client of governed models (`databricks-uc`) speaks of it: `/api/2.0/mlflow/unity-catalog`.
//!
//! Names have three levels. A version is made pending, its files come through the Files API, and then it is finalized.
//! What must stay true: no rule is here; the same models and versions as on the other faces, in other words.

mod models;
mod versions;
pub mod wire;

use http::Method;

use self::wire::{SwitchResponse, no_fields};
use crate::router::{Limits, Policy, Route};

pub(super) fn routes() -> Vec<Route> {
    // The client asks this before every transfer: true means that files go through the Files API.
    let switch = Route::json(
        Method::GET,
        "/api/2.0/mlflow/unity-catalog/registered-models:is-databricks-sdk-models-artifact-repository-enabled",
        Policy::Authenticated,
        Limits::SMALL,
        "Whether files of governed models go through the Files API",
        |_, _: no_fields::Request| async {
            Ok(SwitchResponse { is_databricks_sdk_models_artifact_repository_enabled: true })
        },
    );
    [models::routes(), versions::routes(), vec![switch]].concat()
}
