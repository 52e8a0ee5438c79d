//! Runs side by side: what differs, what is equal, which way a metric moved, and who may see it.

use axum::body::Body;
use serde_json::{Value, json};
use strongback::{
    catalog::names,
    tracking::experiment::{self, Kept, Tags},
};

use crate::support::{Answer, TestApp, call, ok, on_every_store, on_every_store_with, request, token_of};

const M: &str = "/api/2.0/mlflow";
const UC: &str = "/api/2.1/unity-catalog";

async fn experiment(test: &TestApp) -> String {
    let made = test.post(&format!("{M}/experiments/create"), json!({ "name": "sweep" })).await;
    ok(&made)["experiment_id"].as_str().unwrap().to_owned()
}

/// A run with params, metrics and tags.
async fn run(
    test: &TestApp,
    home: &str,
    name: &str,
    pairs: &[(&str, &str)],
    metrics: &[(&str, f64)],
) -> String {
    let body = json!({ "experiment_id": home, "run_name": name, "start_time": 1_000 });
    let made = test.post(&format!("{M}/runs/create"), body).await;
    let id = ok(&made)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let params: Vec<Value> = pairs.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    let value = |value: f64| if value.is_finite() { json!(value) } else { json!(value.to_string()) };
    let metrics: Vec<Value> = metrics
        .iter()
        .map(|(key, number)| json!({ "key": key, "value": value(*number), "timestamp": 1, "step": 3 }))
        .collect();
    let body = json!({ "run_id": id, "params": params, "metrics": metrics });
    ok(&test.post(&format!("{M}/runs/log-batch"), body).await);
    id
}

async fn tag(test: &TestApp, run: &str, key: &str, value: &str) {
    let body = json!({ "run_id": run, "key": key, "value": value });
    ok(&test.post(&format!("{M}/runs/set-tag"), body).await);
}

async fn put(test: &TestApp, path: &str, text: &str) {
    let mut put = request("PUT", &format!("/api/2.0/mlflow-artifacts/artifacts/{path}"), None);
    *put.body_mut() = Body::from(text.to_owned());
    ok(&test.send(put).await);
}

fn path(runs: &[&str], more: &str) -> String {
    let runs: Vec<String> = runs.iter().map(|run| format!("run_id={}", run.replace('@', "%40"))).collect();
    format!("/api/1.0/runs/compare?{}{more}", runs.join("&"))
}

async fn compare(test: &TestApp, runs: &[&str], more: &str) -> Value {
    ok(&test.get(&path(runs, more)).await).clone()
}

fn row<'v>(section: &'v Value, key: &str) -> &'v Value {
    let rows = section["rows"].as_array().unwrap();
    rows.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("no {key} in {section:#}"))
}

fn keys(section: &Value) -> Vec<&str> {
    section["rows"].as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap()).collect()
}

#[test]
fn what_differs_is_shown_and_what_is_equal_is_counted() {
    on_every_store(|test| async move {
        let home = experiment(&test).await;
        let same = ("seed", "7");
        let metrics = [("val_auc", 0.75), ("loss", 0.5), ("psi", 0.1), ("same", 1.0), ("gone", f64::NAN)];
        let a = run(&test, &home, "a", &[same, ("depth", "8"), ("only", "a")], &metrics).await;
        let metrics =
            [("val_auc", 1.0), ("loss", 0.75), ("psi", 0.2), ("same", 1.0), ("gone", f64::INFINITY)];
        let b = run(&test, &home, "b", &[same, ("depth", "9")], &metrics).await;
        let body = json!({ "run_id": b, "status": "FINISHED", "end_time": 3_500 });
        ok(&test.post(&format!("{M}/runs/update"), body).await);
        for (run, commit) in [(&a, "c0ffee"), (&b, "decade")] {
            tag(&test, run, "mlflow.source.git.commit", commit).await;
            tag(&test, run, "mlflow.source.name", "train.py").await;
            tag(&test, run, "mlflow.runName", &format!("named {commit}")).await;
            tag(&test, run, "team", "risk").await;
        }
        tag(&test, &b, "mlflow.note.content", "with more trees").await;
        let found = compare(&test, &[&a, &format!("runs:/{b}")], "").await;

        let sides = found["runs"].as_array().unwrap();
        let of = |field: &str| [sides[0][field].clone(), sides[1][field].clone()];
        assert_eq!(of("run_id"), [json!(a), json!(b)]);
        assert_eq!(of("asked"), [json!(a), json!(format!("runs:/{b}"))]);
        assert_eq!(of("name"), [json!("named c0ffee"), json!("named decade")]);
        assert_eq!(of("status"), [json!("RUNNING"), json!("FINISHED")]);
        assert_eq!(of("duration_ms"), [Value::Null, json!(2_500)]);
        assert_eq!(of("experiment"), [json!("sweep"), json!("sweep")]);

        assert_eq!((keys(&found["params"]), &found["params"]["equal"]), (vec!["depth", "only"], &json!(1)));
        assert_eq!(row(&found["params"], "depth")["values"], json!(["8", "9"]));
        assert_eq!(row(&found["params"], "only")["values"], json!(["a", null]));

        let metrics = &found["metrics"];
        assert_eq!((keys(metrics), &metrics["equal"]), (vec!["gone", "loss", "psi", "val_auc"], &json!(1)));
        let auc = row(metrics, "val_auc");
        assert_eq!(
            (&auc["direction"], &auc["best"], &auc["steps"]),
            (&json!("higher"), &json!(1), &json!([3, 3]))
        );
        let change = json!({ "delta": 0.25, "relative": 0.25 / 0.75, "verdict": "better" });
        assert_eq!(auc["changes"], json!([null, change]));
        let loss = row(metrics, "loss");
        assert_eq!((&loss["direction"], &loss["best"]), (&json!("lower"), &json!(0)));
        assert_eq!(loss["changes"][1]["verdict"], "worse");
        assert_eq!(row(metrics, "psi")["changes"][1]["verdict"], "unknown");
        let gone = row(metrics, "gone");
        // As MLflow keeps what is infinite.
        assert_eq!(gone["values"], json!(["NaN", f64::MAX]));
        assert_eq!(gone["changes"][1], json!({ "delta": null, "relative": null, "verdict": "unknown" }));

        assert_eq!(row(&found["code"], "commit")["values"], json!(["c0ffee", "decade"]));
        assert_eq!(found["code"]["equal"], 1);
        assert_eq!((keys(&found["tags"]), &found["tags"]["equal"]), (vec!["mlflow.note.content"], &json!(1)));

        let all = compare(&test, &[&b, &a], "&all=true&higher=psi&lower=val_auc").await;
        assert_eq!(keys(&all["params"]), ["depth", "only", "seed"]);
        assert_eq!(row(&all["params"], "seed")["is_equal"], true);
        assert_eq!(row(&all["metrics"], "same")["changes"][1]["verdict"], "equal");
        assert_eq!(row(&all["metrics"], "psi")["changes"][1]["verdict"], "worse");
        // The caller knows better than the name.
        assert_eq!(row(&all["metrics"], "val_auc")["changes"][1]["verdict"], "better");
        assert_eq!(keys(&all["code"]), ["commit", "entry point"]);
    });
}

#[test]
fn data_is_compared_by_name_and_use_and_training_data_by_what_the_server_kept() {
    on_every_store(|test| async move {
        let body = json!({ "catalog_name": "prod", "schema_name": "risk", "name": "panes" });
        ok(&test.post(&format!("{UC}/catalogs"), json!({ "name": "prod" })).await);
        ok(&test.post(&format!("{UC}/schemas"), json!({ "catalog_name": "prod", "name": "risk" })).await);
        ok(&test.post(&format!("{UC}/tables"), body).await);
        let home = experiment(&test).await;
        let (a, b) = (run(&test, &home, "a", &[], &[]).await, run(&test, &home, "b", &[], &[]).await);
        for (run, digest) in [(&a, "d1"), (&b, "d2")] {
            let input = |name: &str, digest: &str, context: &str| {
                json!({
                    "dataset": { "name": name, "digest": digest, "source_type": "local", "source": "{}" },
                    "tags": [{ "key": "mlflow.data.context", "value": context }],
                })
            };
            let datasets = [input("rows", digest, "train"), input("rows", "e1", "eval")];
            let body = json!({ "run_id": run, "datasets": datasets });
            ok(&test.post(&format!("{M}/runs/log-inputs"), body).await);
        }
        tag(&test, &a, "strongback.training_set", "prod.risk.panes@3").await;
        tag(&test, &b, "strongback.training_set", "prod.risk.panes@4").await;
        let found = compare(&test, &[&a, &b], "").await;
        let rows = found["data"]["rows"].as_array().unwrap();
        assert_eq!((rows.len(), &found["data"]["equal"]), (2, &json!(1)), "{found:#}");
        let set = rows.iter().find(|row| row["kind"] == "data_set").unwrap();
        assert_eq!((&set["name"], &set["context"]), (&json!("rows"), &json!("train")));
        assert_eq!(
            (&set["values"][0][0]["digest"], &set["values"][1][0]["digest"]),
            (&json!("d1"), &json!("d2"))
        );
        let learned = rows.iter().find(|row| row["kind"] == "training_data").unwrap();
        let parts = [&learned["values"][0][0], &learned["values"][1][0]];
        assert_eq!((&parts[0]["name"], &parts[0]["version"]), (&json!("prod.risk.panes"), &json!(3)));
        assert_eq!((&parts[1]["name"], &parts[1]["version"]), (&json!("prod.risk.panes"), &json!(4)));
        assert!(parts[0]["id"].as_str().unwrap().ends_with("@3"), "{learned:#}");
        // It is told there, and not once more as a tag.
        assert_eq!(found["tags"]["rows"], json!([]));

        tag(&test, &b, "strongback.training_set", "prod.risk.panes@3").await;
        let found = compare(&test, &[&a, &b], "&all=true").await;
        assert_eq!(found["data"]["equal"], 2, "{found:#}");
    });
}

#[test]
fn environments_are_those_of_the_models_that_were_logged() {
    on_every_store(|test| async move {
        let home = experiment(&test).await;
        let run = async |name| run(&test, &home, name, &[], &[]).await;
        let (a, b, none) = (run("a").await, run("b").await, run("none").await);
        let python = |version: &str| {
            format!("python: {version}\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n")
        };
        // One as clients from 3.0 on log it, one as those before did.
        let body = json!({ "experiment_id": home, "name": "model", "source_run_id": a });
        let made = test.post(&format!("{M}/logged-models"), body).await;
        let model = ok(&made)["model"]["info"]["model_id"].as_str().unwrap().to_owned();
        let body = json!({ "run_id": a, "models": [{ "model_id": model, "step": 0 }] });
        ok(&test.post(&format!("{M}/runs/outputs"), body).await);
        let root = format!("{home}/models/{model}/artifacts");
        put(
            &test,
            &format!("{root}/requirements.txt"),
            "mlflow==3.17.2\nnumpy==1.26.4\nxgboost==2.0\nscipy\n",
        )
        .await;
        put(&test, &format!("{root}/python_env.yaml"), &python("3.11.2")).await;
        put(&test, &format!("{root}/conda.yaml"), "dependencies: [python=3.9, &bad x]").await;
        let noted = json!({
            "artifact_path": "classifier", "flavors": {}, "utc_time_created": "2026-11-24", "run_id": b,
        });
        let body = json!({ "run_id": b, "model_json": noted.to_string() });
        ok(&test.post(&format!("{M}/runs/log-model"), body).await);
        let root = format!("{home}/{b}/artifacts/classifier");
        put(&test, &format!("{root}/requirements.txt"), "mlflow==3.17.2\nNumPy==2.1.0\nscipy\nlightgbm\n")
            .await;
        put(&test, &format!("{root}/python_env.yaml"), &python("3.12.1")).await;

        let found = compare(&test, &[&a, &b, &none], "").await;
        let environment = &found["environment"];
        assert_eq!(environment["python"]["rows"][0]["values"], json!(["3.11.2", "3.12.1", null]));
        let packages = &environment["packages"];
        assert_eq!((keys(packages), &packages["equal"]), (vec!["lightgbm", "numpy", "xgboost"], &json!(2)));
        assert_eq!(row(packages, "numpy")["values"], json!(["==1.26.4", "==2.1.0", null]));
        assert_eq!(row(packages, "lightgbm")["values"], json!([null, "", null]));
        assert_eq!(row(packages, "xgboost")["values"], json!(["==2.0", null, null]));
        let from = &environment["from"];
        assert_eq!(from[0].as_array().unwrap().len(), 2, "{environment:#}");
        assert_eq!(from[1][0], "classifier/requirements.txt");
        assert_eq!(from[2], json!([]));
        let unreadable = environment["unreadable"][0].as_str().unwrap();
        assert!(unreadable.starts_with(&a) && unreadable.ends_with("conda.yaml"), "{unreadable}");
        // One that is known has nothing to be compared with.
        let found = compare(&test, &[&a, &none], "&all=true").await;
        assert_eq!(found["environment"]["packages"], json!({ "equal": 0, "rows": [] }));
    });
}

#[test]
fn versions_stand_for_the_runs_that_made_them() {
    on_every_store(|test| async move {
        let home = experiment(&test).await;
        let (a, b) = (run(&test, &home, "a", &[], &[]).await, run(&test, &home, "b", &[], &[]).await);
        ok(&test.post(&format!("{M}/registered-models/create"), json!({ "name": "m" })).await);
        for run in [&a, &b, &String::new()] {
            let body = json!({ "name": "m", "source": "s3://elsewhere/m", "run_id": run });
            ok(&test.post(&format!("{M}/model-versions/create"), body).await);
        }
        let body = json!({ "name": "m", "alias": "champion", "version": "2" });
        ok(&test.post(&format!("{M}/registered-models/alias"), body).await);
        let found = compare(&test, &["models:/m/1", "models:/m@champion"], "").await;
        assert_eq!((&found["runs"][0]["run_id"], &found["runs"][1]["run_id"]), (&json!(a), &json!(b)));
        for (asked, part) in [
            ("models:/m/3", "registered from no run"),
            ("models:/m/9", "no version '9'"),
            ("models:/m", "say which version"),
            ("models:/m/1", "there already, as"),
        ] {
            let answer = test.get(&path(&[&a, asked], "")).await;
            assert!(
                (400..=404).contains(&answer.status) && message(&answer).contains(part),
                "{asked}: {answer:?}"
            );
        }
    });
}

fn message(answer: &Answer) -> &str {
    answer.json["message"].as_str().unwrap()
}

#[test]
fn what_cannot_be_compared_says_so() {
    on_every_store(|test| async move {
        let home = experiment(&test).await;
        let (a, b) =
            (run(&test, &home, "a", &[], &[("auc", 1.0)]).await, run(&test, &home, "b", &[], &[]).await);
        let dead = run(&test, &home, "dead", &[], &[]).await;
        ok(&test.post(&format!("{M}/runs/delete"), json!({ "run_id": dead })).await);
        let unknown = "0123456789abcdef0123456789abcdef";
        let many: Vec<&str> = vec![a.as_str(); 11];
        let (a, b, dead) = (a.as_str(), b.as_str(), dead.as_str());
        for (runs, more, status, part) in [
            (vec![], "", 400, "Missing value for required parameter 'run_id'"),
            (vec![a], "", 400, "Give two or more"),
            (many, "", 400, "11 runs were given"),
            (vec![a, a], "", 400, "is there already"),
            (vec![a, unknown], "", 404, unknown),
            (vec![a, dead], "", 400, "Restore it"),
            (vec![a, "../x"], "", 400, "'run_id'"),
            (vec![a, b], "&higher=auk", 400, "Did you mean 'auc'?"),
            (vec![a, b], "&higher=auc&lower=auc", 400, "both when higher and when lower"),
            (vec![a, b], "&all=perhaps", 400, "'all'"),
        ] {
            let answer = test.get(&path(&runs, more)).await;
            assert!(
                answer.status == status && message(&answer).contains(part),
                "{runs:?} {more}: {answer:?}"
            );
        }
    });
}

#[test]
fn each_run_is_shown_to_whoever_may_read_it() {
    on_every_store_with(&[("auth", "tokens")], |test| async move {
        let (admin, bo) = (token_of(&test, "root", true).await, token_of(&test, "bo", false).await);
        let ask = async |token: &str, path: &str, body: Option<Value>| {
            let method = if body.is_some() { "POST" } else { "GET" };
            call(&test, token, method, path, body).await
        };
        ok(&ask(&admin, &format!("{UC}/catalogs"), Some(json!({ "name": "prod" }))).await);
        let body = json!({ "catalog_name": "prod", "name": "risk" });
        ok(&ask(&admin, &format!("{UC}/schemas"), Some(body)).await);
        let body = json!({ "catalog_name": "prod", "schema_name": "risk", "name": "panes" });
        ok(&ask(&admin, &format!("{UC}/tables"), Some(body)).await);
        let system = test.system();
        let made = system.write(|tx| {
            let (_, schema) = names::schema_of(tx, "prod", "risk")?;
            let names = ["closed".to_owned()];
            let kept =
                Kept { names: &names, schema_id: schema.id, owner_id: schema.owner_id, tags: Tags::new() };
            strongback::catalog::authorize(tx, strongback::catalog::Action::Create, schema.id)?;
            experiment::keep(tx, &kept)
        });
        let closed = made.await.unwrap().mlflow_id.to_string();
        let run_in = async |home: &str| {
            let made = ask(&admin, &format!("{M}/runs/create"), Some(json!({ "experiment_id": home }))).await;
            ok(&made)["run"]["info"]["run_id"].as_str().unwrap().to_owned()
        };
        let (one, two, hidden) = (run_in("0").await, run_in("0").await, run_in(&closed).await);
        let set = json!({ "run_id": two, "key": "strongback.training_set", "value": "prod.risk.panes" });
        ok(&ask(&admin, &format!("{M}/runs/set-tag"), Some(set)).await);

        ok(&ask(&admin, &path(&[&one, &hidden], ""), None).await);
        for runs in [[&one, &hidden], [&hidden, &one]] {
            let refused = ask(&bo, &path(&[runs[0], runs[1]], ""), None).await;
            assert_eq!((refused.status, refused.error_code()), (403, "PERMISSION_DENIED"), "{refused:?}");
        }
        let seen = ask(&bo, &path(&[&one, &two], ""), None).await;
        assert_eq!(ok(&seen)["hidden"], json!(["training set"]), "{seen:?}");
        // What the run itself says, and nothing that the table says.
        let part = &seen.json["data"]["rows"][0]["values"][1][0];
        assert_eq!((&part["name"], &part["is_deleted"]), (&json!("prod.risk.panes"), &json!(false)));
        let whole = ask(&admin, &path(&[&one, &two], ""), None).await;
        assert_eq!(ok(&whole)["hidden"], Value::Null);
    });
}
