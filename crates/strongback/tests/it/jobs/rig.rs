//! A server that asks for tokens, with people, a schema and commands; and runners beside it, each a process of its own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{
    postgres,
    process::{Launch, Process},
    server::{Server, strongback_binary},
};

/// Longer than anything here takes, also on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

pub fn binary() -> PathBuf {
    strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap()
}

/// A running server with the administrator `root`, the user `ada` who owns `prod.risk`, and the runner `box`.
pub struct Rig {
    pub server: Server,
    pub root: String,
    pub ada: String,
    pub box_: String,
    /// For files of the test.
    pub folder: tempfile::TempDir,
}

/// Runs a test on every store there is.
pub fn on_every_store(test: impl Fn(Rig)) {
    test(Rig::new(None));
    if let Some(server) = postgres::server_url() {
        let database = postgres::fresh_database(&server).unwrap();
        test(Rig::new(Some(database.url())));
    }
}

impl Rig {
    pub fn new(database_url: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut first = Command::new(binary());
        first.args(["token", "create", "--principal", "root", "--admin", "--data-dir"]).arg(&data);
        if let Some(url) = database_url {
            first.args(["--database-url", url]);
        }
        let made = first.output().unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        let root = text(&made.stdout).trim().to_owned();
        let mut launch = Launch::strongback(binary(), database_url);
        launch.arguments.extend(["--auth", "tokens"].map(String::from));
        let server = Server::start_on(launch, &data).unwrap();
        let mut rig = Self { server, root, ada: String::new(), box_: String::new(), folder };
        rig.ada = rig.principal("ada", "user");
        rig.box_ = rig.principal("box", "service_principal");
        rig.post("/api/1.0/groups/runners/members", &json!({ "member": "box" }));
        rig.post("/api/2.1/unity-catalog/catalogs", &json!({ "name": "prod" }));
        rig.post("/api/2.1/unity-catalog/schemas", &json!({ "name": "risk", "catalog_name": "prod" }));
        let owned = json!({ "name": "prod.risk", "owner": "ada" });
        let answer = rig.server.client().with_bearer(&rig.root).patch("/api/1.0/owner", &owned).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        rig
    }

    fn principal(&self, name: &str, kind: &str) -> String {
        self.post("/api/1.0/principals", &json!({ "name": name, "kind": kind }));
        let made = self.post("/api/1.0/tokens", &json!({ "principal": name }));
        made["token_value"].as_str().unwrap().to_owned()
    }

    /// What the administrator is answered.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.post_as(&self.root, path, body)
    }

    pub fn post_as(&self, token: &str, path: &str, body: &Value) -> Value {
        let answer = self.server.client().with_bearer(token).post(path, body).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    pub fn get(&self, path: &str) -> Value {
        let answer = self.server.client().with_bearer(&self.root).get(path).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Declares a command `prod.risk.<leaf>` of a shell script, which finds the folder of the test in `$DIR`, and answers
    /// its name.
    pub fn script(&self, leaf: &str, script: &str, more: &Value) -> String {
        let path = self.folder.path().join(format!("{leaf}.sh"));
        std::fs::write(&path, script).unwrap();
        let mut definition = json!({
            "argv": ["/bin/sh", path], "env": { "DIR": self.folder.path(), "SB": binary() },
        });
        definition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let name = format!("prod.risk.{leaf}");
        self.post("/api/1.0/commands", &json!({ "name": name, "definition": definition }));
        name
    }

    /// Queues a run of a command as `ada` and answers the job's id.
    pub fn run(&self, command: &str) -> String {
        let queued = self.post_as(&self.ada, &format!("/api/1.0/commands/{command}/run"), &json!({}));
        queued["job_id"].as_str().unwrap().to_owned()
    }

    pub fn job(&self, id: &str) -> Value {
        self.get(&format!("/api/1.0/jobs/{id}"))
    }

    /// The job once it has ended.
    pub fn ended(&self, id: &str) -> Value {
        let begun = Instant::now();
        loop {
            let job = self.get(&format!("/api/1.0/jobs/{id}?wait_seconds=5"));
            if job["ended_at"].is_i64() {
                return job;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end: {job}");
        }
    }

    /// The whole log of the newest attempt.
    pub fn log(&self, id: &str) -> String {
        let (mut log, mut after) = (String::new(), 0);
        loop {
            let part = self.get(&format!("/api/1.0/jobs/{id}/log?after={after}"));
            log.push_str(part["text"].as_str().unwrap());
            if part["text"] == "" {
                return log;
            }
            after = part["next"].as_i64().unwrap();
        }
    }

    /// Waits until the server has this line of a job's log.
    pub fn logged(&self, id: &str, line: &str) {
        wait_until(&format!("the log has {line:?}"), || self.log(id).lines().any(|logged| logged == line));
    }

    /// A runner in a work directory of this name, whose leases last a minute unless it is told otherwise.
    pub fn runner(&self, name: &str, more: &[&str]) -> Process {
        let work = self.folder.path().join(name);
        let url = self.server.url();
        let mut arguments = vec!["runner", "--server", &url, "--work-dir", work.to_str().unwrap()];
        if !more.contains(&"--lease") {
            arguments.extend(["--lease", "60"]);
        }
        arguments.extend(more);
        let mut launch = Launch::new(binary(), &arguments);
        launch.environment = vec![
            ("STRONGBACK_TOKEN".into(), self.box_.clone()),
            ("SECRET_OF_THE_RUNNER".into(), "do not tell".into()),
        ];
        launch.start(self.folder.path(), 1, &self.folder.path().join(format!("{name}.log"))).unwrap()
    }

    /// A command of the command line, with a token.
    pub fn command(&self, token: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(arguments).env("STRONGBACK_URL", self.server.url()).env("STRONGBACK_TOKEN", token);
        command.current_dir(self.folder.path()).output().unwrap()
    }

    /// Waits until a file of the test is there with a whole line, and answers it.
    pub fn file(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        wait_until(&format!("{name} is written"), || read().ends_with('\n'));
        read()
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `state` or `state CODE`.
pub fn outcome(job: &Value) -> String {
    let code = if job["state"] == "failed" { job["error"]["code"].as_str().unwrap() } else { "" };
    format!("{} {code}", job["state"].as_str().unwrap()).trim_end().to_owned()
}

pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it does not come to this: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process runs; one that has ended and is not reaped yet does not.
pub fn runs(id: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(id.trim()).join("stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// The exit code of a process that ends by itself.
pub fn exit_code(process: &mut Process) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = process.exited().unwrap() {
            return status.code();
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end: {}", process.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until none of these processes runs.
pub fn assert_gone(ids: &str) {
    assert!(!ids.trim().is_empty(), "no process was named");
    wait_until(&format!("{ids:?} are gone"), || ids.lines().all(|id| !runs(id)));
}
