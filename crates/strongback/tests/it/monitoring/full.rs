//! A full disk while windows are computed and labels land: nothing is there by half, and once there is room all of it is.

use super::*;
use crate::promotion::lab::{Lab, on_every_store};

/// Nothing can be written to any file beyond this.
const LIMIT_BYTES: u64 = 4 << 10;
const MONITOR: &str = "/api/1.0/monitors/prod.risk.scores";

fn filled(lab: &mut Lab) {
    let path = "/api/1.0/tables/prod.risk.train/batches/a?format=csv&create=true&types=x:double,y:double";
    lab.put(path, train_rows().as_bytes());
    let rows = payload_rows(&(0..5).map(|at| hour(at, 200, 10.0 * at as f64)).collect::<String>());
    let path = "/api/1.0/tables/prod.risk.scores_payload/batches/a";
    lab.put(&format!("{path}?format=csv&create=true&types={PAYLOAD_TYPES}"), rows.as_bytes());
    lab.post("/api/1.0/monitors", &json!({ "yaml": YAML.replace("prod.risk.fraud", "prod.risk.scores") }));
}

/// Windows with their outcome, and how many figures each has.
fn computed(lab: &mut Lab) -> Vec<Value> {
    let found = lab.get(&format!("{MONITOR}/windows"))["windows"].as_array().unwrap().clone();
    found.iter().map(|one| json!([one["start"], one["outcome"], one["rows"]])).collect()
}

/// Waits until there is no room for what the job brings, as it says, or as the log does where the store has no room for that either.
fn refused(lab: &mut Lab, id: &str) {
    for _ in 0..600 {
        let job = lab.get(&format!("/api/1.0/jobs/{id}"));
        assert_ne!(job["state"], "succeeded", "{job}");
        let said = job["error"]["message"].as_str().is_some_and(|said| said.contains("is full"));
        if said || lab.server.log().contains("is full") {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it is not refused: {}", lab.server.log());
}

#[test]
fn windows_that_find_no_room_are_computed_once_there_is() {
    on_every_store(|mut lab: Lab| {
        filled(&mut lab);
        lab.server.limit_files(Some(LIMIT_BYTES)).unwrap();
        let (status, queued) = lab.try_post(&format!("{MONITOR}/run"), &json!({}));
        if status == 200 {
            refused(&mut lab, queued["job_id"].as_str().unwrap());
        } else {
            // The queue itself found no room, before its commit or in the midst of it.
            assert!(matches!(status, 503 | 504), "{queued}");
        }
        lab.server.limit_files(None).unwrap();
        for _ in 0..6 {
            let id = lab.post(&format!("{MONITOR}/run"), &json!({}))["job_id"].as_str().unwrap().to_owned();
            let job = lab.ended(&id);
            if job["state"] == "succeeded" {
                break;
            }
        }
        let windows = computed(&mut lab);
        assert_eq!(windows.len(), 5, "{windows:?} {}", lab.server.log());
        assert!(windows.iter().all(|window| window[2] == 200), "{windows:?}");
        // Each figure once.
        let twice = lab.sql(
            "SELECT count(*) AS n FROM (SELECT window_start, revision, metric, column_name FROM prod.risk.scores_drift \
             GROUP BY window_start, revision, metric, column_name HAVING count(*) > 1) AS t",
        );
        assert_eq!(twice[0]["n"], 0);
        let whole = lab
            .sql("SELECT count(DISTINCT window_start) AS n FROM prod.risk.scores_drift WHERE metric = 'psi'");
        assert_eq!(whole[0]["n"], 5);
    });
}

#[test]
fn labels_that_find_no_room_land_once_there_is() {
    on_every_store(|mut lab: Lab| {
        filled(&mut lab);
        let csv =
            (0..200).fold("request_id,label\n".to_owned(), |csv, row| format!("{csv}0-{row},{}\n", row % 2));
        let path = "/api/1.0/labels/prod.risk.scores/batches/a?format=csv";
        lab.server.limit_files(Some(LIMIT_BYTES)).unwrap();
        let refused = lab.answer_put(path, csv.as_bytes());
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(refused.text().contains("full"), "{}", refused.text());
        lab.server.limit_files(None).unwrap();
        let landed = lab.answer_put(path, csv.as_bytes());
        assert_eq!(landed.status, 200, "{} {}", landed.text(), lab.server.log());
        assert_eq!((&landed.json()["rows"], &landed.json()["matched"]), (&json!(200), &json!(200)));
        assert_eq!(lab.sql("SELECT count(*) AS n FROM prod.risk.scores_labels")[0]["n"], 200);
        let verified = lab.server.command(&["audit-log", "verify"]).unwrap();
        assert!(verified.status.success(), "{verified:?}");
    });
}
