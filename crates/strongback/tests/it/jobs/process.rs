//! `strongback runner` as a process: what a command finds, what becomes of its end, and of it when it is too much.

use serde_json::json;

use super::rig::{exit_code, on_every_store, outcome, text};

#[test]
fn a_command_runs_as_who_queued_it_with_nothing_of_the_runners() {
    on_every_store(|rig| {
        let script = "
            echo hello; echo 'to standard error' >&2
            env | cut -d= -f1 | sort | tr '\\n' ' '; echo
            pwd; ls
            echo \"$SECRET_OF_THE_RUNNER|$DEPTH|$1|$STRONGBACK_PARAM_DEPTH\"
            echo \"my token is $STRONGBACK_TOKEN\"
            printf '%s\\n' \"$STRONGBACK_TOKEN\" > \"$DIR/token\"
            \"$SB\" schema create prod.risk_of_ada 2>&1
            \"$SB\" table declare prod.risk.made_by_the_job 2>&1
            echo '{\"auc\": 0.75}' > \"$STRONGBACK_RESULT\"
        ";
        let more = json!({ "params": { "depth": { "type": "integer", "default": 8 } } });
        let command = rig.script("hello", script, &more);
        // Declared anew with the parameter as an argument and in the environment: a second version.
        let found = rig.get(&format!("/api/1.0/commands/{command}"));
        let mut definition = found["definition"].clone();
        definition["argv"].as_array_mut().unwrap().push(json!("{depth}"));
        definition["env"]["DEPTH"] = json!("{depth}");
        rig.post("/api/1.0/commands", &json!({ "name": command, "definition": definition }));
        let id = rig.run(&command);
        let mut runner = rig.runner("one", &["--once"]);
        let job = rig.ended(&id);
        let log = rig.log(&id);
        assert_eq!(outcome(&job), "succeeded", "{job} {log}");
        assert_eq!(job["payload"], json!({ "version": 2, "params": { "depth": "8" } }));
        assert_eq!(job["result"]["output"], json!({ "auc": 0.75 }));
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines[..2], ["hello", "to standard error"]);
        assert_eq!(
            lines[2].trim_end(),
            "DATABRICKS_HOST DATABRICKS_TOKEN DEPTH DIR HOME LANG MLFLOW_TRACKING_TOKEN MLFLOW_TRACKING_URI PATH PWD SB \
             STRONGBACK_ATTEMPT STRONGBACK_JOB_ID STRONGBACK_PARAM_DEPTH STRONGBACK_RESULT STRONGBACK_TOKEN STRONGBACK_URL TMPDIR"
        );
        assert!(lines[3].ends_with(&format!("job-{id}-1")), "{log}");
        assert_eq!(lines[4..7], ["tmp", "|8|8|8", "my token is ***"], "{log}");
        // ada may not create in the catalog, and may in her schema.
        assert!(log.contains("ada may not create something in"), "{log}");
        let table = rig.get("/api/2.1/unity-catalog/tables/prod.risk.made_by_the_job");
        assert_eq!(table["owner"], "ada", "{table}");
        // Its token ended with it, and is nowhere to be found.
        let token = rig.file("token").trim().to_owned();
        assert!(token.starts_with("sbt_"), "{token}");
        let dead = rig.server.client().with_bearer(&token).get("/api/1.0/jobs").unwrap();
        assert_eq!(dead.status, 401);
        assert_eq!(exit_code(&mut runner), Some(0), "{}", runner.log());
        assert!(!rig.server.log().contains(&token) && !runner.log().contains(&token));
        assert!(!runner.log().contains(&rig.box_));
        let left: Vec<_> = std::fs::read_dir(rig.folder.path().join("one")).unwrap().flatten().collect();
        assert_eq!(left.len(), 2, "the directory of the job stays: {left:?}");
    });
}

#[test]
fn a_command_that_fails_says_how_and_the_exit_codes_do_too() {
    on_every_store(|rig| {
        let command = rig.script("fails", "echo before; exit 3", &json!({}));
        let id = rig.run(&command);
        let mut runner = rig.runner("one", &["--once"]);
        let job = rig.ended(&id);
        assert_eq!(outcome(&job), "failed COMMAND_FAILED");
        assert_eq!(job["error"]["message"], "The command ended with exit code 3.");
        assert_eq!(job["attempts"], 1);
        assert_eq!(exit_code(&mut runner), Some(1), "{}", runner.log());
        let code = |arguments: &[&str]| rig.command(&rig.ada, arguments).status.code();
        assert_eq!(code(&["job", "wait", &id]), Some(1));
        assert_eq!(code(&["job", "show", &id]), Some(0));
        assert_eq!(text(&rig.command(&rig.ada, &["job", "log", &id]).stdout), "before\n");
        assert_eq!(code(&["job", "show", "no-such-job"]), Some(3));
        // Whoever waits for it sees how its log ended.
        let mut runner = rig.runner("two", &["--once"]);
        let waited = rig.command(&rig.ada, &["command", "run", &command, "--wait"]);
        let said = text(&waited.stderr);
        assert_eq!(waited.status.code(), Some(1), "{said}");
        assert!(said.contains("The job failed. The command ended with exit code 3."), "{said}");
        assert!(said.trim_end().ends_with("\n  before"), "{said}");
        assert_eq!(text(&waited.stdout).lines().count(), 1, "the id alone is data");
        assert_eq!(exit_code(&mut runner), Some(1), "{}", runner.log());
        let waits = rig.run(&command);
        assert_eq!(code(&["job", "wait", &waits, "--timeout", "0"]), Some(4));
        assert_eq!(code(&["job", "cancel", &waits]), Some(0));
    });
}

/// What `strongback runner` says of one who may not.
#[test]
fn who_is_no_runner_is_told_how_to_become_one() {
    on_every_store(|rig| {
        let refused = rig.command(&rig.ada, &["runner", "--once", "--work-dir", "w"]);
        assert_eq!(refused.status.code(), Some(3));
        assert!(
            text(&refused.stderr).contains("strongback group add-member runners ada"),
            "{}",
            text(&refused.stderr)
        );
        let secret = rig.command(&rig.ada, &["runner", "--work-dir", "w", "--pass-env", "STRONGBACK_TOKEN"]);
        assert_eq!(secret.status.code(), Some(2));
        assert!(text(&secret.stderr).contains("may be a secret of this runner"), "{}", text(&secret.stderr));
    });
}

#[test]
fn a_runner_takes_what_it_is_for_and_no_other() {
    on_every_store(|rig| {
        let gpu = rig.script("gpu", "echo gpu", &json!({ "label": "gpu" }));
        let (other, one) =
            (rig.script("other", "echo other", &json!({})), rig.script("one", "echo one", &json!({})));
        let ids = [rig.run(&gpu), rig.run(&other), rig.run(&one)];
        let mut runner = rig.runner("box", &["--once", "--allow", "prod.risk.on?"]);
        assert_eq!(outcome(&rig.ended(&ids[2])), "succeeded");
        assert_eq!(exit_code(&mut runner), Some(0));
        assert_eq!([&rig.job(&ids[0])["state"], &rig.job(&ids[1])["state"]], ["queued", "queued"]);
        let mut runner =
            rig.runner("box", &["--once", "--label", "gpu", "--pass-env", "SECRET_OF_THE_RUNNER"]);
        assert_eq!(outcome(&rig.ended(&ids[0])), "succeeded");
        assert_eq!(exit_code(&mut runner), Some(0));
        assert_eq!(rig.job(&ids[1])["state"], "queued");
    });
}

#[test]
fn what_cannot_be_started_is_a_failed_job() {
    on_every_store(|rig| {
        let definition = json!({ "argv": ["/no/such/program"], "max_attempts": 5 });
        rig.post("/api/1.0/commands", &json!({ "name": "prod.risk.absent", "definition": definition }));
        let id = rig.run("prod.risk.absent");
        let mut runner = rig.runner("one", &["--once"]);
        let job = rig.ended(&id);
        assert_eq!((outcome(&job).as_str(), &job["attempts"]), ("failed COMMAND_NOT_STARTED", &json!(1)));
        assert!(
            job["error"]["message"].as_str().unwrap().contains("/no/such/program cannot be started"),
            "{job}"
        );
        assert_eq!(exit_code(&mut runner), Some(1));
    });
}

#[test]
fn a_long_log_is_bounded_and_keeps_its_end() {
    on_every_store(|rig| {
        let script = "i=0; while [ $i -lt 60000 ]; do echo \"line $i of what is much too long\"; i=$((i+1)); done; echo the end";
        let id = rig.run(&rig.script("talks", script, &json!({})));
        let mut runner = rig.runner("one", &["--once"]);
        assert_eq!(outcome(&rig.ended(&id)), "succeeded");
        let log = rig.log(&id);
        assert!(log.len() <= 1 << 20 && log.len() > 800_000, "{}", log.len());
        assert!(log.starts_with("line 0 of") && log.ends_with("the end\n"), "{}", &log[log.len() - 100..]);
        assert!(log.contains(" bytes are left out here]"));
        assert_eq!(exit_code(&mut runner), Some(0));
    });
}

#[test]
fn what_a_command_uses_is_counted() {
    on_every_store(|rig| {
        // A child of a child that computes, and is gone before the command ends.
        let script = "(i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done) & wait; x=$(head -c 30000000 /dev/zero | tr '\\0' x); sleep 0.5; echo ${#x}";
        let id = rig.run(&rig.script("computes", script, &json!({})));
        let mut runner = rig.runner("one", &["--once"]);
        let job = rig.ended(&id);
        assert_eq!(outcome(&job), "succeeded", "{job}");
        let cost = &job["cost"];
        assert!(cost["processor_ms"].as_i64().unwrap() >= 50, "{job}");
        assert!(cost["wall_ms"].as_i64().unwrap() >= 500, "{job}");
        assert!(job["result"]["peak_memory_bytes"].as_i64().unwrap() > 30_000_000, "{job}");
        // Three programs read them, and two of these write them; what else a shell reads is little.
        let (read, written) = (cost["bytes_read"].as_i64().unwrap(), cost["bytes_written"].as_i64().unwrap());
        assert!((90_000_000..95_000_000).contains(&read), "{job}");
        assert!((60_000_000..62_000_000).contains(&written), "{job}");
        // It computes for some tenths of a second, whatever the machine: not for longer than all of it had.
        let cores = std::thread::available_parallelism().unwrap().get() as i64;
        let (used, took) = (cost["processor_ms"].as_i64().unwrap(), cost["wall_ms"].as_i64().unwrap());
        assert!(used <= took * cores, "{job}");
        assert_eq!(exit_code(&mut runner), Some(0));
    });
}

/// By the command line alone, as a person does it.
#[test]
fn a_command_is_declared_shown_and_run_from_a_file() {
    on_every_store(|rig| {
        let said = |token: &str, arguments: &[&str]| {
            let output = rig.command(token, arguments);
            assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
            text(&output.stdout)
        };
        let file = rig.folder.path().join("greet.toml");
        let toml =
            "argv = ['/bin/echo', 'hello', '{whom}']\nmax_attempts = 2\n[params.whom]\npattern = 'w*'\n";
        std::fs::write(&file, toml).unwrap();
        let declare =
            ["command", "declare", "prod.risk.greet", "--file", "greet.toml", "--owner", "ada", "--json"];
        let made: serde_json::Value = serde_json::from_str(&said(&rig.root, &declare)).unwrap();
        assert_eq!((&made["version"], &made["owner"]), (&json!(1), &json!("ada")));
        assert_eq!(
            rig.command(&rig.ada, &declare).status.code(),
            Some(3),
            "she owns it, and is no administrator"
        );
        // What is shown can be declared again and is no new version.
        std::fs::write(&file, said(&rig.ada, &["command", "show", "prod.risk.greet"])).unwrap();
        let again: serde_json::Value = serde_json::from_str(&said(&rig.root, &declare)).unwrap();
        assert_eq!((&again["version"], &again["sha256"]), (&json!(1), &made["sha256"]));
        assert!(said(&rig.ada, &["command", "list", "prod.risk"]).contains("/bin/echo hello {whom}"));
        std::fs::write(&file, "argv = ['/bin/echo']\nshell = true\n").unwrap();
        let wrong = rig.command(&rig.root, &declare);
        assert_eq!(wrong.status.code(), Some(2));
        assert!(text(&wrong.stderr).contains("unknown field `shell`"), "{}", text(&wrong.stderr));

        let mut runner = rig.runner("one", &["--once"]);
        let run = ["command", "run", "prod.risk.greet", "--param", "whom=world", "--wait", "--json"];
        let job: serde_json::Value = serde_json::from_str(&said(&rig.ada, &run)).unwrap();
        assert_eq!(outcome(&job), "succeeded");
        let id = job["job_id"].as_str().unwrap();
        assert_eq!(said(&rig.ada, &["job", "log", id, "--follow"]), "hello world\n");
        assert!(said(&rig.ada, &["job", "list", "--asset", "prod.risk.greet"]).contains(id));
        assert!(said(&rig.ada, &["job", "show", id]).contains("succeeded"));
        assert_eq!(exit_code(&mut runner), Some(0));
        let refused = rig.command(&rig.ada, &["command", "run", "prod.risk.greet", "--param", "whom=you"]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains("it has the form 'w*'"), "{}", text(&refused.stderr));
        said(&rig.root, &["command", "delete", "prod.risk.greet"]);
        assert_eq!(rig.command(&rig.ada, &["command", "show", "prod.risk.greet"]).status.code(), Some(3));
    });
}
