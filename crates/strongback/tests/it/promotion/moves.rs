//! What moves a governed alias, and that nothing else does.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lab::{BAD, GOOD, Lab, MODEL, TABLE, WEAK, gates, on_every_store};

const EASY: &str = "accuracy:\n  - metric: roc_auc\n    margin: 1\nfirst_champion:\n  - metric: roc_auc\n    at_least: 0.1\n";

fn moves(lab: &mut Lab) -> Vec<Value> {
    let found = lab.get(&format!("/api/1.0/history?name={MODEL}&alias=champion"));
    let mut moves = found["moves"].as_array().unwrap().clone();
    moves.reverse();
    moves
}

fn message(answer: &(u16, Value)) -> &str {
    answer.1["message"].as_str().unwrap_or_default()
}

fn promote(lab: &mut Lab, more: &Value) -> (u16, Value) {
    let mut body = json!({ "name": MODEL });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    lab.try_post("/api/1.0/model/promote", &body)
}

fn rollback(lab: &mut Lab, reason: &str) -> (u16, Value) {
    lab.try_post("/api/1.0/model/rollback", &json!({ "name": MODEL, "reason": reason }))
}

#[test]
fn a_governed_alias_moves_by_no_face() {
    on_every_store(|mut lab: Lab| {
        const ALIAS: &str = "/api/2.0/mlflow/registered-models/alias";
        const GOVERNED: &str = "/api/2.0/mlflow/unity-catalog/registered-models/alias";
        let (first, second) = (lab.version(WEAK), lab.version(GOOD));
        assert_eq!(lab.alias("champion", first).0, 200, "it is not governed yet");
        lab.govern(&["champion"]);
        assert_eq!(lab.alias("challenger", second).0, 200, "this one is not");
        assert_eq!(lab.alias("champion", first).0, 200, "it points there already");
        let unity = format!("/api/2.1/unity-catalog/models/{MODEL}/aliases/champion");
        let set = json!({ "name": MODEL, "alias": "champion", "version": second.to_string() });
        let tries = [
            ("POST", ALIAS, set.clone()),
            ("DELETE", ALIAS, json!({ "name": MODEL, "alias": "champion" })),
            ("POST", GOVERNED, set),
            ("DELETE", GOVERNED, json!({ "name": MODEL, "alias": "champion" })),
            ("PUT", unity.as_str(), json!({ "version_num": second })),
            ("DELETE", unity.as_str(), json!({})),
            (
                "DELETE",
                "/api/2.0/mlflow/model-versions/delete",
                json!({ "name": MODEL, "version": first.to_string() }),
            ),
            ("DELETE", "/api/2.0/mlflow/registered-models/delete", json!({ "name": MODEL })),
            ("POST", "/api/1.0/model/promote", json!({ "name": MODEL, "version": "challenger" })),
        ];
        for (method, path, body) in tries {
            let answer = lab.try_send(method, path, &body);
            assert_eq!(
                (answer.0, &answer.1["error_code"]),
                (403, &json!("PERMISSION_DENIED")),
                "{method} {path}"
            );
            assert!(message(&answer).contains("governed"), "{method} {path}: {answer:?}");
        }
        let answer = lab.alias("champion", second);
        let how = format!(
            "strongback gate run --model {MODEL} --candidate {second} --config gates.yaml --move champion"
        );
        assert!(message(&answer).contains(&how), "{answer:?}");
        assert_eq!((lab.points_to("champion"), moves(&mut lab).len()), (Some(first), 1));
        // A copy of the champion's files is a version like any other.
        let body = json!({ "name": MODEL, "source": format!("models:/{MODEL}/{second}") });
        lab.post("/api/2.0/mlflow/model-versions/create", &body);
        assert_eq!(lab.alias("champion", second + 1).0, 403);
        lab.govern(&[]);
        assert_eq!(lab.alias("champion", second).0, 200);
        let log = lab.get("/api/1.0/audit-log?action=model.govern");
        assert_eq!(log["events"].as_array().unwrap().len(), 2, "{log}");
    });
}

#[test]
fn evidence_moves_it_once_and_only_while_it_holds() {
    on_every_store(|mut lab: Lab| {
        lab.govern(&["champion"]);
        let (first, second, third) = (lab.version(WEAK), lab.version(GOOD), lab.version(GOOD));
        let config = gates(EASY);
        let job = lab.queue(first, &config, true);
        let ended = lab.ended(&job);
        assert_eq!(ended["result"]["moved"], true, "{ended}");
        let (of_second, of_third) = (lab.judge(second, &config), lab.judge(third, &config));
        let id = |view: &Value| view["report_id"].as_str().unwrap().to_owned();

        let wrong = promote(&mut lab, &json!({ "version": "3", "report_id": id(&of_second) }));
        assert!(wrong.0 == 403 && message(&wrong).contains("another version"), "{wrong:?}");
        let other =
            promote(&mut lab, &json!({ "version": "2", "alias": "best", "report_id": id(&of_second) }));
        assert!(other.0 == 403 && message(&other).contains("made for the alias 'champion'"), "{other:?}");
        let moved = promote(&mut lab, &json!({ "version": "2" }));
        assert_eq!((moved.0, &moved.1["report_id"]), (200, &json!(id(&of_second))));
        // The third was compared with a champion that is one no more.
        let stale = promote(&mut lab, &json!({ "version": "3", "report_id": id(&of_third) }));
        assert!(stale.0 == 403 && message(&stale).contains("it compared with version 1"), "{stale:?}");
        let again = promote(&mut lab, &json!({ "version": "2" }));
        assert_eq!((again.0, &again.1["is_same"]), (200, &json!(true)));

        let failing = "accuracy:\n  - metric: roc_auc\n    margin: -0.5\n";
        let failed = lab.judge(third, &gates(failing));
        assert_eq!(failed["verdict"], "fail");
        let refused = promote(&mut lab, &json!({ "version": "3", "report_id": id(&failed) }));
        assert!(refused.0 == 403 && message(&refused).contains("its verdict is fail"), "{refused:?}");

        let brief = lab.judge(third, &gates(&format!("expires: 1ms\n{EASY}")));
        std::thread::sleep(Duration::from_millis(5));
        let expired = promote(&mut lab, &json!({ "version": "3", "report_id": id(&brief) }));
        assert!(expired.0 == 403 && message(&expired).contains("it expired"), "{expired:?}");

        let found = moves(&mut lab);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["evidence"]["gate_report"], job.as_str());
        assert_eq!(found[1]["evidence"]["gate_report"], id(&of_second));
        assert_eq!(found[1]["evidence"]["digest"], of_second["report"]["candidate"]["digest"]);
        let view = lab.get(&format!("/api/1.0/model?name={MODEL}"));
        assert_eq!(view["governed"], json!({ "aliases": ["champion"] }));
        assert_eq!(view["moves"][0]["evidence"]["gate_report"], id(&of_second));
    });
}

#[test]
fn only_the_gates_that_govern_count() {
    on_every_store(|mut lab: Lab| {
        let strict = gates(
            "accuracy:\n  - metric: roc_auc\n    margin: 0.01\nfirst_champion:\n  - metric: roc_auc\n    at_least: 0.5\n",
        );
        lab.post(
            "/api/1.0/model/govern",
            &json!({ "name": MODEL, "aliases": ["champion"], "config": strict }),
        );
        let bad = lab.version(BAD);
        let job = lab.queue(bad, &gates(EASY.replace("0.1", "0").as_str()), true);
        let ended = lab.ended(&job);
        assert_eq!(
            (&ended["result"]["verdict"], &ended["result"]["moved"]),
            (&json!("pass"), &json!(false)),
            "{ended}"
        );
        assert!(ended["result"]["not_moved"].as_str().unwrap().contains("other gates than those"), "{ended}");
        // However it is laid out, it asks for the same.
        let good = lab.version(GOOD);
        let job = lab.queue(good, &format!("# ours\n{strict}"), true);
        assert_eq!(lab.ended(&job)["result"]["moved"], true);
        assert_eq!(lab.points_to("champion"), Some(good));
    });
}

#[test]
fn an_override_needs_a_reason_and_is_kept() {
    on_every_store(|mut lab: Lab| {
        lab.govern(&["champion"]);
        let version = lab.version(BAD);
        let silent = promote(&mut lab, &json!({ "version": "1", "override": true, "reason": " " }));
        assert!(silent.0 == 400 && message(&silent).contains("'reason'"), "{silent:?}");
        let moved =
            promote(&mut lab, &json!({ "version": "1", "override": true, "reason": "the fire is out" }));
        assert_eq!(moved.0, 200, "{moved:?}");
        let found = moves(&mut lab);
        assert_eq!(
            (&found[0]["reason"], &found[0]["evidence"]["override"]),
            (&json!("the fire is out"), &json!(true))
        );
        let log = lab.get("/api/1.0/audit-log?action=alias.move");
        assert_eq!(log["events"][0]["detail"]["grounds"]["override"], true, "{log}");
        assert_eq!(lab.points_to("champion"), Some(version));
    });
}

#[test]
fn rollbacks_go_back_to_what_was_answered_for() {
    on_every_store(|mut lab: Lab| {
        let nothing = rollback(&mut lab, "");
        assert!(nothing.0 == 404 && message(&nothing).contains("nothing to roll back"), "{nothing:?}");
        let (first, second, third) = (lab.version(WEAK), lab.version(GOOD), lab.version(GOOD));
        // Before it is governed the first is set by hand; the others pass gates, which expire at once.
        assert_eq!(lab.alias("champion", first).0, 200);
        lab.govern(&["champion"]);
        for version in [second, third] {
            let job = lab.queue(version, &gates(EASY), true);
            assert_eq!(lab.ended(&job)["result"]["moved"], true);
        }
        let late = json!({ "name": MODEL, "from_version": second, "reason": "I saw the second" });
        let late = lab.try_post("/api/1.0/model/rollback", &late);
        assert_eq!((late.0, &late.1["error_code"]), (409, &json!("RESOURCE_CONFLICT")), "{late:?}");
        assert_eq!(lab.points_to("champion"), Some(third));
        let back = rollback(&mut lab, "p99 doubled");
        assert_eq!(
            (back.0, &back.1["version"], &back.1["from_version"]),
            (200, &json!(second), &json!(third))
        );
        // To where it was before it was governed it goes as an override alone.
        let unjudged = rollback(&mut lab, "");
        assert!(unjudged.0 == 403 && message(&unjudged).contains("'reason'"), "{unjudged:?}");
        let back = rollback(&mut lab, "nothing else is left");
        assert_eq!((back.0, &back.1["version"]), (200, &json!(first)));
        assert_eq!(rollback(&mut lab, "x").0, 404);
        let found = moves(&mut lab);
        let kept: Vec<&Value> = found.iter().map(|step| &step["evidence"]).collect();
        assert_eq!(kept[3]["rollback_of"], 3);
        assert_eq!(kept[3]["gate_report"], kept[1]["gate_report"]);
        assert_eq!((&kept[4]["rollback_of"], &kept[4]["override"]), (&json!(2), &json!(true)));
        assert_eq!(lab.points_to("champion"), Some(first));
    });
}

#[test]
fn the_command_line_says_it_by_its_exit_code() {
    on_every_store(|mut lab: Lab| {
        lab.version(GOOD);
        lab.version(BAD);
        let file = |name: &str, more: &str| {
            std::fs::write(lab.server.folder().join(name), gates(more)).unwrap();
        };
        file("easy.yaml", EASY);
        file("hard.yaml", "accuracy:\n  - metric: roc_auc\n    margin: 0\n");
        let few = "accuracy:\n  - metric: roc_auc\n    margin: 0\n    min_rows: 1200\n";
        file("few.yaml", &format!("  where: x1 > 0\n{few}"));
        file("none.yaml", &few.replace("1200", "1201"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = |code: i32, arguments: &[&str]| {
            let done = lab.command(arguments);
            assert_eq!(done.status.code(), Some(code), "{arguments:?}: {done:?}");
            (text(&done.stdout), text(&done.stderr))
        };
        let run =
            |candidate: &'static str, config: &'static str, more: &[&'static str]| -> Vec<&'static str> {
                let call = ["gate", "run", "--model", MODEL, "--candidate", candidate, "--config", config];
                [&call[..], more].concat()
            };
        said(0, &["model", "govern", MODEL, "--aliases", "champion"]);
        let forms = ["--move", "champion", "--wait", "--junit", "g.xml", "--markdown", "g.md"];
        let (out, err) = said(0, &run("1", "easy.yaml", &forms));
        assert!(
            out.contains("first_champion.roc_auc") && err.contains("'champion' points to version 1 now"),
            "{out}{err}"
        );
        let read = |name: &str| std::fs::read_to_string(lab.server.folder().join(name)).unwrap();
        assert!(
            read("g.xml").contains("errors=\"0\"")
                && read("g.md").starts_with("# Gates of prod.risk.fraud: pass")
        );
        let (out, _) = said(1, &run("2", "hard.yaml", &["--json"]));
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["verdict"], "fail");
        said(1, &["gate", "show", report["report_id"].as_str().unwrap()]);
        said(2, &run("2", "few.yaml", &[]));
        let (_, err) = said(2, &run("2", "none.yaml", &[]));
        assert!(err.contains("line 9, column 15: 'roc_auc' asks for at least 1201 rows"), "{err}");
        said(2, &run("2", "absent.yaml", &[]));
        let (out, _) = said(0, &["gate", "list", "--model", MODEL]);
        assert_eq!(out.lines().count(), 4, "{out}");
        said(3, &["promote", MODEL, "2"]);
        said(0, &["promote", MODEL, "2", "--override", "--reason", "to see"]);
        let (out, err) = said(0, &["rollback", MODEL]);
        assert!(out.contains("is version 1 again; it was version 2"), "{out}");
        assert!(err.contains("prod.risk.fraud@champion is version 2 now."), "{err}");
        let (out, _) = said(0, &["history", &format!("{MODEL}@champion")]);
        assert!(out.contains("rollback of move 2, report "), "{out}");
        said(0, &["model", "govern", MODEL, "--off"]);
    });
}

/// A place for the command line with files of gates, in which an earlier run left reports that pass.
struct Desk<'l> {
    lab: &'l Lab,
}

impl<'l> Desk<'l> {
    fn new(lab: &'l Lab) -> Self {
        let desk = Self { lab };
        desk.write("easy.yaml", &gates(EASY));
        desk.write("no_floor.yaml", &gates("accuracy:\n  - metric: roc_auc\n    margin: 0\n"));
        let long = "latency:\n  p99_ms: 60000\n  requests: 1000000\n";
        desk.write("long.yaml", &gates(&format!("{EASY}{long}")));
        desk
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.lab.server.folder().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.lab.server.folder().join(name)).unwrap()
    }

    /// Judges and moves, with this exit code; answers what was said on either way.
    fn gate(&self, code: i32, [model, candidate, config]: [&str; 3], more: &[&str]) -> (String, String) {
        for name in ["g.xml", "g.md"] {
            self.write(name, "errors=\"0\"");
        }
        let call = ["gate", "run", "--model", model, "--candidate", candidate, "--config", config];
        let forms = ["--move", "champion", "--junit", "g.xml", "--markdown", "g.md"];
        let call = [&call[..], &forms, more].concat();
        let done = self.lab.command(&call);
        assert_eq!(done.status.code(), Some(code), "{call:?}: {done:?}");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&done.stdout), text(&done.stderr))
    }

    /// Both files say that there is no verdict, and why.
    fn is_unjudged(&self, why: &str) {
        let (xml, markdown) = (self.read("g.xml"), self.read("g.md"));
        assert!(xml.contains("errors=\"1\"") && xml.contains("<error message=\"could not judge: "), "{xml}");
        assert!(
            xml.contains(why) && markdown.contains(": could not judge") && markdown.contains(why),
            "{xml}{markdown}"
        );
    }
}

#[test]
fn the_command_line_tells_what_kept_the_gates_from_judging() {
    on_every_store(|mut lab: Lab| {
        let first = lab.version(GOOD);
        let desk = Desk::new(&lab);
        // Nothing says what the first champion has to reach.
        let (_, err) = desk.gate(2, [MODEL, "1", "no_floor.yaml"], &[]);
        assert!(err.contains("with no 'first_champion' what the first one has to reach"), "{err}");
        desk.is_unjudged("there is no champion yet");
        // There is no such model, version or file.
        let (_, err) = desk.gate(2, ["prod.risk.nobody", "1", "easy.yaml"], &[]);
        assert!(err.contains("error: ") && err.contains("nobody"), "{err}");
        desk.is_unjudged("nobody");
        desk.gate(2, [MODEL, "99", "easy.yaml"], &[]);
        desk.is_unjudged("99");
        desk.gate(2, [MODEL, "1", "absent.yaml"], &[]);
        desk.is_unjudged("absent.yaml");
        // A server that does not answer is one to ask again.
        desk.gate(4, [MODEL, "1", "easy.yaml"], &["--server", "http://127.0.0.1:9"]);
        desk.is_unjudged("127.0.0.1:9");
        // Where other gates than these count, they pass and the alias stays.
        let govern = ["model", "govern", MODEL];
        let others = [&govern[..], &["--aliases", "champion", "--config", "long.yaml"]].concat();
        assert!(lab.command(&others).status.success());
        let (_, err) = desk.gate(3, [MODEL, "1", "easy.yaml"], &[]);
        assert!(err.contains("The gates passed, and 'champion' did not move"), "{err}");
        assert!(lab.command(&[&govern[..], &["--off"]].concat()).status.success());
        // What passes says so.
        desk.gate(0, [MODEL, "1", "easy.yaml"], &[]);
        assert!(desk.read("g.xml").contains("errors=\"0\"") && desk.read("g.md").contains(": pass"));
        assert_eq!(lab.points_to("champion"), Some(first));
    });
}

#[test]
fn the_command_line_tells_what_becomes_of_a_job_without_a_verdict() {
    on_every_store(|mut lab: Lab| {
        let first = lab.version(GOOD);
        lab.version(WEAK);
        assert_eq!(lab.alias("champion", first).0, 200);
        let desk = Desk::new(&lab);
        // Who does not wait for the end learns that it goes on, and how to end it.
        let (_, err) = desk.gate(2, [MODEL, "2", "long.yaml"], &["--wait", "0"]);
        assert!(err.contains("It goes on and moves 'champion' by itself when the gates pass."), "{err}");
        let id = err.split("strongback job cancel ").nth(1).unwrap().trim();
        desk.is_unjudged(&format!("strongback job cancel {id}"));
        assert!(lab.command(&["job", "cancel", id]).status.success());
        // Nor is a job that was ended a verdict.
        let (_, err) = std::thread::scope(|scope| {
            let waits = scope.spawn(|| desk.gate(2, [MODEL, "2", "long.yaml"], &[]));
            let begun = Instant::now();
            while !waits.is_finished() {
                assert!(begun.elapsed() < Duration::from_secs(90), "the command does not end");
                let listed = lab.command(&["job", "list", "--kind", "gate_run", "--json"]);
                let jobs: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
                for job in jobs.iter().filter(|job| job["ended_at"].is_null()) {
                    lab.command(&["job", "cancel", job["job_id"].as_str().unwrap()]);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            waits.join().unwrap()
        });
        assert!(err.contains("The gates could not judge: the job ") && err.contains("cancelled"), "{err}");
        desk.is_unjudged("cancelled");
        assert_eq!(lab.points_to("champion"), Some(first));
    });
}

#[test]
fn what_was_rolled_back_does_not_come_back_by_itself() {
    on_every_store(|mut lab: Lab| {
        lab.govern(&["champion"]);
        let (first, second) = (lab.version(WEAK), lab.version(GOOD));
        for version in [first, second] {
            let job = lab.queue(version, &gates(EASY), true);
            assert_eq!(lab.ended(&job)["result"]["moved"], true);
        }
        assert_eq!(rollback(&mut lab, "it scores refunds wrongly").0, 200);
        // The report of before holds still, and did not see what was wrong.
        let silent = promote(&mut lab, &json!({ "version": "2" }));
        assert!(
            silent.0 == 403 && message(&silent).contains("was rolled back from version 2 on"),
            "{silent:?}"
        );
        assert!(message(&silent).contains("--reason"), "{silent:?}");
        let silent = promote(&mut lab, &json!({ "version": "2", "reason": "  " }));
        assert_eq!(silent.0, 403, "{silent:?}");
        let said = promote(&mut lab, &json!({ "version": "2", "reason": "the refunds were ours" }));
        assert_eq!((said.0, lab.points_to("champion")), (200, Some(second)), "{said:?}");
        let last = moves(&mut lab).pop().unwrap();
        assert_eq!(last["reason"], "the refunds were ours");
        assert!(last["evidence"]["gate_report"].is_string(), "{last}");
        // What is judged after the rollback speaks for itself.
        assert_eq!(rollback(&mut lab, "they were not").0, 200);
        let job = lab.queue(second, &gates(EASY), true);
        assert_eq!(lab.ended(&job)["result"]["moved"], true);
        assert_eq!(lab.points_to("champion"), Some(second));
    });
}

#[test]
fn a_rollback_passes_over_what_was_deleted() {
    on_every_store(|mut lab: Lab| {
        let (first, second, third) = (lab.version(WEAK), lab.version(GOOD), lab.version(GOOD));
        for version in [first, second, third] {
            assert_eq!(lab.alias("champion", version).0, 200);
        }
        let body = json!({ "name": MODEL, "version": second.to_string() });
        let deleted = lab.try_send("DELETE", "/api/2.0/mlflow/model-versions/delete", &body);
        assert_eq!(deleted.0, 200, "{deleted:?}");
        let back = rollback(&mut lab, "");
        assert_eq!(
            (back.0, &back.1["version"], &back.1["from_version"]),
            (200, &json!(first), &json!(third)),
            "{back:?}"
        );
        let nothing = rollback(&mut lab, "");
        assert!(nothing.0 == 404 && message(&nothing).contains("nothing to roll back"), "{nothing:?}");
    });
}

/// Who holds the evaluation rows.
fn holders(lab: &mut Lab) -> Vec<String> {
    let versions = lab.get(&format!("/api/1.0/tables/{TABLE}/versions"));
    let pins = versions["versions"][0]["pins"].as_array().cloned().unwrap_or_default();
    pins.iter().map(|pin| pin["holder"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn rows_are_kept_for_reports_that_count() {
    on_every_store(|mut lab: Lab| {
        lab.govern(&["champion"]);
        let (first, second) = (lab.version(WEAK), lab.version(GOOD));
        // The move rests on this report, also when it has expired.
        let brief = gates(&format!("expires: 10s\n{EASY}"));
        let moved = lab.queue(first, &brief, true);
        assert_eq!(lab.ended(&moved)["result"]["moved"], true);
        let expired = lab.judge(second, &gates(&format!("expires: 1ms\n{EASY}")));
        let counts = lab.judge(second, &gates(EASY));
        let holder = |view: &Value| format!("gate_report/{}", view["report_id"].as_str().unwrap());
        let (moved, expired, counts) = (format!("gate_report/{moved}"), holder(&expired), holder(&counts));
        assert_eq!(holders(&mut lab).len(), 3);
        std::thread::sleep(Duration::from_secs(11));
        // Released as soon as the server starts, and hourly.
        lab.server.kill9().unwrap();
        lab.server.restart().unwrap();
        lab.reconnect();
        let begun = Instant::now();
        while holders(&mut lab).contains(&expired) {
            assert!(begun.elapsed() < Duration::from_secs(30), "the rows are held still");
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut kept = holders(&mut lab);
        kept.sort_unstable();
        let mut wanted = [moved, counts];
        wanted.sort_unstable();
        assert_eq!(kept, wanted);
    });
}
