//! The store: statements, groups, replay, migrations.

mod endless;
mod ids;
mod limits;
mod outcome;
mod plans;
mod schema;
mod stored;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use strongback::{
    bind,
    catalog::{
        asset::{self, Kind, NewAsset},
        authorize_admin, bootstrap, principal,
    },
    context::Ctx,
    db::{self, Change, Sql},
    error::{Code, Error, Result},
    events::{Event, EventKind},
};

use crate::support::{TestApp, on_every_store};

#[test]
fn every_statement_prepares_on_both_databases() {
    on_every_store(|test| async move {
        for statement in db::all_statements() {
            let text = statement.text(db::Dialect::Sqlite).to_owned();
            test.app.db.prepare(statement).await.unwrap_or_else(|error| panic!("{text}\n{error:?}"));
        }
    });
}

/// A misspelt token, which must not become nothing.
static MISSPELT: db::Stmt = db::Stmt::new("SELECT slot FROM writer {lok}");

#[test]
fn a_statement_with_an_unknown_token_is_refused_by_both_databases() {
    on_every_store(|test| async move {
        let error = test.app.db.prepare(&MISSPELT).await.unwrap_err();
        assert_eq!(error.code(), Code::InternalError, "{error:?}");
    });
}

/// Makes a schema below the catalog `main`; `fail` makes it fail after its first write.
async fn make_schema(ctx: &Ctx, leaf: &str, fail: bool) -> Result<i64> {
    let leaf = leaf.to_owned();
    ctx.write(move |tx| {
        authorize_admin(tx, "test")?;
        let parent = main_catalog(tx)?;
        if asset::find(tx, Some(parent), Kind::Schema, &leaf)?.is_some() {
            return Err(Error::exists(format!("{leaf} exists")));
        }
        let new = NewAsset {
            parent_id: Some(parent),
            kind: Kind::Schema,
            leaf: &leaf,
            leaf_key: &leaf,
            wire_name: None,
            owner_id: principal::ADMINS,
            comment: None,
            properties: None,
        };
        let made = asset::create(tx, &new)?;
        if fail {
            return Err(Error::invalid("failed after the write"));
        }
        Ok(Change::Made(made.id, Event::new(EventKind::SchemaCreate).asset(made.id, made.revision)))
    })
    .await
}

fn main_catalog(sql: &mut Sql<'_>) -> Result<i64> {
    let root = bootstrap::metastore(sql)?;
    Ok(asset::find(sql, Some(root.id), Kind::Catalog, "main")?.unwrap().id)
}

async fn schemas(test: &TestApp) -> Vec<String> {
    let ctx = test.system();
    ctx.read(|sql| {
        authorize_admin(sql, "test")?;
        let parent = main_catalog(sql)?;
        Ok(asset::list(sql, parent, Kind::Schema)?.into_iter().map(|schema| schema.leaf).collect())
    })
    .await
    .unwrap()
}

#[test]
fn one_failing_write_takes_none_of_its_group_with_it() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let writes = (0..40).map(|n| {
            let ctx = ctx.clone();
            tokio::spawn(async move { make_schema(&ctx, &format!("s{n:02}"), n % 7 == 3).await.is_ok() })
        });
        let mut made = 0;
        for write in writes.collect::<Vec<_>>() {
            made += usize::from(write.await.unwrap());
        }
        let expected: Vec<String> = std::iter::once("default".to_owned())
            .chain((0..40).filter(|n| n % 7 != 3).map(|n| format!("s{n:02}")))
            .collect();
        assert_eq!(schemas(&test).await, expected);
        assert_eq!(made, expected.len() - 1);
        let listed = test.get("/api/1.0/audit-log?action=schema.create&max_results=1000").await;
        assert_eq!(
            listed.json["events"].as_array().unwrap().len(),
            made,
            "one event a write, none for the failed"
        );
    });
}

#[test]
fn the_same_name_at_the_same_moment_is_given_once() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let attempts: Vec<_> = (0..16)
            .map(|_| {
                let ctx = ctx.clone();
                tokio::spawn(async move { make_schema(&ctx, "same", false).await })
            })
            .collect();
        let mut won = 0;
        for attempt in attempts {
            match attempt.await.unwrap() {
                Ok(_) => won += 1,
                Err(error) => assert_eq!(error.code(), Code::ResourceAlreadyExists, "{error:?}"),
            }
        }
        assert_eq!(won, 1);
    });
}

#[test]
fn a_change_without_event_or_authorisation_does_not_commit() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let silent: Result<()> = ctx
            .write(|tx| {
                authorize_admin(tx, "test")?;
                let parent = main_catalog(tx)?;
                asset::touch(tx, parent)?;
                Ok(Change::Nothing(()))
            })
            .await;
        assert!(silent.unwrap_err().cause_chain().unwrap().contains("without an event"));
        let unguarded: Result<()> = ctx
            .write(|tx| {
                let parent = main_catalog(tx)?;
                asset::touch(tx, parent)?;
                Ok(Change::Made((), Event::new(EventKind::CatalogUpdate)))
            })
            .await;
        assert!(unguarded.unwrap_err().cause_chain().unwrap().contains("without an authorisation"));
        let revision = ctx
            .read(|sql| {
                authorize_admin(sql, "test")?;
                let id = main_catalog(sql)?;
                Ok(asset::get(sql, id)?.unwrap().revision)
            })
            .await
            .unwrap();
        assert_eq!(revision, 1, "nothing of it was kept");
        let unguarded_read: Result<i64> = ctx.read(main_catalog).await;
        assert_eq!(unguarded_read.unwrap_err().code(), Code::InternalError);
    });
}

#[test]
fn a_refused_look_at_a_list_allows_no_change() {
    on_every_store(|test| async move {
        let origin = db::Origin { caller: strongback::auth::Caller::nobody(), ..db::Origin::system() };
        let stranger = Ctx { app: Arc::clone(&test.app), origin };
        let outcome: Result<()> = stranger
            .write(|tx| {
                let id = main_catalog(tx)?;
                assert!(!strongback::catalog::authorize::is_allowed(
                    tx,
                    strongback::catalog::Action::Edit,
                    id
                )?);
                asset::touch(tx, id)?;
                Ok(Change::Made((), Event::new(EventKind::CatalogUpdate)))
            })
            .await;
        assert!(outcome.unwrap_err().cause_chain().unwrap().contains("without an authorisation"));
    });
}

#[test]
fn a_panicking_write_answers_and_the_writer_lives_on() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let panicked: Result<()> = ctx.write(|_| panic!("as a defect would")).await;
        assert_eq!(panicked.unwrap_err().code(), Code::InternalError);
        make_schema(&ctx, "after", false).await.unwrap();
    });
}

#[test]
fn a_read_cannot_write() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let outcome: Result<i64> = ctx
            .read(|sql| {
                authorize_admin(sql, "test")?;
                let id = main_catalog(sql)?;
                asset::touch(sql, id)
            })
            .await;
        assert_eq!(outcome.unwrap_err().code(), Code::InternalError);
    });
}

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    on_every_store(|test| async move {
        make_schema(&test.system(), "kept", false).await.unwrap();
        let test = test.reopen().await;
        assert_eq!(schemas(&test).await, ["default", "kept"]);
        make_schema(&test.system(), "later", false).await.unwrap();
        let listed = test.get("/api/1.0/audit-log?action=schema").await;
        assert_eq!(listed.json["events"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn writers_that_wait_are_served_in_few_groups() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let done = Arc::new(AtomicUsize::new(0));
        let writes: Vec<_> = (0..300)
            .map(|n| {
                let (ctx, done) = (ctx.clone(), Arc::clone(&done));
                tokio::spawn(async move {
                    make_schema(&ctx, &format!("g{n:03}"), false).await.unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect();
        for write in writes {
            write.await.unwrap();
        }
        assert_eq!(done.load(Ordering::Relaxed), 300);
        let blocks: i64 = ctx
            .read(|sql| {
                authorize_admin(sql, "test")?;
                sql.one(&BLOCKS, bind![], |row| row.get(0))
            })
            .await
            .unwrap();
        assert!(blocks < 250, "{blocks} blocks for 300 writes: nothing was grouped");
    });
}

static BLOCKS: db::Stmt = db::Stmt::new("SELECT COUNT(*) FROM event_block");
