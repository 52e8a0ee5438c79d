//! kill -9 while rows land: every batch that was acknowledged is there once, every other one once or not at all, and can be
//! sent again.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use testkit::{
    http::Client,
    postgres,
    process::Launch,
    random::Random,
    server::{self, Server},
};

use crate::support::kill_rounds;

const WRITERS: u64 = 3;
/// Rows of a batch at most.
const ROWS_MAX: u64 = 20_000;

/// The rows of a batch, which its number tells: some of them bad.
fn rows(number: u64) -> (String, u64, u64) {
    let mut random = Random::new(number);
    let (mut csv, mut good, mut bad) = ("id,batch\n".to_owned(), 0, 0);
    for id in 0..=random.below(ROWS_MAX) {
        if random.chance(1, 1_000) {
            csv.push_str("x,y\n");
            bad += 1;
        } else {
            let _ = writeln!(csv, "{id},{number}");
            good += 1;
        }
    }
    (csv, good, bad)
}

fn send(client: &mut Client, number: u64) -> Option<Value> {
    let path = format!(
        "/api/1.0/tables/prod.risk.t/batches/b{number}?format=csv&create=true&types=id:long,batch:long&quarantine=prod.risk.bad"
    );
    let answer = client.put(&path, rows(number).0.as_bytes()).ok()?;
    (answer.status == 200).then(|| answer.json())
}

fn count(client: &mut Client, table: &str, group: &str) -> BTreeMap<String, u64> {
    let statement =
        format!("SELECT CAST({group} AS STRING) AS b, count(*) AS n FROM {table} GROUP BY {group}");
    let answer = client.post("/api/1.0/sql", &json!({ "statement": statement })).unwrap();
    if answer.status == 404 {
        return BTreeMap::new();
    }
    assert_eq!(answer.status, 200, "{}", answer.text());
    let lines = answer.text();
    let rows = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (row["b"].as_str().unwrap().to_owned(), row["n"].as_u64().unwrap())).collect()
}

fn rounds(database_url: Option<&str>) {
    let binary = server::strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap();
    let mut server = Server::start(Launch::strongback(binary, database_url)).unwrap();
    let mut client = server.client();
    for (path, body) in [
        ("/api/2.1/unity-catalog/catalogs", json!({ "name": "prod" })),
        ("/api/2.1/unity-catalog/schemas", json!({ "name": "risk", "catalog_name": "prod" })),
    ] {
        assert_eq!(client.post(path, &body).unwrap().status, 200);
    }
    let seed = Random::arbitrary_seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let (next, sent, landed) = (AtomicU64::new(0), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    for _ in 0..kill_rounds() {
        let wait = Duration::from_millis(50 + random.below(900));
        let address = server.address();
        std::thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    let mut client = Client::new(address);
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        sent.lock().unwrap().push(number);
                        if send(&mut client, number).is_none() {
                            break;
                        }
                        landed.lock().unwrap().push(number);
                    }
                });
            }
            std::thread::sleep(wait);
            server.kill9().unwrap();
        });
        server.restart().unwrap();
        check(&mut server.client(), &sent.lock().unwrap(), &landed.lock().unwrap());
    }
    // Whoever was not answered sends again.
    let mut client = server.client();
    for number in sent.lock().unwrap().iter() {
        assert!(send(&mut client, *number).is_some(), "batch {number}: {}", server.log());
    }
    let all = sent.lock().unwrap().clone();
    check(&mut client, &all, &all);
    let verified = server.command(&["audit-log", "verify"]).unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

/// Each landed batch is there whole, each other one whole or not at all; so are its bad rows.
fn check(client: &mut Client, sent: &[u64], landed: &[u64]) {
    let good = count(client, "prod.risk.t", "batch");
    let bad = count(client, "prod.risk.bad", "batch_id");
    for number in sent {
        let (_, good_rows, bad_rows) = rows(*number);
        let found = good.get(&number.to_string()).copied().unwrap_or_default();
        let found_bad = bad.get(&format!("b{number}")).copied().unwrap_or_default();
        let is_whole = found == good_rows && found_bad == bad_rows;
        let is_absent = found == 0 && found_bad == 0;
        let must_be = landed.contains(number);
        assert!(
            is_whole || (is_absent && !must_be),
            "batch {number} (acknowledged: {must_be}): {found} of {good_rows} rows, {found_bad} of {bad_rows} bad ones"
        );
    }
}

#[test]
fn batches_are_whole_on_sqlite() {
    rounds(None);
}

#[test]
fn batches_are_whole_on_postgresql() {
    let Some(server) = postgres::server_url() else {
        println!("no PostgreSQL: set STRONGBACK_TEST_POSTGRES_URL, as `make test` does");
        return;
    };
    let database = postgres::fresh_database(&server).unwrap();
    rounds(Some(database.url()));
}
