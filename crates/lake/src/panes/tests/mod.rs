//! What the kernel promises, against folding every window from the rows.

mod cases;
mod join;
mod oracle;
mod property;
mod refusals;
mod stored;

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use syntax::features::{Aggregate, Feature, FeatureTable, Length};

use super::{PanePlan, Rows};

/// A source row. `card` and `shop` are keys where the declaration says so; `id` is the row key.
#[derive(Debug, Clone)]
struct Row {
    card: Option<i64>,
    shop: Option<&'static str>,
    micros: Option<i64>,
    id: i64,
    amount: Option<f64>,
    fee: Option<f64>,
}

fn length(text: &str) -> Length {
    text.parse().unwrap()
}

/// Every aggregate of `amount` over two windows, and of `fee` and of the rows over one. Panes of 10 µs.
fn declared(keys: &[&str], lateness: &str) -> FeatureTable {
    let mut features = vec![];
    for window in ["30us", "70us"] {
        for (aggregate, name) in Aggregate::ALL {
            features.push(Feature {
                name: format!("{name}_{window}"),
                aggregate,
                column: Some("amount".to_owned()),
                window: length(window),
            });
        }
    }
    features.push(Feature {
        name: "fee".to_owned(),
        aggregate: Aggregate::Sum,
        column: Some("fee".to_owned()),
        window: length("10us"),
    });
    features.push(Feature {
        name: "rows".to_owned(),
        aggregate: Aggregate::Count,
        column: None,
        window: length("30us"),
    });
    FeatureTable {
        name: "a.b.features".to_owned(),
        source: "a.b.rows".to_owned(),
        keys: keys.iter().map(|&key| key.to_owned()).collect(),
        timestamp: "at".to_owned(),
        row_key: vec!["id".to_owned()],
        pane: length("10us"),
        lateness: length(lateness),
        expressions: vec![],
        features,
    }
}

fn plan(keys: &[&str], lateness: &str) -> Arc<PanePlan> {
    Arc::new(PanePlan::new(declared(keys, lateness)).unwrap())
}

fn batch(rows: &[Row]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("card", DataType::Int64, true),
        Field::new("shop", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("id", DataType::Int64, false),
        Field::new("amount", DataType::Float64, true),
        Field::new("fee", DataType::Float64, true),
    ]);
    let times: TimestampMicrosecondArray = rows.iter().map(|row| row.micros).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.card).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.shop).collect::<StringArray>()),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(rows.iter().map(|row| row.id).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.amount).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.fee).collect::<Float64Array>()),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn read(plan: &PanePlan, rows: &[Row]) -> Rows {
    Rows::read(plan, &batch(rows)).unwrap()
}

/// The bits of features: equal means equal to the last one.
fn bits(features: &[Option<f64>]) -> Vec<Option<u64>> {
    features.iter().map(|value| value.map(f64::to_bits)).collect()
}

/// A row of no keys.
fn row(id: i64, micros: i64, amount: f64) -> Row {
    Row { card: None, shop: None, micros: Some(micros), id, amount: Some(amount), fee: None }
}
