//! What was broken off between intent, commit and outcome, and what somebody else committed in between.

use std::{sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use lake::{
    arrow::{
        array::{Int64Array, RecordBatch},
        datatypes::{DataType, Field, Schema},
    },
    commit::Mode,
    decode::{Format, Source},
    import::{Import, Quarantine},
    schema::Declared,
    table::Mark,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use strongback::{
    catalog::{Action, authorize_admin},
    db::{Change, Origin},
    events::operation,
    tables::{
        inside::{self, Batch},
        managed::{self, Managed},
    },
};
use uuid::Uuid;

use super::{NAME, batch, sql, versions};
use crate::{
    catalog::prod_risk,
    support::{TestApp, ok, on_every_store, request},
};

async fn table(test: &TestApp, name: &str) -> Managed {
    let name = managed::parse(name).unwrap();
    test.system().read(move |sql| managed::get(sql, &name, Action::Edit)).await.unwrap()
}

fn place(table: &Managed) -> Value {
    json!({ "asset": table.asset.id, "table": table.table.0, "version": table.newest.version })
}

/// An intent that is stored, as a process leaves it that dies behind it.
async fn intend(test: &TestApp, kind: &'static str, intent: Value) -> Uuid {
    test.system()
        .write(move |tx| {
            authorize_admin(tx, "begin operations")?;
            let (id, event) = operation::begin(tx, kind, &intent)?;
            Ok(Change::Made(id, event))
        })
        .await
        .unwrap()
}

async fn open_operations(test: &TestApp) -> usize {
    let open = |sql: &mut strongback::db::Sql<'_>| operation::list_open(sql, i64::MAX);
    test.app.db.read(&Origin::system(), open).await.unwrap().len()
}

/// What is begun ends by itself.
async fn all_ended(test: &TestApp) {
    let ended = async {
        while open_operations(test).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("an operation stays open");
}

fn mark(operation: Uuid) -> Mark {
    Mark { operation, notes: Vec::new() }
}

/// An import of this text past the server, or as what an operation of it began.
fn csv(test: &TestApp, table: &Managed, operation: Uuid, text: &str) -> Import {
    let path = test.dir.path().join(format!("{operation}.csv"));
    std::fs::write(&path, text).unwrap();
    Import {
        table: table.table,
        is_new: false,
        source: Source {
            path,
            format: Format::Csv,
            delimiter: b',',
            null: None,
            clean_names: false,
            declared: Vec::new(),
        },
        mode: Mode::Append,
        mark: mark(operation),
        after: Some(table.newest.version),
        quarantine: None,
    }
}

async fn foreign(test: &TestApp, table: &Managed, text: &str) {
    test.app.lake.import(csv(test, table, Uuid::now_v7(), text)).await.unwrap();
}

/// What an import of this file intends.
fn landing(target: Value, batch_id: &str, object: Uuid, text: &str) -> Value {
    let source = json!({
        "path": "", "format": "csv", "delimiter": 44, "null": null, "clean_names": false, "declared": [],
    });
    json!({
        "target": target, "batch_id": batch_id, "digest": hex::encode(Sha256::digest(text)),
        "object": object.simple().to_string(), "source": source, "mode": "append", "quarantine": null, "comment": "",
        "at": strongback::time::now_ms(),
    })
}

fn in_spool(test: &TestApp, object: Uuid) -> std::path::PathBuf {
    let name = object.simple().to_string();
    test.dir.path().join("data/spool/objects").join(&name[30..]).join(name)
}

async fn kinds(test: &TestApp, name: &str) -> Vec<String> {
    versions(test, name).await.iter().map(|version| version["kind"].as_str().unwrap().to_owned()).collect()
}

/// The rows are there; what the report would have said is lost, and nothing else.
#[test]
fn rows_that_were_committed_become_visible_without_their_file() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        ok(&batch(&test, NAME, "a", "", "id\n1\n").await);
        for (id, left) in [("gone", None), ("damaged", Some("id\n\"2"))] {
            let (found, object, text) = (table(&test, NAME).await, Uuid::new_v4(), "id\n2\n3\n");
            let intent = landing(json!({ "existing": place(&found) }), id, object, text);
            let operation = intend(&test, "table.import", intent).await;
            test.app.lake.import(csv(&test, &found, operation, text)).await.unwrap();
            if let Some(left) = left {
                std::fs::write(in_spool(&test, object), left).unwrap();
            }
            let next = batch(&test, NAME, &format!("after {id}").replace(' ', "-"), "", "id\n4\n").await;
            assert_eq!(ok(&next)["version"], found.newest.version + 2);
            assert!(!in_spool(&test, object).exists());
            let again = batch(&test, NAME, id, "", text).await;
            assert_eq!(
                (ok(&again)["is_repeat"].clone(), ok(&again)["rows"].clone()),
                (json!(true), json!(2))
            );
        }
        assert_eq!(sql(&test, "SELECT count(*) AS n, sum(id) AS s FROM prod.risk.t").await.1, "n,s\n7,19\n");
        assert_eq!(versions(&test, NAME).await[0]["rows"], 7);
        assert_eq!(open_operations(&test).await, 0);
    });
}

#[test]
fn a_new_table_comes_to_be_without_the_file_that_made_it() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        ok(&batch(&test, "prod.risk.other", "a", "", "id\n1\n").await);
        let schema = test
            .system()
            .read(|sql| managed::get(sql, &managed::parse("prod.risk.other")?, Action::Read))
            .await
            .unwrap()
            .asset
            .parent_id
            .unwrap();
        let made = Uuid::now_v7();
        let new = json!({ "new": { "schema": schema, "leaf": "t", "table": made } });
        let operation = intend(&test, "table.import", landing(new, "a", Uuid::new_v4(), "id,x\n1,y\n")).await;
        let other = table(&test, "prod.risk.other").await;
        let import = Import {
            table: lake::TableId(made),
            is_new: true,
            after: None,
            ..csv(&test, &other, operation, "id,x\n1,y\n")
        };
        test.app.lake.import(import).await.unwrap();
        let test = test.reopen().await;
        assert_eq!(sql(&test, "SELECT * FROM prod.risk.t").await.1, "id,x\n1,y\n");
        let found = test.get("/api/2.1/unity-catalog/tables/prod.risk.t").await;
        let columns: Vec<&Value> =
            ok(&found)["columns"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
        assert_eq!(columns, ["id", "x"]);
        assert_eq!(kinds(&test, NAME).await, ["append", "create"]);
    });
}

/// Somebody commits past the server after it looked, and before it commits itself.
#[test]
fn a_commit_that_came_in_between_is_a_version_too() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        ok(&batch(&test, NAME, "a", "", "id\n1\n").await);
        let (found, object, text) = (table(&test, NAME).await, Uuid::new_v4(), "id\n3\n");
        let operation =
            intend(&test, "table.import", landing(json!({ "existing": place(&found) }), "b", object, text))
                .await;
        std::fs::write(in_spool(&test, object), text).unwrap();
        foreign(&test, &found, "id\n2\n").await;
        test.app.lake.import(csv(&test, &found, operation, text)).await.unwrap();
        let test = test.reopen().await;
        assert_eq!(kinds(&test, NAME).await, ["append", "foreign", "append", "create"]);
        let rows: Vec<Value> =
            versions(&test, NAME).await.iter().map(|version| version["rows"].clone()).collect();
        assert_eq!(rows, [json!(3), json!(2), json!(1), json!(0)]);
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.t VERSION AS OF 2").await.1, "n\n2\n");
    });
}

#[test]
fn columns_that_somebody_else_added_are_shown() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        ok(&batch(&test, NAME, "a", "", "id\n1\n").await);
        let found = table(&test, NAME).await;
        let new = vec![Declared { name: "more".into(), type_text: "double".into(), nullable: true }];
        test.app.lake.add_columns(found.table, new, mark(Uuid::now_v7())).await.unwrap();
        ok(&batch(&test, NAME, "b", "", "id,more\n2,0.5\n").await);
        let shown = test.get("/api/2.1/unity-catalog/tables/prod.risk.t").await;
        let columns: Vec<&Value> =
            ok(&shown)["columns"].as_array().unwrap().iter().map(|column| &column["type_text"]).collect();
        assert_eq!(columns, ["bigint", "double"]);
        assert_eq!(kinds(&test, NAME).await[1], "foreign");
    });
}

/// One import is found by two who hold either of its tables.
#[test]
fn bad_rows_land_once_whoever_finds_them() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let bad = "prod.risk.bad";
        let query = format!("types=id:long&quarantine={bad}");
        ok(&batch(&test, NAME, "a", &query, "id\n1\nx\n").await);
        let (found, aside, object) = (table(&test, NAME).await, table(&test, bad).await, Uuid::new_v4());
        let text = "id\n2\nx\ny\n";
        let mut intent = landing(json!({ "existing": place(&found) }), "b", object, text);
        intent["quarantine"] = place(&aside);
        let operation = intend(&test, "table.import", intent).await;
        std::fs::write(in_spool(&test, object), text).unwrap();
        let quarantine = Quarantine {
            table: aside.table,
            after: Some(aside.newest.version),
            batch: "b".into(),
            at_micros: 0,
        };
        // The good rows are there, and the bad ones are not.
        let good = Import { quarantine: None, ..csv(&test, &found, operation, "id\n2\n") };
        test.app.lake.import(good).await.unwrap();
        let found = test.app.lake.find_commit(quarantine.table, operation, quarantine.after).await.unwrap();
        assert_eq!(found, None);
        let (one, other) = tokio::join!(
            batch(&test, NAME, "c", "", "id\n3\n"),
            batch(&test, bad, "c", "types=line:long", "batch_id,line\nc,1\n")
        );
        ok(&one);
        ok(&other);
        let counted = "SELECT batch_id, count(*) AS n FROM prod.risk.bad GROUP BY batch_id ORDER BY batch_id";
        assert_eq!(sql(&test, counted).await.1, "batch_id,n\na,1\nb,2\nc,1\n");
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.t").await.1, "n\n3\n");
        assert_eq!(open_operations(&test).await, 0);
    });
}

/// A crash behind each step of the other operations.
#[test]
fn what_a_crash_left_of_the_other_operations_is_ended_at_the_next_start() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        for n in 0..3 {
            ok(&batch(&test, NAME, &n.to_string(), "", &format!("id\n{n}\n")).await);
        }
        let found = table(&test, NAME).await;
        let schema = found.asset.parent_id.unwrap();
        // Before the commit: nothing came of it.
        let upkeep = json!({ "place": place(&found), "keep": null });
        intend(&test, "table.compact", upkeep.clone()).await;
        intend(&test, "table.columns", upkeep).await;
        let new = Uuid::now_v7();
        let making =
            intend(&test, "table.create", json!({ "schema": schema, "leaf": "new", "table": new })).await;
        let column =
            |name: &str| vec![Declared { name: name.into(), type_text: "long".into(), nullable: true }];
        test.app.lake.create(lake::TableId(new), column("id"), mark(making)).await.unwrap();
        let test = test.reopen().await;
        assert_eq!(open_operations(&test).await, 0);
        assert_eq!(kinds(&test, NAME).await.len(), 4);
        assert!(!test.dir.path().join("data/tables").join(new.to_string()).exists());
        ok(&batch(&test, "prod.risk.new", "a", "", "id\n1\n").await);

        // Behind it: it counts.
        let upkeep = json!({ "place": place(&found), "keep": null });
        let widening = intend(&test, "table.columns", upkeep).await;
        test.app.lake.add_columns(found.table, column("more"), mark(widening)).await.unwrap();
        let test = test.reopen().await;
        let found = table(&test, NAME).await;
        let joining = intend(&test, "table.compact", json!({ "place": place(&found), "keep": null })).await;
        test.app.lake.compact(found.table, mark(joining)).await.unwrap();
        let test = test.reopen().await;
        assert_eq!(open_operations(&test).await, 0);
        assert_eq!(kinds(&test, NAME).await[..2], ["compact", "columns"]);
        let rows = sql(&test, "SELECT id, more FROM prod.risk.t ORDER BY id").await.1;
        assert_eq!(rows, "id,more\n0,\n1,\n2,\n");

        // A vacuum goes on where it was.
        let found = table(&test, NAME).await;
        let keep = json!({ "from": found.newest.version, "pinned": [] });
        intend(&test, "table.vacuum", json!({ "place": place(&found), "keep": keep })).await;
        let test = test.reopen().await;
        assert_eq!(open_operations(&test).await, 0);
        let dir = test.dir.path().join("data/tables").join(found.table.to_string());
        let left = std::fs::read_dir(dir).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file());
        assert_eq!(left.count(), 1, "the file that the others were joined into");
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.t").await.1, "n\n3\n");
    });
}

/// Whoever asked may go at any moment: what was begun goes on, and nothing of it stays open.
#[test]
fn nothing_stays_open_when_nobody_waits_for_it_any_more() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        ok(&batch(&test, NAME, "a", "", "id\n1\n").await);
        let found = table(&test, NAME).await;
        let test = Arc::new(test);
        for n in 0..12_u64 {
            let body = json!({
                "catalog_name": "prod", "schema_name": "risk", "name": format!("made{n}"), "table_type": "MANAGED",
                "data_source_format": "DELTA", "columns": [{ "name": "id", "type_name": "LONG" }],
            });
            let (making, landing) = (Arc::clone(&test), Arc::clone(&test));
            let asked = tokio::spawn(async move { making.post("/api/2.1/unity-catalog/tables", body).await });
            let rows = tokio::spawn(land(landing, found.asset.id, n));
            tokio::time::sleep(Duration::from_millis(n * 3)).await;
            asked.abort();
            rows.abort();
        }
        all_ended(&test).await;
        // Sent again, each lands once, whether it did before or not.
        for n in 0..12 {
            land(Arc::clone(&test), found.asset.id, n).await;
        }
        assert_eq!(
            sql(&test, "SELECT count(*) AS n, count(DISTINCT id) AS d FROM prod.risk.t").await.1,
            "n,d\n13,13\n"
        );
        assert!(!kinds(&test, NAME).await.contains(&"foreign".to_owned()));
    });
}

async fn land(test: Arc<TestApp>, table: i64, n: u64) {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let rows = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![n as i64 + 10]))]).unwrap();
    let batch = Batch { table, id: format!("inside-{n}"), digest: n.to_string() };
    inside::append(&test.system(), batch, Box::new(std::iter::once(Ok(rows)))).await.unwrap();
}

/// The rows are there, and whoever sent them is not: they land, and no file of them stays behind.
#[test]
fn rows_of_a_client_that_left_land_all_the_same() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let (sender, rows) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
        let rows = futures::stream::unfold(rows, |mut rows| async move { Some((rows.recv().await?, rows)) });
        let path = format!("/api/1.0/tables/{NAME}/batches/a?format=csv&create=true");
        let mut sent = request("PUT", &path, None);
        *sent.body_mut() = Body::from_stream(rows);
        let waiting = tokio::spawn(tower::ServiceExt::oneshot(test.router.clone(), sent));
        sender.send(Ok("id\n1\n".into())).await.unwrap();
        // The first rows were taken.
        sender.reserve().await.map(drop).unwrap();
        waiting.abort();
        drop(sender);
        let landed = async {
            let path = format!("/api/1.0/tables/{NAME}/versions");
            while test.get(&path).await.status != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), landed).await.expect("the rows land");
        all_ended(&test).await;
        let spool = test.dir.path().join("data/spool/objects");
        let files = || {
            let shards = (0..=u8::MAX).map(|shard| spool.join(format!("{shard:02x}")));
            shards.map(|dir| std::fs::read_dir(dir).unwrap().count()).sum::<usize>()
        };
        while files() > 0 {
            tokio::task::yield_now().await;
        }
    });
}
