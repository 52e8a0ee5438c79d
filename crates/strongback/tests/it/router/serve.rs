//! Connections: what they may use, who is turned away, and what a stop leaves.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use strongback::router::serve::{self, Limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

use crate::support::{TestApp, config, on_every_store};

const LIMITS: Limits = Limits {
    connections: 4,
    head: Duration::from_millis(400),
    stall: Duration::from_secs(5),
    drain: Duration::from_secs(5),
};
const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn without_authentication_only_loopback_is_listened_at_whatever_it_is_called() {
    on_every_store(|test| async move {
        let bind = async |host: &str, auth: &str| {
            let settings = [("host", host), ("auth", auth), ("port", "0")];
            serve::bind(&config(test.dir.path(), &settings, None)).await.map(|(_, address)| address.ip())
        };
        assert!(bind("localhost", "off").await.unwrap().is_loopback());
        // The name is not asked about here: this is what a resolver may make of any.
        let refused = bind("0.0.0.0", "off").await.unwrap_err();
        assert!(
            refused.message().contains("0.0.0.0") && refused.message().contains("--auth tokens"),
            "{refused}"
        );
        assert!(bind("0.0.0.0", "tokens").await.unwrap().is_unspecified());
    });
}

struct Serving {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<strongback::error::Result<()>>,
}

async fn serving(test: &TestApp, limits: Limits) -> Serving {
    let (listener, address) = serve::bind(&config(test.dir.path(), &[("port", "0")], None)).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let app = Arc::clone(&test.app);
    let task = tokio::spawn(serve::run(app, listener, limits, async {
        let _ = stopped.await;
    }));
    Serving { address, stop, task }
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// One answer without a long body.
async fn answer(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 4096];
    let read = stream.read(&mut buffer).await.unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

/// How long until the server closes it.
async fn closed_after(stream: &mut TcpStream) -> Duration {
    let began = Instant::now();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest))
        .await
        .expect("it stays open");
    began.elapsed()
}

#[test]
fn a_head_that_does_not_come_and_an_idle_connection_are_closed() {
    on_every_store(|test| async move {
        let server = serving(&test, LIMITS).await;
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        let mut slow = TcpStream::connect(server.address).await.unwrap();
        send(&mut slow, "POST /health HTTP/1.1\r\nHost: loc").await;
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        send(&mut idle, HEALTH).await;
        assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200"));
        send(&mut idle, HEALTH).await;
        assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200"), "it is kept for the next request");
        for stream in [&mut silent, &mut slow, &mut idle] {
            assert!(closed_after(stream).await < Duration::from_secs(10));
        }
    });
}

#[test]
fn whoever_finds_no_place_is_told_so_and_places_come_back() {
    on_every_store(|test| async move {
        let server = serving(&test, Limits { head: Duration::from_secs(30), ..LIMITS }).await;
        let mut held = Vec::new();
        for _ in 0..LIMITS.connections {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            send(&mut stream, HEALTH).await;
            assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
            held.push(stream);
        }
        let mut late = TcpStream::connect(server.address).await.unwrap();
        send(&mut late, HEALTH).await;
        let told = answer(&mut late).await;
        assert!(told.starts_with("HTTP/1.1 503") && told.contains("has its 4 connections"), "{told}");
        held.pop();
        let began = Instant::now();
        loop {
            let mut again = TcpStream::connect(server.address).await.unwrap();
            send(&mut again, HEALTH).await;
            if answer(&mut again).await.starts_with("HTTP/1.1 200") {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "the place does not come back");
        }
    });
}

#[test]
fn a_stop_answers_what_was_begun_and_does_not_wait_for_the_idle() {
    on_every_store(|test| async move {
        let server = serving(&test, Limits { head: Duration::from_secs(30), ..LIMITS }).await;
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        send(&mut idle, HEALTH).await;
        answer(&mut idle).await;
        let body = r#"{"name":"begun"}"#;
        let mut begun = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "POST /api/2.0/mlflow/experiments/create HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            body.len()
        );
        send(&mut begun, &head).await;
        // The server asks for the body: the request is being worked on.
        assert!(answer(&mut begun).await.starts_with("HTTP/1.1 100"));
        let began = Instant::now();
        server.stop.send(()).unwrap();
        closed_after(&mut idle).await;
        assert!(TcpStream::connect(server.address).await.is_err(), "nobody new comes in");
        send(&mut begun, body).await;
        let told = answer(&mut begun).await;
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        server.task.await.unwrap().unwrap();
        assert!(began.elapsed() < LIMITS.drain, "{:?}", began.elapsed());
        let found = test.get("/api/2.0/mlflow/experiments/get-by-name?experiment_name=begun").await;
        assert_eq!(found.status, 200);
    });
}

#[test]
fn whoever_sends_a_large_body_gets_to_read_why_it_is_refused() {
    on_every_store(|test| async move {
        let serving = serving(&test, LIMITS).await;
        let body = vec![b'x'; 24 << 20];
        for (head, status) in [
            ("PUT /nothing/here", "404"),
            ("PUT /health", "405"),
            ("PUT /api/1.0/tables/no.such.table/batches/one?format=csv", "404"),
            ("PUT /api/1.0/tables/no.such.table/batches/one?format=sonnet", "400"),
        ] {
            let mut stream = TcpStream::connect(serving.address).await.unwrap();
            let length = body.len();
            let head = format!("{head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n");
            send(&mut stream, &format!("{head}Connection: close\r\n\r\n")).await;
            stream.write_all(&body).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
            // Who waits to be told to send is told at once, and sends nothing.
            let mut stream = TcpStream::connect(serving.address).await.unwrap();
            send(&mut stream, &format!("{head}Expect: 100-continue\r\n\r\n")).await;
            let mut answer = vec![0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{head}");
        }
        serving.stop.send(()).unwrap();
        serving.task.await.unwrap().unwrap();
    });
}
