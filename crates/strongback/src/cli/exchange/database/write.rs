//! Writing: items in whole, each batch in one transaction, into the tables and columns that there are.
//!
//! What must stay true: a batch is there in whole or not at all; nothing but the rows of its items is touched; the tables stay as
//! MLflow made them. An item that the caller knows to be there is written over, since the caller decided so; a new one is added, and
//! refused where somebody made the same meanwhile.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    super::{
        numbers::EXPERIMENT_TAG,
        source::{Found, FoundExperiment},
    },
    Connection, Database, Of,
    steps::{Step, postgres_refused},
};
use crate::{
    error::{Error, Result},
    tracking::{
        model::carried::CarriedLoggedModel,
        run::carried::{CarriedPoint, CarriedRun},
    },
};

/// What MLflow's own server writes where it knows of no source.
const SOURCE_TYPE: &str = "UNKNOWN";

/// Data sets of an experiment that are there: by name and digest, with their ids.
pub(super) type Datasets = HashMap<(String, String), String>;

pub(super) fn some(text: &str) -> Value {
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
    /// Whether an experiment of ours has, or can have, its id as its number there: nobody else has it, and it fits. MLflow's own in
    /// PostgreSQL are of 32 bits.
    pub(in super::super) fn can_keep_number(&self, ours: &str) -> bool {
        let fits =
            |number: i64| matches!(self.connection, Connection::Sqlite(_)) || i32::try_from(number).is_ok();
        let is_free = |number: i64| fits(number) && !self.numbers.is_taken(number);
        self.numbers.there(ours).is_none() && ours.parse().is_ok_and(is_free)
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

    /// Puts an experiment there, under another number and with a tag that tells it where its own cannot be.
    pub(in super::super) fn put_experiment(&mut self, found: &FoundExperiment, is_new: bool) -> Result<()> {
        let item = &found.item;
        let ours = &item.experiment_id;
        let id = match is_new && !self.can_keep_number(ours) {
            true => self.last_number()? + 1,
            false => self.experiment_id(ours)?,
        };
        let is_moved = id.to_string() != *ours;
        let mut tags = item.tags.clone();
        if is_moved {
            tags.insert(EXPERIMENT_TAG.to_owned(), ours.clone());
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
            Step::put("experiments", 1, columns, row, is_new),
            Step::Clear { table: "experiment_tags", column: "experiment_id", values: vec![json!(id)] },
            Step::Add { table: "experiment_tags", columns: &["experiment_id", "key", "value"], rows },
        ])?;
        if is_moved {
            Arc::make_mut(&mut self.numbers).add(id, ours);
        }
        if is_new { self.settle_numbers() } else { Ok(()) }
    }

    /// The greatest number of an experiment there.
    fn last_number(&mut self) -> Result<i64> {
        let mut last = 0;
        let statement = "SELECT CAST(COALESCE(MAX(experiment_id), 0) AS BIGINT) FROM experiments";
        self.each(statement, &Of::Everything, |row| {
            last = row.get(0)?;
            Ok(())
        })?;
        Ok(last)
    }

    /// Lets the next experiment that is made there have a number that is free; what was given once is not given again.
    fn settle_numbers(&mut self) -> Result<()> {
        let Connection::Postgres(client) = &mut self.connection else { return Ok(()) };
        client
            .batch_execute(
                "SELECT setval(name, last)
                 FROM (SELECT pg_get_serial_sequence('experiments', 'experiment_id') AS name,
                    (SELECT MAX(experiment_id) FROM experiments) AS last) AS made
                 WHERE last > COALESCE(pg_sequence_last_value(CAST(name AS regclass)), 0)",
            )
            .map_err(postgres_refused)
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
                // What an item does not carry stays as it is there.
                let (columns, row) = (&RUN_COLUMNS[..RUN_CARRIED], row[..RUN_CARRIED].to_vec());
                steps.push(Step::Put { table: "runs", keys: 1, columns, row });
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
                condition: "input_uuid IN (SELECT input_uuid FROM inputs WHERE destination_type = 'RUN' AND destination_id {ids})".to_owned(),
                ids: ids.clone(),
            });
            steps.push(Step::ClearWhere {
                table: "inputs",
                condition: "source_type = 'DATASET' AND destination_type = 'RUN' AND destination_id {ids}"
                    .to_owned(),
                ids: ids.clone(),
            });
            steps.push(Step::ClearWhere {
                table: "inputs",
                condition: "source_type IN ('RUN_INPUT', 'RUN_OUTPUT') AND source_id {ids}".to_owned(),
                ids,
            });
        }
        steps
    }

    fn run_row(&self, item: &CarriedRun, artifact_uri: &str) -> Result<Vec<Value>> {
        Ok(vec![
            json!(item.run_id),
            json!(item.tags.get("mlflow.runName").map_or("", String::as_str)),
            json!(item.user),
            json!(item.status),
            json!(item.start_time),
            json!(item.end_time),
            json!(item.deleted_time),
            lifecycle(item.deleted_time.is_some()),
            json!(artifact_uri),
            json!(self.experiment_id(&item.experiment_id)?),
            json!(SOURCE_TYPE),
            json!(""),
            json!(""),
            json!(""),
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
            let is_new = !there.contains(&item.model_id);
            steps.push(Step::put("logged_models", 1, LOGGED_MODEL_COLUMNS, row, is_new));
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
}

const RUN_COLUMNS: &[&str] = &[
    "run_uuid",
    "name",
    "user_id",
    "status",
    "start_time",
    "end_time",
    "deleted_time",
    "lifecycle_stage",
    "artifact_uri",
    "experiment_id",
    "source_type",
    "source_name",
    "entry_point_name",
    "source_version",
];
/// How many of them, from the first, an item carries.
const RUN_CARRIED: usize = 10;
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
fn input_row(id: &str, from: (&str, &str), to: (&str, &str), step: i64) -> Vec<Value> {
    vec![json!(id), json!(from.0), json!(from.1), json!(to.0), json!(to.1), json!(step)]
}
