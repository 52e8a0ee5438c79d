//! Nothing of a command is left when it is over, whatever ended it: a limit, somebody, its runner's stop, its runner's death.

use serde_json::{Value, json};

use super::rig::{Rig, assert_gone, exit_code, on_every_store, outcome, runs, wait_until};

/// Starts processes that do not want to end, one of them in a session of its own, and names them all in `$DIR/ids`.
const STUBBORN: &str = "
    trap '' TERM
    (trap '' TERM; while :; do sleep 1; done) &
    echo $! >> \"$DIR/ids.part\"
    setsid sh -c 'trap \"\" TERM; echo $$ >> \"$DIR/ids.part\"; while :; do sleep 1; done' &
    while [ $(wc -l < \"$DIR/ids.part\") -lt 2 ]; do sleep 0.05; done
    echo $$ >> \"$DIR/ids.part\"
    mv \"$DIR/ids.part\" \"$DIR/ids\"
    while :; do sleep 1; done
";

fn stubborn(rig: &Rig, more: &Value) -> String {
    rig.script("stubborn", STUBBORN, more)
}

#[test]
fn a_limit_ends_all_of_it() {
    on_every_store(|rig| {
        let id = rig.run(&stubborn(&rig, &json!({ "wall_seconds": 3, "max_attempts": 5 })));
        let mut runner = rig.runner("one", &["--once"]);
        let ids = rig.file("ids");
        assert_eq!(ids.lines().count(), 3, "{ids}");
        let job = rig.ended(&id);
        assert_eq!((outcome(&job).as_str(), &job["attempts"]), ("failed BUDGET_EXCEEDED", &json!(1)));
        assert_gone(&ids);
        assert_eq!(exit_code(&mut runner), Some(1), "{}", runner.log());
    });
}

#[test]
fn memory_and_processor_time_are_limits_too() {
    let rig = Rig::new(None);
    let eats = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); sleep 60";
    let spins = "while :; do :; done";
    for (leaf, script, limit, part) in [
        ("eats", eats, json!({ "memory_mb": 60 }), "in memory; it may have 60"),
        ("spins", spins, json!({ "processor_seconds": 1 }), "processor time"),
    ] {
        let id = rig.run(&rig.script(leaf, script, &limit));
        let mut runner = rig.runner(leaf, &["--once"]);
        let job = rig.ended(&id);
        assert_eq!(outcome(&job), "failed BUDGET_EXCEEDED", "{job}");
        assert!(job["error"]["message"].as_str().unwrap().contains(part), "{job}");
        assert_eq!(exit_code(&mut runner), Some(1));
    }
}

#[test]
fn a_cancelled_job_ends_on_its_machine() {
    on_every_store(|rig| {
        let id = rig.run(&stubborn(&rig, &json!({})));
        let mut runner = rig.runner("one", &["--once"]);
        let ids = rig.file("ids");
        let asked = rig.post_as(&rig.ada, &format!("/api/1.0/jobs/{id}/cancel"), &json!({}));
        assert_eq!((&asked["state"], &asked["cancelled_by"]), (&json!("running"), &json!("ada")));
        assert_eq!(outcome(&rig.ended(&id)), "cancelled");
        assert_gone(&ids);
        assert_eq!(exit_code(&mut runner), Some(1));
    });
}

/// Of a command that goes on for ever at its first attempt, and ends well at its second.
const SECOND_TIME: &str = "
    echo \"attempt $STRONGBACK_ATTEMPT\"
    [ \"$STRONGBACK_ATTEMPT\" = 2 ] && exit 0
    setsid sh -c 'echo $$ >> \"$DIR/ids.part\"; sleep 1000' &
    while [ ! -s \"$DIR/ids.part\" ]; do sleep 0.05; done
    echo $$ >> \"$DIR/ids.part\"
    mv \"$DIR/ids.part\" \"$DIR/ids\"
    wait
";

#[test]
fn a_runner_that_is_killed_leaves_nothing_and_another_takes_its_job() {
    on_every_store(|rig| {
        let id = rig.run(&rig.script("second", SECOND_TIME, &json!({ "max_attempts": 2 })));
        let mut runner = rig.runner("one", &["--lease", "8"]);
        let ids = rig.file("ids");
        assert!(ids.lines().all(runs), "{ids}");
        rig.logged(&id, "attempt 1");
        runner.kill9().unwrap();
        assert_gone(&ids);
        let mut other = rig.runner("two", &["--once"]);
        let job = rig.ended(&id);
        assert_eq!((outcome(&job).as_str(), &job["attempts"]), ("succeeded", &json!(2)), "{job}");
        assert_eq!(rig.log(&id), "attempt 2\n");
        let before = rig.get(&format!("/api/1.0/jobs/{id}/log?attempt=1"));
        assert_eq!(before["text"], "attempt 1\n");
        assert_eq!(exit_code(&mut other), Some(0));
        let log = rig.get(&format!("/api/1.0/audit-log?subject={id}"));
        let actions: Vec<&str> = log["events"]
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .map(|event| event["action"].as_str().unwrap())
            .collect();
        assert_eq!(actions, ["job.queue", "job.start", "job.retry", "job.start", "job.end"]);
    });
}

#[test]
fn a_job_of_one_attempt_fails_with_its_runner() {
    let rig = Rig::new(None);
    let id = rig.run(&rig.script("second", SECOND_TIME, &json!({})));
    let mut runner = rig.runner("one", &["--lease", "8"]);
    let ids = rig.file("ids");
    runner.kill9().unwrap();
    assert_gone(&ids);
    let job = rig.ended(&id);
    assert_eq!(outcome(&job), "failed LEASE_LOST", "{job}");
}

/// It says that it begins anew, and its job need not wait for the lease to run out.
#[test]
fn a_runner_that_begins_again_takes_its_own_job_back() {
    let rig = Rig::new(None);
    let id = rig.run(&rig.script("second", SECOND_TIME, &json!({ "max_attempts": 2 })));
    let mut runner = rig.runner("one", &["--lease", "600"]);
    let ids = rig.file("ids");
    runner.kill9().unwrap();
    assert_gone(&ids);
    let mut again = rig.runner("one", &["--once"]);
    let job = rig.ended(&id);
    assert_eq!((outcome(&job).as_str(), &job["attempts"]), ("succeeded", &json!(2)), "{job}");
    assert_eq!(exit_code(&mut again), Some(0));
}

#[test]
fn a_runner_that_stops_puts_its_job_back() {
    on_every_store(|rig| {
        let id = rig.run(&stubborn(&rig, &json!({})));
        let mut runner = rig.runner("one", &[]);
        let ids = rig.file("ids");
        assert!(runner.terminate(super::rig::PATIENCE).unwrap().success(), "{}", runner.log());
        assert_gone(&ids);
        let job = rig.job(&id);
        assert_eq!((&job["state"], &job["attempts"]), (&json!("queued"), &json!(0)), "{job}");
    });
}

/// What the stopped attempt wrote is not in the way of what the next one of its number writes.
#[test]
fn a_job_that_was_put_back_has_the_log_of_the_attempt_that_counts() {
    on_every_store(|rig| {
        let script = "
            if [ -e \"$DIR/begun\" ]; then echo the second time; exit; fi
            echo a line of the first time, which is longer
            echo begun > \"$DIR/begun\"
            while :; do sleep 1; done
        ";
        let id = rig.run(&rig.script("twice", script, &json!({})));
        let mut first = rig.runner("one", &[]);
        rig.logged(&id, "a line of the first time, which is longer");
        rig.file("begun");
        assert!(first.terminate(super::rig::PATIENCE).unwrap().success(), "{}", first.log());
        let mut second = rig.runner("two", &["--once"]);
        let job = rig.ended(&id);
        assert_eq!((outcome(&job).as_str(), &job["attempts"]), ("succeeded", &json!(1)), "{job}");
        assert_eq!(rig.log(&id), "the second time\n");
        assert_eq!(exit_code(&mut second), Some(0));
    });
}

/// The command goes on while the server is away, and its end is told when it is back.
#[test]
fn a_command_outlives_the_death_of_the_server() {
    on_every_store(|mut rig| {
        let script =
            "echo begun >> \"$DIR/begun\"; while [ ! -e \"$DIR/go\" ]; do sleep 0.05; done; echo over";
        let id = rig.run(&rig.script("waits", script, &json!({ "max_attempts": 3 })));
        let mut runner = rig.runner("one", &["--once", "--lease", "60"]);
        rig.file("begun");
        rig.server.kill9().unwrap();
        std::fs::write(rig.folder.path().join("go"), "").unwrap();
        wait_until("the runner misses the server", || runner.log().contains("No server answers"));
        rig.server.restart().unwrap();
        let job = rig.ended(&id);
        assert_eq!((outcome(&job).as_str(), &job["attempts"]), ("succeeded", &json!(1)), "{job}");
        assert_eq!(rig.log(&id), "over\n");
        assert_eq!(rig.file("begun"), "begun\n", "its effect stands once");
        assert_eq!(exit_code(&mut runner), Some(0));
    });
}

/// An operator may run a server that is away for longer than the lease: the command is ended by its runner's own clock.
#[test]
fn a_command_ends_with_its_lease_when_the_server_stays_away() {
    let mut rig = Rig::new(None);
    let id = rig.run(&rig.script("second", SECOND_TIME, &json!({ "max_attempts": 2 })));
    let mut runner = rig.runner("one", &["--once", "--lease", "8"]);
    let ids = rig.file("ids");
    rig.server.kill9().unwrap();
    assert_gone(&ids);
    assert_eq!(exit_code(&mut runner), Some(1), "{}", runner.log());
    rig.server.restart().unwrap();
    let mut other = rig.runner("two", &["--once"]);
    assert_eq!(outcome(&rig.ended(&id)), "succeeded");
    assert_eq!(exit_code(&mut other), Some(0));
}

/// Whoever comes late with a token of a lease that was lost changes nothing.
#[test]
fn a_stale_runner_is_refused() {
    on_every_store(|rig| {
        let id = rig.run(&rig.script("late", "echo late", &json!({ "max_attempts": 2 })));
        let lease = |name: &str| {
            let asked = json!({ "runner": name, "lease_seconds": 1, "wait_seconds": 20 });
            rig.post_as(&rig.box_, "/api/1.0/runner/lease", &asked)["job"].clone()
        };
        let (first, second) = (lease("first"), lease("second"));
        assert_eq!((&first["fencing_token"], &second["fencing_token"]), (&json!(1), &json!(2)));
        assert_ne!(first["token"], second["token"]);
        let end = |token: &str, runner: &str, fencing: &Value| {
            let body =
                json!({ "runner": runner, "fencing_token": fencing, "reason": "exited", "exit_code": 0 });
            let path = format!("/api/1.0/runner/jobs/{id}/end");
            rig.server.client().with_bearer(token).post(&path, &body).unwrap().status
        };
        let status_of = |token: &Value| {
            let bearer = token.as_str().unwrap();
            rig.server.client().with_bearer(bearer).get("/api/1.0/jobs").unwrap().status
        };
        assert_eq!((status_of(&first["token"]), status_of(&second["token"])), (401, 200));
        assert_eq!(end(&rig.box_, "first", &first["fencing_token"]), 409);
        assert_eq!(end(&rig.box_, "first", &second["fencing_token"]), 409, "the token of another's lease");
        assert_eq!(
            end(&rig.root, "second", &second["fencing_token"]),
            409,
            "the runner of another principal"
        );
        assert_eq!(rig.job(&id)["state"], "running");
        assert_eq!(end(&rig.box_, "second", &second["fencing_token"]), 200);
        assert_eq!((rig.job(&id)["state"].as_str(), status_of(&second["token"])), (Some("succeeded"), 401));
    });
}

#[test]
fn a_command_ends_when_who_it_runs_as_may_not_any_more() {
    let rig = Rig::new(None);
    let id = rig.run(&stubborn(&rig, &json!({})));
    let mut runner = rig.runner("one", &["--once"]);
    let ids = rig.file("ids");
    for name in ["prod.risk", "prod.risk.stubborn"] {
        let given = json!({ "name": name, "owner": "root" });
        assert_eq!(
            rig.server.client().with_bearer(&rig.root).patch("/api/1.0/owner", &given).unwrap().status,
            200
        );
    }
    let job = rig.ended(&id);
    assert_eq!(outcome(&job), "failed PERMISSION_DENIED", "{job}");
    assert!(job["error"]["message"].as_str().unwrap().contains("ada may not run the command"), "{job}");
    assert_gone(&ids);
    assert_eq!(exit_code(&mut runner), Some(1));
}

/// Whoever waits for a job keeps no server from stopping.
#[test]
fn a_server_stops_at_once_though_runners_wait() {
    let mut rig = Rig::new(None);
    let mut runner = rig.runner("one", &[]);
    wait_until("the runner asks", || runner.log().contains("Ctrl-C ends it"));
    let (address, token) = (rig.server.address(), rig.box_.clone());
    let waiting = std::thread::spawn(move || {
        let asked = json!({ "runner": "two", "wait_seconds": 30 });
        testkit::http::Client::new(address).with_bearer(&token).post("/api/1.0/runner/lease", &asked).unwrap()
    });
    // Until it waits: the bell is heard by two.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let begun = std::time::Instant::now();
    assert!(rig.server.terminate().unwrap().success());
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    let answer = waiting.join().unwrap();
    assert_eq!((answer.status, answer.json()), (200, json!({})));
    runner.terminate(super::rig::PATIENCE).unwrap();
}
