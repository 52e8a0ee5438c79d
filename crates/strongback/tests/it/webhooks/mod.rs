//! Webhooks: making them, what they are told, what becomes of it when receivers or the server fail, and where nothing is sent.

mod change;
mod deliver;
mod fail;
mod kill;
mod receiver;

use std::{future::Future, sync::Arc, time::Duration};

use serde_json::{Value, json};
use strongback::{context::App, webhooks};
use tokio::{sync::watch, task::JoinHandle};

use crate::support::{TestApp, ok, request};

/// Longer than anything here takes, also on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);
const M: &str = "/api/2.0/mlflow";
/// Receivers here are on this machine.
const HERE: &[(&str, &str)] = &[("webhooks_allow", "127.0.0.1")];
const EVERYTHING: &[&str] = &[
    "REGISTERED_MODEL.CREATED",
    "MODEL_VERSION.CREATED",
    "MODEL_VERSION_TAG.SET",
    "MODEL_VERSION_TAG.DELETED",
    "MODEL_VERSION_ALIAS.CREATED",
    "MODEL_VERSION_ALIAS.DELETED",
];

/// The task that tells webhooks, without the server.
struct Teller {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Teller {
    fn start(app: &Arc<App>) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(webhooks::background(Arc::clone(app), stopped)) }
    }

    /// As a server does that is told to stop.
    async fn stop(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it does not end").unwrap();
    }

    /// As by `kill -9`: nothing is told to anybody.
    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// Waits until something is so.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: it never came to that");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn events(names: &[&str]) -> Value {
    let event = |name: &&str| {
        let (entity, action) = name.split_once('.').unwrap();
        json!({ "entity": entity, "action": action })
    };
    names.iter().map(event).collect()
}

/// Makes a webhook and answers its id.
async fn hook(test: &TestApp, url: &str, names: &[&str]) -> String {
    let body = json!({ "name": "h", "url": url, "events": events(names), "secret": SECRET });
    let made = test.post(&format!("{M}/webhooks"), body).await;
    ok(&made)["webhook"]["webhook_id"].as_str().unwrap().to_owned()
}

const SECRET: &str = "größte Verschwiegenheit";

async fn patch(test: &TestApp, id: &str, body: Value) -> crate::support::Answer {
    test.send(request("PATCH", &format!("{M}/webhooks/{id}"), Some(body))).await
}

async fn model(test: &TestApp, name: &str) {
    ok(&test.post(&format!("{M}/registered-models/create"), json!({ "name": name })).await);
}

/// The log of a webhook, newest first.
async fn deliveries(test: &TestApp, id: &str) -> Vec<Value> {
    let found = test.get(&format!("/api/1.0/webhooks/{id}/deliveries")).await;
    ok(&found)["deliveries"].as_array().unwrap().clone()
}

/// Waits until a webhook has so many deliveries and none of them waits; the oldest first.
async fn settled(test: &TestApp, id: &str, count: usize) -> Vec<Value> {
    until("all deliveries have ended", || async {
        let mut found = deliveries(test, id).await;
        found.reverse();
        let is_done = found.len() >= count && found.iter().all(|one| one["state"] != "waiting");
        is_done.then_some(found)
    })
    .await
}
