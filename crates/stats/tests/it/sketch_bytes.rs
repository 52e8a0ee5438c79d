//! The stored form: bytes that never change, and bytes that nobody should trust.

use std::{fs, path::Path};

use proptest::prelude::*;
use stats::{
    StatsError,
    sketch::{CategorySketch, ColumnSketch, FORMAT, NumericSketch},
};

use crate::draw::Draw;

/// One of each kind, with all that the format has.
fn examples() -> Vec<(&'static str, ColumnSketch)> {
    let mut numeric = NumericSketch::new(16).unwrap();
    for row in 0..300 {
        numeric.insert(f64::from(row) * 0.1);
    }
    for missing in [None, None, None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY)] {
        numeric.insert(missing);
    }
    let single = [1.5, -2.0, 1.5, 0.25].into_iter().collect::<NumericSketch>();
    let names = [Some("card"), Some("übrig"), None, Some("card"), Some("")];
    vec![
        ("numeric_v1", ColumnSketch::Numeric(numeric)),
        ("numeric_single_v1", ColumnSketch::Numeric(single)),
        ("numeric_empty_v1", ColumnSketch::Numeric(NumericSketch::default())),
        ("categorical_v1", ColumnSketch::Categorical(names.into_iter().collect())),
    ]
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap();
    let digits =
        |line: &[u8]| line.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect::<String>();
    bytes.chunks(32).map(|line| digits(line) + "\n").collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Written by the release that made the format. `UPDATE_GOLDEN=1` writes files that are not there yet, and no others.
#[test]
fn stored_bytes_stay_readable_and_are_written_again_alike() {
    // Asked for when it runs: a target directory that two checkouts share may hold a binary that the other one built.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    for (name, sketch) in examples() {
        let path = Path::new(&root).join(format!("tests/golden/{name}.hex"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() && !path.exists() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, hex(&sketch.to_bytes())).unwrap();
        }
        let stored = fs::read_to_string(&path).unwrap_or_else(|_| panic!("{} is not there", path.display()));
        assert_eq!(hex(&sketch.to_bytes()), stored, "{name}");
        assert_eq!(ColumnSketch::from_bytes(&unhex(&stored)).unwrap(), canonical(sketch), "{name}");
    }
}

/// What is read has its levels sorted.
fn canonical(sketch: ColumnSketch) -> ColumnSketch {
    ColumnSketch::from_bytes(&sketch.to_bytes()).unwrap()
}

/// A sketch that was stored and read goes on as if it had not been.
#[test]
fn reading_changes_nothing_that_follows() {
    let values = Draw::new(1).normals(30_000, 0.0, 1.0);
    let (first, rest) = values.split_at(12_345);
    let mut kept: NumericSketch = first.iter().copied().collect();
    let ColumnSketch::Numeric(mut read) = canonical(ColumnSketch::Numeric(kept.clone())) else {
        panic!("a numeric column came back as another")
    };
    for &value in rest {
        kept.insert(value);
        read.insert(value);
    }
    assert_eq!(ColumnSketch::Numeric(kept).to_bytes(), ColumnSketch::Numeric(read).to_bytes());
}

#[test]
fn sizes_are_small() {
    let values = Draw::new(2).normals(1_000_000, 0.0, 1.0);
    let sketch = ColumnSketch::Numeric(values.iter().copied().collect());
    assert!(sketch.to_bytes().len() < 13_000, "{}", sketch.to_bytes().len());
    let single = ColumnSketch::Numeric(values.iter().map(|value| f64::from(*value as f32)).collect());
    assert!(single.to_bytes().len() < 6_600, "{}", single.to_bytes().len());
    let few: CategorySketch = ["a", "b", "c"].iter().map(|name| Some(*name)).collect();
    assert!(ColumnSketch::Categorical(few).to_bytes().len() < 20);
}

#[test]
fn other_formats_are_named() {
    let mut bytes = examples()[0].1.to_bytes();
    bytes[0] = FORMAT + 1;
    let newer = ColumnSketch::from_bytes(&bytes).unwrap_err();
    assert_eq!(newer, StatsError::UnknownFormat { found: FORMAT + 1, known: FORMAT });
    assert_eq!(
        newer.to_string(),
        "the sketch has format 2, this release reads up to 1: read it with a newer release"
    );
    bytes[0] = 0;
    assert!(matches!(ColumnSketch::from_bytes(&bytes), Err(StatsError::Damaged { at: 1, .. })));
}

#[test]
fn every_cut_is_noticed() {
    for (name, sketch) in examples() {
        let bytes = sketch.to_bytes();
        for length in 0..bytes.len() {
            let cut = ColumnSketch::from_bytes(&bytes[..length]);
            assert!(matches!(cut, Err(StatsError::Damaged { .. })), "{name} cut at {length}");
        }
        let longer = [bytes, vec![0]].concat();
        assert!(ColumnSketch::from_bytes(&longer).is_err(), "{name} with a byte more");
    }
}

/// A number that was changed in a way which leaves every field well formed.
#[test]
fn rows_have_to_add_up() {
    let mut numeric = examples()[1].1.to_bytes();
    assert_eq!(numeric[5..8], [0x80, 0x04, 4], "accuracy 512, then four rows");
    numeric[7] = 5;
    let why = "the values do not stand for as many rows as it says";
    assert!(
        matches!(ColumnSketch::from_bytes(&numeric), Err(StatsError::Damaged { why: found, .. }) if found == why)
    );
    let mut categorical = examples()[3].1.to_bytes();
    assert_eq!(categorical[2..4], [1, 4], "one row without a category, four with");
    categorical[3] = 9;
    let why = "the counts do not add up";
    assert!(
        matches!(ColumnSketch::from_bytes(&categorical), Err(StatsError::Damaged { why: found, .. }) if found == why)
    );
}

/// Claims of sizes that are not there, which a careless reader would allocate.
#[test]
fn claims_are_not_believed() {
    let huge = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
    let categorical = [[FORMAT, 1, 0].as_slice(), &[5], &[0], &huge].concat();
    assert!(matches!(ColumnSketch::from_bytes(&categorical), Err(StatsError::Damaged { .. })));
    let mut numeric = examples()[2].1.to_bytes();
    let at = numeric.len() - 16 - 2;
    assert_eq!(numeric[at..at + 2], [1, 0], "one level without values");
    numeric.splice(at + 1..at + 2, huge);
    assert!(matches!(ColumnSketch::from_bytes(&numeric), Err(StatsError::Damaged { .. })));
}

/// What was read may be used for everything without a panic.
fn use_it(mut sketch: ColumnSketch) {
    let again = sketch.clone();
    drop(sketch.merge(&again));
    drop(sketch.merge(&examples()[0].1));
    drop(sketch.merge(&examples()[3].1));
    if let ColumnSketch::Numeric(numeric) = &mut sketch {
        for row in 0..100 {
            numeric.insert(f64::from(row));
        }
        let known = stats::drift::Distribution::from(&*numeric);
        drop(stats::drift::wasserstein(&known, &known, stats::Confidence::P95));
        drop(stats::drift::NumericBins::quantiles(&known, 10));
    }
    assert!(ColumnSketch::from_bytes(&sketch.to_bytes()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_bytes_never_panic(
        which in 0..4_usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let mut bytes = examples()[which].1.to_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(sketch) = ColumnSketch::from_bytes(&bytes) {
            use_it(sketch);
        }
    }

    #[test]
    fn any_bytes_never_panic(kind in 0..3_u8, rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [vec![FORMAT, kind], rest].concat();
        if let Ok(sketch) = ColumnSketch::from_bytes(&bytes) {
            use_it(sketch);
        }
    }

    #[test]
    fn what_was_written_is_read(values in prop::collection::vec(prop::option::of(any::<f64>()), 0..700)) {
        let sketch = ColumnSketch::Numeric(values.iter().copied().collect());
        let bytes = sketch.to_bytes();
        let read = ColumnSketch::from_bytes(&bytes).unwrap();
        prop_assert_eq!(read.to_bytes(), bytes);
        prop_assert_eq!((read.rows(), read.missing()), (sketch.rows(), sketch.missing()));
    }
}
