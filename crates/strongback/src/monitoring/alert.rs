//! An alert: a figure that was on the wrong side of its limit, one a monitor, metric and column while it stands.

use serde::{Deserialize, Serialize};

use super::store;
use crate::{
    bind,
    catalog::{Action, authorize, authorize::authorize_self, authorize::is_allowed},
    db::{Row, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
};

macro_rules! states {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)+) => {
        /// What became of it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum State { $($(#[$doc])* $variant,)+ }

        impl State {
            /// As it is stored and sent.
            pub fn name(self) -> &'static str {
                match self { $(State::$variant => $name,)+ }
            }

            fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(State::$variant),)+ _ => None }
            }
        }
    };
}

states! {
    /// Nobody has taken it up.
    Open = "open";
    /// Somebody has.
    Acknowledged = "acknowledged";
    /// It is over.
    Resolved = "resolved";
}

/// What was found in the window that raised it last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The figure.
    pub value: f64,
    /// Its interval.
    pub low: Option<f64>,
    /// Its interval.
    pub high: Option<f64>,
    /// Rows that it is of.
    pub n: u64,
    /// The limit.
    pub limit: f64,
    /// `above` or `below`: which side of the limit is wrong.
    pub side: String,
    /// What it was told against.
    pub reference: String,
}

/// An alert.
#[derive(Debug, Clone)]
pub struct Alert {
    pub(super) row: i64,
    /// The id that leaves the server.
    pub uuid: String,
    /// Of the monitor: `asset.id`.
    pub monitor_id: i64,
    /// Of which figure.
    pub metric: String,
    /// Of which column; empty where it is of none.
    pub column: String,
    /// What became of it.
    pub state: State,
    /// `low`, `medium` or `high`.
    pub severity: String,
    /// Whose it is: `principal.id`.
    pub owner_id: i64,
    /// What was found last.
    pub found: Found,
    /// Start of the first window, microseconds since the epoch.
    pub first_window: i64,
    /// Start of the newest window that was on the wrong side.
    pub last_window: i64,
    /// Start of the newest window that was looked at.
    pub judged_to: i64,
    /// Windows that were on the wrong side.
    pub windows: i64,
    /// Windows in a row that have been on the right side since.
    pub under: i64,
    /// Milliseconds since the epoch.
    pub opened_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
    /// Milliseconds since the epoch, and by whom.
    pub acknowledged: Option<(i64, i64)>,
    /// Milliseconds since the epoch, and by whom.
    pub resolved: Option<(i64, i64)>,
    /// What somebody wrote about it.
    pub note: String,
    /// The job that it began.
    pub job_id: Option<String>,
    pub(super) revision: i64,
}

/// A row of the statements that list an alert's columns.
pub(super) fn read(row: &Row<'_>) -> Result<Alert> {
    let state = row.get::<String>(5)?;
    let pair = |at: usize| -> Result<Option<(i64, i64)>> {
        Ok(row.get::<Option<i64>>(at)?.zip(row.get::<Option<i64>>(at + 1)?))
    };
    Ok(Alert {
        row: row.get(0)?,
        uuid: row.get(1)?,
        monitor_id: row.get(2)?,
        metric: row.get(3)?,
        column: row.get(4)?,
        state: State::parse(&state).ok_or_else(|| Error::internal("an alert has an unknown state"))?,
        severity: row.get(6)?,
        owner_id: row.get(7)?,
        found: serde_json::from_str(&row.get::<String>(8)?).map_err(Error::internal)?,
        first_window: row.get(9)?,
        last_window: row.get(10)?,
        judged_to: row.get(11)?,
        windows: row.get(12)?,
        under: row.get(13)?,
        opened_at: row.get(14)?,
        updated_at: row.get(15)?,
        acknowledged: pair(16)?,
        resolved: pair(18)?,
        note: row.get(20)?,
        job_id: row.get(21)?,
        revision: row.get(22)?,
    })
}

/// Stores an alert as it is now, and counts its revision up.
pub(super) fn save(tx: &mut Sql<'_>, alert: &mut Alert) -> Result<()> {
    let figure = serde_json::to_string(&alert.found).map_err(Error::internal)?;
    let (acknowledged, resolved) = (alert.acknowledged.unzip(), alert.resolved.unzip());
    alert.updated_at = tx.now();
    alert.revision = tx.one(
        &store::ALERT_UPDATE,
        bind![
            alert.row,
            alert.state.name(),
            &alert.severity,
            &figure,
            alert.last_window,
            alert.judged_to,
            alert.windows,
            alert.under,
            alert.updated_at,
            acknowledged.0,
            acknowledged.1,
            resolved.0,
            resolved.1,
            &alert.note
        ],
        |row| row.get(0),
    )?;
    Ok(())
}

/// What happened to it.
pub(super) fn event(kind: EventKind, alert: &Alert) -> Event {
    Event::new(kind).asset(alert.monitor_id, 0).subject_at(alert.uuid.as_str(), alert.revision).detail(
        serde_json::json!({
            "metric": alert.metric, "column": alert.column, "severity": alert.severity, "figure": alert.found,
            "window": super::span::moment(alert.last_window), "windows": alert.windows, "note": alert.note,
        }),
    )
}

/// The alert with this id, for a caller who may read its monitor or owns it.
pub fn get(sql: &mut Sql<'_>, uuid: &str) -> Result<Alert> {
    let found = sql.first(&store::ALERT_GET, bind![uuid], read)?.ok_or_else(|| missing(uuid))?;
    allow(sql, &found, Action::Read)?;
    Ok(found)
}

/// The same, kept from others until the transaction ends, for a caller who may change the monitor or owns the alert.
pub(super) fn lock(tx: &mut Sql<'_>, uuid: &str) -> Result<Alert> {
    let found = tx.first(&store::ALERT_LOCK, bind![uuid], read)?.ok_or_else(|| missing(uuid))?;
    allow(tx, &found, Action::Edit)?;
    Ok(found)
}

fn allow(sql: &mut Sql<'_>, alert: &Alert, action: Action) -> Result<()> {
    if sql.caller().is(alert.owner_id) {
        return authorize_self(sql, "answer alerts");
    }
    authorize(sql, action, alert.monitor_id)
}

/// Whether the caller may see an alert, for lists.
pub(super) fn is_visible(sql: &mut Sql<'_>, alert: &Alert) -> Result<bool> {
    if sql.caller().is(alert.owner_id) {
        authorize_self(sql, "list alerts")?;
        return Ok(true);
    }
    is_allowed(sql, Action::Read, alert.monitor_id)
}

fn missing(uuid: &str) -> Error {
    Error::missing(format!(
        "There is no alert '{uuid}'. `strongback alert list --all` shows those that there are."
    ))
}
