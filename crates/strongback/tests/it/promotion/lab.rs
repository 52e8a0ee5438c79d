//! A server with a model of `prod.risk`, rows to judge it on, and real ONNX files to be judged.

use std::{fmt::Write as _, path::PathBuf, process::Output, time::Duration};

use serde_json::{Value, json};
use testkit::{
    http::{Client, Response},
    postgres,
    process::Launch,
    random::Random,
    server::{Server, strongback_binary},
};

use super::onnx::logistic;

pub const MODEL: &str = "prod.risk.fraud";
pub const TABLE: &str = "prod.risk.evaluation";
const M: &str = "/api/2.0/mlflow";

/// Weights that find the truth in the rows, nearly.
pub const GOOD: ([f32; 2], f32) = ([3.0, -2.0], 0.0);
/// Weights that see half of it.
pub const WEAK: ([f32; 2], f32) = ([1.0, 0.0], 0.0);
/// Weights that are the wrong way round.
pub const BAD: ([f32; 2], f32) = ([-3.0, 2.0], 0.0);

pub struct Lab {
    pub server: Server,
    client: Client,
    experiment: String,
}

/// ONNX Runtime's library: the one that is named, else that of the Python environment of the tests.
pub fn library() -> String {
    if let Ok(path) = std::env::var("STRONGBACK_ONNXRUNTIME_LIBRARY") {
        return path;
    }
    let cache = std::env::var_os("STRONGBACK_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/strongback"),
        PathBuf::from,
    );
    let lib = cache.join("venv/lib");
    let pythons = std::fs::read_dir(&lib).unwrap_or_else(|_| {
        panic!(
            "no ONNX Runtime: run tools/venv.sh, or set STRONGBACK_ONNXRUNTIME_LIBRARY to libonnxruntime.so"
        )
    });
    for python in pythons {
        let capi = python.unwrap().path().join("site-packages/onnxruntime/capi");
        for file in std::fs::read_dir(&capi).into_iter().flatten() {
            let file = file.unwrap();
            if file.file_name().to_string_lossy().starts_with("libonnxruntime.so") {
                return file.path().display().to_string();
            }
        }
    }
    panic!("no ONNX Runtime in {}: run tools/venv.sh", lib.display());
}

/// A client with the patience of a machine that has much else to do.
fn client(server: &Server) -> Client {
    server.client().with_timeout(Duration::from_mins(3))
}

/// Runs a test on every store there is.
pub fn on_every_store(test: impl Fn(Lab)) {
    on_every_store_with(&[], test);
}

/// The same on a server that is told this too.
pub fn on_every_store_with(settings: &[&str], test: impl Fn(Lab)) {
    test(Lab::new(None, settings));
    if let Some(server) = postgres::server_url() {
        let database = postgres::fresh_database(&server).unwrap();
        test(Lab::new(Some(database.url()), settings));
    }
}

/// The same on a server that asks for tokens and is told this too: of an administrator, and of two people.
pub fn on_every_store_with_people(settings: &[&str], test: impl Fn(Lab, People)) {
    let run = |database_url: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let binary = strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap();
        let mut first = std::process::Command::new(binary);
        first.args(["token", "create", "--principal", "root", "--admin", "--data-dir"]).arg(&data);
        first.args(database_url.iter().flat_map(|url| ["--database-url", url]));
        let made = first.output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let root = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let mut launch = Lab::launch(database_url);
        launch.arguments.extend(["--auth", "tokens"].iter().chain(settings).map(ToString::to_string));
        let server = Server::start_on(launch, &data).unwrap();
        let mut lab = Lab::on(server, Some(root.clone()));
        let [ada, carol] = ["ada", "carol"].map(|name| {
            lab.post("/api/1.0/principals", &json!({ "name": name }));
            let made = lab.post("/api/1.0/tokens", &json!({ "principal": name }));
            made["token_value"].as_str().unwrap().to_owned()
        });
        test(lab, People { root, ada, carol });
    };
    run(None);
    if let Some(server) = postgres::server_url() {
        let database = postgres::fresh_database(&server).unwrap();
        run(Some(database.url()));
    }
}

/// Tokens.
pub struct People {
    pub root: String,
    pub ada: String,
    pub carol: String,
}

impl Lab {
    pub fn new(database_url: Option<&str>, settings: &[&str]) -> Self {
        let mut launch = Self::launch(database_url);
        launch.arguments.extend(settings.iter().map(ToString::to_string));
        Self::on(Server::start(launch).unwrap(), None)
    }

    fn launch(database_url: Option<&str>) -> Launch {
        let binary = strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap();
        let mut launch = Launch::strongback(binary, database_url);
        // For tests of a full disk; it means nothing without a limit.
        launch.survives_file_limit = true;
        launch.environment.push(("STRONGBACK_ONNXRUNTIME_LIBRARY".into(), library()));
        launch
    }

    /// A running server, which gets models and tables from whom this token is of.
    fn on(server: Server, token: Option<String>) -> Self {
        let client = client(&server);
        let mut lab = Self { server, client, experiment: String::new() };
        if let Some(token) = token {
            lab.acts_as(&token);
        }
        lab.post("/api/2.1/unity-catalog/catalogs", &json!({ "name": "prod" }));
        lab.post("/api/2.1/unity-catalog/schemas", &json!({ "name": "risk", "catalog_name": "prod" }));
        lab.post(&format!("{M}/registered-models/create"), &json!({ "name": MODEL }));
        let made = lab.post(&format!("{M}/experiments/create"), &json!({ "name": "training" }));
        made["experiment_id"].as_str().unwrap().clone_into(&mut lab.experiment);
        lab.import(TABLE, &rows(1, 1_200));
        lab.import("prod.risk.training", &rows(2, 1_500));
        lab
    }

    /// From now on whoever this token is of asks.
    pub fn acts_as(&mut self, token: &str) {
        self.client = client(&self.server).with_bearer(token);
    }

    /// As after a restart: a new connection.
    pub fn reconnect(&mut self) {
        self.client = client(&self.server);
    }

    pub fn try_post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.client.post(path, body).unwrap();
        (answer.status, answer.json())
    }

    /// The whole answer, with its headers.
    pub fn answer(&mut self, path: &str, body: &Value) -> Response {
        self.client.post(path, body).unwrap()
    }

    pub fn post(&mut self, path: &str, body: &Value) -> Value {
        let (status, json) = self.try_post(path, body);
        assert_eq!(status, 200, "{path}: {json}");
        json
    }

    pub fn get(&mut self, path: &str) -> Value {
        let answer = self.client.get(path).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    pub fn try_send(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.client.send_json(method, path, body).unwrap();
        (answer.status, answer.json())
    }

    /// What a statement answers, a line a row.
    pub fn sql(&mut self, statement: &str) -> Vec<Value> {
        let answer = self.client.post("/api/1.0/sql", &json!({ "statement": statement })).unwrap();
        assert_eq!(answer.status, 200, "{statement}: {}", answer.text());
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn put(&mut self, path: &str, bytes: &[u8]) {
        let answer = self.client.put(path, bytes).unwrap();
        assert!(answer.is_success(), "{path}: {}", answer.text());
    }

    pub fn answer_put(&mut self, path: &str, bytes: &[u8]) -> Response {
        self.client.put(path, bytes).unwrap()
    }

    pub fn answer_get(&mut self, path: &str) -> Response {
        self.client.get(path).unwrap()
    }

    pub fn import(&mut self, name: &str, csv: &str) {
        self.put(&format!("/api/1.0/tables/{name}/batches/one?format=csv&create=true"), csv.as_bytes());
    }

    /// Registers a version whose run learned from `prod.risk.training@1`, and answers its number.
    pub fn version(&mut self, (weights, bias): ([f32; 2], f32)) -> i64 {
        self.version_with(&logistic(&weights, bias), &["x1:double", "x2:double"])
    }

    /// The same of any file and inputs, written `name:type`, or `name:type?` where they are optional.
    pub fn version_with(&mut self, onnx: &[u8], inputs: &[&str]) -> i64 {
        self.version_on("prod.risk.training@1", onnx, inputs)
    }

    /// The same of a run that learned from this table or training set.
    pub fn version_on(&mut self, training: &str, onnx: &[u8], inputs: &[&str]) -> i64 {
        let made = self.post(&format!("{M}/runs/create"), &json!({ "experiment_id": self.experiment }));
        let run = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        let tag = json!({ "run_id": run, "key": "strongback.training_set", "value": training });
        self.post(&format!("{M}/runs/set-tag"), &tag);
        let columns: Vec<Value> = inputs
            .iter()
            .map(|input| {
                let (name, kind) = input.split_once(':').unwrap();
                let required = !kind.ends_with('?');
                json!({ "name": name, "type": kind.trim_end_matches('?'), "required": required })
            })
            .collect();
        let mlmodel = format!(
            "flavors:\n  onnx:\n    data: model.onnx\nsignature:\n  inputs: '{}'\n",
            Value::from(columns)
        );
        let root = format!("{M}-artifacts/artifacts/{}/{run}/artifacts/model", self.experiment);
        self.put(&format!("{root}/MLmodel"), mlmodel.as_bytes());
        self.put(&format!("{root}/model.onnx"), onnx);
        let body = json!({ "name": MODEL, "source": format!("runs:/{run}/model"), "run_id": run });
        let made = self.post(&format!("{M}/model-versions/create"), &body);
        made["model_version"]["version"].as_str().unwrap().parse().unwrap()
    }

    /// Sets an alias as mlflow does.
    pub fn alias(&mut self, alias: &str, version: i64) -> (u16, Value) {
        let body = json!({ "name": MODEL, "alias": alias, "version": version.to_string() });
        self.try_post(&format!("{M}/registered-models/alias"), &body)
    }

    /// Where the alias points.
    pub fn points_to(&mut self, alias: &str) -> Option<i64> {
        let found =
            self.client.get(&format!("{M}/registered-models/alias?name={MODEL}&alias={alias}")).unwrap();
        found
            .is_success()
            .then(|| found.json()["model_version"]["version"].as_str().unwrap().parse().unwrap())
    }

    /// Queues a gate run and answers its job.
    pub fn queue(&mut self, candidate: i64, gates: &str, moves: bool) -> String {
        self.queue_of(MODEL, candidate, gates, moves)
    }

    /// The same of any model.
    pub fn queue_of(&mut self, model: &str, candidate: i64, gates: &str, moves: bool) -> String {
        let body =
            json!({ "model": model, "candidate": candidate.to_string(), "config": gates, "move": moves });
        self.post("/api/1.0/gate-runs", &body)["job_id"].as_str().unwrap().to_owned()
    }

    /// What is said of gates that cannot be judged: when they are handed in, or by the check of this name.
    pub fn refusal(&mut self, candidate: i64, gates: &str, name: &str) -> String {
        let body = json!({ "model": MODEL, "candidate": candidate.to_string(), "config": gates });
        let (status, answer) = self.try_post("/api/1.0/gate-runs", &body);
        if status == 400 {
            return answer["message"].as_str().unwrap().to_owned();
        }
        let job = answer["job_id"].as_str().unwrap();
        assert_eq!(self.ended(job)["state"], "succeeded");
        let view = self.get(&format!("/api/1.0/gate-reports/{job}"));
        assert_eq!(view["verdict"], "could_not_judge", "{view:#}");
        let found = check(&view, name);
        assert_eq!(found["outcome"], "could_not_judge", "{view:#}");
        found["sentence"].as_str().unwrap().to_owned()
    }

    /// Why gates are refused before anything is queued: status and message.
    pub fn refused(&mut self, candidate: i64, gates: &str) -> (u16, String) {
        let body = json!({ "model": MODEL, "candidate": candidate.to_string(), "config": gates });
        let (status, json) = self.try_post("/api/1.0/gate-runs", &body);
        (status, json["message"].as_str().unwrap_or_default().to_owned())
    }

    /// The job once it has ended.
    pub fn ended(&mut self, job: &str) -> Value {
        for _ in 0..30 {
            let found = self.get(&format!("/api/1.0/jobs/{job}?wait_seconds=10"));
            if found["ended_at"].is_i64() {
                return found;
            }
        }
        panic!("the job does not end: {}", self.server.log());
    }

    /// Judges a candidate and answers the report as the interface gives it.
    pub fn judge(&mut self, candidate: i64, gates: &str) -> Value {
        let job = self.queue(candidate, gates, false);
        let ended = self.ended(&job);
        assert_eq!(ended["state"], "succeeded", "{ended}");
        self.get(&format!("/api/1.0/gate-reports/{job}"))
    }

    /// The command line against this server.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let binary = strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap();
        let mut command = std::process::Command::new(binary);
        command.args(arguments).env("STRONGBACK_URL", self.server.url()).current_dir(self.server.folder());
        command.output().unwrap()
    }

    /// Makes an endpoint of `prod.risk` for a model and answers once it is ready.
    pub fn endpoint(&mut self, name: &str, model: &str) {
        self.post("/api/1.0/endpoints", &json!({ "name": name, "model": model }));
        self.endpoint_is_ready(name);
    }

    pub fn endpoint_is_ready(&mut self, name: &str) {
        for _ in 0..600 {
            if self.get(&format!("/api/1.0/endpoints/{name}"))["state"] == "READY" {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the endpoint does not become ready: {}", self.server.log());
    }

    /// Asks an endpoint for rows of `x1` and `x2`, and brings what it recorded into its table.
    pub fn ask(&mut self, endpoint: &str, rows: &[[f64; 2]]) {
        let body = json!({ "dataframe_split": { "columns": ["x1", "x2"], "data": rows } });
        self.post(&format!("/endpoints/{endpoint}/invocations"), &body);
        self.post(&format!("/api/1.0/endpoints/{endpoint}/flush"), &json!({}));
    }

    pub fn govern(&mut self, aliases: &[&str]) {
        self.post("/api/1.0/model/govern", &json!({ "name": MODEL, "aliases": aliases }));
    }
}

/// Gates over the evaluation rows, with more sections.
pub fn gates(more: &str) -> String {
    format!("version: 1\nevaluation:\n  table: {TABLE}\n  label: fraud\n  timestamp: at\n{more}")
}

/// Rows of two numbers, an outcome that they mostly tell, a country and a time.
pub fn rows(seed: u64, count: u64) -> String {
    let mut random = Random::new(seed);
    let mut csv = String::from("at,x1,x2,country,fraud\n");
    for n in 0..count {
        let (x1, x2) = (random.unit() * 2.0 - 1.0, random.unit() * 2.0 - 1.0);
        let noise = random.unit() * 2.0 - 1.0;
        let fraud = u8::from(3.0 * x1 - 2.0 * x2 + noise > 0.0);
        let country = ["de", "fr", "it"][random.below(3) as usize];
        let (hour, minute) = (n / 60 % 24, n % 60);
        writeln!(csv, "2026-11-24T{hour:02}:{minute:02}:00Z,{x1:.6},{x2:.6},{country},{fraud}").unwrap();
    }
    csv
}

/// The check of a name.
pub fn check<'r>(view: &'r Value, name: &str) -> &'r Value {
    let checks = view["report"]["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {checks:#?}"))
}
