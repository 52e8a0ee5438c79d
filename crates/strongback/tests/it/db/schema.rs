//! Stores of another schema, and who may read the files.

use std::os::unix::fs::PermissionsExt;

use strongback::{
    app, bind,
    db::{self, Location, migrate},
    error::Code,
};

use crate::support::{TestApp, config, on_every_store};

static MOVE: db::Stmt = db::Stmt::new("UPDATE schema_version SET version = version + $1 WHERE version = $2");

async fn set_schema(test: &TestApp, by: i64, from: i64) {
    let moved = test.app.db.derive(move |tx| tx.execute(&MOVE, bind![by, from])).await;
    assert_eq!(moved.unwrap(), 1);
}

/// What the commands that look at a store without serving it are told.
async fn inspected(test: &TestApp) -> strongback::error::Result<i64> {
    let location = test.app.db.location().clone();
    tokio::task::spawn_blocking(move || db::inspect(&location, migrate::version)).await.unwrap()
}

#[test]
fn a_newer_or_older_store_is_refused_in_words() {
    on_every_store(|test| async move {
        assert_eq!(inspected(&test).await.unwrap(), migrate::NEWEST);
        set_schema(&test, 1, migrate::NEWEST).await;
        let error = inspected(&test).await.unwrap_err();
        assert!(error.message().contains(&format!("has schema {}", migrate::NEWEST + 1)), "{error}");

        let url = match test.app.db.location() {
            Location::Postgres(url) => Some(url.clone()),
            Location::Sqlite(_) => None,
        };
        let TestApp { app, router, dir, .. } = test;
        drop(router);
        let db = app.db.clone();
        tokio::task::spawn_blocking(move || db.close()).await.unwrap();
        drop(app);
        let error = app::open(config(dir.path(), &[], url)).await.err().unwrap();
        assert_eq!(error.code(), Code::InvalidState);
        assert!(error.message().contains("newer one"), "{error}");
    });
    on_every_store(|test| async move {
        set_schema(&test, -migrate::NEWEST, migrate::NEWEST).await;
        let error = inspected(&test).await.unwrap_err();
        assert!(error.message().contains("Start the server of this version once"), "{error}");
    });
}

#[test]
fn files_of_the_store_are_their_owners_alone() {
    on_every_store(|test| async move {
        let data = test.dir.path().join("data");
        let mut looked_at = 0;
        for name in [
            "lock",
            "metadata.db",
            "metadata.db-wal",
            "metadata.db-shm",
            "keys/checkpoint.pem",
            "keys/secrets.key",
        ] {
            let Ok(found) = std::fs::metadata(data.join(name)) else { continue };
            assert_eq!(found.permissions().mode() & 0o077, 0, "{name}");
            looked_at += 1;
        }
        assert!(looked_at >= 2, "{looked_at}");
    });
}
