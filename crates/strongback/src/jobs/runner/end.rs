//! The end of a job, as its runner saw it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{
    super::{
        commands,
        http::{info, parse_id},
        job::{Failure, Job, missing},
        lease,
        outcome::{self, Ending},
        queue,
        wire::JobInfo,
    },
    figure, holder, total, used,
};
use crate::{
    catalog::{authorize::authorize_runner, securable::check_text},
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    router::wire::Int64,
};

/// Characters of what a runner says about an end.
const MESSAGE_CHARS_MAX: usize = 2_000;
/// Bytes of what a command gave as its result.
const OUTPUT_BYTES_MAX: usize = 32 << 10;

/// How the run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum Reason {
    /// By itself: `exit_code` or `signal` says how.
    Exited,
    /// It was ended because it was over a limit, which `message` names.
    Limit,
    /// It was ended because a heartbeat was answered so.
    Cancelled,
    /// It could not be started, or the runner does not run it.
    NotStarted,
    /// It was ended because the runner is to stop: another one may have it, as if this one had not begun.
    Stopped,
}

/// From how it is sent. By hand, because the derived way does not say which field was no text.
impl TryFrom<String> for Reason {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Ok(match name.as_str() {
            "exited" => Self::Exited,
            "limit" => Self::Limit,
            "cancelled" => Self::Cancelled,
            "not_started" => Self::NotStarted,
            "stopped" => Self::Stopped,
            _ => return Err("it is exited, limit, cancelled, not_started or stopped".to_owned()),
        })
    }
}

/// The outcome of a job.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct EndRequest {
    /// Id of the job.
    pub job_id: String,
    /// Name of the runner.
    pub runner: String,
    /// The lease's.
    pub fencing_token: Int64,
    /// How it ended.
    pub reason: Reason,
    /// What the program exited with.
    pub exit_code: Option<Int64>,
    /// The signal that ended it.
    pub signal: Option<Int64>,
    /// What was wrong.
    pub message: Option<String>,
    /// Processor time of this attempt, milliseconds.
    pub processor_ms: Option<Int64>,
    /// Time that this attempt took, milliseconds.
    pub wall_ms: Option<Int64>,
    /// Bytes that its processes read in this attempt.
    pub bytes_read: Option<Int64>,
    /// Bytes that they wrote.
    pub bytes_written: Option<Int64>,
    /// The most memory that its processes had together, as far as was seen, bytes.
    pub peak_memory_bytes: Option<Int64>,
    /// What the command gave as its result: JSON, as text.
    pub output: Option<String>,
}

pub(super) async fn end(ctx: Ctx, request: EndRequest) -> Result<JobInfo> {
    let id = parse_id(&request.job_id)?;
    let own = holder(&ctx, &request.runner)?;
    let used = used((request.processor_ms, request.wall_ms), (request.bytes_read, request.bytes_written))?;
    let result = result(&request)?;
    ctx.write(move |tx| {
        authorize_runner(tx)?;
        let job = lease::held(tx, id, &own, request.fencing_token.0)?;
        let cost = total(&job, used);
        let event = match ending(tx, &job, &request, &result)? {
            Some(ending) => outcome::settle(tx, &job, ending, cost)?,
            None => {
                let why = Failure::new(Failure::LEASE_LOST, "Its runner was stopped while it ran.");
                outcome::put_back(tx, &job, job.attempts - 1, tx.now(), &why, cost)?
            }
        };
        let job = queue::find(tx, id)?.ok_or_else(|| missing(&id.to_string()))?;
        Ok(Change::Made(info(tx, job)?, event))
    })
    .await
}

/// What a command that did what it was to do answers.
fn result(request: &EndRequest) -> Result<Json> {
    check_text("message", request.message.as_deref().unwrap_or_default(), MESSAGE_CHARS_MAX)?;
    let peak = figure("peak_memory_bytes", request.peak_memory_bytes)?;
    let mut result = json!({ "exit_code": 0, "peak_memory_bytes": peak });
    if let Some(output) = request.output.as_deref().filter(|output| !output.is_empty()) {
        if output.len() > OUTPUT_BYTES_MAX {
            return Err(Error::too_long("output", OUTPUT_BYTES_MAX, output.len()));
        }
        result["output"] = serde_json::from_str(output).map_err(|error| {
            Error::invalid(format!(
                "Invalid value for parameter 'output' supplied: it is not valid JSON: {error}."
            ))
        })?;
    }
    Ok(result)
}

/// What the end that a runner saw means for the job; `None` for one that it did not see.
fn ending(tx: &mut Sql<'_>, job: &Job, request: &EndRequest, result: &Json) -> Result<Option<Ending>> {
    let said = request.message.as_deref().unwrap_or_default();
    let failed = |code: &str, why: String, is_passing| {
        let message = if said.is_empty() { why } else { format!("{why} {said}") };
        Ending::Failed { failure: Failure::new(code, message), is_passing }
    };
    Ok(Some(match (request.reason, request.exit_code, request.signal) {
        (Reason::Stopped, ..) => return Ok(None),
        (Reason::Cancelled, ..) if job.cancelled_by_id.is_some() => Ending::Cancelled,
        (Reason::Cancelled, ..) if let Some(refusal) = lease::refusal(tx, job)? => {
            Ending::failed(Failure::from(&refusal))
        }
        (Reason::Limit | Reason::Cancelled, ..) => {
            failed(Failure::BUDGET_EXCEEDED, "The command was ended.".into(), false)
        }
        (Reason::NotStarted, ..) => {
            failed(Failure::COMMAND_NOT_STARTED, "The command was not started.".into(), false)
        }
        (Reason::Exited, Some(Int64(0)), None) => Ending::Succeeded(result.clone()),
        (Reason::Exited, code, signal) => {
            let why = match (code, signal) {
                (_, Some(Int64(signal))) => format!("The command was ended by signal {signal}."),
                (Some(Int64(code)), _) => format!("The command ended with exit code {code}."),
                (None, None) => "How the command ended is not known.".to_owned(),
            };
            failed(Failure::COMMAND_FAILED, why, retries_failed(tx, job)?)
        }
    }))
}

fn retries_failed(tx: &mut Sql<'_>, job: &Job) -> Result<bool> {
    let (Some(command), n) = (job.asset_id, job.payload["version"].as_i64()) else { return Ok(false) };
    Ok(commands::version(tx, command, n)?.definition.retry_failed)
}
