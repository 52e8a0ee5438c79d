//! Whose rights count: those that the run-as principal has when a step is made.

use serde_json::json;
use strongback::{
    catalog::{Action, authorize, authorize_admin, names},
    db::{Change, Stmt},
    jobs::NewJob,
};
use tokio::sync::mpsc;

use super::{Worker, ended, handle, new, outcome, queue, user};
use crate::support::{TestApp, call, ok, on_every_store, on_every_store_with, token_of};

/// A catalog that the group `team` owns, with `ada` in it; answers the number of both.
async fn world(test: &TestApp) -> (i64, i64) {
    let ada = user(test, "ada").await;
    ok(&test.post("/api/2.1/unity-catalog/catalogs", json!({ "name": "prod" })).await);
    ok(&test.post("/api/1.0/principals", json!({ "name": "team", "kind": "group" })).await);
    ok(&test.post("/api/1.0/groups/team/members", json!({ "member": "ada" })).await);
    let owner = crate::support::request(
        "PATCH",
        "/api/1.0/owner",
        Some(json!({ "name": "prod", "kind": "catalog", "owner": "team" })),
    );
    ok(&test.send(owner).await);
    let catalog = test
        .system()
        .read(|sql| {
            authorize_admin(sql, "test")?;
            Ok(names::catalog(sql, "prod")?.id)
        })
        .await
        .unwrap();
    (ada, catalog)
}

async fn leave(test: &TestApp) {
    let gone = crate::support::request("DELETE", "/api/1.0/groups/team/members/ada", None);
    ok(&test.send(gone).await);
}

#[test]
fn a_right_that_is_lost_between_two_steps_ends_the_job() {
    on_every_store(async |test: TestApp| {
        let (ada, catalog) = world(&test).await;
        let (tell, mut told) = mpsc::unbounded_channel::<tokio::sync::oneshot::Sender<()>>();
        handle(&test, "test.steps", move |job| {
            let tell = tell.clone();
            async move {
                let step = || job.write(move |tx| authorize(tx, Action::Edit, catalog).map(Change::Nothing));
                step().await?;
                let (go, went) = tokio::sync::oneshot::channel();
                tell.send(go).unwrap();
                went.await.unwrap();
                step().await?;
                Ok(json!("both"))
            }
        });
        let worker = Worker::start(&test.app);
        let steps = NewJob { run_as_id: ada, ..new("test.steps") };
        let id = queue(&test, steps.clone()).await.unwrap();
        told.recv().await.unwrap().send(()).unwrap();
        assert_eq!(ended(&test, id).await.result, Some(json!("both")), "with the right it works");
        let id = queue(&test, steps).await.unwrap();
        let go = told.recv().await.unwrap();
        leave(&test).await;
        go.send(()).unwrap();
        let job = ended(&test, id).await;
        assert_eq!((outcome(&job).as_str(), job.attempts), ("failed PERMISSION_DENIED", 1));
        assert!(job.failure.unwrap().message.contains("ada may not change the catalog"));
        worker.stop().await;
    });
}

#[test]
fn a_job_whose_principal_lost_the_right_it_needs_is_not_begun() {
    on_every_store(async |test: TestApp| {
        let (ada, catalog) = world(&test).await;
        handle(&test, "test.never", async |_| Ok(json!("begun")));
        let about = NewJob { run_as_id: ada, asset: Some((catalog, Action::Edit)), ..new("test.never") };
        let (with, without) = (queue(&test, about.clone()).await.unwrap(), about);
        let worker = Worker::start(&test.app);
        assert_eq!(outcome(&ended(&test, with).await), "succeeded");
        leave(&test).await;
        let job = ended(&test, queue(&test, without.clone()).await.unwrap()).await;
        assert_eq!((outcome(&job).as_str(), job.attempts), ("failed PERMISSION_DENIED", 0));
        let gone = crate::support::request("DELETE", "/api/2.1/unity-catalog/catalogs/prod", None);
        ok(&test.send(gone).await);
        let job = ended(&test, queue(&test, without).await.unwrap()).await;
        assert_eq!((outcome(&job).as_str(), job.attempts), ("failed RESOURCE_DOES_NOT_EXIST", 0));
        assert!(job.failure.unwrap().message.contains("'prod', which this job is about, was deleted"));
        worker.stop().await;
    });
}

/// Also one that never asks.
#[test]
fn a_job_that_runs_ends_with_the_right_that_it_needs() {
    on_every_store(async |test: TestApp| {
        let (ada, catalog) = world(&test).await;
        handle(&test, "test.never_asks", async |_| std::future::pending().await);
        let worker = Worker::start(&test.app);
        let about = NewJob { run_as_id: ada, asset: Some((catalog, Action::Edit)), ..new("test.never_asks") };
        let id = queue(&test, about).await.unwrap();
        super::until(&test, id, |job| job.state.name() == "running").await;
        leave(&test).await;
        let job = ended(&test, id).await;
        assert_eq!((outcome(&job).as_str(), job.attempts), ("failed PERMISSION_DENIED", 1));
        worker.stop().await;
    });
}

#[test]
fn a_job_whose_principal_was_removed_is_not_begun() {
    static REMOVE: Stmt = Stmt::new("DELETE FROM principal WHERE name = 'ada'");
    on_every_store(async |test: TestApp| {
        let ada = user(&test, "ada").await;
        handle(&test, "test.never", async |_| Ok(json!("begun")));
        let id = queue(&test, NewJob { run_as_id: ada, ..new("test.never") }).await.unwrap();
        test.app.db.derive(|tx| tx.execute(&REMOVE, &[])).await.unwrap();
        let worker = Worker::start(&test.app);
        let job = ended(&test, id).await;
        assert_eq!(outcome(&job), "failed PERMISSION_DENIED");
        assert!(job.failure.unwrap().message.contains("does not exist any more"));
        worker.stop().await;
    });
}

/// A command belongs to who runs it; being in a group of its owner is enough, reading or creating is not.
#[test]
fn a_command_in_the_open_default_schema_is_not_everybodys_to_run() {
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let (root, ada, eve) = (
            token_of(&test, "root", true).await,
            token_of(&test, "ada", false).await,
            token_of(&test, "eve", false).await,
        );
        let body =
            json!({ "name": "main.default.c", "owner": "ada", "definition": { "argv": ["/bin/true"] } });
        ok(&call(&test, &root, "POST", "/api/1.0/commands", Some(body.clone())).await);
        for (token, status) in [(&ada, 200), (&eve, 403), (&root, 200)] {
            let run =
                call(&test, token, "POST", "/api/1.0/commands/main.default.c/run", Some(json!({}))).await;
            assert_eq!(run.status, status, "{run:?}");
        }
        let read = call(&test, &eve, "GET", "/api/1.0/commands/main.default.c", None).await;
        assert_eq!(read.status, 200, "the default schema may be read");
        assert_eq!(call(&test, &ada, "POST", "/api/1.0/commands", Some(body)).await.status, 403);
        let as_eve = json!({ "run_as": "eve" });
        let run =
            call(&test, &ada, "POST", "/api/1.0/commands/main.default.c/run", Some(as_eve.clone())).await;
        assert_eq!(run.status, 403, "{run:?}");
        // Not even an administrator lends a right that the other does not have.
        let run = call(&test, &root, "POST", "/api/1.0/commands/main.default.c/run", Some(as_eve)).await;
        assert_eq!(run.status, 403, "{run:?}");
        assert!(run.json["message"].as_str().unwrap().contains("eve may not run the command"), "{run:?}");
        let run = json!({ "run_as": "ada" });
        let run = call(&test, &root, "POST", "/api/1.0/commands/main.default.c/run", Some(run)).await;
        assert_eq!((&ok(&run)["run_as"], &run.json["queued_by"]), (&json!("ada"), &json!("root")));
    });
}

#[test]
fn a_version_is_pinned_and_the_same_definition_is_no_new_one() {
    on_every_store(async |test: TestApp| {
        let declare = async |argv: &str| {
            let body = json!({ "name": "main.default.c", "definition": { "argv": ["/bin/echo", argv] } });
            ok(&test.post("/api/1.0/commands", body).await)["version"].clone()
        };
        assert_eq!(
            [declare("a").await, declare("a").await, declare("b").await, declare("b").await],
            [1, 1, 2, 2]
        );
        let run = async |body| ok(&test.post("/api/1.0/commands/MAIN.default.C/run", body).await).clone();
        let (newest, first) = (run(json!({})).await, run(json!({ "version": 1 })).await);
        assert_eq!((&newest["payload"]["version"], &first["payload"]["version"]), (&json!(2), &json!(1)));
        let again = json!({ "idempotency_key": "k" });
        assert_eq!(run(again.clone()).await["job_id"], run(again).await["job_id"]);
        declare("c").await;
        let lease = json!({ "runner": "r" });
        let leased = test.post("/api/1.0/runner/lease", lease).await;
        assert_eq!(ok(&leased)["job"]["argv"], json!(["/bin/echo", "b"]));
        assert!(leased.json["job"]["token"].is_null(), "nobody is asked for one here");
        let by = test.get("/api/1.0/audit-log?action=command.declare").await;
        assert_eq!(ok(&by)["events"].as_array().unwrap().len(), 3);
    });
}
