//! How long a request takes to be found among a million rows. Printed; bounded so generously that only a defect fails: the goal
//! of 50 ms is one of the optimised build.

use std::time::{Duration, Instant};

use strongback::serving::payload::{find, flush};

use super::{fraud, record};
use crate::support::TestApp;

const ROWS: usize = 1_000_000;
/// Rows a request.
const WIDE: usize = 50;
const FLUSHES: usize = 10;
const LOOKS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_found_among_a_million_rows() {
    let test = TestApp::open(&[("payload_log", "process")], None).await;
    let (_, recorder) = fraud(&test).await;
    let ctx = test.system();
    let (mut ids, begun) = (Vec::new(), Instant::now());
    let mut draining = Duration::ZERO;
    for number in 0..ROWS / WIDE {
        let record = record(number as i64, WIDE);
        ids.push(record.request_id);
        recorder.append(record).await.unwrap();
        if number % (ROWS / WIDE / FLUSHES) == ROWS / WIDE / FLUSHES - 1 && number + 1 < ROWS / WIDE {
            let begun = Instant::now();
            flush(&ctx).await.unwrap();
            draining += begun.elapsed();
        }
    }
    println!("{ROWS} rows in {:?}, {draining:?} of it draining {} batches", begun.elapsed(), FLUSHES - 1);
    let in_log = ids.len() - ids.len() / FLUSHES;
    for (place, ids) in [("table", &ids[..in_log]), ("log", &ids[in_log..])] {
        let mut taken = Vec::with_capacity(LOOKS);
        for look in 0..LOOKS {
            let id = ids[look * (ids.len() / LOOKS)];
            let begun = Instant::now();
            let rows = find(&ctx, id, 1_000).await.unwrap().unwrap().rows;
            taken.push(begun.elapsed());
            assert!(rows.len() == WIDE && rows.iter().all(|row| row.is_waiting == (place == "log")));
        }
        taken.sort_unstable();
        println!("in the {place}: p50 {:?}, p99 {:?}", taken[LOOKS / 2], taken[LOOKS * 99 / 100]);
        assert!(taken[LOOKS / 2] < Duration::from_secs(5), "{:?}", taken[LOOKS / 2]);
    }
}
