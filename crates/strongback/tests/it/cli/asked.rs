//! Questions: what counts, what was left out, and what is said when nothing was found.

use serde_json::{Value, json};
use testkit::server::Server;

use super::{binary, done, run, text};

fn json_of(output: &std::process::Output) -> Value {
    serde_json::from_str(&text(&output.stdout)).unwrap()
}

fn model_with_moves(server: &Server, name: &str, moves: usize) {
    let mut http = server.client();
    let mut mlflow = |path: &str, body: Value| {
        let answer = http.post(&format!("/api/2.0/mlflow/{path}"), &body).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    };
    mlflow("registered-models/create", json!({ "name": name }));
    for _ in 0..2 {
        mlflow("model-versions/create", json!({ "name": name, "source": "s3://bucket/x" }));
    }
    for at in 0..moves {
        let version = (at % 2 + 1).to_string();
        mlflow("registered-models/alias", json!({ "name": name, "alias": "champion", "version": version }));
    }
}

#[test]
fn a_list_that_was_cut_says_so_and_a_whole_one_does_not() {
    let server = Server::strongback(binary()).unwrap();
    model_with_moves(&server, "m", 3);
    let list = |limit: &str, asset: &str| {
        server.command(&["audit-log", "list", "--action", "alias", "--asset", asset, "-n", limit]).unwrap()
    };
    let listed = |limit: &str| {
        let arguments = ["audit-log", "list", "--action", "alias", "-n", limit, "--json"];
        let found = json_of(&server.command(&arguments).unwrap());
        (found["events"].as_array().unwrap().len(), found["is_cut"].as_bool().unwrap())
    };
    assert_eq!([listed("2"), listed("3"), listed("4")], [(2, true), (3, false), (3, false)]);
    assert!(text(&list("2", "m").stderr).contains("There are older ones"));
    assert_eq!(text(&list("3", "m").stderr), "");

    let url = server.url();
    let history = |limit: &str, form: &[&str]| {
        let arguments = [&["history", "m@champion", "-n", limit], form].concat();
        run(server.folder(), &arguments, &[("STRONGBACK_URL", &url)])
    };
    assert!(text(&history("2", &[]).stderr).contains("There are older moves"));
    assert!(!text(&history("3", &[]).stderr).contains("older"));
    let cut = |limit: &str| {
        let found = json_of(&history(limit, &["--json"]));
        (found["moves"].as_array().unwrap().len(), found["is_cut"].as_bool().unwrap())
    };
    assert_eq!([cut("2"), cut("3")], [(2, true), (3, false)]);

    let unknown = list("5", "no.such.thing");
    assert!(unknown.status.success());
    assert!(text(&unknown.stderr).contains("Nothing has that name now"), "{}", text(&unknown.stderr));
    let known = server.command(&["audit-log", "list", "--asset", "m", "--until", "2020-01-01"]).unwrap();
    assert_eq!(text(&known.stderr), "", "it is there, and did nothing then");
}

#[test]
fn a_time_that_the_list_shows_finds_its_event_again() {
    let server = Server::strongback(binary()).unwrap();
    model_with_moves(&server, "m", 1);
    let list = |bounds: &[&str]| {
        let arguments = [&["audit-log", "list", "--action", "alias"], bounds].concat();
        let shown = done(&server.command(&arguments).unwrap());
        shown.lines().skip(1).map(|line| line[..19].to_owned()).collect::<Vec<_>>()
    };
    let whole = list(&[]);
    let [second] = &whole[..] else { panic!("{whole:?}") };
    let (date, minute) = (&second[..10], &second[..16]);
    for shown in [second.as_str(), &format!("{}Z", second.replace(' ', "T")), minute, date] {
        assert_eq!(list(&["--since", shown]), whole, "--since {shown}");
        assert_eq!(list(&["--until", shown]), whole, "--until {shown}");
        assert_eq!(list(&["--since", shown, "--until", shown]), whole, "{shown}");
    }
    for flag in ["--since", "--until"] {
        let output = server.command(&["audit-log", "list", flag, "soon"]).unwrap();
        assert_eq!(output.status.code(), Some(2));
        let named = format!("for parameter '{}'", &flag[2..]);
        assert!(text(&output.stderr).contains(&named), "{}", text(&output.stderr));
    }
}

#[test]
fn the_best_run_is_one_that_finished_unless_asked_otherwise() {
    let server = Server::strongback(binary()).unwrap();
    let mut http = server.client();
    let mut mlflow = |path: &str, body: Value| {
        let answer = http.post(&format!("/api/2.0/mlflow/{path}"), &body).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    };
    let made = mlflow("experiments/create", json!({ "name": "e" }));
    let experiment = made["experiment_id"].as_str().unwrap().to_owned();
    for (name, value, status) in [
        ("modest", json!(0.5), Some("FINISHED")),
        ("ahead", json!(0.9), None),
        ("broken", json!("Infinity"), Some("FAILED")),
    ] {
        let body = json!({ "experiment_id": experiment, "run_name": name, "start_time": 1 });
        let made = mlflow("runs/create", body);
        let id = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        mlflow("runs/log-metric", json!({ "run_id": id, "key": "auc", "value": value, "timestamp": 1 }));
        if let Some(status) = status {
            mlflow("runs/update", json!({ "run_id": id, "status": status }));
        }
    }
    let url = server.url();
    let best = |more: &[&str]| {
        let arguments = [&["runs", "best", "--metric", "auc"], more].concat();
        run(server.folder(), &arguments, &[("STRONGBACK_URL", &url)])
    };
    let shown = done(&best(&["-n", "9"]));
    assert!(shown.contains("modest") && !shown.contains("ahead") && !shown.contains("broken"), "{shown}");
    let running = "attributes.status = 'RUNNING'";
    let shown = done(&best(&["--any-status", "--where", running]));
    assert!(shown.contains("ahead") && shown.contains(" 0.9 "), "{shown}");
    let either = "attributes.run_name = 'modest' OR attributes.run_name = 'ahead'";
    let shown = done(&best(&["-n", "9", "--where", either]));
    assert!(shown.contains("modest") && !shown.contains("ahead"), "{shown}");
    let nothing = best(&["--where", running]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing.stderr).contains("--any-status"), "{}", text(&nothing.stderr));
    let huge = done(&best(&["--any-status"]));
    assert!(huge.contains("broken") && huge.lines().all(|line| line.len() < 160), "{huge}");
}

#[test]
fn best_runs_come_from_as_many_pages_as_it_takes() {
    let server = Server::strongback(binary()).unwrap();
    let mut http = server.client();
    let mut mlflow = |path: &str, body: Value| {
        let answer = http.post(&format!("/api/2.0/mlflow/{path}"), &body).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_str::<Value>(&answer.text()).unwrap()
    };
    for n in 0..5 {
        let made = mlflow("runs/create", json!({ "experiment_id": "0", "run_name": format!("r{n}") }));
        let id = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        mlflow("runs/log-metric", json!({ "run_id": id, "key": "auc", "value": n, "timestamp": 1 }));
        // A page has room for three of these.
        let mut dataset = json!({ "name": "d", "digest": "1", "source_type": "x", "source": "y" });
        if n == 0 {
            dataset["profile"] = json!("p".repeat(9 << 20));
        }
        mlflow("runs/log-inputs", json!({ "run_id": id, "datasets": [{ "dataset": dataset }] }));
    }
    let url = server.url();
    let arguments = ["runs", "best", "--metric", "auc", "--any-status", "-n", "4", "--json"];
    let best = json_of(&run(server.folder(), &arguments, &[("STRONGBACK_URL", &url)]));
    let names: Vec<&str> =
        best.as_array().unwrap().iter().map(|run| run["info"]["run_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["r4", "r3", "r2", "r1"]);
}
