//! Jobs as they leave.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

use super::job::{Cost, Failure, Job, Progress};
use crate::{
    catalog::{asset, securable::People},
    db::Sql,
    error::Result,
};

/// What a job may use, all its attempts together; what is absent has no limit.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BudgetInfo {
    /// Processor time, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor_ms: Option<i64>,
    /// Time from being begun to its end, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<i64>,
    /// Bytes read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_read: Option<i64>,
}

/// A job as it leaves. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JobInfo {
    /// UUID.
    pub job_id: String,
    /// What kind of work.
    pub kind: String,
    /// `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    pub state: &'static str,
    /// Name of the asset that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    /// What to do, in the form that its kind defines.
    pub payload: Json,
    /// Version of that form.
    pub payload_version: i64,
    /// Which runners may have it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// Name of whose rights count.
    pub run_as: String,
    /// Name of who queued it.
    pub queued_by: String,
    /// Under which it is the only one of its kind.
    pub idempotency_key: String,
    /// What it may use.
    pub budget: BudgetInfo,
    /// What it has used.
    pub cost: Cost,
    /// How often it was begun.
    pub attempts: i64,
    /// How often it may be.
    pub max_attempts: i64,
    /// Who has it, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Name of who wants it to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<String>,
    /// How far it is.
    pub progress: Progress,
    /// What it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// Why it failed; of one that waits or runs, why its attempt before did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// When it was queued.
    pub queued_at: i64,
    /// Not begun before.
    pub not_before: i64,
    /// When it was begun last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<i64>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
}

impl JobInfo {
    /// Of a job that the caller may see.
    pub(super) fn new(sql: &mut Sql<'_>, people: &mut People, job: Job) -> Result<Self> {
        Ok(Self {
            job_id: job.id.to_string(),
            kind: job.kind,
            state: job.state.name(),
            asset: job.asset_id.map(|id| asset::display_name(sql, id)).transpose()?,
            payload: job.payload,
            payload_version: job.payload_version,
            label: job.label,
            run_as: people.name(sql, job.run_as_id)?,
            queued_by: people.name(sql, job.queued_by_id)?,
            idempotency_key: job.idempotency_key,
            budget: BudgetInfo {
                processor_ms: job.budget.processor_ms,
                wall_ms: job.budget.wall_ms,
                bytes_read: job.budget.bytes_read,
            },
            cost: job.cost,
            attempts: job.attempts,
            max_attempts: job.attempts_max,
            holder: job.holder,
            cancelled_by: job.cancelled_by_id.map(|id| people.name(sql, id)).transpose()?,
            progress: job.progress,
            result: job.result,
            error: job.failure,
            queued_at: job.queued_at,
            not_before: job.not_before,
            started_at: job.started_at,
            ended_at: job.ended_at,
        })
    }
}
