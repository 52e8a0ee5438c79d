//! Plans that cannot be brought to their end any more are discarded, so that what comes after them is not kept waiting.
//!
//! What must stay true: figures that have landed are never discarded. Their windows are recorded, whatever became of the tables
//! and of the definition meanwhile; else they would land twice under one revision.

use lake::query::AsOf;
use serde_json::json;

use super::{
    look::Look,
    plan::LOOKED_MAX,
    store,
    stored::{Part, Plan, open},
};
use crate::{
    bind,
    catalog::{Action, authorize},
    db::{Change, Sql},
    error::{Code, Error, Result},
    events::{Event, EventKind},
    jobs::JobCtx,
    tables::{
        append::landed,
        managed::{Managed, show},
    },
};

/// Discards the plan that is open, if its definition is another by now, or its versions of tables cannot be read any more; its
/// windows are computed as if they never had been begun. Answers whether it did, and so whether to look again.
pub(super) async fn stale(job: &JobCtx, look: &Look) -> Result<bool> {
    let id = look.monitor.asset.id;
    let ctx = job.ctx().await?;
    let found = ctx.read(move |sql| {
        authorize(sql, Action::Edit, id)?;
        open(sql, id)
    });
    let Some(plan) = found.await?.filter(|plan| !plan.is_computed) else { return Ok(false) };
    let Some(why) = why(job, look, &plan).await? else { return Ok(false) };
    job.log(&format!("{} windows that were begun are planned anew: {why}", plan.windows.len()));
    let (plan_id, length) = (plan.id, look.monitor.definition.window.length.micros());
    job.write(move |tx| {
        authorize(tx, Action::Edit, id)?;
        let state = tx
            .first(&store::MONITOR_LOCK, bind![id], |row| row.get::<Option<i64>>(2))?
            .ok_or_else(|| Error::missing("The monitor was deleted."))?;
        // Another job may have brought it to its end, or discarded it.
        let Some(found) = open(tx, id)?.filter(|found| found.id == plan_id && !found.is_computed) else {
            return Ok(Change::Nothing(true));
        };
        tx.execute(&store::WINDOW_DISCARD, bind![id, &plan_id])?;
        let first =
            found.windows.iter().filter(|window| window.span.revision == 1).map(|one| one.span.start).min();
        if let (Some(first), Some(computed_to)) = (first, state) {
            // Windows that somebody asked for long after they were passed over are theirs to ask for again.
            if computed_to.saturating_sub(first) / length.max(1) < LOOKED_MAX / 2 {
                tx.execute(&store::MONITOR_SET_BACK, bind![id, first])?;
            }
        }
        let event = Event::new(EventKind::MonitorPlan).asset(id, 0).detail(json!({
            "plan": plan_id, "discarded": why, "windows": found.windows.len(),
        }));
        Ok(Change::Made(true, event))
    })
    .await
}

async fn why(job: &JobCtx, look: &Look, plan: &Plan) -> Result<Option<String>> {
    let Some(first) = plan.windows.first() else { return Ok(None) };
    let (n, id, names, plan_id) =
        (look.monitor.n, look.monitor.asset.id, look.names.clone(), plan.id.clone());
    // Figures of labels alone are of whatever definition holds when they are made.
    let is_redefined = plan.part == Part::All && first.definition_n != n;
    let tables: Vec<(Managed, u64)> =
        [Some((look.watched.clone(), first.table_version)), look.labels.clone().zip(first.labels_version)]
            .into_iter()
            .flatten()
            .collect();
    job.ctx()
        .await?
        .read(move |sql| {
            authorize(sql, Action::Edit, id)?;
            if names.own(&names.drift, landed(sql, &names.drift, &plan_id))?.is_some() {
                return Ok(None);
            }
            if is_redefined {
                return Ok(Some("the monitor was declared anew".to_owned()));
            }
            for (table, version) in &tables {
                if !is_readable(sql, table, *version)? {
                    let name = show(&table.name);
                    return Ok(Some(format!("version {version} of '{name}' cannot be read any more")));
                }
            }
            Ok(None)
        })
        .await
}

fn is_readable(sql: &mut Sql<'_>, table: &Managed, version: u64) -> Result<bool> {
    match table.version_at(sql, Some(AsOf::Version(version))) {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Code::ResourceDoesNotExist => Ok(false),
        Err(error) => Err(error),
    }
}
