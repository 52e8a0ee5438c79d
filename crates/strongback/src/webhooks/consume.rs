//! From the stream to deliveries: each block of events is taken once, and what it tells is entered for every webhook that wants
//! it, in the transaction in which the cursor moves.
//!
//! Nobody reads the stream while there is no webhook.

use serde_json::Value as Json;

use super::{
    CONSUMER, store, told,
    webhook::{self, Webhook},
};
use crate::{
    bind,
    context::App,
    db::{Origin, Sql},
    error::Result,
    events::{
        chain::{Block, Entry},
        cursor,
    },
};

/// Blocks that one transaction takes.
const BLOCKS: usize = 256;
/// Deliveries of one webhook that may wait. One above that is entered as failed, so that the log says what was not told.
pub(super) const WAITING_MAX: i64 = 10_000;

/// Takes all that is pending; answers how many deliveries were entered.
pub async fn consume(app: &App) -> Result<usize> {
    let mut entered = 0;
    loop {
        let blocks = app
            .db
            .read(&Origin::system(), |sql| match sql.first(&store::WEBHOOK_ANY, bind![], |_| Ok(()))? {
                Some(()) => cursor::pending(sql, CONSUMER, BLOCKS),
                None => Ok(Vec::new()),
            })
            .await?;
        if blocks.is_empty() {
            return Ok(entered);
        }
        entered += app.db.derive(move |tx| take(tx, &blocks)).await?;
    }
}

fn take(tx: &mut Sql<'_>, blocks: &[Block]) -> Result<usize> {
    let hooks = tx.all(&store::WEBHOOK_ACTIVE, bind![], webhook::read)?;
    let mut queues: Vec<(Webhook, Option<i64>)> = hooks.into_iter().map(|hook| (hook, None)).collect();
    let mut entered = 0;
    for block in blocks {
        // Another process may have taken it.
        if !cursor::take(tx, CONSUMER, block)? || queues.is_empty() || !may_tell(block) {
            continue;
        }
        for (entry, detail) in entries(block) {
            for (topic, data) in told::of(tx, &entry, &detail)? {
                for (hook, waiting) in &mut queues {
                    if hook.topics.contains(&topic) && entry.at >= hook.since {
                        enter(tx, hook, waiting, topic.name(), &told::body(topic, entry.at, &data)?)?;
                        entered += 1;
                    }
                }
            }
        }
    }
    Ok(entered)
}

/// Whether an event in a block may tell something, without reading each of them: most are of runs.
fn may_tell(block: &Block) -> bool {
    let Ok(body) = std::str::from_utf8(&block.body) else { return true };
    told::KINDS.iter().any(|kind| body.contains(&format!("\"action\":\"{}\"", kind.name())))
}

/// The entries of a block with what lies beside them. One that cannot be read is told to the log, and holds up nothing.
fn entries(block: &Block) -> Vec<(Entry, Json)> {
    let read = block.read_all_entries().and_then(|entries| Ok((entries, block.read_details()?)));
    match read {
        Ok((entries, details)) => {
            let text = |detail: Option<crate::events::chain::Detail>| {
                detail.and_then(|detail| serde_json::from_str(&detail.json).ok()).unwrap_or(Json::Null)
            };
            entries.into_iter().zip(details.into_iter().map(text)).collect()
        }
        Err(error) => {
            tracing::error!(
                slot = block.slot,
                n = block.n,
                ?error,
                "no webhook is told of a block of events that cannot be read"
            );
            Vec::new()
        }
    }
}

fn enter(tx: &mut Sql<'_>, hook: &Webhook, waiting: &mut Option<i64>, topic: &str, body: &str) -> Result<()> {
    let there = match *waiting {
        Some(there) => there,
        None => tx.one(&store::DELIVERY_COUNT, bind![hook.id], |row| row.get(0))?,
    };
    let (uuid, now) = (uuid::Uuid::new_v4().to_string(), tx.now());
    let refused = (there >= WAITING_MAX).then(|| {
        format!(
            "It was not sent: {WAITING_MAX} deliveries of this webhook waited already, which is the limit."
        )
    });
    let state = if refused.is_some() { "failed" } else { "waiting" };
    let ended = refused.as_ref().map(|_| now);
    *waiting = Some(there + i64::from(refused.is_none()));
    tx.execute(
        &store::DELIVERY_INSERT,
        bind![&uuid, hook.id, topic, body, state, now, refused.as_deref(), ended],
    )
    .map(drop)
}
