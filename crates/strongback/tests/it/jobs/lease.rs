//! Leases: a holder that died is followed, and one that only seemed dead changes nothing any more.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use strongback::{
    catalog::{authorize_admin, principal},
    db::Change,
    error::Code,
    events::{Event, EventKind},
    jobs::{self, JobCtx, NewJob},
};
use tokio::sync::mpsc;

use super::{Worker, ended, events, handle, look, new, outcome, queue};
use crate::support::{TestApp, ok, on_every_store};

/// A kind whose handler hands out what it was given and waits until it is let go.
fn handled(test: &TestApp) -> mpsc::UnboundedReceiver<(JobCtx, Arc<tokio::sync::Notify>)> {
    let (tell, told) = mpsc::unbounded_channel();
    handle(test, "test.held", move |job| {
        let (tell, go) = (tell.clone(), Arc::new(tokio::sync::Notify::new()));
        async move {
            tell.send((job.clone(), Arc::clone(&go))).unwrap();
            go.notified().await;
            Ok(json!(job.fencing()))
        }
    });
    told
}

/// An effect on behalf of a job: a principal of this name.
async fn effect(job: &JobCtx, name: &'static str) -> strongback::error::Result<bool> {
    job.write(move |tx| {
        authorize_admin(tx, "test")?;
        if principal::find(tx, name)?.is_some() {
            return Ok(Change::Nothing(false));
        }
        let id = principal::create(tx, principal::PrincipalKind::User, name)?;
        Ok(Change::Made(true, Event::new(EventKind::PrincipalCreate).subject(id.to_string())))
    })
    .await
}

#[test]
fn a_dead_process_is_followed_at_once_and_its_shadow_is_refused() {
    on_every_store(async |test: TestApp| {
        let mut told = handled(&test);
        let id = queue(&test, new("test.held")).await.unwrap();
        let worker = Worker::start(&test.app);
        let (shadow, _) = told.recv().await.unwrap();
        assert!(effect(&shadow, "before").await.unwrap());
        worker.kill().await;
        let job = look(&test, id).await;
        assert_eq!((job.state.name(), job.fencing), ("running", 1));

        // The next process of the same data directory lets it go and begins it again.
        jobs::recover(&test.system()).await.unwrap();
        let worker = Worker::start(&test.app);
        let (job, go) = told.recv().await.unwrap();
        assert_eq!((job.fencing(), job.job().attempts), (2, 2));
        let error = effect(&shadow, "after").await.unwrap_err();
        assert_eq!(error.code(), Code::ResourceConflict);
        assert!(error.message().contains("its newest lease is 2"), "{error}");
        assert!(effect(&job, "after").await.unwrap(), "the refused one had left it");
        go.notify_one();
        assert_eq!(ended(&test, id).await.result, Some(json!(2)));
        // After its end neither has it.
        assert_eq!(effect(&job, "later").await.unwrap_err().code(), Code::ResourceConflict);
        let expected = ["job.queue", "job.start", "job.retry", "job.start", "job.end"];
        assert_eq!(events(&test, id).await, expected);
        worker.stop().await;
    });
}

#[test]
fn a_holder_that_dies_with_the_last_attempt_leaves_a_failed_job() {
    on_every_store(async |test: TestApp| {
        let mut told = handled(&test);
        let id = queue(&test, NewJob { attempts_max: 1, ..new("test.held") }).await.unwrap();
        let worker = Worker::start(&test.app);
        told.recv().await.unwrap();
        worker.kill().await;
        jobs::recover(&test.system()).await.unwrap();
        let worker = Worker::start(&test.app);
        let job = ended(&test, id).await;
        assert_eq!(outcome(&job), "failed LEASE_LOST");
        assert!(job.failure.unwrap().message.contains("attempt 1 of 1"));
        worker.stop().await;
    });
}

/// A worker that hangs for longer than its lease finds out at its next look, and what it began is given up.
#[test]
fn a_lease_that_was_taken_away_ends_who_had_it() {
    on_every_store(async |test: TestApp| {
        let mut told = handled(&test);
        let id = queue(&test, new("test.held")).await.unwrap();
        let worker = Worker::start(&test.app);
        let (shadow, _) = told.recv().await.unwrap();
        // The same worker settles the lease that seems to have run out, while the first attempt runs on.
        jobs::recover(&test.system()).await.unwrap();
        let (job, go) = tokio::time::timeout(super::PATIENCE, told.recv()).await.unwrap().unwrap();
        assert_eq!(job.fencing(), 2);
        tokio::time::timeout(super::PATIENCE, shadow.told_to_end()).await.expect("it was not told");
        go.notify_one();
        let job = ended(&test, id).await;
        assert_eq!((outcome(&job).as_str(), job.result), ("succeeded", Some(json!(2))));
        worker.stop().await;
    });
}

/// What a job did says so: its events carry its id as their request.
#[test]
fn events_of_what_a_job_did_name_the_job() {
    on_every_store(async |test: TestApp| {
        let mut told = handled(&test);
        let id = queue(&test, new("test.held")).await.unwrap();
        let worker = Worker::start(&test.app);
        let (job, go) = told.recv().await.unwrap();
        effect(&job, "made").await.unwrap();
        go.notify_one();
        ended(&test, id).await;
        let log = test.get("/api/1.0/audit-log?action=principal.create").await;
        let event = &ok(&log)["events"][0];
        assert_eq!((&event["request_id"], &event["principal"]), (&json!(id.to_string()), &json!("local")));
        worker.stop().await;
    });
}

/// Time that the test waits for nothing to happen.
const QUIET: Duration = Duration::from_millis(400);

#[test]
fn a_job_is_not_begun_before_its_time() {
    on_every_store(async |test: TestApp| {
        handle(&test, "test.later", async |_| Ok(json!(strongback::time::now_ms())));
        let worker = Worker::start(&test.app);
        let not_before = strongback::time::now_ms() + 1_200;
        let id = queue(&test, NewJob { not_before, ..new("test.later") }).await.unwrap();
        tokio::time::sleep(QUIET).await;
        assert_eq!(look(&test, id).await.state.name(), "queued");
        let begun = ended(&test, id).await.result.unwrap().as_i64().unwrap();
        assert!(begun >= not_before, "{begun} {not_before}");
        worker.stop().await;
    });
}

/// Behind more jobs than are looked at together, and none of them for this runner.
#[test]
fn a_runner_finds_its_job_behind_those_of_others() {
    on_every_store(async |test: TestApp| {
        crate::catalog::prod_risk(&test).await;
        let mut last = json!(null);
        for (leaf, times) in [("theirs", 130), ("mine", 1)] {
            let name = format!("prod.risk.{leaf}");
            let body = json!({ "name": name, "definition": { "argv": ["/bin/true"] } });
            ok(&test.post("/api/1.0/commands", body).await);
            for _ in 0..times {
                let queued = test.post(&format!("/api/1.0/commands/{name}/run"), json!({})).await;
                last = ok(&queued)["job_id"].clone();
            }
        }
        let asked = json!({ "runner": "one", "allow": ["prod.risk.mi*"] });
        let leased = test.post("/api/1.0/runner/lease", asked.clone()).await;
        assert_eq!(ok(&leased)["job"]["job_id"], last, "{leased:?}");
        // Nothing else is for it, and one that has it is not asked for again.
        let other = json!({ "runner": "two", "allow": ["prod.risk.mi*"] });
        assert_eq!(test.post("/api/1.0/runner/lease", other).await.json["job"], json!(null));
        let any = test.post("/api/1.0/runner/lease", json!({ "runner": "three" })).await;
        assert_eq!(ok(&any)["job"]["command"], "prod.risk.theirs");
    });
}
