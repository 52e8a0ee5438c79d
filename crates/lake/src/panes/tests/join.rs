//! A training row is what would have been served: the point-in-time join over the published table against the kernel.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use super::{Row, bits, plan, read, row};
use crate::asof::{Asof, Bound, Taken, join, register};
use crate::panes::{PanePlan, Panes};

/// Rows of three cards, and labels of four, at times that lie anywhere between them.
fn data() -> (Vec<Row>, Vec<(i64, i64)>) {
    let rows = (0_i64..80).map(|id| {
        let amount = if id % 17 == 0 { f64::NAN } else { 1.0 / (id as f64 + 1.0) };
        Row { card: Some(id * id % 3), ..row(id, id * 37 % 211 - 40, amount) }
    });
    (rows.collect(), (0_i64..120).map(|id| (id % 4, id * 29 % 330 - 70)).collect())
}

async fn trained(plan: &PanePlan, published: RecordBatch, labels: &[(i64, i64)]) -> Vec<RecordBatch> {
    let state = register(SessionStateBuilder::new().with_default_features()).build();
    let session = SessionContext::new_with_state(state);
    let times = labels.iter().map(|(_, micros)| Some(*micros)).collect::<TimestampMicrosecondArray>();
    let labels = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(0..labels.len() as i64)) as _),
        ("card", Arc::new(Int64Array::from_iter_values(labels.iter().map(|(card, _)| *card))) as _),
        ("at", Arc::new(times.with_timezone("UTC")) as _),
    ])
    .unwrap();
    for (name, batch) in [("labels", labels), ("features", published)] {
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
        session.register_table(name, Arc::new(table)).unwrap();
    }
    let same = |name: &String| (name.clone(), name.clone());
    let names = plan.declared().features.iter().map(|feature| feature.name.clone());
    let asof = Asof {
        keys: plan.declared().keys.iter().map(same).collect(),
        time: ("at".to_owned(), "at".to_owned()),
        bound: Bound::default(),
        tie_break: vec!["at".to_owned()],
        take: names.map(|name| Taken { column: name.clone(), name }).collect(),
    };
    let table = async |name: &str| session.table(name).await.unwrap().into_unoptimized_plan();
    let joined = join(table("labels").await, table("features").await, &asof).unwrap();
    session.execute_logical_plan(joined).await.unwrap().collect().await.unwrap()
}

fn value(column: &dyn Array, row: usize) -> Option<f64> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Int64 => Some(column.as_primitive::<Int64Type>().value(row) as f64),
        _ => Some(column.as_primitive::<Float64Type>().value(row)),
    }
}

#[tokio::test]
async fn training_rows_have_what_would_have_been_served() {
    for keys in [vec![], vec!["card"]] {
        let plan = plan(&keys, "0us");
        let (rows, labels) = data();
        let source = read(&plan, &rows);
        let panes = Panes::of(plan.clone(), &source).unwrap();
        let batches = trained(&plan, panes.to_batch(&panes.publish_all().unwrap()).unwrap(), &labels).await;
        let mut seen = 0;
        for batch in &batches {
            let ids = batch.column(0).as_primitive::<Int64Type>();
            for at in 0..batch.num_rows() {
                let (card, micros) = labels[ids.value(at) as usize];
                let mut features: Vec<Option<f64>> =
                    batch.columns()[3..].iter().map(|column| value(column, at)).collect();
                // A label before the first published row matches none.
                if features.iter().all(Option::is_none) {
                    features = plan.nothing();
                }
                let of_card = rows.iter().position(|row| keys.is_empty() || row.card == Some(card));
                let served =
                    of_card.map_or_else(|| plan.nothing(), |row| panes.features(&source.entity(row), micros));
                assert_eq!(bits(&features), bits(&served), "card {card} at {micros}");
                seen += 1;
            }
        }
        assert_eq!(seen, labels.len());
    }
}
