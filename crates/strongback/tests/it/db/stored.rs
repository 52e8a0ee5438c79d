//! Stores of former schemas: each file in `tests/stored` is one, as SQL, and must open and read the same for ever.
//!
//! `UPDATE_GOLDEN=1` writes the file of the newest schema anew, which is right only while that schema is unreleased:
//! with the release it is frozen like the migrations that made it.

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf};

use ed25519_dalek::{
    SigningKey,
    pkcs8::{EncodePrivateKey, spki::der::pem::LineEnding},
};
use rusqlite::{Connection, types::ValueRef};
use serde_json::{Value, json};
use strongback::{
    app,
    catalog::authorize_admin,
    db::migrate,
    events::{checkpoint::Maker, key, verify},
    router, tracking,
};

use crate::support::{TestApp, config, ok};

const M: &str = "/api/2.0/mlflow";
/// Larger files are no longer looked at by those who review them.
const BYTES_MAX: usize = 200_000;

fn file(schema: i64) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/stored/schema-{schema}.sql"))
}

/// The key of the data directory that all of them belong to. It signs nothing else.
fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// Opens the application on a data directory with that key, after `sql` made its store.
async fn opened(sql: Option<&str>) -> TestApp {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("data/keys");
    std::fs::create_dir_all(&keys).unwrap();
    let pem = signing_key().to_pkcs8_pem(LineEnding::LF).unwrap();
    std::fs::write(keys.join("checkpoint.pem"), pem.as_bytes()).unwrap();
    std::fs::write(keys.join("secrets.key"), "07".repeat(32)).unwrap();
    if let Some(sql) = sql {
        let store = Connection::open(dir.path().join("data/metadata.db")).unwrap();
        store.execute_batch(sql).unwrap();
    }
    let app = app::open(config(dir.path(), &[], None)).await.unwrap();
    let router = router::build(&app);
    TestApp::of(app, router, dir, None)
}

async fn post(test: &TestApp, path: &str, body: Value) -> Value {
    ok(&test.post(path, body).await).clone()
}

/// A run with parameters, tags, a data set, a long metric and one of few points, in eight batches.
async fn make_run(test: &TestApp, experiment: &str) -> String {
    let body =
        json!({ "experiment_id": experiment, "run_name": "first", "start_time": 1_700_000_000_000_i64 });
    let made = post(test, &format!("{M}/runs/create"), body).await;
    let run = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    for batch in 0..8_i64 {
        let mut metrics: Vec<Value> = (batch * 80..batch * 80 + 80)
            .map(|step| json!({ "key": "loss", "value": 1.0 / (step + 1) as f64, "timestamp": 1_000 + step, "step": step }))
            .collect();
        metrics.push(json!({ "key": "auc", "value": 0.5, "timestamp": 1_000 + batch, "step": batch }));
        let params = json!([{ "key": "lr", "value": "0.1" }]);
        let tags = json!([{ "key": "team", "value": "risk" }]);
        let body = json!({ "run_id": run, "metrics": metrics, "params": params, "tags": tags });
        post(test, &format!("{M}/runs/log-batch"), body).await;
    }
    let dataset = json!({ "name": "cards", "digest": "ab12", "source_type": "local", "source": "{}" });
    let body = json!({ "run_id": run, "datasets": [{ "dataset": dataset, "tags": [] }] });
    post(test, &format!("{M}/runs/log-inputs"), body).await;
    post(
        test,
        &format!("{M}/runs/update"),
        json!({ "run_id": run, "status": "FINISHED", "end_time": 1_700_000_001_000_i64 }),
    )
    .await;
    run
}

/// Fills a store with a little of everything that is read below.
async fn fill(test: &TestApp) {
    let made = post(test, &format!("{M}/experiments/create"), json!({ "name": "stored" })).await;
    let experiment = made["experiment_id"].as_str().unwrap().to_owned();
    let run = make_run(test, &experiment).await;
    tracking::catch_up(&test.app).await.unwrap();
    // Newer than the index, and with a piece that is not compacted.
    let body =
        json!({ "experiment_id": experiment, "run_name": "second", "start_time": 1_700_000_002_000_i64 });
    let second = post(test, &format!("{M}/runs/create"), body).await;
    for step in 0..3 {
        let body = json!({ "run_id": second["run"]["info"]["run_id"], "key": "loss", "value": 2.5, "timestamp": step, "step": step });
        post(test, &format!("{M}/runs/log-metric"), body).await;
    }
    post(test, &format!("{M}/registered-models/create"), json!({ "name": "fraud" })).await;
    for version in ["1", "2"] {
        let body = json!({ "name": "fraud", "source": "s3://bucket/model", "run_id": run });
        post(test, &format!("{M}/model-versions/create"), body).await;
        let body = json!({ "name": "fraud", "alias": "champion", "version": version });
        post(test, &format!("{M}/registered-models/alias"), body).await;
    }
    make_job(test).await;
    make_table(test).await;
    make_webhook(test).await;
    assert!(Maker::new(test.app.signing_key.clone()).make(&test.app.db).await.unwrap());
}

/// A table with two versions, one of them pinned. Its files are not in the store.
async fn make_table(test: &TestApp) {
    for (batch, rows) in [("a", "id\n1\n2\n"), ("b", "id\n3\n")] {
        let path = format!("/api/1.0/tables/main.default.kept/batches/{batch}?format=csv&create=true");
        let mut request = crate::support::request("PUT", &path, None);
        *request.body_mut() = axum::body::Body::from(rows);
        ok(&test.send(request).await);
    }
    post(test, "/api/1.0/tables/main.default.kept/pins", json!({ "version": 1, "reason": "audit" })).await;
}

/// A webhook with a secret, and a delivery to it that waits.
async fn make_webhook(test: &TestApp) {
    let event = json!({ "entity": "REGISTERED_MODEL", "action": "CREATED" });
    let body = json!({ "name": "ci", "url": "https://8.8.8.8/hook", "events": [event], "secret": "hush" });
    post(test, &format!("{M}/webhooks"), body).await;
    post(test, &format!("{M}/registered-models/create"), json!({ "name": "told" })).await;
    assert_eq!(strongback::webhooks::consume(&test.app).await.unwrap(), 1);
}

async fn read_webhooks(test: &TestApp) {
    let found = test.get(&format!("{M}/webhooks")).await;
    let hook = &ok(&found)["webhooks"][0];
    assert_eq!((&hook["name"], &hook["url"]), (&json!("ci"), &json!("https://8.8.8.8/hook")));
    let path = format!("/api/1.0/webhooks/{}/deliveries", hook["webhook_id"].as_str().unwrap());
    let delivery = ok(&test.get(&path).await)["deliveries"][0].clone();
    assert_eq!(
        (&delivery["event"], &delivery["state"]),
        (&json!("registered_model.created"), &json!("waiting"))
    );
}

async fn read_tables(test: &TestApp) {
    let found = test.get("/api/1.0/tables/main.default.kept/versions").await;
    let versions = ok(&found)["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 3);
    assert_eq!((&versions[0]["rows"], &versions[0]["batch_id"]), (&json!(3), &json!("b")));
    assert_eq!(versions[1]["pins"][0]["reason"], "audit");
    let table = test.get("/api/2.1/unity-catalog/tables/main.default.kept").await;
    assert_eq!(
        (&ok(&table)["table_type"], &ok(&table)["columns"][0]["type_text"]),
        (&json!("MANAGED"), &json!("bigint"))
    );
}

/// A command and a job of it that was begun, said something and goes on.
async fn make_job(test: &TestApp) {
    let definition =
        json!({ "argv": ["/bin/echo", "{n}"], "params": { "n": { "type": "integer", "default": 1 } } });
    post(test, "/api/1.0/commands", json!({ "name": "main.default.train", "definition": definition })).await;
    let run = json!({ "params": { "n": "7" }, "idempotency_key": "stored" });
    let job = post(test, "/api/1.0/commands/main.default.train/run", run).await;
    let leased = post(test, "/api/1.0/runner/lease", json!({ "runner": "r", "lease_seconds": 600 })).await;
    assert_eq!(leased["job"]["job_id"], job["job_id"]);
    let beat =
        json!({ "runner": "r", "fencing_token": 1, "log": "a line\n", "log_at": 0, "lease_seconds": 1 });
    let path = format!("/api/1.0/runner/jobs/{}/heartbeat", job["job_id"].as_str().unwrap());
    post(test, &path, beat).await;
}

/// Its lease ran out long ago, and it had one attempt.
async fn read_jobs(test: &TestApp) {
    let listed = test.get("/api/1.0/jobs?asset=main.default.train").await;
    let job = &ok(&listed)["jobs"][0];
    assert_eq!((&job["state"], &job["payload"]["params"]["n"]), (&json!("running"), &json!("7")));
    let log = test.get(&format!("/api/1.0/jobs/{}/log", job["job_id"].as_str().unwrap())).await;
    assert_eq!(ok(&log)["text"], "a line\n");
    let none = post(test, "/api/1.0/runner/lease", json!({ "runner": "other", "wait_seconds": 2 })).await;
    assert_eq!(none, json!({}));
    let ended = test.get(&format!("/api/1.0/jobs/{}", job["job_id"].as_str().unwrap())).await;
    assert_eq!(ok(&ended)["error"]["code"], "LEASE_LOST");
    let command = test.get("/api/1.0/commands/main.default.train").await;
    assert_eq!(ok(&command)["definition"]["argv"], json!(["/bin/echo", "{n}"]));
}

fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(text) => format!("'{}'", std::str::from_utf8(text).unwrap().replace('\'', "''")),
        ValueRef::Blob(bytes) => format!("X'{}'", hex::encode(bytes)),
    }
}

/// The text of a query's only column.
fn texts(store: &Connection, query: &str) -> Vec<String> {
    let mut prepared = store.prepare(query).unwrap();
    let rows = prepared.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// A store as SQL: its tables, their rows, its indexes.
fn dump(store: &Connection) -> String {
    let mut out = String::from("PRAGMA foreign_keys = OFF;\n");
    let tables =
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid";
    for sql in texts(store, tables) {
        writeln!(out, "{sql};").unwrap();
    }
    for table in texts(store, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name") {
        let mut prepared = store.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).unwrap();
        let columns = prepared.column_count();
        let mut rows = prepared.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<String> = (0..columns).map(|at| literal(row.get_ref(at).unwrap())).collect();
            writeln!(out, "INSERT INTO {table} VALUES ({});", values.join(", ")).unwrap();
        }
    }
    for sql in
        texts(store, "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY rowid")
    {
        writeln!(out, "{sql};").unwrap();
    }
    out
}

/// What tables and indexes there are.
fn shape(store: &Connection) -> BTreeSet<String> {
    texts(store, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
        .into_iter()
        .collect()
}

/// Closes the application and answers its store.
async fn closed(test: TestApp) -> (Connection, tempfile::TempDir) {
    let TestApp { app, router, dir, .. } = test;
    drop(router);
    let db = app.db.clone();
    tokio::task::spawn_blocking(move || db.close()).await.unwrap();
    (Connection::open(dir.path().join("data/metadata.db")).unwrap(), dir)
}

async fn points(test: &TestApp, run: &Value, key: &str) -> Vec<i64> {
    let run = run["info"]["run_id"].as_str().unwrap();
    let answer = test.get(&format!("{M}/metrics/get-history?run_id={run}&metric_key={key}")).await;
    let points = ok(&answer)["metrics"].as_array().unwrap().clone();
    points.iter().map(|point| point["step"].as_i64().unwrap()).collect()
}

async fn read_runs(test: &TestApp) {
    let found = test.get(&format!("{M}/experiments/get-by-name?experiment_name=stored")).await;
    let experiment = ok(&found)["experiment"]["experiment_id"].clone();
    let search = async |filter: &str| {
        let body = json!({ "experiment_ids": [experiment], "filter": filter });
        let found = post(test, &format!("{M}/runs/search"), body).await;
        let runs = found["runs"].as_array().unwrap().clone();
        assert_eq!(runs.len(), 1, "{filter}");
        runs[0].clone()
    };
    let first = search("params.lr = '0.1' and metrics.loss < 0.01 and tags.team = 'risk'").await;
    assert_eq!(first["info"]["run_name"], "first");
    assert_eq!(first["info"]["status"], "FINISHED");
    assert_eq!(first["info"]["start_time"], 1_700_000_000_000_i64);
    assert_eq!(first["data"]["params"], json!([{ "key": "lr", "value": "0.1" }]));
    assert_eq!(first["inputs"]["dataset_inputs"][0]["dataset"]["digest"], "ab12");
    assert_eq!(points(test, &first, "loss").await, (0..640).collect::<Vec<_>>(), "of a chunk");
    assert_eq!(points(test, &first, "auc").await, (0..8).collect::<Vec<_>>(), "of a compacted piece");
    let second = search("metrics.loss > 2").await;
    assert_eq!(second["info"]["run_name"], "second");
    assert_eq!(points(test, &second, "loss").await, [0, 1, 2], "of pieces");
    // Documents and segments of former schemas did not keep them.
    for _ in 0..2 {
        assert_eq!(search("metrics.loss.max = 1").await["info"]["run_name"], "first", "of a chunk");
        assert_eq!(
            search("metrics.`auc`.min = 0.5").await["info"]["run_name"],
            "first",
            "of a compacted piece"
        );
        assert_eq!(search("metrics.loss.min = 2.5").await["info"]["run_name"], "second", "of pieces");
        tracking::catch_up(&test.app).await.unwrap();
    }
}

async fn read_models(test: &TestApp) {
    let found = test.get(&format!("{M}/registered-models/alias?name=fraud&alias=champion")).await;
    let version = &ok(&found)["model_version"];
    assert_eq!((&version["version"], &version["source"]), (&json!("2"), &json!("s3://bucket/model")));
    let history = test.get("/api/1.0/history?name=fraud&alias=champion").await;
    let moves = ok(&history)["moves"].as_array().unwrap().clone();
    let moves: Vec<(&Value, &Value)> =
        moves.iter().map(|each| (&each["from_version"], &each["to_version"])).collect();
    assert_eq!(moves, [(&json!(1), &json!(2)), (&Value::Null, &json!(1))]);
}

/// The whole chain is verified, up to the checkpoint that was signed then.
async fn read_events(test: &TestApp) {
    let known = [key::public(&signing_key())];
    let ctx = test.system();
    let verified = ctx.read(move |sql| {
        authorize_admin(sql, "test")?;
        verify::verify(sql, None, &known)
    });
    let report = verified.await.unwrap();
    assert!(report.is_clean() && report.proven.is_some() && report.entries > 15, "{report:?}");
    let listed = test.get("/api/1.0/audit-log?action=alias").await;
    let events = ok(&listed)["events"].as_array().unwrap().clone();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event["asset"].to_string().contains("fraud")), "{events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_of_every_schema_open_and_read_the_same() {
    let newest = file(migrate::NEWEST);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let test = opened(None).await;
        fill(&test).await;
        let (store, _dir) = closed(test).await;
        std::fs::write(&newest, dump(&store)).unwrap();
    }
    let mut read = 0;
    for schema in (1..=migrate::NEWEST).filter(|schema| file(*schema).exists()) {
        let sql = std::fs::read_to_string(file(schema)).unwrap();
        assert!(sql.len() <= BYTES_MAX, "{} bytes of schema {schema}", sql.len());
        let test = opened(Some(&sql)).await;
        read_runs(&test).await;
        read_models(&test).await;
        read_events(&test).await;
        if schema >= 6 {
            read_jobs(&test).await;
        }
        if schema >= 7 {
            read_tables(&test).await;
        }
        if schema >= 13 {
            read_webhooks(&test).await;
        }
        // And it goes on.
        post(&test, &format!("{M}/experiments/create"), json!({ "name": "later" })).await;
        read += 1;
    }
    assert!(read > 0 && newest.exists(), "no store of schema {}: UPDATE_GOLDEN=1 makes it", migrate::NEWEST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stored_store_is_of_the_schema_that_migrations_make() {
    let stored = Connection::open_in_memory().unwrap();
    stored.execute_batch(&std::fs::read_to_string(file(migrate::NEWEST)).unwrap()).unwrap();
    let (fresh, _dir) = closed(opened(None).await).await;
    assert_eq!(
        shape(&stored),
        shape(&fresh),
        "Migrations of schema {} were edited. If it is unreleased: UPDATE_GOLDEN=1 writes its stored store anew. If it was \
         released, they must not be: write the next migration.",
        migrate::NEWEST
    );
}
