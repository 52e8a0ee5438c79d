//! A logged model in whole, as it travels between stores: with its id and its times.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::names::check_logged_model_name;

use super::{Document, LoggedModel, Metric, Status, read, store};
use crate::{
    bind,
    catalog::names::refused,
    db::Sql,
    error::{Code, Error, Result},
    router::wire::Double,
    tracking::{
        document::Point,
        experiment, limits,
        wire::{CARRIED_CHARS, Taken},
    },
};

/// A logged model in whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CarriedLoggedModel {
    /// `m-` and 32 hexadecimal digits.
    pub model_id: String,
    /// MLflow's id of its experiment.
    pub experiment_id: String,
    /// Its name.
    pub name: String,
    /// What kind of model it is.
    #[serde(default)]
    pub model_type: String,
    /// The run that made it; empty if none is known.
    #[serde(default)]
    pub source_run_id: String,
    /// `LOGGED_MODEL_PENDING`, `LOGGED_MODEL_READY` or `LOGGED_MODEL_UPLOAD_FAILED`.
    pub status: String,
    /// Why it stands there.
    #[serde(default)]
    pub status_message: String,
    /// Milliseconds since the epoch.
    pub created_time: i64,
    /// Milliseconds since the epoch.
    pub updated_time: i64,
    /// Whether it was deleted.
    #[serde(default)]
    pub deleted: bool,
    /// By key.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// By key.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The newest point a (key, data set, run).
    #[serde(default)]
    pub metrics: Vec<CarriedMeasurement>,
}

/// A point of a logged model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CarriedMeasurement {
    /// The metric's key.
    pub key: String,
    /// The run that measured it.
    pub run_id: String,
    /// The data set it was measured on; empty if not told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dataset_name: String,
    /// That data set's digest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dataset_digest: String,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// The step.
    pub step: i64,
    /// The value.
    pub value: Double,
}

impl CarriedMeasurement {
    fn of(&self) -> (&str, &str, &str, &str) {
        (&self.key, &self.run_id, &self.dataset_name, &self.dataset_digest)
    }

    fn point(&self) -> Point {
        Point::new(self.timestamp, self.step, self.value.0)
    }
}

impl CarriedLoggedModel {
    /// Brings it into the one form that equal models have: of each metric, data set and run the newest point, in order.
    pub fn settle(&mut self) {
        for measured in &mut self.metrics {
            measured.value = Double(measured.point().value.get());
        }
        self.metrics.sort_by(|a, b| a.of().cmp(&b.of()).then(b.point().cmp(&a.point())));
        self.metrics.dedup_by(|later, first| later.of() == first.of());
    }

    fn check(&self) -> Result<Status> {
        limits::run_id("model_id", Some(&self.model_id))?;
        check_logged_model_name(&self.name).map_err(refused)?;
        limits::text("model_type", &self.model_type, 500)?;
        limits::text("status_message", &self.status_message, CARRIED_CHARS)?;
        if !self.source_run_id.is_empty() {
            limits::run_id("source_run_id", Some(&self.source_run_id))?;
        }
        for (path, texts) in [("params", &self.params), ("tags", &self.tags)] {
            for (key, value) in texts {
                limits::key(path, Some(key))?;
                limits::text(path, value, CARRIED_CHARS)?;
            }
        }
        for measured in &self.metrics {
            limits::key("metrics", Some(&measured.key))?;
            limits::run_id("metrics", Some(&measured.run_id))?;
            limits::text("metrics", &measured.dataset_name, 500)?;
            limits::text("metrics", &measured.dataset_digest, 500)?;
        }
        Status::ALL.into_iter().find(|status| status.name() == self.status).ok_or_else(|| {
            Error::invalid(format!("A logged model has no status '{}'.", limits::cut(&self.status, 100)))
        })
    }

    /// What it holds, over what one that is here holds.
    fn over(&self, document: &mut Document) {
        document.params.extend(self.params.clone());
        document.tags.extend(self.tags.clone());
        for measured in &self.metrics {
            let value = Some(measured.point().value.get()).filter(|value| !value.is_nan());
            let metric = Metric {
                key: measured.key.clone(),
                value,
                timestamp_ms: measured.timestamp,
                step: measured.step,
                run_id: measured.run_id.clone(),
                dataset_name: measured.dataset_name.clone(),
                dataset_digest: measured.dataset_digest.clone(),
            };
            match document.metrics.iter_mut().find(|stored| given(stored).of() == measured.of()) {
                Some(stored) if measured.point() > given(stored).point() => *stored = metric,
                Some(_) => {}
                None => document.metrics.push(metric),
            }
        }
    }
}

/// Takes a logged model, or what is new of one that is here. The caller has authorised it, and leaves the event.
pub fn take(tx: &mut Sql<'_>, carried: &CarriedLoggedModel) -> Result<Taken> {
    let status = carried.check()?;
    let mlflow_id = limits::experiment_id(&carried.experiment_id)?;
    let home = experiment::find(tx, mlflow_id)?.ok_or_else(|| experiment::unknown(mlflow_id))?;
    let deleted_at = carried.deleted.then_some(carried.updated_time);
    let found = tx.first(&store::LOGGED_MODEL_LOCK, bind![&carried.model_id], read)?;
    let mut document = found.as_ref().map(|model| model.document.clone()).unwrap_or_default();
    carried.over(&mut document);
    let text = document.encode(&carried.model_id)?;
    let Some(found) = found else {
        tx.execute(
            &store::LOGGED_MODEL_CARRY,
            bind![
                &carried.model_id,
                home.id,
                &carried.name,
                &carried.model_type,
                &carried.source_run_id,
                status as i64,
                &carried.status_message,
                tx.caller().id,
                carried.created_time,
                carried.updated_time,
                deleted_at,
                &text
            ],
        )?;
        return Ok(Taken::Made);
    };
    if found.experiment_id != home.id {
        return Err(Error::new(
            Code::ResourceConflict,
            format!("The logged model {} is in the experiment {} here.", found.uuid, found.mlflow_id),
        ));
    }
    let stays = (found.status, found.deleted, found.updated_at, &found.status_message);
    let comes = (status, carried.deleted, carried.updated_time, &carried.status_message);
    if stays == comes && found.document == document {
        return Ok(Taken::Same);
    }
    tx.execute(
        &store::LOGGED_MODEL_UPDATE,
        bind![
            &found.uuid,
            status as i64,
            &carried.status_message,
            carried.updated_time,
            deleted_at,
            &text,
            found.revision + 1
        ],
    )?;
    Ok(Taken::Changed)
}

/// Logged models in whole, in the order of the ids; without those that are not there. The caller has authorised them.
pub fn give(sql: &mut Sql<'_>, uuids: &[String]) -> Result<Vec<CarriedLoggedModel>> {
    Ok(super::in_order(sql, uuids)?.into_iter().map(whole).collect())
}

fn whole(model: LoggedModel) -> CarriedLoggedModel {
    let mut carried = CarriedLoggedModel {
        model_id: model.uuid,
        experiment_id: model.mlflow_id.to_string(),
        name: model.name,
        model_type: model.model_type,
        source_run_id: model.source_run,
        status: model.status.name().to_owned(),
        status_message: model.status_message,
        created_time: model.created_at,
        updated_time: model.updated_at,
        deleted: model.deleted,
        params: model.document.params,
        tags: model.document.tags,
        metrics: model.document.metrics.iter().map(given).collect(),
    };
    carried.settle();
    carried
}

fn given(metric: &Metric) -> CarriedMeasurement {
    CarriedMeasurement {
        key: metric.key.clone(),
        run_id: metric.run_id.clone(),
        dataset_name: metric.dataset_name.clone(),
        dataset_digest: metric.dataset_digest.clone(),
        timestamp: metric.timestamp_ms,
        step: metric.step,
        value: Double(metric.number()),
    }
}
