//! A full disk while features are computed: the job says so, nothing is published by half, and once there is room all of it is.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};
use testkit::random::Random;

use crate::promotion::lab::{Lab, on_every_store};

/// Above what the stores of metadata need of a single file here, and below what is computed.
const LIMIT_BYTES: u64 = 8 << 20;
const ROWS: u64 = 120_000;
const SET: &str = "prod.risk.day";
/// Of the set: more than there is room for, and no more than it takes.
const SET_ROWS: u64 = 110_000;
const SOURCE: &str = "prod.risk.payments";
/// So many that their features take more room than there is.
const COLUMNS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// Rows of which each has a card and a minute of its own, with numbers that nothing makes shorter.
fn payments() -> String {
    let mut random = Random::new(5);
    let mut csv = format!("id,card,at,{}\n", COLUMNS.join(","));
    for id in 0..ROWS {
        let (hour, minute) = (id / 60 % 20, id % 60);
        let mut number = || random.unit();
        let numbers: Vec<String> = COLUMNS.iter().map(|_| number().to_string()).collect();
        writeln!(csv, "{id},{},2026-11-24T{hour:02}:{minute:02}:00Z,{}", id / 1_200, numbers.join(","))
            .unwrap();
    }
    csv
}

fn declare(lab: &mut Lab, name: &str, columns: &[&str]) {
    let mut yaml = format!(
        "version: 1\nname: {name}\nsource: {SOURCE}\nkeys: [card]\ntimestamp: at\nrow_key: [id]\npane: 1m\nlateness: 5m\nfeatures:\n"
    );
    for column in columns {
        writeln!(yaml, "- {{name: of_{column}, aggregate: mean, column: {column}, window: 2m}}").unwrap();
    }
    lab.post("/api/1.0/feature-tables", &json!({ "yaml": yaml }));
}

/// Queues the computation of a table and answers its job.
fn begin(lab: &mut Lab, name: &str) -> String {
    let path = format!("/api/1.0/feature-tables/{name}/materialize");
    lab.post(&path, &json!({ "full": false }))["job_id"].as_str().unwrap().to_owned()
}

/// The job once it was refused for want of room, and is to be tried again or has failed.
fn refused(lab: &mut Lab, id: &str) -> Value {
    for _ in 0..1_200 {
        let job = lab.get(&format!("/api/1.0/jobs/{id}"));
        if job["error"]["message"].as_str().is_some_and(|said| said.contains("full")) {
            return job;
        }
        assert_ne!(job["state"], "succeeded", "{job}");
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it is not refused: {} {}", lab.get(&format!("/api/1.0/jobs/{id}")), lab.server.log());
}

/// The job that computes it, whichever that is by now, once it succeeded.
fn computed(lab: &mut Lab, name: &str) {
    for _ in 0..6 {
        let id = begin(lab, name);
        let job = lab.ended(&id);
        if job["state"] == "succeeded" {
            return;
        }
    }
    panic!("it is not computed: {}", lab.server.log());
}

fn rows(lab: &mut Lab, name: &str) -> u64 {
    lab.sql(&format!("SELECT count(*) AS n FROM {name}"))[0]["n"].as_u64().unwrap()
}

#[test]
fn what_finds_no_room_is_published_whole_once_there_is() {
    on_every_store(|mut lab: Lab| {
        lab.import(SOURCE, &payments());
        declare(&mut lab, "prod.risk.wide", &COLUMNS);
        declare(&mut lab, "prod.risk.narrow", &["a"]);
        lab.server.limit_files(Some(LIMIT_BYTES)).unwrap();

        // Its rows do not fit.
        let id = begin(&mut lab, "prod.risk.wide");
        let job = refused(&mut lab, &id);
        assert!(job["error"]["message"].as_str().unwrap().contains("Free space"), "{job}");
        assert_eq!(rows(&mut lab, "prod.risk.wide"), 0, "nothing of it is there");
        // The rows of this one fit, and what is looked up by key does not.
        let id = begin(&mut lab, "prod.risk.narrow");
        let job = refused(&mut lab, &id);
        assert!(job["error"]["message"].as_str().unwrap().contains("online features is full"), "{job}");
        let shown = lab.get("/api/1.0/feature-tables/prod.risk.narrow");
        assert!(shown["published"].is_null(), "{shown}");
        // So does a training set find no room for its rows.
        let set = json!({ "name": SET, "labels": SOURCE, "where": format!("id < {SET_ROWS}"), "wait_ms": 0 });
        let id = lab.post("/api/1.0/training-sets", &set)["job"]["job_id"].as_str().unwrap().to_owned();
        let job = refused(&mut lab, &id);
        assert!(job["error"]["message"].as_str().unwrap().contains("Free space"), "{job}");
        assert_eq!(lab.try_send("GET", &format!("/api/1.0/training-sets/{SET}"), &Value::Null).0, 404);
        // What needs no room goes on.
        assert_eq!(rows(&mut lab, SOURCE), ROWS);

        lab.server.limit_files(None).unwrap();
        for name in ["prod.risk.wide", "prod.risk.narrow"] {
            computed(&mut lab, name);
            let found = rows(&mut lab, name);
            assert!(found >= ROWS, "{name}: {found}");
            let twice = lab.sql(&format!(
                "SELECT count(*) AS n FROM (SELECT card, at FROM {name} GROUP BY card, at HAVING count(*) > 1) AS t"
            ));
            assert_eq!(twice[0]["n"], 0, "{name}");
            let shown = lab.get(&format!("/api/1.0/feature-tables/{name}"));
            assert!(!shown["published"].is_null(), "{shown}");
        }
        if lab.ended(&id)["state"] != "succeeded" {
            let again = json!({ "name": SET, "labels": SOURCE, "where": format!("id < {SET_ROWS}"), "wait_ms": 60_000 });
            let made = lab.post("/api/1.0/training-sets", &again);
            assert_eq!(made["job"]["state"], "succeeded", "{made}");
        }
        let judged = lab.post(&format!("/api/1.0/training-sets/{SET}/rebuild"), &json!({}));
        assert_eq!((&judged["verdict"], &judged["rows"]), (&json!("equal"), &json!(SET_ROWS)), "{judged}");
        // Both have the same of the same rows.
        let differ = lab.sql(
            "SELECT count(*) AS n FROM prod.risk.wide AS w JOIN prod.risk.narrow AS n ON w.card = n.card AND w.at = n.at \
             WHERE w.of_a IS DISTINCT FROM n.of_a",
        );
        assert_eq!(differ[0]["n"], 0);
        let verified = lab.server.command(&["audit-log", "verify"]).unwrap();
        assert!(verified.status.success(), "{verified:?}");
    });
}
