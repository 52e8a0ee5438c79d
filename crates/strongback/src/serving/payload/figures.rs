//! Whether everything that was served was logged, and how much of it is where.

use std::sync::{Arc, atomic::Ordering};

use super::{log::Opened, store};
use crate::{
    bind,
    catalog::{Action, authorize},
    context::Ctx,
    error::Result,
};

/// How often the figures are read again because something moved meanwhile.
const ATTEMPTS: usize = 20;

/// Requests of an endpoint, counted where they pass. Requests, not rows, unless it says so.
///
/// `logged = drained + given_up + waiting`, and when nobody is being served at the moment, `served + unanswered = logged`.
/// `served` is counted by those who answer and `logged` by the log, each for itself; of the requests that a crash found between
/// log and answer nobody can tell whether they were answered, and they count as served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, schemars::JsonSchema)]
pub struct Figures {
    /// Answered after their record was durable.
    pub served: u64,
    /// Logged, although whoever asked had gone.
    pub unanswered: u64,
    /// Made durable in the logs of all nodes.
    pub logged: u64,
    /// Brought into the payload table.
    pub drained: u64,
    /// Rows of those.
    pub drained_rows: u64,
    /// Given up: the table and its endpoint were deleted, or a record could not be read.
    pub given_up: u64,
    /// Waiting in the log of this node.
    pub waiting: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Total {
    drained: u64,
    rows: u64,
    given_up: u64,
    unanswered: u64,
}

/// The figures of an endpoint, for a caller who may read it.
pub async fn figures(ctx: &Ctx, endpoint: i64) -> Result<Figures> {
    let opened = ctx.app.payload.open_if_there().await?;
    let Some(opened) = opened else {
        let (_, others) = totals(ctx, endpoint, None).await?;
        return Ok(of(Total::default(), others, 0, 0, 0));
    };
    let before = opened.scan(&ctx.app).await?.get(&endpoint).copied().unwrap_or_default().max(0) as u64;
    for _ in 0..ATTEMPTS {
        let moves = opened.moves.load(Ordering::SeqCst);
        let (own, others) = totals(ctx, endpoint, opened.node_if_there()?).await?;
        let waiting = opened.index.lock().waiting(endpoint);
        let found = seen(&opened, endpoint, before, own, others, waiting);
        if moves % 2 == 0 && moves == opened.moves.load(Ordering::SeqCst) {
            return Ok(found);
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    Err(crate::error::Error::unavailable(
        "The payload log is being drained all the time, so that no figure is exact. Repeat the call later.",
    ))
}

fn seen(
    opened: &Arc<Opened>,
    endpoint: i64,
    before: u64,
    own: Total,
    others: Total,
    waiting: u64,
) -> Figures {
    let tally = opened.tally(endpoint);
    let served = before + tally.served.load(Ordering::Relaxed);
    of(own, others, waiting, served, tally.unanswered.load(Ordering::Relaxed))
}

/// Nobody knows here what other nodes served but did not bring away yet.
fn of(own: Total, others: Total, waiting: u64, served: u64, unanswered: u64) -> Figures {
    let drained = own.drained + others.drained;
    let given_up = own.given_up + others.given_up;
    Figures {
        served: served + (others.drained + others.given_up).saturating_sub(others.unanswered),
        unanswered: own.unanswered + others.unanswered + unanswered,
        logged: drained + given_up + waiting,
        drained,
        drained_rows: own.rows + others.rows,
        given_up,
        waiting,
    }
}

/// What this node brought away, and what all others did.
async fn totals(ctx: &Ctx, endpoint: i64, node: Option<String>) -> Result<(Total, Total)> {
    ctx.read(move |sql| {
        authorize(sql, Action::Read, endpoint)?;
        let found = sql.all(&store::TOTAL_LIST, bind![endpoint], |row| {
            let count = |at| row.get::<i64>(at).map(|count| count.max(0) as u64);
            let total =
                Total { drained: count(1)?, rows: count(2)?, given_up: count(3)?, unanswered: count(4)? };
            Ok((row.get::<String>(0)?, total))
        })?;
        let (mut own, mut others) = (Total::default(), Total::default());
        for (name, total) in found {
            let sum = if Some(&name) == node.as_ref() { &mut own } else { &mut others };
            sum.drained += total.drained;
            sum.rows += total.rows;
            sum.given_up += total.given_up;
            sum.unanswered += total.unanswered;
        }
        Ok((own, others))
    })
    .await
}
