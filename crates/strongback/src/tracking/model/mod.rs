//! Logged models: what a run produced and may be registered from.
//!
//! A logged model is one row with one JSON document (params, tags, metrics), authorised by its experiment like a run.
//! What must stay true: a param is written once; of a metric only the newest point a (key, data set, run) is kept here,
//! the history belongs to the run that measured; a deleted model is gone for readers, and its files stay.

pub mod carried;
mod change;
mod create;
mod get;
mod measure;
mod params;
mod registered;
pub(in crate::tracking) mod search;
pub(in crate::tracking) mod store;
mod tags;
pub mod wire;

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::{
    bind,
    catalog::{Action, authorize},
    db::{Row, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    router::Route,
    tracking::limits,
};

pub(in crate::tracking) use measure::{Measurement, lock_measured, measure};
pub use registered::note_registered;

/// Where a logged model stands. The numbers are MLflow's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its files are on their way.
    Pending = 1,
    /// Its files are there.
    Ready = 2,
    /// Its files did not come.
    UploadFailed = 3,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Ready, Self::UploadFailed];

    /// MLflow's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "LOGGED_MODEL_PENDING",
            Self::Ready => "LOGGED_MODEL_READY",
            Self::UploadFailed => "LOGGED_MODEL_UPLOAD_FAILED",
        }
    }

    /// By MLflow's number, which is also the stored one.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as i64 == number)
    }
}

/// A logged model.
#[derive(Debug, Clone)]
pub struct LoggedModel {
    /// `m-` and 32 hexadecimal digits.
    pub uuid: String,
    /// `experiment.asset_id`
    pub experiment_id: i64,
    /// Its name; not unique.
    pub name: String,
    /// What kind of model it is, in the client's words.
    pub model_type: String,
    /// The run that made it, by its outside id.
    pub source_run: String,
    /// Where it stands.
    pub status: Status,
    /// Why it stands there.
    pub status_message: String,
    /// Who made it: `principal.id`.
    pub owner_id: i64,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Raised by every change; orders its events.
    pub revision: i64,
    /// Params, tags, metrics.
    pub document: Document,
    /// MLflow's id of its experiment.
    pub mlflow_id: i64,
    /// Its experiment's artifact location.
    pub artifact_location: String,
}

/// What a logged model holds besides its columns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// By key.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// By key.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The newest point a (key, data set, run).
    #[serde(default)]
    pub metrics: Vec<Metric>,
}

impl Document {
    /// As it is stored, within [`limits::LOGGED_MODEL_BYTES`].
    fn encode(&self, uuid: &str) -> Result<String> {
        let text = serde_json::to_string(self).map_err(Error::internal)?;
        if text.len() > limits::LOGGED_MODEL_BYTES {
            return Err(Error::invalid(format!(
                "The logged model '{uuid}' would hold {} bytes of params, tags and metrics; at most {} are allowed. \
                 Log large values as artifacts.",
                text.len(),
                limits::LOGGED_MODEL_BYTES
            )));
        }
        Ok(text)
    }

    /// About how many bytes it holds.
    fn bytes(&self) -> u64 {
        let texts = self.params.iter().chain(&self.tags).map(|(key, value)| key.len() + value.len());
        let metrics = self.metrics.iter().map(|metric| {
            let Metric { key, run_id, dataset_name, dataset_digest, .. } = metric;
            size_of::<Metric>() + key.len() + run_id.len() + dataset_name.len() + dataset_digest.len()
        });
        texts.chain(metrics).sum::<usize>() as u64
    }
}

/// A metric of a logged model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its key.
    pub key: String,
    /// Its value: finite, or none for NaN.
    pub value: Option<f64>,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// The step.
    pub step: i64,
    /// The run that measured it.
    pub run_id: String,
    /// The data set it was measured on; empty if not told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dataset_name: String,
    /// That data set's digest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dataset_digest: String,
}

impl Metric {
    /// The value, NaN among them.
    pub fn number(&self) -> f64 {
        self.value.unwrap_or(f64::NAN)
    }
}

impl LoggedModel {
    /// The root of its files.
    pub fn artifact_uri(&self) -> String {
        let location = self.artifact_location.trim_end_matches('/');
        format!("{location}/models/{}/artifacts", self.uuid)
    }

    /// About how many bytes it holds.
    fn bytes(&self) -> u64 {
        (size_of::<Self>() + self.status_message.len()) as u64 + self.document.bytes()
    }

    /// What happened to it, with the revision that it has now.
    fn event(&self, kind: EventKind) -> Event {
        Event::new(kind).asset(self.experiment_id, 0).subject_at(self.uuid.as_str(), self.revision)
    }

    /// Stores status, times and document as they are now. Who calls it holds the row.
    fn save(&mut self, tx: &mut Sql<'_>) -> Result<()> {
        self.updated_at = tx.now();
        self.revision += 1;
        let document = self.document.encode(&self.uuid)?;
        let deleted_at = self.deleted.then_some(self.updated_at);
        tx.execute(
            &store::LOGGED_MODEL_UPDATE,
            bind![
                &self.uuid,
                self.status as i64,
                &self.status_message,
                self.updated_at,
                deleted_at,
                &document,
                self.revision
            ],
        )?;
        Ok(())
    }
}

/// The living model with this id, for a caller who may read its experiment.
pub fn load(sql: &mut Sql<'_>, uuid: &str) -> Result<LoggedModel> {
    let model = find(sql, uuid)?.filter(|model| !model.deleted).ok_or_else(|| unknown(uuid))?;
    authorize(sql, Action::Read, model.experiment_id)?;
    Ok(model)
}

/// The model with this id, deleted ones too, without asking whether the caller may see it.
pub fn find(sql: &mut Sql<'_>, uuid: &str) -> Result<Option<LoggedModel>> {
    sql.first(&store::LOGGED_MODEL_BY_UUID, bind![uuid], read)
}

/// Models by id, in the order of the ids.
fn in_order(sql: &mut Sql<'_>, uuids: &[String]) -> Result<Vec<LoggedModel>> {
    let text = serde_json::to_string(uuids).map_err(Error::internal)?;
    let found = sql.all(&store::LOGGED_MODEL_BY_UUIDS, bind![&text], read)?;
    let mut by_id: HashMap<String, LoggedModel> =
        found.into_iter().map(|model| (model.uuid.clone(), model)).collect();
    Ok(uuids.iter().filter_map(|uuid| by_id.remove(uuid)).collect())
}

/// The newest living model of a name that a run of an experiment made, without asking whether the caller may see it.
pub fn of_run(
    sql: &mut Sql<'_>,
    run_uuid: &str,
    name: &str,
    experiment_id: i64,
) -> Result<Option<LoggedModel>> {
    sql.first(&store::LOGGED_MODEL_OF_RUN, bind![run_uuid, name, experiment_id], read)
}

/// The model with this id, deleted ones too, kept from others until the transaction ends, for a caller who may change it.
fn lock(tx: &mut Sql<'_>, uuid: &str, action: Action) -> Result<LoggedModel> {
    let model = tx.first(&store::LOGGED_MODEL_LOCK, bind![uuid], read)?.ok_or_else(|| unknown(uuid))?;
    let action = if tx.caller().is(model.owner_id) { Action::Create } else { action };
    authorize(tx, action, model.experiment_id)?;
    Ok(model)
}

/// The same for a living model.
fn lock_living(tx: &mut Sql<'_>, uuid: &str) -> Result<LoggedModel> {
    let model = lock(tx, uuid, Action::Edit)?;
    if model.deleted { Err(unknown(uuid)) } else { Ok(model) }
}

/// The error for an id that is nowhere.
pub fn unknown(uuid: &str) -> Error {
    Error::missing(format!("Logged model with ID '{uuid}' not found."))
}

/// A row of the statements that list a model's columns.
fn read(row: &Row<'_>) -> Result<LoggedModel> {
    let status = row.get(5)?;
    Ok(LoggedModel {
        uuid: row.get(0)?,
        experiment_id: row.get(1)?,
        name: row.get(2)?,
        model_type: row.get(3)?,
        source_run: row.get(4)?,
        status: Status::from_number(status)
            .ok_or_else(|| Error::internal(format!("a logged model has the unknown status {status}")))?,
        status_message: row.get(6)?,
        owner_id: row.get(7)?,
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
        deleted: row.get::<Option<i64>>(10)?.is_some(),
        document: serde_json::from_str(&row.get::<String>(11)?).map_err(Error::internal)?,
        mlflow_id: row.get(12)?,
        artifact_location: row.get(13)?,
        revision: row.get(14)?,
    })
}

/// Routes of logged models.
pub(super) fn routes() -> Vec<Route> {
    [create::routes(), get::routes(), change::routes(), params::routes(), tags::routes(), search::routes()]
        .concat()
}
