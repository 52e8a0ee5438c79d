//! Queuing: one job a key, a number that may wait, ends of those that wait, and forgetting.

use futures::future::join_all;
use serde_json::json;
use strongback::{
    db::{Change, Stmt},
    error::Code,
    jobs::{self, NewJob},
};

use super::{Worker, ended, events, handle, look, new, outcome, queue, user};
use crate::support::{TestApp, ok, on_every_store};

fn keyed(key: &str) -> NewJob {
    NewJob { idempotency_key: Some(key.into()), ..new("test.nobody_does_it") }
}

#[test]
fn a_kind_and_a_key_are_one_job_however_often_it_is_queued() {
    on_every_store(async |test: TestApp| {
        let made: Vec<_> = join_all((0..20).map(|_| queue(&test, keyed("one")))).await;
        let first = *made[0].as_ref().unwrap();
        assert!(made.iter().all(|id| *id.as_ref().unwrap() == first), "{made:?}");
        assert_eq!(events(&test, first).await, ["job.queue"]);
        let other = NewJob { kind: "test.other_kind".into(), ..keyed("one") };
        assert_ne!(queue(&test, other).await.unwrap(), first);
        assert_ne!(queue(&test, keyed("two")).await.unwrap(), first);
        assert_ne!(queue(&test, new("test.x")).await.unwrap(), queue(&test, new("test.x")).await.unwrap());
    });
}

#[test]
fn so_many_of_one_principal_wait_and_no_more() {
    on_every_store(async |test: TestApp| {
        let ada = user(&test, "ada").await;
        let of_ada = || NewJob { run_as_id: ada, ..new("test.nobody_does_it") };
        for _ in 0..4 {
            let made = join_all((0..250).map(|_| queue(&test, of_ada()))).await;
            assert!(made.iter().all(Result::is_ok));
        }
        let error = queue(&test, of_ada()).await.unwrap_err();
        assert_eq!(error.code(), Code::RequestLimitExceeded);
        assert!(error.message().contains("1000 jobs of ada wait already"), "{error}");
        // Another's queue is not hers, and one that is there already is answered.
        let id = queue(&test, new("test.nobody_does_it")).await.unwrap();
        let cancelled = test.post(&format!("/api/1.0/jobs/{id}/cancel"), json!({})).await;
        assert_eq!(ok(&cancelled)["state"], "cancelled");
    });
}

#[test]
fn what_is_too_large_is_refused() {
    on_every_store(async |test: TestApp| {
        let large = NewJob { payload: json!("x".repeat(70_000)), ..new("test.x") };
        let error = queue(&test, large).await.unwrap_err();
        assert!(error.message().contains("70002 bytes; the limit is 65536"), "{error}");
        let error = queue(&test, NewJob { attempts_max: 0, ..new("test.x") }).await.unwrap_err();
        assert!(error.message().contains("'max_attempts'"), "{error}");
        let error = queue(&test, keyed(&"k".repeat(513))).await.unwrap_err();
        assert!(error.message().contains("'idempotency_key'"), "{error}");
    });
}

#[test]
fn what_waits_is_cancelled_at_once_and_once() {
    on_every_store(async |test: TestApp| {
        let id = queue(&test, new("test.nobody_does_it")).await.unwrap();
        let ctx = test.system();
        let cancel = async || ctx.write(move |tx| jobs::cancel(tx, id)).await.unwrap();
        assert_eq!(cancel().await.state.name(), "cancelled");
        assert_eq!(cancel().await.state.name(), "cancelled");
        assert_eq!(events(&test, id).await, ["job.queue", "job.cancel"]);
        assert!(look(&test, id).await.ended_at.is_some());
    });
}

/// An enqueue whose transaction does not stand leaves neither a job nor its event.
#[test]
fn a_job_stands_and_falls_with_its_transaction() {
    on_every_store(async |test: TestApp| {
        let refused = test
            .system()
            .write(move |tx| -> strongback::error::Result<Change<()>> {
                strongback::catalog::authorize_admin(tx, "test")?;
                jobs::enqueue(tx, &keyed("gone"))?;
                Err(strongback::error::Error::invalid("it was not meant"))
            })
            .await;
        assert_eq!(refused.unwrap_err().message(), "it was not meant");
        let listed = test.get("/api/1.0/jobs").await;
        assert_eq!(ok(&listed)["jobs"], json!([]));
    });
}

#[test]
fn ended_jobs_are_forgotten_with_their_logs_and_others_are_not() {
    static LOGS: Stmt = Stmt::new("SELECT COUNT(*) FROM job_log");
    on_every_store(async |test: TestApp| {
        handle(&test, "test.log", async |job| {
            job.log("something");
            Ok(json!(null))
        });
        let worker = Worker::start(&test.app);
        let job = NewJob { idempotency_key: Some("again".into()), ..new("test.log") };
        let id = queue(&test, job.clone()).await.unwrap();
        let waits = queue(&test, keyed("waits")).await.unwrap();
        assert_eq!(outcome(&ended(&test, id).await), "succeeded");
        let log = test.get(&format!("/api/1.0/jobs/{id}/log")).await;
        assert_eq!(ok(&log)["text"], "something\n");
        let at = look(&test, id).await.ended_at.unwrap();
        assert_eq!(jobs::sweep(&test.app, at).await.unwrap(), 0);
        assert_eq!(jobs::sweep(&test.app, at + 1).await.unwrap(), 1);
        assert_eq!(test.get(&format!("/api/1.0/jobs/{id}")).await.status, 404);
        let logs = test.app.db.derive(|tx| tx.one(&LOGS, &[], |row| row.get::<i64>(0))).await.unwrap();
        assert_eq!(logs, 0);
        assert_eq!(look(&test, waits).await.state.name(), "queued");
        // Its key is free again.
        assert_ne!(queue(&test, job).await.unwrap(), id);
        worker.stop().await;
    });
}

#[test]
fn a_list_is_filtered_and_goes_on_behind_a_page() {
    on_every_store(async |test: TestApp| {
        for n in 0..5 {
            queue(&test, keyed(&n.to_string())).await.unwrap();
        }
        queue(&test, new("test.other")).await.unwrap();
        let (mut keys, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/1.0/jobs?kind=test.nobody_does_it&max_results=2&page_token={token}");
            let page = test.get(&path).await;
            let jobs = ok(&page)["jobs"].as_array().unwrap();
            assert!(jobs.len() <= 2);
            keys.extend(jobs.iter().map(|job| job["idempotency_key"].as_str().unwrap().to_owned()));
            match page.json["next_page_token"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => break,
            }
        }
        assert_eq!(keys, ["4", "3", "2", "1", "0"]);
        let running = test.get("/api/1.0/jobs?state=running").await;
        assert_eq!(ok(&running)["jobs"], json!([]));
    });
}
