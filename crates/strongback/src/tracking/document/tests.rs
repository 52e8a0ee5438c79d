//! Documents against fixed bytes, hostile bytes and a model that keeps every point in a set.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn sample() -> RunDocument {
    let mut document = RunDocument::default();
    document.set_param("lr", "0.1").unwrap();
    document.set_param("depth", "6").unwrap();
    document.set_tag("mlflow.runName", "calm-owl-7");
    let plan = document.log_points(vec![
        ("loss", Point::new(1_700_000_000_000, 3, 0.25)),
        ("auc", Point::new(1_700_000_000_001, 3, 0.1)),
        ("nan", Point::new(1_700_000_000_001, -1, f64::NAN)),
    ]);
    assert_eq!((plan.series.len(), plan.accepted), (0, 3));
    document.add_dataset(DatasetInput {
        name: "ulb".into(),
        digest: "ab12".into(),
        context: Some("train".into()),
    });
    document.add_dataset(DatasetInput { name: "ulb".into(), digest: "ab12".into(), context: None });
    document
}

/// The sample, written by version 1. Of one point a metric, nothing but the version is different.
const VERSION_1: &str = "01\
        02\
        05646570746801\
        36\
        026c7203302e31\
        01\
        0e6d6c666c6f772e72756e4e616d650a63616c6d2d6f776c2d37\
        03\
        03617563029a9999999999b93f82a0abfef96206\
        046c6f7373030000803e0100\
        036e616e030000c07f0207\
        02\
        03756c62046162313200\
        03756c6204616231320105747261696e";

#[test]
fn bytes_of_version_1_are_read_and_settled_by_the_history() {
    let document = sample();
    assert_eq!(RunDocument::decode(&hex::decode(VERSION_1).unwrap()).unwrap(), document);
    // A metric of three points, the latest of them 2.5 at (2, 2).
    let bytes = hex::decode("01000001046c6f73730700002040040400").unwrap();
    let mut document = RunDocument::decode(&bytes).unwrap();
    assert_eq!(document.metric("loss").unwrap().bounds(), None);
    assert_eq!(document.unsettled().collect::<Vec<_>>(), ["loss"]);
    // What comes meanwhile is not lost, also over a store.
    document.log_points(vec![("loss", Point::new(3, 3, -7.0)), ("other", Point::new(3, 3, 1.0))]);
    let mut document = RunDocument::decode(&document.encode()).unwrap();
    assert_eq!(document.unsettled().collect::<Vec<_>>(), ["loss"]);
    document.settle("loss", [9.0, f64::NAN, 2.5].into_iter().map(Value::new).collect());
    let bounds = document.metric("loss").unwrap().bounds().unwrap();
    assert_eq!((bounds.min(), bounds.max()), (Some(-7.0), Some(9.0)));
    assert_eq!(document.unsettled().next(), None);
    assert_eq!(RunDocument::decode(&document.encode()).unwrap(), document);
}

#[test]
fn bytes_of_version_2_are_fixed() {
    let mut document = RunDocument::default();
    let points = |values: &'static [f64]| (0..).zip(values).map(|(at, value)| Point::new(at, at, *value));
    for (key, values) in
        [("a", &[0.5, 0.25, 3.0, 0.1][..]), ("b", &[f64::NAN, f64::NAN]), ("c", &[2.0, 1.0]), ("d", &[4.0])]
    {
        document.log_points(points(values).map(|point| (key, point)).collect());
    }
    let golden = "02000004\
        0161089a9999999999b93f060610000040 40"
        .replace(' ', "");
    assert!(hex::encode(document.encode()).starts_with(&golden), "{}", hex::encode(document.encode()));
    assert_eq!(RunDocument::decode(&document.encode()).unwrap(), document);
    // One point is its own bounds, and costs nothing.
    let plain = hex::encode(sample().encode());
    assert_eq!(format!("01{}", &plain[2..]), VERSION_1);
}

#[test]
fn bounds_are_of_numbers() {
    let mut document = RunDocument::default();
    let mut bounds = |value: f64, step: i64| {
        document.log_points(vec![("m", Point::new(1, step, value))]);
        let bounds = document.metric("m").unwrap().bounds().unwrap();
        (bounds.min(), bounds.max())
    };
    assert_eq!(bounds(f64::NAN, 0), (None, None));
    assert_eq!(bounds(f64::NAN, 1), (None, None));
    assert_eq!(bounds(-1.0, 2), (Some(-1.0), Some(-1.0)));
    assert_eq!(bounds(f64::NAN, 3), (Some(-1.0), Some(-1.0)));
    assert_eq!(bounds(f64::INFINITY, 4), (Some(-1.0), Some(f64::MAX)));
    assert_eq!(bounds(f64::NEG_INFINITY, 0), (Some(f64::MIN), Some(f64::MAX)));
    // Sent again.
    assert_eq!(bounds(f64::NEG_INFINITY, 0), (Some(f64::MIN), Some(f64::MAX)));
}

#[test]
fn every_cut_and_every_flipped_bit_is_an_error_or_a_document() {
    let mut document = sample();
    document.log_points(vec![("loss", Point::new(1, 4, 0.1)), ("auc", Point::new(1, 1, 0.5))]);
    let bytes = document.encode();
    for len in 0..bytes.len() {
        RunDocument::decode(&bytes[..len]).unwrap_err();
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut hostile = bytes.clone();
            hostile[at] ^= 1 << bit;
            if let Ok(document) = RunDocument::decode(&hostile) {
                RunDocument::decode(&document.encode()).unwrap();
            }
        }
    }
    let huge_count = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(RunDocument::decode(&huge_count).unwrap_err().why, "count exceeds what follows");
    assert_eq!(RunDocument::decode(&[3, 0, 0, 0, 0]).unwrap_err().why, "unknown version");
}

#[test]
fn params_are_written_once_and_tags_freely() {
    let mut document = sample();
    assert_eq!(document.set_param("lr", "0.1"), Ok(false));
    let conflict = document.set_param("lr", "0.2").unwrap_err();
    assert_eq!(conflict.to_string(), r#"param "lr" is already "0.1" and cannot become "0.2""#);
    assert!(!document.set_tag("mlflow.runName", "calm-owl-7"));
    assert!(document.set_tag("mlflow.runName", "x"));
    assert!(document.delete_tag("mlflow.runName"));
    assert!(!document.delete_tag("mlflow.runName"));
    assert!(!document.add_dataset(document.datasets()[0].clone()));
}

#[test]
fn the_second_point_moves_the_first_into_history() {
    let mut document = RunDocument::default();
    let first = Point::new(10, 0, 1.0);
    let second = Point::new(9, 1, f64::INFINITY);
    assert!(document.log_points(vec![("m", first)]).series.is_empty());
    assert_eq!(document.log_points(vec![("m", first)]), AppendPlan::default());
    let plan = document.log_points(vec![("m", first), ("m", second), ("m", second)]);
    assert_eq!(plan.series, [Series { key: "m".into(), points: vec![second, first] }]);
    assert_eq!(plan.accepted, 1);
    let metric = document.metric("m").unwrap();
    assert_eq!((metric.latest, metric.points), (second, 2));
    assert_eq!(metric.latest.value.get(), f64::MAX);
    // Later ones go alone, even where they are older than the latest.
    let third = Point::new(1, -5, 3.0);
    assert_eq!(document.log_points(vec![("m", third)]).series[0].points, [third]);
    assert_eq!(document.metric("m").unwrap().latest, second);
}

#[test]
fn nan_ranks_as_a_zero_with_a_flag() {
    let mut values = [1.0, f64::NAN, -1.0, 0.0, -0.0, f64::NEG_INFINITY].map(Value::new);
    values.sort();
    let sorted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    assert_eq!(sorted, ["-1.7976931348623157e308", "-1.0", "0.0", "0.0", "NaN", "1.0"]);
}

fn point() -> impl Strategy<Value = Point> {
    let value =
        prop_oneof![Just(f64::NAN), Just(0.0), Just(-0.0), Just(f64::INFINITY), Just(0.1), Just(-2.0)];
    (0_i64..3, -1_i64..2, value).prop_map(|(time, step, value)| Point::new(time, step, value))
}

proptest! {
    #[test]
    fn document_and_history_hold_what_a_set_of_all_points_holds(
        batches in prop::collection::vec(prop::collection::vec(("[abc]", point()), 0..6), 0..12)
    ) {
        let mut document = RunDocument::default();
        let mut history: BTreeMap<String, BTreeSet<Point>> = BTreeMap::new();
        let mut model: BTreeMap<String, BTreeSet<Point>> = BTreeMap::new();
        for batch in &batches {
            let before = document.clone();
            let plan = document.log_points(batch.iter().map(|(key, point)| (key.as_str(), *point)).collect());
            prop_assert_eq!(plan.accepted == 0, before == document);
            prop_assert!(plan.series.is_sorted_by(|a, b| a.key < b.key));
            for series in plan.series {
                prop_assert!(!series.points.is_empty() && series.points.is_sorted_by(|a, b| a < b));
                history.entry(series.key).or_default().extend(series.points);
            }
            for (key, point) in batch {
                model.entry(key.clone()).or_default().insert(*point);
            }
            document = RunDocument::decode(&document.encode()).unwrap();
            prop_assert_eq!(document.metrics().len(), model.len());
            for (key, points) in &model {
                let metric = document.metric(key).unwrap();
                prop_assert_eq!(Some(metric.latest), points.iter().copied().max_by(Point::step_order));
                prop_assert!(metric.points >= points.len() as u64);
                let numbers = points.iter().map(|point| point.value.get()).filter(|number| !number.is_nan());
                let bounds = metric.bounds().unwrap();
                prop_assert_eq!(bounds.min(), numbers.clone().reduce(f64::min));
                prop_assert_eq!(bounds.max(), numbers.reduce(f64::max));
                if metric.is_in_history() {
                    prop_assert_eq!(&history[key], points);
                } else {
                    prop_assert!(points.len() == 1 && !history.contains_key(key));
                }
            }
        }
    }

    #[test]
    fn any_document_comes_back(
        params in prop::collection::btree_map(".{0,8}", ".{0,20}", 0..8),
        tags in prop::collection::btree_map(".{0,8}", ".{0,20}", 0..8),
        points in prop::collection::vec((".{0,3}", any::<i64>(), any::<i64>(), any::<f64>()), 0..20),
    ) {
        let mut document = RunDocument::default();
        for (key, value) in &params {
            document.set_param(key, value).unwrap();
        }
        for (key, value) in &tags {
            document.set_tag(key, value);
        }
        document.log_points(points.iter().map(|(key, t, s, v)| (key.as_str(), Point::new(*t, *s, *v))).collect());
        prop_assert_eq!(RunDocument::decode(&document.encode()).unwrap(), document);
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), version in 1_u8..3) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        if let Ok(document) = RunDocument::decode(&bytes) {
            prop_assert_eq!(RunDocument::decode(&document.encode()).unwrap(), document);
        }
    }
}
