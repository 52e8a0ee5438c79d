//! A receiver of webhooks on this machine, which checks signatures by a hand of its own.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, Method};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Got {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: String,
    pub at: Instant,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// `entity.action`
    pub fn topic(&self) -> String {
        let json = self.json();
        format!("{}.{}", json["entity"].as_str().unwrap(), json["action"].as_str().unwrap())
    }

    /// What a receiver does that knows the secret: compares the signature, and looks at the time.
    pub fn verify(&self, secret: &str) {
        let (id, timestamp) = (self.header("x-mlflow-delivery-id"), self.header("x-mlflow-timestamp"));
        let signed = format!("{id}.{timestamp}.{}", self.body);
        let expected = format!("v1,{}", BASE64_STANDARD.encode(hmac(secret.as_bytes(), signed.as_bytes())));
        assert_eq!(self.header("x-mlflow-signature"), expected);
        let came = (strongback::time::now_ms() - self.at.elapsed().as_millis() as i64) / 1_000;
        assert!(
            (came - 60..=came + 1).contains(&timestamp.parse().unwrap()),
            "{timestamp} is not about {came}"
        );
        uuid::Uuid::parse_str(id).unwrap();
        assert_eq!((&self.method, self.header("content-type")), (&Method::POST, "application/json"));
    }
}

/// RFC 2104, by hand.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |byte: u8| block.map(|each| each ^ byte);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

/// What is answered.
pub enum Reply {
    Status(u16),
    With(u16, &'static str, String),
    Text(u16, String),
    Hang,
}

type Script = dyn Fn(usize, &Got) -> Reply + Send + Sync;

#[derive(Clone)]
struct Shared {
    got: Arc<Mutex<Vec<Got>>>,
    script: Arc<Script>,
}

pub struct Receiver {
    /// Where it is told.
    pub url: String,
    got: Arc<Mutex<Vec<Got>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// One that answers the n-th request, from 0, as the script says.
    pub async fn start(script: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static) -> Self {
        let got = Arc::new(Mutex::new(Vec::new()));
        let shared = Shared { got: Arc::clone(&got), script: Arc::new(script) };
        let router = Router::new().fallback(answer).with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?token=in-the-address", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, got, task }
    }

    /// One that takes everything.
    pub async fn willing() -> Self {
        Self::start(|_, _| Reply::Status(200)).await
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

async fn answer(State(shared): State<Shared>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let got = Got { method, headers, body, at: Instant::now() };
    let reply = {
        let mut all = shared.got.lock().unwrap();
        let reply = (shared.script)(all.len(), &got);
        all.push(got);
        reply
    };
    let status = |status: u16| Response::builder().status(status);
    match reply {
        Reply::Status(code) => status(code).body(Body::empty()).unwrap(),
        Reply::With(code, name, value) => status(code).header(name, value).body(Body::empty()).unwrap(),
        Reply::Text(code, text) => status(code).body(Body::from(text)).unwrap(),
        Reply::Hang => std::future::pending().await,
    }
}

/// RFC 4231, test case 2.
#[test]
fn the_hand_is_right() {
    let mac = hmac(b"Jefe", b"what do ya want for nothing?");
    assert_eq!(hex::encode(mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}
