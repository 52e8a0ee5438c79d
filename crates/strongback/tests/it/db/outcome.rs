//! What a caller is told when a connection breaks: never that nothing happened when something did.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use strongback::{
    auth::Caller,
    bind,
    catalog::{asset, authorize_admin},
    db::{self, Change, Location, Origin},
    error::{Code, Result},
    events::{Event, EventKind, slots},
};
use testkit::relay::{Loss, Relay};

use super::{make_schema, schemas};
use crate::support::{TestApp, on_every_store, on_postgres};

async fn events(test: &TestApp) -> usize {
    let listed = test.get("/api/1.0/audit-log?action=schema.create&max_results=1000").await;
    listed.json["events"].as_array().unwrap().len()
}

#[test]
fn a_commit_whose_answer_is_lost_is_found_out_and_made_once() {
    for loss in [Loss::Answer, Loss::Question] {
        on_postgres(|url| async move {
            let (relay, url) = Relay::to(&url).unwrap();
            let test = TestApp::open(&[], Some(url)).await;
            relay.lose_next_commit(loss);
            make_schema(&test.system(), "once", false).await.unwrap();
            assert_eq!(relay.losses(), 1, "{loss:?}");
            assert_eq!(
                (schemas(&test).await, events(&test).await),
                (vec!["default".into(), "once".into()], 1)
            );
            make_schema(&test.system(), "later", false).await.unwrap();
        });
    }
}

#[test]
fn a_group_whose_answer_is_lost_is_not_made_again() {
    on_postgres(|url| async move {
        let (relay, url) = Relay::to(&url).unwrap();
        let test = TestApp::open(&[], Some(url)).await;
        for loss in [Loss::Answer, Loss::Question, Loss::Answer] {
            relay.lose_next_commit(loss);
            let before = events(&test).await;
            let writes = (0..60).map(|n| {
                let (ctx, name) = (test.system(), format!("{loss:?}{before}x{n}"));
                tokio::spawn(async move { make_schema(&ctx, &name, false).await })
            });
            for write in writes.collect::<Vec<_>>() {
                write.await.unwrap().unwrap();
            }
            assert_eq!(events(&test).await, before + 60);
        }
        assert_eq!(relay.losses(), 3);
    });
}

/// As a restart of PostgreSQL does, or a firewall.
async fn drop_connections(url: &str) {
    let url = url.to_owned();
    let drop_all = move || {
        let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
        let dropped = client.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
            &[],
        );
        assert!(!dropped.unwrap().is_empty());
    };
    tokio::task::spawn_blocking(drop_all).await.unwrap();
}

#[test]
fn dropped_connections_fail_no_request() {
    on_postgres(|url| async move {
        let test = TestApp::open(&[], Some(url.clone())).await;
        for round in 0..3 {
            make_schema(&test.system(), &format!("s{round}"), false).await.unwrap();
            assert_eq!(schemas(&test).await.len(), round + 2 + 4 * round);
            drop_connections(&url).await;
            // Reads and writes at once, so that each of the connections meets it.
            let asked = (0..8).map(|n| {
                let (ctx, name) = (test.system(), format!("t{round}x{n}"));
                tokio::spawn(async move { make_schema(&ctx, &name, n % 2 == 0).await })
            });
            let read = test.get("/api/2.1/unity-catalog/catalogs").await;
            assert_eq!(read.status, 200, "{read:?}");
            for (n, outcome) in asked.collect::<Vec<_>>().into_iter().enumerate() {
                let outcome = outcome.await.unwrap();
                assert_eq!(outcome.is_ok(), n % 2 != 0, "{outcome:?}");
                if let Err(error) = outcome {
                    assert_eq!(error.code(), Code::InvalidParameterValue, "{error:?}");
                }
            }
            assert_eq!(schemas(&test).await.len(), round + 2 + 4 * (round + 1));
        }
    });
}

/// What a writer does first after a pause is to renew its lease, and that meets the dropped connection.
#[test]
fn connections_dropped_while_nobody_wrote_fail_no_request() {
    on_postgres(|url| async move {
        let location = Location::Postgres(url.clone());
        // Every write finds that it is time to renew.
        let open = move || db::Db::open_renewing(&location, "another", Duration::ZERO).unwrap();
        let db = tokio::task::spawn_blocking(open).await.unwrap();
        for round in 1..=3 {
            drop_connections(&url).await;
            let writes = (0..8).map(|_| {
                let db = db.clone();
                tokio::spawn(async move { db.derive(|tx| slots::mark(tx, 1)).await })
            });
            for write in writes.collect::<Vec<_>>() {
                write.await.unwrap().unwrap_or_else(|error| panic!("round {round}: {error:?}"));
            }
        }
        tokio::task::spawn_blocking(move || db.close()).await.unwrap();
    });
}

#[test]
fn a_write_that_nobody_waits_for_any_more_is_not_begun() {
    on_every_store(|test| async move {
        // Every writer is busy until it is told to go on.
        let writers = if matches!(test.app.db.location(), Location::Sqlite(_)) { 1 } else { 4 };
        let (go, mut busy) = (tokio::sync::watch::channel(false), Vec::new());
        let begun = Arc::new(AtomicUsize::new(0));
        for n in 1..=writers {
            let (db, stopped, counted) = (test.app.db.clone(), go.1.clone(), Arc::clone(&begun));
            busy.push(tokio::spawn(async move {
                db.derive(move |_| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    while !*stopped.borrow() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Ok(())
                })
                .await
            }));
            while begun.load(Ordering::Relaxed) < n {
                tokio::task::yield_now().await;
            }
        }
        let ctx = test.system();
        let given_up = tokio::time::timeout(Duration::from_millis(300), make_schema(&ctx, "given_up", false));
        assert!(given_up.await.is_err(), "no writer was free");
        go.0.send(true).unwrap();
        for each in busy {
            each.await.unwrap().unwrap();
        }
        make_schema(&ctx, "after", false).await.unwrap();
        assert_eq!(schemas(&test).await, ["after", "default"]);
    });
}

/// Panics when it is thrown away, which is outside of what a write is guarded by.
struct Bomb;
impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "as a defect would");
    }
}

#[test]
fn a_writer_outlives_a_panic_beside_its_writes() {
    on_every_store(|test| async move {
        for round in 0..5 {
            let bomb = Bomb;
            let origin = Origin { caller: Caller::system(), ..Origin::system() };
            let outcome: Result<()> = test
                .app
                .db
                .write(&origin, move |_| {
                    let _ = &bomb;
                    Ok(Change::Nothing(()))
                })
                .await;
            assert!(outcome.is_ok(), "it was answered before: {outcome:?}");
            make_schema(&test.system(), &format!("s{round}"), false).await.unwrap();
        }
        assert_eq!(test.get("/ready").await.status, 200);
        let verified = test.get("/api/1.0/audit-log?action=schema.create").await;
        assert_eq!(verified.json["events"].as_array().unwrap().len(), 5);
    });
}

static TAKEN: db::Stmt =
    db::Stmt::new("INSERT INTO principal (id, kind, name, created_at) VALUES (1, 'user', 'twice', 0)");

#[test]
fn a_write_that_goes_on_after_a_failed_statement_is_not_acknowledged() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let outcome: Result<()> = ctx
            .write(|tx| {
                authorize_admin(tx, "test")?;
                let parent = super::main_catalog(tx)?;
                asset::touch(tx, parent)?;
                // As a defect would: PostgreSQL answers the COMMIT that follows with a silent rollback.
                let _ = tx.execute(&TAKEN, bind![]);
                Ok(Change::Made((), Event::new(EventKind::CatalogUpdate)))
            })
            .await;
        assert!(outcome.unwrap_err().cause_chain().unwrap().contains("after a failed statement"));
        let listed = test.get("/api/1.0/audit-log?action=catalog.update").await;
        assert_eq!(listed.json["events"].as_array().unwrap().len(), 0);
        make_schema(&ctx, "after", false).await.unwrap();
    });
}

static STRANGERS: db::Stmt = db::Stmt::new(
    "INSERT INTO event_block (slot, n, previous_hash, hash, entries, first_at, last_at, body, details)
     SELECT slot, n + 1, hash, hash, entries, first_at, last_at, body, details FROM event_block b
     WHERE n = (SELECT MAX(n) FROM event_block WHERE slot = b.slot)",
);

#[test]
fn writers_whose_slot_was_written_by_another_go_on_behind_it() {
    on_postgres(|url| async move {
        let test = TestApp::open(&[], Some(url)).await;
        for round in 0..4 {
            for n in 0..8 {
                make_schema(&test.system(), &format!("s{round}x{n}"), false).await.unwrap();
            }
            test.app.db.derive(|tx| tx.execute(&STRANGERS, bind![]).map(|_| ())).await.unwrap();
        }
        let writes = (0..40).map(|n| {
            let ctx = test.system();
            tokio::spawn(async move { make_schema(&ctx, &format!("t{n}"), false).await })
        });
        for write in writes.collect::<Vec<_>>() {
            write.await.unwrap().unwrap();
        }
    });
}
