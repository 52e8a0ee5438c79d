//! Jobs: the queue, the server's own worker, commands and runners.

mod budget;
mod kill;
mod lease;
mod orphans;
mod process;
mod queue;
mod rig;
mod rights;
mod worker;

use std::{sync::Arc, time::Duration};

use serde_json::Value as Json;
use strongback::{
    catalog::{
        authorize_admin,
        principal::{self, LOCAL},
        principals::{CreateRequest, principal_create},
    },
    context::App,
    db::Change,
    error::Result,
    jobs::{self, Handler, Job, JobCtx, JobId, NewJob},
};
use tokio::{sync::watch, task::JoinHandle};

use crate::support::TestApp;

/// Longer than anything here takes, also on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The server's own worker, without the server.
struct Worker {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Worker {
    fn start(app: &Arc<App>) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(jobs::work(Arc::clone(app), stopped)) }
    }

    /// As a server does that is told to stop.
    async fn stop(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the worker does not end").unwrap();
    }

    /// As by `kill -9`: nothing is told to anybody.
    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// Registers what does a kind.
fn handle<F, Fut>(test: &TestApp, kind: &'static str, run: F)
where
    F: Fn(JobCtx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Json>> + Send + 'static,
{
    test.app.handlers.register(Handler::new(kind, run));
}

/// A job of a kind that runs as `local`.
fn new(kind: &str) -> NewJob {
    NewJob::new(kind, Json::Null, LOCAL)
}

/// Queues a job as another slice would.
async fn queue(test: &TestApp, new: NewJob) -> Result<JobId> {
    let ctx = test.system();
    ctx.write(move |tx| {
        authorize_admin(tx, "test")?;
        let queued = jobs::enqueue(tx, &new)?;
        Ok(match queued.event {
            Some(event) => Change::Made(queued.id, event),
            None => Change::Nothing(queued.id),
        })
    })
    .await
}

/// The job as it is now.
async fn look(test: &TestApp, id: JobId) -> Job {
    test.system().read(move |sql| jobs::get(sql, id)).await.unwrap()
}

/// The job once it has ended.
async fn ended(test: &TestApp, id: JobId) -> Job {
    let job = jobs::wait(&test.system(), id, PATIENCE).await.unwrap();
    assert!(job.state.is_ended(), "it does not end: {job:?}");
    job
}

/// The job once something is true of it.
async fn until(test: &TestApp, id: JobId, is_so: impl Fn(&Job) -> bool) -> Job {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let job = look(test, id).await;
        if is_so(&job) {
            return job;
        }
        assert!(tokio::time::Instant::now() < end, "it does not come to that: {job:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How a job ended: `state` or `state CODE`.
fn outcome(job: &Job) -> String {
    let code =
        job.failure.as_ref().filter(|_| job.state.name() == "failed").map(|failure| failure.code.as_str());
    [job.state.name(), code.unwrap_or_default()].join(" ").trim_end().to_owned()
}

/// Actions of the events about a job, oldest first.
async fn events(test: &TestApp, id: JobId) -> Vec<String> {
    let log = test.get(&format!("/api/1.0/audit-log?subject={id}")).await;
    let events = crate::support::ok(&log)["events"].as_array().unwrap().clone();
    events.iter().rev().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
}

/// A new user's number.
async fn user(test: &TestApp, name: &str) -> i64 {
    let ctx = test.system();
    principal_create(&ctx, CreateRequest { name: name.into(), kind: None, admin: false }).await.unwrap();
    let name = name.to_owned();
    ctx.read(move |sql| {
        authorize_admin(sql, "test")?;
        principal::require(sql, &name)
    })
    .await
    .unwrap()
}
