//! Who has a job: leases, their renewal, and what happens to those that ran out.
//!
//! A holder of the server's own carries the name of the data directory, which one process has at a time; a runner that of
//! its principal and of its working directory. So whoever begins anew under its name has none of its former leases any
//! more, and says so ([`let_go`]) before it asks for work.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use serde_json::json;

use super::{
    job::{self, Cost, Failure, Job, JobId, Progress, State},
    outcome::{self, Ending},
    store,
};
use crate::{
    auth::{Caller, Secret},
    bind,
    catalog::{asset, authorize::authorize_as, principal, tokens},
    db::{Change, Sql},
    error::{Code, Error, Result},
    events::EventKind,
};

/// How long a lease of the server's own lasts. Milliseconds.
pub(super) const LEASE_MS: i64 = 30_000;
/// Due jobs that are looked at together.
const LOOK: i64 = 100;
/// Leases that ran out and are settled before work is handed out, at most.
const EXPIRED: i64 = 1;

/// Who asks for work, and which.
pub(super) struct Wanted<'a> {
    /// The holder's name.
    pub holder: &'a str,
    /// Kinds that it does.
    pub kinds: &'a [&'a str],
    /// Labels of jobs that it may have.
    pub labels: &'a [String],
    /// How long a lease is to last. Milliseconds.
    pub lease_ms: i64,
    /// Whether it may have a job about an asset of this name.
    pub allows: &'a dyn Fn(&str) -> bool,
    /// The secret of the credential that a job of the run-as principal's is to have; `None` to make none.
    pub secret: Option<&'a Secret>,
}

/// What there was to do.
pub(super) enum Taken {
    /// This job is now the holder's, as whom it runs and with the name of its asset.
    Job(Box<Job>, Arc<Caller>, Option<String>),
    /// Something else was settled: look again.
    Settled,
    /// Nothing.
    Nothing,
}

/// The job that a holder may have next at this moment, milliseconds since the epoch, looked for without a lock: among thousands
/// that wait for others it may take a while, which no writer should wait for. Others may be quicker.
pub(super) fn find(sql: &mut Sql<'_>, wanted: &Wanted<'_>, now: i64) -> Result<Option<JobId>> {
    let (kinds, labels) = (texts(wanted.kinds)?, texts(wanted.labels)?);
    let mut place = (i64::MIN, i64::MIN);
    // Many jobs are of few commands.
    let mut known: BTreeMap<i64, bool> = BTreeMap::new();
    loop {
        let due = sql.all(&store::JOB_DUE, bind![now, &kinds, &labels, place.0, place.1, LOOK], |row| {
            let id: JobId = row.get::<String>(1)?.parse().map_err(Error::internal)?;
            Ok((row.get::<i64>(0)?, id, row.get::<i64>(2)?, row.get::<Option<i64>>(3)?))
        })?;
        let is_last = (due.len() as i64) < LOOK;
        for (row, id, not_before, asset_id) in due {
            place = (not_before, row);
            let is_allowed = match asset_id {
                None => true,
                Some(asset_id) => match known.entry(asset_id) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(free) => {
                        *free.insert((wanted.allows)(&asset::display_name(sql, asset_id)?))
                    }
                },
            };
            if is_allowed {
                return Ok(Some(id));
            }
        }
        if is_last {
            return Ok(None);
        }
    }
}

/// Takes the job that was found for a holder, if it is there to be taken still. The caller's right to do so was authorised.
pub(super) fn take(tx: &mut Sql<'_>, wanted: &Wanted<'_>, found: Option<JobId>) -> Result<Change<Taken>> {
    if let Some(change) = expire(tx)? {
        return Ok(change);
    }
    let Some(id) = found else { return Ok(Change::Nothing(Taken::Nothing)) };
    let job = job::lock(tx, id)?;
    let name = job.asset_id.map(|id| asset::display_name(tx, id)).transpose()?;
    // Another may have been quicker, or the command was renamed meanwhile: who asked looks again.
    let is_due = job.state == State::Queued && job.not_before <= tx.now();
    if !is_due || !name.as_deref().is_none_or(wanted.allows) {
        return Ok(Change::Nothing(Taken::Settled));
    }
    begin(tx, wanted, job, name)
}

fn texts(texts: &[impl serde::Serialize]) -> Result<String> {
    serde_json::to_string(texts).map_err(Error::internal)
}

/// Begins a locked job, or ends it where its principal may not have it any more.
fn begin(tx: &mut Sql<'_>, wanted: &Wanted<'_>, job: Job, name: Option<String>) -> Result<Change<Taken>> {
    let run_as = match run_as(tx, &job) {
        Ok(run_as) => run_as,
        Err(error) if is_refusal(&error) => {
            let cost = job.cost;
            let event = outcome::end(tx, &job, Ending::failed(Failure::from(&error)), cost)?;
            return Ok(Change::Made(Taken::Settled, event));
        }
        Err(error) => return Err(error),
    };
    let now = tx.now();
    let token_id = match wanted.secret {
        // A lease without an end of its own is renewed; its credential lasts a day and goes with it.
        Some(secret) => {
            let lifetime_ms = job.budget.wall_ms.map_or(86_400_000, |ms| ms.saturating_add(3_600_000));
            let comment = format!("job {}", job.id);
            match tokens::issue(tx, &run_as.name, secret, &comment, now.saturating_add(lifetime_ms)) {
                Ok(id) => Some(id),
                Err(error) if error.code() == Code::InvalidParameterValue => {
                    let cost = job.cost;
                    let event = outcome::end(tx, &job, Ending::failed(Failure::from(&error)), cost)?;
                    return Ok(Change::Made(Taken::Settled, event));
                }
                Err(error) => return Err(error),
            }
        }
        None => None,
    };
    let until = now + wanted.lease_ms;
    let values = bind![job.row, wanted.holder, until, token_id.as_deref(), now];
    let (fencing, attempts, revision) = tx.one(&store::JOB_LEASE, values, |row| {
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<i64>(2)?))
    })?;
    let event = outcome::event(EventKind::JobStart, &job, revision).detail(json!({
        "kind": job.kind, "attempt": attempts, "holder": wanted.holder, "token_id": token_id,
    }));
    let job = Job {
        state: State::Running,
        holder: Some(wanted.holder.to_owned()),
        lease_until: Some(until),
        started_at: Some(now),
        token_id,
        before: job.cost,
        fencing,
        attempts,
        revision,
        ..job
    };
    Ok(Change::Made(Taken::Job(Box::new(job), run_as, name), event))
}

/// The principal that a job acts as, with the rights that it has now; an error if it is gone, or has lost the right that the
/// job was queued with.
pub(super) fn run_as(sql: &mut Sql<'_>, job: &Job) -> Result<Arc<Caller>> {
    let caller = principal::find_by_id(sql, job.run_as_id)?.ok_or_else(|| {
        Error::denied(format!(
            "The principal {} that this job was to run as does not exist any more.",
            job.run_as_id
        ))
    })?;
    if let (Some(asset_id), Some(action)) = (job.asset_id, job.action) {
        if asset::get(sql, asset_id)?.is_none() {
            let name = asset::display_name(sql, asset_id)?;
            return Err(Error::missing(format!("'{name}', which this job is about, was deleted.")));
        }
        authorize_as(sql, &caller, action, asset_id)?;
    }
    Ok(caller)
}

/// Whether an error says that a job's principal may not have it any more.
fn is_refusal(error: &Error) -> bool {
    matches!(error.code(), Code::PermissionDenied | Code::ResourceDoesNotExist)
}

/// Why a job may not go on, if its principal is gone or has lost the right that it was queued with.
pub(super) fn refusal(sql: &mut Sql<'_>, job: &Job) -> Result<Option<Error>> {
    match run_as(sql, job) {
        Ok(_) => Ok(None),
        Err(error) if is_refusal(&error) => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

/// Settles a lease that ran out, if there is one: the job is tried again, or has failed.
pub(super) fn expire(tx: &mut Sql<'_>) -> Result<Option<Change<Taken>>> {
    let now = tx.now();
    let ids = tx.all(&store::JOB_EXPIRED, bind![now, EXPIRED], |row| row.get::<String>(0))?;
    for id in ids {
        let job = job::lock(tx, id.parse().map_err(Error::internal)?)?;
        if job.state != State::Running || job.lease_until.is_none_or(|until| until >= now) {
            continue;
        }
        let holder = job.holder.clone().unwrap_or_default();
        let failure = Failure::new(
            Failure::LEASE_LOST,
            format!(
                "Nothing was heard any more of {holder}, which had it at attempt {} of {}.",
                job.attempts, job.attempts_max
            ),
        );
        let cost = job.cost;
        let event = outcome::settle(tx, &job, Ending::Failed { failure, is_passing: true }, cost)?;
        return Ok(Some(Change::Made(Taken::Settled, event)));
    }
    Ok(None)
}

/// Says that none of a holder's leases is worked on any more.
pub(super) fn let_go(tx: &mut Sql<'_>, holder: &str) -> Result<()> {
    if tx.execute(&store::JOB_LET_GO, bind![holder])? > 0 {
        tx.ring();
    }
    Ok(())
}

/// A running job that this holder has by this token, locked. Otherwise the error that says that it was lost.
pub(super) fn held(tx: &mut Sql<'_>, id: JobId, holder: &str, fencing: i64) -> Result<Job> {
    let job = job::lock(tx, id)?;
    if job.state == State::Running && job.fencing == fencing && job.holder.as_deref() == Some(holder) {
        return Ok(job);
    }
    Err(Error::new(
        Code::ResourceConflict,
        format!(
            "The lease {fencing} of the job {id} was lost: it is {} and its newest lease is {}. Stop working on it; what \
             it did since then is not taken.",
            job.state.name(),
            job.fencing
        ),
    ))
}

/// Keeps the lease of a job that this holder has. Answers whether somebody wants it to end.
pub(super) fn renew(
    tx: &mut Sql<'_>,
    job: &Job,
    lease_ms: i64,
    progress: &Progress,
    cost: &Cost,
) -> Result<bool> {
    let until = tx.now() + lease_ms;
    let values = bind![
        job.row,
        until,
        progress.done,
        progress.of,
        &progress.message,
        cost.processor_ms,
        cost.wall_ms,
        cost.bytes_read,
        cost.bytes_written
    ];
    tx.execute(&store::JOB_RENEW, values)?;
    Ok(job.cancelled_by_id.is_some())
}
