//! Appending, sealing, reading beside the writer, freeing.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::executor::block_on;
use journal::{Error, Journal, Mode, Options, Position, Seen};

use crate::{all, open, quick_dir, records, small};

#[test]
fn nothing_appended_is_nothing_written() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("log");
    let (journal, _) = open(&place, &Options::default());
    assert_eq!(block_on(journal.seal()).unwrap(), None);
    drop(journal);
    assert!(!place.exists());
}

#[test]
fn records_come_back_in_order_with_dense_numbers() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [Mode::Power, Mode::Process] {
        let place = dir.path().join(format!("{mode:?}"));
        let (journal, _) = open(&place, &small(mode, 200));
        for n in 0_u64..20 {
            let at = journal.append_blocking(&[b"n=", &n.to_le_bytes(), b""]).unwrap();
            assert_eq!(at.sequence, n);
        }
        let expected: Vec<(u64, Vec<u8>)> =
            (0_u64..20).map(|n| (n, [b"n=", &n.to_le_bytes()[..]].concat())).collect();
        assert_eq!(all(&journal), expected);
        assert!(journal.segments().len() > 3, "it has several segments");
        drop(journal);
        let (journal, recovered) = open(&place, &small(mode, 200));
        assert_eq!((recovered.cut_bytes, recovered.removed_files), (0, 0));
        assert_eq!(all(&journal), expected);
        assert_eq!(
            journal.append_blocking(&[b""]).unwrap().sequence,
            20,
            "also an empty one, and the next number"
        );
    }
}

#[test]
fn what_lies_ahead_of_the_records_is_zeros_and_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("00000000000000000000.segment");
    let length = || std::fs::metadata(&path).unwrap().len();
    let (journal, _) = open(dir.path(), &small(Mode::Power, 64 << 20));
    journal.append_blocking(&[&[0; 50]]).unwrap();
    let ready = length();
    assert!(ready > 1 << 20, "{ready}");
    journal.append_blocking(&[b"second"]).unwrap();
    assert_eq!(length(), ready, "there was room");
    drop(journal);
    let (journal, recovered) = open(dir.path(), &small(Mode::Power, 64 << 20));
    assert_eq!((recovered.records, recovered.cut_bytes, length()), (2, 0, ready));
    journal.append_blocking(&[b"third"]).unwrap();
    assert_eq!(length(), ready, "it is used, not made again");
    let sealed = block_on(journal.seal()).unwrap().unwrap();
    assert_eq!(
        (sealed.records(), length()),
        (3, sealed.bytes),
        "a sealed one has its records and nothing else"
    );
    drop(journal);
    // Of bytes that a power cut left there, the first that are no record end the segment.
    let (journal, _) = open(dir.path(), &small(Mode::Power, 64 << 20));
    journal.append_blocking(&[b"fourth"]).unwrap();
    drop(journal);
    let last = dir.path().join("00000000000000000003.segment");
    let mut bytes = std::fs::read(&last).unwrap();
    bytes[5_000] = 1;
    std::fs::write(&last, &bytes).unwrap();
    let (journal, recovered) = open(dir.path(), &small(Mode::Power, 64 << 20));
    assert_eq!((recovered.records, recovered.cut_bytes > 0), (1, true));
    journal.append_blocking(&[b"fifth"]).unwrap();
    assert_eq!(all(&journal).last().unwrap(), &(4, b"fifth".to_vec()));
}

#[test]
fn a_segment_is_the_same_batch_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path(), &Options::default());
    for _ in 0..3 {
        journal.append_blocking(&[b"x"]).unwrap();
    }
    let sealed = block_on(journal.seal()).unwrap().unwrap();
    assert_eq!((sealed.base, sealed.next, sealed.records(), sealed.is_sealed), (0, 3, 3, true));
    assert_eq!(block_on(journal.seal()).unwrap(), None, "nothing came since");
    journal.append_blocking(&[b"y"]).unwrap();
    drop(journal);
    let (journal, _) = open(dir.path(), &Options::default());
    let segments = journal.segments();
    assert_eq!(segments[0], sealed);
    assert_eq!((segments[1].base, segments[1].next, segments[1].is_sealed), (3, 4, false));
    assert!(matches!(journal.free(3), Err(Error::NoSegment(3))), "it is open");

    let reader = journal.read(0).unwrap();
    journal.free(0).unwrap();
    assert_eq!(records(reader).len(), 3, "whoever reads it has it");
    assert!(matches!(journal.read(0), Err(Error::NoSegment(0))));
    drop(journal);
    let (journal, _) = open(dir.path(), &Options::default());
    assert_eq!(all(&journal), [(3, b"y".to_vec())]);
    block_on(journal.seal()).unwrap().unwrap();
    journal.free(3).unwrap();
    drop(journal);
    let (journal, _) = open(dir.path(), &Options::default());
    assert_eq!(journal.append_blocking(&[b"z"]).unwrap().sequence, 4, "numbers go on where all was freed");
}

#[test]
fn a_reader_begins_at_any_record() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path(), &small(Mode::Process, 300));
    let places: Vec<Position> =
        (0_u8..30).map(|n| journal.append_blocking(&[&vec![n; usize::from(n)]]).unwrap()).collect();
    for at in places {
        let first = journal.read_at(at).unwrap().next().unwrap().unwrap();
        assert_eq!((first.position, first.bytes.len() as u64), (at, at.sequence));
    }
}

#[test]
fn the_observer_is_told_first_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let observer = {
        let seen = Arc::clone(&seen);
        Box::new(move |told: Seen<'_>| {
            let Seen::Durable(at, bytes) = told else { panic!("nobody went away: {told:?}") };
            seen.lock().unwrap().push((at, bytes.to_vec()));
        })
    };
    let (journal, _) = Journal::open(dir.path(), &small(Mode::Process, 100), observer).unwrap();
    std::thread::scope(|scope| {
        for n in 0_u8..4 {
            let (journal, seen) = (&journal, &seen);
            scope.spawn(move || {
                for _ in 0..50 {
                    let at = journal.append_blocking(&[&[n]]).unwrap();
                    assert!(seen.lock().unwrap().contains(&(at, vec![n])));
                }
            });
        }
    });
    let seen = seen.lock().unwrap();
    assert!(seen.iter().enumerate().all(|(n, (at, _))| at.sequence == n as u64) && seen.len() == 200);
}

#[test]
fn readers_run_beside_writers_and_see_whole_records() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path(), &small(Mode::Process, 20_000));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut most = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let found = all(&journal);
                        for (at, (sequence, bytes)) in found.iter().enumerate() {
                            assert_eq!(*sequence, at as u64);
                            assert!(bytes.iter().all(|byte| *byte == bytes[0]));
                        }
                        assert!(found.len() >= most, "records do not go away");
                        most = found.len();
                    }
                })
            })
            .collect();
        std::thread::scope(|writers| {
            for n in 1_u8..4 {
                let journal = &journal;
                writers.spawn(move || {
                    for length in 1..400_usize {
                        journal.append_blocking(&[&vec![n; length]]).unwrap();
                    }
                });
            }
        });
        is_over.store(true, Ordering::Relaxed);
        for reader in reading {
            reader.join().unwrap();
        }
    });
    assert_eq!(all(&journal).len(), 3 * 399);
}

#[test]
fn what_waits_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    // Its observer holds the writer, so that all that comes waits.
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let observer = Box::new(move |_: Seen<'_>| {
        let _ = held.recv();
    });
    let options = Options { queue_bytes: 1_000, ..Options::default() };
    let (journal, _) = Journal::open(dir.path(), &options, observer).unwrap();
    let mut waiting: Vec<_> = Vec::new();
    let error = loop {
        let mut append = Box::pin(async { journal.append(&[&[7; 84]]).await });
        match futures::FutureExt::now_or_never(&mut append) {
            None => waiting.push(append),
            Some(outcome) => break outcome.unwrap_err(),
        }
        assert!(waiting.len() < 30, "it takes what it cannot write");
    };
    assert!(matches!(error, Error::Busy { limit: 1_000, .. }) && error.is_passing(), "{error}");
    assert!(error.to_string().contains("1000 bytes wait"), "{error}");
    drop(hold);
    let written = waiting.len();
    for append in waiting {
        block_on(append).unwrap();
    }
    journal.append_blocking(&[&vec![1; 5_000]]).unwrap();
    assert_eq!(all(&journal).len(), written + 1);
    let long = vec![0; journal::RECORD_BYTES_MAX + 1];
    assert!(matches!(journal.append_blocking(&[&long]), Err(Error::TooLong { .. })));
}

#[test]
fn a_long_record_has_a_place_beside_short_ones_that_keep_coming() {
    let dir = tempfile::tempdir().unwrap();
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let observer = Box::new(move |_: Seen<'_>| {
        let _ = held.recv();
    });
    let options = Options { queue_bytes: 1_000, ..Options::default() };
    let (journal, _) = Journal::open(dir.path(), &options, observer).unwrap();
    let mut short: Vec<_> = (0..3).map(|_| journal.begin(&[&[7; 84]]).unwrap()).collect();
    let long = journal.begin(&[&[8; 5_000]]).unwrap();
    let error = journal.begin(&[b"x"]).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }) && error.to_string().contains("from 1000 on"), "{error}");
    drop(hold);
    short.push(long);
    for pending in short {
        block_on(pending).unwrap();
    }
    assert_eq!(all(&journal).last().unwrap().1, [8; 5_000]);
}

/// What the observer was told, by what was appended.
type Told = Arc<Mutex<Vec<(&'static str, Vec<u8>)>>>;

#[test]
fn of_a_record_whose_caller_has_gone_exactly_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let told = Told::default();
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let observer = {
        let told = Arc::clone(&told);
        Box::new(move |seen: Seen<'_>| {
            let (what, bytes) = match seen {
                Seen::Durable(_, bytes) => ("durable", bytes),
                Seen::Unheard(bytes) => ("unheard", bytes),
            };
            told.lock().unwrap().push((what, bytes.to_vec()));
            if bytes == b"held" {
                let _ = held.recv();
            }
        })
    };
    let (journal, _) = Journal::open(dir.path(), &Options::default(), observer).unwrap();
    let told_of = |bytes: &[u8]| -> Vec<&str> {
        told.lock().unwrap().iter().filter(|(_, own)| own == bytes).map(|(what, _)| *what).collect()
    };
    // Gone after it was durable.
    let mut late = journal.begin(&[b"late"]).unwrap();
    journal.append_blocking(&[b"next"]).unwrap();
    assert!(late.give_up(), "it was durable");
    assert_eq!(told_of(b"late"), ["durable"]);
    // Gone before.
    let held_one = journal.begin(&[b"held"]).unwrap();
    let mut early = journal.begin(&[b"early"]).unwrap();
    assert!(!early.give_up(), "it waits");
    drop(early);
    drop(hold);
    block_on(held_one).unwrap();
    journal.append_blocking(&[b"after"]).unwrap();
    assert_eq!(told_of(b"early"), ["durable", "unheard"]);
    assert_eq!(told_of(b"after"), ["durable"]);
    assert_eq!(all(&journal).len(), 5);
}

#[test]
fn a_writer_that_fails_leaves_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let observer =
        Box::new(|seen: Seen<'_>| assert!(!matches!(seen, Seen::Durable(_, b"poison")), "on purpose"));
    let (journal, _) = Journal::open(dir.path(), &Options::default(), observer).unwrap();
    journal.append_blocking(&[b"one"]).unwrap();
    assert!(matches!(journal.append_blocking(&[b"poison"]), Err(Error::Closed)));
    assert!(matches!(journal.append_blocking(&[b"two"]), Err(Error::Closed)));
    assert!(matches!(block_on(journal.seal()), Err(Error::Closed)));
    drop(journal);
    let (journal, _) = open(dir.path(), &Options::default());
    assert_eq!(all(&journal).len(), 2, "what was durable is there");
}

#[test]
fn whoever_reads_what_is_freed_has_it_or_is_told_that_it_went() {
    let dir = quick_dir();
    let (journal, _) = open(dir.path(), &small(Mode::Process, 64 << 20));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut met = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        for segment in journal.segments().iter().filter(|segment| segment.is_sealed) {
                            match journal.read(segment.base) {
                                Ok(reader) => assert_eq!(records(reader).len(), 1),
                                Err(Error::NoSegment(_)) => met += 1,
                                Err(error) => panic!("{error}"),
                            }
                        }
                    }
                    met
                })
            })
            .collect();
        for _ in 0..300 {
            journal.append_blocking(&[b"x"]).unwrap();
            let sealed = block_on(journal.seal()).unwrap().unwrap();
            journal.free(sealed.base).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        let met: u32 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        println!("{met} segments went before they were read");
    });
}

#[test]
fn who_goes_away_leaves_the_record_and_a_closed_journal_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { floor: Duration::from_millis(20), ..Options::default() };
    let (journal, _) = open(dir.path(), &options);
    for _ in 0..5 {
        let mut append = Box::pin(async { journal.append(&[b"left"]).await });
        assert!(futures::FutureExt::now_or_never(&mut append).is_none());
    }
    journal.close();
    assert!(matches!(journal.append_blocking(&[b"x"]), Err(Error::Closed)));
    assert!(matches!(block_on(journal.seal()), Err(Error::Closed)));
    assert_eq!(all(&journal).len(), 5);
}
