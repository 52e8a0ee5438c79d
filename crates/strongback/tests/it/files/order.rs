//! Names at the end of the order in which paths are stored. No path of a client's holds U+10FFFF; where one is stored
//! all the same, it is found like any other, and what looks for it ends.

use std::time::Duration;

use strongback::{
    bind,
    catalog::authorize_admin,
    context::Ctx,
    db::{Change, Stmt},
    events::{Event, EventKind},
    files,
    objects::ObjectId,
};
use syntax::paths::ArtifactPath;

use super::{names, objects};
use crate::support::{TestApp, on_every_store, request};

const LAST: char = char::MAX;

static INSERT: Stmt = Stmt::new(
    "INSERT INTO file (area, path, object, size, sha256, created_at, created_by) VALUES ($1, $2, $3, 1, $4, 0, 1)",
);

/// Rows of files, as only a defect could make them.
async fn insert(ctx: &Ctx, area: &str, paths: Vec<String>) {
    let area = area.to_owned();
    ctx.write(move |tx| {
        authorize_admin(tx, "test")?;
        for path in &paths {
            let object = ObjectId::random().to_string();
            tx.execute(&INSERT, bind![&area, path, &object, &[7_u8; 32][..]])?;
        }
        Ok(Change::Made((), Event::new(EventKind::ArtifactPut)))
    })
    .await
    .unwrap();
}

#[test]
fn a_listing_ends_whatever_names_begin_with() {
    on_every_store(|test| async move {
        let ctx = test.system();
        // More than are read at a time, below two directories and beside files that sort around them.
        let many = |dir: &str| (0..600).map(|n| format!("{dir}/{LAST}{n:04}")).collect::<Vec<_>>();
        let last = LAST.to_string().repeat(63);
        let beside = ["d", "e!", "e", "e0", "e00"].map(|name| format!("top/{name}")).to_vec();
        let paths = [many("top/a"), many("top/c/d"), many("top"), beside, vec![format!("{last}/{last}")]];
        insert(&ctx, "a", paths.concat()).await;
        let listing = async |dir: &str, after: Option<&str>| {
            let found = tokio::time::timeout(Duration::from_mins(1), names(&ctx, "a", dir, after, 10_000));
            found.await.expect("the listing does not end").0
        };
        assert_eq!(listing("", None).await, ["top/".to_owned(), format!("{last}/")]);
        let top = listing("top", None).await;
        assert_eq!(top[..7], ["a/", "c/", "d", "e", "e!", "e0", "e00"]);
        assert_eq!(top.len(), 607);
        assert_eq!(listing("top", Some("a")).await, top[1..]);
        assert_eq!(listing("top", Some("e")).await, top[4..]);
        assert_eq!(listing("top/c", None).await, ["d/"]);
        assert_eq!(listing("top/c/d", None).await.len(), 600);
    });
}

#[test]
fn no_name_hides_in_the_root_of_an_area() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let longest = LAST.to_string().repeat(63);
        let hidden = [format!("{LAST}w"), format!("{longest}/{LAST}")];
        insert(&ctx, "run", [vec!["MLmodel".into()], hidden.to_vec()].concat()).await;
        assert_eq!(
            names(&ctx, "run", "", None, 100).await.0,
            ["MLmodel".into(), hidden[0].clone(), format!("{longest}/")]
        );
        let pinned = async |area: &'static str| {
            let sealed = ctx.write(move |tx| {
                authorize_admin(tx, "test")?;
                Ok(Change::Nothing(files::seal(tx, area)?))
            });
            sealed.await.unwrap()
        };
        let of_run = pinned("run").await;
        assert_eq!(of_run.files, 3);
        let copied = ctx.write(|tx| {
            authorize_admin(tx, "test")?;
            let count = files::copy(tx, "run", &ArtifactPath::root(), "version")?;
            Ok(Change::Made(count, Event::new(EventKind::ModelVersionCreate)))
        });
        assert_eq!((copied.await.unwrap(), pinned("version").await), (3, of_run));
        for (area, left) in [("run", 0), ("version", 3)] {
            let cleared = ctx.write(move |tx| {
                authorize_admin(tx, "test")?;
                let garbage = files::clear(tx, area)?;
                Ok(Change::Made(garbage.len(), Event::new(EventKind::ModelVersionDelete)))
            });
            assert_eq!((cleared.await.unwrap(), pinned(area).await.files), (left, 0), "{area}");
        }
    });
}

/// The name as a client sends it, and where the server says what is wrong with it.
#[test]
fn a_name_with_a_character_that_is_none_is_refused_and_named() {
    on_every_store(|test: TestApp| async move {
        let made =
            test.post("/api/2.0/mlflow/runs/create", serde_json::json!({ "experiment_id": "0" })).await;
        let uri = made.json["run"]["info"]["artifact_uri"].as_str().unwrap();
        let base = uri.replacen("mlflow-artifacts:/", "/api/2.0/mlflow-artifacts/artifacts/", 1);
        for (name, shown) in [
            ("%f4%8f%bf%bfhidden.txt", "U+10FFFF"),
            ("d/a%ef%bf%be", "U+FFFE"),
            ("%ef%b7%90", "U+FDD0"),
            ("d/%25f4%258f%25bf%25bf", "U+10FFFF"),
        ] {
            let refused = test.send(request("PUT", &format!("{base}/{name}"), None)).await;
            assert_eq!((refused.status, refused.error_code()), (400, "INVALID_PARAMETER_VALUE"), "{name}");
            let message = refused.json["message"].as_str().unwrap();
            assert!(message.contains(shown) && message.contains("rename the file"), "{message}");
        }
        assert_eq!(objects(&test.system()), 0);
    });
}
