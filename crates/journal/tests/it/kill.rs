//! kill -9 at any moment: what was acknowledged is there, once, and numbers are dense.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    sync::Mutex,
    time::Duration,
};

use futures::executor::block_on;
use journal::{Mode, Options};

use crate::{all, child, open, small};

const ROUNDS: u32 = 10;
const WRITERS: u64 = 4;

fn options() -> Options {
    small(Mode::Process, 40_000)
}

/// Appends until it is killed, and says of each record when it is durable. Now and then it seals.
pub(super) fn body(folder: &Path) {
    let (journal, _) = open(folder, &options());
    let out = Mutex::new(std::io::stdout());
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (journal, out) = (&journal, &out);
            scope.spawn(move || {
                for n in 0_u64.. {
                    let bytes = vec![u8::try_from(n % 251).unwrap(); usize::try_from(n % 300).unwrap()];
                    let at = journal.append_blocking(&[&writer.to_le_bytes(), &bytes]).unwrap();
                    writeln!(out.lock().unwrap(), "\nack {} {writer} {}", at.sequence, bytes.len()).unwrap();
                    if n % 100 == 99 {
                        block_on(journal.seal()).unwrap();
                    }
                }
            });
        }
    });
}

#[test]
fn acknowledged_records_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut process = child::start("kill", dir.path(), "");
        let output = process.stdout.take().unwrap();
        let reading = std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            let words = lines.filter_map(|line| line.strip_prefix("ack ").map(str::to_owned));
            // The last line may be cut off.
            let read = |line: String| {
                let mut words = line.split(' ').map(str::parse::<u64>);
                Some((words.next()?.ok()?, words.next()?.ok()?, words.next()?.ok()?))
            };
            words.filter_map(read).collect::<Vec<_>>()
        });
        std::thread::sleep(Duration::from_millis(60 + u64::from(round * 37 % 110)));
        process.kill().unwrap();
        process.wait().unwrap();
        let mut lines = reading.join().unwrap();
        lines.pop();
        for (sequence, writer, length) in lines {
            let again = acknowledged.insert(sequence, (writer, usize::try_from(length).unwrap()));
            assert_eq!(again, None, "number {sequence} was acknowledged twice");
        }
        let (journal, _) = open(dir.path(), &options());
        let found = all(&journal);
        for (at, (sequence, _)) in found.iter().enumerate() {
            assert_eq!(*sequence, at as u64, "round {round}");
        }
        for (sequence, (writer, length)) in &acknowledged {
            let bytes = &found[usize::try_from(*sequence).unwrap()].1;
            assert_eq!((bytes[..8].to_vec(), bytes.len()), (writer.to_le_bytes().to_vec(), 8 + length));
        }
    }
    println!("{} acknowledged records in {ROUNDS} rounds", acknowledged.len());
    assert!(acknowledged.len() > 100, "it was killed before it did anything");
}
