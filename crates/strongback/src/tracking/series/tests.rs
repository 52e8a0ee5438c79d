//! Histories against fixed bytes, hostile bytes, a set of all points, and the sizes they promise.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{chunk::pick, *};
use crate::tracking::document::{Point, Series};

fn batch() -> Vec<Series> {
    let series = |key: &str, values: &[f64]| Series {
        key: key.into(),
        points: (0_i64..).zip(values).map(|(at, value)| Point::new(1000 + 10 * at, at, *value)).collect(),
    };
    vec![series("auc", &[0.5, f64::NAN]), series("loss", &[0.1, 1.0, -3.0])]
}

/// A loss as training code logs it: single precision, a clock that jitters, a step a point.
fn losses(count: usize) -> Vec<Point> {
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise
    };
    let mut time = 1_700_000_000_000_i64;
    (0_i64..count as i64)
        .map(|step| {
            time += 40 + (random() % 20) as i64;
            let noisy = 2.0 / (1.0 + step as f64 / 500.0) * (1.0 + (random() % 1000) as f64 / 5000.0);
            Point::new(time, step, f64::from(noisy as f32))
        })
        .collect()
}

#[test]
fn bytes_of_version_1_are_fixed() {
    let piece = encode_piece(&batch()).unwrap();
    let chunk = encode_chunk(&batch()[1].points).unwrap().unwrap();
    assert_eq!(decode_piece(&piece).unwrap(), batch());
    assert_eq!(
        hex::encode(&piece),
        "01020361756302046c6f7373030007d00fbb0f2728000005000203040008000500009a000000050000990000000500009900000005000099000000050000990000000500009900000005e0f8b9f00800053f7f3f3fc0"
    );
    assert_eq!(
        hex::encode(&chunk.bytes),
        "0103d00f1400020005d00fbb0f0000030002000800039a0000000399000000039900000003990000000399000000039900000003b9f00800033f3fc0"
    );
    assert_eq!(decode_chunk(&chunk.bytes).unwrap(), batch()[1].points);
}

#[test]
fn losses_cost_less_than_eight_bytes_a_point() {
    for (count, bytes_max) in [(1_000, 8.0), (20_000, 5.0), (POINTS_MAX, 5.0)] {
        let chunk = encode_chunk(&losses(count)).unwrap().unwrap();
        let bytes = chunk.bytes.len() as f64 / count as f64;
        println!("{count} points: {bytes:.2} bytes a point");
        assert!(bytes < bytes_max, "{count} points: {bytes:.2} bytes a point");
    }
}

#[test]
fn every_cut_and_every_flipped_bit_is_an_error_or_points() {
    let piece = encode_piece(&batch()).unwrap();
    let chunk = encode_chunk(&losses(300)).unwrap().unwrap().bytes;
    for len in 0..piece.len() {
        decode_piece(&piece[..len]).unwrap_err();
    }
    for len in 0..chunk.len() {
        decode_chunk(&chunk[..len]).unwrap_err();
    }
    for (bytes, bit) in (0..8).flat_map(|bit| [(&piece, bit), (&chunk, bit)]) {
        for at in 0..bytes.len() {
            let mut hostile = bytes.clone();
            hostile[at] ^= 1 << bit;
            _ = (decode_piece(&hostile), decode_chunk(&hostile), ChunkStats::read(&hostile));
            if let (Ok(points), Ok(stats)) = (pick(&hostile, &[0, 5, 299, 1_000]), ChunkStats::read(&hostile))
            {
                let fits = |point: &Point| (stats.step_min..=stats.step_max).contains(&point.step);
                assert!(points.iter().all(fits), "bit {bit} of byte {at}");
            }
        }
    }
    let points = losses(POINTS_MAX + 1);
    assert_eq!(encode_chunk(&points), Err(TooManyPoints { points: POINTS_MAX + 1 }));
    encode_piece(&[Series { key: "m".into(), points }]).unwrap_err();
}

#[test]
fn sampling_takes_the_points_that_mlflow_takes() {
    assert_eq!(sample_ordinals(5, 7), [0, 1, 2, 3, 4]);
    assert_eq!(sample_ordinals(5, 1), [4]);
    assert_eq!(sample_ordinals(5, 0), [4]);
    assert_eq!(sample_ordinals(0, 3), [0_usize; 0]);
    // NTILE(4) over 10 rows: sizes 3, 3, 2, 2; the last bucket gives its last row.
    assert_eq!(sample_ordinals(10, 4), [0, 3, 6, 9]);
    assert_eq!(sample_ordinals(7, 5), [0, 2, 4, 5, 6]);
    assert_eq!(sample_ordinals(1_000_000, 2_000).len(), 2_000);
}

#[test]
fn a_history_of_several_chunks_is_sampled_as_one() {
    let points = losses(POINTS_MAX + 1_000);
    let chunks = merge(vec![Source::Points(points.clone())]).unwrap();
    let stats: Vec<ChunkStats> = chunks.iter().map(|chunk| chunk.stats).collect();
    assert_eq!(stats.iter().map(|stats| stats.points).collect::<Vec<_>>(), [POINTS_MAX, 1_000]);
    let history = History::open(chunks.iter().map(|chunk| Source::Chunk(&chunk.bytes)).collect()).unwrap();
    let sample = history.sample(None, 100).unwrap();
    let expected: Vec<Point> =
        sample_ordinals(points.len(), 100).into_iter().map(|ordinal| points[ordinal]).collect();
    assert_eq!(sample, expected);
}

#[test]
fn a_chunk_is_rewritten_only_with_half_as_many_newer_points() {
    let check = |stored: &[usize], added: usize, begin: usize| {
        assert_eq!(tail(stored, added), begin, "{stored:?} and {added}");
    };
    check(&[], 5, 0);
    check(&[10], 5, 0);
    check(&[11], 5, 1);
    check(&[90, 30, 10], 5, 0);
    check(&[91, 30, 10], 5, 1);
    check(&[90, 31, 10], 5, 2);
    check(&[10, 1_000, 10], 5, 2);
    check(&[POINTS_MAX - 1], POINTS_MAX / 2, 0);
    check(&[POINTS_MAX], POINTS_MAX, 1);
    check(&[10, POINTS_MAX, 10], 5, 2);
}

fn point() -> impl Strategy<Value = Point> {
    let value = prop_oneof![Just(f64::NAN), Just(0.5), Just(0.1), Just(f64::INFINITY), any::<f64>()];
    let number = || prop_oneof![4 => -3_i64..9, 1 => any::<i64>()];
    (number(), number(), value).prop_map(|(time, step, value)| Point::new(time, step, value))
}

proptest! {
    #[test]
    fn any_mixture_of_sources_reads_as_the_set_of_its_points(
        sources in prop::collection::vec((any::<bool>(), prop::collection::vec(point(), 0..12)), 0..6),
        steps in prop::option::of((-3_i64..9, -3_i64..9)),
        max in 1_usize..12,
    ) {
        let sets: Vec<(bool, BTreeSet<Point>)> =
            sources.iter().map(|(chunk, points)| (*chunk, points.iter().copied().collect())).collect();
        let chunks: Vec<Option<Chunk>> = sets
            .iter()
            .map(|(_, set)| encode_chunk(&set.iter().copied().collect::<Vec<_>>()).unwrap())
            .collect();
        let mixture = || {
            sets.iter().zip(&sources).zip(&chunks).map(|((set, loose), chunk)| match chunk {
                Some(chunk) if set.0 => Source::Chunk(&chunk.bytes),
                _ => Source::Points(loose.1.clone()),
            }).collect::<Vec<_>>()
        };
        let expected: Vec<Point> = sets.iter().flat_map(|(_, set)| set).copied().collect::<BTreeSet<_>>()
            .into_iter().collect();
        let history = History::open(mixture()).unwrap();
        prop_assert_eq!(&history.all().unwrap(), &expected);

        let mut pages = Vec::new();
        loop {
            let page = history.page(pages.last().copied(), max).unwrap();
            prop_assert!(page.len() <= max);
            if page.is_empty() { break }
            pages.extend(page);
        }
        prop_assert_eq!(&pages, &expected);

        let mut in_range: Vec<Point> = expected.iter().copied()
            .filter(|point| steps.is_none_or(|(from, to)| from <= point.step && point.step <= to)).collect();
        in_range.sort_by(Point::step_order);
        let sampled: Vec<Point> =
            sample_ordinals(in_range.len(), max).into_iter().map(|ordinal| in_range[ordinal]).collect();
        prop_assert_eq!(history.sample(steps, max).unwrap(), sampled);

        let merged = merge(mixture()).unwrap();
        let back: Vec<Point> = merged.iter().flat_map(|chunk| decode_chunk(&chunk.bytes).unwrap()).collect();
        prop_assert_eq!(back, expected);
    }

    #[test]
    fn any_piece_comes_back(
        batch in prop::collection::btree_map(".{0,4}", prop::collection::btree_set(point(), 1..9), 0..6)
    ) {
        let batch: Vec<Series> = batch.into_iter()
            .map(|(key, points)| Series { key, points: points.into_iter().collect() }).collect();
        let bytes = encode_piece(&batch).unwrap();
        for series in &batch {
            prop_assert_eq!(&piece_series(&bytes, &series.key).unwrap(), &series.points);
        }
        prop_assert_eq!(piece_series(&bytes, "absent").unwrap(), []);
        prop_assert_eq!(decode_piece(&bytes).unwrap(), batch);
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        _ = (decode_piece(&bytes), decode_chunk(&bytes));
    }
}
