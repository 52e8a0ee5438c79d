//! The loop closed: drift raises an alert, which queues a command; a runner runs it, and what comes of it goes through the gates.

use std::fmt::Write as _;

use serde_json::json;

use super::lab::{GOOD, Lab, MODEL, WEAK, gates, on_every_store};

const GATES: &str = "accuracy:\n  - metric: roc_auc\n    margin: 0\nfirst_champion:\n  - metric: roc_auc\n    at_least: 0.1\n";

const MONITOR: &str = "version: 1
watch: prod.risk.served
baseline: prod.risk.training@1
event_time: at
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

/// An hour of what was served, after the world has changed: `x1` is positive alone.
fn drifted() -> String {
    let mut csv = String::from("at,x1,x2\n");
    for row in 0..300 {
        let (minute, second) = (row / 5, row % 5 * 12);
        let (x1, x2) = (f64::from(row % 100) / 100.0, f64::from(row * 37 % 100) / 50.0 - 1.0);
        writeln!(csv, "2024-11-24T10:{minute:02}:{second:02}Z,{x1},{x2}").unwrap();
    }
    csv
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
        lab.import("prod.risk.served", &drifted());
        lab.post("/api/1.0/monitors", &json!({ "yaml": MONITOR }));
        let asked = lab.post("/api/1.0/monitors/prod.risk.served/run", &json!({}));
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
    });
}
