//! kill -9 while features are computed: what was begun is finished or repeated, and leaves what computing everything does.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{
    http::Client,
    postgres,
    process::Launch,
    random::Random,
    server::{self, Server},
};

use super::{MINUTE, SOURCE, TABLE, csv, yaml};
use crate::support::kill_rounds;

pub fn post(client: &mut Client, path: &str, body: &Value) -> Value {
    let answer = client.post(path, body).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn dump(client: &mut Client, table: &str) -> String {
    let statement = format!("SELECT * FROM {table} ORDER BY at, card");
    let answer = client.post("/api/1.0/sql", &json!({ "statement": statement, "format": "csv" })).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

pub fn compute(client: &mut Client, table: &str, full: bool) -> Value {
    let path = format!("/api/1.0/feature-tables/{table}/materialize");
    post(client, &path, &json!({ "full": full, "wait_ms": 30_000 }))
}

pub fn import(client: &mut Client, round: i64) {
    let rows: Vec<super::Row> = (0..400)
        .map(|n| {
            (round * 1_000 + n, n % 5, round * 3 * MINUTE + n * 400_000, Some((n * 7 % 13) as f64 / 3.0))
        })
        .collect();
    let types = "id:long,card:long,at:timestamp,amount:double";
    let path = format!("/api/1.0/tables/{SOURCE}/batches/b{round}?format=csv&create=true&types={types}");
    let answer = client.put(&path, csv(&rows).as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn rounds(database_url: Option<&str>) {
    let binary = server::strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap();
    let mut server = Server::start(Launch::strongback(binary, database_url)).unwrap();
    let mut client = server.client();
    post(&mut client, "/api/2.1/unity-catalog/catalogs", &json!({ "name": "prod" }));
    post(&mut client, "/api/2.1/unity-catalog/schemas", &json!({ "name": "risk", "catalog_name": "prod" }));
    import(&mut client, 0);
    for table in [TABLE, "prod.risk.whole"] {
        post(&mut client, "/api/1.0/feature-tables", &json!({ "yaml": yaml(table, "card", "") }));
    }
    assert_eq!(compute(&mut client, TABLE, false)["state"], "succeeded");
    let seed = Random::arbitrary_seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let rounds = kill_rounds() as i64;
    for round in 1..=rounds {
        import(&mut client, round);
        let queued = post(&mut client, &format!("/api/1.0/feature-tables/{TABLE}/materialize"), &json!({}));
        std::thread::sleep(Duration::from_millis(random.below(120)));
        server.kill9().unwrap();
        server.restart().unwrap();
        client = server.client();
        let (path, until) = (
            format!("/api/1.0/jobs/{}", queued["job_id"].as_str().unwrap()),
            Instant::now() + Duration::from_secs(90),
        );
        loop {
            let job = client.get(&path).unwrap().json();
            match job["state"].as_str().unwrap() {
                "succeeded" => break,
                "queued" | "running" if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                _ => panic!("round {round}: {job}\n{}", server.log()),
            }
        }
        assert_eq!(compute(&mut client, "prod.risk.whole", true)["state"], "succeeded");
        assert_eq!(dump(&mut client, TABLE), dump(&mut client, "prod.risk.whole"), "round {round}");
        let shown = client.get(&format!("/api/1.0/feature-tables/{TABLE}")).unwrap().json();
        let published = &shown["published"];
        assert_eq!(
            (published["is_online"].clone(), published["versions_behind"].clone()),
            (json!(true), json!(0)),
            "{shown}"
        );
    }
    let versions = client.get(&format!("/api/1.0/tables/{TABLE}/versions")).unwrap().json();
    let of_batches: Vec<&Value> =
        versions["versions"].as_array().unwrap().iter().filter(|one| one["batch_id"].is_string()).collect();
    assert_eq!(of_batches.len() as i64, rounds + 1, "each version of the source landed once: {versions}");
    let source = client.get(&format!("/api/1.0/tables/{SOURCE}/versions")).unwrap().json();
    assert!(!source.to_string().contains("\"pins\""), "nothing stays pinned: {source}");
    let verified = server.command(&["audit-log", "verify"]).unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn features_are_whole_on_sqlite() {
    rounds(None);
}

#[test]
fn features_are_whole_on_postgresql() {
    let Some(server) = postgres::server_url() else {
        println!("no PostgreSQL: set STRONGBACK_TEST_POSTGRES_URL, as `make test` does");
        return;
    };
    let database = postgres::fresh_database(&server).unwrap();
    rounds(Some(database.url()));
}
