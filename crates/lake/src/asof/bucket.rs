//! Rows in buckets of scattered keys, and a bucket sorted.

use std::ops::Range;

use datafusion::arrow::array::{Int64Array, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::error::Result;

use super::keyed::{Keyed, Keying};

/// Buckets of a partition: 2⁶ of them, by the upper bits of the scattered keys.
const BUCKET_BITS: u32 = 6;
const BUCKETS: usize = 1 << BUCKET_BITS;

/// The bucket of a scattered key; buckets ascend as scattered keys do.
fn bucket_of(order: i64) -> usize {
    ((order >> (64 - BUCKET_BITS)) + (1 << (BUCKET_BITS - 1))) as usize
}

/// Rows of one side, by bucket.
pub(super) struct Chunk {
    pub(super) batch: RecordBatch,
    /// Where each bucket begins, and where the last ends.
    starts: Vec<usize>,
}

impl Chunk {
    /// The rows of a batch that have keys and a time, if any, and the others, if any.
    pub(super) fn of(batch: RecordBatch, keying: &Keying) -> Result<(Option<Self>, Option<RecordBatch>)> {
        let keyed = Keyed::new(batch, keying, 0)?;
        let (mut live, mut dead) = (Vec::with_capacity(keyed.len()), vec![]);
        for row in 0..keyed.len() {
            if keyed.is_live(row) {
                live.push((bucket_of(keyed.order(row)), row as u32));
            } else {
                dead.push(row as u32);
            }
        }
        let chunk = if live.is_empty() { None } else { Some(cluster(&keyed.batch, &live)?) };
        let dead = if dead.is_empty() {
            None
        } else {
            Some(take_record_batch(&keyed.batch, &UInt32Array::from(dead))?)
        };
        Ok((chunk, dead))
    }
}

/// Rows in the order of their buckets; in a bucket as they came.
fn cluster(batch: &RecordBatch, live: &[(usize, u32)]) -> Result<Chunk> {
    let mut starts = vec![0; BUCKETS + 1];
    for (bucket, _) in live {
        starts[bucket + 1] += 1;
    }
    for bucket in 0..BUCKETS {
        starts[bucket + 1] += starts[bucket];
    }
    let mut next = starts.clone();
    let mut indices = vec![0; live.len()];
    for (bucket, row) in live {
        indices[next[*bucket]] = *row;
        next[*bucket] += 1;
    }
    Ok(Chunk { batch: take_record_batch(batch, &UInt32Array::from(indices))?, starts })
}

/// Rows by (scattered keys, time), and their scattered keys.
pub(super) struct Sorted {
    pub(super) batch: RecordBatch,
    pub(super) orders: Int64Array,
}

/// All buckets, in their order, those that follow each other together until they have so many rows: of few rows a bucket is not
/// worth a batch of its own.
pub(super) fn groups(chunks: &[Chunk], rows_min: usize) -> Vec<Range<usize>> {
    let mut groups = vec![];
    let (mut from, mut rows) = (0, 0);
    for bucket in 0..BUCKETS {
        rows += chunks.iter().map(|chunk| chunk.starts[bucket + 1] - chunk.starts[bucket]).sum::<usize>();
        if rows >= rows_min || bucket + 1 == BUCKETS {
            groups.push(from..bucket + 1);
            (from, rows) = (bucket + 1, 0);
        }
    }
    groups
}

/// The rows of some buckets that follow each other, sorted; none if there are none.
pub(super) fn sort_buckets(
    chunks: &[Chunk],
    buckets: &Range<usize>,
    keying: &Keying,
) -> Result<Option<Sorted>> {
    let parts = chunks.iter().filter_map(|chunk| {
        let (from, to) = (chunk.starts[buckets.start], chunk.starts[buckets.end]);
        (from < to).then(|| chunk.batch.slice(from, to - from))
    });
    let parts: Vec<RecordBatch> = parts.collect();
    let Some(first) = parts.first() else {
        return Ok(None);
    };
    let keyed = Keyed::new(concat_batches(&first.schema(), &parts)?, keying, 0)?;
    drop(parts);
    let mut entries: Vec<(i64, i64, u32)> =
        (0..keyed.len()).map(|row| (keyed.order(row), keyed.time(row), row as u32)).collect();
    entries.sort_unstable_by(|a, b| {
        let by_keys = || keyed.compare_keys(a.2 as usize, &keyed, b.2 as usize);
        a.0.cmp(&b.0).then_with(by_keys).then_with(|| a.1.cmp(&b.1))
    });
    let indices: UInt32Array = entries.iter().map(|(_, _, row)| *row).collect::<Vec<_>>().into();
    let orders = Int64Array::from_iter_values(entries.iter().map(|(order, _, _)| *order));
    Ok(Some(Sorted { batch: take_record_batch(&keyed.batch, &indices)?, orders }))
}

/// The rows in batches of at most so many.
pub(super) fn pieces(batch: &RecordBatch, rows_max: usize) -> Vec<RecordBatch> {
    let starts = (0..batch.num_rows()).step_by(rows_max);
    starts.map(|start| batch.slice(start, rows_max.min(batch.num_rows() - start))).collect()
}
