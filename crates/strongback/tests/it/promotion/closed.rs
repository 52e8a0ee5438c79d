//! The loop closed: what an endpoint was asked drifts, which raises an alert; that queues a command, a runner runs it, what comes of it
//! goes through the gates, and the endpoint answers by it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lab::{GOOD, Lab, MODEL, WEAK, gates, on_every_store};

const GATES: &str = "accuracy:\n  - metric: roc_auc\n    margin: 0\nfirst_champion:\n  - metric: roc_auc\n    at_least: 0.1\n";

const MONITOR: &str = "version: 1
watch: prod.risk.scores
baseline: prod.risk.training@1
prediction: _prediction
window: { length: 1h }
lateness: 1d
features: { include: [x1, x2] }
thresholds:
  - { metric: psi, above: 0.2 }
trigger:
  command: prod.risk.retrain
  parameters: { until: \"{window_end}\" }
  cool_down: 1d
";

/// A request of an hour, after the world has changed: `x1` is positive alone.
fn drifted() -> Value {
    let row = |row: u32| [f64::from(row % 100) / 100.0, f64::from(row * 37 % 100) / 50.0 - 1.0];
    let rows: Vec<[f64; 2]> = (0..300).map(row).collect();
    json!({ "dataframe_split": { "columns": ["x1", "x2"], "data": rows }, "event_time": "2024-11-24T10:30:00Z" })
}

/// The id of a request, once this version of the model answers it.
fn served_by(lab: &mut Lab, version: i64) -> String {
    let begun = Instant::now();
    loop {
        let answer = lab.answer("/endpoints/scores/invocations", &drifted());
        assert_eq!(answer.status, 200, "{}", answer.text());
        if answer.header("x-model-version") == Some(version.to_string().as_str()) {
            return answer.header("x-request-id").unwrap().to_owned();
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "version {version} is not served");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_alert_brings_a_challenger_before_the_gates() {
    on_every_store(|mut lab: Lab| {
        lab.govern(&["champion"]);
        let (first, second) = (lab.version(WEAK), lab.version(GOOD));
        let config = gates(GATES);
        let job = lab.queue(first, &config, true);
        assert_eq!(lab.ended(&job)["result"]["moved"], true);
        assert_eq!(lab.alias("challenger", second).0, 200);

        let folder = lab.server.folder().to_owned();
        std::fs::write(folder.join("gates.yaml"), &config).unwrap();
        let script = "set -e
            echo trained until \"$1\"
            exec \"$SB\" gate run --model prod.risk.fraud --candidate challenger --move champion --config \"$DIR/gates.yaml\"
        ";
        std::fs::write(folder.join("retrain.sh"), script).unwrap();
        let binary = testkit::server::strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap();
        let definition = json!({
            "argv": ["/bin/sh", folder.join("retrain.sh"), "{until}"], "params": { "until": { "type": "text" } },
            "env": { "SB": binary, "DIR": folder },
        });
        lab.post("/api/1.0/commands", &json!({ "name": "prod.risk.retrain", "definition": definition }));
        lab.endpoint("scores", &format!("{MODEL}@champion"));
        served_by(&mut lab, first);
        lab.post("/api/1.0/endpoints/scores/flush", &json!({}));
        lab.post("/api/1.0/monitors", &json!({ "yaml": MONITOR }));
        let asked = lab.post("/api/1.0/monitors/prod.risk.scores/run", &json!({}));
        let judged = lab.ended(asked["job_id"].as_str().unwrap());
        assert_eq!(judged["state"], "succeeded", "{judged}");

        let standing = lab.get("/api/1.0/alerts")["alerts"].clone();
        assert_eq!((&standing[0]["metric"], &standing[0]["column"]), (&json!("psi"), &json!("x1")));
        let job = standing[0]["job_id"].as_str().expect("the alert has begun a job").to_owned();
        let done = lab.command(&["runner", "--once", "--work-dir", "runner"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let ended = lab.ended(&job);
        let log = lab.get(&format!("/api/1.0/jobs/{job}/log"));
        assert_eq!(ended["state"], "succeeded", "{ended} {log}");
        assert!(log["text"].as_str().unwrap().starts_with("trained until 2024-11-24T11:00:00Z\n"), "{log}");

        assert_eq!(lab.points_to("champion"), Some(second));
        let history = lab.get(&format!("/api/1.0/history?name={MODEL}&alias=champion"));
        let newest = &history["moves"][0];
        assert_eq!(newest["to_version"], second, "{history}");
        let report = lab.get(&format!("/api/1.0/gate-reports?model={MODEL}"))["reports"][0].clone();
        assert_eq!(report["candidate"], second, "{report}");

        let request = served_by(&mut lab, second);
        let why = lab.get(&format!("/api/1.0/requests/{request}/why"));
        assert_eq!(
            (&why["model"]["version"], &why["gate"]["report_id"]),
            (&json!(second), &report["report_id"]),
            "{why:#}"
        );
    });
}
