//! What runners ask for: a job, its lease, its end.
//!
//! A runner is a process somewhere else (`strongback runner`) with the token of an administrator, or of a member of the group
//! `runners`. It works on one job at a time under a name of its own, so that a runner who asks for a job says thereby that it
//! has none: what was leased under its name before is let go. The credential that comes with a job is one of whom the job runs
//! as; it is made with the lease and ends with it, and is stored as its hash alone, like every other.

mod end;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::glob;
use tokio::time::Instant;

pub use end::{EndRequest, Reason};

use super::{
    commands::{self, definition::is_label},
    http::{parse_id, wait_time},
    job::{Cost, Job, Progress},
    lease::{self, Taken, Wanted},
    log, worker,
};
use crate::{
    auth::{Mode, Secret},
    catalog::authorize::authorize_runner,
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    router::{
        Limits, Policy, Route,
        wire::{self, Int64},
    },
    time,
};

/// How long a call may wait for a job.
const WAIT_SECONDS_MAX: i64 = 30;
/// How long a lease may last.
const LEASE_SECONDS_MAX: i64 = 600;
/// How long one lasts when nobody says.
const LEASE_SECONDS: i64 = 30;
/// Labels and patterns of one runner.
const ENTRIES_MAX: usize = 32;
/// The longest rest between two looks for a job that another process queued.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The shortest one.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub(super) fn routes() -> Vec<Route> {
    let beat = "/api/1.0/runner/jobs/{job_id}/heartbeat";
    let end_of = "/api/1.0/runner/jobs/{job_id}/end";
    let (who, json) = (Policy::Runner, Limits::JSON);
    vec![
        Route::json(
            Method::POST,
            "/api/1.0/runner/lease",
            who,
            json,
            "Take a job, also after a wait for one",
            lease,
        ),
        Route::json(Method::POST, beat, who, json, "Keep a job, and send its figures and its log", heartbeat),
        Route::json(Method::POST, end_of, who, json, "Say how a job ended", end::end),
    ]
}

/// Who asks for a job, and which.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct LeaseRequest {
    /// The runner's own name, which no other one of the same principal has.
    pub runner: String,
    /// Labels of commands that it runs; `default` when there are none.
    #[serde(default, deserialize_with = "wire::list")]
    pub labels: Vec<String>,
    /// Patterns of names of commands that it runs, e.g. `prod.risk.*`; all when there are none.
    #[serde(default, deserialize_with = "wire::list")]
    pub allow: Vec<String>,
    /// After how many seconds without a heartbeat the job is another's; 30 when absent.
    pub lease_seconds: Option<Int64>,
    /// How long to wait for a job, up to 30 seconds; 0 or absent answers at once.
    pub wait_seconds: Option<Int64>,
}

/// A job, if there is one.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct LeaseResponse {
    /// What to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<LeasedJob>,
}

/// A job to run.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct LeasedJob {
    /// UUID of the job.
    pub job_id: String,
    /// By which this lease is known; comes with every heartbeat and the end.
    pub fencing_token: i64,
    /// The first attempt is 1.
    pub attempt: i64,
    /// `catalog.schema.command`
    pub command: String,
    /// Its version.
    pub version: i64,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables of the environment.
    pub env: BTreeMap<String, String>,
    /// Name of whom it runs as.
    pub run_as: String,
    /// Credential of that principal for as long as the lease lasts; absent where the server asks for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Milliseconds that it may take.
    pub wall_ms_left: i64,
    /// Milliseconds of processor time that it may take; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor_ms_left: Option<i64>,
    /// MiB that its processes may have together; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<i64>,
    /// How long the lease lasts without a heartbeat.
    pub lease_seconds: i64,
}

/// Not shown: there is a secret in it.
impl std::fmt::Debug for LeasedJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LeasedJob({} of {})", self.job_id, self.command)
    }
}

/// Who holds, as it is stored.
fn holder(ctx: &Ctx, runner: &str) -> Result<String> {
    if !is_label(runner) {
        return Err(Error::invalid(format!(
            "Invalid value '{runner}' for parameter 'runner' supplied: it has 1 to 64 letters, digits, '.', '-' and '_'."
        )));
    }
    Ok(format!("runner/{}/{runner}", ctx.caller().name))
}

fn lease_ms(seconds: Option<Int64>) -> Result<i64> {
    let seconds = seconds.map_or(LEASE_SECONDS, |seconds| seconds.0);
    if !(1..=LEASE_SECONDS_MAX).contains(&seconds) {
        return Err(Error::invalid(format!(
            "Invalid value {seconds} for parameter 'lease_seconds' supplied: it is 1 to {LEASE_SECONDS_MAX}."
        )));
    }
    Ok(seconds * 1_000)
}

/// What a runner takes, checked.
struct Asked {
    holder: String,
    labels: Vec<String>,
    allow: Vec<String>,
    lease_ms: i64,
    wait: Duration,
}

impl Asked {
    fn of(ctx: &Ctx, request: LeaseRequest) -> Result<Self> {
        let LeaseRequest { runner, mut labels, allow, lease_seconds, wait_seconds } = request;
        for (field, entries) in [("labels", &labels), ("allow", &allow)] {
            if entries.len() > ENTRIES_MAX {
                return Err(Error::invalid(format!(
                    "'{field}' has {} entries; the limit is {ENTRIES_MAX}.",
                    entries.len()
                )));
            }
        }
        if let Some(wrong) = labels.iter().find(|label| !is_label(label)) {
            return Err(Error::invalid(format!(
                "Invalid value {wrong:?} for parameter 'labels' supplied: a label has 1 to 64 letters, digits, '.', '-' and '_'."
            )));
        }
        if let Some(long) = allow.iter().find(|pattern| pattern.chars().count() > glob::CHARS_MAX) {
            return Err(Error::too_long("allow", glob::CHARS_MAX, long.chars().count()));
        }
        if labels.is_empty() {
            labels.push(commands::DEFAULT_LABEL.to_owned());
        }
        Ok(Self {
            holder: holder(ctx, &runner)?,
            labels,
            allow,
            lease_ms: lease_ms(lease_seconds)?,
            wait: wait_time(wait_seconds, WAIT_SECONDS_MAX)?,
        })
    }

    fn wanted<'a>(&'a self, allows: &'a dyn Fn(&str) -> bool, secret: Option<&'a Secret>) -> Wanted<'a> {
        Wanted {
            holder: &self.holder,
            kinds: &[commands::KIND],
            labels: &self.labels,
            lease_ms: self.lease_ms,
            allows,
            secret,
        }
    }

    fn allows(&self, name: &str) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|pattern| glob::fits(pattern, name))
    }
}

async fn lease(ctx: Ctx, request: LeaseRequest) -> Result<LeaseResponse> {
    let asked = Arc::new(Asked::of(&ctx, request)?);
    let own = asked.holder.clone();
    ctx.app.db.derive(move |tx| lease::let_go(tx, &own)).await?;
    let until = Instant::now() + asked.wait;
    let (mut bell, mut stopping) = (ctx.app.db.bell().listen(), ctx.app.stopping.subscribe());
    loop {
        bell.borrow_and_update();
        let rest = worker::rest(&ctx.app, &[commands::KIND]).await?;
        if rest.is_zero() {
            match take(&ctx, &asked).await? {
                (Taken::Settled, _) => continue,
                (_, Some(job)) => return Ok(LeaseResponse { job: Some(job) }),
                _ => {}
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || *stopping.borrow_and_update() {
            return Ok(LeaseResponse { job: None });
        }
        // What is due now is for others, and may be so for long.
        let rest = if rest.is_zero() { LOOK_EVERY } else { rest.clamp(LOOK_AGAIN, LOOK_EVERY) };
        tokio::select! {
            _ = bell.changed() => {}
            _ = stopping.changed() => {}
            () = tokio::time::sleep(left.min(rest)) => {}
        }
    }
}

async fn take(ctx: &Ctx, asked: &Arc<Asked>) -> Result<(Taken, Option<LeasedJob>)> {
    let secret = (ctx.app.config.auth_mode() == Mode::Tokens).then(Secret::new_token);
    // The request may have come long ago, and waits.
    let (looking, now) = (Arc::clone(asked), time::now_ms());
    let found = ctx
        .read(move |sql| {
            authorize_runner(sql)?;
            let allows = |name: &str| looking.allows(name);
            lease::find(sql, &looking.wanted(&allows, None), now)
        })
        .await?;
    let asked = Arc::clone(asked);
    ctx.write(move |tx| {
        authorize_runner(tx)?;
        let allows = |name: &str| asked.allows(name);
        let wanted = asked.wanted(&allows, secret.as_ref());
        Ok(match lease::take(tx, &wanted, found)? {
            Change::Made(Taken::Job(job, run_as, name), event) => {
                let leased = leased(tx, &job, &run_as.name, name, secret.as_ref(), asked.lease_ms)?;
                Change::Made((Taken::Job(job, run_as, None), Some(leased)), event)
            }
            Change::Made(other, event) => Change::Made((other, None), event),
            Change::Nothing(other) => Change::Nothing((other, None)),
        })
    })
    .await
}

fn leased(
    tx: &mut Sql<'_>,
    job: &Job,
    run_as: &str,
    name: Option<String>,
    secret: Option<&Secret>,
    lease_ms: i64,
) -> Result<LeasedJob> {
    let broken = || Error::internal("a job has an unreadable payload");
    let n = job.payload["version"].as_i64().ok_or_else(broken)?;
    let values: BTreeMap<String, String> =
        serde_json::from_value(job.payload["params"].clone()).map_err(Error::internal)?;
    let version = commands::version(tx, job.asset_id.ok_or_else(broken)?, Some(n))?;
    let filled = version.definition.fill(&values);
    Ok(LeasedJob {
        job_id: job.id.to_string(),
        fencing_token: job.fencing,
        attempt: job.attempts,
        command: name.unwrap_or_default(),
        version: version.n,
        argv: filled.argv,
        env: filled.env,
        run_as: run_as.to_owned(),
        token: secret.map(|secret| secret.reveal().to_owned()),
        wall_ms_left: job.budget.wall_ms.map_or(i64::MAX, |most| (most - job.cost.wall_ms).max(1)),
        processor_ms_left: job.budget.processor_ms.map(|most| (most - job.cost.processor_ms).max(1)),
        memory_mb: version.definition.memory_mb.map(|mb| mb.0),
        lease_seconds: lease_ms / 1_000,
    })
}

/// How a job is doing.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct HeartbeatRequest {
    /// Id of the job.
    pub job_id: String,
    /// Name of the runner.
    pub runner: String,
    /// The lease's.
    pub fencing_token: Int64,
    /// How long the lease is to last from now on; 30 when absent.
    pub lease_seconds: Option<Int64>,
    /// Processor time of this attempt so far, milliseconds.
    pub processor_ms: Option<Int64>,
    /// Time since it was begun, milliseconds.
    pub wall_ms: Option<Int64>,
    /// Bytes that its processes read in this attempt so far.
    pub bytes_read: Option<Int64>,
    /// Bytes that they wrote.
    pub bytes_written: Option<Int64>,
    /// A piece of what it wrote, at most 64 KiB.
    pub log: Option<String>,
    /// The byte of its log at which the piece begins.
    pub log_at: Option<Int64>,
}

/// What the runner is to do.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct HeartbeatResponse {
    /// End it: somebody cancelled it, its budget is used up, or whom it runs as may not any more.
    pub cancel: bool,
    /// The byte of the log at which the next piece begins.
    pub log_next: i64,
}

async fn heartbeat(ctx: Ctx, request: HeartbeatRequest) -> Result<HeartbeatResponse> {
    let id = parse_id(&request.job_id)?;
    let (own, lease_ms) = (holder(&ctx, &request.runner)?, lease_ms(request.lease_seconds)?);
    let used = used((request.processor_ms, request.wall_ms), (request.bytes_read, request.bytes_written))?;
    let at = request.log_at.map_or(0, |at| at.0);
    ctx.app
        .db
        .derive(move |tx| {
            let job = lease::held(tx, id, &own, request.fencing_token.0)?;
            let text = request.log.as_deref().unwrap_or_default();
            let log_next = log::append(tx, &job, at, text)?;
            let cost = total(&job, used);
            let is_asked = lease::renew(tx, &job, lease_ms, &Progress::default(), &cost)?;
            let is_over = job.budget.exceeded_by(&cost).is_some() || lease::refusal(tx, &job)?.is_some();
            Ok(HeartbeatResponse { cancel: is_asked || is_over, log_next })
        })
        .await
}

fn figure(name: &str, value: Option<Int64>) -> Result<i64> {
    match value.map_or(0, |value| value.0) {
        value if value >= 0 => Ok(value),
        value => Err(Error::invalid(format!(
            "Invalid value {value} for parameter '{name}' supplied: it is 0 or more."
        ))),
    }
}

type Figures = (Option<Int64>, Option<Int64>);

/// Processor time and time, and bytes read and written, of an attempt.
fn used((processor_ms, wall_ms): Figures, (bytes_read, bytes_written): Figures) -> Result<Cost> {
    Ok(Cost {
        processor_ms: figure("processor_ms", processor_ms)?,
        wall_ms: figure("wall_ms", wall_ms)?,
        bytes_read: figure("bytes_read", bytes_read)?,
        bytes_written: figure("bytes_written", bytes_written)?,
    })
}

/// What a job has cost with this much of its present attempt. It never becomes less.
fn total(job: &Job, used: Cost) -> Cost {
    let (all, known) = (job.before + used, job.cost);
    Cost {
        processor_ms: all.processor_ms.max(known.processor_ms),
        wall_ms: all.wall_ms.max(known.wall_ms),
        bytes_read: all.bytes_read.max(known.bytes_read),
        bytes_written: all.bytes_written.max(known.bytes_written),
    }
}
