//! Registered models: their versions, and the aliases that say which version is in use, with their history.
//!
//! There is one model of the world, an asset of kind [`Kind::Model`](crate::catalog::Kind::Model) with rows of its own,
//! and three faces that only translate: MLflow's registry ([`mlflow`]), MLflow's client of governed models
//! ([`databricks`]) and Unity Catalog's models ([`unity`]). What one of them writes all of them show.
//!
//! What must stay true:
//! - a face holds no rule: whatever is checked, authorised or stored is in [`models`], [`versions`], [`aliases`];
//! - a version's number is given once and never again;
//! - an alias moves only through `aliases::point` and what it stands on, a governed one with grounds alone
//!   ([`governance`]), and every move is kept with them, so that which
//!   version an alias meant at a date is one seek;
//! - a change of a model counts up its asset's revision, and leaves one event that carries it;
//! - what a version came from is worked out when it is made ([`provenance`]), from the source and not from trust in
//!   what the client adds to it; no name is followed later ([`location`]);
//! - a ready version is pinned ([`versions::Pin`]): its files are its own and never change, or it is said that they are
//!   elsewhere;
//! - what is deleted takes its files along, also where it went with its schema ([`keep_clean`]).

pub mod aliases;
pub mod carried;
pub mod databricks;
pub mod evidence;
pub mod files;
pub mod governance;
mod limits;
mod location;
pub mod mlflow;
pub mod models;
pub mod names;
mod provenance;
pub mod rollback;
mod search;
pub mod signature;
mod store;
pub mod tags;
pub mod unity;
pub mod versions;
pub mod view;

use std::{sync::Arc, time::Duration};

use crate::{
    context::{App, Ctx},
    db::{Change, Stmt},
    error::Result,
    router::Route,
};

/// Every statement of this slice.
pub(crate) static STATEMENTS: &[&Stmt] = store::STATEMENTS;

/// Routes of this slice.
pub fn routes() -> Vec<Route> {
    [
        mlflow::routes(),
        databricks::routes(),
        unity::routes(),
        files::routes(),
        view::routes(),
        governance::routes(),
    ]
    .concat()
}

/// Between two looks for models that were deleted with their schema.
const CLEAN_EVERY: Duration = Duration::from_mins(10);

/// Clears up after models that were deleted with their schema, at once and from time to time, until it is told to stop.
pub async fn keep_clean(app: Arc<App>, mut stopped: tokio::sync::watch::Receiver<bool>) {
    loop {
        match models::clear_orphans(&Ctx::system(&app)).await {
            Ok(0) => {}
            Ok(models) => {
                tracing::info!(models, "cleared up after models that were deleted with their schema");
            }
            Err(error) => tracing::warn!(?error, "clearing up after deleted schemas ended early"),
        }
        if tokio::time::timeout(CLEAN_EVERY, stopped.changed()).await.is_ok() {
            return;
        }
    }
}

/// Turns what a change answers into what a face answers.
fn answered<T, U>(change: Change<T>, answer: impl FnOnce(T) -> Result<U>) -> Result<Change<U>> {
    Ok(match change {
        Change::Made(value, event) => Change::Made(answer(value)?, event),
        Change::Nothing(value) => Change::Nothing(answer(value)?),
    })
}
