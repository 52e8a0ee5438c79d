//! The end of a process: kill -9 at random moments under four writing clients, and an orderly stop under load. Nothing
//! acknowledged is lost, halved or doubled.
//!
//! Ten rounds here, on each database; `make torture` runs a hundred. The seed is printed when a round fails.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use testkit::{
    postgres,
    process::Launch,
    random::Random,
    server::{self, Server},
    torture::{Config, kill_rounds},
};

const ROUNDS: u32 = 10;

fn rounds(database_url: Option<&str>) {
    let binary = server::strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap();
    let config = Config::strongback(binary, database_url, ROUNDS, Random::arbitrary_seed());
    let report = kill_rounds(&config).unwrap().into_result().unwrap();
    println!("{report}");
}

#[test]
fn nothing_acknowledged_is_lost_on_sqlite() {
    rounds(None);
}

#[test]
fn nothing_acknowledged_is_lost_on_postgresql() {
    let Some(server) = postgres::server_url() else {
        println!("no PostgreSQL: set STRONGBACK_TEST_POSTGRES_URL, as `make test` does");
        return;
    };
    let database = postgres::fresh_database(&server).unwrap();
    rounds(Some(database.url()));
}

/// Eight clients write; once a hundred writes are acknowledged the server is told to stop.
fn stop_under_load(database_url: Option<&str>) {
    let binary = server::strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap();
    let mut running = Server::start(Launch::strongback(binary, database_url)).unwrap();
    let (address, count) = (running.address(), AtomicUsize::new(0));
    let acknowledged: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|client| {
                let count = &count;
                scope.spawn(move || {
                    let mut http = testkit::http::Client::new(address);
                    let mut made = Vec::new();
                    for n in 0.. {
                        let name = format!("c{client}-{n}");
                        let answer =
                            http.post("/api/2.0/mlflow/experiments/create", &json!({ "name": name }));
                        if !answer.is_ok_and(|answer| answer.status == 200) {
                            break;
                        }
                        made.push(name);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    made
                })
            })
            .collect();
        while count.load(Ordering::Relaxed) < 100 {
            std::thread::yield_now();
        }
        assert!(running.terminate().unwrap().success());
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    running.restart().unwrap();
    let mut http = running.client();
    for name in &acknowledged {
        let path = format!("/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}");
        assert_eq!(http.get(&path).unwrap().status, 200, "{name} of {} is lost", acknowledged.len());
    }
}

#[test]
fn a_stop_under_load_loses_nothing_on_sqlite() {
    stop_under_load(None);
}

#[test]
fn a_stop_under_load_loses_nothing_on_postgresql() {
    let Some(server) = postgres::server_url() else {
        println!("no PostgreSQL: set STRONGBACK_TEST_POSTGRES_URL, as `make test` does");
        return;
    };
    let database = postgres::fresh_database(&server).unwrap();
    stop_under_load(Some(database.url()));
}
