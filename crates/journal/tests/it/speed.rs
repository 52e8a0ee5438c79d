//! How long an append takes here. Printed; bounded so generously that only a defect fails.

use std::time::{Duration, Instant};

use journal::{Mode, Options};

use crate::open;

#[test]
fn an_append_takes_no_longer_than_the_disk() {
    for mode in [Mode::Process, Mode::Power] {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = open(dir.path(), &Options { mode, ..Options::default() });
        let mut taken: Vec<Duration> = (0..500)
            .map(|_| {
                let begun = Instant::now();
                journal.append_blocking(&[&[1; 400]]).unwrap();
                begun.elapsed()
            })
            .collect();
        taken.sort_unstable();
        println!("{mode:?}: p50 {:?}, p99 {:?}", taken[250], taken[495]);
        assert!(taken[250] < Duration::from_millis(200), "{mode:?}: {:?}", taken[250]);
    }
}
