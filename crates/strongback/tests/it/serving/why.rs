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

pub(super) const PANES: &str = "prod.risk.panes";
pub(super) const FEATURES: &str = "version: 1\nname: prod.risk.panes\nsource: prod.risk.payments\nkeys: [card]\ntimestamp: at\n\
                                   row_key: [id]\npane: 1m\nlateness: 5m\nfeatures:\n\
                                   - {name: mean, aggregate: mean, column: amount, window: 5m}\n\
                                   - {name: n, aggregate: count, window: 5m}\n";

/// A table of features by card, where that of card 8 has the mean 4 at five past midnight, and a training set on it.
pub(super) fn with_features(lab: &mut Lab) {
    let types = "types=id:long,card:long,at:timestamp,amount:double";
    let rows = "id,card,at,amount\n1,7,2026-11-24T00:00:00Z,1\n2,8,2026-11-24T00:01:00Z,4\n3,7,2026-11-24T00:04:00Z,2\n";
    let batch = |name: &str| format!("/api/1.0/tables/prod.risk.{name}/batches/one?format=csv&create=true&");
    lab.put(&format!("{}{types}", batch("payments")), rows.as_bytes());
    lab.post("/api/1.0/feature-tables", &json!({ "yaml": FEATURES }));
    let queued = lab.post("/api/1.0/feature-tables/prod.risk.panes/materialize", &json!({}));
    let job = lab.ended(queued["job_id"].as_str().unwrap());
    assert_eq!(job["state"], "succeeded", "{job}");
    let labels = "id,at,card,class\n1,2026-11-24T00:05:00Z,7,1\n2,2026-11-24T00:05:00Z,8,0\n";
    let types = "types=id:long,card:long,at:timestamp,class:long";
    lab.put(&format!("{}{types}", batch("labels")), labels.as_bytes());
    let set = json!({
        "name": "prod.risk.day", "labels": "prod.risk.labels", "features": ["prod.risk.panes"], "label": "class",
    });
    let queued = lab.post("/api/1.0/training-sets", &set);
    assert_eq!(lab.ended(queued["job"]["job_id"].as_str().unwrap())["state"], "succeeded");
}

/// What is looked up after a further publication is told with that one's version, and what was looked up before with its own.
fn says_the_version_that_it_was_served_from(lab: &mut Lab, before: &str) {
    let published = |lab: &mut Lab| {
        lab.get("/api/1.0/feature-tables/prod.risk.panes")["published"]["table_version"].as_u64().unwrap()
    };
    let from = |lab: &mut Lab, id: &str| {
        let found = lab.get(&format!("/api/1.0/requests/{id}/why"));
        let mean = &found["rows"][0]["inputs"][1];
        (mean["value"].clone(), mean["from"]["version"].as_u64().unwrap())
    };
    let first = published(lab);
    assert_eq!(from(lab, before), (json!(4.0), first));
    // A later payment of the card, within the five minutes of 00:06.
    let rows = "id,card,at,amount\n4,8,2026-11-24T00:04:00Z,6\n";
    lab.put(
        "/api/1.0/tables/prod.risk.payments/batches/two?format=csv&types=id:long,card:long,at:timestamp,amount:double",
        rows.as_bytes(),
    );
    let queued = lab.post("/api/1.0/feature-tables/prod.risk.panes/materialize", &json!({}));
    assert_eq!(lab.ended(queued["job_id"].as_str().unwrap())["state"], "succeeded");
    let second = published(lab);
    assert!(second > first, "{second} comes after {first}");
    let body =
        json!({ "dataframe_records": [{ "x1": 2.0, "card": 8 }], "event_time": "2026-11-24T00:05:00Z" });
    let answer = lab.answer("/endpoints/cards/invocations", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let after = answer.header("x-request-id").unwrap().to_owned();
    assert_eq!(from(lab, &after), (json!(5.0), second));
    assert_eq!(from(lab, before), (json!(4.0), first));
    // It is what that version of the table has.
    for (version, mean) in [(first, 4.0), (second, 5.0)] {
        let statement = format!(
            "SELECT mean FROM prod.risk.panes VERSION AS OF {version} WHERE card = 8 AND at <= TIMESTAMP '2026-11-24T00:05:00Z' \
             ORDER BY at DESC LIMIT 1"
        );
        assert_eq!(lab.sql(&statement)[0]["mean"], mean, "version {version}");
    }
}

#[test]
fn what_was_looked_up_and_what_was_sent_are_told_apart_row_by_row() {
    on_every_store(|mut lab: Lab| {
        with_features(&mut lab);
        let onnx = logistic(&[0.5, -1.0], 0.0);
        let version = lab.version_on("prod.risk.day", &onnx, &["x1:double", "mean:double"]);
        lab.endpoint("cards", &format!("{MODEL}/{version}"));
        let ask = |lab: &mut Lab, rows: Value| {
            let body = json!({ "dataframe_records": rows, "event_time": "2026-11-24T00:05:00Z" });
            let answer = lab.answer("/endpoints/cards/invocations", &body);
            assert_eq!(answer.status, 200, "{}", answer.text());
            (answer.header("x-request-id").unwrap().to_owned(), answer.json()["predictions"].clone())
        };
        let both = json!([{ "x1": 2.0, "card": 8 }, { "x1": 2.0, "card": 8, "mean": 9.0 }]);
        let (id, scores) = ask(&mut lab, both);
        // The online value is the one that whoever sends it himself would send.
        let (sent, same) = ask(&mut lab, json!([{ "x1": 2.0, "mean": 4.0 }, { "x1": 2.0, "mean": 9.0 }]));
        assert_eq!(scores, same);
        let explained = |lab: &mut Lab, table: &str| {
            let found = lab.get(&format!("/api/1.0/requests/{id}/why"));
            let mean = |row: usize| found["rows"][row]["inputs"][1].clone();
            assert_eq!(mean(0)["value"], 4.0, "{found:#}");
            assert_eq!(
                (&mean(0)["from"]["table"], &mean(0)["from"]["definition"]),
                (&json!(table), &json!(1))
            );
            assert!(mean(0)["from"]["version"].as_u64().is_some_and(|version| version > 0), "{found:#}");
            assert_eq!(mean(1), json!({ "name": "mean", "value": 9.0 }), "the request brought it");
            assert_eq!(found["rows"][0]["inputs"][0], json!({ "name": "x1", "value": 2.0 }));
            found
        };
        explained(&mut lab, "prod.risk.panes");
        says_the_version_that_it_was_served_from(&mut lab, &id);
        let other = lab.get(&format!("/api/1.0/requests/{sent}/why"));
        assert_eq!(other["rows"][0]["inputs"][1], json!({ "name": "mean", "value": 4.0 }), "{other:#}");
        let log = lab.post("/api/1.0/endpoints/cards/flush", &json!({}));
        let statement = format!(
            "SELECT _feature_versions AS said FROM {} WHERE _request_id = '{id}' ORDER BY _row",
            log["table"].as_str().unwrap()
        );
        let lines = lab.sql(&statement);
        assert!(lines[0]["said"].as_str().unwrap().contains("\"inputs\":[\"mean\"]"), "{lines:?}");
        assert_eq!(lines[1]["said"], "{}");
        let found = explained(&mut lab, "prod.risk.panes");
        // On the command line: as a document, and as a tree.
        let told = lab.command(&["why", &id, "--json"]);
        assert!(told.status.success(), "{told:?}");
        assert_eq!(serde_json::from_slice::<Value>(&told.stdout).unwrap(), found);
        let told = lab.command(&["why", &id]);
        let tree = String::from_utf8(told.stdout).unwrap();
        for line in [
            "mean = 4.0   from prod.risk.panes, definition 1",
            "mean = 9.0   from the request",
            "it was not judged",
            "version 1",
        ] {
            assert!(tree.contains(line), "{line} is not in\n{tree}");
        }
        assert!(!tree.contains("1970"), "the run has neither user nor start:\n{tree}");
        assert_eq!(
            lab.command(&["why", "01a21da3-6596-73ee-aeda-1412221b8650"]).status.code(),
            Some(3),
            "no such request"
        );
        // Names change, and it is the table that is named: what was logged is its UUID.
        assert!(!lines[0]["said"].as_str().unwrap().contains("panes"), "{lines:?}");
        let renamed = json!({ "new_name": "danger" });
        assert_eq!(lab.try_send("PATCH", "/api/2.1/unity-catalog/schemas/prod.risk", &renamed).0, 200);
        explained(&mut lab, "prod.danger.panes");
    });
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
        let found = lab.get(&format!("/api/1.0/requests/{one}/why"));
        assert_eq!(found["is_waiting"], true);
        let run = found["run"]["run_id"].as_str().unwrap().to_owned();
        let mlflow = "/api/2.0/mlflow/runs";
        lab.post(&format!("{mlflow}/log-parameter"), &json!({ "run_id": run, "key": "depth", "value": "7" }));
        for (key, value) in [("mlflow.source.git.commit", "0f1e2d"), ("mlflow.source.name", "train.py")] {
            lab.post(&format!("{mlflow}/set-tag"), &json!({ "run_id": run, "key": key, "value": value }));
        }
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
            assert_eq!(step["by"], "local", "{step}");
            let at = step["at"].as_i64().unwrap();
            assert!(found["model"]["registered_at"].as_i64().unwrap() <= at, "{found:#}");
            assert!(at * 1_000 <= found["served_at_micros"].as_i64().unwrap(), "{found:#}");
            assert_eq!(found["model"]["registered_by"], "local");
            assert_eq!(found["run"]["params"], json!([["depth", "7"]]));
            assert_eq!(found["run"]["code"], json!([["commit", "0f1e2d"], ["entry point", "train.py"]]));
            // In the order of the signature, with what was sent, and nothing of the version that came later.
            let row = &found["rows"][0];
            assert_eq!(names(row), ["x1", "x2"], "{row}");
            assert_eq!((&row["inputs"][0]["value"], &row["inputs"][1]["value"]), (&json!(0.5), &json!(0.25)));
            assert_eq!(found["run"]["data"][0], json!(["prod.risk.training@1", "training set"]));
            let found = lab.get(&format!("/api/1.0/requests/{other}/why"));
            assert_eq!(names(&found["rows"][0]), ["x1", "country_rate"], "{found:#}");
            assert_eq!(found["alias_move"]["reason"], "to see");
            assert!(found["gate"].is_null(), "it was moved without a report: {found:#}");
            lab.post("/api/1.0/endpoints/score/flush", &json!({}));
        }
        // What it learned from goes by the name that it has now, and is named when it is gone.
        let catalog = "/api/2.1/unity-catalog";
        let renamed = json!({ "new_name": "danger" });
        assert_eq!(lab.try_send("PATCH", &format!("{catalog}/schemas/prod.risk"), &renamed).0, 200);
        let data =
            |lab: &mut Lab| lab.get(&format!("/api/1.0/requests/{one}/why"))["run"]["data"][0][0].clone();
        assert_eq!(data(&mut lab), "prod.danger.training@1");
        let forced = json!({ "force": true });
        let (status, _) = lab.try_send("DELETE", &format!("{catalog}/tables/prod.danger.training"), &forced);
        assert_eq!(status, 200);
        assert_eq!(data(&mut lab), "prod.danger.training@1 (deleted)");
    });
}
