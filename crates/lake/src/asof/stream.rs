//! The merge as a stream: it asks its inputs for batches as it needs them. Dropping it drops them.

use futures::{Stream, StreamExt, stream};

use datafusion::arrow::array::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, RecordOutput,
};

use super::keyed::{Keyed, Keying};
use super::merge::{Merge, Step};

/// What a partition of the join counts.
pub(super) struct Measures {
    baseline: BaselineMetrics,
    left_rows: Count,
    right_rows: Count,
    matched_rows: Count,
}

impl Measures {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            baseline: BaselineMetrics::new(metrics, partition),
            left_rows: MetricBuilder::new(metrics).counter("left_rows", partition),
            right_rows: MetricBuilder::new(metrics).counter("right_rows", partition),
            matched_rows: MetricBuilder::new(metrics).counter("matched_rows", partition),
        }
    }
}

/// An input and how its rows are keyed.
struct Input {
    batches: SendableRecordBatchStream,
    keying: Keying,
    number: u64,
}

impl Input {
    /// The next batch that has rows.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while let Some(batch) = self.batches.next().await {
            let batch = batch?;
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    fn key(&mut self, batch: RecordBatch) -> Result<Keyed> {
        self.number += 1;
        Keyed::new(batch, &self.keying, self.number)
    }
}

/// One partition of the join.
pub(super) struct Joining {
    left: Input,
    right: Input,
    merge: Merge,
    measures: Measures,
}

impl Joining {
    pub(super) fn new(
        left: (SendableRecordBatchStream, Keying),
        right: (SendableRecordBatchStream, Keying),
        merge: Merge,
        measures: Measures,
    ) -> Self {
        let input = |(batches, keying)| Input { batches, keying, number: 0 };
        Self { left: input(left), right: input(right), merge, measures }
    }

    /// A batch for each left batch that has rows.
    pub(super) fn into_batches(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        stream::try_unfold(self, |mut joining| async move {
            Ok(joining.next().await?.map(|batch| (batch, joining)))
        })
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.left.next().await? else {
            self.measures.baseline.done();
            return Ok(None);
        };
        self.measures.left_rows.add(batch.num_rows());
        let time = self.measures.baseline.elapsed_compute().clone();
        let mut timer = time.timer();
        self.merge.feed_left(self.left.key(batch)?)?;
        loop {
            if let Step::Joined(batch) = self.merge.step()? {
                self.measures.matched_rows.add(std::mem::take(&mut self.merge.matched));
                return Ok(Some(batch.record_output(&self.measures.baseline)));
            }
            timer.stop();
            let next = self.right.next().await?;
            timer.restart();
            self.measures.right_rows.add(next.as_ref().map_or(0, RecordBatch::num_rows));
            let keyed = next.map(|batch| self.right.key(batch)).transpose()?;
            self.merge.feed_right(keyed)?;
        }
    }
}
