//! What gates name and is not there is told while whoever asks waits, and leaves nothing.

use serde_json::json;

use super::lab::{GOOD, Lab, MODEL, TABLE, WEAK, gates, on_every_store, rows};

/// Gates that could be judged.
const MORE: &str = "  where: x1 > -2
accuracy:
  - metric: roc_auc
    margin: 0.01
    min_rows: 200
data_drift:
  max_psi: 0.2
  columns: [x1, x2]
  against: prod.risk.training@1
latency:
  p99_ms: 60000
  rows: 2
  requests: 400
compatibility:
  endpoint: prod.risk.scores
fairness:
  - metric: demographic_parity_difference
    group: country
    at_most: 0.9
";

/// What is written, what somebody wrote in its place, where that is told, and what is said.
const SLIPS: [(&str, &str, &str, &str); 21] = [
    (
        "evaluation\n  label",
        "evaluaton\n  label",
        "line 3, column 10",
        "did you mean 'prod.risk.evaluation'?",
    ),
    (
        "prod.risk.evaluation\n",
        "prod.risk.evaluation@9\n",
        "line 3, column 10",
        "has no version 9; the newest is 1",
    ),
    (
        "prod.risk.evaluation\n",
        "prod.riks.evaluation\n",
        "line 3, column 10",
        "did you mean 'prod.risk.evaluation'?",
    ),
    ("label: fraud", "label: fruad", "line 4, column 10", "no column 'fruad'; did you mean 'fraud'?"),
    ("label: fraud", "label: country", "line 4, column 10", "say with 'positive' which text is looked for"),
    ("label: fraud", "label: zzz", "line 4, column 10", "it has at, x1, x2, country, fraud"),
    ("timestamp: at", "timestamp: att", "line 5, column 14", "did you mean 'at'?"),
    ("x1 > -2", "x7 > -2", "line 6, column 10", "x7"),
    ("x1 > -2", "x1", "line 6, column 10", "boolean"),
    ("min_rows: 200", "min_rows: 1201", "line 10, column 15", "at least 1201 rows ('min_rows')"),
    ("min_rows: 200", "min_per_class: 601", "line 10, column 20", "at least 1202 rows of two classes"),
    ("margin: 0.01", "margin: 1.5", "line 9, column 13", "'margin' is 1.5; it is from -1 to 1"),
    ("metric: roc_auc", "metric: roc_acu", "line 8, column 13", "did you mean 'roc_auc'?"),
    ("[x1, x2]", "[x1, x3]", "line 13, column 17", "no column 'x3'; did you mean 'x1'?"),
    ("training@1", "traning@1", "line 14, column 12", "did you mean 'prod.risk.training'?"),
    ("training@1", "training@2", "line 14, column 12", "has no version 2"),
    ("training@1", "texts@1", "line 13, column 13", "of the type string in 'prod.risk.texts@1'"),
    ("rows: 2\n", "rows: 1201\n", "line 17, column 9", "a request is to have 1201 rows"),
    ("risk.scores", "risk.scoers", "line 20, column 13", "did you mean 'prod.risk.scores'?"),
    ("group: country", "group: contry", "line 23, column 12", "no column 'contry'; did you mean 'country'?"),
    ("at_most: 0.9", "at_most: 1.9", "line 24, column 14", "'at_most' is 1.9; it is from 0 to 1"),
];

#[test]
fn a_slip_is_told_with_its_place_and_what_was_meant() {
    on_every_store(|mut lab: Lab| {
        let champion = lab.version(WEAK);
        assert_eq!(lab.alias("champion", champion).0, 200);
        lab.endpoint("scores", &format!("{MODEL}@champion"));
        let texts = rows(4, 200).replace("\n2026", "\nx2026").replace(",0.", ",y0.").replace(",-0.", ",z0.");
        lab.import("prod.risk.texts", &texts);
        let candidate = lab.version(GOOD);
        let good = gates(MORE);
        for (from, to, place, said) in SLIPS {
            let written = good.replacen(from, to, 1);
            assert_ne!(written, good, "{from}");
            let (status, message) = lab.refused(candidate, &written);
            assert_eq!(status, 400, "{to}: {message}");
            assert!(message.contains(place) && message.contains(said), "{to}: {message}");
        }
        // What nobody said the candidate learned from cannot be looked up either.
        let untold =
            lab.version_on("nowhere", &super::onnx::logistic(&[3.0, -2.0], 0.0), &["x1:double", "x2:double"]);
        let without = good.replace("  against: prod.risk.training@1\n", "");
        let (status, message) = lab.refused(untold, &without);
        assert!(
            status == 400
                && message.contains(
                    "line 12, column 3: The run's tag strongback.training_set names no training set and no \
                     table: 'nowhere'"
                ),
            "{message}"
        );
        // Nothing of it is left.
        let listed = lab.get(&format!("/api/1.0/gate-reports?model={MODEL}"));
        assert_eq!(listed["reports"], json!([]));
        let jobs = lab.get("/api/1.0/jobs");
        assert!(jobs["jobs"].as_array().unwrap().iter().all(|job| job["kind"] != "gate_run"), "{jobs}");
        // The file that was meant is taken.
        lab.queue(candidate, &good, false);
    });
}

#[test]
fn the_command_line_ends_as_with_every_wrong_call() {
    on_every_store(|mut lab: Lab| {
        let champion = lab.version(WEAK);
        assert_eq!(lab.alias("champion", champion).0, 200);
        lab.version(GOOD);
        let gate = |label: &str| {
            gates("accuracy:\n  - metric: roc_auc\n    margin: 1\n")
                .replace("label: fraud", &format!("label: {label}"))
        };
        for (file, label, code) in [("good.yaml", "fraud", 0), ("slip.yaml", "frauds", 2)] {
            std::fs::write(lab.server.folder().join(file), gate(label)).unwrap();
            let call = ["gate", "run", "--model", MODEL, "--candidate", "2", "--config", file];
            let done = lab.command(&call);
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert_eq!(done.status.code(), Some(code), "{file}: {done:?}");
            if code == 2 {
                let slip =
                    format!("line 4, column 10: '{TABLE}@1' has no column 'frauds'; did you mean 'fraud'?");
                assert!(said.contains(&slip), "{said}");
            }
        }
        let listed = lab.get(&format!("/api/1.0/gate-reports?model={MODEL}"));
        assert_eq!(listed["reports"].as_array().unwrap().len(), 1);
    });
}
