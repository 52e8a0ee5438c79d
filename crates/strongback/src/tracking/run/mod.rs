//! Runs: one row with one document each.
//!
//! What must stay true:
//! - Writing a batch is one read of the run's row, one update of it, at most one piece of metric history and the mark
//!   that the index is behind ([`save`]); nothing is written a param, a tag or a point.
//! - A run is active only if it was not deleted *and* its experiment is active; a run that is not takes no write.
//! - A run is authorised by its experiment. Whoever may create in an experiment may also change the runs that are
//!   theirs ([`authorize_change`]).
//! - What a client repeats changes nothing: same params, same points, same tags.

mod batch;
pub mod carried;
mod create;
pub(crate) mod get;
mod inputs;
mod lifecycle;
mod log;
pub(in crate::tracking) mod names;
mod outputs;
mod sources;
pub(in crate::tracking) mod store;
mod tags;
pub mod wire;

use std::collections::HashMap;

use crate::{
    bind,
    catalog::{Action, authorize},
    db::{Row, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    router::Route,
    tracking::{
        damaged::read_if_whole,
        document::{Damaged, RunDocument},
        experiment,
        series::encode_piece,
    },
};

/// The tag that names a run.
pub use crate::tracking::columns::RUN_NAME_TAG;
/// The tag that says who started a run.
pub const USER_TAG: &str = "mlflow.user";
/// The input tag that says what a data set was used for.
pub const DATASET_CONTEXT_TAG: &str = "mlflow.data.context";

pub use batch::Batch;
pub use create::{NewRun, start};
pub(in crate::tracking) use get::complete;
pub use {
    get::models,
    lifecycle::end,
    log::MODEL_HISTORY_TAG,
    sources::{TRAINING_SET_ID_TAG, TRAINING_SET_TAG, TrainingData, training_data},
};

/// Where a run stands. The numbers are MLflow's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// It goes on.
    #[default]
    Running = 1,
    /// It waits.
    Scheduled = 2,
    /// It ended well.
    Finished = 3,
    /// It ended badly.
    Failed = 4,
    /// Somebody ended it.
    Killed = 5,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Running, Self::Scheduled, Self::Finished, Self::Failed, Self::Killed];

    /// MLflow's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Scheduled => "SCHEDULED",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }

    /// By MLflow's number, which is also the stored one.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as i64 == number)
    }

    /// By MLflow's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// A run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Internal id; 0 before it is stored.
    pub id: i64,
    /// 32 hexadecimal digits.
    pub uuid: String,
    /// `experiment.asset_id`
    pub experiment_id: i64,
    /// Who made it: `principal.id`.
    pub owner_id: i64,
    /// Who the client says made it.
    pub user: String,
    /// Where it stands.
    pub status: Status,
    /// Whether it was deleted itself.
    pub deleted: bool,
    /// Milliseconds since the epoch.
    pub start_time: i64,
    /// Milliseconds since the epoch; none while it goes on.
    pub end_time: Option<i64>,
    /// Counts its changes.
    pub revision: i64,
    /// Params, tags, newest metrics, data sets.
    pub document: RunDocument,
    /// What its experiment says.
    pub home: Home,
}

/// What a run takes from its experiment.
#[derive(Debug, Clone)]
pub struct Home {
    /// MLflow's id of the experiment.
    pub mlflow_id: i64,
    /// The experiment's artifact location.
    pub artifact_location: String,
    /// Whether the experiment was deleted.
    pub deleted: bool,
}

impl Run {
    /// Its name.
    pub fn name(&self) -> &str {
        self.document.tag(RUN_NAME_TAG).unwrap_or_default()
    }

    /// The root of its files.
    pub fn artifact_uri(&self) -> String {
        let location = self.home.artifact_location.trim_end_matches('/');
        format!("{location}/{}/artifacts", self.uuid)
    }

    /// What happened to it, with the revision that it has now.
    fn event(&self, kind: EventKind) -> Event {
        Event::new(kind).asset(self.experiment_id, 0).subject_at(self.uuid.as_str(), self.revision)
    }

    /// Whether clients see it as deleted.
    pub fn is_deleted(&self) -> bool {
        self.deleted || self.home.deleted
    }

    /// Refuses writes into what was deleted.
    pub fn require_active(&self) -> Result<()> {
        if self.is_deleted() {
            return Err(Error::invalid(format!(
                "The run {} must be in the 'active' state. Current state is deleted.",
                self.uuid
            )));
        }
        Ok(())
    }
}

/// The run with this id, for a caller who may read its experiment.
pub fn load(sql: &mut Sql<'_>, uuid: &str) -> Result<Run> {
    let run = find(sql, uuid)?.ok_or_else(|| unknown(uuid))?;
    authorize(sql, Action::Read, run.experiment_id)?;
    Ok(run)
}

/// The run with this id, without asking whether the caller may see it.
pub fn find(sql: &mut Sql<'_>, uuid: &str) -> Result<Option<Run>> {
    sql.first(&store::RUN_BY_UUID, bind![uuid], read)
}

/// The run with this id, kept from others until the transaction ends, for a caller who may change it.
pub fn lock(tx: &mut Sql<'_>, uuid: &str, action: Action) -> Result<Run> {
    let run = tx.first(&store::RUN_LOCK, bind![uuid], read)?.ok_or_else(|| unknown(uuid))?;
    authorize_change(tx, &run, action)?;
    Ok(run)
}

/// Lets the owner of the experiment pass, and the owner of the run as long as they may create runs there.
pub fn authorize_change(sql: &mut Sql<'_>, run: &Run, action: Action) -> Result<()> {
    let action = if sql.caller().is(run.owner_id) { Action::Create } else { action };
    authorize(sql, action, run.experiment_id)
}

/// The error for an id that is nowhere.
pub fn unknown(uuid: &str) -> Error {
    Error::missing(format!("Run with id={uuid} not found"))
}

/// Stores a run as it is now, with one piece of history; `run.revision` becomes the stored one.
pub fn save(tx: &mut Sql<'_>, run: &mut Run, plan: &crate::tracking::document::AppendPlan) -> Result<()> {
    let deleted_at = run.deleted.then_some(tx.now());
    save_as(tx, run, plan, deleted_at)
}

/// The same for one that was deleted at another time.
fn save_as(
    tx: &mut Sql<'_>,
    run: &mut Run,
    plan: &crate::tracking::document::AppendPlan,
    deleted_at: Option<i64>,
) -> Result<()> {
    let document = run.document.encode();
    run.revision += 1;
    tx.execute(
        &store::RUN_UPDATE,
        bind![
            run.id,
            run.status as i64,
            run.deleted,
            run.start_time,
            run.end_time,
            deleted_at,
            run.revision,
            &document
        ],
    )?;
    mark_fresh(tx, run)?;
    if plan.series.is_empty() {
        return Ok(());
    }
    let body = encode_piece(&plan.series).map_err(Error::internal)?;
    let points: usize = plan.series.iter().map(|series| series.points.len()).sum();
    tx.execute(&store::PIECE_INSERT, bind![run.id, run.revision, points as i64, &body])?;
    Ok(())
}

/// Counts a change of what belongs to a run and lies beside its row, so that its events have an order. The index does not
/// look there.
fn touch(tx: &mut Sql<'_>, run: &mut Run) -> Result<()> {
    run.revision += 1;
    tx.execute(&store::RUN_TOUCH, bind![run.id, run.revision]).map(drop)
}

/// Says that the index is behind this run.
fn mark_fresh(tx: &mut Sql<'_>, run: &Run) -> Result<()> {
    tx.execute(&store::FRESH_PUT, bind![run.experiment_id, run.id, run.revision]).map(drop)
}

/// How many of these runs, from the first, make at most so many bytes of an answer.
pub(in crate::tracking) fn count_within(sql: &mut Sql<'_>, ids: &[i64], bytes_max: u64) -> Result<usize> {
    let text = serde_json::to_string(ids).map_err(Error::internal)?;
    let sizes = sql.all(&store::RUN_SIZES, bind![&text], |row| {
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?.cast_unsigned() + row.get::<i64>(2)?.cast_unsigned()))
    })?;
    let sizes: HashMap<i64, u64> = sizes.into_iter().collect();
    let mut bytes = 0;
    let fits = |id: &&i64| {
        bytes += sizes.get(*id).copied().unwrap_or_default();
        bytes <= bytes_max
    };
    Ok(ids.iter().take_while(fits).count())
}

/// Runs by internal id, in the order of the ids; without those that cannot be read.
pub(in crate::tracking) fn in_order(sql: &mut Sql<'_>, ids: &[i64]) -> Result<Vec<Run>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let text = serde_json::to_string(ids).map_err(Error::internal)?;
    let found = sql.all(&store::RUN_BY_IDS, bind![&text], |row| read_if_whole(row, 1, read))?;
    let mut by_id: HashMap<i64, Run> = found.into_iter().flatten().map(|run| (run.id, run)).collect();
    Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
}

/// A row of the statements that list a run's columns.
pub(in crate::tracking) fn read(row: &Row<'_>) -> Result<Run> {
    let status = row.get(5)?;
    Ok(Run {
        id: row.get(0)?,
        uuid: row.get(1)?,
        experiment_id: row.get(2)?,
        owner_id: row.get(3)?,
        user: row.get(4)?,
        status: Status::from_number(status)
            .ok_or_else(|| Error::internal(format!("a run has the unknown status {status}")))?,
        deleted: row.flag(6)?,
        start_time: row.get(7)?,
        end_time: row.get(8)?,
        revision: row.get(9)?,
        document: RunDocument::decode(&row.get::<Vec<u8>>(10)?)?,
        home: Home {
            mlflow_id: row.get(11)?,
            artifact_location: row.get(12)?,
            deleted: row.get::<String>(13)? == experiment::store::DELETED,
        },
    })
}

impl From<Damaged> for Error {
    fn from(error: Damaged) -> Self {
        Self::internal(error)
    }
}

/// Routes of runs.
pub(super) fn routes() -> Vec<Route> {
    [
        create::routes(),
        get::routes(),
        lifecycle::routes(),
        log::routes(),
        tags::routes(),
        inputs::routes(),
        outputs::routes(),
    ]
    .concat()
}
