//! The background work of this slice: the search index that follows the documents, and compaction of histories.
//!
//! A write leaves a mark in `run_fresh` with the revision that the run then has. The builder takes marked runs in
//! batches, applies them to the segments of [`super::columns`], and takes a mark away in the transaction that stores
//! the columns, only if it is still the mark that was read. So a search, which reads the documents of marked runs beside
//! the index, sees every run exactly once and as new as it is.
//!
//! What must stay true: one builder at a time a store (a lease says which); everything here is derived, so losing any
//! of it costs time and nothing else.

mod assign;
mod build;
pub(in crate::tracking) mod store;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch::Receiver;

use crate::{context::App, error::Result};

pub(in crate::tracking) use build::{facts, segments};

/// How long the builder rests when it has caught up.
const REST: Duration = Duration::from_secs(1);

/// Indexes and compacts until nothing is marked any more.
pub async fn catch_up(app: &App) -> Result<()> {
    let holder = uuid::Uuid::now_v7().to_string();
    while build::pass(&app.db, &holder).await? {}
    Ok(())
}

/// Runs until `stopped` changes.
pub async fn background(app: Arc<App>, mut stopped: Receiver<bool>) {
    let holder = uuid::Uuid::now_v7().to_string();
    loop {
        let behind = match build::pass(&app.db, &holder).await {
            Ok(behind) => behind,
            Err(error) => {
                tracing::warn!(?error, "the search index could not be brought up to date; it is tried again");
                false
            }
        };
        let rest = if behind { Duration::ZERO } else { REST };
        if tokio::time::timeout(rest, stopped.changed()).await.is_ok() {
            return;
        }
    }
}
