//! Numbers of rows: none is given twice, since events and the index name by number what may be gone.

use strongback::{bind, context::Ctx, db};

use super::make_schema;
use crate::support::on_every_store;

static PURGE: db::Stmt = db::Stmt::new("DELETE FROM asset WHERE id = $1");
/// A row of each of the other tables whose rows are numbered and refer to nothing that must be made first.
static SEGMENT: db::Stmt = db::Stmt::new(
    "INSERT INTO run_segment (experiment_id, first_run, last_run, runs, bytes) VALUES (1, 1, 1, 1, 1) RETURNING id",
);
static SEGMENT_PURGE: db::Stmt = db::Stmt::new("DELETE FROM run_segment WHERE id = $1");
static NODE: db::Stmt = db::Stmt::new(
    "INSERT INTO lineage_node (kind, asset_id, key, name, detail) VALUES ('path', NULL, 'k', 'k', '{}') RETURNING id",
);
static NODE_PURGE: db::Stmt = db::Stmt::new("DELETE FROM lineage_node WHERE id = $1");

async fn purge(ctx: &Ctx, statement: &'static db::Stmt, id: i64) {
    let purged = ctx.app.db.derive(move |tx| tx.execute(statement, bind![id])).await;
    assert_eq!(purged.unwrap(), 1);
}

async fn insert(ctx: &Ctx, statement: &'static db::Stmt) -> i64 {
    ctx.app.db.derive(move |tx| tx.one(statement, bind![], |row| row.get(0))).await.unwrap()
}

#[test]
fn a_number_is_never_given_again_after_its_row_was_purged() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let first = make_schema(&ctx, "first", false).await.unwrap();
        purge(&ctx, &PURGE, first).await;
        let second = make_schema(&ctx, "second", false).await.unwrap();
        assert!(second > first, "{second} after {first}");
        for (statement, purged) in [(&SEGMENT, &SEGMENT_PURGE), (&NODE, &NODE_PURGE)] {
            let former = insert(&ctx, statement).await;
            purge(&ctx, purged, former).await;
            let later = insert(&ctx, statement).await;
            assert!(later > former, "{later} after {former}");
        }
        purge(&ctx, &PURGE, second).await;
        drop(ctx);
        let test = test.reopen().await;
        let third = make_schema(&test.system(), "third", false).await.unwrap();
        assert!(third > second, "{third} after {second}, across a restart");
    });
}
