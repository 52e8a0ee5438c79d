//! Writing: items in whole, each batch in one transaction, into the tables and columns that there are.
//!
//! What must stay true: a batch is there in whole or not at all; nothing but the rows of its items is touched; the tables stay as
//! MLflow made them. An item of which something is there already is written over, since the caller decided so.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    super::source::{Found, FoundExperiment, FoundVersion},
    Connection, Database, EXPERIMENT_TAG, Of,
    steps::{Step, postgres_refused},
};
use crate::{
    error::{Error, Result},
    registry::carried::{CarriedAliases, CarriedModel},
    tracking::{
        model::carried::CarriedLoggedModel,
        run::carried::{CarriedPoint, CarriedRun},
    },
};

/// What MLflow's own server writes where it knows of no source.
const SOURCE_TYPE: &str = "UNKNOWN";

/// Data sets of an experiment that are there: by name and digest, with their ids.
pub(super) type Datasets = HashMap<(String, String), String>;

fn some(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn lifecycle(is_deleted: bool) -> Value {
    json!(if is_deleted { "deleted" } else { "active" })
}

/// An id that the same things always have: MLflow's are 32 hexadecimal digits by chance.
fn id_of(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut id = hex::encode(hasher.finalize());
    id.truncate(32);
    id
}

/// A value as MLflow's columns hold it: not a number is told beside it, and an infinite one is the greatest.
fn stored(value: f64) -> (Value, bool) {
    if value.is_nan() { (json!(0.0), true) } else { (json!(value.clamp(f64::MIN, f64::MAX)), false) }
}

fn point_row(run_id: &str, key: &str, point: CarriedPoint) -> Vec<Value> {
    let (value, is_nan) = stored(point.2.0);
    vec![json!(run_id), json!(key), json!(point.0), json!(point.1), value, json!(is_nan)]
}

/// The point that MLflow shows as a metric's newest: by step, then by time, then by value.
fn newest(points: &[CarriedPoint]) -> Option<CarriedPoint> {
    points.iter().copied().max_by(|a, b| {
        let value = |point: &CarriedPoint| if point.2.0.is_nan() { 0.0 } else { point.2.0 };
        (a.1, a.0).cmp(&(b.1, b.0)).then(value(a).total_cmp(&value(b)))
    })
}

impl Database {
    /// Whether ids of experiments have the width that ours have. MLflow's own in PostgreSQL are of 32 bits.
    fn is_wide(&self) -> bool {
        matches!(self.connection, Connection::Sqlite(_))
    }

    /// The id that an experiment of ours has there.
    fn experiment_id(&self, ours: &str) -> Result<i64> {
        match self.numbers.there(ours) {
            Some(there) => Ok(there),
            None => ours
                .parse()
                .map_err(|_| Error::internal(format!("an experiment has the id {ours}, which is no number"))),
        }
    }

    /// Puts an experiment there.
    pub(in super::super) fn put_experiment(&mut self, found: &FoundExperiment) -> Result<()> {
        let item = &found.item;
        let mut tags = item.tags.clone();
        let mut id = self.experiment_id(&item.experiment_id)?;
        if !self.is_wide() && i32::try_from(id).is_err() {
            let mut last = 0;
            let statement = "SELECT CAST(COALESCE(MAX(experiment_id), 0) AS BIGINT) FROM experiments";
            self.each(statement, &Of::Everything, |row| {
                last = row.get(0)?;
                Ok(())
            })?;
            id = last + 1;
            Arc::make_mut(&mut self.numbers).add(id, &item.experiment_id);
        }
        if self.numbers.ours(id).is_some() {
            tags.insert(EXPERIMENT_TAG.to_owned(), item.experiment_id.clone());
        }
        let rows = tags.iter().map(|(key, value)| vec![json!(id), json!(key), json!(value)]).collect();
        let columns = &[
            "experiment_id",
            "name",
            "artifact_location",
            "lifecycle_stage",
            "creation_time",
            "last_update_time",
        ];
        let row = vec![
            json!(id),
            json!(item.name),
            json!(found.artifact_location),
            lifecycle(item.deleted),
            json!(item.created_time),
            json!(item.updated_time),
        ];
        self.apply(vec![
            Step::Put { table: "experiments", keys: 1, columns, row },
            Step::Clear { table: "experiment_tags", column: "experiment_id", values: vec![json!(id)] },
            Step::Add { table: "experiment_tags", columns: &["experiment_id", "key", "value"], rows },
        ])
    }

    /// Puts runs there. Of those in `there` the rows that are there go first.
    pub(in super::super) fn put_runs(
        &mut self,
        runs: &[Found<CarriedRun>],
        there: &HashSet<String>,
    ) -> Result<()> {
        let mut steps = self.without_runs(runs, there);
        let (mut heads, mut params, mut tags) = (Vec::new(), Vec::new(), Vec::new());
        let (mut points, mut latest) = (Vec::new(), Vec::new());
        for Found { item, artifact_uri } in runs {
            let row = self.run_row(item, artifact_uri)?;
            if there.contains(&item.run_id) {
                steps.push(Step::Put { table: "runs", keys: 1, columns: RUN_COLUMNS, row });
            } else {
                heads.push(row);
            }
            let text = |(key, value): (&String, &String)| vec![json!(item.run_id), json!(key), json!(value)];
            params.extend(item.params.iter().map(text));
            tags.extend(item.tags.iter().map(text));
            for (key, history) in &item.metrics {
                points.extend(history.iter().map(|point| point_row(&item.run_id, key, *point)));
                latest.extend(newest(history).map(|point| point_row(&item.run_id, key, point)));
            }
        }
        steps.push(Step::Add { table: "runs", columns: RUN_COLUMNS, rows: heads });
        steps.push(Step::Add { table: "params", columns: TEXT_COLUMNS, rows: params });
        steps.push(Step::Add { table: "tags", columns: TEXT_COLUMNS, rows: tags });
        steps.push(Step::Add { table: "metrics", columns: POINT_COLUMNS, rows: points });
        steps.push(Step::Add { table: "latest_metrics", columns: POINT_COLUMNS, rows: latest });
        steps.extend(self.uses(runs)?);
        self.apply(steps)
    }

    fn without_runs(&self, runs: &[Found<CarriedRun>], there: &HashSet<String>) -> Vec<Step> {
        let ids: Vec<String> =
            runs.iter().map(|run| &run.item.run_id).filter(|id| there.contains(*id)).cloned().collect();
        if ids.is_empty() {
            return Vec::new();
        }
        let values: Vec<Value> = ids.iter().map(|id| json!(id)).collect();
        let mut steps: Vec<Step> = ["params", "tags", "latest_metrics", "metrics"]
            .into_iter()
            .map(|table| Step::Clear { table, column: "run_uuid", values: values.clone() })
            .collect();
        if self.has_table("inputs") {
            steps.push(Step::ClearWhere {
                table: "input_tags",
                condition: "input_uuid IN (SELECT input_uuid FROM inputs WHERE destination_type = 'RUN' AND destination_id {ids})",
                ids: ids.clone(),
            });
            steps.push(Step::ClearWhere {
                table: "inputs",
                condition: "source_type = 'DATASET' AND destination_type = 'RUN' AND destination_id {ids}",
                ids: ids.clone(),
            });
            steps.push(Step::ClearWhere {
                table: "inputs",
                condition: "source_type IN ('RUN_INPUT', 'RUN_OUTPUT') AND source_id {ids}",
                ids,
            });
        }
        steps
    }

    fn run_row(&self, item: &CarriedRun, artifact_uri: &str) -> Result<Vec<Value>> {
        Ok(vec![
            json!(item.run_id),
            json!(item.tags.get("mlflow.runName").map_or("", String::as_str)),
            json!(SOURCE_TYPE),
            json!(""),
            json!(""),
            json!(item.user),
            json!(item.status),
            json!(item.start_time),
            json!(item.end_time),
            json!(item.deleted_time),
            json!(""),
            lifecycle(item.deleted_time.is_some()),
            json!(artifact_uri),
            json!(self.experiment_id(&item.experiment_id)?),
        ])
    }

    /// What runs read and wrote.
    fn uses(&mut self, runs: &[Found<CarriedRun>]) -> Result<Vec<Step>> {
        if !self.has_table("inputs") {
            return Ok(Vec::new());
        }
        let (mut datasets, mut inputs, mut tags) = (Vec::new(), Vec::new(), Vec::new());
        for Found { item, .. } in runs {
            let home = self.experiment_id(&item.experiment_id)?;
            if !item.datasets.is_empty() {
                self.look_up_datasets(home)?;
            }
            for dataset in &item.datasets {
                let key = (dataset.name.clone(), dataset.digest.clone());
                let known = self.datasets.entry(home).or_default();
                let id = match known.get(&key) {
                    Some(id) => id.clone(),
                    None => {
                        let id = id_of(&["dataset", &item.experiment_id, &dataset.name, &dataset.digest]);
                        datasets.push(vec![
                            json!(id),
                            json!(home),
                            json!(dataset.name),
                            json!(dataset.digest),
                            json!(dataset.source_type),
                            json!(dataset.source),
                            json!(dataset.schema),
                            json!(dataset.profile),
                        ]);
                        known.insert(key, id.clone());
                        id
                    }
                };
                let input = id_of(&["input", &item.run_id, &id]);
                tags.extend(
                    dataset.tags.iter().map(|(key, value)| vec![json!(input), json!(key), json!(value)]),
                );
                inputs.push(input_row(&input, ("DATASET", &id), ("RUN", &item.run_id), 0));
            }
            for model in &item.models_read {
                let input = id_of(&["read", &item.run_id, model]);
                inputs.push(input_row(&input, ("RUN_INPUT", &item.run_id), ("MODEL_INPUT", model), 0));
            }
            for (model, step) in &item.models_written {
                let input = id_of(&["written", &item.run_id, model]);
                inputs.push(input_row(&input, ("RUN_OUTPUT", &item.run_id), ("MODEL_OUTPUT", model), *step));
            }
        }
        Ok(vec![
            Step::Add { table: "datasets", columns: DATASET_COLUMNS, rows: datasets },
            Step::Add { table: "inputs", columns: INPUT_COLUMNS, rows: inputs },
            Step::Add { table: "input_tags", columns: &["input_uuid", "name", "value"], rows: tags },
        ])
    }

    /// Learns which data sets of an experiment are there.
    fn look_up_datasets(&mut self, home: i64) -> Result<()> {
        if self.datasets.contains_key(&home) {
            return Ok(());
        }
        let mut known = Datasets::new();
        let statement =
            format!("SELECT name, digest, dataset_uuid FROM datasets WHERE experiment_id = {home}");
        self.each(&statement, &Of::Everything, |row| {
            known.insert((row.get(0)?, row.get(1)?), row.get(2)?);
            Ok(())
        })?;
        self.datasets.insert(home, known);
        Ok(())
    }

    /// Puts logged models there. Of those in `there` the rows that are there go first.
    pub(in super::super) fn put_logged_models(
        &mut self,
        models: &[Found<CarriedLoggedModel>],
        there: &HashSet<String>,
    ) -> Result<()> {
        let changed: Vec<Value> = models
            .iter()
            .map(|m| &m.item.model_id)
            .filter(|id| there.contains(*id))
            .map(|id| json!(id))
            .collect();
        let mut steps: Vec<Step> = ["logged_model_params", "logged_model_tags", "logged_model_metrics"]
            .into_iter()
            .map(|table| Step::Clear { table, column: "model_id", values: changed.clone() })
            .collect();
        let (mut params, mut tags, mut metrics) = (Vec::new(), Vec::new(), Vec::new());
        for Found { item, artifact_uri } in models {
            let home = self.experiment_id(&item.experiment_id)?;
            let status = match item.status.as_str() {
                "LOGGED_MODEL_PENDING" => 1,
                "LOGGED_MODEL_UPLOAD_FAILED" => 3,
                _ => 2,
            };
            let row = vec![
                json!(item.model_id),
                json!(home),
                json!(item.name),
                json!(artifact_uri),
                json!(item.created_time),
                json!(item.updated_time),
                json!(status),
                lifecycle(item.deleted),
                some(&item.model_type),
                some(&item.source_run_id),
                some(&item.status_message),
            ];
            steps.push(Step::Put { table: "logged_models", keys: 1, columns: LOGGED_MODEL_COLUMNS, row });
            let text = |(key, value): (&String, &String)| {
                vec![json!(item.model_id), json!(home), json!(key), json!(value)]
            };
            params.extend(item.params.iter().map(text));
            tags.extend(item.tags.iter().map(text));
            if !item.metrics.is_empty() {
                self.look_up_datasets(home)?;
            }
            for measured in &item.metrics {
                let key = (measured.dataset_name.clone(), measured.dataset_digest.clone());
                let dataset = self.datasets.get(&home).and_then(|known| known.get(&key));
                let value = measured.value.0;
                metrics.push(vec![
                    json!(item.model_id),
                    json!(measured.key),
                    json!(measured.timestamp),
                    json!(measured.step),
                    if value.is_nan() { Value::Null } else { stored(value).0 },
                    json!(home),
                    json!(measured.run_id),
                    json!(dataset),
                    some(&measured.dataset_name),
                    some(&measured.dataset_digest),
                ]);
            }
        }
        let text = |table, columns, rows| Step::Add { table, columns, rows };
        steps.push(text(
            "logged_model_params",
            &["model_id", "experiment_id", "param_key", "param_value"],
            params,
        ));
        steps.push(text("logged_model_tags", &["model_id", "experiment_id", "tag_key", "tag_value"], tags));
        steps.push(text("logged_model_metrics", MEASUREMENT_COLUMNS, metrics));
        self.apply(steps)
    }

    /// Puts a registered model there.
    pub(in super::super) fn put_model(&mut self, item: &CarriedModel) -> Result<()> {
        let columns = &["name", "description", "creation_time", "last_updated_time"];
        let row = vec![
            json!(item.name),
            some(&item.description),
            json!(item.created_time),
            json!(item.updated_time),
        ];
        let tags =
            item.tags.iter().map(|(key, value)| vec![json!(item.name), json!(key), json!(value)]).collect();
        self.apply(vec![
            Step::Put { table: "registered_models", keys: 1, columns, row },
            Step::Clear { table: "registered_model_tags", column: "name", values: vec![json!(item.name)] },
            Step::Add { table: "registered_model_tags", columns: &["name", "key", "value"], rows: tags },
        ])
    }

    /// Puts a version there.
    pub(in super::super) fn put_version(&mut self, found: &FoundVersion) -> Result<()> {
        let item = &found.item;
        let row = vec![
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
        let tags = item
            .tags
            .iter()
            .map(|(key, value)| vec![json!(item.name), json!(item.version), json!(key), json!(value)])
            .collect();
        let number = item.version;
        self.apply(vec![
            Step::Put { table: "model_versions", keys: 2, columns: VERSION_COLUMNS, row },
            Step::ClearWhere {
                table: "model_version_tags",
                condition: "name || '/' || CAST(version AS TEXT) {ids}",
                ids: vec![format!("{}/{number}", item.name)],
            },
            Step::Add {
                table: "model_version_tags",
                columns: &["name", "version", "key", "value"],
                rows: tags,
            },
        ])
    }

    /// Sets aliases of a model; those that it has more there stay.
    pub(in super::super) fn put_aliases(&mut self, found: &CarriedAliases) -> Result<()> {
        let steps = found.aliases.iter().map(|(alias, version)| Step::Put {
            table: "registered_model_aliases",
            keys: 2,
            columns: &["name", "alias", "version"],
            row: vec![json!(found.name), json!(alias), json!(version)],
        });
        self.apply(steps.collect())
    }

    /// Lets the next experiment that is made there have a number that is free.
    pub(in super::super) fn settle_numbers(&mut self) -> Result<()> {
        let Connection::Postgres(client) = &mut self.connection else { return Ok(()) };
        client
            .batch_execute(
                "SELECT setval(pg_get_serial_sequence('experiments', 'experiment_id'),
                    GREATEST((SELECT MAX(experiment_id) FROM experiments), 1))
                 WHERE pg_get_serial_sequence('experiments', 'experiment_id') IS NOT NULL",
            )
            .map_err(postgres_refused)
    }
}

const RUN_COLUMNS: &[&str] = &[
    "run_uuid",
    "name",
    "source_type",
    "source_name",
    "entry_point_name",
    "user_id",
    "status",
    "start_time",
    "end_time",
    "deleted_time",
    "source_version",
    "lifecycle_stage",
    "artifact_uri",
    "experiment_id",
];
const TEXT_COLUMNS: &[&str] = &["run_uuid", "key", "value"];
const POINT_COLUMNS: &[&str] = &["run_uuid", "key", "timestamp", "step", "value", "is_nan"];
const DATASET_COLUMNS: &[&str] = &[
    "dataset_uuid",
    "experiment_id",
    "name",
    "digest",
    "dataset_source_type",
    "dataset_source",
    "dataset_schema",
    "dataset_profile",
];
const INPUT_COLUMNS: &[&str] =
    &["input_uuid", "source_type", "source_id", "destination_type", "destination_id", "step"];
const LOGGED_MODEL_COLUMNS: &[&str] = &[
    "model_id",
    "experiment_id",
    "name",
    "artifact_location",
    "creation_timestamp_ms",
    "last_updated_timestamp_ms",
    "status",
    "lifecycle_stage",
    "model_type",
    "source_run_id",
    "status_message",
];
const MEASUREMENT_COLUMNS: &[&str] = &[
    "model_id",
    "metric_name",
    "metric_timestamp_ms",
    "metric_step",
    "metric_value",
    "experiment_id",
    "run_id",
    "dataset_uuid",
    "dataset_name",
    "dataset_digest",
];
const VERSION_COLUMNS: &[&str] = &[
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

fn input_row(id: &str, from: (&str, &str), to: (&str, &str), step: i64) -> Vec<Value> {
    vec![json!(id), json!(from.0), json!(from.1), json!(to.0), json!(to.1), json!(step)]
}
