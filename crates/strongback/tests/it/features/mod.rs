//! Feature tables and training sets, through the interface and the real stores.

mod again;
mod declare;
mod equal;
mod full;
mod kill;
mod online;
mod pins;
mod set_kill;
mod superseded;
mod training;

use std::{fmt::Write as _, sync::Arc, time::Duration};

use serde_json::{Value, json};
use strongback::{
    app,
    catalog::authorize_admin,
    error::Error,
    features::{self, FeatureRef, KeyValue, Online},
    jobs,
};

use crate::{
    catalog::prod_risk,
    support::{TestApp, ok},
    tables::batch,
};

pub const SOURCE: &str = "prod.risk.transactions";
pub const TABLE: &str = "prod.risk.amounts";
/// 2026-11-24 00:00 UTC, in microseconds.
const DAY: i64 = 1_795_478_400_000_000;
const MINUTE: i64 = 60_000_000;

/// A source row: id, card, microseconds into the day, amount.
pub type Row = (i64, i64, i64, Option<f64>);

/// Runs something while the server's jobs are done.
pub async fn working<T>(test: &TestApp, work: impl AsyncFnOnce() -> T) -> T {
    let background = app::start_background(&test.app);
    let value = work().await;
    background.stop(Duration::from_mins(1)).await;
    value
}

/// Runs something while it is looked after what is to be queued, restored or taken away, and nobody does the jobs.
pub async fn looking<T>(test: &TestApp, work: impl AsyncFnOnce() -> T) -> T {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let looks = tokio::spawn(features::background(Arc::clone(&test.app), stopped));
    let value = work().await;
    stop.send(true).unwrap();
    looks.await.unwrap();
    value
}

pub fn yaml(name: &str, keys: &str, more: &str) -> String {
    format!(
        "version: 1\nname: {name}\nsource: {SOURCE}\nkeys: [{keys}]\ntimestamp: at\nrow_key: [id]\npane: 1m\nlateness: 5m\n{more}\
         features:\n\
         - {{name: n, aggregate: count, window: 5m}}\n\
         - {{name: mean, aggregate: mean, column: amount, window: 5m}}\n\
         - {{name: std, aggregate: std, column: amount, window: 10m}}\n"
    )
}

pub fn csv(rows: &[Row]) -> String {
    let mut text = "id,card,at,amount\n".to_owned();
    for (id, card, micros, amount) in rows {
        let (seconds, part) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let amount = amount.map(|amount| amount.to_string()).unwrap_or_default();
        let _ = writeln!(text, "{id},{card},2026-11-24T{h:02}:{m:02}:{s:02}.{part:06}Z,{amount}");
    }
    text
}

pub async fn import(test: &TestApp, id: &str, mode: &str, rows: &[Row]) -> Value {
    let query = format!("mode={mode}&types=id:long,card:long,at:timestamp,amount:double");
    ok(&batch(test, SOURCE, id, &query, &csv(rows)).await).clone()
}

pub async fn apply(test: &TestApp, yaml: &str) -> Value {
    ok(&test.post("/api/1.0/feature-tables", json!({ "yaml": yaml })).await).clone()
}

/// Computes a feature table and answers what the job did.
pub async fn materialize(test: &TestApp, name: &str, full: bool) -> Value {
    let path = format!("/api/1.0/feature-tables/{name}/materialize");
    let queued = test.post(&path, json!({ "full": full })).await;
    let id = ok(&queued)["job_id"].as_str().unwrap();
    // The machine may have much else to do.
    jobs::wait(&test.system(), id.parse().unwrap(), Duration::from_mins(3)).await.unwrap();
    let answer = test.get(&format!("/api/1.0/jobs/{id}")).await;
    let job = ok(&answer);
    assert_eq!(job["state"], "succeeded", "{job}");
    let read = job["cost"]["bytes_read"].as_i64().unwrap();
    assert!(read > 0 || !full, "{job}");
    job["result"].clone()
}

/// All rows of a table as text, in one order.
pub async fn dump(test: &TestApp, name: &str) -> String {
    let (status, text) = crate::tables::sql(test, &format!("SELECT * FROM {name} ORDER BY 1, 2, 3")).await;
    assert_eq!(status, 200, "{text}");
    text
}

/// The number of a securable.
pub async fn id_of(test: &TestApp, name: &str) -> i64 {
    let name = name.to_owned();
    let find = move |sql: &mut strongback::db::Sql<'_>| {
        authorize_admin(sql, "look")?;
        Ok(strongback::catalog::names::resolve(sql, &name, None)?.id)
    };
    test.system().read(find).await.unwrap()
}

/// What is published of a feature table, open for look-ups.
pub async fn open(test: &TestApp, name: &str) -> Result<Arc<Online>, Error> {
    let shown = test.get(&format!("/api/1.0/feature-tables/{name}")).await;
    let definition = ok(&shown)["published"]["definition"].as_i64().unwrap_or(1);
    features::open(&test.system(), FeatureRef { table: id_of(test, name).await, definition }).await
}

/// What a look-up found.
#[derive(Debug, PartialEq)]
pub struct Found {
    pub values: Vec<Option<f64>>,
    pub table_version: Option<u64>,
    pub source_version: u64,
}

pub fn find(online: &Online, keys: &[KeyValue], micros: i64) -> Result<Found, Error> {
    let publication = online.publication()?;
    Ok(Found {
        values: publication.look_up(keys, DAY + micros)?,
        table_version: publication.table_version(),
        source_version: publication.source_version(),
    })
}

pub async fn look_up(test: &TestApp, name: &str, card: Option<i64>, micros: i64) -> Vec<Option<f64>> {
    let online = open(test, name).await.unwrap();
    let keys: Vec<KeyValue> = card.map(KeyValue::Int).into_iter().collect();
    find(&online, &keys, micros).unwrap().values
}

/// The source and a feature table, with some minutes of rows.
pub async fn begin(test: &TestApp, keys: &str) -> Vec<Row> {
    prod_risk(test).await;
    let rows: Vec<Row> = vec![
        (1, 7, 0, Some(1.0)),
        (2, 7, 30_000_000, Some(2.0)),
        (3, 8, MINUTE, Some(4.0)),
        (4, 7, 3 * MINUTE, None),
        (5, 7, 4 * MINUTE + 1, Some(8.0)),
    ];
    import(test, "first", "append", &rows).await;
    apply(test, &yaml(TABLE, keys, "")).await;
    rows
}
