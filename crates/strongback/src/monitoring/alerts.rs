//! Alerts by REST.

use std::collections::{BTreeMap, btree_map::Entry};

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    alert::{self, Alert, State},
    monitor,
    span::moment,
    store,
};
use crate::{
    bind,
    catalog::{
        Action, asset,
        authorize::visible,
        securable::{People, check_text},
    },
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    events::EventKind,
    router::{Limits, Policy, Route, wire::Int64},
};

/// Alerts of one answer.
const PAGE_MAX: i64 = 1_000;
/// Alerts that are read together.
const LOOK: i64 = 100;
/// Alerts that one page looks through at most; one of few visible ones may be shorter than asked for, and has a token.
const LOOK_MAX: i64 = 5_000;
/// Characters of a note.
const NOTE_CHARS_MAX: usize = 4_000;

pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/api/1.0/alerts";
    let (read, edit, small) = (Policy::Asset(Action::Read), Policy::Asset(Action::Edit), Limits::SMALL);
    vec![
        Route::json(Method::GET, ALL, Policy::Visible, small, "List alerts, newest first", list),
        Route::json(Method::GET, "/api/1.0/alerts/{alert_id}", read, small, "Get an alert", get),
        Route::json(
            Method::POST,
            "/api/1.0/alerts/{alert_id}/acknowledge",
            edit,
            small,
            "Take an alert up",
            acknowledge,
        ),
        Route::json(Method::POST, "/api/1.0/alerts/{alert_id}/resolve", edit, small, "End an alert", resolve),
    ]
}

/// An alert as it leaves. Times in milliseconds since the epoch; windows by their start, in RFC 3339.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AlertInfo {
    /// UUID.
    pub alert_id: String,
    /// Name of the monitor.
    pub monitor: String,
    /// Of which figure.
    pub metric: String,
    /// Of which column, where it is of one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub column: String,
    /// `open`, `acknowledged` or `resolved`.
    pub state: &'static str,
    /// `low`, `medium` or `high`.
    pub severity: String,
    /// Name of whose it is.
    pub owner: String,
    /// The figure in the newest window that was on the wrong side.
    pub value: f64,
    /// Its interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Its interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Rows that it is of.
    pub n: u64,
    /// The limit.
    pub limit: f64,
    /// `above` or `below`: which side of it is wrong.
    pub side: String,
    /// What it was told against.
    pub reference: String,
    /// The first window that was on the wrong side.
    pub first_window: String,
    /// The newest.
    pub last_window: String,
    /// How many were.
    pub windows: i64,
    /// How many in a row have been on the right side since.
    pub windows_under: i64,
    /// The job that it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// When it was raised.
    pub opened_at: i64,
    /// When it changed last.
    pub updated_at: i64,
    /// Who took it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<i64>,
    /// Who ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<String>,
    /// What was written about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl AlertInfo {
    fn new(sql: &mut Sql<'_>, people: &mut People, alert: Alert) -> Result<Self> {
        let found = alert.found;
        let mut name =
            |sql: &mut Sql<'_>, who: Option<(i64, i64)>| who.map(|(_, by)| people.name(sql, by)).transpose();
        Ok(Self {
            alert_id: alert.uuid,
            monitor: asset::display_name(sql, alert.monitor_id)?,
            metric: alert.metric,
            column: alert.column,
            state: alert.state.name(),
            severity: alert.severity,
            value: found.value,
            low: found.low,
            high: found.high,
            n: found.n,
            limit: found.limit,
            side: found.side,
            reference: found.reference,
            first_window: moment(alert.first_window),
            last_window: moment(alert.last_window),
            windows: alert.windows,
            windows_under: alert.under,
            job_id: alert.job_id,
            opened_at: alert.opened_at,
            updated_at: alert.updated_at,
            acknowledged_by: name(sql, alert.acknowledged)?,
            resolved_at: alert.resolved.map(|(at, _)| at),
            resolved_by: name(sql, alert.resolved)?,
            owner: people.name(sql, alert.owner_id)?,
            note: alert.note,
        })
    }
}

/// Which alerts.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// `open`, `acknowledged`, `resolved`, `standing` (the first two) or `all`; `standing` when absent.
    pub state: Option<String>,
    /// Name of a monitor.
    pub monitor: Option<String>,
    /// At most so many; 100 when absent.
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

/// A page of alerts.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListResponse {
    /// Newest first.
    pub alerts: Vec<AlertInfo>,
    /// There may be more; a page can be shorter than asked for, even empty, and have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    const STATES: [&str; 5] = ["open", "acknowledged", "resolved", "standing", "all"];
    let state = request.state.as_deref().filter(|state| !state.is_empty()).unwrap_or("standing").to_owned();
    if !STATES.contains(&state.as_str()) {
        return Err(Error::invalid(format!(
            "Invalid value '{state}' for parameter 'state' supplied: it is one of {}.",
            STATES.join(", ")
        )));
    }
    let most = request.max_results.map_or(100, |n| n.0);
    if !(1..=PAGE_MAX).contains(&most) {
        return Err(Error::invalid(format!(
            "Invalid value {most} for parameter 'max_results' supplied: it is 1 to {PAGE_MAX}."
        )));
    }
    let token = request.page_token.as_deref().filter(|token| !token.is_empty());
    let before = match token.map(str::parse::<i64>) {
        None => i64::MAX,
        Some(Ok(before)) => before,
        Some(Err(_)) => {
            return Err(Error::invalid(
                "The 'page_token' is not one that this server gave. Begin the list again without it.",
            ));
        }
    };
    ctx.read(move |sql| {
        visible(sql);
        let of = match request.monitor.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => {
                let found = monitor::get(sql, name, Action::Read).map_err(|error| error.in_field("monitor"));
                found?.asset.id
            }
            None => 0,
        };
        let state = if state == "all" { "" } else { &state };
        let found = page(sql, before, state, of, most)?;
        let mut people = People::default();
        let alerts = found.0.into_iter().map(|one| AlertInfo::new(sql, &mut people, one));
        Ok(ListResponse { alerts: alerts.collect::<Result<_>>()?, next_page_token: found.1 })
    })
    .await
}

/// Alerts that the caller may see, newest first, and the token of the next page. It looks through [`LOOK_MAX`] at most.
pub(super) fn page(
    sql: &mut Sql<'_>,
    mut before: i64,
    state: &str,
    of: i64,
    most: i64,
) -> Result<(Vec<Alert>, Option<String>)> {
    let (mut alerts, mut looked, mut known): (Vec<Alert>, i64, _) = (Vec::new(), 0, BTreeMap::new());
    let together = most.max(LOOK);
    loop {
        let rows = sql.all(&store::ALERT_PAGE, bind![before, state, of, together], alert::read)?;
        let is_last = (rows.len() as i64) < together;
        looked += rows.len() as i64;
        for one in rows {
            if alerts.len() as i64 == most {
                return Ok((alerts, Some(before.to_string())));
            }
            before = one.row;
            // Many alerts are of few monitors and people.
            let is_visible = match known.entry((one.monitor_id, one.owner_id)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(place) => *place.insert(alert::is_visible(sql, &one)?),
            };
            if is_visible {
                alerts.push(one);
            }
        }
        if is_last {
            return Ok((alerts, None));
        }
        if looked >= LOOK_MAX {
            return Ok((alerts, Some(before.to_string())));
        }
    }
}

/// Which alert.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OneRequest {
    /// UUID.
    pub alert_id: String,
}

async fn get(ctx: Ctx, request: OneRequest) -> Result<AlertInfo> {
    ctx.read(move |sql| {
        let found = alert::get(sql, &request.alert_id)?;
        AlertInfo::new(sql, &mut People::default(), found)
    })
    .await
}

/// Which alert, and what to say about it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AnswerRequest {
    /// UUID.
    pub alert_id: String,
    /// Why, or what is done about it.
    pub note: Option<String>,
}

async fn acknowledge(ctx: Ctx, request: AnswerRequest) -> Result<AlertInfo> {
    answer(ctx, request, State::Acknowledged).await
}

async fn resolve(ctx: Ctx, request: AnswerRequest) -> Result<AlertInfo> {
    answer(ctx, request, State::Resolved).await
}

/// Nothing changes where it is so already; what is over is not taken up again.
async fn answer(ctx: Ctx, request: AnswerRequest, state: State) -> Result<AlertInfo> {
    check_text("note", request.note.as_deref().unwrap_or_default(), NOTE_CHARS_MAX)?;
    ctx.write(move |tx| {
        let mut found = alert::lock(tx, &request.alert_id)?;
        if found.state == state || found.state == State::Resolved {
            return Ok(Change::Nothing(AlertInfo::new(tx, &mut People::default(), found)?));
        }
        let by = (tx.now(), tx.caller().id);
        found.state = state;
        let kind = match state {
            State::Resolved => {
                found.resolved = Some(by);
                EventKind::AlertResolve
            }
            _ => {
                found.acknowledged = Some(by);
                EventKind::AlertAcknowledge
            }
        };
        if let Some(note) = &request.note {
            found.note.clone_from(note);
        }
        alert::save(tx, &mut found)?;
        let event = alert::event(kind, &found);
        Ok(Change::Made(AlertInfo::new(tx, &mut People::default(), found)?, event))
    })
    .await
}
