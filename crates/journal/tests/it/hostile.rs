//! Whatever lies in the directory: records or errors, and never a panic.

use std::fs;

use futures::executor::block_on;
use journal::{Error, Journal, Mode};
use proptest::prelude::*;

use crate::{all, open, quick_dir, small};

const FIRST: &str = "00000000000000000000.segment";

/// A log with a sealed and an open segment, three records each.
fn two_segments(dir: &std::path::Path) {
    let (journal, _) = open(dir, &small(Mode::Process, 64 << 20));
    for n in 0_u8..6 {
        if n == 3 {
            block_on(journal.seal()).unwrap();
        }
        journal.append_blocking(&[&[n; 50]]).unwrap();
    }
}

fn opened(dir: &std::path::Path) -> Result<Journal, Error> {
    Journal::open(dir, &small(Mode::Process, 64 << 20), Box::new(|_| {})).map(|(journal, _)| journal)
}

#[test]
fn a_torn_end_is_cut_at_every_byte_and_the_log_goes_on() {
    let dir = quick_dir();
    two_segments(dir.path());
    let last = dir.path().join("00000000000000000003.segment");
    let whole = fs::read(&last).unwrap();
    assert_eq!(whole.len(), 24 + 3 * 66);
    for length in 0..whole.len() {
        fs::write(&last, &whole[..length]).unwrap();
        let journal = opened(dir.path()).unwrap();
        let kept = length.saturating_sub(24) / 66;
        assert_eq!(all(&journal).len(), 3 + kept, "{length} bytes");
        let at = journal.append_blocking(&[b"new"]).unwrap();
        assert_eq!(at.sequence, 3 + kept as u64);
        assert_eq!(all(&journal).last().unwrap().1, b"new");
        drop(journal);
        // Where the file had not even its header, the segment before it is open again.
        fs::write(dir.path().join(FIRST), &fs::read(dir.path().join(FIRST)).unwrap()[..24 + 3 * 66]).unwrap();
    }
}

#[test]
fn no_number_is_given_twice_whatever_is_left_of_the_files() {
    let numbers_go_on = |dir: &std::path::Path, from: u64| {
        let journal = opened(dir).unwrap();
        assert_eq!(journal.append_blocking(&[b"new"]).unwrap().sequence, from);
        drop(journal);
        assert_eq!(opened(dir).unwrap().append_blocking(&[b"newer"]).unwrap().sequence, from + 1);
    };
    let first_freed = || {
        let dir = quick_dir();
        two_segments(dir.path());
        let journal = opened(dir.path()).unwrap();
        block_on(journal.seal()).unwrap();
        journal.free(0).unwrap();
        (dir, journal)
    };
    // All was freed, and of the file that says where it goes on there is only the name.
    let (dir, journal) = first_freed();
    journal.free(3).unwrap();
    drop(journal);
    fs::write(dir.path().join("00000000000000000006.segment"), "torn").unwrap();
    numbers_go_on(dir.path(), 6);
    // Nothing is left but what was set aside.
    let (dir, journal) = first_freed();
    journal.set_aside(3).unwrap();
    drop(journal);
    fs::remove_file(dir.path().join("00000000000000000006.segment")).unwrap();
    numbers_go_on(dir.path(), 4);
    assert!(dir.path().join("00000000000000000003.segment.damaged").exists());
    // The segment behind was made, and the one before it lost records since: they are missing, and stay so.
    let dir = quick_dir();
    two_segments(dir.path());
    let (first, last) = (dir.path().join(FIRST), dir.path().join("00000000000000000003.segment"));
    fs::write(&first, &fs::read(&first).unwrap()[..24 + 66]).unwrap();
    fs::write(&last, "").unwrap();
    numbers_go_on(dir.path(), 3);
    let mut reader = opened(dir.path()).unwrap().read(0).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().bytes, [0; 50]);
    assert!(matches!(reader.next().unwrap().unwrap_err(), Error::Damaged { sequence: 1, .. }));
}

#[test]
fn damage_in_a_sealed_segment_is_told_and_loses_no_other_segment() {
    let dir = quick_dir();
    two_segments(dir.path());
    let path = dir.path().join(FIRST);
    let mut bytes = fs::read(&path).unwrap();
    bytes[24 + 66 + 30] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let journal = opened(dir.path()).unwrap();
    let mut reader = journal.read(0).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().bytes, [0; 50]);
    let error = reader.next().unwrap().unwrap_err();
    assert!(matches!(error, Error::Damaged { sequence: 1, offset: 90, .. }), "{error}");
    assert!(reader.next().is_none());
    assert_eq!(journal.read(3).unwrap().count(), 3);
    fs::write(&path, &bytes[..24]).unwrap();
    let error = journal.read(0).unwrap().next().unwrap().unwrap_err();
    assert!(matches!(error, Error::Damaged { sequence: 0, .. }), "its records are missing: {error}");
}

#[test]
fn damage_in_the_open_segment_destroys_nothing_behind_it_and_gives_no_number_again() {
    let dir = quick_dir();
    two_segments(dir.path());
    let last = dir.path().join("00000000000000000003.segment");
    let mut bytes = fs::read(&last).unwrap();
    bytes[24 + 66 + 30] ^= 1;
    fs::write(&last, &bytes).unwrap();
    let (journal, recovered) = open(dir.path(), &small(Mode::Process, 64 << 20));
    assert_eq!((recovered.records, recovered.lost_records, recovered.cut_bytes), (1, 2, 0));
    assert_eq!(fs::read(&last).unwrap(), bytes, "it is as it was found");
    assert_eq!(journal.append_blocking(&[b"new"]).unwrap().sequence, 6);
    // It is sealed with all its numbers, and reading it says from which on they are lost.
    let segment = journal.segments()[1];
    assert_eq!((segment.base, segment.next, segment.is_sealed), (3, 6, true));
    let mut reader = journal.read(3).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().bytes, [3; 50]);
    let error = reader.next().unwrap().unwrap_err();
    assert!(matches!(error, Error::Damaged { sequence: 4, offset: 90, .. }), "{error}");
    drop(journal);
    let journal = opened(dir.path()).unwrap();
    assert_eq!(journal.append_blocking(&[b"newer"]).unwrap().sequence, 7, "nor after another start");
    journal.set_aside(3).unwrap();
    drop(journal);
    assert_eq!(fs::read(last.with_extension("segment.damaged")).unwrap(), bytes);
    assert_eq!(opened(dir.path()).unwrap().append_blocking(&[b"newest"]).unwrap().sequence, 8);
}

#[test]
fn a_torn_end_is_kept_beside_and_stands_in_nobodys_way() {
    let dir = quick_dir();
    two_segments(dir.path());
    let last = dir.path().join("00000000000000000003.segment");
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, [&bytes[..24 + 2 * 66 + 40], &[0; 100][..]].concat()).unwrap();
    for _ in 0..2 {
        let (journal, recovered) = open(dir.path(), &small(Mode::Process, 64 << 20));
        assert_eq!((recovered.records, recovered.lost_records), (2, 0));
        assert_eq!(all(&journal).len(), 5);
    }
    let kept = fs::read(dir.path().join("00000000000000000003.segment.156.damaged")).unwrap();
    assert_eq!(kept, bytes[24 + 2 * 66..24 + 2 * 66 + 40]);
    assert_eq!(opened(dir.path()).unwrap().append_blocking(&[b"on"]).unwrap().sequence, 5);
}

#[test]
fn a_damaged_header_costs_no_record_and_a_newer_version_is_refused() {
    let dir = quick_dir();
    two_segments(dir.path());
    let last = dir.path().join("00000000000000000003.segment");
    let mut bytes = fs::read(&last).unwrap();
    bytes[3] = b'x';
    fs::write(&last, &bytes).unwrap();
    assert_eq!(all(&opened(dir.path()).unwrap()).len(), 6);

    let newer = [b"SBJRNL\n\x02".as_slice(), &3_u64.to_le_bytes()].concat();
    let crc = crc32c(&newer).to_le_bytes();
    fs::write(&last, [&newer[..], &crc, &[0; 4]].concat()).unwrap();
    let error = opened(dir.path()).err().unwrap();
    assert!(matches!(error, Error::Version { version: 2, known: 1, .. }), "{error}");
}

/// The plain definition, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82F6_3B78 * (crc & 1)))
    })
}

#[test]
fn other_files_are_left_alone() {
    let dir = quick_dir();
    for name in
        ["node", "7.segment", "x.segment", "99999999999999999999.segment", "0000000000000000000.segment"]
    {
        fs::write(dir.path().join(name), "mine").unwrap();
    }
    let journal = opened(dir.path()).unwrap();
    assert_eq!(journal.append_blocking(&[b"x"]).unwrap().sequence, 0);
    drop(journal);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes that nobody here wrote, as the only segment or behind good records.
    #[test]
    fn any_bytes_end_in_records_or_errors(garbage in proptest::collection::vec(any::<u8>(), 0..400), behind in any::<bool>()) {
        let dir = quick_dir();
        let good = if behind { two_segments(dir.path()); 6 } else { 0 };
        let path = dir.path().join(if behind { "00000000000000000003.segment" } else { FIRST });
        let mut bytes = fs::read(&path).unwrap_or_default();
        bytes.extend(&garbage);
        fs::write(&path, &bytes).unwrap();
        let journal = opened(dir.path()).unwrap();
        prop_assert_eq!(all(&journal).len(), good);
        let at = journal.append_blocking(&[b"on"]).unwrap();
        prop_assert_eq!(at.sequence, good as u64);
    }

    /// One changed byte anywhere: what is read is what was written, up to some record.
    #[test]
    fn a_changed_byte_never_changes_a_record(at in 0_usize..2 * 222, change in 1_u8..) {
        let dir = quick_dir();
        two_segments(dir.path());
        let (name, at) = if at < 222 { (FIRST, at) } else { ("00000000000000000003.segment", at - 222) };
        let path = dir.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= change;
        fs::write(&path, &bytes).unwrap();
        if let Ok(journal) = opened(dir.path()) {
            for segment in journal.segments() {
                for record in journal.read(segment.base).into_iter().flatten().flatten() {
                    let n = u8::try_from(record.position.sequence).unwrap();
                    prop_assert_eq!(record.bytes, vec![n; 50]);
                }
            }
        }
    }

    /// The same content whatever the sizes of records and segments.
    #[test]
    fn sizes_do_not_matter(lengths in proptest::collection::vec(0_usize..300, 1..60), segment in 24_u64..2_000) {
        let dir = quick_dir();
        let (journal, _) = open(dir.path(), &small(Mode::Process, segment));
        for length in &lengths {
            journal.append_blocking(&[&vec![5; *length]]).unwrap();
        }
        let found = |journal: &Journal| all(journal).into_iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>();
        prop_assert_eq!(&found(&journal), &lengths);
        drop(journal);
        let (journal, _) = open(dir.path(), &small(Mode::Process, segment));
        prop_assert_eq!(&found(&journal), &lengths);
    }
}
