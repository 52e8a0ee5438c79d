//! What a caller is told when PostgreSQL does not let a statement through, and how long our sessions may hold on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use postgres::{Client, NoTls};
use serde_json::json;
use strongback::{
    bind,
    catalog::{asset, authorize_admin},
    db::{self, Change},
    error::Result,
    events::{Event, EventKind},
};

use super::{main_catalog, make_schema};
use crate::support::{TestApp, ok, on_postgres, request};

const CATALOG: &str = "/api/2.1/unity-catalog/catalogs/main";

/// Somebody else's session, on a thread of its own, since the driver blocks: it does `hold` in a transaction and keeps
/// that open until the sender goes.
async fn held(url: &str, hold: &'static str) -> (std::sync::mpsc::Sender<()>, std::thread::JoinHandle<()>) {
    let (let_go, told) = std::sync::mpsc::channel::<()>();
    let (holds, mut is_held) = tokio::sync::mpsc::channel(1);
    let url = url.to_owned();
    let thread = std::thread::spawn(move || {
        let mut client = Client::connect(&url, NoTls).unwrap();
        client.batch_execute(&format!("BEGIN; {hold}")).unwrap();
        holds.blocking_send(()).unwrap();
        let _ = told.recv();
        client.batch_execute("COMMIT").unwrap();
    });
    is_held.recv().await.unwrap();
    (let_go, thread)
}

/// Makes the limit the database's own, which is what sessions begin with.
async fn limit(url: &str, setting: &str) {
    let (url, setting) = (url.to_owned(), setting.to_owned());
    let set = move || {
        let mut client = Client::connect(&url, NoTls).unwrap();
        let name: String = client.query_one("SELECT current_database()", &[]).unwrap().get(0);
        client.batch_execute(&format!("ALTER DATABASE {name} SET {setting}")).unwrap();
    };
    tokio::task::spawn_blocking(set).await.unwrap();
}

async fn comment(test: &TestApp, text: &str) -> crate::support::Answer {
    test.send(request("PATCH", CATALOG, Some(json!({ "comment": text })))).await
}

#[test]
fn a_lock_that_another_session_keeps_is_answered_as_passing() {
    on_postgres(|url| async move {
        limit(&url, "lock_timeout = '300ms'").await;
        let test = TestApp::open(&[], Some(url.clone())).await;
        ok(&comment(&test, "before").await);
        let (let_go, other) = held(&url, "SELECT id FROM asset WHERE kind = 'catalog' FOR UPDATE").await;
        let refused = comment(&test, "meanwhile").await;
        assert_eq!((refused.status, refused.error_code()), (503, "TEMPORARILY_UNAVAILABLE"), "{refused:?}");
        let message = refused.json["message"].as_str().unwrap();
        assert!(message.contains("holds a lock") && message.contains("pg_blocking_pids"), "{message}");
        assert_eq!(ok(&test.get(CATALOG).await)["comment"], "before", "nothing was changed");
        drop(let_go);
        other.join().unwrap();
        ok(&comment(&test, "after").await);
        let listed = test.get("/api/1.0/audit-log?action=catalog.update").await;
        assert_eq!(ok(&listed)["events"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn a_statement_that_takes_too_long_is_answered_as_passing() {
    on_postgres(|url| async move {
        limit(&url, "statement_timeout = '500ms'").await;
        let test = TestApp::open(&[], Some(url.clone())).await;
        let (let_go, other) = held(&url, "LOCK TABLE asset IN ACCESS EXCLUSIVE MODE").await;
        for refused in [test.get(CATALOG).await, comment(&test, "meanwhile").await] {
            assert_eq!(
                (refused.status, refused.error_code()),
                (503, "TEMPORARILY_UNAVAILABLE"),
                "{refused:?}"
            );
            let message = refused.json["message"].as_str().unwrap();
            assert!(message.contains("took longer than its limit"), "{message}");
        }
        drop(let_go);
        other.join().unwrap();
        ok(&comment(&test, "after").await);
    });
}

static LIMITS: db::Stmt = db::Stmt::new(
    "SELECT current_setting('lock_timeout') || ' ' || current_setting('statement_timeout') || ' '
        || current_setting('idle_in_transaction_session_timeout')",
);

#[test]
fn sessions_have_limits_and_keep_shorter_ones() {
    for (own, expected) in [
        ("lock_timeout = 0", "15s 40s 1min"),
        ("lock_timeout = '1h'", "15s 40s 1min"),
        ("lock_timeout = '2s'", "2s 40s 1min"),
    ] {
        on_postgres(|url| async move {
            limit(&url, own).await;
            let test = TestApp::open(&[], Some(url)).await;
            let written = test.app.db.derive(|tx| tx.one(&LIMITS, bind![], |row| row.get(0))).await;
            let origin = db::Origin::system();
            let read = test.app.db.read(&origin, |sql| sql.one(&LIMITS, bind![], |row| row.get(0))).await;
            let found: (String, String) = (written.unwrap(), read.unwrap());
            assert_eq!(found, (expected.to_owned(), expected.to_owned()), "{own}");
        });
    }
}

static TOUCH_CLOCK: db::Stmt = db::Stmt::new("SELECT 1");

#[test]
fn a_transaction_that_a_halt_broke_off_is_made_again_and_once() {
    on_postgres(|url| async move {
        limit(&url, "idle_in_transaction_session_timeout = '200ms'").await;
        let test = TestApp::open(&[], Some(url)).await;
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        let touched: Result<i64> = test
            .system()
            .write(move |tx| {
                authorize_admin(tx, "test")?;
                let id = main_catalog(tx)?;
                let revision = asset::touch(tx, id)?;
                // As a process that is halted for a while holds its locks.
                if counted.fetch_add(1, Ordering::Relaxed) == 0 {
                    std::thread::sleep(Duration::from_millis(1_500));
                }
                tx.one(&TOUCH_CLOCK, bind![], |row| row.get::<i32>(0).map(drop))?;
                Ok(Change::Made(revision, Event::new(EventKind::CatalogUpdate).asset(id, revision)))
            })
            .await;
        assert_eq!(touched.unwrap(), 2);
        assert!(tries.load(Ordering::Relaxed) > 1, "the first try was broken off");
        make_schema(&test.system(), "after", false).await.unwrap();
    });
}
