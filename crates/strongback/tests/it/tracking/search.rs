//! Searching runs: the same answer from fresh documents, from the index, and from both at once.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongback::{
    bind, db,
    error::Code,
    tracking::{Columns, Indexer, scan::View, search},
};

use super::{M, experiment, log, run};
use crate::support::{TestApp, ok, on_every_store};

const FILTERS: &[(&str, &[&str])] = &[
    ("", &[]),
    ("metrics.auc > 0.55", &["metrics.auc DESC"]),
    ("metrics.auc <= 0.55 AND params.depth != '3'", &["params.depth", "metrics.auc"]),
    ("tags.team = 'risk' AND metrics.auc != 0.5", &["tags.mlflow.runName DESC"]),
    ("params.rare IS NULL", &["attributes.start_time DESC"]),
    ("params.rare IS NOT NULL", &["run_name"]),
    ("status = 'FINISHED'", &["metrics.missing DESC", "run_name"]),
    ("run_name LIKE 'run-1%'", &["attributes.end_time"]),
    ("tags.team IN ('growth', 'x') AND params.depth NOT IN ('3', '4')", &["dataset.name DESC", "run_name"]),
    (
        "end_time IS NULL AND status NOT IN ('FINISHED')",
        &["experiment_id", "lifecycle_stage", "run_name DESC"],
    ),
    ("end_time IS NOT NULL OR dataset.name IS NULL", &["dataset.context", "end_time DESC"]),
    ("metrics.auc IS NULL OR metrics.auc.min IS NOT NULL", &["dataset.digest", "run_name"]),
    ("user_id IS NULL", &["user_id", "run_name"]),
    ("NOT run_id IS NULL AND lifecycle_stage IN ('active')", &["lifecycle_stage DESC", "run_id"]),
];

async fn names(test: &TestApp, home: &str, filter: &str, order: &[&str], page: usize) -> Vec<String> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let body = json!({ "experiment_ids": [home], "filter": filter, "order_by": order, "max_results": page, "page_token": token });
        let answer = test.post(&format!("{M}/runs/search"), body).await;
        let answer = ok(&answer);
        let name = |run: &Value| run["info"]["run_name"].as_str().unwrap().to_owned();
        found.extend(answer["runs"].as_array().into_iter().flatten().map(name));
        match answer["next_page_token"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => return found,
        }
    }
}

async fn all_answers(test: &TestApp, home: &str) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    for (filter, order) in FILTERS {
        let whole = names(test, home, filter, order, 1_000).await;
        assert_eq!(names(test, home, filter, order, 7).await, whole, "pages of {filter:?}");
        answers.push(whole);
    }
    answers
}

async fn fill(test: &TestApp, home: &str, runs: std::ops::Range<usize>) {
    for n in runs {
        let id = run(test, home, &format!("run-{n:02}")).await;
        let mut params = vec![json!({ "key": "depth", "value": (n % 5).to_string() })];
        if n % 7 == 0 {
            params.push(json!({ "key": "rare", "value": "yes" }));
        }
        log(
            test,
            &id,
            json!({
                "metrics": [{ "key": "auc", "value": 0.5 + (n % 13) as f64 / 100.0, "timestamp": n, "step": 0 }],
                "params": params,
                "tags": [{ "key": "team", "value": if n % 2 == 0 { "risk" } else { "growth" } }],
            }),
        )
        .await;
        if n % 4 == 0 {
            let inputs: Vec<Value> = ["train", "eval"]
                .iter()
                .map(|name| {
                    json!({
                        "dataset": { "name": format!("{name}-{}", n % 8), "digest": "1", "source_type": "local", "source": "{}" },
                        "tags": [{ "key": "mlflow.data.context", "value": name }],
                    })
                })
                .collect();
            let body = json!({ "run_id": id, "datasets": inputs });
            ok(&test.post(&format!("{M}/runs/log-inputs"), body).await);
        }
        if n % 3 == 0 {
            let end =
                json!({ "run_id": id, "status": "FINISHED", "end_time": 1_700_000_000_500_i64 + n as i64 });
            ok(&test.post(&format!("{M}/runs/update"), end).await);
        }
    }
}

#[test]
fn index_and_documents_answer_alike() {
    on_every_store(|test| async move {
        let home = experiment(&test, "search").await;
        fill(&test, &home, 0..40).await;
        let from_documents = all_answers(&test, &home).await;
        let counts: Vec<usize> = from_documents.iter().map(Vec::len).collect();
        assert_eq!((counts[0], &counts[8..12], counts[13]), (40, &[12, 26, 34, 40][..], 40));
        assert_eq!(
            names(&test, &home, "dataset.name IS NOT NULL", &["dataset.name DESC", "run_name"], 3).await,
            [4, 12, 20, 28, 36, 0, 8, 16, 24, 32].map(|n| format!("run-{n:02}")),
        );
        strongback::tracking::catch_up(&test.app).await.unwrap();
        assert_eq!(all_answers(&test, &home).await, from_documents);

        // Newer documents hide their rows in the index, and new runs stand beside it.
        fill(&test, &home, 40..60).await;
        let best = names(&test, &home, "metrics.auc > 0.61", &["run_name"], 100).await;
        assert_eq!(best, ["run-12", "run-25", "run-38", "run-51"]);
        let mixed = all_answers(&test, &home).await;
        strongback::tracking::catch_up(&test.app).await.unwrap();
        assert_eq!(all_answers(&test, &home).await, mixed);
        assert_eq!(mixed[0].len(), 60);
    });
}

#[test]
fn what_was_indexed_is_hidden_by_what_was_written_since() {
    on_every_store(|test| async move {
        let home = experiment(&test, "rewritten").await;
        let id = run(&test, &home, "r").await;
        let point = |value: f64, step: i64| json!({ "metrics": [{ "key": "m", "value": value, "timestamp": 1, "step": step }] });
        log(&test, &id, point(1.0, 0)).await;
        strongback::tracking::catch_up(&test.app).await.unwrap();
        log(&test, &id, point(-1.0, 1)).await;
        for _ in 0..2 {
            assert!(names(&test, &home, "metrics.m > 0", &[], 10).await.is_empty());
            assert_eq!(names(&test, &home, "metrics.m < 0", &[], 10).await, ["r"]);
            strongback::tracking::catch_up(&test.app).await.unwrap();
        }
    });
}

#[test]
fn a_token_continues_its_own_search_only() {
    on_every_store(|test| async move {
        let home = experiment(&test, "tokens").await;
        fill(&test, &home, 0..3).await;
        let search = |filter: &str, token: &str| json!({ "experiment_ids": [home], "filter": filter, "max_results": 1, "page_token": token });
        let path = format!("{M}/runs/search");
        let first = test.post(&path, search("", "")).await;
        let token = ok(&first)["next_page_token"].as_str().unwrap().to_owned();
        ok(&test.post(&path, search("", &token)).await);
        for (filter, token) in [("metrics.auc > 0", token.as_str()), ("", "nonsense")] {
            let answer = test.post(&path, search(filter, token)).await;
            assert_eq!((answer.status, answer.error_code()), (400, "INVALID_PARAMETER_VALUE"), "{answer:?}");
        }
    });
}

#[test]
fn a_search_ends_when_nobody_waits_for_it_any_more() {
    on_every_store(|test| async move {
        let home = experiment(&test, "left").await;
        fill(&test, &home, 0..3).await;
        let ask = || search::RunSearch {
            experiments: vec![home.parse().unwrap()],
            filter: None,
            order: Vec::new(),
            view: View::Active,
            limit: 10,
            after: None,
        };
        // Over documents, then over the index.
        for _ in 0..2 {
            let asked = ask();
            let found = test
                .system()
                .read(move |sql| Ok(search::find(sql, &Columns::default(), &asked)?.0.len()))
                .await;
            assert_eq!(found.unwrap(), 3);

            let (asked, ctx) = (ask(), test.system());
            let (begins, begun) = tokio::sync::oneshot::channel();
            let (leave, left) = std::sync::mpsc::channel::<()>();
            let (tell, told) = std::sync::mpsc::channel();
            let waiting = tokio::spawn(async move {
                let read = move |sql: &mut db::Sql<'_>| {
                    begins.send(()).unwrap();
                    let _ = left.recv();
                    let error = search::find(sql, &Columns::default(), &asked).err();
                    tell.send((sql.limit().check().is_err(), error)).unwrap();
                    Ok(())
                };
                ctx.read(read).await
            });
            begun.await.unwrap();
            waiting.abort();
            assert!(waiting.await.unwrap_err().is_cancelled());
            drop(leave);
            let (is_over, error) = told.recv_timeout(Duration::from_secs(30)).unwrap();
            assert!(is_over, "the limit of the read is over for what computes as well");
            assert_eq!(error.map(|error| error.code()), Some(Code::TemporarilyUnavailable));
            strongback::tracking::catch_up(&test.app).await.unwrap();
        }
    });
}

/// What one text and one pattern could cost: seconds of work in which a reader was held.
#[test]
fn a_hostile_pattern_is_refused_or_cheap() {
    on_every_store(|test| async move {
        let home = experiment(&test, "patterns").await;
        let id = run(&test, &home, "r").await;
        log(&test, &id, json!({ "tags": [{ "key": "t", "value": "a".repeat(8_000) }] })).await;
        let found = async |pattern: String| {
            let filter = format!("tags.t LIKE '{pattern}'");
            test.post(&format!("{M}/runs/search"), json!({ "experiment_ids": [home], "filter": filter }))
                .await
        };
        let refused = found(format!("%{}b%", "_a".repeat(2_000))).await;
        assert_eq!((refused.status, refused.error_code()), (400, "INVALID_PARAMETER_VALUE"), "{refused:?}");
        let message = refused.json["message"].as_str().unwrap();
        assert!(message.contains("at most 1000 characters") && message.contains('^'), "{message}");
        assert_eq!(found("_".repeat(65)).await.status, 400);
        let started = Instant::now();
        for _ in 0..2 {
            assert_eq!(ok(&found(format!("%{}b%", "_a".repeat(62))).await).get("runs"), None);
            strongback::tracking::catch_up(&test.app).await.unwrap();
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    });
}

static SPOIL: db::Stmt = db::Stmt::new("UPDATE run SET document = $2 WHERE uuid = $1");
static MARKED: db::Stmt =
    db::Stmt::new("SELECT r.uuid FROM run_fresh f JOIN run r ON r.id = f.run_id ORDER BY r.id");

async fn marked(test: &TestApp) -> Vec<String> {
    let read = |sql: &mut db::Sql<'_>| sql.all(&MARKED, bind![], |row| row.get(0));
    test.app.db.read(&db::Origin::system(), read).await.unwrap()
}

#[test]
fn a_damaged_run_keeps_its_mark_and_keeps_nobody_waiting_or_from_the_others() {
    on_every_store(|test| async move {
        let (early, late) = (experiment(&test, "early").await, experiment(&test, "late").await);
        fill(&test, &early, 0..3).await;
        let bad = run(&test, &early, "bad").await;
        strongback::tracking::catch_up(&test.app).await.unwrap();
        // What the index knows of it is older than what cannot be read.
        log(&test, &bad, json!({ "tags": [{ "key": "t", "value": "u" }] })).await;
        fill(&test, &early, 3..6).await;
        fill(&test, &late, 0..6).await;
        let spoil = async |document: &'static [u8]| {
            let bad = bad.clone();
            let spoilt = test.app.db.derive(move |tx| tx.execute(&SPOIL, bind![&bad, document])).await;
            assert_eq!(spoilt.unwrap(), 1);
        };
        spoil(b"no document").await;
        // Twice: the second time it is known to be damaged.
        let mut indexer = Indexer::new(&test.app, Duration::from_mins(5));
        let mut impatient = Indexer::new(&test.app, Duration::ZERO);
        for _ in 0..2 {
            assert_eq!(names(&test, &early, "", &[], 4).await.len(), 6);
            indexer.catch_up().await.unwrap();
            impatient.catch_up().await.unwrap();
            assert_eq!(marked(&test).await, std::slice::from_ref(&bad));
        }
        assert_eq!(names(&test, &early, "run_name = 'bad'", &[], 4).await, Vec::<String>::new());
        assert_eq!(names(&test, &late, "metrics.auc >= 0.5", &[], 100).await.len(), 6);
        let overview = test.get("/api/1.0/overview").await;
        assert_eq!(ok(&overview)["runs"].as_array().unwrap().len(), 12);
        assert_eq!(test.get("/").await.status, 200);
        // It is mended where it lies, an empty document of version 1, and indexed like any other once it is tried again.
        spoil(b"\x01\0\0\0\0").await;
        indexer.catch_up().await.unwrap();
        assert_eq!(marked(&test).await, std::slice::from_ref(&bad));
        impatient.catch_up().await.unwrap();
        assert_eq!(marked(&test).await, Vec::<String>::new());
        assert_eq!(names(&test, &early, "", &[], 4).await.len(), 7);
        // Damaged once it is in the index, it is found there and left out of the page.
        spoil(b"no document").await;
        assert_eq!(names(&test, &early, "", &[], 4).await.len(), 6);
    });
}

#[test]
fn a_page_ends_by_its_bytes_and_a_data_set_is_shared() {
    on_every_store(|test| async move {
        let home = experiment(&test, "profiles").await;
        let profile = "p".repeat(9 << 20);
        for n in 0..7 {
            let id = run(&test, &home, &format!("run-{n}")).await;
            let mut dataset = json!({ "name": "d", "digest": "1", "source_type": "x", "source": "y" });
            if n == 0 {
                dataset["profile"] = json!(profile);
            }
            let uses = json!([{ "tags": [{ "key": "mlflow.data.context", "value": n.to_string() }], "dataset": dataset }]);
            ok(&test.post(&format!("{M}/runs/log-inputs"), json!({ "run_id": id, "datasets": uses })).await);
        }
        let (mut token, mut pages, mut contexts) = (String::new(), Vec::new(), Vec::new());
        loop {
            let body = json!({ "experiment_ids": [home], "order_by": ["run_name"], "page_token": token });
            let answer = test.post(&format!("{M}/runs/search"), body).await;
            let runs = ok(&answer)["runs"].as_array().unwrap();
            pages.push(runs.len());
            for run in runs {
                let used = &run["inputs"]["dataset_inputs"][0];
                assert_eq!(used["dataset"]["profile"].as_str().map(str::len), Some(9 << 20));
                contexts.push(used["tags"][0]["value"].as_str().unwrap().to_owned());
            }
            match answer.json["next_page_token"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => break,
            }
        }
        assert_eq!(pages, [3, 3, 1]);
        assert_eq!(contexts, ["0", "1", "2", "3", "4", "5", "6"]);
    });
}

/// Values of metrics, in the order of their steps.
type Logged = &'static [(&'static str, &'static [&'static str])];

#[test]
fn a_metric_is_searched_by_all_its_values() {
    on_every_store(|test| async move {
        let home = experiment(&test, "aggregates").await;
        let values: &[(&str, Logged)] = &[
            ("dips", &[("loss", &["5", "-1", "2"])]),
            ("falls", &[("loss", &["9", "3", "1"])]),
            ("once", &[("loss", &["2"])]),
            ("nan", &[("loss", &["NaN", "4", "NaN"])]),
            ("only-nan", &[("loss", &["NaN", "NaN"])]),
            ("bursts", &[("loss", &["Infinity", "0"])]),
            ("literal", &[("loss", &["7", "6"]), ("loss.min", &["-9", "100"])]),
            ("without", &[("auc", &["1"])]),
        ];
        for (name, metrics) in values {
            let id = run(&test, &home, name).await;
            for (key, values) in *metrics {
                let points = values
                    .iter()
                    .enumerate()
                    .map(|(step, value)| json!({ "key": key, "value": value, "timestamp": 1, "step": step }));
                log(&test, &id, json!({ "metrics": points.collect::<Vec<_>>() })).await;
            }
        }
        let check = async |filter: &str, order: &str, expect: &[&str]| {
            let order = if order.is_empty() { vec!["run_name"] } else { vec![order, "run_name"] };
            for page in [2, 100] {
                assert_eq!(
                    names(&test, &home, filter, &order, page).await,
                    expect,
                    "{filter:?} by {order:?}"
                );
            }
        };
        for _ in 0..2 {
            check("metrics.`loss`.min < 2", "", &["bursts", "dips", "falls"]).await;
            check("metrics.loss.min < 2", "", &["bursts", "dips", "falls"]).await;
            check("metrics.loss.min > 50", "", &["literal"]).await;
            check("metrics.`loss.min` < 200", "", &["literal"]).await;
            check("metrics.loss.max > 1e308 OR metrics.`loss`.min = 6", "", &["bursts", "literal"]).await;
            check("NOT metrics.loss.max >= 5", "", &["nan", "once", "only-nan", "without"]).await;
            check("metrics.loss.max != 4", "", &["bursts", "dips", "falls", "literal", "once"]).await;
            check("metrics.loss.last = 2", "", &["dips", "once"]).await;
            let smallest = ["dips", "bursts", "falls", "once", "nan", "literal", "only-nan", "without"];
            check("", "metrics.`loss`.min", &smallest).await;
            let largest = ["bursts", "falls", "literal", "dips", "nan", "once", "only-nan", "without"];
            check("", "metrics.loss.max DESC", &largest).await;
            strongback::tracking::catch_up(&test.app).await.unwrap();
        }
    });
}

static AGE: db::Stmt = db::Stmt::new("UPDATE run_segment SET format = 1");
static FORGET: db::Stmt = db::Stmt::new("DELETE FROM run_column WHERE kind IN (6, 7)");
static FORMATS: db::Stmt = db::Stmt::new("SELECT format FROM run_segment ORDER BY id");
static DOCUMENTS: db::Stmt = db::Stmt::new("SELECT document FROM run ORDER BY id");
static SPOIL_HISTORY: db::Stmt =
    db::Stmt::new("UPDATE metric_piece SET body = $2 WHERE run_id = (SELECT id FROM run WHERE uuid = $1)");
/// What version 1 wrote of a run whose metric `loss` has three points, the latest 2.5 at step and time 2.
const OLD: &[u8] = b"\x01\0\x01\x0emlflow.runName\x03old\x01\x04loss\x07\0\0\x20\x40\x04\x04\0";

async fn derive(test: &TestApp, stmt: &'static db::Stmt) {
    test.app.db.derive(move |tx| tx.execute(stmt, bind![])).await.unwrap();
}

/// A run as an older version left it: its history whole, its document without bounds.
async fn old_run(test: &TestApp, home: &str, first: f64) -> String {
    let id = run(test, home, "old").await;
    for (step, value) in [first, -1.0, 2.5].into_iter().enumerate() {
        let point = json!({ "key": "loss", "value": value, "timestamp": step, "step": step });
        log(test, &id, json!({ "metrics": [point] })).await;
    }
    let uuid = id.clone();
    test.app.db.derive(move |tx| tx.execute(&SPOIL, bind![&uuid, OLD])).await.unwrap();
    id
}

#[test]
fn what_an_older_version_left_is_answered_by_its_history_and_built_anew() {
    on_every_store(|test| async move {
        let home = experiment(&test, "older").await;
        let (first, second) = (old_run(&test, &home, 9.0).await, old_run(&test, &home, 50.0).await);
        // Indexed by the older version; the second is marked again.
        strongback::tracking::catch_up(&test.app).await.unwrap();
        derive(&test, &AGE).await;
        derive(&test, &FORGET).await;
        for id in [&first, &second] {
            let uuid = id.clone();
            test.app.db.derive(move |tx| tx.execute(&SPOIL, bind![&uuid, OLD])).await.unwrap();
        }
        log(&test, &second, json!({ "tags": [{ "key": "t", "value": "u" }] })).await;

        let count = async |filter: &str| names(&test, &home, filter, &["metrics.loss.max"], 1).await.len();
        assert_eq!((count("metrics.loss.max > 8").await, count("metrics.loss.max > 40").await), (2, 1));
        assert_eq!((count("metrics.loss.min = -1").await, count("metrics.loss = 2.5").await), (2, 2));
        // What comes before the index does is not lost.
        let points = json!({ "metrics": [{ "key": "loss", "value": -70, "timestamp": 0, "step": 0 }] });
        log(&test, &first, points).await;
        for _ in 0..2 {
            assert_eq!((count("metrics.loss.max > 8").await, count("metrics.loss.max > 40").await), (2, 1));
            assert_eq!(
                (count("metrics.loss.min < -60").await, count("metrics.loss.min >= -1").await),
                (1, 1)
            );
            strongback::tracking::catch_up(&test.app).await.unwrap();
        }
        assert_eq!(marked(&test).await, Vec::<String>::new());
        let read = |sql: &mut db::Sql<'_>| {
            let formats = sql.all(&FORMATS, bind![], |row| row.get::<i64>(0))?;
            Ok((formats, sql.all(&DOCUMENTS, bind![], |row| row.get::<Vec<u8>>(0))?))
        };
        let (formats, documents) = test.app.db.read(&db::Origin::system(), read).await.unwrap();
        assert_eq!(formats, [2]);
        assert!(documents.iter().all(|document| document[0] == 2), "documents keep what was found");
    });
}

#[test]
fn a_damaged_history_leaves_out_its_own_run_alone() {
    on_every_store(|test| async move {
        let home = experiment(&test, "holes").await;
        let bad = old_run(&test, &home, 9.0).await;
        old_run(&test, &home, 9.0).await;
        let uuid = bad.clone();
        let spoilt: &[u8] = b"no piece";
        test.app.db.derive(move |tx| tx.execute(&SPOIL_HISTORY, bind![&uuid, spoilt])).await.unwrap();
        for _ in 0..2 {
            assert_eq!(names(&test, &home, "metrics.loss.max = 9", &[], 10).await.len(), 1);
            assert_eq!(names(&test, &home, "metrics.loss = 2.5", &[], 10).await.len(), 2);
            strongback::tracking::catch_up(&test.app).await.unwrap();
            assert_eq!(marked(&test).await, std::slice::from_ref(&bad));
        }
    });
}
