//! Tables from the outside: what lands is there, once, and nothing else is.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use datafusion::arrow::array::{Int64Array, RecordBatch};
use futures::StreamExt as _;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::{
    Kind, Lake, Limits, Result, Root, TableId,
    commit::{Mode, Writing},
    decode::{Format, Source},
    import::{Import, Imported, Quarantine, quarantine_columns},
    query::{self, Form, Resolved, Value, Wanted},
    schema::Declared,
    table::{Committed, Mark},
    training::{At, Recipe},
    vacuum::{Keep, UNNAMED_AGE},
};

struct Place {
    dir: tempfile::TempDir,
    lake: Lake,
}

impl Place {
    fn new() -> Self {
        Self::with_memory(256 << 20)
    }

    fn with_memory(memory_bytes: usize) -> Self {
        Self::with(memory_bytes, 1 << 30)
    }

    fn with(memory_bytes: usize, spill_bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::parse(dir.path().join("tables").to_str().unwrap()).unwrap();
        let limits = Limits { memory_bytes, spill_bytes, spill_dir: dir.path().join("spill"), threads: 2 };
        Self { lake: Lake::new(root, limits), dir }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A CSV file for a table, as an import that nothing has come of yet.
    fn csv(&self, table: TableId, is_new: bool, text: &str) -> Import {
        let operation = Uuid::now_v7();
        let path = self.file(&format!("{operation}.csv"), text);
        Import {
            table,
            is_new,
            source: source(path, Format::Csv),
            mode: Mode::Append,
            mark: Mark { operation, notes: Vec::new() },
            after: None,
            quarantine: None,
        }
    }

    async fn rows(&self, table: TableId, version: u64, sql: &str) -> Result<Vec<Json>> {
        let tables = vec![resolved(table, version)];
        let mut answer = self.lake.query(query::read(sql)?, tables, wanted(Form::Json)).await?;
        let mut text = Vec::new();
        while let Some(chunk) = answer.next().await {
            text.extend_from_slice(&chunk?.bytes);
        }
        Ok(String::from_utf8(text).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

fn source(path: PathBuf, format: Format) -> Source {
    Source { path, format, delimiter: b',', null: None, clean_names: false, declared: Vec::new() }
}

fn table() -> TableId {
    TableId(Uuid::now_v7())
}

fn resolved(id: TableId, version: u64) -> Resolved {
    let text = |text: &str| text.to_owned();
    Resolved { catalog: text("prod"), schema: text("risk"), leaf: text("T"), id, version }
}

fn wanted(form: Form) -> Wanted {
    Wanted { form, rows_max: None, time: Duration::from_mins(1), parameters: Vec::new() }
}

fn done(imported: &Imported) -> Committed {
    imported.committed.unwrap_or_else(|| panic!("nothing was committed: {:?}", imported.report))
}

const DAY_1: &str = "id,Amount,at,name\n1,2.5,2026-11-24T08:00:00Z,Ana\n2,,2026-11-24 09:00:00,\n3,1e3,2026-11-24,\"a, \"\"b\"\"\"\n";

#[tokio::test]
async fn a_file_becomes_a_table_with_the_types_of_all_its_rows() {
    let (place, id) = (Place::new(), table());
    let imported = place.lake.import(place.csv(id, true, DAY_1)).await.unwrap();
    assert_eq!((done(&imported).version, done(&imported).rows_added), (1, 3));
    let types: Vec<(String, String, u64)> = imported
        .report
        .columns
        .iter()
        .map(|column| (column.column.name.clone(), column.column.type_text.clone(), column.nulls))
        .collect();
    let is = |name: &str, kind: &str, nulls| (name.to_owned(), kind.to_owned(), nulls);
    assert_eq!(
        types,
        [is("id", "bigint", 0), is("Amount", "double", 1), is("at", "timestamp", 0), is("name", "string", 1)]
    );
    // Names of columns and tables compare without case, and come back as they are.
    let rows =
        place.rows(id, 1, "SELECT ID, amount AS AMOUNT, name FROM Prod.Risk.t ORDER BY Amount DESC").await;
    assert_eq!(
        rows.unwrap(),
        [
            json!({ "id": 2, "Amount": null, "name": null }),
            json!({ "id": 3, "Amount": 1000.0, "name": "a, \"b\"" }),
            json!({ "id": 1, "Amount": 2.5, "name": "Ana" })
        ]
    );
    let state = place.lake.prove(id, 1).await.unwrap();
    assert_eq!((state.rows, state.files, state.columns.len()), (Some(3), 1, 4));
}

#[tokio::test]
async fn an_import_that_is_called_again_commits_once() {
    let (place, id) = (Place::new(), table());
    let first = place.csv(id, true, DAY_1);
    let once = place.lake.import(first.clone()).await.unwrap();
    let twice = place.lake.import(first.clone()).await.unwrap();
    assert_eq!(once, twice);
    assert_eq!(place.lake.state(id, None).await.unwrap().version, 1);
    let found = place.lake.find_commit(id, first.mark.operation, Some(0)).await.unwrap();
    assert_eq!(found, once.committed);
    assert_eq!(place.lake.find_commit(id, Uuid::now_v7(), Some(0)).await.unwrap(), None);
    assert_eq!(place.lake.find_commit(table(), first.mark.operation, None).await.unwrap(), None);
}

/// As a crash leaves it: the table is made and has no rows yet.
#[tokio::test]
async fn a_new_table_without_rows_gets_them_when_the_import_is_called_again() {
    let (place, id) = (Place::new(), table());
    let import = place.csv(id, true, DAY_1);
    let column = |name: &str, kind: &str| Declared {
        name: name.to_owned(),
        type_text: kind.to_owned(),
        nullable: true,
    };
    let columns = vec![
        column("id", "long"),
        column("Amount", "double"),
        column("at", "timestamp"),
        column("name", "string"),
    ];
    let mark = import.mark.clone();
    assert_eq!(place.lake.create(id, columns.clone(), mark.clone()).await.unwrap().version, 0);
    assert_eq!(place.lake.create(id, columns, mark).await.unwrap().version, 0, "a second call finds it");
    assert_eq!(place.lake.find_commit(id, import.mark.operation, Some(0)).await.unwrap(), None);
    assert_eq!(done(&place.lake.import(import).await.unwrap()).version, 1);
}

#[tokio::test]
async fn bad_rows_stop_an_import_and_are_named_by_line() {
    let (place, id) = (Place::new(), table());
    place.lake.import(place.csv(id, true, DAY_1)).await.unwrap();
    let text = "id,amount,at,name\n4,1,2026-11-25,x\nfive,1,2026-11-25,\"two\nlines\"\n6,1,soon,y\n7,1\n8,1,2026-11-25,z\n";
    let import = Import { after: Some(1), ..place.csv(id, false, text) };
    let refused = place.lake.import(import.clone()).await.unwrap();
    assert_eq!(refused.committed, None);
    assert_eq!((refused.report.rows, refused.report.bad_rows), (2, 3));
    let named: Vec<(u64, &str, &str)> = refused
        .report
        .first_bad_rows
        .iter()
        .map(|bad| (bad.line, bad.column.as_str(), bad.reason.as_str()))
        .collect();
    assert_eq!(
        named,
        [
            (3, "id", "it is no whole number"),
            (5, "at", "it is no time such as 2026-11-24T08:00:00Z"),
            (6, "", "it has 2 values, and the header has 4")
        ]
    );
    assert_eq!(place.lake.state(id, None).await.unwrap().version, 1);
    // The same report without writing anything.
    assert_eq!(place.lake.inspect(Some(id), import.source).await.unwrap(), refused.report);
}

#[tokio::test]
async fn bad_rows_go_into_their_table_once() {
    let (place, id, bad) = (Place::new(), table(), table());
    let made = Mark { operation: Uuid::now_v7(), notes: Vec::new() };
    place.lake.create(bad, quarantine_columns(), made).await.unwrap();
    let mut import = place.csv(id, true, "id,n\n1,1\n2,x\n3\n");
    import.source.declared =
        vec![Declared { name: "N".to_owned(), type_text: "int".to_owned(), nullable: true }];
    import.quarantine =
        Some(Quarantine { table: bad, after: Some(0), batch: "b".to_owned(), at_micros: 1_000_000 });
    let first = place.lake.import(import.clone()).await.unwrap();
    assert_eq!((done(&first).rows_added, first.report.bad_rows), (1, 2));
    assert_eq!(first.quarantined.map(|done| (done.version, done.rows_added)), Some((1, 2)));
    // As after a crash between the two commits and the record: called again, nothing lands twice.
    let again = place.lake.import(import).await.unwrap();
    assert_eq!(again.committed, first.committed);
    assert_eq!(again.quarantined, first.quarantined);
    let rows =
        place.rows(bad, 1, "SELECT line, `column`, value, row FROM prod.risk.t ORDER BY line").await.unwrap();
    assert_eq!(
        rows,
        [
            json!({ "line": 3, "column": "n", "value": "x", "row": "2,x" }),
            json!({ "line": 4, "column": "", "value": "", "row": "3" })
        ]
    );
}

#[tokio::test]
async fn json_lines_land_and_nested_values_are_bad_rows() {
    let (place, id) = (Place::new(), table());
    let text = "{\"id\": 1, \"ok\": true}\n\n{\"id\": 2, \"x\": \"\"}\n[1]\n{\"id\": {\"a\": 1}}\n{\"id\": 9007199254740993}\n";
    let mut import = place.csv(id, true, text);
    import.source.format = Format::Json;
    let refused = place.lake.import(import.clone()).await.unwrap();
    let lines: Vec<u64> = refused.report.first_bad_rows.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [4, 5]);
    import.source.path = place.file("good.json", &text.replace("[1]\n", "").replace("{\"a\": 1}", "3"));
    import.mark.operation = Uuid::now_v7();
    import.table = table();
    assert_eq!(done(&place.lake.import(import.clone()).await.unwrap()).rows_added, 4);
    let rows = place.rows(import.table, 1, "SELECT id, ok, x FROM prod.risk.t ORDER BY id").await.unwrap();
    assert_eq!(rows[0], json!({ "id": 1, "ok": true, "x": null }));
    assert_eq!(rows[1], json!({ "id": 2, "ok": null, "x": "" }));
    assert_eq!(rows[3]["id"], json!(9_007_199_254_740_993_i64), "not a digit is lost");
}

#[tokio::test]
async fn an_answer_as_arrow_lands_again_with_the_same_values() {
    let (place, id, copy) = (Place::new(), table(), table());
    place.lake.import(place.csv(id, true, DAY_1)).await.unwrap();
    let statement = query::read("SELECT * FROM prod.risk.t ORDER BY id").unwrap();
    let answer = place.lake.query(statement, vec![resolved(id, 1)], wanted(Form::Arrow)).await.unwrap();
    let chunks: Vec<_> = answer.map(|chunk| chunk.unwrap().bytes).collect().await;
    let path = place.dir.path().join("copy.arrow");
    fs::write(&path, chunks.concat()).unwrap();
    let mut import = place.csv(copy, true, "");
    import.source = source(path, Format::Arrow);
    assert_eq!(done(&place.lake.import(import).await.unwrap()).rows_added, 3);
    let sql = "SELECT * FROM prod.risk.t ORDER BY id";
    assert_eq!(place.rows(id, 1, sql).await.unwrap(), place.rows(copy, 1, sql).await.unwrap());
}

#[tokio::test]
async fn what_a_file_says_wrong_is_told() {
    let (place, id) = (Place::new(), table());
    place.lake.import(place.csv(id, true, DAY_1)).await.unwrap();
    let said = async |is_new: bool, text: &str| {
        let import = Import { after: Some(1), ..place.csv(if is_new { table() } else { id }, is_new, text) };
        let error = place.lake.import(import).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        error.message().to_owned()
    };
    assert!(said(true, "").await.contains("empty"));
    assert!(said(true, "a,A\n1,2\n").await.contains("two columns"));
    assert!(said(true, "Amount (USD)\n1\n").await.contains("'amount_usd'"));
    assert!(said(false, "id,extra\n1,2\n").await.contains("does not have: extra"));
    let mut import = place.csv(table(), true, "no parquet");
    import.source.format = Format::Parquet;
    assert!(place.lake.import(import).await.unwrap_err().message().contains("Parquet"));
    let mut clean = place.csv(table(), true, "Amount (USD),amount-usd\n1,2\n");
    clean.source.clean_names = true;
    let names: Vec<String> =
        place.lake.import(clean).await.unwrap().report.columns.into_iter().map(|c| c.column.name).collect();
    assert_eq!(names, ["amount_usd", "amount_usd_2"]);
}

#[tokio::test]
async fn overwriting_keeps_older_versions_until_a_vacuum() {
    let (place, id) = (Place::new(), table());
    place.lake.import(place.csv(id, true, "id\n1\n2\n")).await.unwrap();
    let more = Import { after: Some(1), ..place.csv(id, false, "id\n3\n") };
    place.lake.import(more).await.unwrap();
    let all = Import { after: Some(2), mode: Mode::Overwrite, ..place.csv(id, false, "id\n9\n") };
    let replaced = done(&place.lake.import(all).await.unwrap());
    assert_eq!((replaced.version, replaced.rows_added, replaced.files_removed), (3, 1, 2));
    let count = "SELECT count(id) AS n FROM prod.risk.t";
    for (version, n) in [(1, 2), (2, 3), (3, 1)] {
        assert_eq!(place.rows(id, version, count).await.unwrap(), [json!({ "n": n })], "version {version}");
    }
    let keep = Keep { from: 3, pinned: vec![1] };
    let planned = place.lake.plan_vacuum(id, keep.clone()).await.unwrap();
    assert_eq!((planned.files, planned.needed_by.as_slice()), (2, &[1][..]));
    assert_eq!(
        place.lake.vacuum(id, keep.clone()).await.unwrap().files,
        1,
        "the pinned version's file stays"
    );
    assert_eq!(place.lake.vacuum(id, keep).await.unwrap().files, 0, "a second one finds nothing");
    assert!(place.lake.prove(id, 1).await.is_ok());
    assert_eq!(place.lake.prove(id, 2).await.unwrap_err().kind(), Kind::Missing);
    assert_eq!(place.rows(id, 1, count).await.unwrap(), [json!({ "n": 2 })]);
    assert_eq!(place.rows(id, 3, count).await.unwrap(), [json!({ "n": 1 })]);
}

fn names_in(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Files as they lie there so long after somebody wrote them.
fn put_aged(dir: &Path, names: &[&str], age: Duration) {
    for name in names {
        let file = fs::File::create(dir.join(name)).unwrap();
        (&file).write_all(b"x").unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
}

#[tokio::test]
async fn a_vacuum_removes_what_failed_writes_left() {
    let (place, id) = (Place::new(), table());
    place.lake.import(place.csv(id, true, "id\n1\n")).await.unwrap();
    let dir = place.lake.root().directory().unwrap().join(id.to_string());
    let made = names_in(&dir);
    let ours = format!("part-00002-dead.zstd.parquet.{}#1", Uuid::now_v7().simple());
    put_aged(&dir, &[&ours], Duration::ZERO);
    put_aged(
        &dir,
        &["part-00000-dead.parquet", "part-00001-dead.parquet#1"],
        UNNAMED_AGE + Duration::from_mins(1),
    );
    let keep = Keep { from: 1, pinned: Vec::new() };
    assert_eq!(place.lake.plan_vacuum(id, keep.clone()).await.unwrap().files, 1);
    let removed = place.lake.vacuum(id, keep).await.unwrap();
    assert_eq!((removed.files, removed.bytes), (1, 1));
    assert_eq!(names_in(&dir), made);
    assert!(place.lake.prove(id, 1).await.is_ok());
}

#[tokio::test]
async fn rows_that_stand_for_all_do_not_land_beside_those_of_somebody_else() {
    let (place, id) = (Place::new(), table());
    place.lake.import(place.csv(id, true, "id\n1\n")).await.unwrap();
    let begin = async || {
        let mut writing = Writing::begin(place.lake.root(), id).await.unwrap();
        let rows = RecordBatch::try_new(writing.schema().clone(), vec![Arc::new(Int64Array::from(vec![9]))]);
        writing.write(&rows.unwrap()).await.unwrap();
        writing
    };
    let (all, more) = (begin().await, begin().await);
    place.lake.import(Import { after: Some(1), ..place.csv(id, false, "id\n2\n") }).await.unwrap();
    let mark = || Mark { operation: Uuid::now_v7(), notes: Vec::new() };
    let refused = all.commit(Mode::Overwrite, &mark()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict, "{refused}");
    assert_eq!(more.commit(Mode::Append, &mark()).await.unwrap().version, 3);
    let rows = place.rows(id, 3, "SELECT id FROM prod.risk.t ORDER BY id").await.unwrap();
    assert_eq!(rows, [json!({ "id": 1 }), json!({ "id": 2 }), json!({ "id": 9 })]);
}

/// Of somebody who writes past this server a file is there before the commit that names it.
#[tokio::test]
async fn a_vacuum_leaves_what_somebody_else_may_be_about_to_commit() {
    let (place, id) = (Place::new(), table());
    place.lake.import(place.csv(id, true, "id\n1\n")).await.unwrap();
    let all = Import { after: Some(1), mode: Mode::Overwrite, ..place.csv(id, false, "id\n9\n") };
    place.lake.import(all).await.unwrap();
    let dir = place.lake.root().directory().unwrap().join(id.to_string());
    let before = names_in(&dir);
    let underway = ["part-00000-new.parquet", "part-00001-new.parquet#1"];
    put_aged(&dir, &underway, Duration::from_hours(6 * 24));
    let removed = place.lake.vacuum(id, Keep { from: 2, pinned: Vec::new() }).await.unwrap();
    assert_eq!(removed.files, 1, "that of the version before, whose commit is there, however new it is");
    let after = names_in(&dir);
    assert!(underway.iter().all(|name| after.contains(*name)), "{after:?}");
    assert_eq!(after.len(), before.len() + underway.len() - 1);
}

/// The file of a deletion vector belongs to the versions that name it, and goes with them.
#[tokio::test]
async fn a_vacuum_keeps_the_files_that_say_which_rows_are_gone() {
    let (place, id) = (Place::new(), table());
    place.lake.import(place.csv(id, true, "id\n1\n2\n")).await.unwrap();
    let dir = place.lake.root().directory().unwrap().join(id.to_string());
    let commit = dir.join("_delta_log/00000000000000000001.json");
    let vector = json!({
        "storageType": "u", "pathOrInlineDv": "^-aqEH.-t@S}K{vb[*k^", "offset": 1, "sizeInBytes": 36, "cardinality": 1,
    });
    let lines = fs::read_to_string(&commit).unwrap();
    let lines = lines.lines().map(|line| {
        let mut action: Json = serde_json::from_str(line).unwrap();
        if let Some(add) = action.get_mut("add") {
            add["deletionVector"] = vector.clone();
        }
        format!("{action}\n")
    });
    fs::write(&commit, lines.collect::<String>()).unwrap();
    let name = "deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin";
    put_aged(&dir, &[name], UNNAMED_AGE * 2);
    let keep = Keep { from: 1, pinned: Vec::new() };
    assert_eq!(place.lake.vacuum(id, keep).await.unwrap().files, 0);
    assert!(names_in(&dir).contains(name));
    let all = Import { after: Some(1), mode: Mode::Overwrite, ..place.csv(id, false, "id\n9\n") };
    place.lake.import(all).await.unwrap();
    assert_eq!(place.lake.vacuum(id, Keep { from: 2, pinned: Vec::new() }).await.unwrap().files, 2);
    assert!(!names_in(&dir).contains(name));
}

#[tokio::test]
async fn many_small_files_become_one_with_the_same_rows() {
    let (place, id) = (Place::new(), table());
    place.lake.import(place.csv(id, true, "id\n0\n")).await.unwrap();
    for n in 1..25 {
        let import = Import { after: Some(n), ..place.csv(id, false, &format!("id\n{n}\n")) };
        assert_eq!(done(&place.lake.import(import).await.unwrap()).version, n + 1);
    }
    let mark = Mark { operation: Uuid::now_v7(), notes: Vec::new() };
    let joined = place.lake.compact(id, mark.clone()).await.unwrap().unwrap();
    assert_eq!((joined.version, joined.files_removed, joined.files_added), (26, 25, 1));
    assert!(place.lake.find_commit(id, mark.operation, Some(25)).await.unwrap().is_some());
    let sums = "SELECT sum(id) AS s, count(id) AS n FROM prod.risk.t";
    for version in [25, 26] {
        assert_eq!(place.rows(id, version, sums).await.unwrap(), [json!({ "s": 300, "n": 25 })]);
    }
}

#[tokio::test]
async fn a_statement_may_be_one_that_says_the_same_each_time() {
    let place = Place::new();
    for (sql, culprit) in [
        ("SELECT 1 WHERE random() < 2", Some("random()")),
        ("SELECT 1 WHERE now() > '2026-01-01'", Some("now()")),
        ("SELECT 1 WHERE 1 IN (SELECT uuid())", Some("uuid()")),
        ("SELECT 1 WHERE EXISTS (SELECT random())", Some("random()")),
        ("SELECT abs(-1) WHERE length('a') = 1", None),
    ] {
        let asked = |statement| place.lake.query(statement, Vec::new(), wanted(Form::Csv));
        let refused = asked(query::read(sql).unwrap().repeatable()).await.err();
        let said = refused.map(|error| error.message().to_owned());
        match culprit {
            Some(culprit) => {
                assert!(said.unwrap().contains(&format!("calls {culprit}, whose value is another")), "{sql}");
            }
            None => assert_eq!(said, None, "{sql}"),
        }
        assert!(asked(query::read(sql).unwrap()).await.is_ok() || sql.contains("uuid"), "{sql}");
    }
}

#[tokio::test]
async fn two_versions_of_a_table_are_two_tables_of_a_query() {
    let (place, id) = (Place::new(), table());
    place.lake.import(place.csv(id, true, "id\n1\n")).await.unwrap();
    place.lake.import(Import { after: Some(1), ..place.csv(id, false, "id\n2\n") }).await.unwrap();
    let sql = "SELECT n.id FROM prod.risk.t n LEFT ANTI JOIN prod.risk.t VERSION AS OF 1 AS o ON n.id = o.id";
    let statement = query::read(sql).unwrap();
    let tables = vec![resolved(id, 2), resolved(id, 1)];
    let mut answer = place.lake.query(statement, tables, wanted(Form::Csv)).await.unwrap();
    let mut text = String::new();
    while let Some(chunk) = answer.next().await {
        text.push_str(std::str::from_utf8(&chunk.unwrap().bytes).unwrap());
    }
    assert_eq!(text, "id\n2\n");
}

/// An attempt that was given up may be writing still when the next one begins.
#[tokio::test]
async fn a_training_set_has_the_rows_of_one_attempt() {
    let (place, labels) = (Place::new(), table());
    let rows = (0..2_000).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
    place.lake.import(place.csv(labels, true, &format!("id\n{rows}\n"))).await.unwrap();
    let recipe = Recipe {
        labels: At { table: labels.0, version: 1 },
        filter: None,
        columns: vec!["id".to_owned()],
        timestamp: None,
        features: Vec::new(),
    };
    for _ in 0..10 {
        let set = table();
        let build = || {
            let mark = Mark { operation: Uuid::now_v7(), notes: Vec::new() };
            place.lake.build_training_set(set, recipe.clone(), mark)
        };
        let (one, other) = tokio::join!(build(), build());
        for built in [one, other].into_iter().flatten() {
            let state = place.lake.state(set, Some(built.version)).await;
            // The other one may have removed it since, and then is the one that counts.
            if let Ok(state) = state {
                assert_eq!((built.version, built.rows, state.rows), (1, 2_000, Some(2_000)));
            }
        }
    }
    let mark = Mark { operation: Uuid::now_v7(), notes: Vec::new() };
    assert_eq!(place.lake.build_training_set(table(), recipe, mark).await.unwrap().rows, 2_000);
}

/// The last letter of a word has a form of its own in lower case, by which the catalog does not compare names.
#[tokio::test]
async fn tables_whose_names_the_catalog_tells_apart_are_two() {
    let (place, one, other) = (Place::new(), table(), table());
    place.lake.import(place.csv(one, true, "id\n1\n")).await.unwrap();
    place.lake.import(place.csv(other, true, "id\n2\n")).await.unwrap();
    let named = |leaf: &str, id| Resolved { leaf: leaf.to_owned(), ..resolved(id, 1) };
    let sql = "SELECT id FROM prod.risk.`ΑΣ` UNION ALL SELECT id FROM prod.risk.`ας`";
    let tables = vec![named("ΑΣ", one), named("ας", other)];
    let answer = place.lake.query(query::read(sql).unwrap(), tables, wanted(Form::Csv)).await.unwrap();
    let chunks: Vec<_> = answer.map(|chunk| chunk.unwrap().bytes).collect().await;
    let text = String::from_utf8(chunks.concat()).unwrap();
    assert_eq!(text.lines().collect::<BTreeSet<_>>(), BTreeSet::from(["1", "2", "id"]));
}

#[tokio::test]
async fn a_file_that_is_gone_is_told_as_such() {
    let (place, id) = (Place::new(), table());
    place.lake.import(place.csv(id, true, "id\n1\n")).await.unwrap();
    let dir = place.lake.root().directory().unwrap().join(id.to_string());
    for name in names_in(&dir).iter().filter(|name| name.ends_with(".parquet")) {
        fs::remove_file(dir.join(name)).unwrap();
    }
    let error = place.rows(id, 1, "SELECT id FROM prod.risk.t").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Missing, "{error}");
    assert!(error.message().contains("a vacuum"), "{error}");
}

/// Answers that nobody reads end with their time, and then hold up nobody.
#[tokio::test]
async fn a_query_that_has_ended_keeps_no_turn() {
    let place = Place::new();
    let brief = Wanted { time: Duration::from_millis(100), ..wanted(Form::Csv) };
    let long = "SELECT value FROM generate_series(1, 1000000000)";
    let mut unread = Vec::new();
    // As many as go on at a time.
    for _ in 0..8 {
        let statement = query::read(long).unwrap();
        unread.push(place.lake.query(statement, Vec::new(), brief.clone()).await.unwrap());
    }
    let statement = query::read("SELECT 1 AS n").unwrap();
    let answer = place.lake.query(statement, Vec::new(), wanted(Form::Csv)).await.unwrap();
    let chunks: Vec<_> = answer.map(|chunk| chunk.unwrap().bytes).collect().await;
    assert_eq!(chunks.concat(), b"n\n1\n");
}

#[tokio::test]
async fn a_table_may_stand_in_a_query_several_times() {
    let (place, id) = (Place::new(), table());
    place.lake.import(place.csv(id, true, "id,n\n1,10\n2,20\n")).await.unwrap();
    let sql = "SELECT a.id, b.n FROM prod.risk.t a JOIN prod.risk.t b ON a.id = b.id \
               WHERE a.n > (SELECT min(n) FROM prod.risk.t) ORDER BY a.id";
    let tables = vec![resolved(id, 1); 3];
    let mut answer = place.lake.query(query::read(sql).unwrap(), tables, wanted(Form::Csv)).await.unwrap();
    let first = answer.next().await.unwrap().unwrap();
    assert_eq!(&first.bytes[..], b"id,n\n2,20\n");
}

#[tokio::test]
async fn a_place_for_bad_rows_that_has_other_columns_is_refused_before_anything_lands() {
    let (place, id, other) = (Place::new(), table(), table());
    place.lake.import(place.csv(other, true, "id\n1\n")).await.unwrap();
    let mut import = place.csv(id, true, "id\n1\nx\n");
    import.source.declared =
        vec![Declared { name: "id".to_owned(), type_text: "int".to_owned(), nullable: true }];
    import.quarantine =
        Some(Quarantine { table: other, after: Some(1), batch: "b".to_owned(), at_micros: 1 });
    let error = place.lake.import(import.clone()).await.unwrap_err();
    assert!(error.kind() == Kind::Invalid && error.message().contains("other columns"), "{error}");
    assert_eq!(place.lake.find_commit(id, import.mark.operation, None).await.unwrap(), None);
}

#[tokio::test]
async fn a_query_joins_what_was_known_at_a_moment() {
    let (place, asked, known) = (Place::new(), table(), table());
    place.lake.import(place.csv(asked, true, "Id,At\n1,2026-11-24\n2,2026-11-24\n")).await.unwrap();
    let rows = "id,Seen,Amount\n1,2026-11-23,5\n1,2026-11-24,6\n1,2026-11-25,7\n2,2026-11-25,8\n";
    place.lake.import(place.csv(known, true, rows)).await.unwrap();
    let sql = "SELECT a.id, k.amount FROM prod.risk.asked a ASOF JOIN prod.risk.t k MATCH_CONDITION (a.at >= k.seen) \
               ON a.id = k.id ORDER BY a.id";
    let tables = vec![Resolved { leaf: "asked".to_owned(), ..resolved(asked, 1) }, resolved(known, 1)];
    let answer = place.lake.query(query::read(sql).unwrap(), tables, wanted(Form::Texts)).await.unwrap();
    let chunks: Vec<_> = answer.map(|chunk| chunk.unwrap().bytes).collect().await;
    assert_eq!(chunks.concat(), b"[\"1\",\"6\"]\n[\"2\",null]\n");
}

#[tokio::test]
async fn answers_end_at_their_limits() {
    let place = Place::with_memory(24 << 20);
    let run = async |sql: &str, wanted: Wanted| -> Result<(String, bool)> {
        let mut answer = place.lake.query(query::read(sql)?, Vec::new(), wanted).await?;
        let (mut text, mut is_cut) = (String::new(), false);
        while let Some(chunk) = answer.next().await {
            let chunk = chunk?;
            text.push_str(std::str::from_utf8(&chunk.bytes).unwrap());
            is_cut |= chunk.is_cut;
        }
        Ok((text, is_cut))
    };
    let two = Wanted { rows_max: Some(2), ..wanted(Form::Texts) };
    let series = "SELECT value AS v FROM generate_series(1, 3)";
    assert_eq!(run(series, two).await.unwrap(), ("[\"1\"]\n[\"2\"]\n".to_owned(), true));
    let three = Wanted { rows_max: Some(3), ..wanted(Form::Texts) };
    assert!(!run(series, three).await.unwrap().1);
    // Small on the side that a join keeps in memory, so that only time can end it.
    let slow = "SELECT count(*) FROM generate_series(1, 1000) a, generate_series(1, 100000000) b WHERE a.value * b.value % 7 > 3";
    let brief = Wanted { time: Duration::from_millis(200), ..wanted(Form::Csv) };
    let late = run(slow, brief).await.unwrap_err();
    assert_eq!(late.kind(), Kind::Time, "{late}");
    let bound = Wanted { parameters: vec![("least".to_owned(), Value::Int(3))], ..wanted(Form::Csv) };
    let (text, _) =
        run("SELECT value AS v FROM generate_series(1, 3) WHERE value >= $least", bound).await.unwrap();
    assert_eq!(text, "v\n3\n");
    let greedy = "SELECT array_agg(value) FROM generate_series(1, 50000000)";
    let error = run(greedy, wanted(Form::Csv)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Limit, "{error}");
}

/// A sort beyond its memory goes over the disk, in order and whole; without room there it ends as one that asks for too much.
#[tokio::test]
async fn a_sort_beyond_its_memory_goes_over_the_disk() {
    const ROWS: u64 = 3_000_000;
    let sort = format!(
        "SELECT value * 7919 % 1000003 AS rest FROM generate_series(1, {ROWS}) ORDER BY value * 7919 % 1000003, value"
    );
    let run = async |place: &Place| -> Result<(u64, bool)> {
        let mut answer = place.lake.query(query::read(&sort)?, Vec::new(), wanted(Form::Csv)).await?;
        let (mut rows, mut last, mut is_in_order, mut text) = (0, 0, true, Vec::new());
        while let Some(chunk) = answer.next().await {
            let chunk = chunk?;
            rows += chunk.rows;
            text.extend_from_slice(&chunk.bytes);
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            for line in std::str::from_utf8(&text[..whole]).unwrap().lines().filter(|line| *line != "rest") {
                let rest: u64 = line.parse().unwrap();
                (last, is_in_order) = (rest, is_in_order && last <= rest);
            }
            text.drain(..whole);
        }
        Ok((rows, is_in_order))
    };
    assert_eq!(run(&Place::with_memory(40 << 20)).await.unwrap(), (ROWS, true));
    let error = run(&Place::with(40 << 20, 64 << 10)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Limit, "{error}");
}

#[tokio::test]
async fn a_query_sees_nothing_but_its_tables() {
    let place = Place::new();
    let file = place.file("secret.csv", "a\n1\n");
    for sql in [
        format!("SELECT * FROM '{}'", file.display()),
        format!("SELECT * FROM `{}`", file.display()),
        format!("SELECT * FROM read_csv('{}')", file.display()),
        "SELECT * FROM information_schema.tables".to_owned(),
        "SELECT * FROM prod.risk.other".to_owned(),
    ] {
        let read = query::read(&sql);
        let outcome = match read {
            // Nothing was resolved for what it names.
            Ok(statement) => place.lake.query(statement, Vec::new(), wanted(Form::Csv)).await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(outcome.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn nothing_is_opened_before_it_is_needed() {
    let place = Place::new();
    assert!(!place.lake.is_open());
    assert!(!place.dir.path().join("spill").exists());
    assert_eq!(place.lake.state(table(), None).await.unwrap_err().kind(), Kind::Missing);
    assert!(place.lake.is_open());
}

#[tokio::test]
async fn a_table_that_never_came_to_be_leaves_nothing() {
    let (place, id) = (Place::new(), table());
    place.lake.import(place.csv(id, true, "id\n1\n")).await.unwrap();
    place.lake.remove(id).await.unwrap();
    place.lake.remove(id).await.unwrap();
    assert!(!place.lake.root().directory().unwrap().join(id.to_string()).exists());
}

#[tokio::test]
async fn answers_as_long_as_a_number_says_are_bounded() {
    let place = Place::new();
    let run = async |sql: &str| -> Result<u64> {
        let mut answer = place.lake.query(query::read(sql)?, Vec::new(), wanted(Form::Csv)).await?;
        let mut rows = 0;
        while let Some(chunk) = answer.next().await {
            rows += chunk?.rows;
        }
        Ok(rows)
    };
    for greedy in [
        "lpad('x', 2000000000)",
        "rpad('x', value * 1000000) ",
        "length(repeat('xyz', 2000000000))",
        "array_repeat(value, 2000000000)",
        "array_length(array_resize([value], 2000000000, 1))",
        "array_length(range(0, value * 100000000))",
        "array_length(generate_series(TIMESTAMP '2000-01-01', TIMESTAMP '2020-01-01', INTERVAL '1' SECOND))",
    ] {
        let sql = format!("SELECT {greedy} FROM generate_series(1, 8000)");
        let error = run(&sql).await.unwrap_err();
        assert!(error.message().contains("it may answer"), "{greedy}: {error}");
    }
    for modest in [
        "lpad('x', 8, '0')",
        "repeat('ab', value)",
        "array_repeat('a', 3)",
        "range(3)",
        "generate_series(DATE '2026-01-01', DATE '2026-02-01', INTERVAL '1' DAY)",
        "array_length(array_resize([value], 3, 1))",
    ] {
        assert_eq!(
            run(&format!("SELECT {modest}::text FROM generate_series(1, 10)")).await.unwrap(),
            10,
            "{modest}"
        );
    }
}

#[tokio::test]
async fn digits_keys_and_declared_types_are_not_passed_over() {
    let (place, id) = (Place::new(), table());
    let json = |text: &str, types: &[(&str, &str)], is_new: bool, after: Option<u64>| {
        let mut import = place.csv(id, is_new, text);
        import.source.format = Format::Json;
        import.after = after;
        import.source.declared = types
            .iter()
            .map(|(name, kind)| Declared {
                name: (*name).to_owned(),
                type_text: (*kind).to_owned(),
                nullable: true,
            })
            .collect();
        import
    };
    let long = "{\"id\": 1, \"amount\": 12345678901234567890123.45}\n";
    place.lake.import(json(long, &[("amount", "decimal(30,2)")], true, None)).await.unwrap();
    let rows = place.rows(id, 1, "SELECT amount::string AS a FROM prod.risk.t").await.unwrap();
    assert_eq!(rows, [json!({ "a": "12345678901234567890123.45" })]);
    let twice = place.lake.import(json("{\"id\": 1, \"id\": 2}\n", &[], false, Some(1))).await.unwrap();
    assert!(twice.report.first_bad_rows[0].reason.contains("'id' stands in it twice"), "{twice:?}");
    assert_eq!(twice.committed, None);
    let other = place.lake.import(json(long, &[("amount", "double")], false, Some(1))).await.unwrap_err();
    assert!(other.message().contains("decimal(30,2)"), "{other}");
    let absent = place.lake.import(json(long, &[("amuont", "double")], false, Some(1))).await.unwrap_err();
    assert!(absent.message().contains("no such column"), "{absent}");
}
