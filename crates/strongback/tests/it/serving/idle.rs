//! What a server does by itself: it brings what it served into tables, and opens no engine that nobody needs.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::json;

use super::why::with_features;
use crate::promotion::lab::{GOOD, Lab, MODEL, on_every_store, on_every_store_with};

const PATIENCE: Duration = Duration::from_mins(1);

fn serve(lab: &mut Lab) {
    let version = lab.version(GOOD);
    lab.endpoint("scores", &format!("{MODEL}/{version}"));
}

/// Two rows, of which nobody asks that they be in a table.
fn ask(lab: &mut Lab) {
    let body = json!({ "dataframe_split": { "columns": ["x1", "x2"], "data": [[0.5, 0.25], [0.0, 0.5]] } });
    lab.post("/endpoints/scores/invocations", &body);
}

/// Rows of the payload table; none where there is no such table yet.
fn rows(lab: &mut Lab) -> u64 {
    let asked = json!({ "statement": "SELECT count(*) AS n FROM prod.risk.scores_payload" });
    let answer = lab.answer("/api/1.0/sql", &asked);
    if answer.status == 404 {
        return 0;
    }
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["n"].as_u64().unwrap()
}

fn wait_for(lab: &mut Lab, count: u64) {
    let until = Instant::now() + PATIENCE;
    while rows(lab) != count {
        assert!(Instant::now() < until, "{} rows instead of {count}: {}", rows(lab), lab.server.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Data files of all tables.
fn files(place: &Path) -> usize {
    let tables = std::fs::read_dir(place).unwrap().map(|table| table.unwrap().path());
    let of = |table: &Path| std::fs::read_dir(table).unwrap().map(|file| file.unwrap().path());
    let is_data = |file: &std::path::PathBuf| file.extension().is_some_and(|end| end == "parquet");
    tables.map(|table| of(&table).filter(is_data).count()).sum()
}

#[test]
fn what_was_served_lands_after_its_time() {
    on_every_store_with(&["--payload-seconds", "1"], |mut lab: Lab| {
        serve(&mut lab);
        for round in 1..=2 {
            ask(&mut lab);
            wait_for(&mut lab, 2 * round);
        }
    });
}

#[test]
fn what_was_served_lands_at_a_stop_and_at_a_start() {
    on_every_store_with(&["--payload-seconds", "3600"], |mut lab: Lab| {
        serve(&mut lab);
        ask(&mut lab);
        let tables = lab.server.data_dir().join("tables");
        let before = files(&tables);
        assert!(lab.server.terminate().unwrap().success());
        assert_eq!(files(&tables), before + 1, "a stop lets its rows land");
        lab.server.restart().unwrap();
        lab.reconnect();
        lab.endpoint_is_ready("scores");
        assert_eq!(rows(&mut lab), 2);
        // Killed, it leaves them to the next start.
        ask(&mut lab);
        lab.server.kill9().unwrap();
        assert_eq!(files(&tables), before + 1);
        lab.server.restart().unwrap();
        lab.reconnect();
        wait_for(&mut lab, 4);
    });
}

/// A server with all there is opens its engine for whoever asks first, and not to look around.
#[test]
fn a_started_server_opens_no_engine() {
    on_every_store(|mut lab: Lab| {
        with_features(&mut lab);
        serve(&mut lab);
        ask(&mut lab);
        lab.post("/api/1.0/endpoints/scores/flush", &json!({}));
        let monitor = "version: 1\nwatch: prod.risk.scores\nbaseline: prod.risk.training@1\nwindow: { length: 1h }\n\
                       lateness: 1h\nprediction: _prediction\nmetrics: [psi]\n";
        lab.post("/api/1.0/monitors", &json!({ "yaml": monitor }));
        let queued = lab.post("/api/1.0/monitors/prod.risk.scores/run", &json!({}));
        assert_eq!(lab.ended(queued["job_id"].as_str().unwrap())["state"], "succeeded");
        assert!(lab.server.terminate().unwrap().success());
        // The engine makes it when it is opened.
        let spill = lab.server.data_dir().join("query-spill");
        std::fs::remove_dir_all(&spill).unwrap();
        lab.server.restart().unwrap();
        lab.reconnect();
        lab.endpoint_is_ready("scores");
        // Beyond the first looks of whatever works beside requests.
        std::thread::sleep(Duration::from_secs(8));
        assert!(!spill.exists(), "somebody opened the engine: {}", lab.server.log());
        ask(&mut lab);
        assert!(!spill.exists(), "a request did");
        assert_eq!(lab.sql("SELECT 1 AS one")[0]["one"], 1);
        assert!(spill.exists());
    });
}
