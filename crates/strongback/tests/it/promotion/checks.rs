//! Single gates: what each of them sees, and that what is missing fails closed.

use serde_json::Value;

use super::{
    lab::{GOOD, Lab, MODEL, WEAK, check, gates, on_every_store, rows},
    onnx::logistic,
};

fn outcome(view: &Value, name: &str) -> (String, String) {
    let found = check(view, name);
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("outcome"), text("sentence"))
}

/// A champion and a candidate.
fn pair(lab: &mut Lab) -> i64 {
    let champion = lab.version(WEAK);
    assert_eq!(lab.alias("champion", champion).0, 200);
    lab.version(GOOD)
}

#[test]
fn latency_is_measured_in_turn_and_not_on_a_busy_machine() {
    on_every_store(|mut lab: Lab| {
        let candidate = pair(&mut lab);
        let latency = |limits: &str, noise: &str| {
            gates(&format!("latency:\n{limits}  requests: 800\n  max_noise: {noise}\n"))
        };
        let both = "  p99_ms: 60000\n  p99_ratio: 100000\n";
        let view = lab.judge(candidate, &latency(both, "1000"));
        assert_eq!(view["verdict"], "pass", "{view:#}");
        assert_eq!(check(&view, "latency.p99")["estimate"]["n"], 800);
        assert_eq!(check(&view, "latency.p99_ratio")["estimate"]["n"], 20);
        let slow = lab.judge(candidate, &latency("  p99_ms: 0.000001\n", "1000"));
        assert_eq!(slow["verdict"], "fail", "{slow:#}");
        let busy = lab.judge(candidate, &latency(both, "0.000001"));
        let (said, sentence) = outcome(&busy, "latency.p99");
        assert_eq!((said.as_str(), busy["verdict"].as_str()), ("could_not_judge", Some("could_not_judge")));
        assert!(sentence.contains("too busy to judge"), "{sentence}");
    });
}

#[test]
fn a_drifted_column_is_named() {
    on_every_store(|mut lab: Lab| {
        let candidate = pair(&mut lab);
        let shifted: String = rows(3, 800)
            .lines()
            .enumerate()
            .map(|(at, line)| {
                let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
                if at > 0 {
                    cells[2] = format!("{:.6}", cells[2].parse::<f64>().unwrap() + 0.7);
                }
                format!("{}\n", cells.join(","))
            })
            .collect();
        lab.import("prod.risk.shifted", &shifted);
        let drift = "data_drift:\n  max_psi: 0.2\n  against: prod.risk.shifted@1\n";
        let view = lab.judge(candidate, &gates(drift));
        let (said, sentence) = outcome(&view, "data_drift");
        assert_eq!(said, "fail");
        assert!(sentence.contains("that of 'x2'"), "{sentence}");
        assert_eq!(view["report"]["baseline"]["table"], "prod.risk.shifted@1");
    });
}

#[test]
fn callers_and_recorded_requests_are_understood() {
    on_every_store(|mut lab: Lab| {
        let champion = lab.version(WEAK);
        assert_eq!(lab.alias("champion", champion).0, 200);
        let gate = gates("compatibility:\n  endpoint: prod.risk.scores\n  requests: 50\n");
        let candidate = lab.version(GOOD);
        let none = lab.judge(candidate, &gate);
        assert_eq!(none["verdict"], "pass");
        assert_eq!(outcome(&none, "compatibility.recorded_requests").0, "not_applicable");
        let csv = "_served_at,x1,x2\n2026-11-24T00:00:00Z,0.5,0.25\n2026-11-24T00:00:01Z,,0.5\n";
        lab.import("prod.risk.scores_payload", csv);
        // The second row has no x1, and this model gives it no score.
        let asked = lab.judge(candidate, &gate);
        let (said, sentence) = outcome(&asked, "compatibility.recorded_requests");
        assert_eq!((said.as_str(), asked["verdict"].as_str()), ("fail", Some("fail")));
        assert!(sentence.starts_with("1 of the newest 2 rows"), "{sentence}");
        assert!(sentence.contains("column 'x1'"), "{sentence}");
        // One more column that the callers do not send.
        let other =
            lab.version_with(&logistic(&[3.0, -2.0, 0.0], 0.0), &["x1:double", "x2:double", "at2:double"]);
        let refused = lab.judge(other, &gates("compatibility: {}\n"));
        let (said, sentence) = outcome(&refused, "compatibility.signature");
        assert_eq!(said, "fail");
        assert!(sentence.contains("'at2' is required, and the champion does not take it"), "{sentence}");
    });
}

#[test]
fn a_candidate_without_scores_passes_nothing() {
    on_every_store(|mut lab: Lab| {
        pair(&mut lab);
        let accuracy = gates("accuracy:\n  - metric: roc_auc\n    margin: 1\n");
        let silent = lab.version(([3.0, -2.0], f32::NAN));
        let view = lab.judge(silent, &accuracy);
        let (said, sentence) = outcome(&view, "accuracy.roc_auc");
        assert_eq!((said.as_str(), view["verdict"].as_str()), ("could_not_judge", Some("could_not_judge")));
        assert_eq!(sentence, "The candidate gave no score for 1200 rows whose outcome is known.");
        for (onnx, part) in
            [(&b"no model"[..], "ONNX Runtime cannot load"), (&[][..], "ONNX Runtime cannot load")]
        {
            let broken = lab.version_with(onnx, &["x1:double", "x2:double"]);
            let view = lab.judge(broken, &accuracy);
            let (said, sentence) = outcome(&view, "accuracy.roc_auc");
            assert_eq!(said, "could_not_judge");
            assert!(sentence.contains(part), "{sentence}");
        }
        let unlike = lab.version_with(&logistic(&[1.0, 1.0], 0.0), &["x1:double", "x9:double"]);
        let sentence = outcome(&lab.judge(unlike, &accuracy), "accuracy.roc_auc").1;
        assert!(sentence.contains("has no column 'x9'"), "{sentence}");
        // It can do without, and then half of its matrix is no number.
        let optional = lab.version_with(&logistic(&[1.0, 1.0], 0.0), &["x1:double", "x9:double?"]);
        assert_eq!(outcome(&lab.judge(optional, &accuracy), "accuracy.roc_auc").0, "could_not_judge");
    });
}

#[test]
fn wrong_gates_are_refused_before_anything_runs() {
    on_every_store(|mut lab: Lab| {
        let candidate = pair(&mut lab);
        let mut said = |candidate: &str, config: &str| {
            let body = serde_json::json!({ "model": MODEL, "candidate": candidate, "config": config });
            let (status, json) = lab.try_post("/api/1.0/gate-runs", &body);
            (status, json["message"].as_str().unwrap_or_default().to_owned())
        };
        let good = gates("accuracy:\n  - metric: roc_auc\n    margin: 0\n");
        let number = candidate.to_string();
        assert_eq!(
            said("challenger", &good),
            (404, "Registered model alias challenger not found. (in 'candidate')".into())
        );
        assert_eq!(said("99", &good).0, 404);
        let (status, message) = said("champion", &good);
        assert!(status == 400 && message.contains("is what 'champion' points to already"), "{message}");
        let (status, message) = said(&number, &good.replace("roc_auc", "roc_acu"));
        assert!(status == 400 && message.contains("line 7, column 13: 'roc_acu' is not known"), "{message}");
        assert_eq!(said(&number, &good).0, 200);
        // What the condition would name besides its own columns is refused by the job.
        let config = good.replace("  label", "  where: x1 IN (SELECT x1 FROM prod.risk.training)\n  label");
        let view = lab.judge(candidate, &config);
        let sentence = outcome(&view, "accuracy.roc_auc").1;
        assert!(sentence.contains("speaks of columns alone"), "{sentence}");
        let few = lab.judge(candidate, &good.replace("  label", "  where: country = 'de'\n  label"));
        let n = few["report"]["evaluation"]["rows"].as_u64().unwrap();
        assert!((300..500).contains(&n), "{n} rows of a third of 1200");
    });
}
