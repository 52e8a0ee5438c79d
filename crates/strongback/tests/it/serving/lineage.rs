//! The whole path from an imported table to an endpoint, what it records and what watches that.

use serde_json::{Value, json};

use super::why::{PANES, with_features};
use crate::promotion::{
    lab::{Lab, MODEL, on_every_store},
    onnx::logistic,
};

const MONITOR: &str = "version: 1\nwatch: prod.risk.cards\nbaseline: prod.risk.day\nwindow: { length: 1h }\n\
                       prediction: { column: _prediction }\nfeatures: { include: [mean] }\nmetrics: [psi]\n";

/// What is fed by what on the way from or to a name: `source kind target`.
fn edges(lab: &mut Lab, query: &str) -> Vec<String> {
    let found = lab.get(&format!("/api/1.0/lineage?name={query}"));
    assert_eq!(found["is_cut"], false, "{found}");
    let nodes = found["nodes"].as_array().unwrap();
    let name = |id: &Value| {
        let node = nodes.iter().find(|node| node["id"] == *id).unwrap();
        format!("{} {}", node["kind"].as_str().unwrap(), node["name"].as_str().unwrap_or("?"))
    };
    let said = |edge: &Value| {
        format!("{} {} {}", name(&edge["source"]), edge["kind"].as_str().unwrap(), name(&edge["target"]))
    };
    let mut said: Vec<String> = found["edges"].as_array().unwrap().iter().map(said).collect();
    said.sort();
    said
}

const MADE: [&str; 5] = [
    "experiment training produces model prod.risk.fraud",
    "table prod.risk.labels derives training_set prod.risk.day",
    "table prod.risk.panes derives training_set prod.risk.day",
    "table prod.risk.payments derives table prod.risk.panes",
    "training_set prod.risk.day reads experiment training",
];
const SERVED: [&str; 2] = [
    "model prod.risk.fraud serves endpoint prod.risk.cards",
    "table prod.risk.panes feeds endpoint prod.risk.cards",
];
const WATCHED: [&str; 2] = [
    "endpoint prod.risk.cards logs table prod.risk.cards_payload",
    "table prod.risk.cards_payload reads monitor prod.risk.cards",
];
const COMPARED: &str = "training_set prod.risk.day reads monitor prod.risk.cards";

fn all(parts: &[&[&str]]) -> Vec<String> {
    let mut all: Vec<String> = parts.concat().iter().map(|one| (*one).to_owned()).collect();
    all.sort();
    all
}

#[test]
fn a_table_is_followed_to_the_endpoint_and_back() {
    on_every_store(|mut lab: Lab| {
        with_features(&mut lab);
        // One that nothing served was made of.
        let other = lab.version_with(&logistic(&[1.0, 0.0], 0.0), &["x1:double", "x2:double"]);
        let version =
            lab.version_on("prod.risk.day", &logistic(&[0.5, -1.0], 0.0), &["x1:double", "mean:double"]);
        assert!(other < version);
        lab.endpoint("cards", &format!("{MODEL}/{version}"));
        assert_eq!(edges(&mut lab, "cards&kind=endpoint&direction=up"), all(&[&MADE, &SERVED]));

        let body =
            json!({ "dataframe_records": [{ "x1": 2.0, "card": 8 }], "event_time": "2026-11-24T00:05:00Z" });
        assert_eq!(lab.answer("/endpoints/cards/invocations", &body).status, 200);
        lab.post("/api/1.0/endpoints/cards/flush", &json!({}));
        lab.post("/api/1.0/monitors", &json!({ "yaml": MONITOR }));
        let whole = all(&[&MADE, &SERVED, &WATCHED, &[COMPARED]]);
        assert_eq!(edges(&mut lab, "prod.risk.cards&kind=monitor&direction=up"), whole);
        let down = edges(&mut lab, "prod.risk.payments&direction=down");
        let labels = "table prod.risk.labels derives training_set prod.risk.day".to_owned();
        assert_eq!(down, whole.into_iter().filter(|edge| *edge != labels).collect::<Vec<_>>());
        let payload = edges(&mut lab, "prod.risk.cards_payload&direction=up");
        assert_eq!(payload, all(&[&MADE, &SERVED, &WATCHED[..1]]));

        // On the command line, with the version that is served.
        let told = lab.command(&["lineage", "prod.risk.cards", "--kind", "endpoint", "--up"]);
        let text = String::from_utf8(told.stdout).unwrap();
        assert!(
            text.contains(&format!("model prod.risk.fraud  [serves, from {version}, version 1")),
            "{text}"
        );
        assert!(text.contains("table prod.risk.payments  [derives"), "{text}");

        // Names change and the path does not; nothing is recorded twice.
        lab.server.restart().unwrap();
        lab.reconnect();
        for _ in 0..600 {
            if lab.get("/api/1.0/endpoints/cards")["state"] == "READY" {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let found = lab.get("/api/1.0/lineage?name=cards&kind=endpoint&direction=up");
        let serves = found["edges"].as_array().unwrap().iter().find(|edge| edge["kind"] == "serves").unwrap();
        assert_eq!((&serves["count"], &serves["target_version"]), (&json!(1), &json!("1")), "{serves}");
        let renamed = json!({ "new_name": "danger" });
        assert_eq!(lab.try_send("PATCH", "/api/2.1/unity-catalog/schemas/prod.risk", &renamed).0, 200);
        let again = edges(&mut lab, "prod.danger.payments&direction=down");
        let moved = |edge: &String| edge.replace("prod.risk", "prod.danger");
        assert_eq!(again, down.iter().map(moved).collect::<Vec<_>>());

        // What is gone leads on, without its name.
        assert_eq!(lab.try_send("DELETE", "/api/1.0/endpoints/cards", &json!({})).0, 200);
        let after = edges(&mut lab, "prod.danger.cards_payload&direction=up");
        assert!(
            after.iter().any(|edge| edge.starts_with("model prod.danger.fraud serves endpoint")),
            "{after:?}"
        );
        assert!(PANES.starts_with("prod.risk"));
    });
}
