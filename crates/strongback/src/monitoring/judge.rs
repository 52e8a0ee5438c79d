//! Figures against limits: alerts are opened, kept, ended, and the trigger's command is queued.
//!
//! What must stay true:
//! - one alert stands a monitor, metric and column; a window counts once in it, however often it is judged;
//! - a window without enough rows says nothing: it neither raises nor ends an alert;
//! - nor does a value beyond its limit that chance explains: of figures that are tested only discoveries count, and of all
//!   others those whose whole interval is beyond the limit;
//! - nothing is raised, ended or queued by a definition that is another by now;
//! - a command is queued at most once a window, and never within the cool-down after the one before it, whoever restarts;
//! - it is queued for the newest of windows that are judged together, and for none that is history by now.

use std::collections::BTreeSet;

use serde_json::json;
use syntax::monitors::{Metric, Monitor as Definition, Side, Threshold};
use uuid::Uuid;

use super::{
    alert::{self, Alert, Found, State},
    derive::is_tested,
    figure::{Figure, Status},
    look::Look,
    monitor,
    plan::Plan,
    store, trigger,
};
use crate::{
    bind,
    catalog::{Action, authorize, principal},
    db::{Change, Sql},
    error::{Error, Result},
    events::EventKind,
    jobs::JobCtx,
};

/// A figure that has a limit.
#[derive(Debug, Clone)]
struct Judged {
    metric: String,
    column: String,
    start: i64,
    value: f64,
    low: Option<f64>,
    high: Option<f64>,
    n: u64,
    reference: String,
    /// The limit that it is on the wrong side of, the gravest first; none where it is on the right side of all.
    crossed: Option<Threshold>,
}

/// Judges the windows of a plan, the oldest first.
pub(super) async fn judge(job: &JobCtx, look: &Look, plan: &Plan, figures: &[Figure]) -> Result<()> {
    let definition = &look.monitor.definition;
    let starts: BTreeSet<i64> = plan.spans().iter().map(|span| span.start).collect();
    let mut newest_crossed = None;
    for start in starts {
        let mut is_crossed = false;
        for figure in figures.iter().filter(|figure| figure.span.start == start) {
            let Some(judged) = of(definition, figure) else { continue };
            is_crossed |= judged.crossed.is_some();
            settle(job, look, judged).await?;
        }
        if is_crossed {
            newest_crossed = Some(start);
        }
    }
    if let Some(start) = newest_crossed {
        trigger::pull(job, look, start, plan.part).await?;
    }
    let (id, plan_id) = (look.monitor.asset.id, plan.id.clone());
    job.ctx()
        .await?
        .app
        .db
        .derive(move |tx| tx.execute(&store::WINDOW_JUDGED, bind![id, &plan_id]).map(drop))
        .await
}

/// The figure, if it has a value and a limit, and is not beyond one by chance alone.
fn of(definition: &Definition, figure: &Figure) -> Option<Judged> {
    let (Status::Ok, Some(value)) = (figure.status, figure.value) else { return None };
    let metric = Metric::parse(&figure.metric)?;
    let meant = |threshold: &&Threshold| {
        threshold.metric == metric
            && threshold
                .column
                .as_ref()
                .is_none_or(|column| column.to_lowercase() == figure.column.to_lowercase())
    };
    let thresholds: Vec<&Threshold> = definition.thresholds.iter().filter(meant).collect();
    if thresholds.is_empty() {
        return None;
    }
    let severity = |threshold: &Threshold| threshold.severity.unwrap_or(definition.alerts.severity);
    let beyond: Vec<&Threshold> =
        thresholds.into_iter().filter(|threshold| threshold.is_crossed_by(value)).collect();
    let is_sure = |threshold: &Threshold| match is_tested(metric) {
        true => figure.adjusted.is_none_or(|adjusted| adjusted <= definition.false_discovery_rate),
        false => is_whole_beyond(threshold, figure),
    };
    let crossed = beyond
        .iter()
        .copied()
        .filter(|threshold| is_sure(threshold))
        .max_by_key(|threshold| severity(threshold));
    if crossed.is_none() && !beyond.is_empty() {
        return None;
    }
    Some(Judged {
        metric: figure.metric.clone(),
        column: figure.column.clone(),
        start: figure.span.start,
        value,
        low: figure.low,
        high: figure.high,
        n: figure.n,
        reference: figure.reference.clone(),
        crossed: crossed
            .map(|threshold| Threshold { severity: Some(severity(threshold)), ..threshold.clone() }),
    })
}

/// Whether a figure is beyond a limit with its whole interval. One without the bound that decides is known to no side.
fn is_whole_beyond(threshold: &Threshold, figure: &Figure) -> bool {
    let nearest = match threshold.side {
        Side::Above => figure.low,
        Side::Below => figure.high,
    };
    nearest.is_some_and(|bound| threshold.is_crossed_by(bound))
}

/// What a figure does to the alert of its metric and column: one change and one event, or nothing.
async fn settle(job: &JobCtx, look: &Look, judged: Judged) -> Result<()> {
    let id = look.monitor.asset.id;
    let (owner, resolve_after) = (
        look.monitor.definition.alerts.owner.clone(),
        i64::from(look.monitor.definition.alerts.resolve_after),
    );
    let fallback = look.monitor.asset.owner_id;
    // Most figures are on their right side and have no alert: that is read, and nothing is written.
    if judged.crossed.is_none() {
        let wanted = judged.clone();
        let ctx = job.ctx().await?;
        let stands = ctx.read(move |sql| {
            authorize(sql, Action::Read, id)?;
            look_up(sql, id, &wanted)
        });
        if stands.await?.is_none() {
            return Ok(());
        }
    }
    let n = look.monitor.n;
    job.write(move |tx| {
        authorize(tx, Action::Edit, id)?;
        monitor::lock(tx, id, n)?;
        match (standing(tx, id, &judged)?, &judged.crossed) {
            (None, None) => Ok(Change::Nothing(())),
            (None, Some(threshold)) => {
                let owner_id = match &owner {
                    Some(name) => principal::find(tx, name)?.unwrap_or(fallback),
                    None => fallback,
                };
                raise(tx, id, owner_id, &judged, threshold)
            }
            (Some(alert), Some(threshold)) => keep(tx, alert, &judged, threshold),
            (Some(alert), None) => calm(tx, alert, judged.start, resolve_after),
        }
    })
    .await
}

/// Whether one stands, read without a lock.
fn look_up(sql: &mut Sql<'_>, id: i64, judged: &Judged) -> Result<Option<String>> {
    sql.first(&store::ALERT_STANDS, bind![id, &judged.metric, &judged.column], |row| row.get(0))
}

fn standing(sql: &mut Sql<'_>, id: i64, judged: &Judged) -> Result<Option<Alert>> {
    sql.first(&store::ALERT_STANDING, bind![id, &judged.metric, &judged.column], alert::read)
}

fn found(judged: &Judged, threshold: &Threshold) -> Found {
    Found {
        value: judged.value,
        low: judged.low,
        high: judged.high,
        n: judged.n,
        limit: threshold.limit,
        side: if threshold.side == Side::Above { "above" } else { "below" }.to_owned(),
        reference: judged.reference.clone(),
    }
}

fn severity(threshold: &Threshold) -> &'static str {
    threshold.severity.map_or("medium", syntax::monitors::Severity::name)
}

fn raise(
    tx: &mut Sql<'_>,
    id: i64,
    owner_id: i64,
    judged: &Judged,
    threshold: &Threshold,
) -> Result<Change<()>> {
    let before = tx.one(&store::ALERT_JUDGED_TO, bind![id, &judged.metric, &judged.column], |row| {
        row.get::<Option<i64>>(0)
    })?;
    // An alert about this window, or a later one, is over: it is not raised once more.
    if before.is_some_and(|before| judged.start <= before) {
        return Ok(Change::Nothing(()));
    }
    let (uuid, now) = (Uuid::now_v7().to_string(), tx.now());
    let figure = serde_json::to_string(&found(judged, threshold)).map_err(Error::internal)?;
    tx.execute(
        &store::ALERT_INSERT,
        bind![
            &uuid,
            id,
            &judged.metric,
            &judged.column,
            severity(threshold),
            owner_id,
            &figure,
            judged.start,
            now
        ],
    )?;
    let made = tx.one(&store::ALERT_GET, bind![&uuid], alert::read)?;
    Ok(Change::Made((), alert::event(EventKind::AlertOpen, &made)))
}

fn keep(tx: &mut Sql<'_>, mut alert: Alert, judged: &Judged, threshold: &Threshold) -> Result<Change<()>> {
    let found = found(judged, threshold);
    let is_known =
        judged.start < alert.judged_to || (judged.start == alert.last_window && found == alert.found);
    if is_known {
        return Ok(Change::Nothing(()));
    }
    // A window that was computed once more is counted already.
    alert.windows += i64::from(judged.start > alert.last_window);
    alert.last_window = judged.start;
    alert.judged_to = judged.start;
    alert.under = 0;
    alert.found = found;
    severity(threshold).clone_into(&mut alert.severity);
    alert::save(tx, &mut alert)?;
    Ok(Change::Made((), alert::event(EventKind::AlertUpdate, &alert)))
}

fn calm(tx: &mut Sql<'_>, mut alert: Alert, start: i64, resolve_after: i64) -> Result<Change<()>> {
    if start <= alert.judged_to {
        return Ok(Change::Nothing(()));
    }
    alert.judged_to = start;
    alert.under += 1;
    let is_over = alert.under >= resolve_after;
    if is_over {
        alert.state = State::Resolved;
        alert.resolved = Some((tx.now(), tx.caller().id));
        alert.note = format!("{} windows in a row on the right side of the limit", alert.under);
    }
    alert::save(tx, &mut alert)?;
    let kind = if is_over { EventKind::AlertResolve } else { EventKind::AlertUpdate };
    let event = alert::event(kind, &alert);
    let detail =
        json!({ "metric": alert.metric, "column": alert.column, "under": alert.under, "note": alert.note });
    Ok(Change::Made((), event.detail(detail)))
}
