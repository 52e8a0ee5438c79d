//! MLflow's messages about runs.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::Run;
use crate::{
    router::wire::{Int64, list},
    tracking::wire::{EnumIn, KeyValue, MetricIn, MetricOut},
};

/// A run's own columns.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RunInfo {
    /// 32 hexadecimal digits.
    pub run_id: String,
    /// The same, under its older name.
    pub run_uuid: String,
    /// Its name.
    pub run_name: String,
    /// Decimal text.
    pub experiment_id: String,
    /// Who the client says made it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_id: String,
    /// `RUNNING`, `SCHEDULED`, `FINISHED`, `FAILED` or `KILLED`.
    pub status: &'static str,
    /// Milliseconds since the epoch.
    pub start_time: i64,
    /// Milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<i64>,
    /// URI below which its files lie.
    pub artifact_uri: String,
    /// `active` or `deleted`.
    pub lifecycle_stage: &'static str,
}

impl From<&Run> for RunInfo {
    fn from(run: &Run) -> Self {
        Self {
            run_id: run.uuid.clone(),
            run_uuid: run.uuid.clone(),
            run_name: run.name().to_owned(),
            experiment_id: run.home.mlflow_id.to_string(),
            user_id: run.user.clone(),
            status: run.status.name(),
            start_time: run.start_time,
            end_time: run.end_time,
            artifact_uri: run.artifact_uri(),
            lifecycle_stage: if run.is_deleted() { "deleted" } else { "active" },
        }
    }
}

/// A run's document.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RunData {
    /// Newest point of each metric.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricOut>,
    /// By key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<KeyValue>,
    /// By key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
}

impl From<&Run> for RunData {
    fn from(run: &Run) -> Self {
        let document = &run.document;
        Self {
            metrics: document.metrics().map(|(key, metric)| MetricOut::new(key, metric.latest)).collect(),
            params: document.params().map(|(key, value)| KeyValue::new(key, value)).collect(),
            tags: document.tags().map(|(key, value)| KeyValue::new(key, value)).collect(),
        }
    }
}

/// A data set's description.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Dataset {
    /// Its name.
    pub name: Option<String>,
    /// Identifies its content.
    pub digest: Option<String>,
    /// What kind of place it came from.
    #[serde(alias = "sourceType")]
    pub source_type: Option<String>,
    /// The place, in the words of that kind.
    pub source: Option<String>,
    /// Its columns, as JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Its size and statistics, as JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// A data set that a run read.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct DatasetUse {
    /// What it was used for, and more.
    #[serde(default, deserialize_with = "list")]
    pub tags: Vec<KeyValue>,
    /// The data set.
    pub dataset: Option<Dataset>,
}

/// A data set that a run read, in an answer. Many runs share the description of one.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DatasetUseOut {
    /// What it was used for, and more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
    /// The data set.
    #[serde(serialize_with = "shared")]
    pub dataset: Arc<Dataset>,
}

fn shared<S: Serializer>(dataset: &Arc<Dataset>, serializer: S) -> Result<S::Ok, S::Error> {
    dataset.as_ref().serialize(serializer)
}

/// A logged model that a run read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ModelInput {
    /// `m-` and 32 hexadecimal digits.
    #[serde(alias = "modelId")]
    pub model_id: Option<String>,
}

/// A logged model that a run wrote.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ModelOutput {
    /// `m-` and 32 hexadecimal digits.
    #[serde(alias = "modelId")]
    pub model_id: Option<String>,
    /// At which step.
    #[serde(default)]
    pub step: Option<Int64>,
}

/// What a run read.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct RunInputs {
    /// Data sets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dataset_inputs: Vec<DatasetUseOut>,
    /// Logged models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model_inputs: Vec<ModelInput>,
}

/// What a run wrote.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct RunOutputs {
    /// Logged models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model_outputs: Vec<ModelOutput>,
}

/// A whole run.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RunOut {
    /// Its own columns.
    pub info: RunInfo,
    /// Its document.
    pub data: RunData,
    /// What it read.
    pub inputs: RunInputs,
    /// What it wrote.
    pub outputs: RunOutputs,
}

impl From<&Run> for RunOut {
    fn from(run: &Run) -> Self {
        Self {
            info: run.into(),
            data: run.into(),
            inputs: RunInputs::default(),
            outputs: RunOutputs::default(),
        }
    }
}

/// An answer with a run.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RunResponse {
    /// The run.
    pub run: RunOut,
}

/// `runs/create`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CreateRequest {
    /// Decimal text.
    #[serde(alias = "experimentId")]
    pub experiment_id: Option<String>,
    /// Who makes it.
    #[serde(alias = "userId")]
    pub user_id: Option<String>,
    /// Its name; generated if absent.
    #[serde(alias = "runName")]
    pub run_name: Option<String>,
    /// Milliseconds since the epoch; 0 if absent.
    #[serde(alias = "startTime")]
    pub start_time: Option<Int64>,
    /// Its first tags.
    #[serde(default, deserialize_with = "list")]
    pub tags: Vec<KeyValue>,
}

/// Requests that name a run.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct IdRequest {
    /// 32 hexadecimal digits.
    #[serde(alias = "runId")]
    pub run_id: Option<String>,
    /// The same, under its older name.
    #[serde(alias = "runUuid")]
    pub run_uuid: Option<String>,
}

/// `runs/update`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct UpdateRequest {
    /// 32 hexadecimal digits.
    #[serde(alias = "runId")]
    pub run_id: Option<String>,
    /// The same, under its older name.
    #[serde(alias = "runUuid")]
    pub run_uuid: Option<String>,
    /// Its new status, by name or number.
    pub status: Option<EnumIn>,
    /// Milliseconds since the epoch.
    #[serde(alias = "endTime")]
    pub end_time: Option<Int64>,
    /// Its new name.
    #[serde(alias = "runName")]
    pub run_name: Option<String>,
}

/// The answer of `runs/update`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UpdateResponse {
    /// The run's own columns.
    pub run_info: RunInfo,
}

/// `runs/log-batch`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct BatchRequest {
    /// 32 hexadecimal digits.
    #[serde(alias = "runId")]
    pub run_id: Option<String>,
    /// The same, under its older name.
    #[serde(alias = "runUuid")]
    pub run_uuid: Option<String>,
    /// At most 1,000 points.
    #[serde(default, deserialize_with = "list")]
    pub metrics: Vec<MetricIn>,
    /// At most 100.
    #[serde(default, deserialize_with = "list")]
    pub params: Vec<KeyValue>,
    /// At most 100.
    #[serde(default, deserialize_with = "list")]
    pub tags: Vec<KeyValue>,
}

/// `runs/log-metric`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct MetricRequest {
    /// 32 hexadecimal digits.
    #[serde(alias = "runId")]
    pub run_id: Option<String>,
    /// The same, under its older name.
    #[serde(alias = "runUuid")]
    pub run_uuid: Option<String>,
    /// The point.
    #[serde(flatten)]
    pub metric: MetricIn,
}

/// `runs/log-parameter`, `runs/set-tag`, `runs/delete-tag`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct PairRequest {
    /// 32 hexadecimal digits.
    #[serde(alias = "runId")]
    pub run_id: Option<String>,
    /// The same, under its older name.
    #[serde(alias = "runUuid")]
    pub run_uuid: Option<String>,
    /// The key.
    pub key: Option<String>,
    /// The value; absent is empty.
    pub value: Option<String>,
}

/// `runs/log-inputs`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct InputsRequest {
    /// 32 hexadecimal digits.
    #[serde(alias = "runId")]
    pub run_id: Option<String>,
    /// Data sets that it read.
    #[serde(default, deserialize_with = "list")]
    pub datasets: Vec<DatasetUse>,
    /// Logged models that it read.
    #[serde(default, deserialize_with = "list")]
    pub models: Vec<ModelInput>,
}

/// `runs/outputs`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct OutputsRequest {
    /// 32 hexadecimal digits.
    #[serde(alias = "runId")]
    pub run_id: Option<String>,
    /// Logged models that it wrote.
    #[serde(default, deserialize_with = "list")]
    pub models: Vec<ModelOutput>,
}

/// `runs/log-model`, which clients before 3.0 call.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct LogModelRequest {
    /// 32 hexadecimal digits.
    #[serde(alias = "runId")]
    pub run_id: Option<String>,
    /// The model's description as JSON text.
    #[serde(alias = "modelJson")]
    pub model_json: Option<String>,
}

/// The id of a run from either of its names.
pub fn run_id<'t>(run_id: &'t Option<String>, run_uuid: &'t Option<String>) -> crate::error::Result<&'t str> {
    let [new, old] = [run_id, run_uuid].map(|id| id.as_deref().filter(|id| !id.is_empty()));
    if let (Some(new), Some(old)) = (new, old)
        && new != old
    {
        let message =
            "'run_id' and 'run_uuid' are the new and the old name of one field; they give different values.";
        return Err(crate::error::Error::invalid(message));
    }
    crate::tracking::limits::run_id("run_id", new.or(old))
}
