//! Why a request got its answer: the report that the move rested on, the move, the run, and the inputs of the model that answered,
//! before and after what was served is brought into the table.

use serde_json::{Value, json};

use crate::promotion::{
    lab::{GOOD, Lab, MODEL, WEAK, gates, on_every_store},
    onnx::logistic,
};

const FLOORS: &str = "accuracy:\n  - metric: roc_auc\n    margin: 1\nfirst_champion:\n  - metric: roc_auc\n    at_least: 0.1\n";
const AGAINST: &str = "accuracy:\n  - metric: roc_auc\n    margin: 1\n";

/// Judges a version, and moves the champion to it; answers the report.
fn promoted(lab: &mut Lab, version: i64, more: &str) -> String {
    let job = lab.queue(version, &gates(more), true);
    assert_eq!(lab.ended(&job)["result"]["moved"], true);
    job
}

/// Scores a row once the endpoint answers with this version; answers the request's id.
fn asked(lab: &mut Lab, version: i64, columns: &[&str], row: &Value) -> String {
    let body = json!({ "dataframe_split": { "columns": columns, "data": [row] } });
    for _ in 0..200 {
        let answer = lab.answer("/endpoints/score/invocations", &body);
        if answer.status == 200 && answer.header("x-model-version") == Some(version.to_string().as_str()) {
            return answer.header("x-request-id").unwrap().to_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("version {version} does not answer: {}", lab.server.log());
}

fn names(row: &Value) -> Vec<&str> {
    row["inputs"].as_array().unwrap().iter().map(|input| input["name"].as_str().unwrap()).collect()
}

#[test]
fn an_answer_is_explained_by_what_it_rested_on_whatever_came_later() {
    on_every_store(|mut lab: Lab| {
        lab.govern(&["champion"]);
        let first = lab.version(GOOD);
        let moved_by = promoted(&mut lab, first, FLOORS);
        lab.post("/api/1.0/endpoints", &json!({ "name": "score", "model": format!("{MODEL}@champion") }));
        let one = asked(&mut lab, first, &["x2", "x1"], &json!([0.25, 0.5]));
        assert_eq!(lab.get(&format!("/api/1.0/requests/{one}/why"))["is_waiting"], true);
        // Later: another version with another input takes over, and the first is judged again.
        let second = lab.version_with(&logistic(&WEAK.0, WEAK.1), &["x1:double", "country_rate:double?"]);
        lab.post(
            "/api/1.0/model/promote",
            &json!({ "name": MODEL, "version": second.to_string(), "override": true, "reason": "to see" }),
        );
        lab.judge(first, &gates(AGAINST));
        let other = asked(&mut lab, second, &["x1", "country_rate"], &json!([1.0, 2.0]));
        for is_flushed in [false, true] {
            let found = lab.get(&format!("/api/1.0/requests/{one}/why"));
            assert!(!is_flushed || found["is_waiting"] == false, "{found:#}");
            assert_eq!(
                (&found["model"]["version"], &found["gate"]["report_id"]),
                (&json!(first), &json!(moved_by))
            );
            let step = &found["alias_move"];
            assert_eq!(
                (&step["to_version"], &step["evidence"]["gate_report"]),
                (&json!(first), &json!(moved_by))
            );
            // In the order of the signature, with what was sent, and nothing of the version that came later.
            let row = &found["rows"][0];
            assert_eq!(names(row), ["x1", "x2"], "{row}");
            assert_eq!((&row["inputs"][0]["value"], &row["inputs"][1]["value"]), (&json!(0.5), &json!(0.25)));
            assert_eq!(found["run"]["data"][0], json!(["prod.risk.training", "training set"]));
            let found = lab.get(&format!("/api/1.0/requests/{other}/why"));
            assert_eq!(names(&found["rows"][0]), ["x1", "country_rate"], "{found:#}");
            assert_eq!(found["alias_move"]["reason"], "to see");
            assert!(found["gate"].is_null(), "it was moved without a report: {found:#}");
            lab.post("/api/1.0/endpoints/score/flush", &json!({}));
        }
    });
}
