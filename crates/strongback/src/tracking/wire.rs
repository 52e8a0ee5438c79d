//! Pieces of MLflow's messages that several endpoints share.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::router::wire::{Double, Int64};

/// A tag, param or input tag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyValue {
    /// The key.
    #[serde(default)]
    pub key: Option<String>,
    /// The value; absent is empty.
    #[serde(default)]
    pub value: Option<String>,
}

impl KeyValue {
    /// A pair for an answer.
    pub fn new(key: &str, value: &str) -> Self {
        Self { key: Some(key.to_owned()), value: Some(value.to_owned()) }
    }

    /// The value; absent is empty.
    pub fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }
}

/// A point as it comes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct MetricIn {
    /// The metric's key.
    pub key: Option<String>,
    /// The value.
    pub value: Option<Double>,
    /// Milliseconds since the epoch.
    pub timestamp: Option<Int64>,
    /// The step; 0 if absent.
    pub step: Option<Int64>,
    /// The logged model that was measured.
    #[serde(alias = "modelId")]
    pub model_id: Option<String>,
    /// The data set it was measured on.
    #[serde(alias = "datasetName")]
    pub dataset_name: Option<String>,
    /// That data set's digest.
    #[serde(alias = "datasetDigest")]
    pub dataset_digest: Option<String>,
}

/// A point as it leaves.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MetricOut {
    /// The metric's key.
    pub key: String,
    /// The value.
    pub value: Double,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// The step.
    pub step: i64,
    /// The run, where points of several runs are in one answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The logged model that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
    /// The data set it was measured on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset_name: Option<String>,
    /// That data set's digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset_digest: Option<String>,
}

impl MetricOut {
    /// A run's own point.
    pub fn new(key: &str, point: crate::tracking::document::Point) -> Self {
        Self {
            key: key.to_owned(),
            value: Double(point.value.get()),
            timestamp: point.timestamp_ms,
            step: point.step,
            run_id: None,
            model_id: None,
            dataset_name: None,
            dataset_digest: None,
        }
    }
}

/// Longest value of a param or tag that comes from another store, in characters. What another store holds is not cut.
pub const CARRIED_CHARS: usize = 1_000_000;

/// What came of something that was taken from another store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was not here, and is now.
    Made,
    /// It was here, and has changed.
    Changed,
    /// It was here as it came.
    Same,
}

/// Which life-cycle stages a search shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ViewType {
    /// Only what is not deleted; also what an unknown value means, as in MLflow.
    #[default]
    ActiveOnly,
    /// Only what is deleted.
    DeletedOnly,
    /// Both.
    All,
}

impl ViewType {
    /// Whether it shows something deleted, or not deleted.
    pub fn shows(self, deleted: bool) -> bool {
        match self {
            Self::All => true,
            Self::ActiveOnly => !deleted,
            Self::DeletedOnly => deleted,
        }
    }
}

impl<'de> Deserialize<'de> for ViewType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::<EnumIn>::deserialize(deserializer)? {
            Some(EnumIn::Name(name)) if name == "DELETED_ONLY" || name == "2" => Self::DeletedOnly,
            Some(EnumIn::Name(name)) if name == "ALL" || name == "3" => Self::All,
            Some(EnumIn::Number(2)) => Self::DeletedOnly,
            Some(EnumIn::Number(3)) => Self::All,
            _ => Self::ActiveOnly,
        })
    }
}

/// An enum value by name or by number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EnumIn {
    /// By name, or its number in a query.
    Name(String),
    /// By number.
    Number(i64),
}
