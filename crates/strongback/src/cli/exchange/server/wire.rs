//! Answers of MLflow's REST interface, as far as an import needs them, and how they become items.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::source::{Found, FoundExperiment};
use crate::{
    registry::carried::{CarriedModel, CarriedVersion},
    router::wire::{Double, Int64},
    tracking::{
        experiment::carried::CarriedExperiment,
        model::carried::{CarriedLoggedModel, CarriedMeasurement},
        run::carried::{CarriedDataset, CarriedPoint, CarriedRun, name_from},
        wire::KeyValue,
    },
};

/// A page of something.
pub(super) trait Page {
    type Item;

    /// What it has, and how to ask for the next one; empty after the last.
    fn split(self) -> (Vec<Self::Item>, String);
}

macro_rules! pages {
    ($($name:ident { $field:ident: $item:ty })+) => {$(
        #[derive(Deserialize, Default)]
        #[serde(default)]
        pub(super) struct $name {
            $field: Vec<$item>,
            next_page_token: Option<String>,
        }

        impl Page for $name {
            type Item = $item;

            fn split(self) -> (Vec<$item>, String) {
                (self.$field, self.next_page_token.unwrap_or_default())
            }
        }
    )+};
}

pages! {
    Experiments { experiments: Experiment }
    RunIds { runs: RunId }
    Runs { runs: Run }
    Metrics { metrics: Metric }
    LoggedModels { models: LoggedModel }
    Models { registered_models: Model }
    Versions { model_versions: Version }
    Files { files: File }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Experiment {
    experiment_id: String,
    name: String,
    artifact_location: String,
    lifecycle_stage: String,
    creation_time: Int64,
    last_update_time: Option<Int64>,
    tags: Vec<KeyValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct RunId {
    pub info: RunIdInfo,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct RunIdInfo {
    pub run_id: String,
    pub experiment_id: String,
}

/// The answer that has one run.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct OneRun {
    pub run: Run,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Run {
    info: RunInfo,
    data: RunData,
    inputs: RunInputs,
    outputs: RunOutputs,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RunInfo {
    run_id: String,
    run_name: String,
    experiment_id: String,
    user_id: String,
    status: String,
    start_time: Int64,
    end_time: Option<Int64>,
    artifact_uri: String,
    lifecycle_stage: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RunData {
    metrics: Vec<Metric>,
    params: Vec<KeyValue>,
    tags: Vec<KeyValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Metric {
    pub key: String,
    pub run_id: String,
    value: Double,
    timestamp: Int64,
    step: Int64,
    dataset_name: Option<String>,
    dataset_digest: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RunInputs {
    dataset_inputs: Vec<DatasetInput>,
    model_inputs: Vec<ModelUse>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RunOutputs {
    model_outputs: Vec<ModelUse>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DatasetInput {
    tags: Vec<KeyValue>,
    dataset: Dataset,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Dataset {
    name: String,
    digest: String,
    source_type: String,
    source: String,
    schema: Option<String>,
    profile: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ModelUse {
    model_id: String,
    step: Int64,
}

/// The answer that has one logged model.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct OneLoggedModel {
    pub model: LoggedModel,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct LoggedModel {
    pub info: LoggedModelInfo,
    data: LoggedModelData,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct LoggedModelInfo {
    pub model_id: String,
    experiment_id: String,
    name: String,
    artifact_uri: String,
    creation_timestamp_ms: Int64,
    last_updated_timestamp_ms: Option<Int64>,
    status: String,
    status_message: String,
    model_type: String,
    source_run_id: String,
    tags: Vec<KeyValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LoggedModelData {
    params: Vec<KeyValue>,
    metrics: Vec<Metric>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Model {
    name: String,
    description: String,
    creation_timestamp: Int64,
    last_updated_timestamp: Option<Int64>,
    tags: Vec<KeyValue>,
    pub aliases: Vec<Alias>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Alias {
    pub alias: String,
    pub version: Int64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Version {
    name: String,
    version: Int64,
    creation_timestamp: Int64,
    last_updated_timestamp: Option<Int64>,
    current_stage: String,
    description: String,
    source: String,
    run_id: String,
    run_link: String,
    status: String,
    tags: Vec<KeyValue>,
}

/// The answer that says where a version's files are.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct DownloadUri {
    pub artifact_uri: String,
}

/// A file or folder of a list.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct File {
    pub path: String,
    pub is_dir: bool,
    pub file_size: Int64,
}

fn texts(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|pair| (pair.key.unwrap_or_default(), pair.value.unwrap_or_default())).collect()
}

fn or(text: String, absent: &str) -> String {
    if text.is_empty() { absent.to_owned() } else { text }
}

impl Metric {
    pub(super) fn point(&self) -> CarriedPoint {
        CarriedPoint(self.timestamp.0, self.step.0, self.value)
    }
}

impl From<Experiment> for FoundExperiment {
    fn from(it: Experiment) -> Self {
        let item = CarriedExperiment {
            experiment_id: it.experiment_id,
            name: it.name,
            artifact_location: None,
            deleted: it.lifecycle_stage == "deleted",
            created_time: it.creation_time.0,
            updated_time: it.last_update_time.unwrap_or(it.creation_time).0,
            tags: texts(it.tags),
        };
        Self { item, artifact_location: it.artifact_location }
    }
}

impl From<Run> for Found<CarriedRun> {
    /// Without the points: a search has only the newest one of each metric, whose key stays.
    fn from(it: Run) -> Self {
        let (start_time, end_time) = (it.info.start_time.0, it.info.end_time.map(|time| time.0));
        let mut item = CarriedRun {
            run_id: it.info.run_id,
            experiment_id: it.info.experiment_id,
            user: it.info.user_id,
            status: or(it.info.status, "FINISHED"),
            start_time,
            end_time,
            // The time is not told.
            deleted_time: (it.info.lifecycle_stage == "deleted").then(|| end_time.unwrap_or(start_time)),
            params: texts(it.data.params),
            tags: texts(it.data.tags),
            metrics: it.data.metrics.into_iter().map(|metric| (metric.key, Vec::new())).collect(),
            models_read: it.inputs.model_inputs.into_iter().map(|model| model.model_id).collect(),
            models_written: it
                .outputs
                .model_outputs
                .into_iter()
                .map(|model| (model.model_id, model.step.0))
                .collect(),
            ..CarriedRun::default()
        };
        name_from(&mut item.tags, &it.info.run_name);
        for input in it.inputs.dataset_inputs {
            let dataset = input.dataset;
            item.datasets.push(CarriedDataset {
                name: dataset.name,
                digest: dataset.digest,
                source_type: dataset.source_type,
                source: dataset.source,
                schema: dataset.schema,
                profile: dataset.profile,
                tags: texts(input.tags),
            });
        }
        Self { item, artifact_uri: it.info.artifact_uri }
    }
}

impl From<LoggedModel> for Found<CarriedLoggedModel> {
    fn from(it: LoggedModel) -> Self {
        let measured = |metric: Metric| CarriedMeasurement {
            key: metric.key,
            run_id: metric.run_id,
            dataset_name: metric.dataset_name.unwrap_or_default(),
            dataset_digest: metric.dataset_digest.unwrap_or_default(),
            timestamp: metric.timestamp.0,
            step: metric.step.0,
            value: metric.value,
        };
        let mut item = CarriedLoggedModel {
            model_id: it.info.model_id,
            experiment_id: it.info.experiment_id,
            name: it.info.name,
            model_type: it.info.model_type,
            source_run_id: it.info.source_run_id,
            status: or(it.info.status, "LOGGED_MODEL_READY"),
            status_message: it.info.status_message,
            created_time: it.info.creation_timestamp_ms.0,
            updated_time: it.info.last_updated_timestamp_ms.unwrap_or(it.info.creation_timestamp_ms).0,
            // A deleted one is not given.
            deleted: false,
            params: texts(it.data.params),
            tags: texts(it.info.tags),
            metrics: it.data.metrics.into_iter().map(measured).collect(),
        };
        item.settle();
        Self { item, artifact_uri: it.info.artifact_uri }
    }
}

impl From<Model> for CarriedModel {
    fn from(it: Model) -> Self {
        Self {
            name: it.name,
            description: it.description,
            created_time: it.creation_timestamp.0,
            updated_time: it.last_updated_timestamp.unwrap_or(it.creation_timestamp).0,
            tags: texts(it.tags),
        }
    }
}

impl From<Version> for CarriedVersion {
    fn from(it: Version) -> Self {
        Self {
            name: it.name,
            version: it.version.0,
            source: it.source,
            run_id: it.run_id,
            run_link: it.run_link,
            description: it.description,
            status: or(it.status, "READY"),
            stage: or(it.current_stage, "None"),
            created_time: it.creation_timestamp.0,
            updated_time: it.last_updated_timestamp.unwrap_or(it.creation_timestamp).0,
            tags: texts(it.tags),
        }
    }
}
