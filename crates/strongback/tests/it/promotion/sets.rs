//! Gates over training sets: as the rows that are judged, and as those that the candidate learned from.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    lab::{GOOD, Lab, MODEL, WEAK, check, gates, on_every_store, rows},
    onnx::logistic,
};

const FEATURES: &str = "prod.risk.counts";

/// A feature table over what happened on the day before.
fn feature_table(lab: &mut Lab) {
    let mut history = String::from("id,at,country,amount\n");
    for id in 0..300 {
        let country = ["de", "fr", "it"][id % 3];
        writeln!(history, "{id},2026-11-23T{:02}:{:02}:00Z,{country},{}", 18 + id / 60, id % 60, id % 9)
            .unwrap();
    }
    lab.import("prod.risk.history", &history);
    let yaml = format!(
        "version: 1\nname: {FEATURES}\nsource: prod.risk.history\nkeys: [country]\ntimestamp: at\nrow_key: [id]\npane: 1m\n\
         lateness: 5m\nfeatures:\n- {{name: n, aggregate: count, window: 12h}}\n"
    );
    lab.post("/api/1.0/feature-tables", &json!({ "yaml": yaml }));
    let path = format!("/api/1.0/feature-tables/{FEATURES}/materialize");
    let queued = lab.post(&path, &json!({ "full": false }));
    let job = lab.ended(queued["job_id"].as_str().unwrap());
    assert_eq!(job["state"], "succeeded", "{job}");
}

/// A training set of all rows of a table.
fn set(lab: &mut Lab, name: &str, labels: &str) {
    let body = json!({
        "name": name, "labels": labels, "features": [FEATURES], "timestamp": "at", "label": "fraud",
    });
    let begun = lab.post("/api/1.0/training-sets", &body);
    let job = lab.ended(begun["job"]["job_id"].as_str().unwrap());
    assert_eq!(job["state"], "succeeded", "{job}");
}

fn number(view: &Value, name: &str, field: &str) -> f64 {
    check(view, name)["estimate"][field].as_f64().unwrap()
}

#[test]
fn a_training_set_is_judged_and_compared_with_like_a_table() {
    on_every_store(|mut lab: Lab| {
        feature_table(&mut lab);
        set(&mut lab, "prod.risk.judged", "prod.risk.evaluation");
        set(&mut lab, "prod.risk.learned", "prod.risk.training");
        let (inputs, weights) = (["x1:double", "x2:double", "n:double"], [3.0, -2.0, 0.0]);
        let champion = lab.version(WEAK);
        assert_eq!(lab.alias("champion", champion).0, 200);
        // It takes a feature, which the table of labels has not and the set has.
        let candidate = lab.version_on("prod.risk.learned", &logistic(&weights, 0.0), &inputs);
        // The same set, called as reports call it.
        let versioned = lab.version_on("prod.risk.learned@1", &logistic(&weights, 0.0), &inputs);
        let more = "accuracy:\n  - metric: roc_auc\n    margin: 0\ndata_drift:\n  max_psi: 0.2\n";
        let of_table = gates(more);
        let of_set = of_table.replace("prod.risk.evaluation", "prod.risk.judged");
        let view = lab.judge(candidate, &of_set);
        assert_eq!(view["verdict"], "pass", "{view:#}");
        let report = &view["report"];
        assert_eq!(report["evaluation"]["table"], "prod.risk.judged@1", "{report:#}");
        assert_eq!(report["baseline"]["table"], "prod.risk.learned@1");
        assert_eq!(
            (&report["evaluation"]["rows"], &report["baseline"]["rows"]),
            (&json!(1_200), &json!(1_500))
        );
        let parts = check(&view, "data_drift")["parts"].as_array().unwrap();
        let names: Vec<&str> = parts.iter().map(|part| part["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["x1", "x2", "n"]);

        // The figures are those of the same rows in a table.
        let plain = lab.version(GOOD);
        let (in_set, in_table) = (lab.judge(plain, &of_set), lab.judge(plain, &of_table));
        for field in ["value", "low", "high", "n"] {
            let of = |view| number(view, "accuracy.roc_auc", field);
            assert!((of(&in_set) - of(&in_table)).abs() < 1e-12, "{field}");
        }
        let drift = |view| number(view, "data_drift", "value");
        assert!((drift(&in_set) - drift(&in_table)).abs() < 1e-12);

        // Made anew, it is not what the candidate learned from, which nobody can compare with any more.
        let (status, answer) =
            lab.try_send("DELETE", "/api/1.0/training-sets/prod.risk.learned", &Value::Null);
        assert_eq!(status, 200, "{answer}");
        set(&mut lab, "prod.risk.learned", "prod.risk.training");
        for (one, number) in [(candidate, 2), (versioned, 3)] {
            let why = lab.refusal(one, &of_set, "data_drift");
            let said = format!("'prod.risk.learned' that version {number} learned from was deleted");
            assert!(why.contains(&said), "{why}");
        }
        // Nor does it become that by another tag of the run.
        let version =
            lab.get(&format!("/api/2.0/mlflow/model-versions/get?name={MODEL}&version={candidate}"));
        let run = version["model_version"]["run_id"].clone();
        for path in ["set-tag", "delete-tag"] {
            let tag = json!({ "run_id": run, "key": "feature_store_table", "value": "prod.risk.training" });
            lab.post(&format!("/api/2.0/mlflow/runs/{path}"), &tag);
            let why = lab.refusal(candidate, &of_set, "data_drift");
            assert!(why.contains("learned from was deleted"), "{path}: {why}");
        }

        // Named as the rows to compare with, and at a version that it has not; and another kind of thing.
        let against =
            |name: &str| of_set.replace("max_psi: 0.2\n", &format!("max_psi: 0.2\n  against: {name}\n"));
        let view = lab.judge(plain, &against("prod.risk.learned"));
        assert_eq!(view["report"]["baseline"]["table"], "prod.risk.learned@1");
        let (status, why) = lab.refused(plain, &against("prod.risk.learnt"));
        assert!(status == 400 && why.contains("did you mean 'prod.risk.learned'?"), "{why}");
        let (status, why) = lab.refused(plain, &against("prod.risk.learned@7"));
        assert!(status == 400 && why.contains("has no version 7"), "{why}");
        // Rows of other columns than the set has are refused as those of a table are.
        let (status, why) = lab.refused(plain, &of_set.replace("label: fraud", "label: frauds"));
        assert!(status == 400 && why.contains("did you mean 'fraud'?"), "{why}");
    });
}

#[test]
fn a_set_that_an_open_report_stands_on_is_kept() {
    on_every_store(|mut lab: Lab| {
        feature_table(&mut lab);
        lab.import("prod.risk.fresh", &rows(9, 400));
        set(&mut lab, "prod.risk.judged", "prod.risk.fresh");
        let champion = lab.version(WEAK);
        assert_eq!(lab.alias("champion", champion).0, 200);
        let candidate = lab.version(GOOD);
        let config = gates("accuracy:\n  - metric: roc_auc\n    margin: 0\n");
        let view = lab.judge(candidate, &config.replace("prod.risk.evaluation", "prod.risk.judged"));
        assert_eq!(view["verdict"], "pass");
        let versions = lab.get("/api/1.0/tables/prod.risk.judged/versions");
        let holder = format!("gate_report/{}", view["report_id"].as_str().unwrap());
        assert_eq!(versions["versions"][0]["pins"][0]["holder"], holder, "{versions:#}");
    });
}
