//! A run in whole, as it travels between stores: with its id, its times and every point.
//!
//! What must stay true: what is taken twice changes nothing; what a run has here beside what comes stays; what is given is in the
//! order of [`CarriedRun::settle`], so that a run that was taken is given as it came, to the last bit.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Home, RUN_NAME_TAG, Run, Status,
    get::{READ, WROTE, complete},
    inputs::{Input, put_model},
    mark_fresh, read, save_as, sources, store,
    wire::{Dataset, DatasetUse, RunOut},
};
use crate::{
    bind,
    db::Sql,
    error::{Code, Error, Result},
    router::wire::Double,
    tracking::{
        document::{AppendPlan, Point, RunDocument},
        experiment, limits,
        metrics::all_points,
        series::encode_piece,
        wire::{CARRIED_CHARS, KeyValue, Taken},
    },
};

/// Points of one run that one request may bring. A piece of history holds a few more.
pub const POINTS_MAX: usize = 50_000;

/// A run in whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CarriedRun {
    /// 32 hexadecimal digits.
    pub run_id: String,
    /// MLflow's id of its experiment.
    pub experiment_id: String,
    /// Who made it, as a text.
    #[serde(default)]
    pub user: String,
    /// `RUNNING`, `SCHEDULED`, `FINISHED`, `FAILED` or `KILLED`.
    pub status: String,
    /// Milliseconds since the epoch.
    pub start_time: i64,
    /// Milliseconds since the epoch; none while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<i64>,
    /// When it was deleted, milliseconds since the epoch; none for one that was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_time: Option<i64>,
    /// By key.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// By key; its name is `mlflow.runName`.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Every point, by key.
    #[serde(default)]
    pub metrics: BTreeMap<String, Vec<CarriedPoint>>,
    /// Data sets that it read.
    #[serde(default)]
    pub datasets: Vec<CarriedDataset>,
    /// Ids of logged models that it read.
    #[serde(default)]
    pub models_read: Vec<String>,
    /// Ids of logged models that it wrote, each with the step.
    #[serde(default)]
    pub models_written: Vec<(String, i64)>,
}

/// A point: its time in milliseconds since the epoch, its step, its value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CarriedPoint(pub i64, pub i64, pub Double);

/// A data set that a run read.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct CarriedDataset {
    /// Its name.
    pub name: String,
    /// Identifies its content.
    pub digest: String,
    /// What kind of place it came from.
    pub source_type: String,
    /// The place, in the words of that kind.
    pub source: String,
    /// Its columns, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Its size and statistics, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What it was used for, and more.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl CarriedPoint {
    fn point(self) -> Point {
        Point::new(self.0, self.1, self.2.0)
    }
}

impl From<Point> for CarriedPoint {
    fn from(point: Point) -> Self {
        Self(point.timestamp_ms, point.step, Double(point.value.get()))
    }
}

impl CarriedRun {
    /// Brings it into the one form that equal runs have: points as MLflow keeps them, each once, in the order of a history; lists
    /// in order; without the tags that a server keeps for itself.
    pub fn settle(&mut self) {
        self.tags.retain(|key, _| !sources::is_servers(key));
        self.metrics.retain(|_, points| !points.is_empty());
        for points in self.metrics.values_mut() {
            let mut settled: Vec<Point> = points.iter().map(|point| point.point()).collect();
            settled.sort_unstable();
            settled.dedup();
            *points = settled.into_iter().map(CarriedPoint::from).collect();
        }
        self.datasets.sort_unstable();
        self.datasets.dedup();
        self.models_read.sort_unstable();
        self.models_read.dedup();
        self.models_written.sort_unstable();
        self.models_written.dedup();
    }

    /// How many points it has.
    pub fn points(&self) -> usize {
        self.metrics.values().map(Vec::len).sum()
    }

    /// Says what of it could not be kept here.
    fn check(&self) -> Result<(Status, Vec<Input>)> {
        limits::run_id("run_id", Some(&self.run_id))?;
        limits::text("user", &self.user, 256)?;
        let status = Status::from_name(&self.status).ok_or_else(|| {
            Error::invalid(format!(
                "Invalid value '{}' for parameter 'status': it is RUNNING, SCHEDULED, FINISHED, FAILED or KILLED.",
                limits::cut(&self.status, 100)
            ))
        })?;
        for (path, texts) in [("params", &self.params), ("tags", &self.tags)] {
            for (key, value) in texts {
                limits::key(path, Some(key))?;
                limits::text(path, value, CARRIED_CHARS)?;
            }
        }
        for (key, points) in &self.metrics {
            limits::key("metrics", Some(key))?;
            if let Some(early) = points.iter().find(|point| point.0 < 0) {
                return Err(Error::invalid(format!(
                    "The metric '{key}' has a point at {} ms, before 1970.",
                    early.0
                )));
            }
        }
        if self.points() > POINTS_MAX {
            return Err(Error::invalid(format!(
                "A run comes with at most {POINTS_MAX} points in one request; it has {}. Send the others in further \
                 requests.",
                self.points()
            )));
        }
        for id in &self.models_read {
            limits::run_id("models_read", Some(id))?;
        }
        for (id, _) in &self.models_written {
            limits::run_id("models_written", Some(id))?;
        }
        let inputs = self.datasets.iter().enumerate().map(|(at, dataset)| Input::new(&dataset.usage(), at));
        Ok((status, inputs.collect::<Result<_>>()?))
    }

    fn plan(&self, document: &mut RunDocument) -> AppendPlan {
        let points = self.metrics.iter();
        document.log_points(
            points
                .flat_map(|(key, points)| points.iter().map(|point| (key.as_str(), point.point())))
                .collect(),
        )
    }
}

impl CarriedDataset {
    fn usage(&self) -> DatasetUse {
        DatasetUse {
            tags: self.tags.iter().map(|(key, value)| KeyValue::new(key, value)).collect(),
            dataset: Some(Dataset {
                name: Some(self.name.clone()),
                digest: Some(self.digest.clone()),
                source_type: Some(self.source_type.clone()),
                source: Some(self.source.clone()),
                schema: self.schema.clone(),
                profile: self.profile.clone(),
            }),
        }
    }
}

/// Takes a run, or what is new of one that is here. The caller has authorised it, and leaves the event.
pub fn take(tx: &mut Sql<'_>, carried: &CarriedRun) -> Result<Taken> {
    let (status, inputs) = carried.check()?;
    let mlflow_id =
        limits::experiment_id(&carried.experiment_id).map_err(|error| error.in_field("experiment_id"))?;
    let home = experiment::find(tx, mlflow_id)?.ok_or_else(|| experiment::unknown(mlflow_id))?;
    match tx.first(&store::RUN_LOCK, bind![&carried.run_id], read)? {
        Some(run) if run.experiment_id == home.id => merge(tx, run, carried, status, &inputs),
        Some(run) => Err(Error::new(
            Code::ResourceConflict,
            format!("The run {} is in the experiment {} here.", run.uuid, run.home.mlflow_id),
        )),
        None => make(tx, &home, carried, status, &inputs),
    }
}

fn make(
    tx: &mut Sql<'_>,
    home: &experiment::Experiment,
    carried: &CarriedRun,
    status: Status,
    inputs: &[Input],
) -> Result<Taken> {
    let mut document = RunDocument::default();
    for (key, value) in &carried.params {
        document.set_param(key, value).map_err(|conflict| Error::invalid(conflict.to_string()))?;
    }
    for (key, value) in carried.tags.iter().filter(|(key, _)| !sources::is_servers(key)) {
        document.set_tag(key, value);
    }
    let plan = carried.plan(&mut document);
    for input in inputs {
        document.add_dataset(input.noted());
    }
    let mut run = Run {
        id: 0,
        uuid: carried.run_id.clone(),
        experiment_id: home.id,
        owner_id: tx.caller().id,
        user: carried.user.clone(),
        status,
        deleted: carried.deleted_time.is_some(),
        start_time: carried.start_time,
        end_time: carried.end_time,
        revision: 1,
        document,
        home: Home {
            mlflow_id: home.mlflow_id,
            artifact_location: home.artifact_location.clone(),
            deleted: home.deleted,
        },
    };
    let bytes = run.document.encode();
    run.id = tx.one(
        &store::RUN_CARRY,
        bind![
            &run.uuid,
            run.experiment_id,
            run.owner_id,
            &run.user,
            run.status as i64,
            run.deleted,
            run.start_time,
            run.end_time,
            carried.deleted_time,
            &bytes
        ],
        |row| row.get(0),
    )?;
    mark_fresh(tx, &run)?;
    if !plan.series.is_empty() {
        let body = encode_piece(&plan.series).map_err(Error::internal)?;
        let points: usize = plan.series.iter().map(|series| series.points.len()).sum();
        tx.execute(&store::PIECE_INSERT, bind![run.id, run.revision, points as i64, &body])?;
    }
    beside(tx, &mut run, carried, inputs)?;
    Ok(Taken::Made)
}

/// What lies beside a run's row: whether any of it is news.
fn beside(tx: &mut Sql<'_>, run: &mut Run, carried: &CarriedRun, inputs: &[Input]) -> Result<bool> {
    let mut is_news = false;
    for input in inputs {
        is_news |= input.store(tx, run)?;
    }
    for model in &carried.models_read {
        is_news |= put_model(tx, run.id, READ, model, 0)?;
    }
    for (model, step) in &carried.models_written {
        is_news |= put_model(tx, run.id, WROTE, model, *step)?;
    }
    Ok(is_news)
}

fn merge(
    tx: &mut Sql<'_>,
    mut run: Run,
    carried: &CarriedRun,
    status: Status,
    inputs: &[Input],
) -> Result<Taken> {
    let deleted_at = deleted_times(tx, &[run.id])?.remove(&run.id);
    let before = (run.status, run.start_time, run.end_time, deleted_at);
    let now = (status, carried.start_time, carried.end_time, carried.deleted_time);
    let mut is_news = before != now;
    (run.status, run.start_time, run.end_time) = (status, carried.start_time, carried.end_time);
    run.deleted = carried.deleted_time.is_some();
    for (key, value) in &carried.params {
        is_news |= run.document.set_param(key, value).map_err(|conflict| {
            Error::new(Code::ResourceConflict, format!("In the run {}: {conflict}.", carried.run_id))
        })?;
    }
    for (key, value) in carried.tags.iter().filter(|(key, _)| !sources::is_servers(key)) {
        is_news |= run.document.set_tag(key, value);
    }
    let plan = carried.plan(&mut run.document);
    is_news |= plan.accepted > 0;
    is_news |= beside(tx, &mut run, carried, inputs)?;
    if !is_news {
        return Ok(Taken::Same);
    }
    save_as(tx, &mut run, &plan, carried.deleted_time)?;
    Ok(Taken::Changed)
}

/// When runs were deleted, of those that were.
fn deleted_times(sql: &mut Sql<'_>, ids: &[i64]) -> Result<BTreeMap<i64, i64>> {
    let text = serde_json::to_string(ids).map_err(Error::internal)?;
    let found = sql.all(&store::RUN_DELETED, bind![&text], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.into_iter().collect())
}

/// Runs in whole, in the order of the ids; without those that are not there. The caller has authorised them.
pub fn give(sql: &mut Sql<'_>, uuids: &[String]) -> Result<Vec<CarriedRun>> {
    let mut runs = Vec::with_capacity(uuids.len());
    for uuid in uuids {
        runs.extend(super::find(sql, uuid)?);
    }
    let ids: Vec<i64> = runs.iter().map(|run| run.id).collect();
    let deleted = deleted_times(sql, &ids)?;
    let out = complete(sql, &runs)?;
    let mut given = Vec::with_capacity(runs.len());
    for (run, out) in runs.iter().zip(out) {
        let mut carried = CarriedRun {
            run_id: run.uuid.clone(),
            experiment_id: run.home.mlflow_id.to_string(),
            user: run.user.clone(),
            status: run.status.name().to_owned(),
            start_time: run.start_time,
            end_time: run.end_time,
            deleted_time: deleted.get(&run.id).copied(),
            params: owned(run.document.params()),
            tags: owned(run.document.tags()),
            ..CarriedRun::default()
        };
        for (key, points) in all_points(sql, run)? {
            carried.metrics.insert(key, points.into_iter().map(CarriedPoint::from).collect());
        }
        uses(&mut carried, out);
        carried.settle();
        given.push(carried);
    }
    Ok(given)
}

fn owned<'a>(texts: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    texts.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// What a run read and wrote.
fn uses(carried: &mut CarriedRun, out: RunOut) {
    for used in out.inputs.dataset_inputs {
        let dataset = used.dataset.as_ref().clone();
        let tags = used.tags.into_iter();
        carried.datasets.push(CarriedDataset {
            name: dataset.name.unwrap_or_default(),
            digest: dataset.digest.unwrap_or_default(),
            source_type: dataset.source_type.unwrap_or_default(),
            source: dataset.source.unwrap_or_default(),
            schema: dataset.schema,
            profile: dataset.profile,
            tags: tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect(),
        });
    }
    carried.models_read.extend(out.inputs.model_inputs.into_iter().filter_map(|model| model.model_id));
    for written in out.outputs.model_outputs {
        let step = written.step.map_or(0, |step| step.0);
        carried.models_written.extend(written.model_id.map(|id| (id, step)));
    }
}

/// Gives a run that has no name of its own the one that its store kept beside the tags.
pub fn name_from(tags: &mut BTreeMap<String, String>, name: &str) {
    if !name.is_empty() {
        tags.insert(RUN_NAME_TAG.to_owned(), name.to_owned());
    }
}
