//! What anybody may write reaches the terminal of an administrator through the commands: it must not steer it.

use serde_json::{Value, json};
use testkit::server::Server;

use super::{binary, run, text};

/// Colours, a window's title, C1 controls, turned writing, and a line that looks like one of ours.
const HOSTILE: &str = "n\u{1b}[31mRED\u{1b}]0;title\u{7}\u{9b}2J\u{202e}x\rerror: forged";
const WITH_LINE: &str = "first\u{1b}[2J\nerror: forged";

fn post(server: &Server, path: &str, body: &Value) -> Value {
    let answer = server.client().post(path, body).unwrap();
    assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
    answer.json()
}

/// A run, a model and a table of which everything that may hold any text does.
fn fill(server: &Server) -> String {
    let mlflow = |path: &str, body: Value| post(server, &format!("/api/2.0/mlflow/{path}"), &body);
    let made = mlflow("experiments/create", json!({ "name": "e" }));
    let experiment = made["experiment_id"].as_str().unwrap().to_owned();
    let run =
        mlflow("runs/create", json!({ "experiment_id": experiment, "run_name": HOSTILE, "start_time": 1 }));
    let run = run["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    mlflow("runs/log-parameter", json!({ "run_id": run, "key": "p", "value": WITH_LINE }));
    mlflow("runs/log-metric", json!({ "run_id": run, "key": "m", "value": 1.5, "timestamp": 1 }));
    let dataset = json!({ "name": HOSTILE, "digest": "d", "source_type": "s", "source": WITH_LINE });
    mlflow("runs/log-inputs", json!({ "run_id": run, "datasets": [{ "dataset": dataset, "tags": [] }] }));
    mlflow("runs/update", json!({ "run_id": run, "status": "FINISHED" }));
    let tags = json!([{ "key": "t", "value": HOSTILE }]);
    mlflow("registered-models/create", json!({ "name": "m", "description": WITH_LINE, "tags": tags }));
    let source = "s3://bucket/x";
    let version =
        json!({ "name": "m", "source": source, "run_id": run, "description": HOSTILE, "tags": tags });
    mlflow("model-versions/create", version);
    mlflow("registered-models/alias", json!({ "name": "m", "alias": "champion", "version": "1" }));
    let comment = json!({ "name": "c", "comment": HOSTILE });
    post(server, "/api/2.1/unity-catalog/catalogs", &comment);
    let schema = json!({ "catalog_name": "c", "name": "s", "comment": WITH_LINE });
    post(server, "/api/2.1/unity-catalog/schemas", &schema);
    run
}

#[test]
fn no_command_lets_a_hostile_name_steer_the_terminal() {
    let server = Server::strongback(binary()).unwrap();
    let run_id = fill(&server);
    let url = server.url();
    let here = ["--data-dir", server.data_dir().to_str().unwrap()].map(str::to_owned);
    let ask = |arguments: &[&str]| {
        let output = run(server.folder(), arguments, &[("STRONGBACK_URL", &url)]);
        let shown = [text(&output.stdout), text(&output.stderr)].concat();
        let steers = |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
        assert!(!shown.contains(steers), "{arguments:?}: {shown:?}");
        assert!(!shown.lines().any(|line| line.starts_with("error: forged")), "{arguments:?}: {shown}");
        (text(&output.stdout), text(&output.stderr))
    };
    let of_run = format!("runs:/{run_id}");
    // Each with something that only the hostile texts hold.
    for (arguments, part) in [
        (&["lineage", "e"][..], "RED"),
        (&["lineage", &of_run, "--up"], "RED"),
        (&["lineage", "e", "--json"], "RED"),
        (&["model", "show", "m"], "error: forged"),
        (&["model", "show", "m"], "t=n [31mRED"),
        (&["model", "show", "m@champion", "--json"], "RED"),
        (&["model", "list"], "error: forged"),
        (&["runs", "best", "--metric", "m"], "p=first [2J error: forged"),
        (&["runs", "best", "--metric", "m", "--json"], "RED"),
        (&["catalog", "list"], "RED"),
        (&["catalog", "list", "--json"], "RED"),
        (&["schema", "list", "c"], "forged"),
        (&["audit-log", "list", &here[0], &here[1]], "RED"),
        (&["audit-log", "list", "--json", &here[0], &here[1]], "RED"),
    ] {
        let (data, talk) = ask(arguments);
        assert!(data.contains(part), "{arguments:?} does not show {part:?}: {data}{talk}");
    }
    // Refusals quote what was asked for.
    for arguments in [
        &["lineage", HOSTILE][..],
        &["history", &format!("{WITH_LINE}@champion")],
        &["catalog", "create", HOSTILE],
    ] {
        let (data, talk) = ask(arguments);
        assert!(data.is_empty() && talk.contains("error: "), "{arguments:?}: {data}{talk}");
    }
}
