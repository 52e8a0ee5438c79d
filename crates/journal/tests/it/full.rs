//! A full disk: those appends fail with an error that says so, nothing that was acknowledged is lost, and it goes on by itself
//! once there is room.
//!
//! The limit is the one on the size of files, which a process can lift itself; the system refuses such a write in the
//! middle, as it does on a full disk.

use std::{
    io::Read as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use journal::{Error, Journal, Mode, Options, Seen};

use crate::{all, child, open, small};

fn options() -> Options {
    small(Mode::Power, 1 << 20)
}

/// Fills what it may write, lifts the limit, and goes on.
pub(super) fn body(folder: &Path) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let unheard = Arc::new(AtomicU64::new(0));
    let observer = {
        let unheard = Arc::clone(&unheard);
        Box::new(move |seen: Seen<'_>| {
            unheard.fetch_add(u64::from(matches!(seen, Seen::Unheard(_))), Ordering::Relaxed);
        })
    };
    let (journal, _) = Journal::open(folder, &options(), observer).unwrap();
    let (mut written, mut refused) = (0_u64, 0_u64);
    while refused < 5 {
        match journal.append_blocking(&[&written.to_le_bytes(), &[7; 1_000]]) {
            Ok(at) => {
                assert_eq!((at.sequence, refused), (written, 0), "a smaller file than the limit");
                written += 1;
            }
            Err(error @ Error::NoRoom { .. }) => {
                assert!(error.is_passing() && error.to_string().contains("Free some"), "{error}");
                assert_eq!(all(&journal).len() as u64, written, "readers see what was acknowledged");
                refused += 1;
                if refused < 5 {
                    // Whoever goes away before his record fails has none.
                    drop(journal.begin(&[&written.to_le_bytes(), &[7; 1_000]]).unwrap());
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    let most = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: most.maximum, ..most }).unwrap();
    for _ in 0..100 {
        assert_eq!(
            journal.append_blocking(&[&written.to_le_bytes(), &[7; 1_000]]).unwrap().sequence,
            written
        );
        written += 1;
    }
    assert_eq!(unheard.load(Ordering::Relaxed), 0);
    println!("\nwritten {written}");
}

#[test]
fn a_full_disk_is_an_error_and_not_the_end() {
    let dir = tempfile::tempdir().unwrap();
    // 100 blocks of 512 bytes; without the signal that would end the process.
    let mut process = child::start("full", dir.path(), "trap '' XFSZ; ulimit -S -f 100;");
    let mut output = String::new();
    process.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert!(process.wait().unwrap().success(), "{output}");
    let written: u64 =
        output.lines().find_map(|line| line.strip_prefix("written ")).unwrap().parse().unwrap();
    assert!(written > 110, "{written}");
    let (journal, recovered) = open(dir.path(), &options());
    assert_eq!(recovered.cut_bytes, 0, "it was cut back when it failed");
    let found = all(&journal);
    assert_eq!(found.len() as u64, written);
    for (sequence, bytes) in found {
        assert_eq!(bytes[..8], sequence.to_le_bytes());
    }
}
