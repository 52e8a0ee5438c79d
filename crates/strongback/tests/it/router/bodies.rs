//! Large bodies, and such as never come, through a listening server.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use strongback::router::serve::{self, Limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{TestApp, call, config, ok, on_every_store_with, request, token_of};

const TOKENS: &[(&str, &str)] = &[("auth", "tokens")];
const LIMITS: Limits = Limits {
    connections: 500,
    head: Duration::from_secs(30),
    stall: Duration::from_secs(30),
    drain: Duration::from_secs(1),
};

/// More than there are places for large bodies.
const MANY: usize = 40;

async fn listening(test: &TestApp) -> SocketAddr {
    let (listener, address) = serve::bind(&config(test.dir.path(), &[("port", "0")], None)).await.unwrap();
    tokio::spawn(serve::run(Arc::clone(&test.app), listener, LIMITS, std::future::pending()));
    address
}

/// Begins a request with a body of unknown size, and sends the first of it.
async fn begin(address: SocketAddr, token: &str, path: &str, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    if !first.is_empty() {
        chunk(&mut stream, first).await;
    }
    stream
}

/// Sends a piece of a body. Whoever is refused meanwhile may find the connection closed; the answer is there to be read.
async fn chunk(stream: &mut TcpStream, bytes: &[u8]) {
    let head = format!("{:x}\r\n", bytes.len());
    let whole = [head.as_bytes(), bytes, b"\r\n"].concat();
    if let Err(error) = stream.write_all(&whole).await {
        assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    }
}

async fn status(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut buffer));
    let read = read.await.expect("no answer").unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

/// A large body that makes an experiment, in pieces.
async fn create_large(address: SocketAddr, token: &str, name: &str) -> String {
    let body = format!("{{\"name\":\"{name}\",\"other\":\"{}\"}}", "x".repeat(300 << 10));
    let (first, second) = body.as_bytes().split_at(200_000);
    let mut stream = begin(address, token, "/api/2.0/mlflow/experiments/create", first).await;
    chunk(&mut stream, second).await;
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    status(&mut stream).await
}

#[test]
fn bodies_that_do_not_come_keep_nobody_out() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let address = listening(&test).await;
        let (ann, bob) = (token_of(&test, "ann", false).await, token_of(&test, "bob", false).await);
        let complete = "/api/2.0/mlflow-artifacts/mpu/complete/1/x/artifacts";
        let mut held = Vec::new();
        for n in 0..MANY {
            let path = if n % 2 == 0 { complete } else { "/api/2.0/mlflow/registered-models/create" };
            held.push(begin(address, &bob, path, b"{").await);
        }
        let began = Instant::now();
        let told = create_large(address, &ann, "in spite of them").await;
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        // Those whose bodies are large already and do not go on: all of one caller, who has half of the places.
        for _ in 0..MANY {
            held.push(begin(address, &bob, complete, &vec![b' '; 300 << 10]).await);
        }
        let told = create_large(address, &ann, "in spite of those").await;
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        // A place that is waited for is waited for ten seconds.
        assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    });
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let address = listening(&test).await;
        let ann = token_of(&test, "ann", false).await;
        let mut typed =
            begin(address, &ann, "/api/2.0/mlflow-artifacts/mpu/complete/1/x/artifacts", b"{").await;
        let told = status(&mut typed).await;
        assert!(told.starts_with("HTTP/1.1 408") && told.contains("too slowly"), "{told}");
    });
}

#[test]
fn no_list_of_parts_is_read_from_whom_it_is_not_for() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let address = listening(&test).await;
        let bob = token_of(&test, "bob", false).await;
        let path = "/api/2.0/fs/files/Models/no/such/model/1/f?action=complete-upload";
        // Only the beginning of a body, and the answer comes.
        let mut stream = begin(address, &bob, path, b"{").await;
        let told = status(&mut stream).await;
        assert!(told.starts_with("HTTP/1.1 404"), "{told}");
    });
}

/// The list that the largest upload ends with, and more than any.
#[test]
fn a_list_of_parts_has_the_size_it_needs() {
    on_every_store_with(&[], async |test: TestApp| {
        let run = json!({ "experiment_id": "0" });
        let run = test.post("/api/2.0/mlflow/runs/create", run).await;
        let run = ok(&run)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        let file = format!("/api/2.0/fs/files/WorkspaceInternal/Mlflow/Artifacts/0/Runs/{run}/artifacts/f");
        let send = async |parts: usize| {
            let etag = format!("\"{}\"", "a".repeat(64));
            let parts: Vec<_> = (1..=parts).map(|n| json!({ "part_number": n, "etag": etag })).collect();
            let session = uuid::Uuid::nil().to_string();
            let path = format!("{file}?action=complete-upload&session_token={session}");
            test.send(request("POST", &path, Some(json!({ "parts": parts })))).await
        };
        // Read to its end, and no upload is found for it.
        assert_eq!(send(10_000).await.status, 404);
        assert_eq!(send(30_000).await.status, 413);
    });
}

#[test]
fn a_credential_that_is_revoked_while_a_body_comes_slowly_is_refused() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let address = listening(&test).await;
        let ann = token_of(&test, "ann", false).await;
        let create = "/api/2.0/mlflow/experiments/create";
        let mut slow = begin(address, &ann, create, b"{\"name\":").await;
        let mut patient = begin(address, &token_of(&test, "bob", false).await, create, b"{\"name\":").await;
        // Longer than a body may take before that is asked once more.
        tokio::time::sleep(Duration::from_millis(3_300)).await;
        let listed = call(&test, &ann, "GET", "/api/2.0/token/list", None).await;
        let token = json!({ "token_id": ok(&listed)["token_infos"][0]["token_id"] });
        ok(&call(&test, &ann, "POST", "/api/2.0/token/delete", Some(token)).await);
        for (stream, body, expected) in
            [(&mut slow, "\"late\"}", "401"), (&mut patient, "\"in time\"}", "200")]
        {
            chunk(stream, body.as_bytes()).await;
            stream.write_all(b"0\r\n\r\n").await.unwrap();
            let told = status(stream).await;
            assert!(told.starts_with(&format!("HTTP/1.1 {expected}")), "{told}");
        }
    });
}
