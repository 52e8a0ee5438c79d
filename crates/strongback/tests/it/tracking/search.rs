//! Searching runs: the same answer from fresh documents, from the index, and from both at once.

use serde_json::{Value, json};

use super::{M, experiment, log, run};
use crate::support::{TestApp, ok, on_every_store};

const FILTERS: &[(&str, &[&str])] = &[
    ("", &[]),
    ("metrics.auc > 0.55", &["metrics.auc DESC"]),
    ("metrics.auc <= 0.55 AND params.depth != '3'", &["params.depth", "metrics.auc"]),
    ("tags.team = 'risk' AND metrics.auc != 0.5", &["tags.mlflow.runName DESC"]),
    ("params.rare IS NULL", &["attributes.start_time DESC"]),
    ("params.rare IS NOT NULL", &["run_name"]),
    ("status = 'FINISHED'", &["metrics.missing DESC", "run_name"]),
    ("run_name LIKE 'run-1%'", &["attributes.end_time"]),
];

async fn names(test: &TestApp, home: &str, filter: &str, order: &[&str], page: usize) -> Vec<String> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let body = json!({ "experiment_ids": [home], "filter": filter, "order_by": order, "max_results": page, "page_token": token });
        let answer = test.post(&format!("{M}/runs/search"), body).await;
        let answer = ok(&answer);
        let name = |run: &Value| run["info"]["run_name"].as_str().unwrap().to_owned();
        found.extend(answer["runs"].as_array().into_iter().flatten().map(name));
        match answer["next_page_token"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => return found,
        }
    }
}

async fn all_answers(test: &TestApp, home: &str) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    for (filter, order) in FILTERS {
        let whole = names(test, home, filter, order, 1_000).await;
        assert_eq!(names(test, home, filter, order, 7).await, whole, "pages of {filter:?}");
        answers.push(whole);
    }
    answers
}

async fn fill(test: &TestApp, home: &str, runs: std::ops::Range<usize>) {
    for n in runs {
        let id = run(test, home, &format!("run-{n:02}")).await;
        let mut params = vec![json!({ "key": "depth", "value": (n % 5).to_string() })];
        if n % 7 == 0 {
            params.push(json!({ "key": "rare", "value": "yes" }));
        }
        log(
            test,
            &id,
            json!({
                "metrics": [{ "key": "auc", "value": 0.5 + (n % 13) as f64 / 100.0, "timestamp": n, "step": 0 }],
                "params": params,
                "tags": [{ "key": "team", "value": if n % 2 == 0 { "risk" } else { "growth" } }],
            }),
        )
        .await;
        if n % 3 == 0 {
            let end =
                json!({ "run_id": id, "status": "FINISHED", "end_time": 1_700_000_000_500_i64 + n as i64 });
            ok(&test.post(&format!("{M}/runs/update"), end).await);
        }
    }
}

#[test]
fn index_and_documents_answer_alike() {
    on_every_store(|test| async move {
        let home = experiment(&test, "search").await;
        fill(&test, &home, 0..40).await;
        let from_documents = all_answers(&test, &home).await;
        assert_eq!(from_documents[0].len(), 40);
        strongback::tracking::catch_up(&test.app).await.unwrap();
        assert_eq!(all_answers(&test, &home).await, from_documents);

        // Newer documents hide their rows in the index, and new runs stand beside it.
        fill(&test, &home, 40..60).await;
        let best = names(&test, &home, "metrics.auc > 0.61", &["run_name"], 100).await;
        assert_eq!(best, ["run-12", "run-25", "run-38", "run-51"]);
        let mixed = all_answers(&test, &home).await;
        strongback::tracking::catch_up(&test.app).await.unwrap();
        assert_eq!(all_answers(&test, &home).await, mixed);
        assert_eq!(mixed[0].len(), 60);
    });
}

#[test]
fn what_was_indexed_is_hidden_by_what_was_written_since() {
    on_every_store(|test| async move {
        let home = experiment(&test, "rewritten").await;
        let id = run(&test, &home, "r").await;
        let point = |value: f64, step: i64| json!({ "metrics": [{ "key": "m", "value": value, "timestamp": 1, "step": step }] });
        log(&test, &id, point(1.0, 0)).await;
        strongback::tracking::catch_up(&test.app).await.unwrap();
        log(&test, &id, point(-1.0, 1)).await;
        for _ in 0..2 {
            assert!(names(&test, &home, "metrics.m > 0", &[], 10).await.is_empty());
            assert_eq!(names(&test, &home, "metrics.m < 0", &[], 10).await, ["r"]);
            strongback::tracking::catch_up(&test.app).await.unwrap();
        }
    });
}

#[test]
fn a_token_continues_its_own_search_only() {
    on_every_store(|test| async move {
        let home = experiment(&test, "tokens").await;
        fill(&test, &home, 0..3).await;
        let search = |filter: &str, token: &str| json!({ "experiment_ids": [home], "filter": filter, "max_results": 1, "page_token": token });
        let path = format!("{M}/runs/search");
        let first = test.post(&path, search("", "")).await;
        let token = ok(&first)["next_page_token"].as_str().unwrap().to_owned();
        ok(&test.post(&path, search("", &token)).await);
        for (filter, token) in [("metrics.auc > 0", token.as_str()), ("", "nonsense")] {
            let answer = test.post(&path, search(filter, token)).await;
            assert_eq!((answer.status, answer.error_code()), (400, "INVALID_PARAMETER_VALUE"), "{answer:?}");
        }
    });
}
