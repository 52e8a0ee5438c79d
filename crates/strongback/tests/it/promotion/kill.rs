//! kill -9 while a candidate is judged and while the alias moves: one report a job, one move a report.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{postgres, random::Random};

use super::lab::{GOOD, Lab, MODEL, gates};
use crate::support::kill_rounds;

const GATES: &str = "accuracy:\n  - metric: roc_auc\n    margin: 1\nlatency:\n  p99_ms: 60000\n  requests: 1000\n  max_noise: 1000\nfirst_champion:\n  - metric: roc_auc\n    at_least: 0.1\n";

fn rounds(database_url: Option<&str>) {
    let mut lab = Lab::new(database_url, &[]);
    lab.govern(&["champion"]);
    let versions = [lab.version(GOOD), lab.version(GOOD)];
    let begun = Instant::now();
    let job = lab.queue(versions[0], &gates(GATES), true);
    assert_eq!(lab.ended(&job)["result"]["moved"], true);
    let usual = begun.elapsed();
    let seed = Random::arbitrary_seed();
    println!("seed {seed}, undisturbed {usual:?}");
    let mut random = Random::new(seed);
    let rounds = kill_rounds();
    for round in 1..=rounds {
        let candidate = versions[(round % 2) as usize];
        let job = lab.queue(candidate, &gates(GATES), true);
        // The later half of a run is where it stores its report and moves the alias.
        let share = if round % 2 == 0 { random.unit() } else { 0.5 + random.unit() * 0.6 };
        std::thread::sleep(Duration::from_secs_f64(usual.as_secs_f64() * share));
        lab.server.kill9().unwrap();
        lab.server.restart().unwrap();
        lab.reconnect();
        let ended = lab.ended(&job);
        assert_eq!(
            (&ended["state"], &ended["result"]["moved"]),
            (&json!("succeeded"), &json!(true)),
            "{ended}"
        );
        assert_eq!(lab.points_to("champion"), Some(candidate), "round {round}");
        let history = lab.get(&format!("/api/1.0/history?name={MODEL}&alias=champion&max_results=1000"));
        let moves = history["moves"].as_array().unwrap();
        let of_job = moves.iter().filter(|step| step["evidence"]["gate_report"] == job.as_str()).count();
        assert_eq!((of_job, moves.len() as u64), (1, round + 1), "round {round}: {history:#}");
        let report = lab.get(&format!("/api/1.0/gate-reports/{job}"));
        let run = lab.get(&format!("/api/2.0/mlflow/runs/get?run_id={}", report["run_id"].as_str().unwrap()));
        assert_eq!(run["run"]["info"]["status"], "FINISHED");
        let metrics = run["run"]["data"]["metrics"].as_array().unwrap();
        let p99 = metrics.iter().find(|metric| metric["key"] == "latency.p99").unwrap();
        let checks = report["report"]["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == "latency.p99").unwrap();
        assert_eq!(p99["value"], check["estimate"]["value"], "the run shows the report that there is");
    }
    let reports = lab.get(&format!("/api/1.0/gate-reports?model={MODEL}&max_results=100"));
    assert_eq!(reports["reports"].as_array().unwrap().len() as u64, (rounds + 1).min(100));
    let verified = lab.server.command(&["audit-log", "verify"]).unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn one_report_and_one_move_on_sqlite() {
    rounds(None);
}

#[test]
fn one_report_and_one_move_on_postgresql() {
    let Some(server) = postgres::server_url() else {
        println!("no PostgreSQL: set STRONGBACK_TEST_POSTGRES_URL, as `make test` does");
        return;
    };
    let database = postgres::fresh_database(&server).unwrap();
    rounds(Some(database.url()));
}
