//! Messages of the client of governed models, where they differ from the plain client's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    db::Sql,
    error::{Error, Result},
    registry::{
        aliases::{self, Alias},
        location,
        mlflow::wire::AliasOut,
        models::Model,
        tags,
        versions::Version,
    },
    router::wire::Int64,
    tracking::{
        model, run,
        wire::{KeyValue, MetricOut},
    },
};

/// A request without fields that are looked at.
pub mod no_fields {
    use schemars::JsonSchema;
    use serde::Deserialize;

    /// The client names the model here; the answer is the same for all.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct Request {}
}

/// Whether files go through the Files API.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SwitchResponse {
    /// Whether they do.
    pub is_databricks_sdk_models_artifact_repository_enabled: bool,
}

/// What reading or writing a version's files needs.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CredentialsRequest {
    /// Name of the model.
    pub name: Option<String>,
    /// The number.
    pub version: Option<Int64>,
    /// `MODEL_VERSION_OPERATION_READ` or `…_READ_WRITE`.
    pub operation: Option<String>,
}

/// The answer to it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CredentialsResponse {
    /// Files go through the server: no credential of a cloud.
    pub credentials: Credentials,
}

/// How files travel.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Credentials {
    /// Through the Files API.
    pub storage_mode: &'static str,
}

/// A governed model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelOut {
    /// Three levels.
    pub name: String,
    /// Milliseconds since the epoch.
    pub creation_timestamp: i64,
    /// Milliseconds since the epoch.
    pub last_updated_timestamp: i64,
    /// Who made it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_id: String,
    /// Its description.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its aliases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<AliasOut>,
    /// Its tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
}

impl ModelOut {
    /// Some models with their aliases.
    pub fn complete(sql: &mut Sql<'_>, models: &[Model]) -> Result<Vec<Self>> {
        let ids: Vec<i64> = models.iter().map(|model| model.id).collect();
        let all = aliases::list(sql, &ids)?;
        let out = |model: &Model| Self {
            name: model.name(),
            creation_timestamp: model.created_at,
            last_updated_timestamp: model.updated_at,
            user_id: model.created_by.clone(),
            description: model.description.clone(),
            aliases: all.iter().filter(|alias| alias.model_id == model.id).map(AliasOut::from).collect(),
            tags: tags::pairs(&model.tags),
        };
        Ok(models.iter().map(out).collect())
    }

    /// One model with its aliases.
    pub fn one(sql: &mut Sql<'_>, model: &Model) -> Result<Self> {
        let mut complete = Self::complete(sql, std::slice::from_ref(model))?;
        complete.pop().ok_or_else(|| Error::internal("one model became none"))
    }
}

/// A version of a governed model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionOut {
    /// Name of the model.
    pub name: String,
    /// The number, as text.
    pub version: String,
    /// Milliseconds since the epoch.
    pub creation_timestamp: i64,
    /// Milliseconds since the epoch.
    pub last_updated_timestamp: i64,
    /// Who made it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_id: String,
    /// Its description.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where it comes from.
    pub source: String,
    /// The run it comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub run_id: String,
    /// That run's experiment, where one version is asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub run_experiment_id: String,
    /// `READY` or `PENDING_REGISTRATION`.
    pub status: &'static str,
    /// Why it stands there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status_message: String,
    /// Where its files lie: a path of the Files API, or an address outside of this server.
    pub storage_location: String,
    /// Its aliases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<AliasOut>,
    /// Its tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
    /// The logged model it comes from. Never empty text: copying a version reads it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model_id: String,
    /// Parameters of that logged model, where one version is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model_params: Vec<Param>,
    /// Metrics of that logged model, where one version is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model_metrics: Vec<MetricOut>,
}

/// What is known of the run and the logged model behind a version.
#[derive(Debug, Default)]
pub struct Background {
    /// MLflow's id of the run's experiment.
    pub run_experiment_id: String,
    /// Parameters of the logged model.
    pub params: Vec<Param>,
    /// Its metrics.
    pub metrics: Vec<MetricOut>,
}

/// A parameter, whose key this face calls its name.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Param {
    /// The key.
    pub name: String,
    /// The value.
    pub value: String,
}

impl VersionOut {
    /// A version with the model's aliases.
    pub fn new<'a>(
        model: &Model,
        version: &Version,
        storage_location: String,
        aliases: impl IntoIterator<Item = &'a Alias>,
        background: Background,
    ) -> Self {
        let own = aliases
            .into_iter()
            .filter(|alias| (alias.model_id, alias.version) == (version.model_id, version.version));
        Self {
            name: model.name(),
            version: version.version.to_string(),
            creation_timestamp: version.created_at,
            last_updated_timestamp: version.updated_at,
            user_id: version.created_by.clone(),
            description: version.description.clone(),
            source: version.source.clone(),
            run_id: version.run_id.clone(),
            run_experiment_id: background.run_experiment_id,
            status: version.status.name(),
            status_message: version.status_message.clone(),
            storage_location,
            aliases: own.map(AliasOut::from).collect(),
            tags: tags::pairs(&version.tags),
            model_id: version.logged_model.clone(),
            model_params: background.params,
            model_metrics: background.metrics,
        }
    }

    /// The same with aliases and background looked up.
    pub fn load(sql: &mut Sql<'_>, model: &Model, version: &Version) -> Result<Self> {
        let all = aliases::list(sql, &[version.model_id])?;
        let background = background(sql, version)?;
        let storage = location::storage(sql, model, version)?;
        Ok(Self::new(model, version, storage, &all, background))
    }
}

/// What lies behind a version, as far as the caller may read it and it is still there.
pub fn background(sql: &mut Sql<'_>, version: &Version) -> Result<Background> {
    let mut found = Background::default();
    if let Some(run) = readable(&version.run_id, |id| run::load(sql, id))? {
        found.run_experiment_id = run.home.mlflow_id.to_string();
    }
    if let Some(model) = readable(&version.logged_model, |id| model::load(sql, id))? {
        let param = |(name, value): (&String, &String)| Param { name: name.clone(), value: value.clone() };
        found.params = model.document.params.iter().map(param).collect();
        found.metrics = model::wire::ModelOut::from(&model).data.metrics;
    }
    Ok(found)
}

/// What an id means; none if it is empty, or says nothing to this caller.
fn readable<T>(id: &str, load: impl FnOnce(&str) -> Result<T>) -> Result<Option<T>> {
    if id.is_empty() {
        return Ok(None);
    }
    match load(id) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_ours() => Err(error),
        Err(_) => Ok(None),
    }
}

/// An answer of one model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelResponse {
    /// The model.
    pub registered_model: ModelOut,
}

/// An answer of one version.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionResponse {
    /// The version.
    pub model_version: VersionOut,
}

/// A page of models.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelsResponse {
    /// The models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registered_models: Vec<ModelOut>,
    /// Continues the search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// A page of versions.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionsResponse {
    /// The versions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model_versions: Vec<VersionOut>,
    /// Continues the search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}
