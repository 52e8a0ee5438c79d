//! Histories of metrics: compaction changes how points lie, never which there are.

use serde_json::{Value, json};

use super::{M, experiment, log, run};
use crate::support::{TestApp, ok, on_every_store};

async fn steps(test: &TestApp, run: &str, key: &str, page: usize) -> Vec<i64> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!(
            "{M}/metrics/get-history?run_id={run}&metric_key={key}&max_results={page}&page_token={token}"
        );
        let answer = test.get(&path).await;
        let answer = ok(&answer);
        let points = answer["metrics"].as_array().into_iter().flatten();
        found.extend(points.map(|point: &Value| point["step"].as_i64().unwrap()));
        match answer["next_page_token"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => return found,
        }
    }
}

/// Logs ten batches: a long key, and one of few points.
async fn fill(test: &TestApp, run: &str, from: i64) {
    for batch in 0..10 {
        let first = from + batch * 300;
        let mut metrics: Vec<Value> = (first..first + 300)
            .map(|step| json!({ "key": "loss", "value": 1.0 / (step + 1) as f64, "timestamp": 1_000 + step, "step": step }))
            .collect();
        metrics.push(json!({ "key": "auc", "value": 0.5, "timestamp": 1_000 + first, "step": first }));
        log(test, run, json!({ "metrics": metrics })).await;
    }
}

async fn finish(test: &TestApp, run: &str, end: i64) {
    let body = json!({ "run_id": run, "status": "FINISHED", "end_time": end });
    ok(&test.post(&format!("{M}/runs/update"), body).await);
    strongback::tracking::catch_up(&test.app).await.unwrap();
}

#[test]
fn compaction_keeps_every_point_once() {
    on_every_store(|test| async move {
        let home = experiment(&test, "long").await;
        let id = run(&test, &home, "r").await;
        fill(&test, &id, 0).await;
        let whole: Vec<i64> = (0..3_000).collect();
        let rare: Vec<i64> = (0..10).map(|batch| batch * 300).collect();
        for end in [1, 2] {
            assert_eq!(steps(&test, &id, "loss", 700).await, whole);
            assert_eq!(steps(&test, &id, "auc", 700).await, rare);
            finish(&test, &id, end).await;
        }
        // Points that were compacted already are recognised when they come again.
        fill(&test, &id, 0).await;
        assert_eq!(steps(&test, &id, "loss", 10_000).await, whole);
        fill(&test, &id, 3_000).await;
        finish(&test, &id, 3).await;
        assert_eq!(steps(&test, &id, "loss", 10_000).await, (0..6_000).collect::<Vec<_>>());
    });
}

#[test]
fn samples_are_the_same_before_and_after_compaction() {
    on_every_store(|test| async move {
        let home = experiment(&test, "sampled").await;
        let id = run(&test, &home, "r").await;
        fill(&test, &id, 0).await;
        let path =
            format!("{M}/metrics/get-history-bulk-interval?run_ids={id}&metric_key=loss&max_results=50");
        let before = ok(&test.get(&path).await).clone();
        finish(&test, &id, 1).await;
        let after = ok(&test.get(&path).await).clone();
        assert_eq!(before, after);
        let points = before["metrics"].as_array().unwrap();
        assert_eq!((points[0]["step"].as_i64(), points[49]["step"].as_i64()), (Some(0), Some(2_999)));
    });
}

/// Which run has how many of an answer's points, in the order of the answer.
async fn points_by_run(test: &TestApp, path: &str) -> Vec<(String, usize)> {
    let answer = test.get(path).await;
    let mut counts: Vec<(String, usize)> = Vec::new();
    for point in ok(&answer)["metrics"].as_array().into_iter().flatten() {
        let run = point["run_id"].as_str().unwrap();
        match counts.last_mut() {
            Some((last, count)) if last == run => *count += 1,
            _ => counts.push((run.to_owned(), 1)),
        }
    }
    counts
}

#[test]
fn histories_in_bulk_are_limited_over_all_runs_and_each_run_comes_once() {
    on_every_store(|test| async move {
        let home = experiment(&test, "bulk").await;
        let mut runs = [run(&test, &home, "a").await, run(&test, &home, "b").await];
        runs.sort();
        for id in &runs {
            fill(&test, id, 0).await;
        }
        let [a, b] = runs;
        let bulk = |most: usize| {
            format!(
                "{M}/metrics/get-history-bulk?run_id={b}&run_id={a}&run_id={b}&metric_key=auc&max_results={most}"
            )
        };
        let all = [(a.clone(), 10), (b.clone(), 10)];
        assert_eq!(points_by_run(&test, &bulk(100)).await, all);
        assert_eq!(points_by_run(&test, &bulk(15)).await, [(a.clone(), 10), (b.clone(), 5)]);
        assert_eq!(points_by_run(&test, &bulk(5)).await, [(a.clone(), 5)]);
    });
}

#[test]
fn a_run_that_is_nowhere_keeps_no_chart_from_the_others() {
    on_every_store(|test| async move {
        let home = experiment(&test, "chart").await;
        let id = run(&test, &home, "a").await;
        fill(&test, &id, 0).await;
        let nowhere = "f".repeat(32);
        for (path, field) in [("get-history-bulk", "run_id"), ("get-history-bulk-interval", "run_ids")] {
            let path = |runs: &[&str]| {
                let runs: String = runs.iter().map(|run| format!("{field}={run}&")).collect();
                format!("{M}/metrics/{path}?{runs}metric_key=auc")
            };
            assert_eq!(points_by_run(&test, &path(&[&nowhere, &id])).await, [(id.clone(), 10)]);
            assert_eq!(points_by_run(&test, &path(&[&nowhere])).await, []);
        }
    });
}
