//! MLflow's messages about experiments.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Experiment;
use crate::{
    router::wire::{Int64, list},
    tracking::wire::{KeyValue, ViewType},
};

/// An experiment as clients see it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ExperimentOut {
    /// Decimal text.
    pub experiment_id: String,
    /// Name or path.
    pub name: String,
    /// URI below which its files lie.
    pub artifact_location: String,
    /// `active` or `deleted`.
    pub lifecycle_stage: &'static str,
    /// Milliseconds since the epoch.
    pub last_update_time: i64,
    /// Milliseconds since the epoch.
    pub creation_time: i64,
    /// Its tags, by key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
}

impl From<&Experiment> for ExperimentOut {
    fn from(experiment: &Experiment) -> Self {
        Self {
            experiment_id: experiment.mlflow_id.to_string(),
            name: experiment.name.clone(),
            artifact_location: experiment.artifact_location.clone(),
            lifecycle_stage: if experiment.deleted { "deleted" } else { "active" },
            last_update_time: experiment.updated_at,
            creation_time: experiment.created_at,
            tags: experiment.tags.iter().map(|(key, value)| KeyValue::new(key, value)).collect(),
        }
    }
}

/// `experiments/create`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CreateRequest {
    /// Name or path; unique, also among deleted ones.
    pub name: Option<String>,
    /// Where its files shall lie; chosen by the server if absent.
    #[serde(alias = "artifactLocation")]
    pub artifact_location: Option<String>,
    /// Its first tags.
    #[serde(default, deserialize_with = "list")]
    pub tags: Vec<KeyValue>,
}

/// The answer of `experiments/create`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CreateResponse {
    /// Decimal text.
    pub experiment_id: String,
}

/// Requests that name an experiment by its id.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct IdRequest {
    /// Decimal text.
    #[serde(alias = "experimentId")]
    pub experiment_id: Option<String>,
}

/// `experiments/get-by-name`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct NameRequest {
    /// Name or path.
    #[serde(alias = "experimentName")]
    pub experiment_name: Option<String>,
}

/// An answer with one experiment.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ExperimentResponse {
    /// The experiment.
    pub experiment: ExperimentOut,
}

/// `experiments/update`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct UpdateRequest {
    /// Decimal text.
    #[serde(alias = "experimentId")]
    pub experiment_id: Option<String>,
    /// Its new name.
    #[serde(alias = "newName")]
    pub new_name: Option<String>,
}

/// `experiments/set-experiment-tag` and `experiments/delete-experiment-tag`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct TagRequest {
    /// Decimal text.
    #[serde(alias = "experimentId")]
    pub experiment_id: Option<String>,
    /// The tag's key.
    pub key: Option<String>,
    /// The tag's value; absent is empty.
    pub value: Option<String>,
}

/// `experiments/search`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct SearchRequest {
    /// 1 to 50,000.
    #[serde(alias = "maxResults")]
    pub max_results: Option<Int64>,
    /// From the answer before.
    #[serde(alias = "pageToken")]
    pub page_token: Option<String>,
    /// E.g. `name LIKE '/Shared/%' AND tags.team = 'risk'`.
    pub filter: Option<String>,
    /// E.g. `name ASC`.
    #[serde(default, alias = "orderBy", deserialize_with = "list")]
    pub order_by: Vec<String>,
    /// `ACTIVE_ONLY`, `DELETED_ONLY` or `ALL`.
    #[serde(default, alias = "viewType")]
    pub view_type: ViewType,
}

/// `experiments/list`, as clients before 2.0 and Databricks' SDK ask for it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// 1 to 50,000.
    #[serde(alias = "maxResults")]
    pub max_results: Option<Int64>,
    /// From the answer before.
    #[serde(alias = "pageToken")]
    pub page_token: Option<String>,
    /// `ACTIVE_ONLY`, `DELETED_ONLY` or `ALL`.
    #[serde(default, alias = "viewType")]
    pub view_type: ViewType,
}

impl From<ListRequest> for SearchRequest {
    fn from(ListRequest { max_results, page_token, view_type }: ListRequest) -> Self {
        Self { max_results, page_token, view_type, filter: None, order_by: Vec::new() }
    }
}

/// A page of experiments.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SearchResponse {
    /// In the order asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub experiments: Vec<ExperimentOut>,
    /// For the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// `experiments/search-datasets`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct DatasetsRequest {
    /// Decimal texts.
    #[serde(default, alias = "experimentIds", deserialize_with = "list")]
    pub experiment_ids: Vec<String>,
}

/// The answer of `experiments/search-datasets`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DatasetsResponse {
    /// Each data set once a context.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dataset_summaries: Vec<DatasetSummary>,
}

/// A data set that runs of an experiment read.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DatasetSummary {
    /// Decimal text.
    pub experiment_id: String,
    /// The data set's name.
    pub name: String,
    /// The data set's digest.
    pub digest: String,
    /// The tag `mlflow.data.context` of its use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}
