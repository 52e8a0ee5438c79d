//! Whoever leaves, or takes nothing of an answer any more, does not keep the engine busy: his query ends, and its turn is
//! another's.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use strongback::router::serve::{self, Limits};
use testkit::{
    process::Launch,
    server::{Server, strongback_binary},
};
use tokio::sync::oneshot;

use crate::support::{TestApp, config, ok, on_every_store};

/// Looks at pairs of rows for much longer than anybody waits here, and has one row to tell at its end.
const LONG: &str = "SELECT sum(a.x * b.x % 7) AS n FROM (SELECT unnest(range(0, 100000)) AS x) AS a \
     JOIN (SELECT unnest(range(0, 90000)) AS x) AS b ON a.x * 3 <> b.x";
/// Has so much to tell that nobody's buffers hold it.
const WIDE: &str = "SELECT a.x, repeat('strongback', 20) AS word FROM (SELECT unnest(range(0, 100000)) AS x) AS a \
     CROSS JOIN (SELECT unnest(range(0, 10000)) AS y) AS b";
/// As long as a query waits for its turn before it is refused.
const TURN: Duration = Duration::from_secs(30);

/// As many queries as go on at a time.
fn turns() -> usize {
    4 * std::thread::available_parallelism().unwrap().get().clamp(2, 16)
}

/// A connection on which a query was asked.
fn ask(address: SocketAddr, statement: &str) -> TcpStream {
    let body = json!({ "statement": statement, "time_s": 3_600 }).to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /api/1.0/sql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    stream
}

/// Whether a small query is answered within a time.
fn answers(server: &Server, within: Duration) -> bool {
    let one = json!({ "statement": "SELECT 1 AS one" });
    let answer = server.client().with_timeout(within).post("/api/1.0/sql", &one);
    answer.is_ok_and(|answer| answer.status == 200)
}

/// Takes all turns with a statement; `begun` reads of each answer what is to be read of it.
fn occupy(server: &Server, statement: &str, begun: impl Fn(&mut TcpStream)) -> Vec<TcpStream> {
    let mut held: Vec<TcpStream> = (0..turns()).map(|_| ask(server.address(), statement)).collect();
    held.iter_mut().for_each(begun);
    let until = Instant::now() + TURN;
    while answers(server, Duration::from_secs(2)) {
        assert!(Instant::now() < until, "the turns are not taken");
    }
    held
}

/// Waits until the server has nothing to compute.
fn rests(server: &Server) {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let before = server.processor_time().unwrap();
        std::thread::sleep(Duration::from_secs(1));
        if server.processor_time().unwrap().saturating_sub(before) < Duration::from_millis(200) {
            return;
        }
        assert!(Instant::now() < until, "it computes for nobody: {}", server.log());
    }
}

#[test]
fn a_query_ends_with_whoever_asked_it() {
    let binary = strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap();
    let server = Server::start(Launch::strongback(binary, None)).unwrap();
    assert!(answers(&server, Duration::from_mins(1)), "the engine is open");
    // Before there is anything to read, and in the midst of it.
    let some = |stream: &mut TcpStream| stream.read_exact(&mut vec![0; 64 << 10]).unwrap();
    for (statement, begun) in [(LONG, (|_| ()) as fn(&mut TcpStream)), (WIDE, some)] {
        let held = occupy(&server, statement, begun);
        let began = Instant::now();
        drop(held);
        assert!(answers(&server, TURN), "the turns of those who left do not come back: {}", server.log());
        assert!(began.elapsed() < TURN, "{:?}", began.elapsed());
        rests(&server);
    }
}

/// Asks a small query of an application until it is answered.
async fn answered(test: &TestApp, within: Duration) -> Value {
    let asked = test.post("/api/1.0/sql", json!({ "statement": "SELECT 1 AS one" }));
    ok(&tokio::time::timeout(within, asked).await.expect("no turn comes back")).clone()
}

#[test]
fn a_reader_who_takes_nothing_loses_his_turn() {
    on_every_store(async |test: TestApp| {
        let limits = Limits {
            connections: 200,
            head: Duration::from_secs(30),
            stall: Duration::from_millis(1_500),
            drain: Duration::from_secs(5),
        };
        let settings = config(test.dir.path(), &[("port", "0")], None);
        let (listener, address) = serve::bind(&settings).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let app = Arc::clone(&test.app);
        let serving = tokio::spawn(serve::run(app, listener, limits, async {
            let _ = stopped.await;
        }));
        answered(&test, TURN).await;
        let held = tokio::task::spawn_blocking(move || {
            (0..turns()).map(|_| ask(address, WIDE)).collect::<Vec<TcpStream>>()
        });
        let mut held = held.await.unwrap();
        // Each has its turn once its answer begins.
        held = tokio::task::spawn_blocking(move || {
            for stream in &mut held {
                stream.read_exact(&mut [0; 64]).unwrap();
            }
            held
        })
        .await
        .unwrap();
        let began = Instant::now();
        answered(&test, TURN.saturating_sub(Duration::from_secs(5))).await;
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        // An answer that broke off has no end, so that nobody takes it for a whole one.
        let broken = tokio::task::spawn_blocking(move || {
            let is_broken = |stream: &mut TcpStream| {
                let mut rest = Vec::new();
                // Who was not cut off yet is read from again, and has more to tell than this.
                let end = stream.take(64 << 20).read_to_end(&mut rest);
                (end.is_err() || rest.len() < 64 << 20) && !rest.ends_with(b"0\r\n\r\n")
            };
            held.iter_mut().filter_map(|stream| is_broken(stream).then_some(())).count()
        });
        assert!(broken.await.unwrap() > 0);
        stop.send(()).unwrap();
        serving.await.unwrap().unwrap();
    });
}
