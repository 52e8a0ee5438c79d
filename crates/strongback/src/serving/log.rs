//! The one place where a served request leaves its trace.
//!
//! What must stay true: a request is answered only after [`Sink::append`] has come back, so that what was served is in the log
//! in the mode of durability that the log stands for.

use std::sync::Arc;

use uuid::Uuid;

use super::{frame::Frame, runtime::Scores, signature::Schema};
use crate::error::Result;

/// A request that was scored.
#[derive(Debug, Clone)]
pub struct Record {
    /// `asset.id` of the endpoint.
    pub endpoint: i64,
    /// Number of the configuration that served it.
    pub config: i64,
    /// Our id; it carries its time.
    pub request_id: Uuid,
    /// What the caller called it.
    pub client_request_id: Option<String>,
    /// When it was served, microseconds since the epoch.
    pub served_at_micros: i64,
    /// When what was scored happened, microseconds since the epoch: one a row, or none.
    pub event_times_micros: Vec<i64>,
    /// `asset.id` of the model.
    pub model_id: i64,
    /// Number of the version.
    pub model_version: i64,
    /// From the request's arrival until it was scored, microseconds.
    pub latency_us: u32,
    /// What the columns of `inputs` are.
    pub schema: Arc<Schema>,
    /// The rows as the model got them; without columns where only the model's own code reads them.
    pub inputs: Arc<Frame>,
    /// The feature tables that were looked up: table (`asset.id`), definition, version of its rows.
    pub feature_versions: Vec<(i64, i64, u64)>,
    /// What was answered.
    pub scores: Arc<Scores>,
}

/// Where records go.
#[derive(Debug, Default)]
pub enum Sink {
    /// Nowhere: there is no log.
    #[default]
    Nowhere,
}

impl Sink {
    /// Whether records are kept, so that none is made for nothing.
    pub fn is_kept(&self) -> bool {
        match self {
            Self::Nowhere => false,
        }
    }

    /// Keeps a record; it is durable when this comes back.
    #[expect(clippy::unused_async, reason = "a log waits for its disk")]
    pub async fn append(&self, _record: Record) -> Result<()> {
        match self {
            Self::Nowhere => Ok(()),
        }
    }
}
