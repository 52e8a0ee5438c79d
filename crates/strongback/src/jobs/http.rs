//! Jobs by REST: list, look, wait, cancel, read the log.

use std::time::Duration;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    job::{self, Job, JobId, State, missing},
    log, queue, store,
    wire::JobInfo,
};
use crate::{
    bind,
    catalog::{Action, authorize, names, securable::People},
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    router::{Limits, Policy, Route, wire::Int64},
};

/// Jobs a page when nothing is asked for.
const PAGE: i64 = 100;
/// Jobs a page at most.
const PAGE_MAX: i64 = 1_000;
/// Jobs that one page looks through at most; one of few visible ones may be shorter than asked for, and has a token.
const LOOK_MAX: i64 = 5_000;
/// How long one call may wait for the end of a job.
const WAIT_SECONDS_MAX: i64 = 30;

pub(super) fn routes() -> Vec<Route> {
    const ONE: &str = "/api/1.0/jobs/{job_id}";
    let (read, edit) = (Policy::Asset(Action::Read), Policy::Asset(Action::Edit));
    let (small, json) = (Limits::SMALL, Limits::JSON);
    vec![
        Route::json(Method::GET, "/api/1.0/jobs", Policy::Visible, small, "List jobs, newest first", list),
        Route::json(Method::GET, ONE, read, json, "Get a job, also after a wait for its end", get),
        Route::json(
            Method::GET,
            "/api/1.0/jobs/{job_id}/log",
            read,
            small,
            "Read the log of a job",
            read_log,
        ),
        Route::json(Method::POST, "/api/1.0/jobs/{job_id}/cancel", edit, small, "End a job", cancel),
    ]
}

/// Which jobs to list.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// Only of this state.
    pub state: Option<String>,
    /// Only of this kind, e.g. `command`.
    pub kind: Option<String>,
    /// Only about the asset with this name.
    pub asset: Option<String>,
    /// At most so many; 100 by default.
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

/// A page of jobs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListResponse {
    /// Newest first.
    pub jobs: Vec<JobInfo>,
    /// There may be more; a page can be shorter than asked for, even empty, and have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    let most = match request.max_results.map_or(0, |n| n.0) {
        0 => PAGE,
        n if n > 0 => n.min(PAGE_MAX),
        n => {
            return Err(Error::invalid(format!(
                "Invalid value {n} for parameter 'max_results' supplied: it is 0 or more."
            )));
        }
    };
    let state = request.state.unwrap_or_default();
    if !state.is_empty() && State::parse(&state).is_none() {
        return Err(Error::invalid(format!(
            "Invalid value '{state}' for parameter 'state' supplied: it is queued, running, succeeded, failed or cancelled."
        )));
    }
    let before = before(request.page_token.as_deref())?;
    let (kind, asset) = (request.kind.unwrap_or_default(), request.asset.unwrap_or_default());
    ctx.read(move |sql| {
        authorize::visible(sql);
        let asset_id = match asset.as_str() {
            "" => 0,
            name => names::resolve(sql, name, None).map_err(|error| error.in_field("asset"))?.id,
        };
        page(sql, before, (&state, &kind, asset_id), most)
    })
    .await
}

/// Where a page begins: before a row.
fn before(token: Option<&str>) -> Result<i64> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(i64::MAX) };
    token.parse().map_err(|_| {
        Error::invalid("The 'page_token' is not one that this server gave. Begin the list again without it.")
    })
}

fn page(sql: &mut Sql<'_>, mut before: i64, only: (&str, &str, i64), most: i64) -> Result<ListResponse> {
    let (state, kind, asset) = only;
    let (mut found, mut looked) = (Vec::new(), 0);
    let mut people = People::default();
    loop {
        let rows = sql.all(&store::JOB_PAGE, bind![before, state, kind, asset, most], job::read)?;
        let is_last = (rows.len() as i64) < most;
        looked += rows.len() as i64;
        for row in rows {
            if found.len() as i64 == most {
                return Ok(ListResponse { jobs: found, next_page_token: Some(before.to_string()) });
            }
            before = row.row;
            if queue::is_visible(sql, &row)? {
                found.push(JobInfo::new(sql, &mut people, row)?);
            }
        }
        if is_last {
            return Ok(ListResponse { jobs: found, next_page_token: None });
        }
        if looked >= LOOK_MAX {
            return Ok(ListResponse { jobs: found, next_page_token: Some(before.to_string()) });
        }
    }
}

/// Reads the id of a job; what is none is the id of no job.
pub(super) fn parse_id(id: &str) -> Result<JobId> {
    JobId::parse_str(id).map_err(|_| missing(&id.chars().take(60).collect::<String>()))
}

/// A job as it leaves, for a caller who may see it.
pub fn info(sql: &mut Sql<'_>, job: Job) -> Result<JobInfo> {
    JobInfo::new(sql, &mut People::default(), job)
}

/// Which job.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetRequest {
    /// Its id.
    pub job_id: String,
    /// How long to wait for its end, up to 30 seconds; 0 or absent answers at once.
    pub wait_seconds: Option<Int64>,
}

async fn get(ctx: Ctx, request: GetRequest) -> Result<JobInfo> {
    let time = wait_time(request.wait_seconds, WAIT_SECONDS_MAX)?;
    let job = queue::wait(&ctx, parse_id(&request.job_id)?, time).await?;
    ctx.read(move |sql| {
        queue::authorize_job(sql, &job, Action::Read)?;
        info(sql, job)
    })
    .await
}

/// How long a call waits.
pub(super) fn wait_time(seconds: Option<Int64>, most: i64) -> Result<Duration> {
    let seconds = seconds.map_or(0, |seconds| seconds.0);
    if !(0..=most).contains(&seconds) {
        return Err(Error::invalid(format!(
            "Invalid value {seconds} for parameter 'wait_seconds' supplied: it is 0 to {most}."
        )));
    }
    Ok(Duration::from_secs(seconds as u64))
}

/// Which part of a log.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct LogRequest {
    /// Id of the job.
    pub job_id: String,
    /// Of which attempt, the first being 1; the newest when absent.
    pub attempt: Option<Int64>,
    /// From which byte on; from the beginning when absent.
    pub after: Option<Int64>,
}

/// A part of a log.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogResponse {
    /// What was written; of several attempts each has its own.
    pub text: String,
    /// Where the next part begins.
    pub next: i64,
    /// Whether nothing comes after this: the attempt is over, and its log was read to its end.
    pub is_end: bool,
    /// The attempt.
    pub attempt: i64,
}

async fn read_log(ctx: Ctx, request: LogRequest) -> Result<LogResponse> {
    let id = parse_id(&request.job_id)?;
    let after = request.after.map_or(0, |after| after.0);
    if !(0..=log::BYTES_MAX as i64).contains(&after) {
        return Err(Error::invalid(format!(
            "Invalid value {after} for parameter 'after' supplied: it is 0 to {}, the most that a log has.",
            log::BYTES_MAX
        )));
    }
    ctx.read(move |sql| {
        let job = queue::get(sql, id)?;
        let attempt = request.attempt.map_or(job.attempts, |attempt| attempt.0);
        if !(0..=job.attempts).contains(&attempt) {
            return Err(Error::invalid(format!(
                "Invalid value {attempt} for parameter 'attempt' supplied: the job was begun {} times.",
                job.attempts
            )));
        }
        let (text, next) = log::read(sql, &job, attempt, after)?;
        let is_over = attempt < job.attempts || job.state.is_ended();
        Ok(LogResponse { is_end: is_over && text.is_empty(), text, next, attempt })
    })
    .await
}

/// Which job.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CancelRequest {
    /// Its id.
    pub job_id: String,
}

async fn cancel(ctx: Ctx, request: CancelRequest) -> Result<JobInfo> {
    let id = parse_id(&request.job_id)?;
    ctx.write(move |tx| {
        Ok(match queue::cancel(tx, id)? {
            Change::Made(job, event) => Change::Made(info(tx, job)?, event),
            Change::Nothing(job) => Change::Nothing(info(tx, job)?),
        })
    })
    .await
}
