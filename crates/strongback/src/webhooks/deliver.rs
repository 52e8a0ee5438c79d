//! Deliveries on their way: what is due is taken, sent and settled, several at once, again and again until it arrives or is given
//! up.
//!
//! What is taken is so until a moment, by which whoever took it has told what became of it, or counts as gone; so other processes
//! do not send it at the same time, and a crash loses nothing. It may be sent twice then: its id is the same.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{
    consume::consume,
    log, send,
    send::Outcome,
    store,
    webhook::{self, Webhook, origin},
};
use crate::{
    bind,
    context::App,
    db::{Origin, Sql},
    error::Result,
    events::key,
    outbound, time,
};

/// The longest rest between two looks at the stream.
const REST: Duration = Duration::from_secs(1);
/// The shortest, where something is due that cannot be begun yet.
const REST_MIN: Duration = Duration::from_millis(20);
/// Requests that are under way at a time.
const SENDING_MAX: usize = 64;
/// Of one webhook.
const SENDING_OF_ONE_MAX: usize = 4;
/// How often a delivery is tried: over about half an hour.
pub(super) const ATTEMPTS_MAX: i64 = 12;
/// The pause after the first attempt, twice as long after each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, also where the receiver asks for a longer one.
const PAUSE_MAX: Duration = Duration::from_hours(1);
/// How long a taken delivery is somebody's: longer than a request and what is written before and after it take.
const TAKEN: Duration = Duration::from_mins(3);
/// How long requests that are under way may go on after a stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

const _: () = assert!(TAKEN.as_secs() > outbound::REQUEST_LIMIT.as_secs() + 120);

/// A delivery that this process has taken.
struct Taken {
    row: i64,
    uuid: String,
    webhook_id: i64,
    topic: String,
    body: String,
    attempts: i64,
}

/// Enters and delivers until it is told to stop. What a process before this one was sending is sent again at once.
pub async fn background(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let holder = key::name(&app.signing_key);
    if let Err(error) = let_go(&app, holder.clone()).await {
        tracing::warn!(?error, "deliveries that an earlier process had taken wait until their time runs out");
    }
    let mut sending: JoinSet<i64> = JoinSet::new();
    let mut busy: HashMap<i64, usize> = HashMap::new();
    let mut upkeep = log::Upkeep::default();
    loop {
        let rest = match step(&app, &holder, &mut sending, &mut busy).await {
            Ok(rest) => rest,
            Err(error) => {
                tracing::warn!(?error, "webhooks could not be looked after; it is tried again");
                REST
            }
        };
        upkeep.look(&app).await;
        tokio::select! {
            _ = stopped.changed() => break,
            Some(ended) = sending.join_next() => match ended {
                Ok(webhook) => release(&mut busy, webhook),
                Err(error) => {
                    tracing::error!(%error, "the sending of a webhook ended with a panic");
                    sending.abort_all();
                    busy.clear();
                }
            },
            () = tokio::time::sleep(rest) => {}
        }
    }
    let ends = async { while sending.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(STOP_LIMIT, ends).await;
}

fn release(busy: &mut HashMap<i64, usize>, webhook: i64) {
    if let Some(count) = busy.get_mut(&webhook) {
        *count = count.saturating_sub(1);
    }
    busy.retain(|_, count| *count > 0);
}

async fn let_go(app: &App, holder: String) -> Result<()> {
    app.db
        .derive(move |tx| {
            let now = tx.now();
            tx.execute(&store::DELIVERY_LET_GO, bind![&holder, now]).map(drop)
        })
        .await
}

/// Enters what happened, begins what is due, and answers how long there is nothing to do.
async fn step(
    app: &Arc<App>,
    holder: &str,
    sending: &mut JoinSet<i64>,
    busy: &mut HashMap<i64, usize>,
) -> Result<Duration> {
    consume(app).await?;
    let next = |sql: &mut Sql<'_>| {
        sql.all(&store::DELIVERY_NEXT, bind![], |row| Ok((row.get::<i64>(0)?, row.get::<Option<i64>>(1)?)))
    };
    let mut rest = REST;
    for (webhook, due) in app.db.read(&Origin::system(), next).await? {
        let Some(due) = due else { continue };
        let left = Duration::from_millis(u64::try_from(due - time::now_ms()).unwrap_or(0));
        if !left.is_zero() {
            rest = rest.min(left);
            continue;
        }
        let of_one = SENDING_OF_ONE_MAX.saturating_sub(busy.get(&webhook).copied().unwrap_or(0));
        let room = of_one.min(SENDING_MAX.saturating_sub(sending.len()));
        if room == 0 {
            continue;
        }
        let taken = take(app, webhook, holder.to_owned(), room as i64).await?;
        if taken.len() == room {
            // There may be more: who ends makes room for it.
            rest = REST_MIN;
        }
        for each in taken {
            *busy.entry(webhook).or_default() += 1;
            let app = Arc::clone(app);
            sending.spawn(async move {
                deliver(&app, each).await;
                webhook
            });
        }
    }
    Ok(rest.max(REST_MIN))
}

async fn take(app: &App, webhook: i64, holder: String, most: i64) -> Result<Vec<Taken>> {
    let mut taken = app
        .db
        .derive(move |tx| {
            let now = tx.now();
            let until = now + TAKEN.as_millis() as i64;
            tx.all(&store::DELIVERY_TAKE, bind![webhook, now, until, &holder, most], |row| {
                Ok(Taken {
                    row: row.get(0)?,
                    uuid: row.get(1)?,
                    webhook_id: row.get(2)?,
                    topic: row.get(3)?,
                    body: row.get(4)?,
                    attempts: row.get(5)?,
                })
            })
        })
        .await?;
    taken.sort_unstable_by_key(|each| each.row);
    Ok(taken)
}

/// One attempt, from the webhook as it is now to what is stored of it.
async fn deliver(app: &App, taken: Taken) {
    let id = taken.webhook_id;
    let found = move |sql: &mut Sql<'_>| sql.first(&store::WEBHOOK_BY_ID, bind![id], webhook::read);
    let outcome = match app.db.read(&Origin::system(), found).await {
        // Its deliveries went with it.
        Ok(None) => return,
        Ok(Some(hook)) => attempt(app, &hook, &taken).await,
        Err(error) => Err(error),
    };
    let settled = match outcome {
        Ok(outcome) => settle(app, &taken, outcome).await,
        Err(error) => Err(error),
    };
    if let Err(error) = settled {
        tracing::warn!(delivery = %taken.uuid, ?error, "nothing could be stored of an attempt to deliver; it is made again");
    }
}

async fn attempt(app: &App, hook: &Webhook, taken: &Taken) -> Result<Outcome> {
    if !hook.is_active {
        return Ok(Outcome::refused("The webhook was disabled before this was delivered."));
    }
    let outcome = send::send(app, hook, &taken.uuid, taken.body.clone()).await?;
    let (delivery, topic, attempt) = (&taken.uuid, &taken.topic, taken.attempts);
    match &outcome.error {
        None => tracing::debug!(webhook = %hook.uuid, %delivery, %topic, attempt, "delivered to a webhook"),
        // The error names addresses and no path or secret.
        Some(error) => {
            tracing::warn!(webhook = %hook.uuid, to = origin(&hook.url), %delivery, %topic, attempt, error, "not delivered to a webhook");
        }
    }
    Ok(outcome)
}

/// Stores what became of an attempt, unless its time ran out and somebody else has it.
async fn settle(app: &App, taken: &Taken, outcome: Outcome) -> Result<()> {
    let (row, attempts) = (taken.row, taken.attempts);
    let state = match &outcome.error {
        None => "delivered",
        Some(_) if outcome.may_retry && attempts < ATTEMPTS_MAX => "waiting",
        Some(_) => "failed",
    };
    metrics::counter!("strongback_webhook_attempts_total", "outcome" => state).increment(1);
    let pause = pause(attempts, outcome.retry_after, rand::random());
    let status = outcome.status.map(i64::from);
    let error = outcome.error;
    app.db
        .derive(move |tx| {
            let now = tx.now();
            let (next, ended) = match state {
                "waiting" => (now + pause.as_millis() as i64, None),
                _ => (now, Some(now)),
            };
            tx.execute(
                &store::DELIVERY_SETTLE,
                bind![row, attempts, state, next, status, error.as_deref(), ended],
            )
            .map(drop)
        })
        .await
}

/// How long is waited after so many attempts: twice as long after each, less up to a half of it by `chance` (0 to 1), so that what
/// failed together does not come back together; at least as long as the receiver asks.
fn pause(attempts: i64, asked: Option<Duration>, chance: f64) -> Duration {
    let doublings = attempts.clamp(1, 20) - 1;
    let whole = PAUSE.saturating_mul(1 << doublings).min(PAUSE_MAX);
    whole.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0)).max(asked.unwrap_or_default()).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_vary_and_end() {
        let seconds = |attempts, chance| pause(attempts, None, chance).as_secs_f64();
        assert_eq!([1, 2, 3, 12].map(|n| seconds(n, 1.0)), [1.0, 2.0, 4.0, 2048.0]);
        assert_eq!([1, 2, 3].map(|n| seconds(n, 0.0)), [0.5, 1.0, 2.0]);
        assert_eq!(pause(i64::MAX, None, 1.0), PAUSE_MAX);
        assert_eq!(pause(1, Some(Duration::from_secs(30)), 0.0), Duration::from_secs(30));
        assert_eq!(pause(1, Some(Duration::MAX), 0.0), PAUSE_MAX);
        let all: f64 = (1..ATTEMPTS_MAX).map(|n| seconds(n, 1.0)).sum();
        assert!((1_800.0..7_200.0).contains(&all), "{all} s");
    }

    #[test]
    fn room_comes_back_when_a_request_ends() {
        let mut busy = HashMap::from([(7, 2)]);
        release(&mut busy, 7);
        assert_eq!(busy.get(&7), Some(&1));
        release(&mut busy, 7);
        release(&mut busy, 8);
        assert!(busy.is_empty());
    }
}
