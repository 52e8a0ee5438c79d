//! Rows that cannot be folded, and what is said then.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use syntax::features::FeatureTable;

use super::{Row, batch, declared, plan, read, row};
use crate::panes::{Bounds, PaneError, PanePlan, Panes, Rows};

/// The rows' columns, one of them replaced.
fn replaced(name: &str, column: Option<ArrayRef>) -> RecordBatch {
    let batch = batch(&[row(1, 0, 1.0)]);
    let columns = batch.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let columns = columns.into_iter().zip(batch.columns().to_vec());
    let columns = columns.filter_map(|(known, old)| {
        let column = if known == name { column.clone() } else { Some(old) };
        column.map(|column| (known, column))
    });
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

#[test]
fn columns_must_be_there_and_fit() {
    let plan = plan(&["card"], "0us");
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let float: ArrayRef = batch(&[row(1, 0, 1.0)]).column_by_name("amount").unwrap().clone();
    for (name, column, said) in [
        ("amount", None, "the source has no column 'amount'; it has card, shop, at, id, fee"),
        (
            "amount",
            Some(text),
            "column 'amount' is of type Utf8, and what is aggregated is a number or a boolean",
        ),
        ("at", Some(number), "column 'at' is of type Int64, and the timestamp is a timestamp or a date"),
        ("card", Some(float.clone()), "column 'card' is of type Float64, and a key has an exact equality"),
        ("id", Some(float), "column 'id' is of type Float64, and a key has an exact equality"),
    ] {
        let message = Rows::read(&plan, &replaced(name, column)).unwrap_err().to_string();
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn keys_keep_their_type() {
    let plan = plan(&["card"], "0us");
    let mut panes = Panes::new(plan.clone());
    panes.arrive(&read(&plan, &[Row { card: Some(1), ..row(1, 0, 1.0) }]), i64::MAX).unwrap();
    let narrow = replaced("card", Some(Arc::new(Int32Array::from(vec![1]))));
    let message = panes.arrive(&Rows::read(&plan, &narrow).unwrap(), i64::MAX).unwrap_err().to_string();
    assert!(message.contains("column 'card' is of type Int32, and the rows before had another"), "{message}");
}

#[test]
fn a_row_key_tells_rows_apart() {
    let plan = plan(&[], "0us");
    let message =
        Panes::of(plan.clone(), &read(&plan, &[row(1, 5, 1.0), row(1, 5, 2.0)])).unwrap_err().to_string();
    assert!(message.contains("the same event time (5 µs) and the same row key"), "{message}");
    // What is equal in all that counts may stand twice: its order changes nothing.
    let twice = Panes::of(plan.clone(), &read(&plan, &[row(1, 5, 1.0), row(1, 5, 1.0)])).unwrap();
    let entity = twice.entities().next().unwrap().clone();
    assert_eq!(twice.features(&entity, 10)[0], Some(2.0));
}

#[test]
fn a_declaration_is_checked() {
    let wrong = FeatureTable { row_key: vec![], ..declared(&[], "0us") };
    let message = PanePlan::new(wrong).unwrap_err().to_string();
    assert!(message.contains("'row_key' is empty"), "{message}");
}

/// What would take too long or too much memory ends within a row.
#[test]
fn a_computation_ends_when_it_is_told_to_and_holds_no_more_than_it_may() {
    let plan = plan(&["card"], "0us");
    let rows: Vec<Row> = (0..50).map(|n| Row { card: Some(n % 3), ..row(n, n * 10, 1.0) }).collect();
    let rows = read(&plan, &rows);
    let within = |bytes_max, is_to_end: bool| {
        Panes::new(plan.clone()).within(Bounds::new(bytes_max, move || is_to_end)).and_all(&rows)
    };
    assert!(matches!(within(usize::MAX, true), Err(PaneError::ToEnd)));
    assert!(matches!(within(100, false), Err(PaneError::TooLarge { bytes_max: 100 })));
    let all = Panes::of(plan.clone(), &rows).unwrap();
    let told = Panes::of(plan.clone(), &rows).unwrap().within(Bounds::new(usize::MAX, || true));
    assert!(matches!(told.publish_all(), Err(PaneError::ToEnd)));
    let full = Panes::of(plan.clone(), &rows).unwrap().within(Bounds::new(100, || false));
    let said = full.publish_all().unwrap_err().to_string();
    assert!(said.contains("more than 100 bytes"), "{said}");
    let free = within(usize::MAX, false).unwrap();
    assert_eq!(free.publish_all().unwrap(), all.publish_all().unwrap());
}
