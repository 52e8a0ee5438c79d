//! Answers: what came from what, who decided it when, why a request got its answer, how runs differ. Read-only walks over everything below.
//!
//! What must stay true:
//! - nothing is written here;
//! - an answer names only what the caller may read; what lies between is said to be there and not named;
//! - every walk has limits, and says when it met one.

mod compare;
mod history;
mod learned;
mod lineage;
pub(crate) mod moment;
pub(crate) mod overview;
pub(crate) mod store;
mod target;
mod why;

pub use compare::{
    Change, CompareRequest, Comparison, DataPart, DataRow, Direction, Environments, MetricRow, Row, RunSide,
    Section, Verdict,
};
pub use history::{HistoryResponse, Move};
pub use lineage::{EdgeInfo, LineageRequest, LineageResponse, NodeInfo, lineage_get};

pub use why::{
    EndpointPart, FeaturePart, GatePart, HIDDEN_TABLE, InputPart, ModelPart, RowPart, RunPart, Why,
    WhyRequest, why,
};

pub use overview::{Counts, ModelLine, Overview, RunLine, overview};

use crate::router::Route;

/// Routes of this slice.
pub fn routes() -> Vec<Route> {
    [lineage::routes(), history::routes(), why::routes(), compare::routes()].concat()
}
