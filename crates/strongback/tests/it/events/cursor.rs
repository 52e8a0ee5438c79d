//! Consumers: every event once, in the order of its slot, also after a crash and beside a second process.

use std::collections::HashMap;

use strongback::{
    bind, db,
    error::{Error, Result},
    events::cursor,
};

use super::note;
use crate::support::{TestApp, on_every_store};

static MAKE: db::Stmt =
    db::Stmt::new("CREATE TABLE seen (slot BIGINT NOT NULL, n BIGINT NOT NULL, entries BIGINT NOT NULL)");
static SEE: db::Stmt = db::Stmt::new("INSERT INTO seen (slot, n, entries) VALUES ($1, $2, $3)");
static SEEN: db::Stmt = db::Stmt::new("SELECT slot, n, entries FROM seen");
static ENTRIES: db::Stmt = db::Stmt::new("SELECT COUNT(*), CAST(SUM(entries) AS BIGINT) FROM event_block");

/// Takes all that is pending and makes the effect, a row a block; `fail` fails after the effect.
async fn consume(test: &TestApp, limit: usize, fail: bool) -> Result<usize> {
    let origin = db::Origin::system();
    let blocks = test.app.db.read(&origin, move |sql| cursor::pending(sql, "test", limit)).await?;
    let mut taken = 0;
    for block in blocks {
        taken += test
            .app
            .db
            .derive(move |tx| {
                if !cursor::take(tx, "test", &block)? {
                    return Ok(0);
                }
                tx.execute(&SEE, bind![block.slot, block.n, block.entries])?;
                if fail { Err(Error::internal("the consumer died")) } else { Ok(1) }
            })
            .await?;
    }
    Ok(taken)
}

async fn seen(test: &TestApp) -> Vec<(i64, i64, i64)> {
    let all =
        |sql: &mut db::Sql<'_>| sql.all(&SEEN, bind![], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    test.app.db.read(&db::Origin::system(), all).await.unwrap()
}

#[test]
fn each_block_is_consumed_once_and_in_order() {
    on_every_store(|test| async move {
        test.app.db.derive(|tx| tx.execute(&MAKE, bind![]).map(|_| ())).await.unwrap();
        for n in 0..9 {
            note(&test.system(), &format!("{n}")).await;
        }
        assert!(consume(&test, usize::MAX, true).await.is_err());
        assert!(seen(&test).await.is_empty(), "cursor and effect go back together");
        assert_eq!(consume(&test, 4, false).await.unwrap(), 4);
        // Two processes with the same consumer at once: each block is taken by one of them.
        let (one, other) = tokio::join!(consume(&test, usize::MAX, false), consume(&test, usize::MAX, false));
        let (one, other) = (one.unwrap(), other.unwrap());
        let (blocks, entries): (i64, i64) = test
            .app
            .db
            .read(&db::Origin::system(), |sql| {
                sql.one(&ENTRIES, bind![], |row| Ok((row.get(0)?, row.get::<i64>(1)?)))
            })
            .await
            .unwrap();
        let seen = seen(&test).await;
        assert_eq!(4 + one + other, seen.len());
        assert_eq!(seen.len() as i64, blocks);
        assert_eq!(seen.iter().map(|(_, _, entries)| entries).sum::<i64>(), entries);
        let mut newest = HashMap::new();
        for (slot, n, _) in seen {
            let before = newest.insert(slot, n).unwrap_or(0);
            assert_eq!(n, before + 1, "slot {slot}");
        }
        assert_eq!(consume(&test, usize::MAX, false).await.unwrap(), 0);
    });
}

#[test]
fn what_is_pending_comes_in_pages_of_bounded_bytes() {
    on_every_store(|test| async move {
        let text = "x".repeat(60_000);
        for _ in 0..90 {
            note(&test.system(), &text).await;
        }
        let origin = db::Origin::system();
        let page = test.app.db.read(&origin, |sql| cursor::pending(sql, "other", usize::MAX)).await.unwrap();
        let bytes: usize = page.iter().map(strongback::events::chain::Block::bytes).sum();
        assert!(
            (4 << 20..5 << 20).contains(&bytes) && page.len() < 90,
            "{bytes} bytes in {} blocks",
            page.len()
        );
        // Read in such pages, nothing is left out.
        let found = super::report(&test, None).await;
        assert!(found.is_clean() && found.entries >= 90, "{found:?}");
    });
}
