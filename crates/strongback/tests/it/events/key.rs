//! Whose key signs: a store belongs to one data directory, and slots are not added by every start.

use std::time::Duration;

use strongback::{app, bind, db, error::Code};
use testkit::{
    process::Launch,
    server::{Server, strongback_binary},
};

use crate::support::{TestApp, config, on_postgres};

static SLOTS: db::Stmt = db::Stmt::new("SELECT COUNT(*) FROM writer");

#[test]
fn a_store_takes_no_other_data_directory_until_it_is_adopted() {
    on_postgres(|url| async move {
        let test = TestApp::open(&[], Some(url.clone())).await;
        let other = tempfile::tempdir().unwrap();
        let error = app::open(config(other.path(), &[], Some(url.clone()))).await.err().unwrap();
        assert_eq!(error.code(), Code::InvalidState);
        assert!(error.message().contains("belongs to another data directory"), "{error}");
        assert!(error.message().contains("adopt-key"), "the remedy is named: {error}");

        let error = app::adopt(config(other.path(), &[], Some(url.clone()))).await.unwrap_err();
        assert!(error.message().contains("A server of the other data directory"), "it runs: {error}");
        let db = test.app.db.clone();
        tokio::task::spawn_blocking(move || db.close()).await.unwrap();

        assert!(app::adopt(config(other.path(), &[], Some(url.clone()))).await.unwrap());
        assert!(!app::adopt(config(other.path(), &[], Some(url.clone()))).await.unwrap(), "it is done");
        let successor = app::open(config(other.path(), &[], Some(url.clone()))).await.unwrap();
        let router = strongback::router::build(&successor);
        let successor = TestApp::of(successor, router, other, Some(url.clone()));
        let listed = successor.get("/api/1.0/audit-log?action=signing_key").await;
        assert_eq!(listed.json["events"][0]["action"], "signing_key.adopt", "{listed:?}");
        let TestApp { app, router, dir, .. } = test;
        drop((app, router));
        let error = app::open(config(dir.path(), &[], Some(url))).await.err().unwrap();
        assert!(error.message().contains("belongs to another"), "the former one is out: {error}");
    });
}

#[test]
fn starting_again_after_a_kill_adds_no_slots() {
    on_postgres(|url| async move {
        let binary = strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap();
        let launch = Launch::strongback(binary, Some(&url));
        let counted = tokio::task::spawn_blocking(move || {
            let mut server = Server::start(launch).unwrap();
            for _ in 0..3 {
                server.kill9().unwrap();
                assert!(server.restart().unwrap() < Duration::from_secs(30));
            }
            let location = db::Location::Postgres(url);
            db::inspect(&location, |sql| sql.one(&SLOTS, bind![], |row| row.get::<i64>(0))).unwrap()
        });
        assert_eq!(counted.await.unwrap(), 4);
    });
}
