//! The journal as its users see it: on real files, with real processes that die.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test that cannot go on fails")]

mod child;
mod full;
mod hostile;
mod kill;
mod model;
mod segments;
mod speed;

use std::path::Path;

use journal::{Journal, Mode, Options, Reader, Recovered};

/// A directory that is no disk, where there is one: for tests that open many journals and ask nothing of the disk.
fn quick_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Options with small segments.
fn small(mode: Mode, segment_bytes: u64) -> Options {
    Options { mode, segment_bytes, ..Options::default() }
}

fn open(dir: &Path, options: &Options) -> (Journal, Recovered) {
    Journal::open(dir, options, Box::new(|_| {})).unwrap()
}

/// Every record, with its number.
fn all(journal: &Journal) -> Vec<(u64, Vec<u8>)> {
    let segments = journal.segments();
    let readers = segments.iter().map(|segment| journal.read(segment.base).unwrap());
    readers.flat_map(records).collect()
}

fn records(reader: Reader) -> Vec<(u64, Vec<u8>)> {
    reader
        .map(|record| {
            let record = record.unwrap();
            (record.position.sequence, record.bytes)
        })
        .collect()
}
