//! `kill -9` of a server while a job of its own runs: it is taken up again, and what it does stands once.
//!
//! The server is this test binary, begun once more as a process of its own, which registers a handler and works.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use strongback::{
    app,
    catalog::{authorize_admin, principal},
    context::Ctx,
    db::Change,
    events::{Event, EventKind},
    jobs::{self, Handler, JobCtx, NewJob},
};

use super::PATIENCE;
use crate::support::{TestApp, config, ok, on_postgres};

/// Names the folder of a process that is to be killed.
const FOLDER: &str = "STRONGBACK_TEST_KILLED_FOLDER";
/// Its database, if it is not SQLite.
const DATABASE: &str = "STRONGBACK_TEST_KILLED_DATABASE";

fn write_line(path: &Path, line: &str) {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}

async fn wait_for(path: PathBuf) {
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Makes a principal, once: waits for leave before it and after it.
async fn effect(job: JobCtx, folder: PathBuf) -> strongback::error::Result<Value> {
    write_line(&folder.join("begun"), &job.job().attempts.to_string());
    wait_for(folder.join("may-write")).await;
    let is_first = job
        .write(|tx| {
            authorize_admin(tx, "test")?;
            if principal::find(tx, "made-once")?.is_some() {
                return Ok(Change::Nothing(false));
            }
            let id = principal::create(tx, principal::PrincipalKind::User, "made-once")?;
            Ok(Change::Made(true, Event::new(EventKind::PrincipalCreate).subject(id.to_string())))
        })
        .await?;
    write_line(&folder.join("written"), &is_first.to_string());
    wait_for(folder.join("may-end")).await;
    Ok(json!({ "fencing": job.fencing() }))
}

/// The body of the process that is killed; nothing when the tests are run.
#[test]
fn the_process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let app = app::open(config(&folder, &[], std::env::var(DATABASE).ok())).await.unwrap();
        let inner = folder.clone();
        app.handlers.register(Handler::new("test.effect", move |job| effect(job, inner.clone())));
        let _background = app::start_background(&app);
        let new = NewJob {
            idempotency_key: Some("one".into()),
            attempts_max: 4,
            ..NewJob::new("test.effect", Value::Null, principal::LOCAL)
        };
        let queue = move |tx: &mut strongback::db::Sql<'_>| {
            authorize_admin(tx, "test")?;
            let queued = jobs::enqueue(tx, &new)?;
            Ok(match queued.event {
                Some(event) => Change::Made(queued.id, event),
                None => Change::Nothing(queued.id),
            })
        };
        let id = Ctx::system(&app).write(queue).await.unwrap();
        write_line(&folder.join("queued"), &id.to_string());
        std::future::pending::<()>().await;
    });
}

struct Killed {
    folder: PathBuf,
    child: Child,
}

impl Killed {
    fn start(folder: &Path, database: Option<&str>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "jobs::kill::the_process_that_is_killed", "--nocapture"]);
        command.env(FOLDER, folder).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(url) = database {
            command.env(DATABASE, url);
        }
        Self { folder: folder.to_owned(), child: command.spawn().unwrap() }
    }

    /// Waits until a file has so many lines and answers them.
    fn lines(&self, name: &str, count: usize) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let text = fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            if text.lines().count() >= count && text.ends_with('\n') {
                return text.lines().map(str::to_owned).collect();
            }
            assert!(begun.elapsed() < PATIENCE, "{name} has not {count} lines: {text:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn allow(&self, name: &str) {
        fs::write(self.folder.join(name), "").unwrap();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

async fn taken_up_again(database: Option<String>) {
    let dir = tempfile::tempdir().unwrap();
    let start = || Killed::start(dir.path(), database.as_deref());
    let first = start();
    assert_eq!(first.lines("begun", 1), ["1"]);
    drop(first);
    // Killed before its effect; the second is killed between its effect and its end.
    let second = start();
    assert_eq!(second.lines("begun", 2), ["1", "2"]);
    second.allow("may-write");
    assert_eq!(second.lines("written", 1), ["true"]);
    drop(second);
    let third = start();
    assert_eq!(third.lines("written", 2), ["true", "false"]);
    let queued = third.lines("queued", 3);
    assert!(queued.iter().all(|id| *id == queued[0]), "one key is one job: {queued:?}");
    drop(third);
    // The last of them is this process, which lets it end.
    let app = app::open(config(dir.path(), &[], database.clone())).await.unwrap();
    let folder = dir.path().to_owned();
    app.handlers.register(Handler::new("test.effect", move |job| effect(job, folder.clone())));
    fs::write(dir.path().join("may-end"), "").unwrap();
    let router = strongback::router::build(&app);
    let test = TestApp::of(app, router, dir, database);
    let worker = super::Worker::start(&test.app);
    let job = super::ended(&test, queued[0].parse().unwrap()).await;
    assert_eq!((job.state.name(), job.attempts, job.result), ("succeeded", 4, Some(json!({ "fencing": 4 }))));
    worker.stop().await;
    let log = test.get("/api/1.0/audit-log?action=principal.create").await;
    assert_eq!(ok(&log)["events"].as_array().unwrap().len(), 1, "its effect stands once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_killed_server_is_taken_up_again_on_sqlite() {
    taken_up_again(None).await;
}

#[test]
fn a_job_of_a_killed_server_is_taken_up_again_on_postgresql() {
    on_postgres(|url| taken_up_again(Some(url)));
}
