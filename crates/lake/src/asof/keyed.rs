//! A batch of one side with its keys and times in a form that compares quickly.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;

use super::MaxAge;

/// How the rows of one side are keyed. Both sides share the encoder, so their keys compare with each other.
#[derive(Debug, Clone)]
pub(super) struct Keying {
    pub(super) keys: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) time: Arc<dyn PhysicalExpr>,
    /// Ranks of ties; right side only.
    pub(super) ranks: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) encoder: Arc<Encoder>,
    /// Whether keys are compared by their scattered values first, and not by their own order.
    pub(super) is_scattered: bool,
}

/// How keys become comparable.
#[derive(Debug)]
pub(super) enum Encoder {
    /// There are none.
    None,
    /// One key, of up to 64 bits, as an integer.
    Int,
    /// Several keys, or text: as rows of bytes.
    Rows(RowConverter),
}

impl Encoder {
    pub(super) fn new(kinds: Vec<DataType>) -> Result<Self> {
        match kinds.as_slice() {
            [] => Ok(Self::None),
            [kind] if fits_int(kind) => Ok(Self::Int),
            _ => {
                let fields = kinds.into_iter().map(SortField::new).collect();
                Ok(Self::Rows(RowConverter::new(fields)?))
            }
        }
    }
}

fn fits_int(kind: &DataType) -> bool {
    kind.is_signed_integer()
        || matches!(
            kind,
            DataType::UInt8
                | DataType::UInt16
                | DataType::UInt32
                | DataType::Date32
                | DataType::Date64
                | DataType::Timestamp(..)
        )
}

#[derive(Debug)]
enum Keys {
    None,
    /// The keys, or their scattered values: scattering maps no two integers to one.
    Int(ScalarBuffer<i64>),
    Rows(Rows),
    /// Scattered values, which keys may share, and the keys.
    Hashed(ScalarBuffer<i64>, Rows),
}

/// A batch, its keys and its times.
#[derive(Debug)]
pub(super) struct Keyed {
    pub(super) batch: RecordBatch,
    keys: Keys,
    times: ScalarBuffer<i64>,
    /// Where a key or the time is null. None: nowhere.
    lives: Option<NullBuffer>,
    pub(super) ranks: Vec<ArrayRef>,
    /// Position in its input, from 0.
    pub(super) number: u64,
}

impl Keyed {
    pub(super) fn new(batch: RecordBatch, keying: &Keying, number: u64) -> Result<Self> {
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> {
            expr.evaluate(&batch)?.into_array(batch.num_rows())
        };
        let columns = keying.keys.iter().map(evaluate).collect::<Result<Vec<_>>>()?;
        let (times, time_nulls) = ints(&evaluate(&keying.time)?)?;
        let ranks = keying.ranks.iter().map(evaluate).collect::<Result<Vec<_>>>()?;
        let nulls = columns.iter().map(Array::logical_nulls).chain([time_nulls]);
        let lives = nulls.fold(None, |all, one| NullBuffer::union(all.as_ref(), one.as_ref()));
        let lives = lives.filter(|lives| lives.null_count() > 0);
        let keys = match keying.encoder.as_ref() {
            Encoder::None => Keys::None,
            Encoder::Int => match columns.first() {
                Some(column) if keying.is_scattered => {
                    Keys::Int(ints(column)?.0.iter().map(|key| scatter(*key)).collect())
                }
                Some(column) => Keys::Int(ints(column)?.0),
                None => return internal_err!("an integer key without a column"),
            },
            Encoder::Rows(converter) => {
                let rows = converter.convert_columns(&columns)?;
                match keying.is_scattered {
                    true => Keys::Hashed(rows.iter().map(|row| hash(row.as_ref())).collect(), rows),
                    false => Keys::Rows(rows),
                }
            }
        };
        Ok(Self { batch, keys, times, lives, ranks, number })
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn time(&self, row: usize) -> i64 {
        self.times[row]
    }

    /// Whether the row has all keys and a time.
    pub(super) fn is_live(&self, row: usize) -> bool {
        self.lives.as_ref().is_none_or(|lives| lives.is_valid(row))
    }

    /// The scattered keys of a live row; equal keys have equal ones.
    pub(super) fn order(&self, row: usize) -> i64 {
        match &self.keys {
            Keys::Int(orders) | Keys::Hashed(orders, _) => orders[row],
            Keys::None | Keys::Rows(_) => 0,
        }
    }

    /// Whether rows of one [`Keyed::order`] have one key.
    pub(super) fn order_is_key(&self) -> bool {
        matches!(self.keys, Keys::Int(_) | Keys::None)
    }

    /// Compares the keys of live rows.
    pub(super) fn compare_keys(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        match (&self.keys, &other.keys) {
            (Keys::Int(a), Keys::Int(b)) => a[row].cmp(&b[other_row]),
            (Keys::Rows(a), Keys::Rows(b)) => a.row(row).cmp(&b.row(other_row)),
            (Keys::Hashed(a, a_rows), Keys::Hashed(b, b_rows)) => {
                let by_hash = a[row].cmp(&b[other_row]);
                by_hash.then_with(|| a_rows.row(row).cmp(&b_rows.row(other_row)))
            }
            // Both sides are keyed by one encoder, so both have none.
            _ => Ordering::Equal,
        }
    }

    fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        self.compare_keys(row, other, other_row).then_with(|| self.time(row).cmp(&other.time(other_row)))
    }

    /// Whether the live rows ascend by keys and time, also from the last live row of the batches before.
    pub(super) fn ascends(&self, last: Option<(&Self, usize)>) -> bool {
        let mut before = last;
        for row in (0..self.len()).filter(|row| self.is_live(*row)) {
            if before.is_some_and(|(batch, at)| batch.compare(at, self, row) == Ordering::Greater) {
                return false;
            }
            before = Some((self, row));
        }
        true
    }

    /// The last row with all keys and a time.
    pub(super) fn last_live(&self) -> Option<usize> {
        (0..self.len()).rev().find(|row| self.is_live(*row))
    }
}

/// 2⁶⁴ by the golden ratio, odd: multiplying by it is a bijection that spreads neighbours
/// (D. E. Knuth, The Art of Computer Programming 3, 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn scatter(key: i64) -> i64 {
    key.cast_unsigned().wrapping_mul(GOLDEN).cast_signed()
}

/// Folds eight bytes at a time. Keys that share a value are told apart by their bytes.
fn hash(bytes: &[u8]) -> i64 {
    let mut hash = bytes.len() as u64;
    for word in bytes.chunks(8) {
        let mut eight = [0; 8];
        eight[..word.len()].copy_from_slice(word);
        hash = (hash ^ u64::from_le_bytes(eight)).wrapping_mul(GOLDEN);
        hash ^= hash >> 32;
    }
    hash.wrapping_mul(GOLDEN).cast_signed()
}

/// Values as 64-bit integers, in their own unit, and where they are null.
fn ints(column: &ArrayRef) -> Result<(ScalarBuffer<i64>, Option<NullBuffer>)> {
    let wide = match column.data_type() {
        DataType::Int64 => Arc::clone(column),
        DataType::Date32 => cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(column, &DataType::Int64)?,
    };
    let wide = wide.as_primitive::<Int64Type>();
    Ok((wide.values().clone(), wide.nulls().cloned()))
}

/// An age limit in steps of the time's type. Steps are whole, so a part of one is dropped: no age lies between.
pub(super) fn steps(max_age: Option<MaxAge>, kind: &DataType) -> Result<Option<i64>> {
    let Some(age) = max_age else {
        return Ok(None);
    };
    let (MaxAge::Micros(length) | MaxAge::Steps(length)) = age;
    if length < 0 {
        return plan_err!("an age limit of {length} matches nothing; give 0 or more");
    }
    let in_steps = match (age, kind) {
        (MaxAge::Micros(age), DataType::Timestamp(TimeUnit::Second, _)) => age / 1_000_000,
        (MaxAge::Micros(age), DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Date64) => {
            age / 1_000
        }
        (MaxAge::Micros(age), DataType::Timestamp(TimeUnit::Microsecond, _)) => age,
        (MaxAge::Micros(age), DataType::Timestamp(TimeUnit::Nanosecond, _)) => age.saturating_mul(1_000),
        (MaxAge::Micros(age), DataType::Date32) => age / 86_400_000_000,
        (MaxAge::Steps(age), kind) if kind.is_integer() => age,
        _ => {
            return plan_err!(
                "the age limit {age:?} does not fit times of type {kind}; give microseconds for timestamps and dates, \
                 steps for integers"
            );
        }
    };
    Ok(Some(in_steps))
}
