//! What a job uses is counted, over all its attempts, and ends it when it is too much.

use std::time::{Duration, Instant};

use serde_json::json;
use strongback::{
    error::Error,
    jobs::{Budget, Job, NewJob},
};

use super::{Worker, ended, handle, new, outcome, queue};
use crate::support::{TestApp, on_every_store};

fn with(kind: &str, budget: Budget) -> NewJob {
    NewJob { budget, ..new(kind) }
}

fn assert_exceeded(job: &Job, part: &str) {
    assert_eq!(outcome(job), "failed BUDGET_EXCEEDED", "{job:?}");
    let said = &job.failure.as_ref().unwrap().message;
    assert!(said.contains(part), "{said}");
}

#[test]
fn bytes_that_are_read_are_counted_and_bounded() {
    on_every_store(async |test: TestApp| {
        handle(&test, "test.reads", async |job| {
            job.charge_written(5);
            for _ in 0..10 {
                job.charge_read(100)?;
            }
            Ok(json!(null))
        });
        let worker = Worker::start(&test.app);
        let within = with("test.reads", Budget { bytes_read: Some(1_000), ..Budget::default() });
        let job = ended(&test, queue(&test, within).await.unwrap()).await;
        assert_eq!(outcome(&job), "succeeded");
        assert_eq!((job.cost.bytes_read, job.cost.bytes_written), (1_000, 5));
        let over = with("test.reads", Budget { bytes_read: Some(450), ..Budget::default() });
        let job = ended(&test, queue(&test, over).await.unwrap()).await;
        assert_exceeded(&job, "used 500 bytes read; its budget is 450");
        worker.stop().await;
    });
}

#[test]
fn time_is_bounded_also_for_who_does_not_look() {
    on_every_store(async |test: TestApp| {
        handle(&test, "test.sleeps", async |_| std::future::pending().await);
        let worker = Worker::start(&test.app);
        let budget = Budget { wall_ms: Some(300), ..Budget::default() };
        let job = ended(&test, queue(&test, with("test.sleeps", budget)).await.unwrap()).await;
        assert_exceeded(&job, "its budget is 300");
        assert!(job.cost.wall_ms >= 300, "{:?}", job.cost);
        worker.stop().await;
    });
}

#[test]
fn processor_time_is_counted_and_bounded() {
    on_every_store(async |test: TestApp| {
        handle(&test, "test.computes", async |job| {
            let begun = Instant::now();
            let inner = job.clone();
            let work = move || {
                while begun.elapsed() < Duration::from_secs(40) {
                    inner.check()?;
                    std::hint::black_box((0..200_000_u64).sum::<u64>());
                }
                Ok(json!(null))
            };
            job.blocking(work).await
        });
        // Charges what a query engine's threads would have taken.
        handle(&test, "test.charges", async |job| {
            job.charge_processor(Duration::from_millis(40))?;
            Ok(json!(null))
        });
        let worker = Worker::start(&test.app);
        let budget = Budget { processor_ms: Some(100), wall_ms: Some(3_000), ..Budget::default() };
        let job = ended(&test, queue(&test, with("test.computes", budget)).await.unwrap()).await;
        // The piece that computes is charged when it ends: until then the time on the clock ends it.
        assert_eq!(outcome(&job), "failed BUDGET_EXCEEDED", "{job:?}");
        assert!(job.cost.processor_ms > 100, "{:?}", job.cost);
        let job = ended(&test, queue(&test, with("test.charges", budget)).await.unwrap()).await;
        assert_eq!(outcome(&job), "succeeded");
        assert!(job.cost.processor_ms >= 40, "{:?}", job.cost);
        worker.stop().await;
    });
}

#[test]
fn a_budget_is_of_all_attempts_together() {
    on_every_store(async |test: TestApp| {
        handle(&test, "test.repeats", async |job| {
            job.charge_read(400)?;
            Err(Error::unavailable("away"))
        });
        let worker = Worker::start(&test.app);
        let budget = Budget { bytes_read: Some(1_000), ..Budget::default() };
        let job = NewJob { attempts_max: 50, ..with("test.repeats", budget) };
        let job = ended(&test, queue(&test, job).await.unwrap()).await;
        assert_exceeded(&job, "used 1200 bytes read; its budget is 1000");
        assert_eq!((job.attempts, job.cost.bytes_read), (3, 1_200));
        worker.stop().await;
    });
}
