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
    let (rows, starts) = by_counting(live, BUCKETS, |(bucket, _)| *bucket);
    let indices = UInt32Array::from_iter_values(rows.into_iter().map(|(_, row)| row));
    Ok(Chunk { batch: take_record_batch(batch, &indices)?, starts })
}

/// Items by their place, below `places`; those of one place as they came. And where each place begins, and the last ends.
fn by_counting<T: Copy + Default>(
    items: &[T],
    places: usize,
    place_of: impl Fn(&T) -> usize,
) -> (Vec<T>, Vec<usize>) {
    let mut starts = vec![0; places + 1];
    for item in items {
        starts[place_of(item) + 1] += 1;
    }
    for place in 0..places {
        starts[place + 1] += starts[place];
    }
    let mut next = starts.clone();
    let mut sorted = vec![T::default(); items.len()];
    for item in items {
        let at = &mut next[place_of(item)];
        sorted[*at] = *item;
        *at += 1;
    }
    (sorted, starts)
}

/// A row as it is sorted.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    order: i64,
    time: i64,
    row: u32,
}

/// Rows of a run, about.
const RUN_ROWS: usize = 16;

/// Entries in runs that ascend by scattered keys, and where each run begins. Scattered keys lie evenly, so a run is short, unless
/// a key has many rows, and comparing is left for inside of it.
fn runs(entries: &[Entry]) -> (Vec<Entry>, Vec<usize>) {
    let orders = entries.iter().map(|entry| entry.order);
    let (Some(low), Some(high)) = (orders.clone().min(), orders.max()) else {
        return (vec![], vec![0]);
    };
    let above = |order: i64| order.cast_unsigned().wrapping_sub(low.cast_unsigned());
    let bits = usize::BITS - (entries.len() / RUN_ROWS).leading_zeros();
    let shift = (u64::BITS - above(high).leading_zeros()).saturating_sub(bits).min(u64::BITS - 1);
    let run_of = |order: i64| (above(order) >> shift) as usize;
    by_counting(entries, run_of(high) + 1, |entry| run_of(entry.order))
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
    let entries =
        (0..keyed.len()).map(|row| Entry { order: keyed.order(row), time: keyed.time(row), row: row as u32 });
    let (mut entries, starts) = runs(&entries.collect::<Vec<_>>());
    for (from, to) in starts.iter().zip(starts.iter().skip(1)) {
        let run = &mut entries[*from..*to];
        if keyed.order_is_key() {
            run.sort_unstable_by_key(|entry| (entry.order, entry.time));
        } else {
            run.sort_unstable_by(|a, b| {
                let by_keys = || keyed.compare_keys(a.row as usize, &keyed, b.row as usize);
                a.order.cmp(&b.order).then_with(by_keys).then_with(|| a.time.cmp(&b.time))
            });
        }
    }
    let indices: UInt32Array = entries.iter().map(|entry| entry.row).collect::<Vec<_>>().into();
    let orders = Int64Array::from_iter_values(entries.iter().map(|entry| entry.order));
    Ok(Some(Sorted { batch: take_record_batch(&keyed.batch, &indices)?, orders }))
}

/// The rows in batches of at most so many.
pub(super) fn pieces(batch: &RecordBatch, rows_max: usize) -> Vec<RecordBatch> {
    let starts = (0..batch.num_rows()).step_by(rows_max);
    starts.map(|start| batch.slice(start, rows_max.min(batch.num_rows() - start))).collect()
}
