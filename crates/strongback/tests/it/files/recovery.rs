//! What a crash leaves, and how it goes.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use strongback::{
    context::Ctx,
    db::{self, Origin},
    events::operation,
    files::{self, Existing},
    objects::{ObjectId, Objects},
};

use super::{body, events_of, guard, objects, path, put, text};
use crate::support::{TestApp, on_every_store};

pub async fn open_operations(ctx: &Ctx) -> usize {
    open_ids(ctx).await.len()
}

async fn open_ids(ctx: &Ctx) -> Vec<uuid::Uuid> {
    let open = |sql: &mut db::Sql<'_>| operation::list_open(sql, i64::MAX);
    ctx.app
        .db
        .read(&Origin::system(), open)
        .await
        .unwrap()
        .into_iter()
        .map(|operation| operation.id)
        .collect()
}

/// Writes an object that no row will ever name.
async fn write_orphan(objects: &Objects, id: ObjectId) {
    let claim = objects.claim(id);
    objects.write(&claim, 100, body("orphan")).await.unwrap();
}

#[test]
fn an_upload_without_outcome_is_reverted_at_start() {
    on_every_store(|test| async move {
        let ctx = test.system();
        put(&ctx, "a", &["kept"]).await;
        // The bytes never end, and the server gives up in the middle of them.
        let endless = stream::iter([Ok(Bytes::from(vec![1; 3 << 20]))]).chain(stream::pending()).boxed();
        let (guard, name) = (guard("a"), path("lost"));
        let upload = files::put(&ctx, &guard, &name, Existing::Replaced, endless);
        assert!(tokio::time::timeout(Duration::from_millis(500), upload).await.is_err());
        // As if it had died between the bytes and the outcome.
        let ids = open_ids(&ctx).await;
        assert_eq!(ids.len(), 1);
        write_orphan(&ctx.app.objects, ObjectId::of_operation(ids[0])).await;
        assert_eq!(objects(&ctx), 2);
        drop(ctx);

        let test = test.reopen().await;
        let ctx = test.system();
        assert_eq!((open_operations(&ctx).await, objects(&ctx)), (0, 1));
        assert_eq!(text(&ctx, "a", "kept").await.as_deref(), Some("kept"));
        assert_eq!(text(&ctx, "a", "lost").await, None);
        assert_eq!(events_of(&test, "operation.revert").await, 1);
    });
}

#[test]
fn an_upload_in_parts_outlives_a_start() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let name = path("big");
        let id = files::begin(&ctx, &guard("a"), &name, Existing::Replaced, None).await.unwrap();
        files::part(&ctx, &guard("a"), id, 1, body("one")).await.unwrap();
        drop(ctx);
        let test = test.reopen().await;
        let ctx = test.system();
        files::part(&ctx, &guard("a"), id, 2, body("two")).await.unwrap();
        let given = [1, 2].map(|number| files::PartGiven { number, etag: String::new() }).to_vec();
        files::complete(&ctx, &guard("a"), id, &name, given).await.unwrap();
        assert_eq!(text(&ctx, "a", "big").await.as_deref(), Some("onetwo"));
    });
}

static ROWS: db::Stmt = db::Stmt::new("SELECT state FROM operation ORDER BY state");

async fn states(ctx: &Ctx) -> Vec<String> {
    let states = |sql: &mut db::Sql<'_>| sql.all(&ROWS, strongback::bind![], |row| row.get(0));
    ctx.app.db.read(&Origin::system(), states).await.unwrap()
}

#[test]
fn an_upload_in_one_piece_leaves_no_operation() {
    on_every_store(|test| async move {
        let ctx = test.system();
        put(&ctx, "a", &["1", "2"]).await;
        let broken = stream::iter([Err(strongback::error::Error::invalid("cut off"))]).boxed();
        assert!(files::put(&ctx, &guard("a"), &path("3"), Existing::Replaced, broken).await.is_err());
        assert_eq!(states(&ctx).await, [""; 0]);
        assert_eq!(events_of(&test, "operation.begin").await, 3);
        assert_eq!(events_of(&test, "operation.revert").await, 1);
    });
}

#[test]
fn ended_uploads_are_forgotten_in_batches_and_open_ones_are_not() {
    on_every_store(|test| async move {
        let ctx = test.system();
        for n in 0..5 {
            let name = path(&format!("{n}"));
            let id = files::begin(&ctx, &guard("a"), &name, Existing::Replaced, None).await.unwrap();
            files::part(&ctx, &guard("a"), id, 1, body("x")).await.unwrap();
            let given = vec![files::PartGiven { number: 1, etag: String::new() }];
            files::complete(&ctx, &guard("a"), id, &name, given).await.unwrap();
        }
        files::begin(&ctx, &guard("a"), &path("open"), Existing::Replaced, None).await.unwrap();
        let now = strongback::time::now_ms();
        for (before, forgotten) in [(0, 0), (now + 1, 2), (now + 1, 2), (now + 1, 1), (now + 1, 0)] {
            let forget = test.app.db.derive(move |tx| operation::forget(tx, before, 2)).await;
            assert_eq!(forget.unwrap(), forgotten);
        }
        assert_eq!(states(&ctx).await, ["open"]);
    });
}

/// How SQLite goes about forgetting; its plan does not depend on what is stored.
fn plan_of_forgetting(test: &TestApp) -> Vec<String> {
    let db::Location::Sqlite(file) = test.app.db.location() else { return Vec::new() };
    let mut texts = db::all_statements().into_iter().map(|statement| statement.text(db::Dialect::Sqlite));
    let forget = texts.find(|text| text.starts_with("DELETE FROM operation WHERE id IN")).unwrap();
    let conn = rusqlite::Connection::open(file).unwrap();
    let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {forget}")).unwrap();
    let steps = plan.query_map([0, 1], |row| row.get::<_, String>(3)).unwrap();
    steps.map(Result::unwrap).collect()
}

#[test]
fn what_is_forgotten_is_found_by_an_index() {
    on_every_store(|test| async move {
        let steps = plan_of_forgetting(&test);
        let is_sqlite = matches!(test.app.db.location(), db::Location::Sqlite(_));
        assert_eq!(steps.iter().any(|step| step.contains("operation_ended")), is_sqlite, "{steps:?}");
        assert!(!steps.iter().any(|step| step.contains("SCAN operation")), "{steps:?}");
    });
}

#[test]
fn only_what_nothing_names_is_swept() {
    on_every_store(|test| async move {
        let ctx = test.system();
        put(&ctx, "a", &["1", "2", "3"]).await;
        let id = files::begin(&ctx, &guard("a"), &path("big"), Existing::Replaced, None).await.unwrap();
        files::part(&ctx, &guard("a"), id, 1, body("part")).await.unwrap();
        for _ in 0..20 {
            write_orphan(&ctx.app.objects, ObjectId::random()).await;
        }
        let claimed = ObjectId::random();
        write_orphan(&ctx.app.objects, claimed).await;
        let claim = ctx.app.objects.claim(claimed);
        assert_eq!(files::sweep(&ctx).await.unwrap(), 20);
        assert_eq!(objects(&ctx), 5);
        drop(claim);
        assert_eq!(files::sweep(&ctx).await.unwrap(), 1);
        assert_eq!(text(&ctx, "a", "2").await.as_deref(), Some("2"));
    });
}
