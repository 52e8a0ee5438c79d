//! What the page at `/` shows: alerts that stand, and the newest figures of each monitor as series.

use schemars::JsonSchema;
use serde::Serialize;
use syntax::monitors::{Metric, Side, Threshold};

use super::{
    alerts,
    monitor::{self, Monitor},
    series::key,
    span::moment,
    store,
};
use crate::{
    bind,
    catalog::{Action, asset, authorize::is_allowed, securable::People},
    db::Sql,
    error::Result,
    tracking::{metrics::newest_points, run},
};

/// Alerts that are shown.
const ALERTS: i64 = 20;
/// Monitors that are looked at, and shown.
const MONITORS: (i64, usize) = (100, 6);
/// Series of a monitor that are shown: those that moved most.
const SERIES: usize = 8;
/// Windows of a series that are shown.
const POINTS: usize = 48;

/// Alerts and drift, as far as the caller may see them.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Overview {
    /// That stand, newest first.
    pub alerts: Vec<AlertLine>,
    /// By age.
    pub monitors: Vec<MonitorLine>,
}

/// An alert in one line.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AlertLine {
    /// UUID.
    pub alert_id: String,
    /// Name of the monitor.
    pub monitor: String,
    /// Of which figure.
    pub metric: String,
    /// Of which column, where it is of one.
    pub column: String,
    /// `open` or `acknowledged`.
    pub state: &'static str,
    /// `low`, `medium` or `high`.
    pub severity: String,
    /// Name of whose it is.
    pub owner: String,
    /// The figure.
    pub value: f64,
    /// Its limit.
    pub limit: f64,
    /// How many windows were on the wrong side.
    pub windows: i64,
    /// When it was raised, milliseconds since the epoch.
    pub opened_at: i64,
}

/// A monitor in one line.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MonitorLine {
    /// Name of what is watched.
    pub name: String,
    /// What it is compared with.
    pub baseline: String,
    /// Windows that begin before this are computed, in RFC 3339.
    pub computed_to: Option<String>,
    /// The greatest in the newest window first.
    pub series: Vec<DriftLine>,
    /// Series that are not shown.
    pub more: usize,
}

/// The series of one figure.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DriftLine {
    /// `metric/column`
    pub key: String,
    /// By window, the newest last.
    pub values: Vec<f64>,
    /// The lowest limit above it, or the highest below.
    pub limit: Option<f64>,
    /// Whether the newest value is on the wrong side.
    pub is_crossed: bool,
}

/// Collects it.
pub fn overview(sql: &mut Sql<'_>) -> Result<Overview> {
    let (standing, _) = alerts::page(sql, i64::MAX, "standing", 0, ALERTS)?;
    let mut people = People::default();
    let mut lines = Vec::with_capacity(standing.len());
    for one in standing {
        lines.push(AlertLine {
            alert_id: one.uuid,
            monitor: asset::display_name(sql, one.monitor_id)?,
            metric: one.metric,
            column: one.column,
            state: one.state.name(),
            severity: one.severity,
            owner: people.name(sql, one.owner_id)?,
            value: one.found.value,
            limit: one.found.limit,
            windows: one.windows,
            opened_at: one.opened_at,
        });
    }
    let ids = sql.all(&store::MONITOR_LIVING, bind![0_i64, MONITORS.0], |row| row.get::<i64>(0))?;
    let mut monitors = Vec::new();
    for id in ids {
        if monitors.len() == MONITORS.1 {
            break;
        }
        if is_allowed(sql, Action::Read, id)?
            && let Some(found) = asset::get(sql, id)?
        {
            let found = monitor::load(sql, found)?;
            monitors.push(line(sql, &found)?);
        }
    }
    Ok(Overview { alerts: lines, monitors })
}

fn line(sql: &mut Sql<'_>, monitor: &Monitor) -> Result<MonitorLine> {
    let mut line = MonitorLine {
        name: asset::display_name(sql, monitor.asset.id)?,
        baseline: monitor.definition.baseline.to_string(),
        computed_to: monitor.state.computed_to.map(moment),
        series: Vec::new(),
        more: 0,
    };
    let Some(run_id) = &monitor.state.run_id else { return Ok(line) };
    let Some(run) = run::find(sql, run_id)? else { return Ok(line) };
    // A run that somebody moved out of the caller's sight shows nothing.
    if !is_allowed(sql, Action::Read, run.experiment_id)? {
        return Ok(line);
    }
    let mut newest: Vec<(String, f64)> = run
        .document
        .metrics()
        .filter(|(key, _)| is_shown(key))
        .map(|(key, metric)| (key.to_owned(), metric.latest.value.get()))
        .collect();
    newest.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    line.more = newest.len().saturating_sub(SERIES);
    newest.truncate(SERIES);
    for (key, value) in newest {
        let values = newest_points(sql, &run, &key, POINTS)?;
        let values = values.into_iter().map(|point| point.value.get()).collect();
        let (limit, is_crossed) = limit(&monitor.definition.thresholds, &key, value);
        line.series.push(DriftLine { key, values, limit, is_crossed });
    }
    Ok(line)
}

/// Figures of drift; counts and performance have scales of their own.
fn is_shown(key: &str) -> bool {
    let metric = key.split('/').next().unwrap_or_default();
    [Metric::Psi, Metric::PredictionShift, Metric::LabelDrift].iter().any(|shown| shown.name() == metric)
}

fn limit(thresholds: &[Threshold], of: &str, value: f64) -> (Option<f64>, bool) {
    let (metric, column) = of.split_once('/').unwrap_or((of, ""));
    let meant: Vec<&Threshold> = thresholds
        .iter()
        .filter(|one| {
            let is_of_column = |name: &String| key(metric, name).eq_ignore_ascii_case(&key(metric, column));
            one.metric.name() == metric && one.column.as_ref().is_none_or(is_of_column)
        })
        .collect();
    let above = meant.iter().filter(|one| one.side == Side::Above).map(|one| one.limit);
    let below = meant.iter().filter(|one| one.side == Side::Below).map(|one| one.limit);
    let limit = above.min_by(f64::total_cmp).or_else(|| below.max_by(f64::total_cmp));
    (limit, meant.iter().any(|one| one.is_crossed_by(value)))
}
