//! MLflow's messages about logged models.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LoggedModel;
use crate::{
    router::wire::{Double, Int64, flag, list},
    tracking::wire::{EnumIn, KeyValue, MetricOut},
};

/// A model's own columns.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ModelInfo {
    /// `m-` and 32 hexadecimal digits.
    pub model_id: String,
    /// Decimal text.
    pub experiment_id: String,
    /// Its name.
    pub name: String,
    /// Milliseconds since the epoch.
    pub creation_timestamp_ms: i64,
    /// Milliseconds since the epoch.
    pub last_updated_timestamp_ms: i64,
    /// URI below which its files lie.
    pub artifact_uri: String,
    /// `LOGGED_MODEL_PENDING`, `LOGGED_MODEL_READY` or `LOGGED_MODEL_UPLOAD_FAILED`.
    pub status: &'static str,
    /// Why it stands there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status_message: String,
    /// What kind of model it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model_type: String,
    /// The run that made it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_run_id: String,
    /// By key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
}

/// A model's document.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ModelData {
    /// By key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<KeyValue>,
    /// The newest point a (key, data set, run).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricOut>,
}

/// A logged model.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ModelOut {
    /// Its own columns and tags.
    pub info: ModelInfo,
    /// Its params and metrics.
    pub data: ModelData,
}

impl From<&LoggedModel> for ModelOut {
    fn from(model: &LoggedModel) -> Self {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let pairs = |map: &std::collections::BTreeMap<String, String>| {
            map.iter().map(|(key, value)| KeyValue::new(key, value)).collect()
        };
        let metric = |metric: &super::Metric| MetricOut {
            key: metric.key.clone(),
            value: Double(metric.number()),
            timestamp: metric.timestamp_ms,
            step: metric.step,
            run_id: some(&metric.run_id),
            model_id: Some(model.uuid.clone()),
            dataset_name: some(&metric.dataset_name),
            dataset_digest: some(&metric.dataset_digest),
        };
        Self {
            info: ModelInfo {
                model_id: model.uuid.clone(),
                experiment_id: model.mlflow_id.to_string(),
                name: model.name.clone(),
                creation_timestamp_ms: model.created_at,
                last_updated_timestamp_ms: model.updated_at,
                artifact_uri: model.artifact_uri(),
                status: model.status.name(),
                status_message: model.status_message.clone(),
                model_type: model.model_type.clone(),
                source_run_id: model.source_run.clone(),
                tags: pairs(&model.document.tags),
            },
            data: ModelData {
                params: pairs(&model.document.params),
                metrics: model.document.metrics.iter().map(metric).collect(),
            },
        }
    }
}

/// An answer with one model.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ModelResponse {
    /// The model.
    pub model: ModelOut,
}

/// `POST logged-models`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CreateRequest {
    /// Decimal text.
    #[serde(alias = "experimentId")]
    pub experiment_id: Option<String>,
    /// Its name; generated if absent.
    pub name: Option<String>,
    /// What kind of model it is.
    #[serde(alias = "modelType")]
    pub model_type: Option<String>,
    /// The run that makes it.
    #[serde(alias = "sourceRunId")]
    pub source_run_id: Option<String>,
    /// Its first params.
    #[serde(default, deserialize_with = "list")]
    pub params: Vec<KeyValue>,
    /// Its first tags.
    #[serde(default, deserialize_with = "list")]
    pub tags: Vec<KeyValue>,
}

/// Requests that name a model in their path.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct IdRequest {
    /// `m-` and 32 hexadecimal digits.
    #[serde(alias = "modelId")]
    pub model_id: Option<String>,
}

/// `PATCH logged-models/{model_id}`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct FinalizeRequest {
    /// `m-` and 32 hexadecimal digits, from the path.
    pub model_id: Option<String>,
    /// By name or number.
    pub status: Option<EnumIn>,
}

/// `POST logged-models/{model_id}/params`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ParamsRequest {
    /// `m-` and 32 hexadecimal digits, from the path.
    pub model_id: Option<String>,
    /// The params.
    #[serde(default, deserialize_with = "list")]
    pub params: Vec<KeyValue>,
}

/// `PATCH logged-models/{model_id}/tags`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct TagsRequest {
    /// `m-` and 32 hexadecimal digits, from the path.
    pub model_id: Option<String>,
    /// The tags.
    #[serde(default, deserialize_with = "list")]
    pub tags: Vec<KeyValue>,
}

/// `DELETE logged-models/{model_id}/tags/{tag_key}`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct TagRequest {
    /// `m-` and 32 hexadecimal digits, from the path.
    pub model_id: Option<String>,
    /// The tag's key, from the path.
    #[serde(alias = "tagKey")]
    pub tag_key: Option<String>,
}

/// A data set that metrics were measured on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatasetChoice {
    /// Its name.
    #[serde(alias = "datasetName")]
    pub dataset_name: Option<String>,
    /// Its digest; any if absent.
    #[serde(alias = "datasetDigest")]
    pub dataset_digest: Option<String>,
}

/// A field to order by.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrderIn {
    /// An attribute, `metrics.<key>`, `params.<key>` or `tags.<key>`.
    #[serde(alias = "fieldName")]
    pub field_name: Option<String>,
    /// Smallest first; true if absent.
    #[serde(default = "yes", deserialize_with = "flag")]
    pub ascending: bool,
    /// Only metrics measured on this data set.
    #[serde(flatten)]
    pub dataset: DatasetChoice,
}

fn yes() -> bool {
    true
}

/// `POST logged-models/search`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct SearchRequest {
    /// Decimal texts.
    #[serde(default, alias = "experimentIds", deserialize_with = "list")]
    pub experiment_ids: Vec<String>,
    /// E.g. `metrics.auc > 0.9 AND params.depth = '5'`.
    pub filter: Option<String>,
    /// Metric filters look at metrics of these data sets only.
    #[serde(default, deserialize_with = "list")]
    pub datasets: Vec<DatasetChoice>,
    /// 50 if absent.
    #[serde(alias = "maxResults")]
    pub max_results: Option<Int64>,
    /// Newest first if empty.
    #[serde(default, alias = "orderBy", deserialize_with = "list")]
    pub order_by: Vec<OrderIn>,
    /// From the answer before.
    #[serde(alias = "pageToken")]
    pub page_token: Option<String>,
}

/// A page of models.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SearchResponse {
    /// In the order asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelOut>,
    /// For the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}
