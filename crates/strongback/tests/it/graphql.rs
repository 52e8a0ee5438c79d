//! The questions of MLflow's pages in GraphQL: answered as REST answers them, without a look-up a run.

use serde_json::{Value, json};

use crate::support::{TestApp, ok, on_every_store};

const M: &str = "/api/2.0/mlflow";
const RUNS: usize = 30;
const QUESTION: &str = "query SearchRuns($data: MlflowSearchRunsInput!) { mlflowSearchRuns(input: $data) {
    apiError { code message }
    runs { info { runName } experiment { experimentId name } modelVersions { name version status source } } } }";

async fn experiment(test: &TestApp, name: &str) -> String {
    let answer = test.post(&format!("{M}/experiments/create"), json!({ "name": name })).await;
    ok(&answer)["experiment_id"].as_str().unwrap().to_owned()
}

async fn runs_of(test: &TestApp, input: Value) -> Vec<Value> {
    let answer = test.post("/graphql", json!({ "query": QUESTION, "variables": { "data": input } })).await;
    let answer = &ok(&answer)["data"]["mlflowSearchRuns"];
    assert_eq!(answer["apiError"], Value::Null, "{answer}");
    answer["runs"].as_array().unwrap().clone()
}

#[test]
fn runs_come_with_experiment_and_versions_in_one_read_for_all() {
    on_every_store(|test| async move {
        let homes = [experiment(&test, "first").await, experiment(&test, "second").await];
        let model = format!("{M}/registered-models/create");
        ok(&test.post(&model, json!({ "name": "fraud" })).await);
        for n in 0..RUNS {
            let body = json!({ "experiment_id": homes[n % 2], "run_name": format!("r{n:02}") });
            let run = test.post(&format!("{M}/runs/create"), body).await;
            let run = ok(&run)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
            for _ in 0..n % 3 {
                let body = json!({ "name": "fraud", "source": format!("runs:/{run}/m"), "run_id": run });
                ok(&test.post(&format!("{M}/model-versions/create"), body).await);
            }
        }
        let before = test.app.db.reads_begun();
        let runs = runs_of(&test, json!({ "experimentIds": homes, "orderBy": ["run_name ASC"] })).await;
        let reads = test.app.db.reads_begun() - before;
        assert_eq!(runs.len(), RUNS);
        let mut version = 0;
        for (n, run) in runs.iter().enumerate() {
            assert_eq!(run["info"]["runName"], format!("r{n:02}"));
            let name = ["first", "second"][n % 2];
            assert_eq!(run["experiment"], json!({ "experimentId": homes[n % 2], "name": name }));
            let versions = run["modelVersions"].as_array().unwrap();
            assert_eq!(versions.len(), n % 3, "{run}");
            for shown in versions {
                version += 1;
                assert_eq!(
                    (&shown["name"], &shown["version"]),
                    (&json!("fraud"), &json!(version.to_string()))
                );
            }
        }
        assert!(reads <= 3, "{reads} reads for {RUNS} runs");
    });
}

#[test]
fn the_answers_of_one_request_are_bounded_together() {
    on_every_store(|test| async move {
        let home = experiment(&test, "large").await;
        for _ in 0..2 {
            let run = test.post(&format!("{M}/runs/create"), json!({ "experiment_id": home })).await;
            let run = ok(&run)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
            let dataset = json!({ "name": "d", "digest": "1", "source_type": "x", "source": "y",
                "profile": "p".repeat(9 << 20) });
            let inputs = json!({ "run_id": run, "datasets": [{ "dataset": dataset }] });
            ok(&test.post(&format!("{M}/runs/log-inputs"), inputs).await);
        }
        let ask = async |names: &[&str], field: &str| {
            let one =
                |name: &&str| format!("{name}: mlflowSearchRuns(input: $data) {{ runs {{ {field} }} }}");
            let questions: Vec<String> = names.iter().map(one).collect();
            let query = format!("query Q($data: MlflowSearchRunsInput!) {{ {} }}", questions.join(" "));
            let input = json!({ "data": { "experimentIds": [home] } });
            test.post("/graphql", json!({ "query": query, "variables": input })).await
        };
        let large = "inputs { datasetInputs { dataset { profile } } }";
        let alone = ask(&["a"], large).await;
        let profile = &ok(&alone)["data"]["a"]["runs"][1]["inputs"]["datasetInputs"][0]["dataset"]["profile"];
        assert_eq!(profile.as_str().map(str::len), Some(9 << 20));
        let both = ask(&["a", "b"], large).await;
        assert_eq!((both.status, both.error_code()), (400, "INVALID_PARAMETER_VALUE"));
        assert!(both.json["message"].as_str().unwrap().contains("in requests of their own"), "{both:?}");
        // What counts is what was asked for.
        ok(&ask(&["a", "b", "c"], "info { runName }").await);
    });
}

#[test]
fn what_is_not_answered_is_told_where_it_is_looked_for() {
    on_every_store(|test| async move {
        let home = experiment(&test, "told").await;
        let ask = async |question: &str| {
            let answer = test.post("/graphql", json!({ "query": format!("{{ q: {question} }}") })).await;
            ok(&answer).clone()
        };
        for (question, why) in [
            ("mlflowListArtifacts(input: {runId: \"x\"}) { files { path } }", "not answered here"),
            ("mlflowGetExperiment(input: {experimentId: \"77\"}) { experiment { name } }", "77"),
            (
                "mlflowSearchRuns(input: {experimentIds: [\"77\"], filter: \"nonsense\"}) { runs { info { runName } } }",
                "nonsense",
            ),
        ] {
            let answer = ask(question).await;
            assert_eq!(answer["data"]["q"], Value::Null, "{answer}");
            assert!(answer["errors"][0].as_str().unwrap().contains(why), "{answer}");
            let with_place = question.replacen(") {", ") { apiError { message }", 1);
            let answer = ask(&with_place).await;
            assert!(answer["data"]["q"]["apiError"]["message"].as_str().unwrap().contains(why), "{answer}");
            assert_eq!(answer["errors"], Value::Null, "{answer}");
        }
        let answer = ask(&format!(
            "mlflowGetExperiment(input: {{experimentId: \"{home}\"}}) {{ experiment {{ name }} }}"
        ))
        .await;
        assert_eq!(
            (&answer["data"]["q"]["experiment"]["name"], &answer["errors"]),
            (&json!("told"), &Value::Null)
        );
    });
}
