//! The job `monitor_run`: whatever is due of one monitor, plan after plan.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value as Json, json};
use stats::sketch::ColumnSketch;

use super::{
    Asked, baseline, compute, discard,
    judge::judge,
    look::{Look, look},
    plan::{self, Plan},
};
use crate::{
    error::{Error, Result},
    jobs::{Handler, JobCtx},
};

/// The kind of these jobs.
pub const KIND: &str = "monitor_run";

/// What does such jobs.
pub fn handlers() -> Vec<Handler> {
    vec![Handler::new(KIND, run).heavy()]
}

async fn run(job: JobCtx) -> Result<Json> {
    let (version, payload) = job.payload();
    if version != 1 {
        return Err(Error::internal(format!("a job of a monitor has the unknown form {version}")));
    }
    let asked: Asked = serde_json::from_value(payload.clone()).map_err(Error::internal)?;
    let mut known: Option<Arc<BTreeMap<String, ColumnSketch>>> = None;
    let (mut windows, mut revised, mut is_told) = (0, 0, false);
    loop {
        job.check()?;
        let mut now = look(&job.ctx().await?, asked.monitor_id).await?;
        if let Some(why) = now.left_out.take()
            && !is_told
        {
            job.log(&why);
            is_told = true;
        }
        if discard::stale(&job, &now).await? {
            continue;
        }
        // Nothing is read of a table that nobody has filled yet.
        let baseline = match &known {
            Some(sketches) => Arc::clone(sketches),
            None => {
                let made = baseline::sketches(&job, &now.names, &now.baseline).await?;
                Arc::clone(known.insert(Arc::new(made)))
            }
        };
        let wanted = compute::wanted(&now, &baseline)?;
        let bytes = wanted.sketch_bytes_max();
        let Some(plan) = plan::next(&job, &now, &asked, bytes).await? else { break };
        as_planned(&mut now, &plan);
        windows += plan.windows.len();
        revised += plan.windows.iter().filter(|window| window.span.revision > 1).count();
        let figures = compute::carry_out(&job, &now, &plan, &baseline, &wanted).await?;
        judge(&job, &now, &plan, &figures).await?;
    }
    Ok(json!({ "windows": windows, "revised": revised }))
}

/// The versions that a plan was made for, whatever has landed since.
fn as_planned(look: &mut Look, plan: &Plan) {
    let Some(first) = plan.windows.first() else { return };
    look.watched.newest.version = first.table_version;
    match (&mut look.labels, first.labels_version) {
        (Some(labels), Some(version)) => labels.newest.version = version,
        (labels, None) => *labels = None,
        (None, Some(_)) => {}
    }
}
