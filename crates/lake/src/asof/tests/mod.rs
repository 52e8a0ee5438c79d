//! What the point-in-time join promises, against a search through all pairs.

mod engine;
mod oracle;
mod property;
mod refusals;
mod statements;

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::Sorting;
use oracle::{LeftRow, RightRow};

fn session(partitions: usize, batch_rows: usize) -> SessionContext {
    session_by(Sorting::Choose, partitions, batch_rows)
}

fn session_by(sorting: Sorting, partitions: usize, batch_rows: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(batch_rows);
    session_of(sorting, config)
}

fn session_of(sorting: Sorting, config: SessionConfig) -> SessionContext {
    let builder = SessionStateBuilder::new().with_config(config).with_default_features();
    SessionContext::new_with_state(super::register_as(builder, sorting).build())
}

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn left_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("k", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("ts", time_type(), true),
    ]))
}

fn right_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("ts", time_type(), true),
        Field::new("x", DataType::Float64, true),
        Field::new("seq", DataType::Int64, false),
    ]))
}

fn left_batch(rows: &[LeftRow]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.id).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.k).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.name).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.ts).collect::<TimestampMicrosecondArray>()),
    ];
    RecordBatch::try_new(left_schema(), columns).unwrap()
}

fn right_batch(rows: &[RightRow]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.k).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.name).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.ts).collect::<TimestampMicrosecondArray>()),
        Arc::new(rows.iter().map(|row| row.x).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.seq).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(right_schema(), columns).unwrap()
}

/// A table whose rows lie in the given number of partitions, in batches of at most so many rows.
fn table(batch: &RecordBatch, partitions: usize, batch_rows: usize) -> Arc<MemTable> {
    let mut parts = vec![vec![]; partitions];
    for (number, start) in (0..batch.num_rows()).step_by(batch_rows).enumerate() {
        parts[number % partitions].push(batch.slice(start, batch_rows.min(batch.num_rows() - start)));
    }
    Arc::new(MemTable::try_new(batch.schema(), parts).unwrap())
}

/// Tables `l` and `r` of a session.
fn with_tables(session: &SessionContext, left: &[LeftRow], right: &[RightRow]) {
    session.register_table("l", table(&left_batch(left), 2, 3)).unwrap();
    session.register_table("r", table(&right_batch(right), 3, 2)).unwrap();
}

/// The rows of an answer with columns (id, x, seq), by id; the bits of x.
fn answer(batches: &[RecordBatch]) -> Vec<(i64, Option<u64>, Option<i64>)> {
    let mut rows = vec![];
    for batch in batches {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let xs = batch.column(1).as_primitive::<Float64Type>();
        let seqs = batch.column(2).as_primitive::<Int64Type>();
        for ((id, x), seq) in ids.iter().zip(xs).zip(seqs) {
            rows.push((id.unwrap(), x.map(f64::to_bits), seq));
        }
    }
    rows.sort_unstable();
    rows
}
