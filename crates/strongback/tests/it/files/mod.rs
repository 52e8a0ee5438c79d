//! The engine of files on both stores: what is there, what goes, and what a crash leaves.

mod models;
mod order;
mod recovery;
mod rights;
mod uploads;

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use strongback::{
    catalog::{authorize_admin, bootstrap},
    context::Ctx,
    db::{Change, Origin},
    error::{Code, Error, Result},
    events::{Event, EventKind},
    files::{self, Existing, Guard, PartGiven, Place},
};
use syntax::paths::ArtifactPath;

use crate::support::{TestApp, on_every_store};

/// Lets administrators use an area.
pub fn guard(area: &str) -> Guard {
    let area = area.to_owned();
    Arc::new(move |sql| {
        authorize_admin(sql, "test")?;
        let asset = bootstrap::metastore(sql)?.id;
        Ok(Place { area: area.clone(), asset, subject: "test".into() })
    })
}

pub fn path(text: &str) -> ArtifactPath {
    ArtifactPath::parse(text).unwrap()
}

pub fn body(text: &str) -> BoxStream<'static, Result<Bytes>> {
    stream::iter([Ok(Bytes::copy_from_slice(text.as_bytes()))]).boxed()
}

/// Stores small files in an area.
pub async fn put(ctx: &Ctx, area: &str, names: &[&str]) {
    for name in names {
        files::put(ctx, &guard(area), &path(name), Existing::Replaced, body(name)).await.unwrap();
    }
}

/// The text of a file; `None` if there is none.
pub async fn text(ctx: &Ctx, area: &str, name: &str) -> Option<String> {
    let (area, name) = (area.to_owned(), path(name));
    let find = move |sql: &mut strongback::db::Sql<'_>| files::find(sql, &area, &name);
    let file = ctx.app.db.read(&Origin::system(), find).await.unwrap()?;
    let bytes = ctx.app.objects.read(file.object, 0..file.size).await.unwrap()?;
    Some(String::from_utf8(bytes.try_collect::<Vec<Bytes>>().await.unwrap().concat()).unwrap())
}

/// Names in a directory, directories with a slash; and whether there are more.
async fn names(ctx: &Ctx, area: &str, dir: &str, after: Option<&str>, limit: usize) -> (Vec<String>, bool) {
    let (area, after) = (area.to_owned(), after.map(str::to_owned));
    let dir = ArtifactPath::parse_directory(dir).unwrap();
    let list =
        move |sql: &mut strongback::db::Sql<'_>| files::list(sql, &area, &dir, after.as_deref(), limit);
    let (entries, more) = ctx.app.db.read(&Origin::system(), list).await.unwrap();
    let shown = |entry: files::Entry| if entry.is_dir() { entry.name + "/" } else { entry.name };
    (entries.into_iter().map(shown).collect(), more)
}

/// How many objects the data directory holds.
pub fn objects(ctx: &Ctx) -> usize {
    (0..=u8::MAX).map(|shard| ctx.app.objects.disk().list_shard(shard).unwrap().len()).sum()
}

#[test]
fn a_file_is_replaced_and_its_object_goes() {
    on_every_store(|test| async move {
        let ctx = test.system();
        files::put(&ctx, &guard("a"), &path("x/y"), Existing::Replaced, body("long first text"))
            .await
            .unwrap();
        let file =
            files::put(&ctx, &guard("a"), &path("x/y"), Existing::Replaced, body("short")).await.unwrap();
        assert_eq!((file.size, text(&ctx, "a", "x/y").await.as_deref()), (5, Some("short")));
        assert_eq!(objects(&ctx), 1);
        assert_eq!(text(&ctx, "b", "x/y").await, None);
    });
}

#[test]
fn a_name_is_a_file_or_a_directory() {
    on_every_store(|test| async move {
        let ctx = test.system();
        put(&ctx, "a", &["dir/file"]).await;
        for (name, why) in [("dir", "it is a directory"), ("dir/file/below/it", "'dir/file' is a file")] {
            let error =
                files::put(&ctx, &guard("a"), &path(name), Existing::Replaced, body("")).await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidParameterValue);
            assert!(error.message().contains(why), "{error}");
        }
        assert_eq!(objects(&ctx), 1);
    });
}

/// Several writers store at once on PostgreSQL: whoever comes second is refused, and never are both there.
#[test]
fn a_name_is_never_both_although_both_come_at_once() {
    on_every_store(|test| async move {
        let ctx = test.system();
        for round in 0..20 {
            let area = format!("round/{round}");
            let (file, dir) = (guard(&area), guard(&area));
            let (name, below, deeper) = (path("a"), path("a/b"), path("a/c/d"));
            let (file, below, deeper) = tokio::join!(
                files::put(&ctx, &file, &name, Existing::Replaced, body("file")),
                files::put(&ctx, &dir, &below, Existing::Replaced, body("below")),
                files::put(&ctx, &dir, &deeper, Existing::Replaced, body("deeper")),
            );
            // What lies beside each other does not exclude each other.
            assert_eq!(below.is_ok(), deeper.is_ok(), "{round}: {below:?} {deeper:?}");
            assert_ne!(file.is_ok(), below.is_ok(), "{round}: {file:?} {below:?}");
            let refused = file.err().or(below.err()).unwrap();
            assert_eq!(refused.code(), Code::InvalidParameterValue, "{round}: {refused}");
        }
    });
}

#[test]
fn directories_are_read_off_paths_in_pages() {
    on_every_store(|test| async move {
        let ctx = test.system();
        put(&ctx, "a", &["b.txt", "b/1", "b/2/3", "b0", "bb", "ü/x", "a"]).await;
        let all = ["a", "b.txt", "b/", "b0", "bb", "ü/"];
        assert_eq!(names(&ctx, "a", "", None, 100).await, (all.map(str::to_owned).to_vec(), false));
        assert_eq!(names(&ctx, "a", "b", None, 100).await.0, ["1", "2/"]);
        assert_eq!(names(&ctx, "a", "b.txt", None, 100).await, (vec![], false));
        assert_eq!(names(&ctx, "a", "none", None, 100).await, (vec![], false));
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let (page, more) = names(&ctx, "a", "", after.as_deref(), 1).await;
            after = page.last().map(|name| name.trim_end_matches('/').to_owned());
            paged.extend(page);
            if !more {
                break;
            }
        }
        assert_eq!(paged, all);
    });
}

#[test]
fn a_tree_goes_whole_and_its_neighbours_stay() {
    on_every_store(|test| async move {
        let ctx = test.system();
        put(&ctx, "a", &["t/1", "t/u/2", "t.txt", "t0", "s"]).await;
        assert_eq!(files::remove(&ctx, &guard("a"), &path("t")).await.unwrap(), 2);
        assert_eq!(files::remove(&ctx, &guard("a"), &path("t")).await.unwrap(), 0);
        assert_eq!(files::remove(&ctx, &guard("a"), &path("s")).await.unwrap(), 1);
        assert_eq!(names(&ctx, "a", "", None, 100).await.0, ["t.txt", "t0"]);
        assert_eq!(objects(&ctx), 2);
    });
}

#[test]
fn a_shared_object_goes_with_its_last_name() {
    on_every_store(|test| async move {
        let ctx = test.system();
        put(&ctx, "run", &["model/MLmodel", "model/data/w", "other"]).await;
        let copied = ctx
            .write(|tx| {
                authorize_admin(tx, "test")?;
                let count = files::copy(tx, "run", &path("model"), "version")?;
                Ok(Change::Made(count, Event::new(EventKind::ModelVersionCreate)))
            })
            .await;
        assert_eq!(copied.unwrap(), 2);
        assert_eq!(text(&ctx, "version", "data/w").await.as_deref(), Some("model/data/w"));
        assert_eq!(objects(&ctx), 3);
        files::remove(&ctx, &guard("run"), &path("model")).await.unwrap();
        assert_eq!(text(&ctx, "version", "MLmodel").await.as_deref(), Some("model/MLmodel"));
        assert_eq!(objects(&ctx), 3);
        let garbage = ctx
            .write(|tx| {
                authorize_admin(tx, "test")?;
                Ok(Change::Made(files::clear(tx, "version")?, Event::new(EventKind::ModelVersionDelete)))
            })
            .await
            .unwrap();
        ctx.app.objects.remove(garbage).await;
        assert_eq!(objects(&ctx), 1);
    });
}

#[test]
fn a_refused_or_broken_upload_leaves_nothing() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let nobody: Guard = Arc::new(|_| Err(Error::denied("no")));
        let error = files::put(&ctx, &nobody, &path("x"), Existing::Replaced, body("x")).await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied);
        let broken =
            stream::iter([Ok(Bytes::from_static(b"half")), Err(Error::new(Code::BadRequest, "broke off"))]);
        let error =
            files::put(&ctx, &guard("a"), &path("x"), Existing::Replaced, broken.boxed()).await.unwrap_err();
        assert_eq!(error.message(), "broke off");
        assert_eq!((text(&ctx, "a", "x").await, objects(&ctx)), (None, 0));
        assert_eq!(recovery::open_operations(&ctx).await, 0);
    });
}

#[test]
fn parts_become_a_file_once() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let (guard, name) = (guard("a"), path("big"));
        let id = files::begin(&ctx, &guard, &name, Existing::Replaced, None).await.unwrap();
        for (number, text) in [(3, "three"), (1, "wrong"), (2, "two"), (1, "one")] {
            files::part(&ctx, &guard, id, number, body(text)).await.unwrap();
        }
        assert_eq!(objects(&ctx), 3);
        let given = || (1..=3).map(|number| PartGiven { number, etag: String::new() }).collect::<Vec<_>>();
        let elsewhere = files::complete(&ctx, &super::files::guard("b"), id, &name, given()).await;
        assert_eq!(elsewhere.unwrap_err().code(), Code::ResourceDoesNotExist);
        let (first, second) = tokio::join!(
            files::complete(&ctx, &guard, id, &name, given()),
            files::complete(&ctx, &guard, id, &name, given()),
        );
        let again = files::complete(&ctx, &guard, id, &name, given()).await.unwrap();
        assert_eq!(first.unwrap().object, again.object);
        assert_eq!(second.unwrap().object, again.object);
        assert_eq!(text(&ctx, "a", "big").await.as_deref(), Some("onetwothree"));
        assert_eq!(objects(&ctx), 1);
        let late = files::part(&ctx, &guard, id, 4, body("late")).await.unwrap_err();
        assert_eq!(late.code(), Code::ResourceDoesNotExist);
    });
}

#[test]
fn an_aborted_upload_is_gone() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let (guard, name) = (guard("a"), path("big"));
        let id = files::begin(&ctx, &guard, &name, Existing::Replaced, None).await.unwrap();
        files::part(&ctx, &guard, id, 1, body("one")).await.unwrap();
        files::abort(&ctx, &guard, id).await.unwrap();
        files::abort(&ctx, &guard, id).await.unwrap();
        assert_eq!(objects(&ctx), 0);
        let given = vec![PartGiven { number: 1, etag: String::new() }];
        let error = files::complete(&ctx, &guard, id, &name, given).await.unwrap_err();
        assert_eq!(error.code(), Code::ResourceDoesNotExist);
        assert_eq!(events_of(&test, "upload.abort").await, 1);
    });
}

/// How many events of a kind there are.
pub async fn events_of(test: &TestApp, action: &str) -> usize {
    let answer = test.get(&format!("/api/1.0/audit-log?action={action}")).await;
    answer.json["events"].as_array().unwrap().len()
}
