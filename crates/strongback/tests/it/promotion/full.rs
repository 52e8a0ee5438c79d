//! A full disk while gates are judged: whatever could not be written is written later or not at all, and never by half.

use std::time::Duration;

use serde_json::{Value, json};

use super::lab::{GOOD, Lab, MODEL, TABLE, WEAK, gates, on_every_store, rows};

/// Nothing can be written to any file beyond this.
const LIMIT_BYTES: u64 = 4 << 10;
/// Long enough that the disk is full in the midst of it.
const MORE: &str = "accuracy:\n  - metric: f1\n    margin: 1\n    resamples: 2000\n";

/// The gate reports of the model.
fn reports(lab: &mut Lab) -> Vec<Value> {
    lab.get(&format!("/api/1.0/gate-reports?model={MODEL}"))["reports"].as_array().unwrap().clone()
}

/// What a report says is there, whole: its run with its files and figures, its pin.
fn is_whole(lab: &mut Lab, report: &Value) {
    let run_id = report["run_id"].as_str().unwrap();
    let run = lab.get(&format!("/api/2.0/mlflow/runs/get?run_id={run_id}"));
    assert_eq!(run["run"]["info"]["status"], "FINISHED", "{run}");
    let files = lab.get(&format!("/api/2.0/mlflow/artifacts/list?run_id={run_id}"));
    let names: Vec<&str> =
        files["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(names, ["gates.json", "gates.md", "gates.xml"]);
}

#[test]
fn gates_on_a_full_disk_leave_one_report_or_none() {
    on_every_store(|mut lab: Lab| {
        let champion = lab.version(WEAK);
        assert_eq!(lab.alias("champion", champion).0, 200);
        let candidate = lab.version(GOOD);
        lab.import("prod.risk.many", &rows(3, 60_000));
        let config = gates(MORE).replace(TABLE, "prod.risk.many");
        for (round, after_ms) in [0, 100, 400, 1_000].into_iter().enumerate() {
            let before = reports(&mut lab).len();
            let job = lab.queue(candidate, &config, false);
            std::thread::sleep(Duration::from_millis(after_ms));
            lab.server.limit_files(Some(LIMIT_BYTES)).unwrap();
            std::thread::sleep(Duration::from_secs(4));
            lab.server.limit_files(None).unwrap();
            let ended = lab.ended(&job);
            let found = reports(&mut lab);
            match ended["state"].as_str() {
                Some("succeeded") => {
                    assert_eq!(found.len(), before + 1, "round {round}: {ended}");
                    assert_eq!(found[0]["report_id"], job.as_str());
                    is_whole(&mut lab, &found[0]);
                }
                _ => {
                    let said = ended["error"]["message"].as_str().unwrap_or_default();
                    assert!(
                        said.contains("full") || said.contains("room"),
                        "round {round}: {ended} {}",
                        lab.server.log()
                    );
                    assert!(found.len() <= before + 1, "round {round}: {ended}");
                }
            }
        }
        // It works as if nothing had been.
        let view = lab.judge(candidate, &config);
        assert_eq!(view["verdict"], "pass");
        is_whole(&mut lab, &json!({ "run_id": view["report"]["run_id"] }));
        let verified = lab.server.command(&["audit-log", "verify"]).unwrap();
        assert!(verified.status.success(), "{verified:?}");
    });
}
