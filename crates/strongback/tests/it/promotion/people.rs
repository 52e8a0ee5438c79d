//! Whose rights count: where evaluations are kept, and who sets gates aside.

use serde_json::{Value, json};

use super::lab::{GOOD, Lab, MODEL, People, WEAK, gates, on_every_store, on_every_store_with_people};

const M: &str = "/api/2.0/mlflow";
const EASY: &str = "accuracy:\n  - metric: roc_auc\n    margin: 1\nfirst_champion:\n  - metric: roc_auc\n    at_least: 0.1\n";

/// Makes an experiment and answers its id.
fn experiment(lab: &mut Lab, name: &str) -> String {
    let made = lab.post(&format!("{M}/experiments/create"), &json!({ "name": name }));
    made["experiment_id"].as_str().unwrap().to_owned()
}

/// Judges a version, moves the alias, and answers the report's id with the id and the name of the experiment that its run is in.
fn judged(lab: &mut Lab, model: &str, version: i64) -> (String, String, String) {
    let job = lab.queue_of(model, version, &gates(EASY), true);
    let ended = lab.ended(&job);
    assert_eq!((&ended["state"], &ended["result"]["moved"]), (&json!("succeeded"), &json!(true)), "{ended}");
    let run = ended["result"]["run_id"].as_str().unwrap();
    let run = lab.get(&format!("{M}/runs/get?run_id={run}"));
    let id = run["run"]["info"]["experiment_id"].as_str().unwrap().to_owned();
    let found = lab.get(&format!("{M}/experiments/get?experiment_id={id}"));
    (job, id, found["experiment"]["name"].as_str().unwrap().to_owned())
}

/// Whether whoever asks may change the experiment.
fn may_change(lab: &mut Lab, id: &str) -> bool {
    let tag = json!({ "experiment_id": id, "key": "seen", "value": "yes" });
    match lab.try_post(&format!("{M}/experiments/set-experiment-tag"), &tag) {
        (200, _) => true,
        (403, _) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_took_the_name_keeps_no_alias_from_moving() {
    on_every_store(|mut lab: Lab| {
        let name = format!("/gates/{MODEL}");
        let taken = experiment(&mut lab, &name);
        lab.govern(&["champion"]);
        let versions = [lab.version(WEAK), lab.version(GOOD), lab.version(GOOD)];
        let (report, home, called) = judged(&mut lab, MODEL, versions[0]);
        assert_eq!(called, format!("{name} {report}"));
        assert_ne!(home, taken);
        let (_, again, _) = judged(&mut lab, MODEL, versions[1]);
        assert_eq!(again, home, "evaluations of a model are in one place");
        // Nor does whoever deletes it.
        lab.post(&format!("{M}/experiments/delete"), &json!({ "experiment_id": home }));
        let (report, next, called) = judged(&mut lab, MODEL, versions[2]);
        assert_eq!(called, format!("{name} {report}"));
        assert_ne!(next, home);
        let runs = lab.post(&format!("{M}/runs/search"), &json!({ "experiment_ids": [taken] }));
        assert_eq!(runs["runs"].as_array().map_or(0, Vec::len), 0, "{runs}");
    });
}

/// A model of the default schema, with a version.
fn foo(lab: &mut Lab, people: &People) {
    lab.acts_as(&people.ada);
    lab.post(&format!("{M}/registered-models/create"), &json!({ "name": "foo" }));
    lab.acts_as(&people.root);
    for _ in 0..2 {
        let copy = json!({ "name": "foo", "source": format!("models:/{MODEL}/1") });
        lab.post(&format!("{M}/model-versions/create"), &copy);
    }
}

fn give(lab: &mut Lab, name: &str, owner: &str) {
    let body = json!({ "name": name, "kind": "model", "owner": owner });
    let given = lab.try_send("PATCH", "/api/1.0/owner", &body);
    assert_eq!(given.0, 200, "{given:?}");
}

#[test]
fn evaluations_go_with_their_model_and_dispossess_nobody() {
    on_every_store_with_people(&[], |mut lab: Lab, people: People| {
        lab.version(GOOD);
        lab.acts_as(&people.carol);
        let of_carol = experiment(&mut lab, "/gates/main.default.foo");
        foo(&mut lab, &people);
        let (report, home, called) = judged(&mut lab, "foo", 1);
        assert_eq!(called, format!("/gates/main.default.foo {report}"));
        let who_may = |lab: &mut Lab, id: &str| {
            let may = [&people.ada, &people.carol].map(|token| {
                lab.acts_as(token);
                may_change(lab, id)
            });
            lab.acts_as(&people.root);
            may
        };
        assert_eq!(who_may(&mut lab, &of_carol), [false, true], "it is carol's, as it was");
        assert_eq!(who_may(&mut lab, &home), [true, false]);
        // Who gets the model gets its evaluations.
        give(&mut lab, "foo", "carol");
        let (_, again, _) = judged(&mut lab, "foo", 2);
        assert_eq!(again, home);
        assert_eq!(who_may(&mut lab, &home), [false, true]);
        // Who takes the name that it had does not.
        lab.post(&format!("{M}/registered-models/rename"), &json!({ "name": "foo", "new_name": "bar" }));
        foo(&mut lab, &people);
        let (_, of_the_next, _) = judged(&mut lab, "foo", 1);
        assert_ne!(of_the_next, home);
        assert_eq!(who_may(&mut lab, &of_the_next), [true, false]);
        assert_eq!(who_may(&mut lab, &home), [false, true]);
    });
}

fn govern(lab: &mut Lab, aliases: &[&str], config: Option<&str>) -> (u16, Value) {
    lab.try_post("/api/1.0/model/govern", &json!({ "name": "foo", "aliases": aliases, "config": config }))
}

fn overrides(lab: &mut Lab, version: &str) -> (u16, Value) {
    let body = json!({ "name": "foo", "version": version, "override": true, "reason": "the fire is out" });
    lab.try_post("/api/1.0/model/promote", &body)
}

fn denied(answer: &(u16, Value), part: &str) {
    let message = answer.1["message"].as_str().unwrap_or_default();
    assert!(answer.0 == 403 && message.contains(part), "{answer:?}");
    assert!(message.contains("That is for administrators"), "{answer:?}");
}

#[test]
fn who_runs_the_gates_does_not_set_them_aside() {
    on_every_store_with_people(&[], |mut lab: Lab, people: People| {
        lab.version(GOOD);
        foo(&mut lab, &people);
        lab.acts_as(&people.ada);
        // It is hers to bind herself, and to bind herself more.
        assert_eq!(overrides(&mut lab, "1").0, 200, "nothing is governed yet");
        assert_eq!(govern(&mut lab, &["champion"], None).0, 200);
        assert_eq!(govern(&mut lab, &["champion", "shadow"], None).0, 200);
        let strict = gates(EASY);
        assert_eq!(govern(&mut lab, &["champion", "shadow"], Some(&strict)).0, 200);
        // And not to take it back.
        denied(&overrides(&mut lab, "2"), "ada may not override the gates of 'foo'");
        denied(&govern(&mut lab, &[], None), "ada may not loosen what governs 'foo'");
        denied(&govern(&mut lab, &["champion"], Some(&strict)), "loosen");
        denied(&govern(&mut lab, &["champion", "shadow"], None), "loosen");
        let lenient = strict.replace("0.1", "0");
        denied(&govern(&mut lab, &["champion", "shadow"], Some(&lenient)), "loosen");
        assert_eq!(govern(&mut lab, &["champion", "shadow"], Some(&strict)).0, 200, "it is so already");
        lab.acts_as(&people.root);
        assert_eq!(overrides(&mut lab, "2").0, 200);
        assert_eq!(govern(&mut lab, &["champion"], Some(&lenient)).0, 200);
        let history = lab.get("/api/1.0/history?name=foo&alias=champion");
        assert_eq!(history["moves"][0]["evidence"]["override"], true, "{history}");
    });
}

#[test]
fn a_server_may_leave_it_to_owners() {
    on_every_store_with_people(&["--gate-overrides", "owners"], |mut lab: Lab, people: People| {
        lab.version(GOOD);
        foo(&mut lab, &people);
        lab.acts_as(&people.ada);
        assert_eq!(govern(&mut lab, &["champion"], None).0, 200);
        assert_eq!(overrides(&mut lab, "1").0, 200);
        lab.acts_as(&people.carol);
        assert_eq!(overrides(&mut lab, "2").0, 403, "she does not own it");
        lab.acts_as(&people.ada);
        assert_eq!(govern(&mut lab, &[], None).0, 200);
    });
}
