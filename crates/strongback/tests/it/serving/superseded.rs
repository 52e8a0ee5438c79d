//! What is served goes on with the definition that its model was trained on, whatever is declared of the feature table since.

use std::time::Duration;

use serde_json::{Value, json};

use super::why::{FEATURES, PANES, with_features};
use crate::promotion::{
    lab::{Lab, MODEL, on_every_store},
    onnx::logistic,
};

const SOURCE: &str = "prod.risk.payments";
const INPUTS: [&str; 2] = ["x1:double", "mean:double"];

fn declare(lab: &mut Lab, yaml: &str) -> i64 {
    lab.post("/api/1.0/feature-tables", &json!({ "yaml": yaml }))["definition"].as_i64().unwrap()
}

fn materialize(lab: &mut Lab) -> Value {
    let path = format!("/api/1.0/feature-tables/{PANES}/materialize");
    let queued = lab.post(&path, &json!({}));
    let job = lab.ended(queued["job_id"].as_str().unwrap());
    assert_eq!(job["state"], "succeeded", "{job}");
    job["result"].clone()
}

/// The mean that the endpoint looks up of card 7 at five past midnight, and where it says it was.
fn mean(lab: &mut Lab) -> (f64, Value) {
    let rows = json!([{ "x1": 2.0, "card": 7 }]);
    let body = json!({ "dataframe_records": rows, "event_time": "2026-11-24T00:05:00Z" });
    let answer = lab.answer("/endpoints/cards/invocations", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let id = answer.header("x-request-id").unwrap().to_owned();
    let found = lab.get(&format!("/api/1.0/requests/{id}/why"));
    let input = &found["rows"][0]["inputs"][1];
    (input["value"].as_f64().unwrap(), input["from"].clone())
}

/// The endpoint once it serves this version.
fn serving(lab: &mut Lab, version: i64) -> Value {
    for _ in 0..600 {
        let found = lab.get("/api/1.0/endpoints/cards");
        if found["state"] == "READY" && found["serving"]["version"] == version && found["reason"].is_null() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("version {version} is not served: {}", lab.server.log());
}

fn restarted(lab: &mut Lab, version: i64) {
    lab.server.restart().unwrap();
    lab.reconnect();
    serving(lab, version);
}

fn serve(lab: &mut Lab, version: i64) {
    let body = json!({ "model": format!("{MODEL}/{version}") });
    assert_eq!(lab.try_send("PATCH", "/api/1.0/endpoints/cards", &body).0, 200);
    serving(lab, version);
}

#[test]
fn an_endpoint_goes_on_with_the_definition_of_its_model() {
    on_every_store(|mut lab: Lab| {
        with_features(&mut lab);
        let onnx = logistic(&[0.5, -1.0], 0.0);
        let first = lab.version_on("prod.risk.day", &onnx, &INPUTS);
        lab.endpoint("cards", &format!("{MODEL}/{first}"));
        let at = |definition: i64, version: Option<i64>, source: i64| {
            let mut at = json!({ "table": PANES, "definition": definition, "source_version": source });
            if let Some(version) = version {
                at["version"] = version.into();
            }
            at
        };
        assert_eq!(mean(&mut lab), (1.5, at(1, Some(1), 1)));
        // The same name for something else.
        let second = FEATURES.replace("aggregate: mean", "aggregate: max");
        assert_eq!(declare(&mut lab, &second), 2);
        materialize(&mut lab);
        assert_eq!(mean(&mut lab), (1.5, at(1, Some(1), 1)), "the same rows, and the same version of them");
        restarted(&mut lab, first);
        assert_eq!(mean(&mut lab), (1.5, at(1, Some(1), 1)));

        // What the source gains goes into both.
        let more = "id,card,at,amount\n4,7,2026-11-24T00:04:30Z,3\n";
        let types = "types=id:long,card:long,at:timestamp,amount:double";
        lab.put(
            &format!("/api/1.0/tables/{SOURCE}/batches/two?format=csv&mode=append&{types}"),
            more.as_bytes(),
        );
        let done = materialize(&mut lab);
        assert_eq!(done["superseded"][0]["definition"], 1, "{done}");
        assert_eq!(mean(&mut lab), (2.0, at(1, None, 2)));
        let shown = serving(&mut lab, first)["features"][0].clone();
        let expected = json!({
            "table": PANES, "definition": 1, "newest_definition": 2, "source_version": 2, "versions_behind": 0,
        });
        assert_eq!(shown, expected);
        let table = lab.get(&format!("/api/1.0/feature-tables/{PANES}"));
        assert_eq!(table["superseded"][0]["used_by"], json!(["prod.risk.cards"]), "{table}");

        // A model of the new definition, and back.
        let set = json!({
            "name": "prod.risk.day2", "labels": "prod.risk.labels", "features": [PANES], "label": "class",
        });
        let queued = lab.post("/api/1.0/training-sets", &set);
        assert_eq!(lab.ended(queued["job"]["job_id"].as_str().unwrap())["state"], "succeeded");
        let next = lab.version_on("prod.risk.day2", &onnx, &INPUTS);
        serve(&mut lab, next);
        let (value, from) = mean(&mut lab);
        assert_eq!((value, &from["definition"], &from["source_version"]), (3.0, &json!(2), &json!(2)));
        assert!(from["version"].is_i64(), "its rows are in the table: {from}");
        restarted(&mut lab, next);
        assert_eq!(mean(&mut lab).0, 3.0);
        serve(&mut lab, first);
        assert_eq!(mean(&mut lab), (2.0, at(1, None, 2)));

        // The online store is lost: it is derived, also of what is in no table.
        lab.server.kill9().unwrap();
        std::fs::remove_file(lab.server.data_dir().join("online.redb")).unwrap();
        restarted(&mut lab, first);
        assert_eq!(mean(&mut lab), (2.0, at(1, None, 2)));

        without_its_source(&mut lab, first, &second, &at(1, None, 2));
    });
}

/// The source of what is served goes: what was published stays, and that is said.
fn without_its_source(lab: &mut Lab, first: i64, second: &str, was: &Value) {
    lab.import("prod.risk.payments2", &format!("id,card,at,amount\n{}", "1,7,2026-11-24T00:00:00Z,9\n"));
    assert_eq!(declare(lab, &second.replace(SOURCE, "prod.risk.payments2")), 3);
    assert_eq!(lab.try_send("DELETE", &format!("/api/2.1/unity-catalog/tables/{SOURCE}"), &json!({})).0, 200);
    let done = materialize(lab);
    assert!(done["superseded"][0]["problem"].as_str().unwrap().contains("was deleted"), "{done}");
    assert_eq!(mean(lab), (2.0, was.clone()));
    let shown = serving(lab, first)["features"][0].clone();
    assert!(shown["problem"].as_str().unwrap().contains(SOURCE), "{shown}");
    for arguments in [["endpoint", "show", "cards"], ["feature-table", "show", PANES]] {
        let told = lab.command(&arguments);
        let text = String::from_utf8(told.stdout).unwrap();
        assert!(text.contains("It stays as it is: The source"), "{text}");
    }
    restarted(lab, first);
    assert_eq!(mean(lab).0, 2.0);
}
