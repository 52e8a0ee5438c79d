//! Single cases, computed by hand.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Int64Array, RecordBatch, TimestampNanosecondArray};
use datafusion::arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use syntax::features::Aggregate;

use super::{Row, bits, declared, plan, read, row};
use crate::panes::{Moments, PanePlan, Panes, PassedOver, Rows};

/// Names and values of the features that are there, at a time.
fn seen(rows: &[Row], micros: i64) -> Vec<(String, f64)> {
    let plan = plan(&[], "0us");
    let panes = Panes::of(plan.clone(), &read(&plan, rows)).unwrap();
    let entity = panes.entities().next().unwrap().clone();
    let names = plan.declared().features.iter().map(|feature| feature.name.clone());
    let values = panes.features(&entity, micros);
    names.zip(values).filter_map(|(name, value)| value.map(|value| (name, value))).collect()
}

fn value(rows: &[Row], micros: i64, name: &str) -> Option<f64> {
    seen(rows, micros).into_iter().find(|(other, _)| other == name).map(|(_, value)| value)
}

#[test]
fn a_window_is_whole_panes_that_are_over() {
    let rows = [row(1, 0, 1.0), row(2, 9, 2.0), row(3, 10, 4.0), row(4, 39, 8.0)];
    for (micros, sum) in [
        (0, None),
        (9, None),
        (10, Some(3.0)),
        (19, Some(3.0)),
        (20, Some(7.0)),
        (30, Some(7.0)),
        (39, Some(7.0)),
        (40, Some(12.0)),
        (50, Some(8.0)),
        (69, Some(8.0)),
        (70, None),
    ] {
        assert_eq!(value(&rows, micros, "sum_30us"), sum, "at {micros}");
    }
    // Before 1970 panes are cut downwards too.
    let early = [row(1, -1, 1.0), row(2, -11, 2.0)];
    assert_eq!(value(&early, -1, "sum_30us"), Some(2.0));
    assert_eq!(value(&early, 0, "sum_30us"), Some(3.0));
}

#[test]
fn deviations_are_those_of_the_textbook() {
    // Two panes: 2, 4, 4, 4 and 5, 5, 7, 9. Mean 5, squared deviations 32.
    let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
    let rows: Vec<Row> = (0..).zip(values).map(|(id, value)| row(id, id * 10 / 4, value)).collect();
    assert_eq!(value(&rows, 20, "mean_30us"), Some(5.0));
    assert_eq!(value(&rows, 20, "std_population_30us"), Some(2.0));
    assert_eq!(value(&rows, 20, "std_30us"), Some((32.0_f64 / 7.0).sqrt()));
    assert_eq!(value(&rows[..1], 20, "std_30us"), None);
    assert_eq!(value(&rows[..1], 20, "std_population_30us"), Some(0.0));
    // A large common offset costs few digits; the sum of squares less the square of the sum would lose all.
    let rows: Vec<Row> = (0..).zip(values).map(|(id, value)| row(id, id * 10 / 4, value + 1e9)).collect();
    let deviation = value(&rows, 20, "std_population_30us").unwrap();
    assert!((deviation - 2.0).abs() < 1e-8, "{deviation}");
}

#[test]
fn special_values_have_one_meaning() {
    let one = |value: f64| [row(1, 0, value)];
    assert_eq!(value(&one(-0.0), 10, "sum_30us").map(f64::to_bits), Some((-0.0_f64).to_bits()));
    let zeros = [row(1, 0, 0.0), row(2, 1, -0.0)];
    assert_eq!(value(&zeros, 10, "min_30us").map(f64::to_bits), Some((-0.0_f64).to_bits()));
    assert_eq!(value(&zeros, 10, "max_30us").map(f64::to_bits), Some(0.0_f64.to_bits()));
    let odd = [row(1, 0, f64::from_bits(0xfff8_0000_0000_0123)), row(2, 1, 1.0)];
    assert_eq!(value(&odd, 10, "max_30us").map(f64::to_bits), Some(f64::NAN.to_bits()));
    assert_eq!(value(&odd, 10, "min_30us"), Some(1.0));
    assert_eq!(value(&odd, 10, "sum_30us").map(f64::to_bits), Some(f64::NAN.to_bits()));
    let wide = [row(1, 0, f64::INFINITY), row(2, 1, f64::NEG_INFINITY)];
    assert_eq!(value(&wide, 10, "sum_30us").map(f64::to_bits), Some(f64::NAN.to_bits()));
    assert_eq!(value(&one(f64::INFINITY), 10, "mean_30us"), Some(f64::INFINITY));
    assert_eq!(
        value(&one(f64::INFINITY), 10, "std_population_30us").map(f64::to_bits),
        Some(f64::NAN.to_bits())
    );
}

#[test]
fn the_last_value_is_by_time_and_then_by_row_key() {
    let rows = [row(5, 3, 50.0), row(9, 3, 90.0), row(7, 3, 70.0), row(8, 1, 80.0)];
    assert_eq!(value(&rows, 10, "last_30us"), Some(90.0));
    let mut with_null = rows.to_vec();
    with_null.push(Row { amount: None, ..row(10, 4, 0.0) });
    assert_eq!(value(&with_null, 10, "last_30us"), Some(90.0));
    assert_eq!(value(&with_null, 10, "count_30us"), Some(4.0));
    assert_eq!(value(&with_null, 10, "rows"), Some(5.0));
}

#[test]
fn nothing_is_no_rows_and_no_values() {
    let plan = plan(&[], "0us");
    let nothing = plan.nothing();
    for (feature, value) in plan.declared().features.iter().zip(nothing) {
        let expected = (feature.aggregate == Aggregate::Count).then_some(0.0);
        assert_eq!(value, expected, "{}", feature.name);
    }
    assert_eq!(Moments::NONE.aggregate(Aggregate::Sum), None);
}

#[test]
fn late_rows_fold_their_pane_again_and_later_ones_are_named() {
    let plan = plan(&[], "25us");
    let mut source = vec![row(1, 0, 1.0), row(2, 40, 2.0)];
    let mut panes = Panes::of(plan.clone(), &read(&plan, &source)).unwrap();
    assert_eq!(panes.newest_micros(), Some(40));
    let new = [row(3, 15, 4.0), row(4, 14, 8.0), row(5, 41, 16.0)];
    let arrival = panes.arrive(&read(&plan, &new), i64::MAX).unwrap();
    assert_eq!(arrival.too_late, [1]);
    assert_eq!(arrival.touched.iter().map(|(_, index)| index).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(arrival.touched.span(), Some((1, 4)));
    source.extend([new[0].clone(), new[2].clone()]);
    panes.refold(&arrival.touched, &read(&plan, &source)).unwrap();
    let whole = Panes::of(plan.clone(), &read(&plan, &source)).unwrap();
    let entity = whole.entities().next().unwrap().clone();
    assert_eq!(panes.of_entity(&entity), whole.of_entity(&entity));
    // Only what sees a touched pane is published: nothing before the end of pane 1.
    let published: Vec<i64> = panes.publish(&arrival.touched).unwrap().iter().map(|row| row.micros).collect();
    let all: Vec<i64> = whole.publish_all().unwrap().iter().map(|row| row.micros).collect();
    assert_eq!(all[..2], [10, 20]);
    assert_eq!(published, all[1..]);
}

#[test]
fn a_row_that_is_dated_ahead_makes_no_other_late() {
    let plan = plan(&[], "25us");
    let mut source = vec![row(1, 0, 1.0), row(2, 1_000_000, 2.0)];
    let mut panes = Panes::of(plan.clone(), &read(&plan, &source)).unwrap();
    let new = [row(3, 40, 4.0), row(4, 14, 8.0), row(5, 15, 16.0)];
    let arrival = panes.arrive(&read(&plan, &new), 40).unwrap();
    assert_eq!(arrival.too_late, [1], "25 behind what has happened");
    assert_eq!(panes.newest_micros(), Some(1_000_000));
    source.extend([new[0].clone(), new[2].clone()]);
    panes.refold(&arrival.touched, &read(&plan, &source)).unwrap();
    let whole = Panes::of(plan.clone(), &read(&plan, &source)).unwrap();
    let entity = whole.entities().next().unwrap().clone();
    assert_eq!(panes.of_entity(&entity), whole.of_entity(&entity));
}

#[test]
fn a_pane_whose_rows_are_gone_goes_away() {
    let plan = plan(&[], "100us");
    let mut panes = Panes::new(plan.clone());
    let arrival = panes.arrive(&read(&plan, &[row(1, 0, 1.0), row(2, 10, 2.0)]), i64::MAX).unwrap();
    panes.refold(&arrival.touched, &read(&plan, &[row(1, 0, 1.0), row(2, 10, 2.0)])).unwrap();
    panes.refold(&arrival.touched, &read(&plan, &[row(2, 10, 2.0), row(3, 99, 3.0)])).unwrap();
    let entity = panes.entities().next().unwrap().clone();
    assert_eq!(panes.of_entity(&entity).iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
}

#[test]
fn stored_panes_go_on() {
    let plan = plan(&[], "25us");
    let rows = [row(1, 0, 1.0), row(2, 40, 2.0)];
    let whole = Panes::of(plan.clone(), &read(&plan, &rows)).unwrap();
    let entity = whole.entities().next().unwrap().clone();
    let stored = whole.of_entity(&entity).into_iter().map(|(index, pane)| (index, pane.clone())).collect();
    let mut panes = Panes::new(plan.clone());
    panes.restore(entity.clone(), stored, whole.newest_micros());
    assert_eq!(panes.features(&entity, 50), whole.features(&entity, 50));
    assert_eq!(panes.arrive(&read(&plan, &[row(3, 14, 4.0)]), i64::MAX).unwrap().too_late, [0]);
}

#[test]
fn rows_without_a_place_are_counted() {
    let plan = plan(&["card"], "0us");
    let rows = [
        Row { micros: None, card: Some(1), ..row(1, 0, 1.0) },
        row(2, 0, 1.0),
        Row { card: Some(1), ..row(3, i64::MAX, 1.0) },
        Row { card: Some(1), ..row(4, 0, 1.0) },
    ];
    let passed = PassedOver { no_time: 1, no_key: 1, impossible_time: 1 };
    assert_eq!(read(&plan, &rows).passed_over(), passed);
}

#[test]
fn nanoseconds_are_cut_downwards() {
    let plan = PanePlan::new(declared(&[], "0us")).unwrap();
    let batch = super::batch(&[row(1, 0, 1.0), row(2, 0, 2.0)]);
    let columns = [("at", Arc::new(TimestampNanosecondArray::from(vec![-1, 9_999])) as _)];
    let others = ["id", "amount", "fee"].map(|name| (name, batch.column_by_name(name).unwrap().clone()));
    let batch = RecordBatch::try_from_iter(columns.into_iter().chain(others)).unwrap();
    let panes = Panes::of(Arc::new(plan.clone()), &Rows::read(&plan, &batch).unwrap()).unwrap();
    let entity = panes.entities().next().unwrap().clone();
    assert_eq!(panes.of_entity(&entity).iter().map(|(index, _)| *index).collect::<Vec<_>>(), [-1, 0]);
}

#[test]
fn a_published_batch_has_keys_time_and_features() {
    let plan = plan(&["card", "shop"], "0us");
    let rows = [
        Row { card: Some(7), shop: Some("x"), ..row(1, 0, 1.5) },
        Row { card: Some(3), shop: Some("y"), ..row(2, 5, 2.5) },
    ];
    let panes = Panes::of(plan.clone(), &read(&plan, &rows)).unwrap();
    let table = panes.to_batch(&panes.publish_all().unwrap()).unwrap();
    let names: Vec<String> =
        table.schema().fields().iter().take(4).map(|field| field.name().clone()).collect();
    assert_eq!(names, ["card", "shop", "at", "count_30us"]);
    // Each pane enters at 10 and leaves the windows of 1, 3 and 7 panes at 20, 40 and 80.
    let cards: &Int64Array = table.column(0).as_primitive::<Int64Type>();
    assert_eq!(cards.values().to_vec(), [3, 3, 3, 3, 7, 7, 7, 7]);
    assert_eq!(table.column(1).as_string::<i32>().value(0), "y");
    let times = table.column(2).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.values().to_vec(), [10, 20, 40, 80, 10, 20, 40, 80]);
    let counts = table.column(3).as_primitive::<Int64Type>();
    assert_eq!(counts.values().to_vec(), [1, 1, 0, 0, 1, 1, 0, 0]);
    let sums = table.column_by_name("sum_70us").unwrap().as_primitive::<Float64Type>();
    let sums: Vec<Option<f64>> = sums.iter().collect();
    assert_eq!(bits(&sums[4..]), bits(&[Some(1.5), Some(1.5), Some(1.5), None]));
}
