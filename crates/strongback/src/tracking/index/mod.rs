//! The background work of this slice: the search index that follows the documents, and compaction of histories.
//!
//! A write leaves a mark in `run_fresh` with the revision that the run then has. The builder takes marked runs in
//! batches, applies them to the segments of [`super::columns`], and takes a mark away in the transaction that stores
//! the columns, only if it is still the mark that was read. So a search, which reads the documents of marked runs beside
//! the index, sees every run exactly once and as new as it is.
//!
//! A run that cannot be read keeps its mark, and keeps nobody else from being indexed. It is tried again every few
//! minutes.
//!
//! What must stay true: one builder at a time a store (a lease says which, and a builder that lost it stores nothing);
//! everything here is derived, so losing any of it costs time and nothing else.

mod assign;
mod build;
mod cache;
pub(in crate::tracking) mod store;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch::Receiver;

use crate::{
    context::App,
    error::{Error, Result},
};

use build::{Builder, Pass, RETRY};

pub use cache::Columns;

pub(in crate::tracking) use build::{facts, runs_of_old, segments};

/// How long the builder rests when it has caught up.
const REST: Duration = Duration::from_secs(1);
/// How long to wait before looking again whether another builder is done.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long another builder is waited for: longer than the lease of one that died.
const WAIT: Duration = Duration::from_mins(1);

/// Indexes and compacts what is marked now, or waits until another builder has done so.
pub async fn catch_up(app: &App) -> Result<()> {
    Indexer::new(app, RETRY).catch_up().await
}

/// A builder that is told when to work.
pub struct Indexer<'a>(Builder<'a>);

impl<'a> Indexer<'a> {
    /// One that tries runs that it could not read again after this time.
    pub fn new(app: &'a App, retry: Duration) -> Self {
        Self(Builder::new(&app.db, retry))
    }

    /// Indexes and compacts what is marked now, or waits until another builder has done so.
    pub async fn catch_up(&mut self) -> Result<()> {
        let Self(builder) = self;
        let end = tokio::time::Instant::now() + WAIT;
        loop {
            match builder.pass().await? {
                Pass::CaughtUp => return builder.release().await,
                Pass::Behind => {}
                Pass::Elsewhere if tokio::time::Instant::now() < end => tokio::time::sleep(LOOK_AGAIN).await,
                Pass::Elsewhere => {
                    return Err(Error::unavailable(format!(
                        "Another process has been building the search index for {} s. Try again later.",
                        WAIT.as_secs()
                    )));
                }
            }
        }
    }
}

/// Runs until `stopped` changes.
pub async fn background(app: Arc<App>, mut stopped: Receiver<bool>) {
    let mut builder = Builder::new(&app.db, RETRY);
    loop {
        let rest = match builder.pass().await {
            Ok(Pass::Behind) => Duration::ZERO,
            Ok(Pass::CaughtUp | Pass::Elsewhere) => REST,
            Err(error) => {
                tracing::warn!(?error, "the search index could not be brought up to date; it is tried again");
                REST
            }
        };
        if tokio::time::timeout(rest, stopped.changed()).await.is_ok() {
            break;
        }
    }
    if let Err(error) = builder.release().await {
        tracing::debug!(?error, "the lease of the index builder was not let go; it runs out by itself");
    }
}
