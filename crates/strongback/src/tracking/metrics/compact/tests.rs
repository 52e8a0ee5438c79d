//! What compaction writes for a run that is logged in many small batches: bounded, and losing no point.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::*;
use crate::tracking::series::{POINTS_MAX, decode_chunk};

/// The rows of one run, and what was written into them.
#[derive(Default)]
struct Rows {
    /// Points and bytes by number.
    pieces: BTreeMap<i64, (i64, Vec<u8>)>,
    chunks: BTreeMap<(String, i64), (i64, Vec<u8>)>,
    /// What clients logged.
    logged: BTreeMap<String, BTreeSet<Point>>,
    bytes_logged: usize,
    bytes_rewritten: usize,
    points_rewritten: i64,
    passes: usize,
    /// How often a chunk that was full was taken away.
    full_taken: usize,
}

impl Rows {
    fn log(&mut self, seq: i64, batch: Vec<Series>) {
        let count = batch.iter().map(|series| series.points.len()).sum::<usize>();
        let body = encode_piece(&batch).unwrap();
        self.bytes_logged += body.len();
        self.pieces.insert(seq, (count as i64, body));
        for series in batch {
            self.logged.entry(series.key).or_default().extend(series.points);
        }
    }

    fn is_due(&self, has_ended: bool) -> bool {
        let points = self.pieces.values().map(|(points, _)| *points);
        let largest = points.clone().max().unwrap_or_default();
        Loose { pieces: self.pieces.len() as i64, points: points.sum(), largest }.is_due(has_ended)
    }

    /// As [`compact`] does it on a store.
    fn pass(&mut self, has_ended: bool) {
        if !self.is_due(has_ended) {
            return;
        }
        let sizes: Sizes = self.pieces.iter().map(|(seq, (points, _))| (*seq, *points)).collect();
        let taken: Vec<(i64, Vec<u8>)> =
            worthwhile(&sizes, has_ended).iter().map(|(seq, _)| (*seq, self.pieces[seq].1.clone())).collect();
        if taken.is_empty() {
            return;
        }
        let mut chunks: HashMap<String, Sizes> = HashMap::new();
        for ((key, seq), (points, _)) in &self.chunks {
            chunks.entry(key.clone()).or_default().push((*seq, *points));
        }
        let seqs = taken.iter().map(|(seq, _)| *seq).collect();
        let swap = work_out(seqs, gather(&taken).unwrap(), &chunks, |key, first| {
            let from = (key.to_owned(), first)..(key.to_owned(), i64::MAX);
            Ok(self.chunks.range(from).map(|(_, (_, body))| body.clone()).collect())
        });
        self.apply(swap.unwrap());
        self.passes += 1;
    }

    fn apply(&mut self, swap: Swap) {
        for seq in swap.pieces_out {
            self.pieces.remove(&seq).unwrap();
        }
        for chunk in swap.chunks_out {
            let (points, _) = self.chunks.remove(&chunk).unwrap();
            self.full_taken += usize::from(points as usize == POINTS_MAX);
        }
        for (key, seq, points, body) in swap.chunks_in {
            self.bytes_rewritten += body.len();
            self.points_rewritten += points;
            assert!(self.chunks.insert((key, seq), (points, body)).is_none(), "a number was given twice");
        }
        if let Some((seq, points, body)) = swap.piece_in {
            self.bytes_rewritten += body.len();
            self.points_rewritten += points;
            assert!(self.pieces.insert(seq, (points, body)).is_none(), "a number was given twice");
        }
    }

    /// Every point that was logged is there, and no other.
    fn check(&self) {
        let mut stored =
            gather(&self.pieces.iter().map(|(seq, (_, body))| (*seq, body.clone())).collect::<Vec<_>>())
                .unwrap();
        for ((key, _), (_, body)) in &self.chunks {
            stored.entry(key.clone()).or_default().extend(decode_chunk(body).unwrap());
        }
        assert!(stored == self.logged, "points were lost or invented");
    }

    fn most_chunks_of_a_key(&self) -> usize {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for (key, _) in self.chunks.keys() {
            *counts.entry(key).or_default() += 1;
        }
        counts.values().copied().max().unwrap_or_default()
    }
}

fn series(key: &str, steps: std::ops::Range<i64>, time: impl Fn(i64) -> i64) -> Series {
    let points: BTreeSet<Point> =
        steps.map(|step| Point::new(time(step), step, 1.0 / (step + 1) as f64)).collect();
    Series { key: key.into(), points: points.into_iter().collect() }
}

/// Logs `batches` of `batch` points a key, with a pass after each, and answers what came of it.
fn run(keys: usize, batch: i64, batches: i64, time: impl Fn(i64) -> i64 + Copy) -> Rows {
    let mut rows = Rows::default();
    for n in 0..batches {
        let logged =
            (0..keys).map(|key| series(&format!("m{key:04}"), n * batch..(n + 1) * batch, time)).collect();
        rows.log(n + 2, logged);
        rows.pass(false);
    }
    rows
}

#[test]
fn a_long_run_in_small_batches_is_rewritten_a_bounded_number_of_times() {
    // Keys, points of each in a batch, batches; how often a point may be rewritten.
    for (keys, batch, batches, times_max) in
        [(1, 1, 20_000, 8), (1, 10, 8_000, 8), (20, 1, 3_000, 8), (1_000, 1, 120, 6)]
    {
        let mut rows = run(keys, batch, batches, |step| 1_000 + 40 * step);
        let points = keys as i64 * batch * batches;
        let times = rows.points_rewritten as f64 / points as f64;
        println!(
            "{keys} keys, {batches} batches of {batch}: {} passes rewrote a point {times:.1} times, {} bytes for {} logged; \
             up to {} chunks a key, {} pieces",
            rows.passes,
            rows.bytes_rewritten,
            rows.bytes_logged,
            rows.most_chunks_of_a_key(),
            rows.pieces.len()
        );
        assert!(rows.passes > 5, "only {} passes", rows.passes);
        assert!(
            times < f64::from(times_max),
            "{keys} keys in {batches} batches of {batch}: {times:.1} times"
        );
        assert!(rows.bytes_rewritten < 5 * rows.bytes_logged, "{} bytes", rows.bytes_rewritten);
        assert_eq!(rows.full_taken, 0, "a full chunk was rewritten");
        assert!(rows.most_chunks_of_a_key() <= 12, "{} chunks", rows.most_chunks_of_a_key());
        assert!(rows.pieces.len() <= PIECES_RUNNING as usize);
        rows.check();
        rows.pass(true);
        rows.check();
        assert!(rows.pieces.len() < PIECES_ENDED as usize, "{} pieces", rows.pieces.len());
    }
}

#[test]
fn points_of_one_moment_and_of_the_past_are_kept_and_rewrite_no_full_chunk() {
    for time in [|_| 7_i64, |step: i64| -step] {
        let rows = run(1, 500, 300, time);
        assert!(rows.chunks.values().any(|(points, _)| *points as usize == POINTS_MAX), "none is full");
        assert_eq!(rows.full_taken, 0, "a full chunk was rewritten");
        rows.check();
    }
}

#[test]
fn old_pieces_wait_for_half_as_many_newer_points() {
    let check = |points: &[i64], taken: usize| {
        let sizes: Sizes = (1..).zip(points.iter().copied()).collect();
        assert_eq!(worthwhile(&sizes, false).len(), taken, "{points:?}");
    };
    check(&[], 0);
    check(&[5], 0);
    check(&[10, 5], 2);
    check(&[11, 5], 0);
    check(&[1, 500, 1], 3);
    check(&[1_003, 500, 1], 0);
    check(&[20_000, 255, 100, 100, 100], 4);
    assert_eq!(worthwhile(&[(1, 11), (2, 5)], true).len(), 2, "all of one that has ended");
}
