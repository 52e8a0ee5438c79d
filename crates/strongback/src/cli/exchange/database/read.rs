//! Reading: what is there, by the tables and columns that there are.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    super::source::{Found, FoundExperiment, Held, Outline, Source, Unread, fitting},
    Database, Of,
};
use crate::{
    error::{Error, Result},
    router::wire::Double,
    tracking::{
        experiment::carried::CarriedExperiment,
        model::carried::{CarriedLoggedModel, CarriedMeasurement},
        run::carried::{CarriedDataset, CarriedPoint, CarriedRun, name_from},
    },
};

/// Tables of what cannot come, and what a person calls what they hold.
const LEFT_BEHIND: &[(&str, &str)] = &[
    ("trace_info", "traces"),
    ("assessments", "assessments of traces"),
    ("evaluation_datasets", "evaluation data sets"),
    ("scorers", "scorers"),
    ("webhooks", "webhooks (their secrets are sealed there)"),
    ("endpoints", "gateway endpoints"),
    ("issues", "issues"),
    ("label_schemas", "label schemas"),
    ("review_queues", "review queues"),
    ("mcp_servers", "MCP servers"),
    ("jobs", "jobs"),
];
/// Tables of which the rows of the default workspace come, and what a person calls the others.
const WORKSPACES: &[(&str, &str)] = &[
    ("experiments", "experiments of other workspaces"),
    ("registered_models", "registered models of other workspaces"),
    ("model_versions", "versions of other workspaces"),
];

impl Database {
    /// All experiments, by number.
    pub(in super::super) fn experiments(&mut self) -> Result<Vec<FoundExperiment>> {
        let (created, updated) = (
            self.column("experiments", "creation_time", "NULL"),
            self.column("experiments", "last_update_time", "NULL"),
        );
        let mut found = Vec::new();
        let statement = format!(
            "SELECT CAST(experiment_id AS BIGINT), name, COALESCE(artifact_location, ''),
                COALESCE(lifecycle_stage, 'active'), CAST(COALESCE({created}, 0) AS BIGINT),
                CAST(COALESCE({updated}, {created}, 0) AS BIGINT)
             FROM experiments WHERE {} ORDER BY experiment_id",
            self.is_default("experiments")
        );
        self.each(&statement, &Of::Everything, |row| {
            let item = CarriedExperiment {
                experiment_id: row.get::<i64>(0)?.to_string(),
                name: row.get(1)?,
                artifact_location: None,
                deleted: row.get::<String>(3)? == "deleted",
                created_time: row.get(4)?,
                updated_time: row.get(5)?,
                tags: BTreeMap::new(),
            };
            found.push(FoundExperiment { item, artifact_location: row.get(2)? });
            Ok(())
        })?;
        let mut tags: HashMap<String, BTreeMap<String, String>> = HashMap::new();
        let statement = "SELECT CAST(experiment_id AS BIGINT), key, COALESCE(value, '') FROM experiment_tags";
        self.each(statement, &Of::Everything, |row| {
            tags.entry(row.get::<i64>(0)?.to_string()).or_default().insert(row.get(1)?, row.get(2)?);
            Ok(())
        })?;
        for experiment in &mut found {
            experiment.item.tags = tags.remove(&experiment.item.experiment_id).unwrap_or_default();
        }
        Arc::make_mut(&mut self.numbers).learn(&mut found);
        self.learn_others()?;
        Ok(found)
    }

    /// Learns which numbers experiments of other workspaces have.
    fn learn_others(&mut self) -> Result<()> {
        let statement = format!(
            "SELECT CAST(experiment_id AS BIGINT) FROM experiments WHERE NOT ({})",
            self.is_default("experiments")
        );
        let mut numbers = Arc::clone(&self.numbers);
        self.each(&statement, &Of::Everything, |row| {
            Arc::make_mut(&mut numbers).add_other(row.get(0)?);
            Ok(())
        })?;
        self.numbers = numbers;
        Ok(())
    }

    fn ids(&mut self, statement: &str) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        self.each(statement, &Of::Everything, |row| {
            ids.push(row.get(0)?);
            Ok(())
        })?;
        Ok(ids)
    }

    fn left_behind(&mut self) -> Result<BTreeMap<String, u64>> {
        let mut left = BTreeMap::new();
        for (table, what) in LEFT_BEHIND {
            if !self.has_table(table) {
                continue;
            }
            self.count(&format!("SELECT COUNT(*) FROM {table}"), what, &mut left)?;
        }
        for (table, what) in WORKSPACES {
            if self.has(table, "workspace") {
                let statement =
                    format!("SELECT COUNT(*) FROM {table} WHERE NOT ({})", self.is_default(table));
                self.count(&statement, what, &mut left)?;
            }
        }
        for (table, what) in
            [("runs", "runs of other workspaces"), ("logged_models", "logged models of other workspaces")]
        {
            if self.has("experiments", "workspace") && self.has_table(table) {
                let statement = format!("SELECT COUNT(*) FROM {table} WHERE NOT ({})", self.is_of_default());
                self.count(&statement, what, &mut left)?;
            }
        }
        Ok(left)
    }

    fn count(&mut self, statement: &str, what: &str, into: &mut BTreeMap<String, u64>) -> Result<()> {
        self.each(statement, &Of::Everything, |row| {
            let count = row.get::<i64>(0)?.cast_unsigned();
            if count > 0 {
                into.insert(what.to_owned(), count);
            }
            Ok(())
        })
    }

    fn run_rows(&mut self, ids: &[String]) -> Result<HashMap<String, Found<CarriedRun>>> {
        let deleted = self.column("runs", "deleted_time", "NULL");
        let statement = format!(
            "SELECT run_uuid, COALESCE(name, ''), COALESCE(user_id, ''), COALESCE(status, 'FINISHED'),
                CAST(COALESCE(start_time, 0) AS BIGINT), CAST(end_time AS BIGINT),
                COALESCE(lifecycle_stage, 'active'), COALESCE(artifact_uri, ''),
                CAST(COALESCE(experiment_id, 0) AS BIGINT), CAST({deleted} AS BIGINT)
             FROM runs WHERE run_uuid {{ids}}"
        );
        let mut found = HashMap::with_capacity(ids.len());
        let numbers = Arc::clone(&self.numbers);
        self.each(&statement, &Of::These(ids), |row| {
            let run_id: String = row.get(0)?;
            let (start_time, end_time): (i64, Option<i64>) = (row.get(4)?, row.get(5)?);
            let is_deleted = row.get::<String>(6)? == "deleted";
            let mut item = CarriedRun {
                run_id: run_id.clone(),
                experiment_id: numbers.id(row.get(8)?),
                user: row.get(2)?,
                status: row.get(3)?,
                start_time,
                end_time,
                deleted_time: is_deleted
                    .then(|| row.get::<Option<i64>>(9))
                    .transpose()?
                    .map(|at| at.or(end_time).unwrap_or(start_time)),
                ..CarriedRun::default()
            };
            name_from(&mut item.tags, &row.get::<String>(1)?);
            found.insert(run_id, Found { item, artifact_uri: row.get(7)? });
            Ok(())
        })?;
        Ok(found)
    }

    fn run_texts(&mut self, ids: &[String], found: &mut HashMap<String, Found<CarriedRun>>) -> Result<()> {
        let statement = "SELECT run_uuid, key, COALESCE(value, '') FROM params WHERE run_uuid {ids}";
        self.each(statement, &Of::These(ids), |row| {
            if let Some(run) = found.get_mut(&row.get::<String>(0)?) {
                run.item.params.insert(row.get(1)?, row.get(2)?);
            }
            Ok(())
        })?;
        let statement = "SELECT run_uuid, key, COALESCE(value, '') FROM tags WHERE run_uuid {ids}";
        self.each(statement, &Of::These(ids), |row| {
            if let Some(run) = found.get_mut(&row.get::<String>(0)?) {
                // The run's own name stands above the tag, which may be an older one.
                run.item.tags.entry(row.get(1)?).or_insert(row.get(2)?);
            }
            Ok(())
        })
    }

    fn run_points(&mut self, ids: &[String], found: &mut HashMap<String, Found<CarriedRun>>) -> Result<()> {
        let statement = "SELECT run_uuid, key, CAST(COALESCE(timestamp, 0) AS BIGINT), CAST(step AS BIGINT),
                CAST(value AS DOUBLE PRECISION), CASE WHEN is_nan THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END
             FROM metrics WHERE run_uuid {ids}";
        self.each(statement, &Of::These(ids), |row| {
            if let Some(run) = found.get_mut(&row.get::<String>(0)?) {
                let value = if row.flag(5)? { f64::NAN } else { row.get(4)? };
                let point = CarriedPoint(row.get(2)?, row.get(3)?, Double(value));
                let key: String = row.get(1)?;
                match run.item.metrics.get_mut(&key) {
                    Some(points) => points.push(point),
                    None => drop(run.item.metrics.insert(key, vec![point])),
                }
            }
            Ok(())
        })
    }

    /// Data sets that runs read, and logged models that they read and wrote.
    fn run_uses(&mut self, ids: &[String], found: &mut HashMap<String, Found<CarriedRun>>) -> Result<()> {
        if !self.has_table("inputs") {
            return Ok(());
        }
        let mut tags: HashMap<String, BTreeMap<String, String>> = HashMap::new();
        let statement = "SELECT t.input_uuid, t.name, t.value FROM input_tags t JOIN inputs i ON i.input_uuid = t.input_uuid
             WHERE i.destination_type = 'RUN' AND i.destination_id {ids}";
        self.each(statement, &Of::These(ids), |row| {
            tags.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
            Ok(())
        })?;
        let statement = "SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source,
                d.dataset_schema, d.dataset_profile
             FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id
             WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' AND i.destination_id {ids}";
        self.each(statement, &Of::These(ids), |row| {
            if let Some(run) = found.get_mut(&row.get::<String>(0)?) {
                run.item.datasets.push(CarriedDataset {
                    name: row.get(2)?,
                    digest: row.get(3)?,
                    source_type: row.get(4)?,
                    source: row.get(5)?,
                    schema: row.get(6)?,
                    profile: row.get(7)?,
                    tags: tags.remove(&row.get::<String>(1)?).unwrap_or_default(),
                });
            }
            Ok(())
        })?;
        let step = self.column("inputs", "step", "0");
        let statement = format!(
            "SELECT source_id, source_type, destination_id, CAST({step} AS BIGINT) FROM inputs
             WHERE source_type IN ('RUN_INPUT', 'RUN_OUTPUT') AND source_id {{ids}}"
        );
        self.each(&statement, &Of::These(ids), |row| {
            if let Some(run) = found.get_mut(&row.get::<String>(0)?) {
                match row.get::<String>(1)?.as_str() {
                    "RUN_INPUT" => run.item.models_read.push(row.get(2)?),
                    _ => run.item.models_written.push((row.get(2)?, row.get(3)?)),
                }
            }
            Ok(())
        })
    }

    fn model_rows(&mut self, ids: &[String]) -> Result<HashMap<String, Found<CarriedLoggedModel>>> {
        let mut found = HashMap::new();
        let statement =
            "SELECT model_id, CAST(experiment_id AS BIGINT), name, COALESCE(artifact_location, ''),
                CAST(creation_timestamp_ms AS BIGINT), CAST(last_updated_timestamp_ms AS BIGINT),
                CAST(status AS BIGINT), COALESCE(lifecycle_stage, 'active'), COALESCE(model_type, ''),
                COALESCE(source_run_id, ''), COALESCE(status_message, '')
             FROM logged_models WHERE model_id {ids}";
        let numbers = Arc::clone(&self.numbers);
        self.each(statement, &Of::These(ids), |row| {
            let model_id: String = row.get(0)?;
            let status = match row.get::<i64>(6)? {
                1 => "LOGGED_MODEL_PENDING",
                3 => "LOGGED_MODEL_UPLOAD_FAILED",
                _ => "LOGGED_MODEL_READY",
            };
            let item = CarriedLoggedModel {
                model_id: model_id.clone(),
                experiment_id: numbers.id(row.get(1)?),
                name: row.get(2)?,
                model_type: row.get(8)?,
                source_run_id: row.get(9)?,
                status: status.to_owned(),
                status_message: row.get(10)?,
                created_time: row.get(4)?,
                updated_time: row.get(5)?,
                deleted: row.get::<String>(7)? == "deleted",
                ..CarriedLoggedModel::default()
            };
            found.insert(model_id, Found { item, artifact_uri: row.get(3)? });
            Ok(())
        })?;
        Ok(found)
    }

    fn model_texts(
        &mut self,
        ids: &[String],
        found: &mut HashMap<String, Found<CarriedLoggedModel>>,
    ) -> Result<()> {
        let statement =
            "SELECT model_id, param_key, param_value FROM logged_model_params WHERE model_id {ids}";
        self.each(statement, &Of::These(ids), |row| {
            if let Some(model) = found.get_mut(&row.get::<String>(0)?) {
                model.item.params.insert(row.get(1)?, row.get(2)?);
            }
            Ok(())
        })?;
        let statement = "SELECT model_id, tag_key, tag_value FROM logged_model_tags WHERE model_id {ids}";
        self.each(statement, &Of::These(ids), |row| {
            if let Some(model) = found.get_mut(&row.get::<String>(0)?) {
                model.item.tags.insert(row.get(1)?, row.get(2)?);
            }
            Ok(())
        })?;
        let statement = "SELECT model_id, metric_name, CAST(metric_timestamp_ms AS BIGINT), CAST(metric_step AS BIGINT),
                CAST(metric_value AS DOUBLE PRECISION), run_id, COALESCE(dataset_name, ''), COALESCE(dataset_digest, '')
             FROM logged_model_metrics WHERE model_id {ids}";
        self.each(statement, &Of::These(ids), |row| {
            if let Some(model) = found.get_mut(&row.get::<String>(0)?) {
                model.item.metrics.push(CarriedMeasurement {
                    key: row.get(1)?,
                    run_id: row.get(5)?,
                    dataset_name: row.get(6)?,
                    dataset_digest: row.get(7)?,
                    timestamp: row.get(2)?,
                    step: row.get(3)?,
                    value: Double(row.get::<Option<f64>>(4)?.unwrap_or(f64::NAN)),
                });
            }
            Ok(())
        })
    }
}

impl Source for Database {
    fn outline(&mut self) -> Result<Outline> {
        let mut outline = Outline { experiments: self.experiments()?, ..Outline::default() };
        outline.version = match self.has_table("alembic_version") {
            true => self.ids("SELECT version_num FROM alembic_version")?.join(", "),
            false => String::new(),
        };
        let of_default = self.is_of_default();
        outline.runs =
            self.ids(&format!("SELECT run_uuid FROM runs WHERE {of_default} ORDER BY run_uuid"))?;
        if self.has_table("logged_models") {
            let statement =
                format!("SELECT model_id FROM logged_models WHERE {of_default} ORDER BY model_id");
            outline.logged_models = self.ids(&statement)?;
        }
        self.registry(&mut outline)?;
        outline.left_behind = self.left_behind()?;
        Ok(outline)
    }

    fn fitting(&mut self, ids: &[String], points_max: usize) -> Result<usize> {
        let mut points: HashMap<String, usize> = HashMap::new();
        let statement = "SELECT run_uuid, COUNT(*) FROM metrics WHERE run_uuid {ids} GROUP BY run_uuid";
        self.each(statement, &Of::These(ids), |row| {
            points.insert(row.get(0)?, usize::try_from(row.get::<i64>(1)?).unwrap_or(usize::MAX));
            Ok(())
        })?;
        Ok(fitting(ids.iter().map(|id| points.get(id).copied().unwrap_or_default()), points_max))
    }

    fn runs(&mut self, ids: &[String]) -> Result<Vec<Found<CarriedRun>>> {
        let mut found = self.run_rows(ids)?;
        self.run_texts(ids, &mut found)?;
        self.run_points(ids, &mut found)?;
        self.run_uses(ids, &mut found)?;
        let mut found: Vec<_> = found.into_values().collect();
        for run in &mut found {
            run.item.settle();
        }
        Ok(found)
    }

    fn logged_models(&mut self, ids: &[String]) -> Result<Vec<Found<CarriedLoggedModel>>> {
        let mut found = self.model_rows(ids)?;
        self.model_texts(ids, &mut found)?;
        let mut found: Vec<_> = found.into_values().collect();
        for model in &mut found {
            model.item.settle();
        }
        Ok(found)
    }

    fn files(&mut self, _: &Held<'_>) -> Result<Option<Vec<(String, u64)>>> {
        Ok(None)
    }

    fn fetch(&mut self, owner: &Held<'_>, _: &str, _: &mut std::fs::File) -> Result<()> {
        Err(Error::invalid(format!("The files at {} are not in the database.", owner.artifact_uri)))
    }

    fn unread(&self) -> Unread {
        Unread::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Access, *};

    #[test]
    fn a_batch_ends_at_points() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mlflow.db");
        let made = rusqlite::Connection::open(&path).unwrap();
        made.execute_batch(
            "CREATE TABLE experiments (experiment_id INTEGER); CREATE TABLE runs (run_uuid TEXT);
             CREATE TABLE metrics (key TEXT, run_uuid TEXT);
             INSERT INTO metrics VALUES ('a', 'r1'), ('b', 'r1'), ('a', 'r3'), ('a', 'r4'), ('b', 'r4'), ('c', 'r4');",
        )
        .unwrap();
        let mut database = Database::sqlite(&path, Access::Read).unwrap();
        let ids = ["r1", "r2", "r3", "r4"].map(str::to_owned);
        for (points_max, fits) in [(1, 1), (2, 2), (3, 3), (5, 3), (6, 4)] {
            assert_eq!(database.fitting(&ids, points_max).unwrap(), fits, "{points_max}");
        }
        assert_eq!(database.fitting(&ids[3..], 1).unwrap(), 1);
    }
}
