//! kill -9 while a training set is made: it comes to be once and whole, with the rows that its recipe makes.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{
    postgres,
    process::Launch,
    random::Random,
    server::{self, Server},
};

use super::{
    TABLE,
    kill::{compute, import, post},
    yaml,
};
use crate::support::kill_rounds;

const SETS: &str = "/api/1.0/training-sets";
const LABELS: u64 = 20_000;

fn rounds(database_url: Option<&str>) {
    let binary = server::strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap();
    let mut server = Server::start(Launch::strongback(binary, database_url)).unwrap();
    let mut client = server.client();
    post(&mut client, "/api/2.1/unity-catalog/catalogs", &json!({ "name": "prod" }));
    post(&mut client, "/api/2.1/unity-catalog/schemas", &json!({ "name": "risk", "catalog_name": "prod" }));
    import(&mut client, 0);
    post(&mut client, "/api/1.0/feature-tables", &json!({ "yaml": yaml(TABLE, "card", "") }));
    assert_eq!(compute(&mut client, TABLE, false)["state"], "succeeded");
    let rows: String =
        (0..LABELS).map(|n| format!("{n},{},2026-11-24T00:{:02}:00Z\n", n % 7, n % 60)).collect();
    let path =
        "/api/1.0/tables/prod.risk.labels/batches/a?format=csv&create=true&types=card:long,at:timestamp";
    let landed = client.put(path, format!("id,card,at\n{rows}").as_bytes()).unwrap();
    assert_eq!(landed.status, 200, "{}", landed.text());
    let seed = Random::arbitrary_seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for round in 0..kill_rounds() {
        let name = format!("prod.risk.set{round}");
        let asked = json!({ "name": name, "labels": "prod.risk.labels", "features": [TABLE] });
        let begun = post(&mut client, SETS, &asked);
        std::thread::sleep(Duration::from_millis(random.below(400)));
        server.kill9().unwrap();
        server.restart().unwrap();
        client = server.client();
        let (path, until) = (
            format!("/api/1.0/jobs/{}", begun["job"]["job_id"].as_str().unwrap()),
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
        let made = client.get(&format!("{SETS}/{name}")).unwrap().json();
        assert_eq!(made["rows"], LABELS, "round {round}: {made}");
        let judged = post(&mut client, &format!("{SETS}/{name}/rebuild"), &json!({}));
        assert_eq!(judged["verdict"], "equal", "round {round}: {judged}");
    }
    let verified = server.command(&["audit-log", "verify"]).unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn training_sets_are_whole_on_sqlite() {
    rounds(None);
}

#[test]
fn training_sets_are_whole_on_postgresql() {
    let Some(server) = postgres::server_url() else {
        println!("no PostgreSQL: set STRONGBACK_TEST_POSTGRES_URL, as `make test` does");
        return;
    };
    let database = postgres::fresh_database(&server).unwrap();
    rounds(Some(database.url()));
}
