//! The pins of gate reports: what a report stands on is kept while it may move an alias, and as long as a move of a living
//! model rests on it.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{bind, context::App, error::Result, statements, tables};

/// Between two rounds of [`keep_clean`].
const ROUND: Duration = Duration::from_hours(1);
/// Pins that one transaction takes away, so that no other write waits for long.
const BATCH: i64 = 100;

statements! {
    /// Pins of reports that expired by a moment ($1), and on which no move of a living model rests.
    PINS_EXPIRED = "SELECT DISTINCT p.table_id, p.holder FROM table_pin p
        JOIN gate_report r ON p.holder = 'gate_report/' || r.uuid
        WHERE p.holder LIKE 'gate_report/%' AND r.expires_at <= $1 AND NOT EXISTS (
            SELECT 1 FROM alias_move m JOIN asset a ON a.id = m.model_id AND a.deleted_at IS NULL
            WHERE m.model_id = r.model_id AND m.evidence LIKE ('%' || r.uuid || '%'))
        ORDER BY p.table_id, p.holder LIMIT $2";
}

/// The holder of the pins of a report.
pub(super) fn holder(report: uuid::Uuid) -> String {
    format!("gate_report/{report}")
}

/// Releases pins at once and then hourly, until it is told to stop.
pub async fn keep_clean(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    loop {
        match sweep(&app).await {
            Ok(0) => {}
            Ok(released) => {
                tracing::info!(released, "released the table versions of gate reports that expired");
            }
            Err(error) => tracing::warn!(?error, "the round that releases pins of gate reports ended early"),
        }
        if tokio::time::timeout(ROUND, stopped.changed()).await.is_ok() {
            return;
        }
    }
}

/// Releases what may be released now, batch by batch; answers how many pins that were.
async fn sweep(app: &App) -> Result<u64> {
    let mut all = 0;
    loop {
        let (found, released) = app
            .db
            .derive(|tx| {
                let now = tx.now();
                let expired = tx.all(&PINS_EXPIRED, bind![now, BATCH], |row| {
                    Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
                })?;
                let mut released = 0;
                for (table, holder) in &expired {
                    released += tables::unpin_all_in_tx(tx, *table, holder)?;
                }
                Ok((expired.len() as i64, released))
            })
            .await?;
        all += released;
        if found < BATCH {
            return Ok(all);
        }
    }
}
