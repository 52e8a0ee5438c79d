//! Queuing a job, asking for it, ending it.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::{
    job::{self, Budget, Job, JobId, State, missing},
    outcome::{self, Ending},
    store,
};
use crate::{
    bind,
    catalog::{
        Action, authorize,
        authorize::{authorize_self, is_allowed},
        authorize_admin, principal,
    },
    context::Ctx,
    db::{Change, Sql},
    error::{Code, Error, Result},
    events::{Event, EventKind},
};

/// Jobs of one principal that may wait.
const WAITING_OF_ONE_MAX: i64 = 1_000;
/// Jobs that may wait.
const WAITING_MAX: i64 = 10_000;
/// Bytes of a payload, as JSON.
const PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// Bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 512;
/// How often a job may be begun at most.
pub(super) const ATTEMPTS_MAX: i64 = 100;
/// Between two looks for a job that may end in another process.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// What kind of work: a [`Handler`](super::Handler)'s, or `command`.
    pub kind: String,
    /// Under which it is the only one of its kind; a new one each time when absent.
    pub idempotency_key: Option<String>,
    /// Version of the payload's form.
    pub payload_version: i64,
    /// What to do, in the form that the kind defines.
    pub payload: Json,
    /// Which runners may have it; empty for kinds of the server's own.
    pub label: String,
    /// `principal.id` of whose rights count.
    pub run_as_id: i64,
    /// The asset that it is about, and the right to it without which it is not begun.
    pub asset: Option<(i64, Action)>,
    /// What it may use.
    pub budget: Budget,
    /// Not to be begun before, milliseconds since the epoch; 0 for at once.
    pub not_before: i64,
    /// How often it may be begun, at least once.
    pub attempts_max: i64,
}

impl NewJob {
    /// A job of a kind on somebody's behalf: begun at once, three times at most, without a budget.
    pub fn new(kind: &str, payload: Json, run_as_id: i64) -> Self {
        Self {
            kind: kind.to_owned(),
            idempotency_key: None,
            payload_version: 1,
            payload,
            label: String::new(),
            run_as_id,
            asset: None,
            budget: Budget::default(),
            not_before: 0,
            attempts_max: 3,
        }
    }

    fn check(&self, payload: &str) -> Result<()> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::invalid(format!(
                "The payload of the job has {} bytes; the limit is {PAYLOAD_BYTES_MAX}. Store what is large and name it.",
                payload.len()
            )));
        }
        let key = self.idempotency_key.as_deref().unwrap_or_default();
        if key.len() > KEY_BYTES_MAX || key.contains('\0') {
            return Err(Error::invalid(format!(
                "Invalid value for parameter 'idempotency_key' supplied: it has at most {KEY_BYTES_MAX} bytes and no NUL."
            )));
        }
        if !(1..=ATTEMPTS_MAX).contains(&self.attempts_max) {
            return Err(Error::invalid(format!(
                "Invalid value {} for parameter 'max_attempts' supplied: it is 1 to {ATTEMPTS_MAX}.",
                self.attempts_max
            )));
        }
        Ok(())
    }
}

/// A job that waits, or one that was there under its key.
#[derive(Debug)]
pub struct Queued {
    /// Its id.
    pub id: JobId,
    /// What to answer the change with; `None` if it was there already. A change that is an event of its own names the job
    /// in its detail and leaves this one out.
    pub event: Option<Event>,
}

/// Queues a job within the caller's transaction, which has authorised it. The worker of this process begins it as soon as
/// the transaction stands.
pub fn enqueue(tx: &mut Sql<'_>, new: &NewJob) -> Result<Queued> {
    let payload = new.payload.to_string();
    new.check(&payload)?;
    let fresh = JobId::now_v7();
    let uuid = fresh.to_string();
    let key = new.idempotency_key.clone().unwrap_or_else(|| uuid.clone());
    if let Some(id) = under_key(tx, &new.kind, &key)? {
        return Ok(Queued { id, event: None });
    }
    refuse_too_many(tx, new.run_as_id)?;
    let (now, by) = (tx.now(), tx.caller().id);
    let (asset_id, action) = new.asset.map_or((None, None), |(id, action)| (Some(id), Some(action.name())));
    let values = bind![
        &uuid,
        &new.kind,
        &key,
        new.payload_version,
        &payload,
        &new.label,
        by,
        new.run_as_id,
        asset_id,
        action,
        new.budget.processor_ms,
        new.budget.wall_ms,
        new.budget.bytes_read,
        new.not_before.max(now),
        new.attempts_max,
        now
    ];
    // A key that somebody else took at the same moment is a conflict, after which the transaction is run again and finds it.
    tx.execute(&store::JOB_INSERT, values)?;
    tx.ring();
    let mut event = Event::new(EventKind::JobQueue).subject_at(uuid, 1).detail(json!({
        "kind": new.kind, "run_as": principal::name_of(tx, new.run_as_id)?, "payload": new.payload,
    }));
    if let Some(id) = asset_id {
        event = event.asset(id, 0);
    }
    Ok(Queued { id: fresh, event: Some(event) })
}

/// Queues a job, unless the same waits already on the same principal's behalf: that one is the answer then. One that was begun is
/// another one: what has changed since it looked is left to the next.
pub fn join_or_enqueue(tx: &mut Sql<'_>, new: &NewJob) -> Result<Queued> {
    let (payload, asset_id) = (new.payload.to_string(), new.asset.map(|(id, _)| id));
    let now = tx.now();
    let waiting =
        tx.first(&store::JOB_WAITING, bind![&new.kind, asset_id, new.run_as_id, &payload, now], |row| {
            row.get::<String>(0)
        })?;
    match waiting {
        Some(uuid) => Ok(Queued { id: uuid.parse().map_err(Error::internal)?, event: None }),
        None => enqueue(tx, new),
    }
}

/// The job that a key stands for already.
pub fn under_key(sql: &mut Sql<'_>, kind: &str, key: &str) -> Result<Option<JobId>> {
    Ok(sql.first(&store::JOB_BY_KEY, bind![kind, key], job::read)?.map(|known| known.id))
}

fn refuse_too_many(tx: &mut Sql<'_>, run_as_id: i64) -> Result<()> {
    let count = |tx: &mut Sql<'_>, most: i64, of: Option<i64>| match of {
        Some(id) => tx.one(&store::JOB_QUEUED_OF, bind![id, most], |row| row.get::<i64>(0)),
        None => tx.one(&store::JOB_QUEUED, bind![most], |row| row.get::<i64>(0)),
    };
    let whose = match count(tx, WAITING_OF_ONE_MAX, Some(run_as_id))? {
        n if n >= WAITING_OF_ONE_MAX => {
            format!("{WAITING_OF_ONE_MAX} jobs of {}", principal::name_of(tx, run_as_id)?)
        }
        _ if count(tx, WAITING_MAX, None)? >= WAITING_MAX => format!("{WAITING_MAX} jobs"),
        _ => return Ok(()),
    };
    Err(Error::new(
        Code::RequestLimitExceeded,
        format!(
            "{whose} wait already, which is the limit. Wait until some have ended, or cancel some \
             (strongback job list --state queued). Is a runner for them there?"
        ),
    ))
}

/// A job, if there is one with this id. Whoever asks has authorised it, or does so with [`authorize_job`].
pub fn find(sql: &mut Sql<'_>, id: JobId) -> Result<Option<Job>> {
    sql.first(&store::JOB_GET, bind![&id.to_string()], job::read)
}

/// The job that must be there, authorised for reading.
pub fn get(sql: &mut Sql<'_>, id: JobId) -> Result<Job> {
    let found = find(sql, id)?.ok_or_else(|| missing(&id.to_string()))?;
    authorize_job(sql, &found, Action::Read)?;
    Ok(found)
}

/// Lets pass who queued a job, whom it runs as, and who may do this to the asset that it is about.
pub(super) fn authorize_job(sql: &mut Sql<'_>, job: &Job, action: Action) -> Result<()> {
    if [job.queued_by_id, job.run_as_id].contains(&sql.caller().id) {
        return authorize_self(sql, "ask for jobs");
    }
    match job.asset_id {
        Some(asset) => authorize(sql, action, asset),
        None => authorize_admin(sql, "see or end the jobs of others"),
    }
}

/// Whether the caller may see a job, for lists.
pub(super) fn is_visible(sql: &mut Sql<'_>, job: &Job) -> Result<bool> {
    if sql.caller().is_admin() || [job.queued_by_id, job.run_as_id].contains(&sql.caller().id) {
        authorize_self(sql, "list jobs")?;
        return Ok(true);
    }
    match job.asset_id {
        Some(asset) => is_allowed(sql, Action::Read, asset),
        None => Ok(false),
    }
}

/// Waits until a job has ended, some time is over, or the server is to stop; answers the job as it is then.
pub async fn wait(ctx: &Ctx, id: JobId, time: Duration) -> Result<Job> {
    let until = Instant::now() + time;
    let (mut bell, mut stopping) = (ctx.app.db.bell().listen(), ctx.app.stopping.subscribe());
    loop {
        let job = ctx.read(move |sql| get(sql, id)).await?;
        let left = until.saturating_duration_since(Instant::now());
        if job.state.is_ended() || left.is_zero() || *stopping.borrow_and_update() {
            return Ok(job);
        }
        // Whatever is heard, it is looked at again.
        tokio::select! {
            _ = bell.changed() => {}
            _ = stopping.changed() => {}
            () = tokio::time::sleep(left.min(LOOK_EVERY)) => {}
        }
    }
}

/// Ends a job, authorised: at once where it waits; who runs it is told. Nothing changes where it ended already.
pub fn cancel(tx: &mut Sql<'_>, id: JobId) -> Result<Change<Job>> {
    let job = job::lock(tx, id)?;
    authorize_job(tx, &job, Action::Edit)?;
    let by = tx.caller().id;
    let event = match job.state {
        State::Queued => outcome::end(tx, &job, Ending::Cancelled, job.cost)?,
        State::Running if job.cancelled_by_id.is_none() => {
            let revision = tx.one(&store::JOB_CANCEL_ASKED, bind![job.row, by], |row| row.get(0))?;
            outcome::event(EventKind::JobCancel, &job, revision).detail(json!({ "asked": true }))
        }
        _ => return Ok(Change::Nothing(job)),
    };
    tx.ring();
    let job = tx.one(&store::JOB_GET, bind![&id.to_string()], job::read)?;
    Ok(Change::Made(job, event))
}
