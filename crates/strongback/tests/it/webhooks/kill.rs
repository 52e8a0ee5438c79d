//! kill -9 of a server right after it acknowledged something: after the next start every webhook is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{
    postgres,
    process::Launch,
    random::Random,
    server::{self, Server},
};

use super::{
    M, PATIENCE, SECRET, events,
    receiver::{Receiver, Reply},
};
use crate::support::kill_rounds;

/// In each round models are made until the process is killed, at a moment of no choice.
fn rounds(database_url: Option<&str>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // One request in three finds the receiver unwilling.
    let receiver =
        runtime.block_on(Receiver::start(|n, _| Reply::Status(if n % 3 == 1 { 503 } else { 200 })));
    let binary = server::strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap();
    let mut launch = Launch::strongback(binary, database_url);
    launch.arguments.extend(["--webhooks-allow".to_owned(), "127.0.0.1".to_owned()]);
    let mut running = Server::start(launch).unwrap();
    let body = json!({ "name": "h", "url": receiver.url, "events": events(&["REGISTERED_MODEL.CREATED"]), "secret": SECRET });
    let made = running.client().post(&format!("{M}/webhooks"), &body).unwrap();
    assert_eq!(made.status, 200);
    let seed = Random::arbitrary_seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut acknowledged = BTreeSet::new();
    for round in 0..kill_rounds() {
        let mut http = running.client();
        for n in 0..=random.below(6) {
            let name = format!("r{round}-{n}");
            let answer =
                http.post(&format!("{M}/registered-models/create"), &json!({ "name": name })).unwrap();
            assert_eq!(answer.status, 200);
            acknowledged.insert(name);
        }
        std::thread::sleep(Duration::from_millis(random.below(1_500)));
        running.kill9().unwrap();
        running.restart().unwrap();
    }
    let begun = Instant::now();
    let told = loop {
        let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for got in receiver.got() {
            got.verify(SECRET);
            let name = got.json()["data"]["name"].as_str().unwrap().to_owned();
            told.entry(name).or_default().insert(got.header("x-mlflow-delivery-id").to_owned());
        }
        if told.len() >= acknowledged.len() {
            break told;
        }
        assert!(begun.elapsed() < PATIENCE, "{} of {} were told", told.len(), acknowledged.len());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), acknowledged);
    assert!(told.values().all(|ids| ids.len() == 1), "what is sent twice is known by its id: {told:?}");
    running.terminate().unwrap();
}

#[test]
fn nothing_acknowledged_is_untold_on_sqlite() {
    rounds(None);
}

#[test]
fn nothing_acknowledged_is_untold_on_postgresql() {
    let Some(server) = postgres::server_url() else {
        println!("no PostgreSQL: set STRONGBACK_TEST_POSTGRES_URL, as `make test` does");
        return;
    };
    let database = postgres::fresh_database(&server).unwrap();
    rounds(Some(database.url()));
}
