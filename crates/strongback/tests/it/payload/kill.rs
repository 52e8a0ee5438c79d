//! kill -9 while requests are logged and drained: every acknowledged request has exactly one row for each of its scored rows.
//!
//! The server is this test binary, begun once more as a process of its own.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use strongback::{
    app,
    context::Ctx,
    serving::payload::{figures, flush, recorder},
};
use testkit::random::Random;

use super::{endpoint_there, fraud, record, schema, sql};
use crate::support::{TestApp, config, kill_rounds, on_postgres};

const FOLDER: &str = "STRONGBACK_TEST_PAYLOAD_FOLDER";
const DATABASE: &str = "STRONGBACK_TEST_PAYLOAD_DATABASE";
const WRITERS: i64 = 4;

/// The body of the process that is killed; nothing when the tests are run.
#[test]
fn the_process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let settings = config(&folder, &[("payload_log", "process")], std::env::var(DATABASE).ok());
        let app = app::open(settings).await.unwrap();
        let ctx = Ctx::system(&app);
        let endpoint = endpoint_there(&ctx, "fraud").await;
        let recorder = recorder(&ctx, &endpoint, &schema()).await.unwrap();
        let out = Arc::new(Mutex::new(std::io::stdout()));
        for writer in 0..WRITERS {
            let (recorder, out) = (recorder.clone(), Arc::clone(&out));
            tokio::spawn(async move {
                for number in 0.. {
                    let rows = usize::try_from(1 + (number + writer) % 3).unwrap();
                    let record = record(number, rows);
                    let id = record.request_id;
                    recorder.append(record).await.unwrap();
                    writeln!(out.lock().unwrap(), "\nserved {id} {rows}").unwrap();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
        }
        loop {
            flush(&ctx).await.unwrap();
        }
    });
}

fn start(folder: &std::path::Path, database: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "payload::kill::the_process_that_is_killed", "--nocapture"]);
    command.env(FOLDER, folder).stdin(Stdio::null()).stdout(Stdio::piped());
    if let Some(url) = database {
        command.env(DATABASE, url);
    }
    command.spawn().unwrap()
}

/// One life of the process: what it said was served, with the number of rows.
fn one_life(folder: &std::path::Path, database: Option<&str>, wait: Duration) -> Vec<(String, u64)> {
    let mut process = start(folder, database);
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    // From the first answer on, so that it is killed at work.
    let first = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("served "));
    assert!(first.is_some(), "it served nothing");
    let reading = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    std::thread::sleep(wait);
    process.kill().unwrap();
    process.wait().unwrap();
    let said = first.into_iter().chain(reading.join().unwrap());
    said.filter_map(|line| {
        let mut words = line.strip_prefix("served ")?.split(' ');
        let (id, rows) = (words.next()?, words.next()?.parse().ok()?);
        (id.len() == 36).then(|| (id.to_owned(), rows))
    })
    .collect()
}

async fn rounds(database: Option<String>) {
    let seed = Random::arbitrary_seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let test = TestApp::open(&[("payload_log", "process")], database.clone()).await;
    let (endpoint, recorder) = fraud(&test).await;
    drop(recorder);
    let dir = test.closed().await.dir;
    let mut served: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..kill_rounds() {
        let wait = Duration::from_millis(random.below(900));
        let (folder, url) = (dir.path().to_owned(), database.clone());
        let life =
            tokio::task::spawn_blocking(move || one_life(&folder, url.as_deref(), wait)).await.unwrap();
        println!("round {round}: {} served in {wait:?}", life.len());
        served.extend(life);
    }
    let app = app::open(config(dir.path(), &[], database.clone())).await.unwrap();
    let router = strongback::router::build(&app);
    let test = TestApp::of(app, router, dir, database);
    flush(&test.system()).await.unwrap();
    let found = sql(&test, "SELECT _request_id, count(*) AS n, count(DISTINCT _row) AS d, max(_row) AS m FROM prod.risk.fraud_payload GROUP BY _request_id").await;
    let mut rows: BTreeMap<&str, u64> = BTreeMap::new();
    for line in found.lines().skip(1) {
        let mut words = line.split(',');
        let id = words.next().unwrap();
        let counts: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
        assert!(counts[0] == counts[1] && counts[0] == counts[2] + 1, "rows of {id}: {counts:?}");
        rows.insert(id, counts[0]);
    }
    for (id, count) in &served {
        assert_eq!(rows.get(id.as_str()), Some(count), "request {id}");
    }
    println!("{} served, {} requests in the table", served.len(), rows.len());
    assert!(served.len() > 50, "it was killed before it did anything");
    let seen = figures(&test.system(), endpoint.asset).await.unwrap();
    assert_eq!((seen.drained, seen.waiting, seen.given_up), (rows.len() as u64, 0, 0));
    assert_eq!(seen.drained_rows, rows.values().sum::<u64>());
    assert_eq!((seen.served, seen.logged), (seen.drained, seen.drained));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn served_requests_have_their_rows_once_on_sqlite() {
    rounds(None).await;
}

#[test]
fn served_requests_have_their_rows_once_on_postgresql() {
    on_postgres(|url| rounds(Some(url)));
}
