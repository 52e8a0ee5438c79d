//! The registry of a database: registered models, versions and aliases, read and written.
//!
//! What must stay true: where there are workspaces, nothing but the default one is read and written; what is new is added, and never
//! takes the place of what somebody made there meanwhile.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::{
    super::source::{FoundVersion, Outline},
    Database, Of,
    steps::Step,
    write::some,
};
use crate::{
    error::Result,
    registry::carried::{CarriedAliases, CarriedModel, CarriedVersion},
};

/// The stage in which MLflow keeps the versions that were deleted.
const DELETED: &str = "Deleted_Internal";
/// The workspace of every row that is written.
const WORKSPACE: &str = "default";

impl Database {
    /// Reads the registry into an outline.
    pub(super) fn registry(&mut self, outline: &mut Outline) -> Result<()> {
        if !self.has_table("registered_models") {
            return Ok(());
        }
        outline.models = self.models()?;
        let (gone, versions) =
            self.versions()?.into_iter().partition(|found: &FoundVersion| found.item.stage == DELETED);
        outline.versions = versions;
        outline.deleted_versions = gone;
        outline.aliases = self.aliases()?;
        Ok(())
    }

    /// Tags of models or versions: whose, key, value.
    fn tags(&mut self, whose: &str, table: &str) -> Result<HashMap<String, BTreeMap<String, String>>> {
        let mut tags: HashMap<String, BTreeMap<String, String>> = HashMap::new();
        let statement =
            format!("SELECT {whose}, key, COALESCE(value, '') FROM {table} WHERE {}", self.is_default(table));
        self.each(&statement, &Of::Everything, |row| {
            tags.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
            Ok(())
        })?;
        Ok(tags)
    }

    fn models(&mut self) -> Result<Vec<CarriedModel>> {
        let mut tags = self.tags("name", "registered_model_tags")?;
        let mut models = Vec::new();
        let statement = format!(
            "SELECT name, COALESCE(description, ''), CAST(COALESCE(creation_time, 0) AS BIGINT),
                CAST(COALESCE(last_updated_time, creation_time, 0) AS BIGINT)
             FROM registered_models WHERE {} ORDER BY name",
            self.is_default("registered_models")
        );
        self.each(&statement, &Of::Everything, |row| {
            let name: String = row.get(0)?;
            models.push(CarriedModel {
                tags: tags.remove(&name).unwrap_or_default(),
                name,
                description: row.get(1)?,
                created_time: row.get(2)?,
                updated_time: row.get(3)?,
            });
            Ok(())
        })?;
        Ok(models)
    }

    /// All versions, also those that were deleted: MLflow keeps them as rows in a stage of their own.
    fn versions(&mut self) -> Result<Vec<FoundVersion>> {
        let storage = self.column("model_versions", "storage_location", "NULL");
        let link = self.column("model_versions", "run_link", "NULL");
        let mut tags = self.tags("name || '/' || CAST(version AS TEXT)", "model_version_tags")?;
        let mut versions = Vec::new();
        let statement = format!(
            "SELECT name, CAST(version AS BIGINT), COALESCE(source, ''), COALESCE(run_id, ''), COALESCE({link}, ''),
                COALESCE(description, ''), COALESCE(status, 'READY'), COALESCE(current_stage, 'None'),
                CAST(COALESCE(creation_time, 0) AS BIGINT),
                CAST(COALESCE(last_updated_time, creation_time, 0) AS BIGINT), COALESCE({storage}, '')
             FROM model_versions WHERE {} ORDER BY name, version",
            self.is_default("model_versions")
        );
        self.each(&statement, &Of::Everything, |row| {
            let (name, version): (String, i64) = (row.get(0)?, row.get(1)?);
            let item = CarriedVersion {
                tags: tags.remove(&format!("{name}/{version}")).unwrap_or_default(),
                name,
                version,
                source: row.get(2)?,
                run_id: row.get(3)?,
                run_link: row.get(4)?,
                description: row.get(5)?,
                status: row.get(6)?,
                stage: row.get(7)?,
                created_time: row.get(8)?,
                updated_time: row.get(9)?,
            };
            versions.push(FoundVersion { item, storage_location: row.get(10)? });
            Ok(())
        })?;
        Ok(versions)
    }

    fn aliases(&mut self) -> Result<Vec<CarriedAliases>> {
        let mut aliases: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        if self.has_table(ALIASES) {
            let statement = format!(
                "SELECT name, alias, CAST(version AS BIGINT) FROM {ALIASES} WHERE {}",
                self.is_default(ALIASES)
            );
            self.each(&statement, &Of::Everything, |row| {
                aliases.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
                Ok(())
            })?;
        }
        Ok(aliases.into_iter().map(|(name, aliases)| CarriedAliases { name, aliases }).collect())
    }

    /// Puts a registered model there.
    pub(in super::super) fn put_model(&mut self, item: &CarriedModel, is_new: bool) -> Result<()> {
        let columns = &["workspace", "name", "description", "creation_time", "last_updated_time"];
        let row = vec![
            json!(WORKSPACE),
            json!(item.name),
            some(&item.description),
            json!(item.created_time),
            json!(item.updated_time),
        ];
        let tags =
            item.tags.iter().map(|(key, value)| vec![json!(item.name), json!(key), json!(value)]).collect();
        self.apply(vec![
            Step::put("registered_models", 2, columns, row, is_new),
            self.clear("registered_model_tags", "name", item.name.clone()),
            Step::Add { table: "registered_model_tags", columns: &["name", "key", "value"], rows: tags },
        ])
    }

    /// Puts a version there.
    pub(in super::super) fn put_version(&mut self, found: &FoundVersion, is_new: bool) -> Result<()> {
        let item = &found.item;
        let row = vec![
            json!(WORKSPACE),
            json!(item.name),
            json!(item.version),
            json!(item.created_time),
            json!(item.updated_time),
            some(&item.description),
            json!(item.stage),
            json!(item.source),
            some(&found.storage_location),
            some(&item.run_id),
            some(&item.run_link),
            json!(item.status),
        ];
        let tags: Vec<Vec<Value>> = item
            .tags
            .iter()
            .map(|(key, value)| vec![json!(item.name), json!(item.version), json!(key), json!(value)])
            .collect();
        let key = format!("{}/{}", item.name, item.version);
        self.apply(vec![
            Step::put("model_versions", 3, VERSION_COLUMNS, row, is_new),
            self.clear("model_version_tags", "name || '/' || CAST(version AS TEXT)", key),
            Step::Add {
                table: "model_version_tags",
                columns: &["name", "version", "key", "value"],
                rows: tags,
            },
        ])
    }

    /// Takes away the tags of one model or version.
    fn clear(&self, table: &'static str, whose: &str, key: String) -> Step {
        let condition = format!("{whose} {{ids}} AND {}", self.is_default(table));
        Step::ClearWhere { table, condition, ids: vec![key] }
    }

    /// Sets an alias of a model.
    pub(in super::super) fn put_alias(
        &mut self,
        (name, alias, version): (&str, &str, i64),
        is_new: bool,
    ) -> Result<()> {
        let row = vec![json!(WORKSPACE), json!(name), json!(alias), json!(version)];
        self.apply(vec![Step::put(ALIASES, 3, &["workspace", "name", "alias", "version"], row, is_new)])
    }
}

const ALIASES: &str = "registered_model_aliases";
const VERSION_COLUMNS: &[&str] = &[
    "workspace",
    "name",
    "version",
    "creation_time",
    "last_updated_time",
    "description",
    "current_stage",
    "source",
    "storage_location",
    "run_id",
    "run_link",
    "status",
];
