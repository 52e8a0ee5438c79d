//! One side of the join in the order of its scattered keys: a sort that mostly moves rows once.
//!
//! The merge needs both sides in one order of the keys, and any will do. So keys are scattered: mixed into 64 bits whose
//! order is that of a hash. The upper bits of that are a bucket. Each batch that comes in is put in the order of buckets by
//! counting, and a bucket is sorted only when its turn comes: it is small, so its sort stays in the processor's cache.
//!
//! Memory: the batches that came in, up to a share of the memory pool, and a bucket in work. When the share is used up, or the
//! pool grants no more, all that is held is written to disk as one sorted run; runs are merged by the engine's own bounded
//! merge. The shares leave room for the other side: the left one is still held while the right one is collected.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::SpillManager;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::sorts::streaming_merge::{SortedSpillFile, StreamingMergeBuilder};
use datafusion::physical_plan::spill::get_record_batch_memory_size;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};

use super::bucket::{Chunk, groups, pieces, sort_buckets};
use super::keyed::Keying;

/// Name of the column of scattered keys, in runs on disk.
const ORDER: &str = "asof_order";

/// What a side of one partition may hold, in bytes.
pub(super) fn held_max(context: &TaskContext, is_left: bool, partitions: usize) -> usize {
    match context.memory_pool().memory_limit() {
        MemoryLimit::Finite(limit) => limit / partitions.max(1) / if is_left { 4 } else { 2 },
        MemoryLimit::Infinite | MemoryLimit::Unknown => usize::MAX,
    }
}

/// One side, being collected.
struct Scatter {
    input: SendableRecordBatchStream,
    keying: Keying,
    keeps_dead: bool,
    held_max: usize,
    context: Arc<TaskContext>,
    reservation: MemoryReservation,
    spill: SpillManager,
    chunks: Vec<Chunk>,
    runs: Vec<SortedSpillFile>,
}

/// What the stream does.
enum State {
    Collecting(Box<Scatter>),
    Draining(SendableRecordBatchStream),
}

/// The rows of `input` by (scattered keys, time). Rows without a key or a time come first if `keeps_dead`, and else not at all.
pub(super) fn scattered(
    input: SendableRecordBatchStream,
    keying: Keying,
    keeps_dead: bool,
    held_max: usize,
    context: Arc<TaskContext>,
    (metrics, partition): (&ExecutionPlanMetricsSet, usize),
) -> SendableRecordBatchStream {
    let schema = input.schema();
    let reservation = MemoryConsumer::new(format!("AsofScatter[{partition}]"))
        .with_can_spill(true)
        .register(context.memory_pool());
    let spill =
        SpillManager::new(context.runtime_env(), SpillMetrics::new(metrics, partition), with_order(&schema))
            .with_compression_type(context.session_config().spill_compression());
    let scatter = Scatter {
        input,
        keying,
        keeps_dead,
        held_max,
        context,
        reservation,
        spill,
        chunks: vec![],
        runs: vec![],
    };
    let batches = stream::try_unfold(State::Collecting(Box::new(scatter)), |mut state| async move {
        loop {
            state = match state {
                State::Collecting(mut scatter) => match scatter.input.next().await {
                    Some(batch) => match scatter.take(batch?)? {
                        Some(dead) => return Ok(Some((dead, State::Collecting(scatter)))),
                        None => State::Collecting(scatter),
                    },
                    None => State::Draining(scatter.finish()?),
                },
                State::Draining(mut batches) => {
                    let next = batches.try_next().await?;
                    return Ok(next.map(|batch| (batch, State::Draining(batches))));
                }
            };
        }
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

fn with_order(schema: &Schema) -> SchemaRef {
    let order = Arc::new(Field::new(ORDER, DataType::Int64, false));
    Arc::new(Schema::new(schema.fields().iter().cloned().chain([order]).collect::<Vec<_>>()))
}

impl Scatter {
    /// Keeps the rows that can match; gives the others back, if they are kept and there are any.
    fn take(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>> {
        let (live, dead) = Chunk::of(batch, &self.keying)?;
        if let Some(chunk) = live {
            self.keep(chunk)?;
        }
        Ok(dead.filter(|_| self.keeps_dead))
    }

    fn keep(&mut self, chunk: Chunk) -> Result<()> {
        let bytes = get_record_batch_memory_size(&chunk.batch);
        let is_full = self.reservation.size().saturating_add(bytes) > self.held_max;
        if is_full || self.reservation.try_grow(bytes).is_err() {
            if !self.chunks.is_empty() {
                self.write_run()?;
            }
            self.reservation.try_grow(bytes)?;
        }
        self.chunks.push(chunk);
        Ok(())
    }

    /// Writes all that is held as one sorted run.
    fn write_run(&mut self) -> Result<()> {
        let chunks = std::mem::take(&mut self.chunks);
        let mut file = self.spill.create_in_progress_file("point-in-time join")?;
        let mut bytes_max = 0;
        for buckets in groups(&chunks, self.batch_rows()) {
            let Some(sorted) = sort_buckets(&chunks, &buckets, &self.keying)? else {
                continue;
            };
            let order: ArrayRef = Arc::new(sorted.orders);
            let columns = sorted.batch.columns().iter().cloned().chain([order]).collect();
            let batch = RecordBatch::try_new(Arc::clone(self.spill.schema()), columns)?;
            for piece in pieces(&batch, self.batch_rows()) {
                bytes_max = bytes_max.max(file.append_batch(&piece)?);
            }
        }
        if let Some(file) = file.finish()? {
            self.runs.push(SortedSpillFile { file, max_record_batch_memory: bytes_max });
        }
        self.reservation.free();
        Ok(())
    }

    fn batch_rows(&self) -> usize {
        self.context.session_config().batch_size()
    }

    /// All rows, sorted.
    fn finish(mut self: Box<Self>) -> Result<SendableRecordBatchStream> {
        let schema = self.input.schema();
        if !self.runs.is_empty() {
            self.write_run()?;
            return self.merge_runs(schema);
        }
        let batch_rows = self.batch_rows();
        let groups = groups(&self.chunks, batch_rows);
        let batches = stream::iter(groups).map(move |buckets| -> Result<_> {
            // The closure owns what is held, and with it the reservation.
            let sorted = sort_buckets(&self.chunks, &buckets, &self.keying)?;
            let batches = sorted.map(|sorted| pieces(&sorted.batch, batch_rows)).unwrap_or_default();
            Ok(stream::iter(batches.into_iter().map(Ok)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches.try_flatten())))
    }

    fn merge_runs(self: Box<Self>, schema: SchemaRef) -> Result<SendableRecordBatchStream> {
        let batch_rows = self.batch_rows();
        let runs_schema = Arc::clone(self.spill.schema());
        let order: Arc<dyn PhysicalExpr> = Arc::new(Column::new(ORDER, schema.fields().len()));
        let options = SortOptions { descending: false, nulls_first: true };
        let Keying { keys, time, .. } = self.keying;
        let columns = [order].into_iter().chain(keys).chain([time]);
        let ordering = columns.map(|expr| PhysicalSortExpr { expr, options }).collect::<Vec<_>>();
        let Some(ordering) = LexOrdering::new(ordering) else {
            return datafusion::common::internal_err!("runs without an order");
        };
        let reservation =
            MemoryConsumer::new("AsofScatterMerge").with_can_spill(true).register(self.context.memory_pool());
        let width: Vec<usize> = (0..schema.fields().len()).collect();
        let merged = StreamingMergeBuilder::new()
            .with_sorted_spill_files(self.runs)
            .with_spill_manager(self.spill)
            .with_schema(runs_schema)
            .with_expressions(&ordering)
            // The join counts its own rows; these are not its output.
            .with_metrics(BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0))
            .with_batch_size(batch_rows)
            .with_reservation(reservation)
            .build()?;
        let batches = merged.map(move |batch| Ok(batch?.project(&width)?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}
