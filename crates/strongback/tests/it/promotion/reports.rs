//! Whole reports, as people read them, and what else a gate run leaves.

use std::time::Duration;

use serde_json::{Value, json};
use strongback::{
    promotion::report::{Report, junit, markdown},
    time,
};

use super::lab::{BAD, GOOD, Lab, MODEL, TABLE, WEAK, check, gates, on_every_store, rows};

const ALL: &str = "\
expires: 2d
accuracy:
  - metric: roc_auc
    margin: 0.01
  - metric: average_precision
    margin: 0.01
    resamples: 200
  - metric: f1
    margin: 0.02
    threshold: 0.5
    resamples: 200
  - metric: brier
    margin: 0.01
data_drift:
  max_psi: 0.2
compatibility: {}
fairness:
  - metric: demographic_parity_difference
    group: country
    at_most: 0.02
    blocking: false
first_champion:
  - metric: roc_auc
    at_least: 0.9
";

/// A text without what differs from run to run.
fn settled(text: &str, report: &Report) -> String {
    let mut text = text.to_owned();
    for (what, word) in [
        (report.id.clone(), "REPORT"),
        (report.run_id.clone(), "RUN"),
        (time::utc(report.made_at), "MADE"),
        (time::utc(report.expires_at), "EXPIRES"),
    ] {
        text = text.replace(&what, word);
    }
    text
}

fn report(view: &Value) -> Report {
    serde_json::from_value(view["report"].clone()).unwrap()
}

macro_rules! golden {
    ($name:literal, $verdict:literal, $view:expr) => {{
        let report = report($view);
        assert_eq!(report.verdict, $verdict);
        insta::allow_duplicates! {
            insta::assert_snapshot!(concat!($name, "_markdown"), settled(&markdown(&report), &report));
            insta::assert_snapshot!(concat!($name, "_junit"), settled(&junit(&report), &report));
        }
    }};
}

#[test]
fn a_better_candidate_passes() {
    on_every_store(|mut lab: Lab| {
        let champion = lab.version(WEAK);
        assert_eq!(lab.alias("champion", champion).0, 200);
        let candidate = lab.version(GOOD);
        let view = lab.judge(candidate, &gates(ALL));
        golden!("pass", "pass", &view);
        left_behind(&mut lab, &view);
    });
}

/// A run with the figures and the report, in an experiment of the model's schema; pins; a line in the list; events.
fn left_behind(lab: &mut Lab, view: &Value) {
    let report = report(view);
    let run = lab.get(&format!("/api/2.0/mlflow/runs/get?run_id={}", report.run_id));
    assert_eq!(run["run"]["info"]["status"], "FINISHED");
    let metrics = run["run"]["data"]["metrics"].as_array().unwrap();
    let metric = |key: &str| {
        metrics.iter().find(|metric| metric["key"] == key).unwrap_or_else(|| panic!("no {key}"))["value"]
            .as_f64()
    };
    let estimate = &check(view, "accuracy.roc_auc")["estimate"];
    assert_eq!(metric("accuracy.roc_auc"), estimate["value"].as_f64());
    assert_eq!(metric("accuracy.roc_auc.low"), estimate["low"].as_f64());
    assert_eq!(metric("accuracy.roc_auc.n"), Some(1_200.0));
    assert!(metric("data_drift/x1").unwrap() < 0.2);
    let files = lab.get(&format!("/api/2.0/mlflow/artifacts/list?run_id={}", report.run_id));
    let names: Vec<&str> =
        files["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(names, ["gates.json", "gates.md", "gates.xml"]);
    let experiment = run["run"]["info"]["experiment_id"].as_str().unwrap();
    let file =
        format!("/api/2.0/mlflow-artifacts/artifacts/{experiment}/{}/artifacts/gates.json", report.run_id);
    assert_eq!(lab.get(&file), view["report"]);
    let named = lab.get(&format!("/api/2.0/mlflow/experiments/get?experiment_id={experiment}"));
    assert_eq!(named["experiment"]["name"], format!("/gates/{MODEL}"));
    let versions = lab.get(&format!("/api/1.0/tables/{TABLE}/versions"));
    let pins = versions["versions"][0]["pins"].as_array().unwrap();
    assert_eq!(pins[0]["holder"], format!("gate_report/{}", report.id));
    let listed = lab.get(&format!("/api/1.0/gate-reports?model={MODEL}"));
    assert_eq!(listed["reports"][0]["report_id"], report.id.as_str());
    assert_eq!(listed["reports"].as_array().unwrap().len(), 1);
    let log = lab.get("/api/1.0/audit-log?action=gate_report.create");
    let event = &log["events"][0];
    assert_eq!(event["detail"]["verdict"], "pass", "{log}");
    assert_eq!(event["detail"]["digest"], json!(report.candidate.digest));
    assert_eq!(report.expires_at - report.made_at, 2 * 86_400_000);
}

#[test]
fn a_worse_candidate_fails() {
    on_every_store(|mut lab: Lab| {
        let champion = lab.version(GOOD);
        assert_eq!(lab.alias("champion", champion).0, 200);
        let candidate = lab.version(BAD);
        golden!("fail", "fail", &lab.judge(candidate, &gates(ALL)));
    });
}

#[test]
fn what_cannot_be_told_is_not_passed() {
    on_every_store(|mut lab: Lab| {
        let champion = lab.version(WEAK);
        assert_eq!(lab.alias("champion", champion).0, 200);
        let candidate = lab.version(GOOD);
        // What can be known of the rows alone, once they were read.
        let more = "  where: x1 > 0
accuracy:
  - metric: roc_auc
    margin: 0.01
    min_rows: 1200
  - metric: brier
    margin: -0.092
data_drift:
  max_psi: 0.2
  min_rows: 1200
fairness:
  - metric: demographic_parity_ratio
    group: x2
    at_least: 0.8
";
        golden!("could_not_judge", "could_not_judge", &lab.judge(candidate, &gates(more)));
    });
}

#[test]
fn floors_decide_about_the_first_champion() {
    on_every_store(|mut lab: Lab| {
        let candidate = lab.version(GOOD);
        golden!("first_champion", "pass", &lab.judge(candidate, &gates(ALL)));
        let without = ALL.split("first_champion:").next().unwrap();
        let (status, why) = lab.refused(candidate, &gates(without));
        assert!(
            status == 400 && why.contains("with no 'first_champion' what the first one has to reach; add it"),
            "{why}"
        );
    });
}

#[test]
fn a_job_that_is_told_to_end_leaves_no_report() {
    on_every_store(|mut lab: Lab| {
        let champion = lab.version(WEAK);
        assert_eq!(lab.alias("champion", champion).0, 200);
        let candidate = lab.version(GOOD);
        lab.import("prod.risk.many", &rows(3, 60_000));
        // The measurement alone takes longer than anybody waits.
        let more =
            "latency:\n  p99_ms: 60000\n  requests: 1000000\naccuracy:\n  - metric: f1\n    margin: 1\n";
        let config = gates(more).replace(TABLE, "prod.risk.many");
        for after_ms in [0, 50, 150, 400, 1_000, 2_500] {
            let job = lab.queue(candidate, &config, true);
            std::thread::sleep(Duration::from_millis(after_ms));
            lab.post(&format!("/api/1.0/jobs/{job}/cancel"), &json!({}));
            let ended = lab.ended(&job);
            assert_eq!(ended["state"], "cancelled", "after {after_ms} ms: {ended}");
        }
        let listed = lab.get(&format!("/api/1.0/gate-reports?model={MODEL}"));
        assert_eq!(listed["reports"], json!([]));
        let log = lab.get("/api/1.0/audit-log?action=gate_report.create");
        assert_eq!(log["events"], json!([]));
        assert_eq!(lab.points_to("champion"), Some(champion));
    });
}

/// What is resampled for minutes ends with its job, and not only the job.
#[test]
fn a_bootstrap_ends_with_its_job() {
    on_every_store(|mut lab: Lab| {
        let champion = lab.version(WEAK);
        assert_eq!(lab.alias("champion", champion).0, 200);
        let candidate = lab.version(GOOD);
        lab.import("prod.risk.many", &rows(3, 49_000));
        // 49,000 rows a hundred thousand times.
        let more = "accuracy:\n  - metric: f1\n    margin: 1\n    resamples: 100000\n";
        let job = lab.queue(candidate, &gates(more).replace(TABLE, "prod.risk.many"), false);
        let progress =
            |lab: &mut Lab| lab.get(&format!("/api/1.0/jobs/{job}"))["progress"]["message"].clone();
        let until = std::time::Instant::now() + Duration::from_mins(2);
        while progress(&mut lab) != "computing figures" {
            assert!(std::time::Instant::now() < until, "it does not come to that: {}", lab.server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_millis(500));
        lab.post(&format!("/api/1.0/jobs/{job}/cancel"), &json!({}));
        let ended = lab.ended(&job);
        assert_eq!(ended["state"], "cancelled", "{ended}");
        let used = ended["cost"]["processor_ms"].as_i64().unwrap();
        assert!(used > 0, "{ended}");
        // A thread that went on would use all that it gets of a processor.
        let before = lab.server.processor_time().unwrap();
        std::thread::sleep(Duration::from_secs(3));
        let after = lab.server.processor_time().unwrap().saturating_sub(before);
        assert!(after < Duration::from_millis(300), "it goes on: {after:?} of three seconds");
    });
}
