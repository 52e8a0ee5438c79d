//! Serving: endpoints where registered models answer requests.
//!
//! An endpoint is an asset with immutable, numbered configurations; an alias is resolved in each, and one that moves makes the
//! next. A version runs in this process where it is ONNX, or was proven to answer alike in that form; else in a Python process
//! beside it ([`runtime`], [`worker`]).
//!
//! What must stay true:
//! - no code of a user and no unpickling in the server process;
//! - a request that is answered has an id, and what was served is logged before its answer leaves ([`log`]);
//! - what a model takes is what its signature says: a value that does not fit is refused with its column and row, and none is
//!   changed in silence ([`frame`]);
//! - another version takes over only once it is loaded, and no request meets a gap ([`live`], [`follow`]);
//! - whoever loses the right to an endpoint has lost it within a second.
//!
//! What was served goes through a log on the node's own disk into a table of the endpoint's ([`payload`]).
//!
//! | route | |
//! |---|---|
//! | `/api/1.0/endpoints…` | make, list, get, change, delete; what was logged, and bringing it into the payload table |
//! | `/api/2.0/serving-endpoints…` | the same, as databricks-sdk and MLflow's deployment client ask |
//! | `POST /serving-endpoints/{name}/invocations`, `POST /endpoints/{name}/invocations` | score rows |
//! | `GET /endpoints/{name}/ping`, `…/health`, `…/version` | as MLflow's scoring server has them |

mod body;
mod cell;
pub mod config;
mod csv;
pub mod endpoints;
pub mod follow;
pub mod frame;
pub mod http;
mod invocations;
pub mod live;
pub mod log;
pub mod lookup;
mod overview;
pub mod payload;
mod provenance;
mod rows;
pub mod runtime;
pub mod signature;
mod size;
mod store;
pub mod traffic;
mod wire;
pub mod worker;

pub use http::Readiness;
pub use live::Serving;
pub use overview::{EndpointLine, Overview, overview};
pub(crate) use store::STATEMENTS;

use crate::router::Route;

/// Routes of this slice.
pub fn routes() -> Vec<Route> {
    [http::routes(), wire::routes(), invocations::routes()].concat()
}
