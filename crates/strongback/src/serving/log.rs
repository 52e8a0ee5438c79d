//! How a served request becomes a record of the payload log.
//!
//! What must stay true: a request is answered only after [`keep`] has come back, so that what was served is in the log in the mode
//! of durability that the log stands for.

use std::{sync::Arc, time::Instant};

use lake::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use uuid::Uuid;

use super::{
    frame::Frame,
    live::Deployed,
    payload::{self, EndpointRef, FeatureVersion, Recorder},
    runtime::Scores,
    signature::Schema,
};
use crate::{
    catalog::{asset, names},
    context::Ctx,
    error::{Error, Result},
    time,
};

/// What is behind the leaf of an endpoint in the name of its payload table.
pub const TABLE_SUFFIX: &str = "_payload";

/// What was asked and what was made of it.
pub(super) struct Served<'s> {
    /// Our id.
    pub request_id: Uuid,
    /// What the caller called it.
    pub client_request_id: Option<String>,
    /// When what was scored happened, microseconds since the epoch: one a row, or none.
    pub event_times_micros: Vec<i64>,
    /// The rows as the model got them; without columns where only the model's own code reads them.
    pub inputs: &'s Frame,
    /// The feature tables that were looked up.
    pub read: Vec<FeatureVersion>,
    /// What is to be answered.
    pub scores: &'s Scores,
    /// When the request arrived.
    pub began: Instant,
}

/// Who logs the requests of an endpoint, for a model that takes these inputs.
pub(super) async fn recorder(ctx: &Ctx, endpoint_id: i64, schema: &Schema) -> Result<Recorder> {
    let endpoint = ctx
        .read(move |sql| {
            crate::catalog::authorize_admin(sql, "log what endpoints serve")?;
            let found =
                asset::get(sql, endpoint_id)?.ok_or_else(|| Error::missing("The endpoint is gone."))?;
            let mut table = names::full_name_of(sql, endpoint_id)?;
            table.leaf.push_str(TABLE_SUFFIX);
            Ok(EndpointRef { asset: endpoint_id, table, owner: found.owner_id })
        })
        .await?;
    payload::recorder(ctx, &endpoint, schema.arrow()).await
}

/// Logs a request; it is durable when this comes back.
pub(super) async fn keep(deployed: &Deployed, served: Served<'_>) -> Result<()> {
    let version = deployed.scorer.version();
    let rows = served.scores.value.len();
    let inputs = match deployed.schema.inputs.is_empty() {
        false => served.inputs.to_batch(&deployed.schema)?,
        true => {
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            RecordBatch::try_new_with_options(Arc::clone(deployed.schema.arrow()), Vec::new(), &options)
                .map_err(Error::internal)?
        }
    };
    let record = payload::Record {
        config: deployed.config,
        request_id: served.request_id,
        client_request_id: served.client_request_id,
        served_at_micros: time::now_ms() * 1_000,
        event_times_micros: served.event_times_micros,
        model_id: version.model_id,
        model_version: version.version,
        latency_us: u32::try_from(served.began.elapsed().as_micros()).unwrap_or(u32::MAX),
        inputs,
        feature_versions: served.read,
        scores: served.scores.value.clone(),
        labels: served.scores.label.clone(),
    };
    deployed.recorder.append(record).await
}
