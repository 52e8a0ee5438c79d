//! What is tried again by itself, what is not, and what is restored.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde_json::json;
use strongback::{bind, db::Stmt};

use super::{MINUTE, TABLE, apply, begin, dump, import, look_up, looking, materialize, working, yaml};
use crate::support::{TestApp, ok, on_every_store, on_every_store_with};

static JOBS: Stmt = Stmt::new("SELECT COUNT(*) FROM job WHERE kind = 'feature_materialize'");
/// Ends those that wait, long ago.
static FAIL: Stmt = Stmt::new(
    "UPDATE job SET state = 'failed', error_code = $1, error_message = 'x', ended_at = 1 WHERE kind = 'feature_materialize'",
);

async fn jobs(test: &TestApp) -> i64 {
    test.app.db.derive(|tx| tx.one(&JOBS, &[], |row| row.get(0))).await.unwrap()
}

async fn fail(test: &TestApp, code: &'static str) {
    test.app.db.derive(move |tx| tx.execute(&FAIL, bind![code]).map(drop)).await.unwrap();
}

/// Waits until so many jobs were queued.
async fn queued(test: &TestApp, count: i64) {
    let until = Instant::now() + Duration::from_mins(1);
    while jobs(test).await != count {
        assert!(Instant::now() < until, "{} jobs and not {count}", jobs(test).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_refresh_is_queued_once_and_again_where_it_failed_of_what_passes() {
    on_every_store(async |test: TestApp| {
        begin(&test, "").await;
        let other = "prod.risk.other";
        apply(&test, &yaml(TABLE, "", "refresh: on_commit\n")).await;
        looking(&test, async || queued(&test, 1).await).await;
        // While it waits, no commit queues another one; that of another table is none of its business.
        import(&test, "more", "append", &[(9, 7, 6 * MINUTE, Some(3.0))]).await;
        apply(&test, &yaml(other, "", "refresh: on_commit\n")).await;
        looking(&test, async || queued(&test, 2).await).await;

        fail(&test, "TEMPORARILY_UNAVAILABLE").await;
        looking(&test, async || queued(&test, 4).await).await;
        fail(&test, "INVALID_PARAMETER_VALUE").await;
        // A new version is another matter.
        import(&test, "third", "append", &[(10, 7, 7 * MINUTE, Some(3.0))]).await;
        looking(&test, async || queued(&test, 6).await).await;
        fail(&test, "INVALID_PARAMETER_VALUE").await;
        apply(&test, &yaml("prod.risk.third", "", "refresh: on_commit\n")).await;
        looking(&test, async || queued(&test, 7).await).await;
    });
}

#[test]
fn what_waits_already_is_not_queued_again() {
    on_every_store(async |test: TestApp| {
        begin(&test, "").await;
        let path = format!("/api/1.0/feature-tables/{TABLE}/materialize");
        let ask = async |full: bool| ok(&test.post(&path, json!({ "full": full })).await)["job_id"].clone();
        let first = ask(false).await;
        assert_eq!(ask(false).await, first);
        let full = ask(true).await;
        assert_ne!(full, first, "that asks for something else");
        assert_eq!((ask(true).await, jobs(&test).await), (full, 2));
        working(&test, async || {
            let id = first.as_str().unwrap().parse().unwrap();
            strongback::jobs::wait(&test.system(), id, Duration::from_mins(1)).await.unwrap();
        })
        .await;
        assert_ne!(ask(false).await, first, "that one has ended");
    });
}

/// The source went on, and so did the definition: what requests looked up before is what they look up after.
#[test]
fn what_is_restored_is_what_was_published() {
    on_every_store(async |mut test: TestApp| {
        begin(&test, "card").await;
        working(&test, async || materialize(&test, TABLE, false).await).await;
        let expected = look_up(&test, TABLE, Some(7), 5 * MINUTE).await;
        let rows = dump(&test, TABLE).await;
        import(&test, "more", "append", &[(9, 7, 4 * MINUTE, Some(100.0))]).await;
        apply(&test, &yaml(TABLE, "card", "").replace("10m", "20m")).await;
        let path = test.dir.path().join("data/online.redb");
        test = test.reopen_after(move || std::fs::remove_file(&path).unwrap()).await;
        let published = working(&test, async || {
            let until = Instant::now() + Duration::from_mins(1);
            loop {
                let shown = test.get(&format!("/api/1.0/feature-tables/{TABLE}")).await;
                let published = ok(&shown)["published"].clone();
                if published["is_online"] == true {
                    return published;
                }
                assert!(Instant::now() < until, "{published}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        assert_eq!(
            (published["definition"].clone(), published["source_version"].clone()),
            (json!(1), json!(1)),
            "{published}"
        );
        assert_eq!(look_up(&test, TABLE, Some(7), 5 * MINUTE).await, expected);
        assert_eq!(dump(&test, TABLE).await, rows);
    });
}

/// A vacuum took the rows that the lost online features were computed from: requests get those of now, and nobody has to come.
#[test]
fn what_cannot_be_restored_is_published_anew() {
    on_every_store(async |mut test: TestApp| {
        begin(&test, "card").await;
        working(&test, async || materialize(&test, TABLE, false).await).await;
        import(&test, "other", "overwrite", &[(9, 7, 4 * MINUTE, Some(100.0))]).await;
        let clean = json!({ "keep_from": 2 });
        ok(&test.post(&format!("/api/1.0/tables/{}/vacuum", super::SOURCE), clean).await);
        let path = test.dir.path().join("data/online.redb");
        test = test.reopen_after(move || std::fs::remove_file(&path).unwrap()).await;
        working(&test, async || {
            let until = Instant::now() + Duration::from_mins(1);
            loop {
                let shown = test.get(&format!("/api/1.0/feature-tables/{TABLE}")).await;
                let published = ok(&shown)["published"].clone();
                // It is online a moment before that is recorded.
                if published["is_online"] == true && published["source_version"] == 2 {
                    return;
                }
                assert!(Instant::now() < until, "{published}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        assert_eq!(look_up(&test, TABLE, Some(7), 5 * MINUTE).await[1], Some(100.0));
    });
}

#[test]
fn what_does_not_fit_into_memory_is_refused_with_the_limit() {
    on_every_store_with(&[("query_memory_mb", "16")], async |test: TestApp| {
        crate::catalog::prod_risk(&test).await;
        let rows: Vec<super::Row> = (0..600).map(|n| (n, 7, n * MINUTE, Some(1.0))).collect();
        import(&test, "first", "append", &rows).await;
        let mut many = yaml(TABLE, "", "");
        for n in 0..900 {
            let _ = writeln!(many, "- {{name: f{n}, aggregate: count, window: 5m}}");
        }
        apply(&test, &many).await;
        working(&test, async || {
            let path = format!("/api/1.0/feature-tables/{TABLE}/materialize");
            let failed = test.post(&path, json!({ "wait_ms": 30_000 })).await;
            let job = ok(&failed);
            assert_eq!(job["state"], "failed", "{job}");
            let said = job["error"]["message"].as_str().unwrap();
            assert!(said.contains("8388608 bytes") && said.contains("query_memory_mb"), "{said}");
            apply(&test, &yaml(TABLE, "", "")).await;
            assert_eq!(materialize(&test, TABLE, false).await["how"], "full");
        })
        .await;
    });
}
