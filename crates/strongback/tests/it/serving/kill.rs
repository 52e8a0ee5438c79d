//! kill -9 while requests are scored over HTTP: every request that was answered has exactly one row for each row that it
//! brought, and nothing else in the table is in parts.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{http::Client, postgres, random::Random};

use crate::{
    promotion::lab::{GOOD, Lab, MODEL},
    support::kill_rounds,
};

const WRITERS: u64 = 4;

/// Scores rows, one to three, until the server is gone; notes what was answered.
fn ask(mut client: Client, next: &AtomicU64, answered: &Mutex<BTreeMap<String, u64>>) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let rows = 1 + number % 3;
        let data: Vec<Value> = (0..rows).map(|row| json!([number as f64 / 1e3, row as f64])).collect();
        let body = json!({ "dataframe_split": { "columns": ["x1", "x2"], "data": data } });
        let Ok(answer) = client.post("/endpoints/score/invocations", &body) else { return };
        assert_eq!(answer.status, 200, "{}", answer.text());
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert_eq!(answered.lock().unwrap().insert(id, rows), None, "each request has an id of its own");
    }
}

/// One life of the server from its first answer on.
fn one_life(lab: &mut Lab, wait: Duration, next: &AtomicU64, answered: &Mutex<BTreeMap<String, u64>>) {
    let before = answered.lock().unwrap().len();
    let address = lab.server.address();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            let client = Client::new(address).with_timeout(Duration::from_mins(1));
            scope.spawn(|| ask(client, next, answered));
        }
        let until = Instant::now() + Duration::from_mins(1);
        while answered.lock().unwrap().len() == before && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(wait);
        lab.server.kill9().unwrap();
    });
    assert!(answered.lock().unwrap().len() > before, "it answered nothing: {}", lab.server.log());
    lab.server.restart().unwrap();
    lab.reconnect();
}

fn rounds(database_url: Option<&str>) {
    let mut lab = Lab::new(database_url, &[]);
    let version = lab.version(GOOD);
    assert_eq!(lab.alias("champion", version).0, 200);
    lab.post("/api/1.0/endpoints", &json!({ "name": "score", "model": format!("{MODEL}@champion") }));
    let seed = Random::arbitrary_seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let (next, answered) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
    for _ in 0..kill_rounds() {
        one_life(&mut lab, Duration::from_millis(random.below(700)), &next, &answered);
    }
    let log = lab.post("/api/1.0/endpoints/score/flush", &json!({}));
    let statement = format!(
        "SELECT _request_id AS id, count(*) AS n, count(DISTINCT _row) AS rows, max(_row) AS last FROM {} GROUP BY _request_id",
        log["table"].as_str().unwrap()
    );
    let lines = lab.sql(&statement);
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for line in &lines {
        let count = |name: &str| line[name].as_u64().unwrap();
        assert!(count("n") == count("rows") && count("n") == count("last") + 1, "in parts or twice: {line}");
        assert_eq!(found.insert(line["id"].as_str().unwrap().to_owned(), count("n")), None);
    }
    let answered = answered.into_inner().unwrap();
    for (id, rows) in &answered {
        assert_eq!(found.get(id), Some(rows), "request {id}");
    }
    println!("{} answered, {} in the table", answered.len(), found.len());
    let figure = |name: &str| log[name].as_u64().unwrap();
    assert_eq!(
        (figure("drained"), figure("waiting"), figure("given_up")),
        (found.len() as u64, 0, 0),
        "{log}"
    );
    assert_eq!(figure("drained_rows"), found.values().sum::<u64>());
    assert_eq!(figure("served") + figure("unanswered"), figure("logged"), "{log}");
    assert!(figure("served") >= answered.len() as u64, "{log}");
    let verified = lab.server.command(&["audit-log", "verify"]).unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn answered_requests_have_their_rows_once_on_sqlite() {
    rounds(None);
}

#[test]
fn answered_requests_have_their_rows_once_on_postgresql() {
    let Some(server) = postgres::server_url() else {
        println!("no PostgreSQL: set STRONGBACK_TEST_POSTGRES_URL, as `make test` does");
        return;
    };
    let database = postgres::fresh_database(&server).unwrap();
    rounds(Some(database.url()));
}
