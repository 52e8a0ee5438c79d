//! The server's own worker: begun at once, tried again, given up, told to end, so many at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use strongback::{
    error::Error,
    jobs::{self, Handler, NewJob},
};

use super::{Worker, ended, events, handle, new, outcome, queue, until};
use crate::support::{TestApp, ok, on_every_store, on_every_store_with};

#[test]
fn a_job_is_begun_as_soon_as_it_is_queued_and_answers() {
    on_every_store(async |test: TestApp| {
        handle(&test, "test.echo", async |job| {
            job.progress(1, 2, "half of it");
            Ok(
                json!({ "said": job.payload().1, "attempt": job.job().attempts, "as": job.ctx().await?.caller().name }),
            )
        });
        let worker = Worker::start(&test.app);
        // The worker rests by now, for five seconds if it hears nothing.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        let id = queue(&test, NewJob { payload: json!([1, "ü"]), ..new("test.echo") }).await.unwrap();
        let job = ended(&test, id).await;
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert_eq!(job.result, Some(json!({ "said": [1, "ü"], "attempt": 1, "as": "local" })));
        assert_eq!(events(&test, id).await, ["job.queue", "job.start", "job.end"]);
        worker.stop().await;
    });
}

#[test]
fn what_may_pass_is_tried_again_after_longer_and_longer_waits() {
    on_every_store(async |test: TestApp| {
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        handle(&test, "test.away", move |_| {
            let n = counted.fetch_add(1, SeqCst);
            async move { if n < 2 { Err(Error::unavailable("away")) } else { Ok(json!(n)) } }
        });
        let worker = Worker::start(&test.app);
        let began = Instant::now();
        let id = queue(&test, new("test.away")).await.unwrap();
        let job = ended(&test, id).await;
        assert_eq!((outcome(&job).as_str(), job.attempts, job.result), ("succeeded", 3, Some(json!(2))));
        assert!(began.elapsed() >= Duration::from_millis(1_500), "{:?}", began.elapsed());
        let expected =
            ["job.queue", "job.start", "job.retry", "job.start", "job.retry", "job.start", "job.end"];
        assert_eq!(events(&test, id).await, expected);
        worker.stop().await;
    });
}

#[test]
fn what_does_not_pass_is_not_repeated_and_attempts_are_used_up() {
    on_every_store(async |test: TestApp| {
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        handle(&test, "test.wrong", move |_| {
            counted.fetch_add(1, SeqCst);
            async { Err(Error::invalid("the payload is wrong")) }
        });
        handle(&test, "test.away", async |_| Err(Error::unavailable("still away")));
        handle(&test, "test.panic", async |_| panic!("a defect"));
        handle(&test, "test.large", async |_| Ok(json!("x".repeat(100_000))));
        let worker = Worker::start(&test.app);
        let job = ended(&test, queue(&test, new("test.wrong")).await.unwrap()).await;
        assert_eq!((outcome(&job).as_str(), job.attempts), ("failed INVALID_PARAMETER_VALUE", 1));
        assert_eq!((job.failure.unwrap().message.as_str(), tries.load(SeqCst)), ("the payload is wrong", 1));
        let away = NewJob { attempts_max: 2, ..new("test.away") };
        let job = ended(&test, queue(&test, away).await.unwrap()).await;
        assert_eq!((outcome(&job).as_str(), job.attempts), ("failed TEMPORARILY_UNAVAILABLE", 2));
        let job = ended(&test, queue(&test, new("test.panic")).await.unwrap()).await;
        assert_eq!((outcome(&job).as_str(), job.attempts), ("failed INTERNAL_ERROR", 1));
        let job = ended(&test, queue(&test, new("test.large")).await.unwrap()).await;
        assert_eq!(outcome(&job), "failed INVALID_PARAMETER_VALUE");
        assert!(job.failure.unwrap().message.contains("limit of a result"));
        worker.stop().await;
    });
}

#[test]
fn what_runs_is_cancelled_whether_it_listens_or_not() {
    on_every_store(async |test: TestApp| {
        handle(&test, "test.listens", async |job| {
            job.told_to_end().await;
            Err(Error::invalid("told to end"))
        });
        handle(&test, "test.deaf", async |_| std::future::pending().await);
        let worker = Worker::start(&test.app);
        for kind in ["test.listens", "test.deaf"] {
            let id = queue(&test, new(kind)).await.unwrap();
            until(&test, id, |job| job.state.name() == "running").await;
            let asked = test.post(&format!("/api/1.0/jobs/{id}/cancel"), json!({})).await;
            assert_eq!(ok(&asked)["cancelled_by"], "local");
            assert_eq!(outcome(&ended(&test, id).await), "cancelled", "{kind}");
            assert_eq!(events(&test, id).await, ["job.queue", "job.start", "job.cancel", "job.cancel"]);
        }
        worker.stop().await;
    });
}

#[test]
fn heavy_ones_run_one_at_a_time_beside_light_ones() {
    on_every_store_with(&[("job_workers", "4")], async |test: TestApp| {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (running, highest) = (Arc::clone(&now), Arc::clone(&most));
        test.app.handlers.register(
            Handler::new("test.heavy", move |_| {
                let (running, highest) = (Arc::clone(&running), Arc::clone(&highest));
                async move {
                    highest.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    running.fetch_sub(1, SeqCst);
                    Ok(json!(null))
                }
            })
            .heavy(),
        );
        // A light one ends only while a heavy one runs.
        let beside = Arc::clone(&now);
        handle(&test, "test.light", move |_| {
            let beside = Arc::clone(&beside);
            async move {
                while beside.load(SeqCst) == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ok(json!(null))
            }
        });
        let mut ids = Vec::new();
        for kind in ["test.light", "test.light", "test.heavy", "test.heavy", "test.heavy"] {
            ids.push(queue(&test, new(kind)).await.unwrap());
        }
        let worker = Worker::start(&test.app);
        for id in ids {
            assert_eq!(outcome(&ended(&test, id).await), "succeeded");
        }
        assert_eq!(most.load(SeqCst), 1);
        worker.stop().await;
    });
}

#[test]
fn a_server_that_stops_puts_back_what_runs_and_counts_no_attempt() {
    on_every_store(async |test: TestApp| {
        handle(&test, "test.long", async |job| {
            job.log("a line of the first time, which is longer");
            job.progress(1, 2, "logged");
            job.told_to_end().await;
            job.check().map(|()| json!(null))
        });
        let worker = Worker::start(&test.app);
        let id = queue(&test, new("test.long")).await.unwrap();
        until(&test, id, |job| job.progress.message == "logged").await;
        worker.stop().await;
        let job = super::look(&test, id).await;
        assert_eq!((job.state.name(), job.attempts, job.holder), ("queued", 0, None));
        handle(&test, "test.long", async |job| {
            job.log("the second time");
            Ok(json!("done"))
        });
        let worker = Worker::start(&test.app);
        assert_eq!(ended(&test, id).await.result, Some(json!("done")));
        // Its number is the same, and its log is its own.
        let log = test.get(&format!("/api/1.0/jobs/{id}/log")).await;
        assert_eq!((&log.json["text"], &log.json["attempt"]), (&json!("the second time\n"), &json!(1)));
        worker.stop().await;
    });
}

#[test]
fn how_far_it_is_and_what_it_wrote_is_seen_while_it_runs() {
    on_every_store(async |test: TestApp| {
        handle(&test, "test.tells", async |job| {
            job.progress(3, 7, "reads");
            job.log("line one");
            job.log("line two ü");
            job.told_to_end().await;
            Err(Error::invalid("told to end"))
        });
        let worker = Worker::start(&test.app);
        let id = queue(&test, new("test.tells")).await.unwrap();
        until(&test, id, |job| job.progress.message == "reads").await;
        let shown = test.get(&format!("/api/1.0/jobs/{id}")).await;
        assert_eq!(ok(&shown)["progress"], json!({ "done": 3, "of": 7, "message": "reads" }));
        let log = test.get(&format!("/api/1.0/jobs/{id}/log")).await;
        assert_eq!(
            (&log.json["text"], &log.json["is_end"]),
            (&json!("line one\nline two ü\n"), &json!(false))
        );
        let part = test.get(&format!("/api/1.0/jobs/{id}/log?after=9")).await;
        assert_eq!(part.json["text"], "line two ü\n");
        // Within a letter: the whole of it comes.
        let part = test.get(&format!("/api/1.0/jobs/{id}/log?after=19")).await;
        assert_eq!(part.json["text"], "ü\n");
        let ctx = test.system();
        ctx.write(move |tx| jobs::cancel(tx, id)).await.unwrap();
        ended(&test, id).await;
        let log = test.get(&format!("/api/1.0/jobs/{id}/log?after={}", log.json["next"])).await;
        assert_eq!((&log.json["text"], &log.json["is_end"]), (&json!(""), &json!(true)));
        worker.stop().await;
    });
}
