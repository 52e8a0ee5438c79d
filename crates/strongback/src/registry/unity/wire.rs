//! Unity Catalog's messages about models and versions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use syntax::names::FullName;

use crate::{
    catalog::{
        bootstrap::{DEFAULT_CATALOG, DEFAULT_SCHEMA},
        names::three_levels,
        unsupported::{refuse, refuse_text},
    },
    db::Sql,
    error::{Error, Result},
    registry::{
        aliases::{self, Alias},
        databricks::wire::{Background, Param, background},
        location,
        models::Model,
        tags,
        versions::Version,
    },
    router::wire::{Int64, list, required},
    tracking::wire::{KeyValue, MetricOut},
};

/// A model by its full name, and what is said about it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ModelRequest {
    /// Three levels.
    pub full_name: Option<String>,
}

/// What to change of a model; absent fields stay.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct UpdateModelRequest {
    /// Three levels.
    pub full_name: Option<String>,
    /// A new last part, or a whole new name.
    pub new_name: Option<String>,
    /// Its description.
    pub comment: Option<String>,
    /// Its owner.
    pub owner: Option<String>,
    /// Refused unless it is the last part of the name: `new_name` renames.
    pub name: Option<String>,
    /// Refused unless it is the model's: `new_name` moves.
    pub catalog_name: Option<String>,
    /// Refused unless it is the model's: `new_name` moves.
    pub schema_name: Option<String>,
    /// What a model cannot be given here.
    #[serde(flatten)]
    pub elsewhere: SetElsewhere,
}

impl UpdateModelRequest {
    /// Refuses what it could not do.
    pub fn check(&self, full_name: &str) -> Result<()> {
        let known = three_levels(full_name).unwrap_or_else(|_| FullName {
            catalog: DEFAULT_CATALOG.to_owned(),
            schema: DEFAULT_SCHEMA.to_owned(),
            leaf: full_name.to_owned(),
        });
        for (path, value, known) in [
            ("name", &self.name, &known.leaf),
            ("catalog_name", &self.catalog_name, &known.catalog),
            ("schema_name", &self.schema_name, &known.schema),
        ] {
            refuse_text(path, value.as_deref(), known, "a model is renamed and moved by 'new_name'.")?;
        }
        self.elsewhere.check("a model")
    }
}

/// What Unity Catalog's messages have room for and what is not set by them: refused, rather than dropped silently.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct SetElsewhere {
    /// Refused: aliases are moved one by one, by routes of their own.
    #[serde(default)]
    pub aliases: Option<Vec<Json>>,
    /// Refused: the registry has its own place for files.
    pub storage_location: Option<String>,
}

impl SetElsewhere {
    /// Refuses what `what` (a model, a version) cannot be given.
    fn check(&self, what: &str) -> Result<()> {
        let has_aliases = self.aliases.as_ref().is_some_and(|aliases| !aliases.is_empty());
        refuse("aliases", has_aliases, "an alias is set by a request of its own.")?;
        let place = self.storage_location.as_deref();
        refuse_text("storage_location", place, "", &format!("the files of {what} have their place already."))
    }
}

/// A new model.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CreateModelRequest {
    /// Last part of the name.
    pub name: Option<String>,
    /// The catalog.
    pub catalog_name: Option<String>,
    /// The schema.
    pub schema_name: Option<String>,
    /// Its description.
    pub comment: Option<String>,
    /// Its tags.
    #[serde(default, deserialize_with = "list")]
    pub tags: Vec<KeyValue>,
    /// Refused unless it is the caller.
    pub owner: Option<String>,
    /// What a model cannot be given here.
    #[serde(flatten)]
    pub elsewhere: SetElsewhere,
}

impl CreateModelRequest {
    /// Refuses what it could not do for this caller.
    pub fn check(&self, caller: &str) -> Result<()> {
        let why = "whoever creates a model owns it, and may give it away afterwards.";
        refuse_text("owner", self.owner.as_deref(), caller, why)?;
        self.elsewhere.check("a model")
    }
}

/// Whose models to list: those of a schema, or all.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// The catalog.
    pub catalog_name: Option<String>,
    /// The schema.
    pub schema_name: Option<String>,
    /// At most so many; 0 or absent leaves it to the server.
    #[serde(alias = "maxResults")]
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    #[serde(alias = "pageToken")]
    pub page_token: Option<String>,
}

/// A version, or all of a model's.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct VersionRequest {
    /// Three levels.
    pub full_name: Option<String>,
    /// The number.
    pub version: Option<Int64>,
}

/// What to change of a version; absent fields stay.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct UpdateVersionRequest {
    /// Three levels.
    pub full_name: Option<String>,
    /// The number.
    pub version: Option<Int64>,
    /// Its description.
    pub comment: Option<String>,
    /// Refused: what a version was made of does not change.
    pub source: Option<String>,
    /// Refused: what a version was made of does not change.
    pub run_id: Option<String>,
    /// Refused: a version becomes ready by being finalized.
    pub status: Option<String>,
    /// Refused: a version's dependencies are its model's files.
    pub model_version_dependencies: Option<Map<String, Json>>,
    /// What a version cannot be given here.
    #[serde(flatten)]
    pub elsewhere: SetElsewhere,
}

impl UpdateVersionRequest {
    /// Refuses what it could not do.
    pub fn check(&self) -> Result<()> {
        for (path, value) in [("source", &self.source), ("run_id", &self.run_id)] {
            refuse_text(path, value.as_deref(), "", "what a version was made of does not change.")?;
        }
        refuse_text("status", self.status.as_deref(), "", "a version becomes ready by being finalized.")?;
        let has_more = self.model_version_dependencies.as_ref().is_some_and(|more| !more.is_empty());
        refuse("model_version_dependencies", has_more, "a version stands for its files alone.")?;
        self.elsewhere.check("a version")
    }
}

/// Which page of a model's versions.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct VersionListRequest {
    /// Three levels.
    pub full_name: Option<String>,
    /// At most so many; 0 or absent leaves it to the server.
    #[serde(alias = "maxResults")]
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    #[serde(alias = "pageToken")]
    pub page_token: Option<String>,
}

/// A new version.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CreateVersionRequest {
    /// Last part of the model's name.
    pub model_name: Option<String>,
    /// The catalog.
    pub catalog_name: Option<String>,
    /// The schema.
    pub schema_name: Option<String>,
    /// Where it comes from.
    pub source: Option<String>,
    /// The run it comes from.
    pub run_id: Option<String>,
    /// The logged model it comes from.
    pub model_id: Option<String>,
    /// Its description.
    pub comment: Option<String>,
    /// Its tags.
    #[serde(default, deserialize_with = "list")]
    pub tags: Vec<KeyValue>,
}

/// An alias of a model.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AliasRequest {
    /// Three levels.
    pub full_name: Option<String>,
    /// The alias.
    pub alias: Option<String>,
    /// The version it is to point to.
    pub version_num: Option<Int64>,
}

/// An alias and its version.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AliasInfo {
    /// The alias.
    pub alias_name: String,
    /// The number.
    pub version_num: i64,
}

impl From<&Alias> for AliasInfo {
    fn from(alias: &Alias) -> Self {
        Self { alias_name: alias.alias.clone(), version_num: alias.version }
    }
}

/// A model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelInfo {
    /// Last part of the name.
    pub name: String,
    /// The catalog.
    pub catalog_name: String,
    /// The schema.
    pub schema_name: String,
    /// Three levels.
    pub full_name: String,
    /// The owner's name.
    pub owner: String,
    /// Its description.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Where its files lie, as a path of the Files API.
    pub storage_location: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Who made it.
    pub created_by: String,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
    /// Who changed it last.
    pub updated_by: String,
    /// The id that leaves the server.
    pub id: String,
    /// Its aliases.
    pub aliases: Vec<AliasInfo>,
    /// Its tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
}

impl ModelInfo {
    /// Some models with their aliases.
    pub fn complete(sql: &mut Sql<'_>, models: &[Model]) -> Result<Vec<Self>> {
        let ids: Vec<i64> = models.iter().map(|model| model.id).collect();
        let all = aliases::list(sql, &ids)?;
        let info = |model: &Model| Self {
            name: model.leaf.clone(),
            catalog_name: model.catalog.clone(),
            schema_name: model.schema.clone(),
            full_name: model.full_name(),
            owner: model.owner.clone(),
            comment: model.description.clone(),
            storage_location: format!("/Models/{}/{}/{}", model.catalog, model.schema, model.leaf),
            created_at: model.created_at,
            created_by: model.created_by.clone(),
            updated_at: model.updated_at,
            updated_by: model.updated_by.clone(),
            id: model.uuid.clone(),
            aliases: all.iter().filter(|alias| alias.model_id == model.id).map(AliasInfo::from).collect(),
            tags: tags::pairs(&model.tags),
        };
        Ok(models.iter().map(info).collect())
    }

    /// One model with its aliases.
    pub fn one(sql: &mut Sql<'_>, model: &Model) -> Result<Self> {
        let mut complete = Self::complete(sql, std::slice::from_ref(model))?;
        complete.pop().ok_or_else(|| Error::internal("one model became none"))
    }
}

/// A version.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionInfo {
    /// Last part of the model's name.
    pub model_name: String,
    /// The catalog.
    pub catalog_name: String,
    /// The schema.
    pub schema_name: String,
    /// The number.
    pub version: i64,
    /// Where it comes from.
    pub source: String,
    /// The run it comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub run_id: String,
    /// `READY` or `PENDING_REGISTRATION`.
    pub status: &'static str,
    /// Where its files lie: a path of the Files API, or an address outside of this server.
    pub storage_location: String,
    /// Its description.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Who made it.
    pub created_by: String,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
    /// The model's id and the number.
    pub id: String,
    /// Its aliases.
    pub aliases: Vec<AliasInfo>,
    /// Its tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
    /// The logged model it comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model_id: String,
    /// Parameters of that logged model, where one version is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model_params: Vec<Param>,
    /// Metrics of that logged model, where one version is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model_metrics: Vec<MetricOut>,
}

impl VersionInfo {
    /// A version with the model's aliases.
    pub fn new(
        model: &Model,
        version: &Version,
        storage_location: String,
        aliases: &[Alias],
        background: Background,
    ) -> Self {
        let own = aliases.iter().filter(|alias| alias.version == version.version).map(AliasInfo::from);
        Self {
            model_name: model.leaf.clone(),
            catalog_name: model.catalog.clone(),
            schema_name: model.schema.clone(),
            version: version.version,
            source: version.source.clone(),
            run_id: version.run_id.clone(),
            status: version.status.name(),
            storage_location,
            comment: version.description.clone(),
            created_at: version.created_at,
            created_by: version.created_by.clone(),
            updated_at: version.updated_at,
            id: format!("{}/{}", model.uuid, version.version),
            aliases: own.collect(),
            tags: tags::pairs(&version.tags),
            model_id: version.logged_model.clone(),
            model_params: background.params,
            model_metrics: background.metrics,
        }
    }

    /// The same with aliases and background looked up.
    pub fn load(sql: &mut Sql<'_>, model: &Model, version: &Version) -> Result<Self> {
        let aliases = aliases::list(sql, &[model.id])?;
        let background = background(sql, version)?;
        let storage = location::storage(sql, model, version)?;
        Ok(Self::new(model, version, storage, &aliases, background))
    }
}

/// A page of models.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelsResponse {
    /// By name.
    pub registered_models: Vec<ModelInfo>,
    /// There is more behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// A page of versions.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionsResponse {
    /// By number.
    pub model_versions: Vec<VersionInfo>,
    /// There is more behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// The full name in a path.
pub fn full_name(given: &Option<String>) -> Result<String> {
    required(given, "full_name").map(str::to_owned)
}

/// The number in a path.
pub fn number(given: Option<Int64>) -> Result<i64> {
    given.map(|number| number.0).ok_or_else(|| Error::required("version"))
}

/// Three parts as one name.
pub fn joined(
    catalog: &Option<String>,
    schema: &Option<String>,
    leaf: &Option<String>,
    path: &str,
) -> Result<String> {
    let (catalog, schema) = (required(catalog, "catalog_name")?, required(schema, "schema_name")?);
    Ok(format!("{catalog}.{schema}.{}", required(leaf, path)?))
}
