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
