//! The right columns of an output batch, collected while the right side streams by.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;

/// How many right batches may be held for one output batch. When one more is needed, the rows picked so far are copied
/// together: that bounds memory where few left rows match rows all over a long right side.
const HELD_MAX: usize = 16;

/// Rows picked from right batches, one a left row.
pub(super) struct Gather {
    /// One row of nulls, then the batches held.
    slots: Vec<RecordBatch>,
    /// Number of the batch in the last slot, as its side counts them.
    last: Option<u64>,
    /// (slot, row) for each left row so far.
    picks: Vec<(usize, usize)>,
}

impl Gather {
    /// `schema` is the right side's, all columns nullable.
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| new_null_array(field.data_type(), 1));
        let nulls = batch_of(schema, columns.collect(), 1)?;
        Ok(Self { slots: vec![nulls], last: None, picks: vec![] })
    }

    pub(super) fn pick_nothing(&mut self) {
        self.picks.push((0, 0));
    }

    /// Picks a row of the right batch with that number. Numbers never fall within one output batch.
    pub(super) fn pick(&mut self, number: u64, batch: &RecordBatch, row: usize) -> Result<()> {
        if self.last != Some(number) {
            if self.slots.len() > HELD_MAX {
                self.compact()?;
            }
            self.slots.push(batch.clone());
            self.last = Some(number);
        }
        self.picks.push((self.slots.len() - 1, row));
        Ok(())
    }

    /// The right columns for the left rows since the last call.
    pub(super) fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        let columns = self.columns()?;
        self.slots.truncate(1);
        self.last = None;
        self.picks.clear();
        Ok(columns)
    }

    fn columns(&self) -> Result<Vec<ArrayRef>> {
        let width = self.slots.first().map_or(0, RecordBatch::num_columns);
        let mut columns = Vec::with_capacity(width);
        for column in 0..width {
            let parts: Vec<&dyn Array> = self.slots.iter().map(|slot| slot.column(column).as_ref()).collect();
            columns.push(interleave(&parts, &self.picks)?);
        }
        Ok(columns)
    }

    fn compact(&mut self) -> Result<()> {
        let rows = self.picks.len();
        let Some(nulls) = self.slots.first() else {
            return Ok(());
        };
        let picked = batch_of(&nulls.schema(), self.columns()?, rows)?;
        self.slots.truncate(1);
        self.slots.push(picked);
        self.last = None;
        for (row, pick) in self.picks.iter_mut().enumerate() {
            *pick = (1, row);
        }
        Ok(())
    }
}

fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
