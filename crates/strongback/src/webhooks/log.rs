//! The log of deliveries: by REST for administrators, and how old entries leave it.

use std::time::{Duration, Instant};

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{store, webhook};
use crate::{
    bind,
    context::{App, Ctx},
    db::{Origin, Row},
    error::{Error, Result},
    router::{Limits, Policy, Route, wire::Int64},
    time::now_ms,
    tracking::limits,
};

/// Entries a page when nothing is asked for, and at most.
const PAGE: (i64, i64) = (100, 1_000);
/// States of a delivery.
const STATES: &[&str] = &["waiting", "delivered", "failed"];
/// Between two rounds in which old entries leave.
const ROUND: Duration = Duration::from_hours(1);
/// How long an entry is kept once its delivery ended.
const KEPT_MS: i64 = 7 * 86_400_000;
/// How many of one webhook are kept.
pub(super) const KEPT_OF_ONE: i64 = 10_000;
/// Entries that one transaction forgets.
const FORGET: i64 = 500;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::GET,
        "/api/1.0/webhooks/{webhook_id}/deliveries",
        Policy::Admin,
        Limits::SMALL,
        "What was delivered to a webhook, newest first",
        list,
    )]
}

/// Which deliveries.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DeliveriesRequest {
    /// Of which webhook.
    pub webhook_id: String,
    /// Only of this state: `waiting`, `delivered` or `failed`.
    pub state: Option<String>,
    /// At most so many; 100 by default.
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

/// A page of deliveries.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeliveriesResponse {
    /// Newest first.
    pub deliveries: Vec<DeliveryInfo>,
    /// There may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// A delivery. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeliveryInfo {
    /// The id that the receiver sees.
    pub delivery_id: String,
    /// What it tells, e.g. `model_version.created`.
    pub event: String,
    /// `waiting`, `delivered` or `failed`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i64,
    /// The status of the last answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_status: Option<i64>,
    /// Why the last attempt did not deliver it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was entered.
    pub created_at: i64,
    /// When it was tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempted_at: Option<i64>,
    /// When it is tried next, as long as it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<i64>,
    /// When it was delivered or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
}

fn read(row: &Row<'_>) -> Result<(i64, DeliveryInfo)> {
    let state: String = row.get(3)?;
    let next_at: i64 = row.get(5)?;
    let info = DeliveryInfo {
        delivery_id: row.get(1)?,
        event: row.get(2)?,
        next_attempt_at: (state == "waiting").then_some(next_at),
        state,
        attempts: row.get(4)?,
        response_status: row.get(6)?,
        error: row.get(7)?,
        created_at: row.get(8)?,
        attempted_at: row.get(9)?,
        ended_at: row.get(10)?,
    };
    Ok((row.get(0)?, info))
}

async fn list(ctx: Ctx, request: DeliveriesRequest) -> Result<DeliveriesResponse> {
    let most = limits::max_results(request.max_results.map(|n| n.0), PAGE.0, PAGE.1)?;
    let state = request.state.unwrap_or_default();
    if !state.is_empty() && !STATES.contains(&&*state) {
        return Err(Error::invalid(format!(
            "Invalid value '{}' for parameter 'state' supplied: it is {}.",
            limits::cut(&state, 100),
            STATES.join(", ")
        )));
    }
    let before = before(request.page_token.as_deref())?;
    ctx.read(move |sql| {
        let hook = webhook::load(sql, &request.webhook_id)?;
        // One more than the page shows whether there is a next one.
        let mut found =
            sql.all(&store::DELIVERY_PAGE, bind![hook.id, before, &state, most as i64 + 1], read)?;
        let is_more = found.len() > most;
        found.truncate(most);
        let next_page_token = found.last().filter(|_| is_more).map(|(row, _)| row.to_string());
        let deliveries = found.into_iter().map(|(_, info)| info).collect();
        Ok(DeliveriesResponse { deliveries, next_page_token })
    })
    .await
}

/// Where a page begins: before a row.
pub(super) fn before(token: Option<&str>) -> Result<i64> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(i64::MAX) };
    token.parse().map_err(|_| {
        Error::invalid("The 'page_token' is not one that this server gave. Begin the list again without it.")
    })
}

/// When old entries are looked for.
#[derive(Debug, Default)]
pub(super) struct Upkeep(Option<Instant>);

impl Upkeep {
    /// Lets old entries leave, at the first call and then hourly.
    pub async fn look(&mut self, app: &App) {
        if self.0.is_some_and(|last| last.elapsed() < ROUND) {
            return;
        }
        self.0 = Some(Instant::now());
        match sweep(app, now_ms() - KEPT_MS).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "forgot deliveries to webhooks that ended long ago"),
            Err(error) => tracing::warn!(?error, "the round that forgets deliveries ended early"),
        }
    }
}

/// Forgets deliveries that ended before a moment (milliseconds since the epoch), and those behind the newest of each webhook;
/// answers how many.
pub async fn sweep(app: &App, before: i64) -> Result<u64> {
    let ids = |sql: &mut crate::db::Sql<'_>| sql.all(&store::DELIVERY_NEXT, bind![], |row| row.get::<i64>(0));
    let hooks = app.db.read(&Origin::system(), ids).await?;
    if hooks.is_empty() {
        return Ok(0);
    }
    let mut all = 0;
    loop {
        let hooks = hooks.clone();
        let (forgotten, is_done) = app
            .db
            .derive(move |tx| {
                let mut forgotten = tx.execute(&store::DELIVERY_FORGET, bind![before, FORGET])?;
                let mut is_done = forgotten < FORGET as u64;
                for hook in &hooks {
                    let surplus =
                        tx.execute(&store::DELIVERY_FORGET_SURPLUS, bind![*hook, KEPT_OF_ONE, FORGET])?;
                    is_done &= surplus < FORGET as u64;
                    forgotten += surplus;
                }
                Ok((forgotten, is_done))
            })
            .await?;
        all += forgotten;
        if is_done {
            return Ok(all);
        }
    }
}
