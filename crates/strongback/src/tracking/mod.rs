//! Experiments, runs, metrics, logged models and their files, as MLflow's clients speak of them.
//!
//! A run is one row with one [`document`]; the search index ([`columns`], [`index`]) and the compact histories
//! ([`series`], [`metrics`]) follow a moment later, and [`search`] reads both.
//!
//! What must stay true:
//! - everything is authorised by its experiment, an asset of the catalog; runs and logged models are data below it;
//! - what a client repeats changes nothing, because clients retry every write;
//! - a write is all or nothing, and leaves one event however many points it held;
//! - what is derived (index, compaction) can be lost and made again from documents and pieces.

pub mod absent;
pub mod artifacts;
mod best;
pub mod columns;
pub(crate) mod damaged;
pub mod document;
pub mod experiment;
mod index;
pub mod limits;
pub mod metrics;
pub mod model;
pub mod ordered;
pub mod page;
pub mod run;
pub mod scan;
pub mod search;
pub mod series;
mod server_info;
pub mod wire;

use std::sync::Arc;

use tokio::sync::watch::Receiver;

use crate::{
    context::{App, Ctx},
    db::Stmt,
    error::Result,
    router::Route,
};

/// Every statement of this slice.
pub fn statements() -> Vec<&'static Stmt> {
    [
        experiment::store::STATEMENTS,
        run::store::STATEMENTS,
        metrics::store::STATEMENTS,
        index::store::STATEMENTS,
        model::store::STATEMENTS,
    ]
    .concat()
}

/// Makes what every store begins with: the default experiment.
pub async fn bootstrap(ctx: &Ctx) -> Result<()> {
    experiment::bootstrap(ctx).await
}

/// Brings the search index up to date and compacts histories until `stopped` changes.
pub async fn background(app: Arc<App>, stopped: Receiver<bool>) {
    index::background(app, stopped).await;
}

/// Brings the search index and the histories up to date now, for who cannot wait a second: imports, benches, tests.
pub async fn catch_up(app: &App) -> Result<()> {
    index::catch_up(app).await
}

pub use index::{Columns, Indexer};

/// Routes of this slice.
pub fn routes() -> Vec<Route> {
    [
        experiment::routes(),
        run::routes(),
        search::routes(),
        metrics::routes(),
        model::routes(),
        artifacts::routes(),
        server_info::routes(),
        absent::routes(),
    ]
    .concat()
}
