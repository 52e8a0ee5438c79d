//! Things for examples to speak of, made through the interface when they are named, by the one who owns them.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};

use strongback::{
    db::Sql,
    registry::{
        evidence::{self, Evidence, Verdict},
        names::{self, Levels},
    },
};

use crate::support::{Answer, TestApp};

/// Who acts.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Name of the owner.
    pub name: &'static str,
    pub admin: Option<String>,
    /// Owns what a world holds: the user `ada`.
    pub owner: Option<String>,
    /// Owns nothing: the user `eve`.
    pub stranger: Option<String>,
}

impl Tokens {
    pub async fn new(test: &TestApp) -> Self {
        let token = |name, admin| async move { Some(crate::support::token_of(test, name, admin).await) };
        Self {
            name: "ada",
            admin: token("root", true).await,
            owner: token("ada", false).await,
            stranger: token("eve", false).await,
        }
    }

    /// One administrator who owns everything, so that nothing is refused for want of a right.
    pub async fn administrator(test: &TestApp) -> Self {
        let root = Some(crate::support::token_of(test, "root", true).await);
        Self { name: "root", admin: root.clone(), owner: root, stranger: None }
    }
}

/// A corner of a store that no other world shares.
pub struct World<'t> {
    pub test: &'t TestApp,
    tokens: Tokens,
    known: BTreeMap<String, String>,
}

impl<'t> World<'t> {
    pub fn new(test: &'t TestApp, tokens: &Tokens) -> Self {
        Self { test, tokens: tokens.clone(), known: BTreeMap::new() }
    }

    /// Puts the world's things in the place of the words that stand for them.
    pub async fn fill(&mut self, fields: &Value) -> Value {
        let mut text = fields.to_string();
        for word in words(fields) {
            let value = self.get(&word).await;
            let quoted = Value::String(value).to_string();
            text = text.replace(&format!("${word}$"), &quoted[1..quoted.len() - 1]);
        }
        serde_json::from_str(&text).unwrap()
    }

    /// What a word stands for. `fresh` is another name each time.
    pub fn get<'w>(&'w mut self, word: &'w str) -> Pin<Box<dyn Future<Output = String> + 'w>> {
        Box::pin(async move {
            if word == "fresh" {
                return format!("n{}", uuid::Uuid::new_v4().simple());
            }
            if let Some(value) = self.known.get(word) {
                return value.clone();
            }
            let value = self.make(word).await;
            self.known.insert(word.to_owned(), value.clone());
            value
        })
    }

    async fn make(&mut self, word: &str) -> String {
        match word {
            "catalog" | "s" | "schema" | "table" => self.make_named(word).await,
            "exp" | "exp_name" | "dead_exp" | "run" | "other_run" | "dead_run" | "logged" => {
                self.make_tracked(word).await
            }
            "model" | "moved" | "report" | "gov" | "gov2" | "gov2_dir" | "gov_dir" | "s_of_gov" => {
                self.make_registered(word).await
            }
            "source" | "features" | "set" => self.make_features(word).await,
            "kept" | "kept_pinned" => self.make_table(word).await,
            "watched" | "gates" | "monitor_yaml" | "monitored" | "alert" => self.make_monitored(word).await,
            "endpoint" => self.make_endpoint().await,
            "served" => self.make_served().await,
            "user" | "group" | "member" | "token" => self.make_principal(word).await,
            "owner" => self.tokens.name.to_owned(),
            "webhook" => self.make_webhook().await,
            "label" | "runner" | "command" | "job" | "leased" | "label_of_job" => self.make_job(word).await,
            _ => self.make_file(word).await,
        }
    }

    async fn make_named(&mut self, word: &str) -> String {
        const UC: &str = "/api/2.1/unity-catalog";
        match word {
            "catalog" => {
                let name = self.get("fresh").await;
                let admin = self.tokens.admin.clone();
                self.call_as(admin.clone(), "POST", &format!("{UC}/catalogs"), json!({ "name": name })).await;
                let given = json!({ "name": name, "owner": self.tokens.name });
                self.call_as(admin, "PATCH", "/api/1.0/owner", given).await;
                name
            }
            "s" => {
                let body = json!({ "name": "s", "catalog_name": "$catalog$" });
                self.call("POST", &format!("{UC}/schemas"), body).await;
                "s".into()
            }
            "schema" => format!("{}.{}", self.get("catalog").await, self.get("s").await),
            _ => {
                let body = json!({ "catalog_name": "$catalog$", "schema_name": "$s$", "name": "t" });
                self.call("POST", &format!("{UC}/tables"), body).await;
                format!("{}.t", self.get("schema").await)
            }
        }
    }

    async fn make_tracked(&mut self, word: &str) -> String {
        const M: &str = "/api/2.0/mlflow";
        let tag = json!([{ "key": "t", "value": "1" }]);
        match word {
            "exp" => {
                let name = self.get("fresh").await;
                self.known.insert("exp_name".into(), name.clone());
                let body = json!({ "name": name, "tags": tag });
                text(&self.call("POST", &format!("{M}/experiments/create"), body).await["experiment_id"])
            }
            "exp_name" => {
                self.get("exp").await;
                self.known["exp_name"].clone()
            }
            "dead_exp" => {
                let body = json!({ "name": "$fresh$" });
                let id =
                    text(&self.call("POST", &format!("{M}/experiments/create"), body).await["experiment_id"]);
                self.call("POST", &format!("{M}/experiments/delete"), json!({ "experiment_id": id })).await;
                id
            }
            "run" | "other_run" | "dead_run" => {
                let body = json!({ "experiment_id": "$exp$", "run_name": "r", "tags": tag });
                let made = self.call("POST", &format!("{M}/runs/create"), body).await;
                let id = text(&made["run"]["info"]["run_id"]);
                let point = |step: i64| json!({ "key": "m", "value": 0.5, "timestamp": 1, "step": step });
                let batch = json!({
                    "run_id": id, "metrics": [point(0), point(1)], "params": [{ "key": "p", "value": "1" }],
                });
                self.call("POST", &format!("{M}/runs/log-batch"), batch).await;
                if word == "dead_run" {
                    self.call("POST", &format!("{M}/runs/delete"), json!({ "run_id": id })).await;
                }
                id
            }
            _ => {
                let body = json!({
                    "experiment_id": "$exp$", "name": "l", "source_run_id": "$run$", "tags": tag,
                    "params": [{ "key": "p", "value": "1" }],
                });
                let made = self.call("POST", &format!("{M}/logged-models"), body).await;
                let id = text(&made["model"]["info"]["model_id"]);
                let root = format!("{}/models/{id}/artifacts", self.get("exp").await);
                self.put(&format!("/api/2.0/mlflow-artifacts/artifacts/{root}/dir/f.txt")).await;
                id
            }
        }
    }

    async fn make_registered(&mut self, word: &str) -> String {
        const M: &str = "/api/2.0/mlflow";
        let tag = json!([{ "key": "t", "value": "1" }]);
        match word {
            "model" => {
                let name = self.get("fresh").await;
                let body = json!({ "name": name, "tags": tag });
                self.call("POST", &format!("{M}/registered-models/create"), body).await;
                let body = json!({ "name": name, "source": "models:/$logged$", "tags": tag });
                self.call("POST", &format!("{M}/model-versions/create"), body).await;
                let body = json!({ "name": name, "alias": "champion", "version": "1" });
                self.call("POST", &format!("{M}/registered-models/alias"), body).await;
                name
            }
            // Its alias pointed to the first version and points to the second.
            "moved" => {
                let name = self.get("model").await;
                let body = json!({ "name": name, "source": "models:/$logged$", "tags": tag });
                self.call("POST", &format!("{M}/model-versions/create"), body).await;
                let body = json!({ "name": name, "alias": "champion", "version": "2" });
                self.call("POST", &format!("{M}/registered-models/alias"), body).await;
                name
            }
            "report" => self.make_report().await,
            "gov" => {
                let name = format!("{}.m", self.get("schema").await);
                let body = json!({ "name": name, "tags": tag });
                self.call("POST", &format!("{M}/unity-catalog/registered-models/create"), body).await;
                self.pending_version(&name, 1).await;
                let body = json!({ "name": name, "version": "1" });
                self.call("POST", &format!("{M}/unity-catalog/model-versions/finalize"), body).await;
                let body = json!({ "name": name, "alias": "champion", "version": "1" });
                self.call("POST", &format!("{M}/unity-catalog/registered-models/alias"), body).await;
                name
            }
            "gov2" => {
                let name = self.get("gov").await;
                self.pending_version(&name, 2).await;
                "2".into()
            }
            "s_of_gov" => {
                self.get("gov").await;
                "s".into()
            }
            "gov_dir" => format!("Models/{}/1", self.get("gov").await.replace('.', "/")),
            _ => {
                let name = self.get("gov").await.replace('.', "/");
                format!("Models/{name}/{}", self.get("gov2").await)
            }
        }
    }

    /// A gate report of the governed model, without the hours that its job may take.
    async fn make_report(&mut self) -> String {
        let name = self.get("gov").await;
        let id = uuid::Uuid::now_v7();
        let store = move |tx: &mut Sql<'_>| {
            let model = names::load(tx, &name, Levels::Three)?;
            evidence::record(
                tx,
                &Evidence {
                    id,
                    model_id: model.id,
                    version: 1,
                    digest: None,
                    alias: "champion".into(),
                    champion: None,
                    champion_digest: None,
                    config_digest: "00".into(),
                    verdict: Verdict::Fail,
                    run_id: id.simple().to_string(),
                    made_at: 1,
                    expires_at: 2,
                    by: tx.caller().id,
                    body: "{}".into(),
                },
            )
        };
        self.test.system().write(store).await.unwrap();
        id.to_string()
    }

    /// A version whose file is there and which is not finalized.
    async fn pending_version(&mut self, name: &str, number: i64) {
        let body = json!({
            "name": name, "source": "models:/$logged$", "tags": [{ "key": "t", "value": "1" }],
        });
        self.call("POST", "/api/2.0/mlflow/unity-catalog/model-versions/create", body).await;
        self.put(&format!("/api/2.0/fs/files/Models/{}/{number}/dir/f.txt", name.replace('.', "/"))).await;
    }

    /// A table that is kept, with two rows that were replaced and two small files since.
    async fn make_table(&mut self, word: &str) -> String {
        if word == "kept_pinned" {
            let name = self.get("kept").await;
            let path = format!("/api/1.0/tables/{name}/pins");
            self.call("POST", &path, json!({ "version": 3, "reason": "audit" })).await;
            return name;
        }
        let name = format!("{}.kept", self.get("schema").await);
        for (batch, mode, rows) in
            [("a", "append", "1\n2\n"), ("b", "overwrite", "3\n"), ("c", "append", "4\n")]
        {
            let path = format!("/api/1.0/tables/{name}/batches/{batch}?create=true&format=csv&mode={mode}");
            self.put_bytes(&path, format!("id\n{rows}")).await;
        }
        name
    }

    /// A table with rows of event time, which is its own baseline; gates over it; a monitor of it; an alert of that.
    async fn make_monitored(&mut self, word: &str) -> String {
        match word {
            "watched" => {
                let name = format!("{}.w", self.get("schema").await);
                let rows = "2024-11-24T00:00:00Z,1\n2024-11-24T00:30:00Z,2\n";
                let path = format!(
                    "/api/1.0/tables/{name}/batches/a?create=true&format=csv&types=at:timestamp,x:double"
                );
                self.put_bytes(&path, format!("at,x\n{rows}")).await;
                name
            }
            "gates" => {
                let name = self.get("watched").await;
                format!(
                    "version: 1\nevaluation: {{ table: {name}, label: x }}\n\
                     accuracy: [{{ metric: mae, margin: 0, min_rows: 2 }}]\n"
                )
            }
            "monitor_yaml" => {
                let name = self.get("watched").await;
                format!(
                    "version: 1\nwatch: {name}\nbaseline: {name}@1\nevent_time: at\nwindow: {{ length: 1h }}\n\
                     metrics: [psi, missing]\nthresholds: [{{ metric: missing, below: 1 }}]\nminimum_rows: 1\n"
                )
            }
            "monitored" => {
                self.call("POST", "/api/1.0/monitors", json!({ "yaml": "$monitor_yaml$" })).await;
                self.get("watched").await
            }
            _ => {
                let name = self.get("monitored").await;
                let queued = self.call("POST", &format!("/api/1.0/monitors/{name}/run"), json!({})).await;
                let (stop, stopped) = tokio::sync::watch::channel(false);
                let worker =
                    tokio::spawn(strongback::jobs::work(std::sync::Arc::clone(&self.test.app), stopped));
                let id = text(&queued["job_id"]).parse().unwrap();
                let patience = std::time::Duration::from_mins(2);
                let job = strongback::jobs::wait(&self.test.system(), id, patience).await.unwrap();
                stop.send(true).unwrap();
                worker.await.unwrap();
                assert_eq!(job.state.name(), "succeeded", "{job:?}");
                let found = self.call("GET", &format!("/api/1.0/alerts?monitor={name}"), json!({})).await;
                text(&found["alerts"][0]["alert_id"])
            }
        }
    }

    /// A table with times, a feature table of it, and a training set of its rows.
    async fn make_features(&mut self, word: &str) -> String {
        let name = format!("{}.{word}", self.get("schema").await);
        match word {
            "source" => {
                let path =
                    format!("/api/1.0/tables/{name}/batches/a?create=true&format=csv&types=at:timestamp");
                self.put_bytes(&path, "id,at\n1,2026-11-24T00:00:00Z\n2,2026-11-24T00:01:00Z\n".into()).await;
            }
            "features" => {
                let yaml = format!(
                    "version: 1\nname: {name}\nsource: $source$\ntimestamp: at\nrow_key: [id]\npane: 1m\nfeatures:\n\
                     - {{name: n, aggregate: count, window: 1h}}\n"
                );
                self.call("POST", "/api/1.0/feature-tables", json!({ "yaml": yaml })).await;
            }
            _ => {
                let body = json!({ "name": name, "labels": "$source$" });
                let begun = self.call("POST", "/api/1.0/training-sets", body).await;
                let path = format!("/api/1.0/jobs/{}?wait_seconds=30", text(&begun["job"]["job_id"]));
                let (stop, stopped) = tokio::sync::watch::channel(false);
                let app = std::sync::Arc::clone(&self.test.app);
                let worker = tokio::spawn(strongback::jobs::work(app, stopped));
                let done = self.call("GET", &path, json!({})).await;
                assert_eq!(done["state"], "succeeded", "{done}");
                stop.send(true).unwrap();
                worker.await.unwrap();
            }
        }
        name
    }

    /// An endpoint whose model cannot be loaded, since its version holds none.
    async fn make_endpoint(&mut self) -> String {
        let name = self.get("fresh").await;
        let body = json!({ "name": name, "model": "$gov$@champion" });
        self.call("POST", "/api/1.0/endpoints", body).await;
        for begun in strongback::serving::follow::look(&self.test.app).await.unwrap() {
            begun.await.unwrap();
        }
        name
    }

    /// The id of a request in the log of an endpoint, as one of its model would be.
    async fn make_served(&mut self) -> String {
        use lake::arrow::{array::Float64Array, record_batch::RecordBatch};
        use strongback::serving::{endpoints, payload};
        let name = self.get("endpoint").await;
        let ctx = self.test.system();
        let endpoint = ctx
            .read(move |sql| endpoints::find(sql, &name, strongback::catalog::Action::Read))
            .await
            .unwrap();
        let amounts = std::sync::Arc::new(Float64Array::from(vec![1.5])) as _;
        let inputs = RecordBatch::try_from_iter([("amount", amounts)]).unwrap();
        let table = syntax::names::FullName::parse(&format!("{}_payload", endpoint.full_name)).unwrap();
        let to = payload::EndpointRef { asset: endpoint.asset.id, table, owner: endpoint.asset.owner_id };
        let recorder = payload::recorder(&ctx, &to, &inputs.schema()).await.unwrap();
        let record = payload::Record {
            config: endpoint.config.n,
            request_id: uuid::Uuid::now_v7(),
            client_request_id: None,
            served_at_micros: 1_795_000_000_000_000,
            event_times_micros: Vec::new(),
            model_id: endpoint.config.model_id,
            model_version: endpoint.config.version,
            latency_us: 100,
            inputs,
            feature_versions: Vec::new(),
            scores: vec![0.5],
            labels: None,
        };
        let id = record.request_id.to_string();
        recorder.append(record).await.unwrap();
        id
    }

    /// One whose receiver is not there.
    async fn make_webhook(&mut self) -> String {
        let body = json!({
            "name": "h", "url": "https://127.0.0.1:9/", "events": [{ "entity": "PROMPT", "action": "CREATED" }],
        });
        let admin = self.tokens.admin.clone();
        let made = self.call_as(admin, "POST", "/api/2.0/mlflow/webhooks", body).await;
        text(&made["webhook"]["webhook_id"])
    }

    async fn make_principal(&mut self, word: &str) -> String {
        let admin = self.tokens.admin.clone();
        match word {
            "user" | "group" => {
                let name = self.get("fresh").await;
                let kind = if word == "user" { "user" } else { "group" };
                self.call_as(admin, "POST", "/api/1.0/principals", json!({ "name": name, "kind": kind }))
                    .await;
                name
            }
            "member" => {
                let (group, user) = (self.get("group").await, self.get("user").await);
                let path = format!("/api/1.0/groups/{group}/members");
                self.call_as(admin, "POST", &path, json!({ "member": user })).await;
                user
            }
            _ => {
                let asked = json!({ "principal": self.tokens.name });
                let made = self.call_as(admin, "POST", "/api/1.0/tokens", asked).await;
                text(&made["token_info"]["token_id"])
            }
        }
    }

    /// A command of the owner, a job of it that waits, and one that the administrator has as a runner. No other world has
    /// this label.
    async fn make_job(&mut self, word: &str) -> String {
        let admin = self.tokens.admin.clone();
        match word {
            "label" | "runner" => self.get("fresh").await,
            "command" => {
                let name = format!("{}.c", self.get("schema").await);
                let body = json!({
                    "name": name, "owner": self.tokens.name,
                    "definition": {
                        "argv": ["/bin/echo", "{depth}"], "label": "$label$",
                        "params": { "depth": { "type": "integer", "default": 8 } },
                    },
                });
                self.call_as(admin, "POST", "/api/1.0/commands", body).await;
                name
            }
            "job" => {
                let path = format!("/api/1.0/commands/{}/run", self.get("command").await);
                text(&self.call("POST", &path, json!({})).await["job_id"])
            }
            "label_of_job" => {
                self.get("job").await;
                self.get("label").await
            }
            _ => {
                let job = self.get("job").await;
                let body = json!({ "runner": "$runner$", "labels": ["$label$"], "lease_seconds": 600 });
                let leased = self.call_as(admin, "POST", "/api/1.0/runner/lease", body).await;
                assert_eq!(leased["job"]["job_id"], job.as_str(), "{leased}");
                job
            }
        }
    }

    async fn make_file(&mut self, word: &str) -> String {
        const ARTIFACTS: &str = "/api/2.0/mlflow-artifacts";
        const FS: &str = "/api/2.0/fs";
        match word {
            "run_root" => format!("{}/{}/artifacts", self.get("exp").await, self.get("run").await),
            "run_file" => {
                let path = format!("{}/dir/f.txt", self.get("run_root").await);
                self.put(&format!("{ARTIFACTS}/artifacts/{path}")).await;
                path
            }
            "run_of_file" => {
                self.get("run_file").await;
                self.get("run").await
            }
            // An upload into the run with its two parts sent.
            "mpu" | "mpu_part" => {
                let path = format!("{ARTIFACTS}/mpu/create/{}", self.get("run_root").await);
                let made =
                    self.call("POST", &path, json!({ "path": "/home/ada/big.bin", "num_parts": 2 })).await;
                let (first, second) =
                    (text(&made["credentials"][0]["url"]), text(&made["credentials"][1]["url"]));
                for part in [&first, &second] {
                    self.put(part.strip_prefix("http://localhost:5000").unwrap()).await;
                }
                self.known.insert("mpu_part".into(), query_of(&second));
                self.known.insert("mpu".into(), text(&made["upload_id"]));
                self.known[word].clone()
            }
            "signed_run_file" => {
                let path = format!("{ARTIFACTS}/presigned/{}", self.get("run_file").await);
                query_of(&text(&self.call("GET", &path, json!({})).await["url"]))
            }
            // An upload into the pending version with its first part sent.
            "session" => {
                let path = format!("{}/big.bin", self.get("gov2_dir").await);
                let begin = format!("{FS}/files/{path}?action=initiate-upload");
                let made = self.call("POST", &begin, json!({})).await;
                let session = text(&made["multipart_upload"]["session_token"]);
                let part = self.address(&session, "create-upload-part-urls", &path, 1).await;
                self.put(&part).await;
                session
            }
            "signed_part" => {
                let (session, path) = self.session().await;
                query_of(&self.address(&session, "create-upload-part-urls", &path, 2).await)
            }
            "signed_abort" => {
                let (session, path) = self.session().await;
                query_of(&self.address(&session, "create-abort-upload-url", &path, 1).await)
            }
            "signed_get" => {
                let path = format!("{}/dir/f.txt", self.get("gov_dir").await);
                query_of(&self.address("", "create-download-url", &path, 1).await)
            }
            "signed_put" => {
                let path = format!("{}/new.txt", self.get("gov2_dir").await);
                query_of(&self.address("", "create-upload-url", &path, 1).await)
            }
            other => panic!("no world holds ${other}$"),
        }
    }

    async fn session(&mut self) -> (String, String) {
        let session = self.get("session").await;
        (session, format!("{}/big.bin", self.get("gov2_dir").await))
    }

    /// A signed address of the Files API, without scheme and host.
    async fn address(&mut self, session: &str, call: &str, path: &str, part: i64) -> String {
        let body = json!({ "path": path, "session_token": session, "start_part_number": part });
        let made = self.call("POST", &format!("/api/2.0/fs/{call}"), body).await;
        let found = [&made["url"], &made["upload_part_urls"][0]["url"], &made["abort_upload_url"]["url"]];
        let url = text(found.into_iter().find(|url| url.is_string()).unwrap());
        url.strip_prefix("http://localhost:5000").unwrap().to_owned()
    }

    async fn call(&mut self, method: &'static str, path: &str, body: Value) -> Value {
        let owner = self.tokens.owner.clone();
        self.call_as(owner, method, path, body).await
    }

    async fn call_as(
        &mut self,
        token: Option<String>,
        method: &'static str,
        path: &str,
        body: Value,
    ) -> Value {
        let body = self.fill(&body).await;
        let answer = self.test.send(Self::request(token, method, path, Body::from(body.to_string()))).await;
        assert_eq!(answer.status, 200, "the world could not be made: {method} {path}: {answer:?}");
        answer.json
    }

    async fn put(&mut self, path: &str) {
        self.put_bytes(path, "text".into()).await;
    }

    async fn put_bytes(&mut self, path: &str, body: String) {
        let owner = self.tokens.owner.clone();
        let answer = self.test.send(Self::request(owner, "PUT", path, Body::from(body))).await;
        Self::assert_stored(path, &answer);
    }

    fn assert_stored(path: &str, answer: &Answer) {
        assert!(matches!(answer.status, 200 | 204), "the world could not be made: PUT {path}: {answer:?}");
    }

    fn request(token: Option<String>, method: &str, path: &str, body: Body) -> Request<Body> {
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost:5000")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            builder = builder.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        builder.body(body).unwrap()
    }
}

/// The words of an example that stand for things, each once, in the order in which they stand.
pub fn words(fields: &Value) -> Vec<String> {
    let text = fields.to_string();
    let mut found = Vec::new();
    for word in text.split('$').skip(1).step_by(2) {
        if !found.iter().any(|known| known == word) {
            found.push(word.to_owned());
        }
    }
    found
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| panic!("{value} is no text"), str::to_owned)
}

fn query_of(url: &str) -> String {
    url.split_once('?').unwrap().1.to_owned()
}
