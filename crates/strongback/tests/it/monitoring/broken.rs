//! What is broken off anywhere comes to the same: nothing twice, nothing missing.

use super::*;
use crate::support::on_every_store;

/// Everything that a run leaves: figures, sketches, series, windows, alerts.
async fn outcome(test: &TestApp) -> Value {
    let figures = sql(
        test,
        "SELECT window_start, revision, metric, column_name, status, value, n FROM prod.risk.fraud_drift \
         ORDER BY window_start, revision, metric, column_name",
    )
    .await;
    let sketches = sql(
        test,
        "SELECT role, window_start, column_name, row_count, missing FROM prod.risk.fraud_sketch \
         ORDER BY role, window_start, column_name",
    )
    .await;
    let windows: Vec<Value> = windows(test)
        .await
        .into_iter()
        .map(|one| json!([one["start"], one["revision"], one["outcome"], one["rows"], one["state"]]))
        .collect();
    let alerts: Vec<Value> = alerts(test, "all")
        .await
        .into_iter()
        .map(|one| json!([one["metric"], one["column"], one["state"], one["windows"], one["value"]]))
        .collect();
    json!({
        "figures": figures, "sketches": sketches, "windows": windows, "alerts": alerts,
        "psi": series(test, "psi/x").await, "rows": series(test, "rows").await,
    })
}

async fn filled(test: &TestApp) {
    world(test, YAML).await;
    payload(test, "more", &[hour(2, 200, 10.0), hour(3, 5, 0.0), hour(4, 200, 70.0)].concat()).await;
}

/// The worker is given up at moments that are spread over a whole run, as by `kill -9`: the job is leased again and goes on.
#[test]
fn a_job_that_is_broken_off_is_finished_by_the_next() {
    on_every_store(async |test: TestApp| {
        filled(&test).await;
        let worker = Worker::start(&test.app);
        let began = std::time::Instant::now();
        assert_eq!(computed(&test).await, 5);
        let whole = began.elapsed();
        worker.stop().await;
        let expected = outcome(&test).await;
        assert_eq!(expected["alerts"].as_array().unwrap().len(), 1, "{expected}");

        for round in 1..=4_u32 {
            let other = test.another(&[]).await;
            filled(&other).await;
            let queued = other.post("/api/1.0/monitors/prod.risk.fraud/run", json!({})).await;
            let id = ok(&queued)["job_id"].as_str().unwrap().to_owned();
            let worker = Worker::start(&other.app);
            tokio::time::sleep(whole * round / 5).await;
            worker.task.abort();
            let _ = worker.task.await;
            // Its lease is let go, as at the start of the next process.
            jobs::recover(&other.system()).await.unwrap();
            let worker = Worker::start(&other.app);
            let job = ended(&other, &id).await;
            assert_eq!(job["state"], "succeeded", "{job}");
            computed(&other).await;
            let found = outcome(&other).await;
            assert_eq!(found, expected, "round {round}");
            worker.stop().await;
        }
    });
}
