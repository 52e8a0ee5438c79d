//! Segments against fixed bytes, hostile bytes and a model that keeps every cell in a set.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::tracking::document::{DatasetInput, Point, RunDocument};

type Columns = BTreeMap<ColumnId, Vec<u8>>;
/// (kind, key, run id, value as text).
type Model = BTreeSet<(Kind, String, i64, String)>;

fn document(params: &[(&str, &str)], metrics: &[(&str, f64)]) -> RunDocument {
    let mut document = RunDocument::default();
    for (key, value) in params {
        document.set_param(key, value).unwrap();
    }
    document.log_points(metrics.iter().map(|(key, value)| (*key, Point::new(5, 1, *value))).collect());
    document
}

fn facts(run_id: i64, document: &RunDocument) -> RunFacts<'_> {
    let mut uuid = [7; 16];
    uuid[8..].copy_from_slice(&run_id.to_be_bytes());
    let end_time_ms = (run_id % 2 == 0).then_some(run_id + 9);
    RunFacts {
        uuid,
        user: "ann",
        status: "FINISHED",
        start_time_ms: 1000 + run_id,
        end_time_ms,
        deleted: false,
        document,
    }
}

fn store(columns: &mut Columns, mut builder: SegmentBuilder) -> SegmentChanges {
    for (id, bytes) in columns.iter().filter(|(id, _)| id.kind != Kind::Rows) {
        builder.merge(id.clone(), bytes).unwrap();
    }
    let changes = builder.finish();
    for id in &changes.removed {
        columns.remove(id).unwrap();
    }
    columns.extend(changes.written.iter().cloned());
    changes
}

fn load(columns: &Columns) -> SegmentBuilder {
    let rows = ColumnId { kind: Kind::Rows, key: String::new() };
    columns.get(&rows).map_or_else(SegmentBuilder::default, |rows| SegmentBuilder::from_rows(rows).unwrap())
}

fn read_all(columns: &Columns) -> Model {
    let rows = ColumnId { kind: Kind::Rows, key: String::new() };
    let Some(ids) = columns.get(&rows).map(|bytes| Column::read(bytes).unwrap()) else { return Model::new() };
    let mut model = Model::new();
    for (id, bytes) in columns.iter().filter(|(id, _)| id.kind != Kind::Rows) {
        let column = Column::read(bytes).unwrap();
        for (row, slot) in column.cells() {
            let text = column.texts().map(|texts| format!("{:?}", texts.entry(texts.code_at(slot))));
            let value = text
                .or_else(|| column.int_at(slot).map(|value| value.to_string()))
                .or_else(|| column.float_at(slot).map(|value| format!("{value:?}")))
                .or_else(|| column.uuid_at(slot).map(|value| format!("{value:?}")));
            let run_id = ids.int_at(ids.slot(row).unwrap()).unwrap();
            model.insert((id.kind, id.key.clone(), run_id, value.unwrap()));
        }
    }
    model
}

fn add_to_model(model: &mut Model, run_id: i64, facts: &RunFacts<'_>) {
    model.retain(|(_, _, id, _)| *id != run_id);
    facts.visit(|kind, key, cell| {
        let value = match cell {
            Cell::Int(value) => value.to_string(),
            Cell::Float(value) => format!("{value:?}"),
            Cell::Text(value) => format!("{value:?}"),
            Cell::Uuid(value) => format!("{value:?}"),
        };
        model.insert((kind, key.to_owned(), run_id, value));
    });
}

fn small_segment() -> Columns {
    let mut columns = Columns::new();
    let mut builder = SegmentBuilder::default();
    for run_id in 1..=3 {
        let mut document = document(&[("lr", ["0.1", "0.2"][run_id % 2])], &[("auc", 0.5 * run_id as f64)]);
        if run_id == 2 {
            document.log_points(vec![("late", Point::new(0, 0, 0.1))]);
        }
        builder.apply(run_id as i64, &facts(run_id as i64, &document)).unwrap();
    }
    store(&mut columns, builder);
    columns
}

#[test]
fn bytes_of_version_1_are_fixed() {
    let columns = small_segment();
    let golden = [
        (Kind::Rows, "", "01010003030206000401000102"),
        (Kind::Attribute, "end_time", "010101030116160009020000000000000000"),
        (Kind::Attribute, "status", "0103000303000d0102080046494e495348454400"),
        (Kind::Metric, "auc", "0102000303000000000000e03f000000000000f83f00000d040000003f0000803f0000c03f"),
        (Kind::Metric, "late", "01020203019a9999999999b93f9a9999999999b93f00000b0100089a9999999999b93f"),
        (Kind::Param, "lr", "01030003030010020203000600302e31302e3201010001"),
    ];
    for (kind, key, bytes) in golden {
        let found = hex::encode(&columns[&ColumnId { kind, key: key.into() }]);
        assert_eq!(found, bytes, "{kind:?} {key}");
    }
    assert_eq!(Kind::ALL.map(|kind| Kind::from_code(kind.code()).unwrap()), Kind::ALL);
    assert_eq!(Kind::from_code(8), None);
    assert_eq!((Kind::MetricMin.code(), Kind::MetricMax.code()), (6, 7));
}

#[test]
fn every_cut_and_every_flipped_bit_is_an_error_or_a_column() {
    for bytes in small_segment().values() {
        for len in 0..bytes.len() {
            Column::read(&bytes[..len]).unwrap_err();
        }
        for at in 0..bytes.len() * 8 {
            let mut hostile = bytes.clone();
            hostile[at / 8] ^= 1 << (at % 8);
            let Ok(column) = Column::open(&hostile) else { continue };
            _ = Column::read(&hostile);
            for (_, slot) in column.cells() {
                _ = (column.int_at(slot), column.float_at(slot), column.uuid_at(slot));
                _ = column.texts().map(|texts| texts.entry(texts.code_at(slot)).len());
            }
            for row in 0..70 {
                _ = column.slot(row);
            }
        }
    }
}

#[test]
fn only_what_changed_is_written() {
    let mut columns = small_segment();
    let same = document(&[("lr", "0.1")], &[("auc", 1.0), ("late", 0.1)]);
    let mut builder = load(&columns);
    builder.apply(2, &facts(2, &same)).unwrap();
    assert_eq!(store(&mut columns, builder).written, []);

    let mut builder = load(&columns);
    builder.apply(2, &facts(2, &document(&[("lr", "0.1")], &[("auc", 7.0)]))).unwrap();
    let changes = store(&mut columns, builder);
    let written: Vec<&str> = changes.written.iter().map(|(id, _)| id.key.as_str()).collect();
    assert_eq!(written, ["auc"]);
    assert_eq!(changes.removed, [ColumnId { kind: Kind::Metric, key: "late".into() }]);
    assert_eq!((changes.runs, changes.run_ids), (3, Some((1, 3))));
}

#[test]
fn bounds_cost_nothing_where_they_are_the_latest_value() {
    let mut document = RunDocument::default();
    let point = |key: &'static str, step: i64, value: f64| (key, Point::new(1, step, value));
    document.log_points(vec![
        point("one", 0, 1.0),
        point("nan", 0, f64::NAN),
        point("up", 0, 1.0),
        point("up", 1, 2.0),
    ]);
    document.log_points(vec![point("dip", 0, 5.0), point("dip", 1, 1.0), point("dip", 2, f64::NAN)]);
    let mut bounds = Vec::new();
    facts(1, &document).visit(|kind, key, cell| {
        if matches!(kind, Kind::MetricMin | Kind::MetricMax) {
            bounds.push((kind, key.to_owned(), cell));
        }
    });
    let cell = |kind: Kind, key: &str, value: f64| (kind, key.to_owned(), Cell::Float(value));
    let expected = [
        cell(Kind::MetricMin, "dip", 1.0),
        cell(Kind::MetricMax, "dip", 5.0),
        cell(Kind::MetricMin, "up", 1.0),
    ];
    assert_eq!(bounds, expected);
}

#[test]
fn a_segment_says_how_large_it_is_unpacked() {
    let text = "x".repeat(10_000);
    let mut columns = Columns::new();
    let mut builder = SegmentBuilder::default();
    builder.apply(1, &facts(1, &document(&[("a", text.as_str()), ("b", "1")], &[]))).unwrap();
    let one = store(&mut columns, builder).bytes;
    assert!((10_000..11_000).contains(&one), "{one}");
    // The same text again costs its place only, wherever it came from; another one costs its length.
    let mut builder = load(&columns);
    builder.apply(2, &facts(2, &document(&[("a", text.as_str())], &[]))).unwrap();
    let two = store(&mut columns, builder).bytes;
    assert!((one..one + 1_000).contains(&two), "{two}");
    let mut builder = load(&columns);
    builder.apply(3, &facts(3, &document(&[("a", &text.to_uppercase())], &[]))).unwrap();
    let three = store(&mut columns, builder).bytes;
    assert!((two + 10_000..two + 11_000).contains(&three), "{three}");
}

#[test]
fn a_full_segment_takes_no_other_run() {
    let document = RunDocument::default();
    let mut builder = SegmentBuilder::default();
    for run_id in 0..SEGMENT_RUNS_MAX as i64 {
        builder.apply(run_id, &facts(run_id, &document)).unwrap();
    }
    assert_eq!(builder.apply(-1, &facts(-1, &document)), Err(SegmentFull));
    builder.apply(5, &facts(5, &document)).unwrap();
    let mut columns = Columns::new();
    store(&mut columns, builder);
    assert_eq!(load(&columns).len(), SEGMENT_RUNS_MAX);
}

fn any_document() -> impl Strategy<Value = RunDocument> {
    let texts = || prop::collection::btree_map("[ab]", "[xyé]{0,2}", 0..3);
    let metrics = prop::collection::vec(("[ab]", prop_oneof![Just(f64::NAN), Just(0.1), Just(2.0)]), 0..3);
    let inputs = prop::collection::vec(("[de]", prop::option::of("[st]")), 0..3);
    (texts(), texts(), metrics, inputs).prop_map(|(params, tags, metrics, inputs)| {
        let mut document = RunDocument::default();
        for (key, value) in &params {
            assert!(document.set_param(key, value).unwrap());
        }
        for (key, value) in &tags {
            assert!(document.set_tag(key, value));
        }
        let points =
            (0..).zip(&metrics).map(|(step, (key, value))| (key.as_str(), Point::new(1, step, *value)));
        document.log_points(points.collect());
        for (name, context) in inputs {
            document.add_dataset(DatasetInput { name, digest: "d".into(), context });
        }
        document
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_segment_updated_in_steps_holds_what_its_runs_hold(
        steps in prop::collection::vec(
            prop::collection::vec((0_i64..12, prop::option::weighted(0.9, any_document())), 0..8), 1..5)
    ) {
        let mut columns = Columns::new();
        let mut model = Model::new();
        for step in &steps {
            let mut builder = load(&columns);
            for (run_id, document) in step {
                if let Some(document) = document {
                    builder.apply(*run_id, &facts(*run_id, document)).unwrap();
                    add_to_model(&mut model, *run_id, &facts(*run_id, document));
                } else {
                    builder.remove(*run_id);
                    model.retain(|(_, _, id, _)| id != run_id);
                }
            }
            let changes = store(&mut columns, builder);
            prop_assert_eq!(read_all(&columns), model.clone());
            let ids: BTreeSet<i64> = model.iter().map(|(_, _, id, _)| *id).collect();
            prop_assert_eq!(changes.runs, ids.len());
        }
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), data in 1_u8..5) {
        let mut bytes = bytes;
        bytes.splice(..0, [1, data]);
        _ = Column::read(&bytes);
    }
}
