//! MLflow's messages about registered models and their versions.
//!
//! Requests are those of the plain client and of the client of governed models, whose fields have the same names.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    db::Sql,
    error::{Error, Result},
    registry::{
        aliases::{self, Alias},
        models::Model,
        tags,
        versions::{self, Version},
    },
    router::wire::{Int64, list},
    tracking::wire::KeyValue,
};

/// A model by name, and what is said about it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct ModelRequest {
    /// Its name.
    pub name: Option<String>,
    /// Tags, where one is made.
    #[serde(default, deserialize_with = "list")]
    pub tags: Vec<KeyValue>,
    /// Its description.
    pub description: Option<String>,
    /// Its name afterwards, where it is renamed.
    #[serde(alias = "newName")]
    pub new_name: Option<String>,
}

/// A version by name and number, and what is said about it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct VersionRequest {
    /// Name of the model.
    pub name: Option<String>,
    /// The number.
    pub version: Option<Int64>,
    /// Its description.
    pub description: Option<String>,
}

/// A new version.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct CreateVersionRequest {
    /// Name of the model.
    pub name: Option<String>,
    /// Where it comes from.
    pub source: Option<String>,
    /// The run it comes from.
    #[serde(alias = "runId")]
    pub run_id: Option<String>,
    /// The logged model it comes from.
    #[serde(alias = "modelId")]
    pub model_id: Option<String>,
    /// A link to the run, where it is on another server.
    #[serde(alias = "runLink")]
    pub run_link: Option<String>,
    /// Its tags.
    #[serde(default, deserialize_with = "list")]
    pub tags: Vec<KeyValue>,
    /// Its description.
    pub description: Option<String>,
}

/// A tag of a model, or of a version where one is named.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct TagRequest {
    /// Name of the model.
    pub name: Option<String>,
    /// The number, for a version.
    pub version: Option<Int64>,
    /// The key.
    pub key: Option<String>,
    /// The value.
    pub value: Option<String>,
}

/// An alias of a model.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct AliasRequest {
    /// Name of the model.
    pub name: Option<String>,
    /// The alias.
    pub alias: Option<String>,
    /// The version it is to point to.
    pub version: Option<Int64>,
}

/// What to search for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct SearchRequest {
    /// The filter.
    pub filter: Option<String>,
    /// At most so many.
    #[serde(alias = "maxResults")]
    pub max_results: Option<Int64>,
    /// The order.
    #[serde(default, alias = "orderBy", deserialize_with = "list")]
    pub order_by: Vec<String>,
    /// Where the page before ended.
    #[serde(alias = "pageToken")]
    pub page_token: Option<String>,
}

/// An alias and its version.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AliasOut {
    /// The alias.
    pub alias: String,
    /// The number, as text.
    pub version: String,
}

impl From<&Alias> for AliasOut {
    fn from(alias: &Alias) -> Self {
        Self { alias: alias.alias.clone(), version: alias.version.to_string() }
    }
}

/// A registered model.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ModelOut {
    /// Its name.
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
    /// The highest version of each stage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub latest_versions: Vec<VersionOut>,
    /// Its tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
    /// Its aliases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<AliasOut>,
}

impl ModelOut {
    /// A model without its versions and aliases.
    pub fn new(model: &Model) -> Self {
        Self {
            name: model.name(),
            creation_timestamp: model.created_at,
            last_updated_timestamp: model.updated_at,
            user_id: model.created_by.clone(),
            description: model.description.clone(),
            latest_versions: Vec::new(),
            tags: tags::pairs(&model.tags),
            aliases: Vec::new(),
        }
    }

    /// Some models with their aliases and, where `with_versions`, their latest versions.
    pub fn complete(sql: &mut Sql<'_>, models: &[Model], with_versions: bool) -> Result<Vec<Self>> {
        let ids: Vec<i64> = models.iter().map(|model| model.id).collect();
        let all = aliases::list(sql, &ids)?;
        let latest = if with_versions { versions::latest(sql, &ids)? } else { Vec::new() };
        let mut aliases_of: HashMap<i64, Vec<&Alias>> = HashMap::new();
        let mut versions_of: HashMap<i64, Vec<&Version>> = HashMap::new();
        for alias in &all {
            aliases_of.entry(alias.model_id).or_default().push(alias);
        }
        for version in &latest {
            versions_of.entry(version.model_id).or_default().push(version);
        }
        let complete = |model: &Model| {
            let own = aliases_of.remove(&model.id).unwrap_or_default();
            let mut out = Self::new(model);
            out.aliases = own.iter().map(|alias| AliasOut::from(*alias)).collect();
            let versions = versions_of.remove(&model.id).unwrap_or_default();
            out.latest_versions =
                versions.iter().map(|version| VersionOut::new(&out.name, version, &own)).collect();
            out
        };
        Ok(models.iter().map(complete).collect())
    }

    /// One model with its aliases and, where `with_versions`, its latest versions.
    pub fn one(sql: &mut Sql<'_>, model: &Model, with_versions: bool) -> Result<Self> {
        let mut complete = Self::complete(sql, std::slice::from_ref(model), with_versions)?;
        complete.pop().ok_or_else(|| Error::internal("one model became none"))
    }
}

/// A version of a model.
#[derive(Debug, Clone, Serialize, JsonSchema)]
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
    /// Its stage.
    pub current_stage: &'static str,
    /// Its description.
    pub description: String,
    /// Where it comes from.
    pub source: String,
    /// The run it comes from.
    pub run_id: String,
    /// `READY`, or `PENDING_REGISTRATION` while files are on their way.
    pub status: &'static str,
    /// Why it stands there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status_message: String,
    /// A link to the run, where it is on another server.
    pub run_link: String,
    /// Its tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
    /// Names of its aliases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

impl VersionOut {
    /// A version of the model with this name; `aliases` are the model's.
    pub fn new(name: &str, version: &Version, aliases: &[&Alias]) -> Self {
        let own = aliases
            .iter()
            .filter(|alias| (alias.model_id, alias.version) == (version.model_id, version.version));
        Self {
            name: name.to_owned(),
            version: version.version.to_string(),
            creation_timestamp: version.created_at,
            last_updated_timestamp: version.updated_at,
            user_id: version.created_by.clone(),
            current_stage: version.stage.name(),
            description: version.description.clone(),
            source: version.source.clone(),
            run_id: version.run_id.clone(),
            status: version.status.name(),
            status_message: version.status_message.clone(),
            run_link: version.run_link.clone(),
            tags: tags::pairs(&version.tags),
            aliases: own.map(|alias| alias.alias.clone()).collect(),
        }
    }

    /// The same with its aliases looked up.
    pub fn load(sql: &mut Sql<'_>, name: &str, version: &Version) -> Result<Self> {
        let all = aliases::list(sql, &[version.model_id])?;
        Ok(Self::new(name, version, &all.iter().collect::<Vec<_>>()))
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

/// Where the files of a version are.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DownloadUriResponse {
    /// The address.
    pub artifact_uri: String,
}

/// The name of a request.
pub fn name(name: Option<&String>) -> Result<String> {
    name.filter(|name| !name.is_empty()).cloned().ok_or_else(|| Error::required("name"))
}

/// The number of a request.
pub fn number(version: Option<Int64>) -> Result<i64> {
    version.map(|version| version.0).ok_or_else(|| Error::required("version"))
}

/// The alias of a request.
pub fn alias(alias: Option<String>) -> Result<String> {
    alias.filter(|alias| !alias.is_empty()).ok_or_else(|| Error::required("alias"))
}
