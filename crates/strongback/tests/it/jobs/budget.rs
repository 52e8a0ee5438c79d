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
        // Charges what it took, within what it may take.
        handle(&test, "test.charges", async |job| {
            let work = || {
                let begun = processor_ms("thread-self");
                while processor_ms("thread-self") < begun + 60 {
                    std::hint::black_box((0..200_000_u64).sum::<u64>());
                }
                Ok(json!(null))
            };
            job.blocking(work).await
        });
        let worker = Worker::start(&test.app);
        let budget = Budget { processor_ms: Some(100), wall_ms: Some(3_000), ..Budget::default() };
        let job = ended(&test, queue(&test, with("test.computes", budget)).await.unwrap()).await;
        // What it asks is charged up to then, long before the piece that computes is over.
        assert_exceeded(&job, "of processor time; its budget is 100");
        assert!((101..1_000).contains(&job.cost.processor_ms), "{:?}", job.cost);
        let budget = Budget { processor_ms: Some(10_000), ..budget };
        let job = ended(&test, queue(&test, with("test.charges", budget)).await.unwrap()).await;
        assert_eq!(outcome(&job), "succeeded");
        assert!(job.cost.processor_ms >= 40, "{:?}", job.cost);
        worker.stop().await;
    });
}

/// Looks at many pairs of rows in as many tasks of the engine as it likes: some tens of milliseconds of any processor.
const PAIRS: &str = "SELECT sum(a.x * b.x % 7) AS n FROM (SELECT unnest(range(0, 20000)) AS x) AS a \
     JOIN (SELECT unnest(range(0, 1000)) AS x) AS b ON a.x * 3 <> b.x";

/// Processor time of this process (`self`) or thread (`thread-self`) so far, milliseconds, in steps of 10.
fn processor_ms(whose: &str) -> i64 {
    let stat = std::fs::read_to_string(format!("/proc/{whose}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    (fields[11].parse::<i64>().unwrap() + fields[12].parse::<i64>().unwrap()) * 10
}

#[test]
fn what_the_query_engine_does_for_a_job_is_its_own() {
    on_every_store(async |test: TestApp| {
        handle(&test, "test.asks", async |job| {
            let ctx = job.ctx().await?;
            let mut found =
                strongback::tables::rows::rows(&ctx, PAIRS, Vec::new(), Duration::from_mins(1)).await?;
            let mut rows = 0;
            while let Some(batch) = found.next().await {
                rows += batch?.num_rows();
            }
            Ok(json!(rows))
        });
        let worker = Worker::start(&test.app);
        let before = processor_ms("self");
        let job = ended(&test, queue(&test, new("test.asks")).await.unwrap()).await;
        let of_all = processor_ms("self") - before;
        assert_eq!((outcome(&job).as_str(), &job.result), ("succeeded", &Some(json!(1))), "{job:?}");
        let used = job.cost.processor_ms;
        assert!(used >= 60, "the engine looked at 20,000,000 pairs: {:?}", job.cost);
        assert!(used <= of_all + 40, "{:?} of {of_all} ms of this process", job.cost);
        // Of a job that asks for nothing it is not.
        handle(&test, "test.rests", async |_| Ok(json!(null)));
        let job = ended(&test, queue(&test, new("test.rests")).await.unwrap()).await;
        assert!(job.cost.processor_ms < 50, "{:?}", job.cost);
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
