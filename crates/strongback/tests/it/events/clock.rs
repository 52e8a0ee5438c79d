//! A clock that was fast and is set right.

use std::time::Duration;

use ed25519_dalek::Signer;
use strongback::{
    bind,
    db::Stmt,
    events::{
        checkpoint::{Body, Checkpoint},
        verify::Report,
    },
};

use super::{checkpointed, finds, note, report};
use crate::support::{TestApp, ok, on_every_store};

/// Notes something as of a clock that is fast by so much, or is right.
async fn note_fast(test: &TestApp, by: Duration, text: &str) -> i64 {
    let mut ctx = test.system();
    ctx.origin.now += by.as_millis() as i64;
    note(&ctx, text).await;
    ctx.origin.now
}

/// Dates of the notes, newest first.
async fn dates(test: &TestApp) -> Vec<i64> {
    let listed = test.get("/api/1.0/audit-log?action=catalog.update").await;
    ok(&listed)["events"].as_array().unwrap().iter().map(|event| event["at"].as_i64().unwrap()).collect()
}

#[test]
fn a_clock_that_was_fast_by_hours_leaves_nothing_to_find() {
    on_every_store(|test| async move {
        let fast = note_fast(&test, Duration::from_hours(2), "fast").await;
        let kept = checkpointed(&test).await;
        assert_eq!(kept.verify().unwrap().at, fast, "it is dated as events are");
        // All writers of PostgreSQL come to it.
        for _ in 0..8 {
            note(&test.system(), "right again").await;
        }
        let test = test.reopen().await;
        note(&test.system(), "after a restart").await;
        assert_eq!(dates(&test).await, [fast; 10]);
        let newer = checkpointed(&test).await;
        assert_eq!(newer.verify().unwrap().at, fast);
        for kept in [kept, newer] {
            let found: Report = report(&test, Some(kept)).await;
            assert!(found.is_clean(), "{found:?}");
        }
        // What a row says of itself is by the clock.
        let made = test.post("/api/2.0/mlflow/experiments/create", serde_json::json!({ "name": "e" })).await;
        let path = format!(
            "/api/2.0/mlflow/experiments/get?experiment_id={}",
            ok(&made)["experiment_id"].as_str().unwrap()
        );
        let made = test.get(&path).await;
        assert!(ok(&made)["experiment"]["creation_time"].as_i64().unwrap() < fast - 3_600_000, "{made:?}");
    });
}

static SIGN: Stmt = Stmt::new(
    "INSERT INTO event_checkpoint (n, at, body, signature, public_key) VALUES ($1, $2, $3, $4, $5)",
);

/// A checkpoint of what there is, which was signed by such a clock.
async fn signed_at(test: &TestApp, at: i64) -> Checkpoint {
    let newest = checkpointed(test).await.verify().unwrap();
    let body = Body { n: newest.n + 1, at, ..newest };
    let text = serde_json::to_string(&body).unwrap();
    let key = &test.app.signing_key;
    let (signature, public) = (key.sign(text.as_bytes()).to_bytes(), key.verifying_key().to_bytes());
    let kept =
        Checkpoint { body: text.clone(), signature: hex::encode(signature), public_key: hex::encode(public) };
    let insert = move |tx: &mut strongback::db::Sql<'_>| {
        tx.execute(&SIGN, bind![body.n, at, &text, &signature[..], &public[..]])
    };
    test.app.db.derive(insert).await.unwrap();
    kept
}

#[test]
fn a_clock_that_was_fast_by_days_does_not_stop_the_log() {
    on_every_store(|test| async move {
        let fast = note_fast(&test, Duration::from_hours(48), "fast").await;
        let kept = signed_at(&test, fast).await;
        let test = test.reopen().await;
        note(&test.system(), "right again").await;
        let last = dates(&test).await.into_iter().min().unwrap();
        assert!(last < fast - 86_400_000, "the clock counts again");
        finds(&report(&test, Some(kept)).await, "or the machine's clock was set back");
    });
}
