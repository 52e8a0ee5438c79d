//! What windows are compared with: a table at a version, sketched once and kept beside the sketches of windows.

use std::collections::BTreeMap;

use lake::TableId;
use stats::sketch::ColumnSketch;
use syntax::{monitors::Baseline, names::FullName};

use super::{
    columns::{self, Column},
    monitor::Monitor,
    scan,
    sketches::{self, Role, Row},
    tables::Names,
};
use crate::{
    catalog::Action,
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    jobs::JobCtx,
    tables::managed::{self, Managed},
};

/// A baseline that was found, for a caller who may read it.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The asset.
    pub asset_id: i64,
    /// Its name.
    pub name: FullName,
    /// Where its rows lie.
    pub table: TableId,
    /// The version of them that is meant.
    pub version: u64,
}

/// Finds what a definition names. This function and [`of_monitor`] alone know what can be a baseline.
pub fn resolve(sql: &mut Sql<'_>, baseline: &Baseline) -> Result<Resolved> {
    let name = managed::parse(&baseline.name)?;
    let table = managed::get(sql, &name, Action::Read)?;
    of_table(sql, table, baseline.version)
}

/// Finds what a monitor was declared against, whatever it is called by now.
pub(super) fn of_monitor(sql: &mut Sql<'_>, monitor: &Monitor) -> Result<Resolved> {
    let table = managed::by_asset(sql, monitor.baseline_id, Action::Read)?;
    of_table(sql, table, Some(monitor.baseline_version))
}

fn of_table(sql: &mut Sql<'_>, table: Managed, version: Option<u64>) -> Result<Resolved> {
    let version = table.baseline_version(sql, version)?;
    Ok(Resolved { asset_id: table.asset.id, name: table.name, table: table.table, version })
}

/// The sketches of a baseline's columns by name in lower case: those that are kept, or new ones, which are kept then.
pub(super) async fn sketches(
    job: &JobCtx,
    names: &Names,
    baseline: &Resolved,
) -> Result<BTreeMap<String, ColumnSketch>> {
    let ctx = job.ctx().await?;
    let batch_id = format!("baseline-{}@{}", baseline.table, baseline.version);
    let kept = match sketches::load(&ctx, &names.sketch, &batch_id).await? {
        Some(kept) => kept,
        None => {
            let made = make(job, &ctx, baseline).await?;
            sketches::land(&ctx, &names.sketch, &batch_id, &made).await?;
            made
        }
    };
    Ok(kept.into_iter().map(|row| (row.column.to_lowercase(), row.sketch)).collect())
}

async fn make(job: &JobCtx, ctx: &Ctx, baseline: &Resolved) -> Result<Vec<Row>> {
    let state = ctx.app.lake.state(baseline.table, Some(baseline.version)).await?;
    let columns: Vec<Column> = columns::comparable(&state.columns);
    if columns.is_empty() {
        return Err(Error::invalid(format!(
            "The baseline '{}' has no column of numbers or texts that anything could be compared with.",
            managed::show(&baseline.name)
        )));
    }
    job.progress(0, 0, "sketches the baseline");
    let found = scan::whole(job, ctx, baseline, &columns).await?;
    let row = |(column, sketch): (Column, ColumnSketch)| Row {
        role: Role::Baseline,
        span: None,
        model_version: None,
        column: column.name,
        sketch,
    };
    Ok(columns.into_iter().zip(found).map(row).collect())
}
