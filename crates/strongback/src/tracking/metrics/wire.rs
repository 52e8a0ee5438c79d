//! MLflow's messages about metric histories.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    router::wire::{Int64, list},
    tracking::wire::MetricOut,
};

/// `metrics/get-history`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct HistoryRequest {
    /// 32 hexadecimal digits.
    #[serde(alias = "runId")]
    pub run_id: Option<String>,
    /// The same, under its older name.
    #[serde(alias = "runUuid")]
    pub run_uuid: Option<String>,
    /// The metric's key.
    #[serde(alias = "metricKey")]
    pub metric_key: Option<String>,
    /// All if absent.
    #[serde(alias = "maxResults")]
    pub max_results: Option<Int64>,
    /// From the answer before.
    #[serde(alias = "pageToken")]
    pub page_token: Option<String>,
}

/// A page of points.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HistoryResponse {
    /// By time, then step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricOut>,
    /// For the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// `metrics/get-history-bulk`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct BulkRequest {
    /// At most 100 runs.
    #[serde(default, deserialize_with = "list")]
    pub run_id: Vec<String>,
    /// The metric's key.
    pub metric_key: Option<String>,
    /// Points at most, over all runs: 25,000 if absent.
    pub max_results: Option<Int64>,
}

/// `metrics/get-history-bulk-interval`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct IntervalRequest {
    /// At most 100 runs.
    #[serde(default, alias = "runIds", deserialize_with = "list")]
    pub run_ids: Vec<String>,
    /// The metric's key.
    #[serde(alias = "metricKey")]
    pub metric_key: Option<String>,
    /// First step; both steps or none.
    #[serde(alias = "startStep")]
    pub start_step: Option<Int64>,
    /// Last step, included.
    #[serde(alias = "endStep")]
    pub end_step: Option<Int64>,
    /// Points a run at most: 2,500 if absent.
    #[serde(alias = "maxResults")]
    pub max_results: Option<Int64>,
}

/// Points of several runs.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct BulkResponse {
    /// Run after run; each point says of which.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricOut>,
}
