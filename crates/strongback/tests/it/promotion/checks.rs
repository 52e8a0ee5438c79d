//! Single gates: what each of them sees, and that what is missing fails closed.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    lab::{GOOD, Lab, MODEL, WEAK, check, gates, on_every_store, rows},
    onnx::{laboured, logistic},
};

fn outcome(view: &Value, name: &str) -> (String, String) {
    let found = check(view, name);
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("outcome"), text("sentence"))
}

const EASY: &str = "accuracy:\n  - metric: roc_auc\n    margin: 1\n";

/// The report names the requests that were asked again, and keeps them.
fn stands_on_what_was_asked(lab: &mut Lab, view: &Value) {
    let recorded = &view["report"]["recorded"];
    assert_eq!(recorded["rows"], 2, "{recorded}");
    let (table, version) = recorded["table"].as_str().unwrap().split_once('@').unwrap();
    assert_eq!(table, "prod.risk.scores_payload");
    let versions = lab.get(&format!("/api/1.0/tables/{table}/versions"));
    let listed = versions["versions"].as_array().unwrap().iter();
    let of_report = |found: &&Value| found["version"] == version.parse::<u64>().unwrap();
    let pins = listed.clone().find(of_report).unwrap()["pins"].clone();
    assert_eq!(
        pins[0]["holder"],
        format!("gate_report/{}", view["report_id"].as_str().unwrap()),
        "{versions:#}"
    );
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
            gates(&format!("{EASY}latency:\n{limits}  requests: 800\n  callers: 3\n  max_noise: {noise}\n"))
        };
        let both = "  p99_ms: 60000\n  p99_ratio: 100000\n";
        let view = lab.judge(candidate, &latency(both, "1000"));
        assert_eq!(view["verdict"], "pass", "{view:#}");
        assert_eq!(check(&view, "latency.p99")["estimate"]["n"], 800);
        let job = lab.get(&format!("/api/1.0/jobs/{}", view["report_id"].as_str().unwrap()));
        assert!(job["cost"]["bytes_read"].as_i64().unwrap() > 0, "{job}");
        assert_eq!(check(&view, "latency.p99_ratio")["estimate"]["n"], 20);
        let sentence = outcome(&view, "latency.p99").1;
        assert!(
            sentence.starts_with("From columns to scores, 3 callers at once: the time that 99 %"),
            "{sentence}"
        );
        let slow = lab.judge(candidate, &latency("  p99_ms: 0.000001\n", "1000"));
        assert_eq!(slow["verdict"], "fail", "{slow:#}");
        let busy = lab.judge(candidate, &latency(both, "0.000001"));
        let (said, sentence) = outcome(&busy, "latency.p99");
        assert_eq!((said.as_str(), busy["verdict"].as_str()), ("could_not_judge", Some("could_not_judge")));
        assert!(sentence.contains("too busy to judge"), "{sentence}");
    });
}

#[test]
fn a_candidate_that_is_slower_than_the_champion_by_too_much_is_not_let_through() {
    on_every_store(|mut lab: Lab| {
        let (weights, bias) = GOOD;
        let quick = lab.version(GOOD);
        assert_eq!(lab.alias("champion", quick).0, 200);
        let slow = lab.version_with(&laboured(&weights, bias, 200), &["x1:double", "x2:double"]);
        let gate = gates(&format!("{EASY}latency:\n  p99_ratio: 3\n  requests: 400\n  max_noise: 1000\n"));
        let ratio = |view: &Value| check(view, "latency.p99_ratio")["estimate"]["value"].as_f64().unwrap();
        // On a machine that has much else to do, what it takes may be too uncertain to tell.
        let judged = |lab: &mut Lab, candidate| {
            let mut views = (0..8).map(|_| lab.judge(candidate, &gate));
            views.find(|view| view["verdict"] != "could_not_judge").expect("it can be judged")
        };
        let view = judged(&mut lab, slow);
        assert_eq!(
            (outcome(&view, "latency.p99_ratio").0.as_str(), &view["verdict"]),
            ("fail", &json!("fail")),
            "{view:#}"
        );
        assert!(ratio(&view) > 3.0, "{view:#}");
        // The other way round.
        assert_eq!(lab.alias("champion", slow).0, 200);
        let view = judged(&mut lab, quick);
        assert_eq!(outcome(&view, "latency.p99_ratio").0, "pass", "{view:#}");
        assert!(ratio(&view) < 1.0, "{view:#}");
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
        let gate = gates(&format!("{EASY}compatibility:\n  endpoint: prod.risk.scores\n  requests: 50\n"));
        // Gates come before the first champion, and an endpoint after it.
        let floor = "first_champion:\n  - metric: roc_auc\n    at_least: 0.1\n";
        let first = lab.judge(champion, &format!("{gate}{floor}"));
        let (said, sentence) = outcome(&first, "compatibility.recorded_requests");
        assert_eq!(
            (said.as_str(), first["verdict"].as_str()),
            ("not_applicable", Some("pass")),
            "{sentence}"
        );
        assert!(sentence.starts_with("There is no endpoint 'prod.risk.scores' yet"), "{sentence}");
        assert_eq!(lab.alias("champion", champion).0, 200);
        let candidate = lab.version(GOOD);
        // There is no such endpoint, and nobody can tell what it would have been asked.
        let (status, why) = lab.refused(candidate, &gate);
        assert!(
            status == 400
                && why.contains("line 10, column 13: The endpoint 'prod.risk.scores' does not exist."),
            "{why}"
        );
        lab.endpoint("scores", &format!("{MODEL}@champion"));
        // Nor is there anything to watch yet, and no other table is taken for it.
        let watch = "version: 1\nwatch: prod.risk.scores\nbaseline: prod.risk.training@1\nwindow: { length: 1h }\n\
                     lateness: 1h\nprediction: _prediction\nmetrics: [psi]\n";
        let refused = lab.answer("/api/1.0/monitors", &serde_json::json!({ "yaml": watch }));
        let body = refused.json();
        let said = body["message"].as_str().unwrap();
        assert_eq!(refused.status, 404, "{refused:?}");
        assert!(said.contains("'prod.risk.scores' has recorded no request"), "{said}");
        let none = lab.judge(candidate, &gate);
        assert_eq!(none["verdict"], "pass");
        assert_eq!(outcome(&none, "compatibility.recorded_requests").0, "not_applicable");
        // Those that wait in the log still are recorded as well.
        let body =
            json!({ "dataframe_split": { "columns": ["x1", "x2"], "data": [[0.5, 0.25], [0.0, 0.5]] } });
        lab.post("/endpoints/scores/invocations", &body);
        let asked = lab.judge(candidate, &gate);
        let (said, sentence) = outcome(&asked, "compatibility.recorded_requests");
        assert_eq!((said.as_str(), asked["verdict"].as_str()), ("pass", Some("pass")), "{sentence}");
        stands_on_what_was_asked(&mut lab, &asked);
        // What was recorded and is gone is not the same as nothing.
        let table = "/api/2.1/unity-catalog/tables/prod.risk.scores_payload";
        // A report stands on it.
        assert_eq!(lab.try_send("DELETE", table, &json!({})).0, 409);
        assert_eq!(lab.try_send("DELETE", table, &json!({ "force": true })).0, 200);
        let (status, why) = lab.refused(candidate, &gate);
        assert!(
            status == 400
                && why.contains("line 10, column 13: The table with the endpoint's requests was deleted"),
            "{why}"
        );
        let (_, why) = lab.refused(candidate, &gate.replace("risk.scores", "risk.score"));
        assert!(
            why.contains("there is no 'prod.risk.score' to be read; did you mean 'prod.risk.scores'?"),
            "{why}"
        );
        lab.ask("scores", &[[0.5, 0.25], [0.0, 0.5]]);
        // Infinity times nothing is no number: this one gives the second row no score.
        let partial = lab.version(([f32::INFINITY, -2.0], 0.0));
        let asked = lab.judge(partial, &gate);
        let (said, sentence) = outcome(&asked, "compatibility.recorded_requests");
        assert_eq!((said.as_str(), asked["verdict"].as_str()), ("fail", Some("fail")));
        assert!(sentence.starts_with("1 of the newest 2 rows"), "{sentence}");
        // One that takes other columns understands none of them.
        let unlike = lab.version_with(&logistic(&[3.0, -2.0], 0.0), &["x1:double", "x9:double"]);
        let (said, sentence) = outcome(&lab.judge(unlike, &gate), "compatibility.recorded_requests");
        assert_eq!(said, "fail");
        assert!(sentence.contains("column 'x9'"), "{sentence}");
        // One more column that the callers do not send.
        let other =
            lab.version_with(&logistic(&[3.0, -2.0, 0.0], 0.0), &["x1:double", "x2:double", "at2:double"]);
        let refused = lab.judge(other, &gates("compatibility: {}\n"));
        let (said, sentence) = outcome(&refused, "compatibility.signature");
        assert_eq!(said, "fail");
        assert!(sentence.contains("'at2' is required, and the champion does not take it"), "{sentence}");
    });
}

/// Requests that cannot be brought out of the log: those of the endpoint that the gates ask hold them up, and nobody else's.
#[test]
fn what_an_endpoint_was_asked_is_judged_whole_or_not_at_all() {
    on_every_store(|mut lab: Lab| {
        let champion = lab.version(WEAK);
        assert_eq!(lab.alias("champion", champion).0, 200);
        let candidate = lab.version(GOOD);
        let gate = gates("compatibility:\n  endpoint: prod.risk.scores\n  requests: 50\n");
        let body = json!({ "dataframe_split": { "columns": ["x1", "x2"], "data": [[0.5, 0.25]] } });
        let mut homes = Vec::new();
        for name in ["scores", "other"] {
            lab.endpoint(name, &format!("{MODEL}@champion"));
            lab.ask(name, &[[0.5, 0.25]]);
            let table = lab.get(&format!("/api/2.1/unity-catalog/tables/prod.risk.{name}_payload"));
            homes.push(lab.server.data_dir().join("tables").join(table["table_id"].as_str().unwrap()));
        }
        let away = |home: &Path| home.with_extension("away");
        let asked = |lab: &mut Lab| {
            for name in ["scores", "other"] {
                lab.post(&format!("/endpoints/{name}/invocations"), &body);
            }
            let view = lab.judge(candidate, &gate);
            let rows = view["report"]["recorded"]["rows"].clone();
            (outcome(&view, "compatibility.recorded_requests"), rows)
        };
        std::fs::rename(&homes[1], away(&homes[1])).unwrap();
        let ((said, sentence), rows) = asked(&mut lab);
        assert_eq!((said.as_str(), rows), ("pass", json!(2)), "{sentence}");
        std::fs::rename(&homes[0], away(&homes[0])).unwrap();
        let ((said, sentence), _) = asked(&mut lab);
        assert_eq!(said, "could_not_judge", "{sentence}");
        assert!(
            sentence.contains("Requests of 'prod.risk.scores' wait in the payload log (1)"),
            "{sentence}"
        );
        for home in &homes {
            std::fs::rename(away(home), home).unwrap();
        }
        let ((said, sentence), rows) = asked(&mut lab);
        assert_eq!((said.as_str(), rows), ("pass", json!(4)), "{sentence}");
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
            let body = json!({ "model": MODEL, "candidate": candidate, "config": config });
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
        let twice = gates(
            "accuracy:\n  - metric: f1\n    margin: 0\n  - metric: f1\n    margin: 0\n    threshold: 0.9\n",
        );
        let (status, message) = said(&number, &twice);
        assert!(status == 400 && message.contains("'accuracy' has 'f1' twice"), "{message}");
        // What the condition would name besides its own columns is refused.
        let config = good.replace("  label", "  where: x1 IN (SELECT x1 FROM prod.risk.training)\n  label");
        let (status, message) = said(&number, &config);
        assert!(status == 400 && message.contains("speaks of columns alone"), "{message}");
        let few = lab.judge(candidate, &good.replace("  label", "  where: country = 'de'\n  label"));
        let n = few["report"]["evaluation"]["rows"].as_u64().unwrap();
        assert!((300..500).contains(&n), "{n} rows of a third of 1200");
    });
}

#[test]
fn a_key_stands_for_one_gate_run() {
    on_every_store(|mut lab: Lab| {
        let candidate = pair(&mut lab);
        let other = lab.version(GOOD);
        let config = gates("accuracy:\n  - metric: roc_auc\n    margin: 1\n");
        let ask = |lab: &mut Lab, candidate: i64, config: &str| {
            let body = json!({
                "model": MODEL, "candidate": candidate.to_string(), "config": config, "move": true,
                "idempotency_key": "tonight",
            });
            lab.try_post("/api/1.0/gate-runs", &body)
        };
        let first = ask(&mut lab, candidate, &config);
        assert_eq!(first.0, 200, "{first:?}");
        let again = ask(&mut lab, candidate, &config);
        assert_eq!((again.0, &again.1["job_id"]), (200, &first.1["job_id"]));
        // Also when what was asked for has come about, and the candidate is the champion.
        assert_eq!(lab.ended(first.1["job_id"].as_str().unwrap())["result"]["moved"], true);
        let again = ask(&mut lab, candidate, &config);
        assert_eq!((again.0, &again.1["job_id"]), (200, &first.1["job_id"]), "{again:?}");
        let others = [(other, config.clone()), (candidate, config.replace("margin: 1", "margin: 0"))];
        for (candidate, config) in others {
            let refused = ask(&mut lab, candidate, &config);
            assert_eq!(
                (refused.0, &refused.1["error_code"]),
                (409, &json!("RESOURCE_CONFLICT")),
                "{refused:?}"
            );
            assert!(refused.1["message"].as_str().unwrap().contains("'idempotency_key'"), "{refused:?}");
        }
    });
}

#[test]
fn requests_have_as_many_rows_as_are_asked_for() {
    on_every_store(|mut lab: Lab| {
        let candidate = pair(&mut lab);
        let of_rows = |rows: u32| {
            gates(&format!(
                "{EASY}latency:\n  p99_ms: 60000\n  rows: {rows}\n  requests: 400\n  max_noise: 1000\n"
            ))
        };
        assert_eq!(lab.judge(candidate, &of_rows(1_200))["verdict"], "pass");
        let (status, why) = lab.refused(candidate, &of_rows(1_201));
        let expected =
            "line 11, column 9: a request is to have 1201 rows, and 'prod.risk.evaluation@1' has 1200 rows";
        assert!(status == 400 && why.contains(expected), "{why}");
        // How many a condition leaves is known once they are read.
        let few = of_rows(1_200).replace("  label", "  where: x1 > 0\n  label");
        let view = lab.judge(candidate, &few);
        let (said, sentence) = outcome(&view, "latency");
        assert_eq!((said.as_str(), view["verdict"].as_str()), ("could_not_judge", Some("could_not_judge")));
        assert!(
            sentence.starts_with("A request is to have 1200 rows, and the evaluation has "),
            "{sentence}"
        );
    });
}

#[test]
fn groups_are_compared_whole_or_not() {
    on_every_store(|mut lab: Lab| {
        pair(&mut lab);
        let fairness = |group: &str| {
            gates(&format!(
                "fairness:\n  - metric: demographic_parity_ratio\n    group: {group}\n    at_least: 0.1\n"
            ))
        };
        let candidate = lab.version(GOOD);
        let (_, sentence) =
            outcome(&lab.judge(candidate, &fairness("x1")), "fairness.demographic_parity_ratio.x1");
        assert!(sentence.contains("'x1' has more than 200 groups"), "{sentence}");
        // Whoever finds the frauds finds few among those that are none: as groups they are treated very differently.
        let accurate = "accuracy:\n  - metric: roc_auc\n    margin: 0.05\n";
        let strict = fairness("fraud").replace("0.1", "0.8");
        for (blocking, verdict) in [("true", "fail"), ("false", "pass")] {
            let view = lab.judge(candidate, &format!("{strict}    blocking: {blocking}\n{accurate}"));
            let (said, sentence) = outcome(&view, "fairness.demographic_parity_ratio.fraud");
            assert_eq!((said.as_str(), view["verdict"].as_str()), ("fail", Some(verdict)), "{sentence}");
        }
        let silent = lab.version(([3.0, -2.0], f32::NAN));
        let (said, sentence) =
            outcome(&lab.judge(silent, &fairness("country")), "fairness.demographic_parity_ratio.country");
        assert_eq!(said, "could_not_judge");
        assert_eq!(sentence, "The candidate gave no score for 1200 rows whose group and outcome are known.");
    });
}

#[test]
fn drift_is_told_against_other_rows_that_stay_as_they_are() {
    on_every_store(|mut lab: Lab| {
        pair(&mut lab);
        let drift = gates(&format!("{EASY}data_drift:\n  max_psi: 0.2\n"));
        let inputs = ["x1:double", "x2:double"];
        let mut learned_from = |table: &str, gates: &str| {
            let candidate = lab.version_on(table, &logistic(&[3.0, -2.0], 0.0), &inputs);
            lab.refusal(candidate, gates, "data_drift")
        };
        // Whoever may tag the run would choose what it is compared with: rows that come later, or the evaluation itself.
        let newest = learned_from("prod.risk.training", &drift);
        assert!(newest.contains("'prod.risk.training' is a table, whose rows change"), "{newest}");
        assert!(newest.contains("such as prod.risk.training@1"), "{newest}");
        let itself = learned_from("prod.risk.evaluation@1", &drift);
        assert!(itself.contains("raining rows are the evaluation rows (prod.risk.evaluation@1)"), "{itself}");
        let newest = learned_from("prod.risk.training@1", &format!("{drift}  against: prod.risk.training\n"));
        assert!(newest.contains("'prod.risk.training' is a table, whose rows change"), "{newest}");
    });
}

#[test]
fn a_champion_is_compared_with_or_nothing_passes() {
    on_every_store(|mut lab: Lab| {
        let candidate = pair(&mut lab);
        lab.govern(&["champion"]);
        let champion = lab.points_to("champion");
        // The signatures are the same, and that alone says nothing about how well it scores.
        let job = lab.queue(candidate, &gates("compatibility: {}\n"), true);
        let ended = lab.ended(&job);
        assert_eq!(
            (&ended["result"]["verdict"], &ended["result"]["moved"]),
            (&json!("could_not_judge"), &json!(false))
        );
        let view = lab.get(&format!("/api/1.0/gate-reports/{job}"));
        assert_eq!(outcome(&view, "compatibility.signature").0, "pass");
        let (said, sentence) = outcome(&view, "accuracy");
        assert_eq!(said, "could_not_judge");
        assert!(
            sentence.contains("with no 'accuracy' how the candidate has to compare with it; add it"),
            "{sentence}"
        );
        assert_eq!(lab.points_to("champion"), champion);
    });
}

#[test]
fn rows_are_chosen_by_what_they_are_and_not_by_chance() {
    on_every_store(|mut lab: Lab| {
        let candidate = pair(&mut lab);
        for (condition, called) in
            [("random() < 0.5", "random()"), ("at < now()", "now()"), ("x1 IN (SELECT random())", "random()")]
        {
            let config = gates(EASY).replace("  label", &format!("  where: {condition}\n  label"));
            let said = lab.refusal(candidate, &config, "accuracy.roc_auc");
            assert!(
                said.contains(&format!("calls {called}, whose value is another one each time")),
                "{said}"
            );
        }
    });
}

#[test]
fn requests_of_another_model_say_nothing_about_this_one() {
    on_every_store(|mut lab: Lab| {
        let candidate = pair(&mut lab);
        let other = "prod.risk.other";
        lab.post("/api/2.0/mlflow/registered-models/create", &json!({ "name": other }));
        let copy = json!({ "name": other, "source": format!("models:/{MODEL}/{candidate}") });
        lab.post("/api/2.0/mlflow/model-versions/create", &copy);
        lab.endpoint("others", &format!("{other}/1"));
        lab.ask("others", &[[0.5, 0.25]]);
        let config = gates(&format!("{EASY}compatibility:\n  endpoint: prod.risk.others\n"));
        let said = lab.refusal(candidate, &config, "compatibility.recorded_requests");
        assert!(said.contains("'prod.risk.others' serves 'prod.risk.other'"), "{said}");
    });
}
