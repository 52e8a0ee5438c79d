//! The merge of two sides that ascend by (keys, time).
//!
//! Memory is bounded: a batch of each side, the newest right row so far (which may hold one batch more), and what
//! [`Gather`] holds.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::exec_err;
use datafusion::error::Result;

use super::gather::Gather;
use super::keyed::Keyed;
use super::ties::Ties;

/// What the merge needs to go on.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// The next right batch, or the news that there is none.
    Right,
    /// Nothing: this is the left batch, joined.
    Joined(RecordBatch),
}

/// The newest right row so far of the present key.
#[derive(Debug, Clone, Copy)]
struct Newest {
    row: usize,
    time: i64,
    /// Whether its batch is the present right batch, else it is the one kept.
    is_here: bool,
}

/// What the two sides look like from outside.
pub(super) struct Shape {
    pub(super) output: SchemaRef,
    /// The right side's schema, all columns nullable.
    pub(super) right: SchemaRef,
    pub(super) strict: bool,
    /// In steps of the time's type.
    pub(super) age_max: Option<i64>,
}

pub(super) struct Merge {
    shape: Shape,
    gather: Gather,
    ties: Ties,
    left: Option<Arc<Keyed>>,
    left_row: usize,
    /// Whether the present left row was begun: it may have to wait for right batches.
    is_begun: bool,
    /// The last left row that had keys and a time.
    left_before: Option<(Arc<Keyed>, usize)>,
    right: Option<Arc<Keyed>>,
    right_row: usize,
    right_before: Option<(Arc<Keyed>, usize)>,
    right_is_over: bool,
    newest: Option<Newest>,
    /// The batch of the newest right row, once the right side has moved on.
    kept: Option<Arc<Keyed>>,
    /// Left rows that matched.
    pub(super) matched: usize,
}

impl Merge {
    pub(super) fn new(shape: Shape) -> Result<Self> {
        let gather = Gather::new(&shape.right)?;
        Ok(Self {
            shape,
            gather,
            ties: Ties::new(),
            left: None,
            left_row: 0,
            is_begun: false,
            left_before: None,
            right: None,
            right_row: 0,
            right_before: None,
            right_is_over: false,
            newest: None,
            kept: None,
            matched: 0,
        })
    }

    /// The next left batch; the one before it was joined.
    pub(super) fn feed_left(&mut self, batch: Keyed) -> Result<()> {
        if let Some(before) = self.left.take()
            && let Some(row) = before.last_live()
        {
            self.left_before = Some((before, row));
        }
        in_order(&batch, self.left_before.as_ref(), "left")?;
        self.left = Some(Arc::new(batch));
        self.left_row = 0;
        Ok(())
    }

    /// The next right batch, or none when the right side is over.
    pub(super) fn feed_right(&mut self, batch: Option<Keyed>) -> Result<()> {
        if let Some(before) = self.right.take() {
            if let Some(newest) = self.newest.as_mut().filter(|newest| newest.is_here) {
                newest.is_here = false;
                self.kept = Some(Arc::clone(&before));
            }
            if let Some(row) = before.last_live() {
                self.right_before = Some((before, row));
            }
        }
        let Some(batch) = batch else {
            self.right_is_over = true;
            return Ok(());
        };
        in_order(&batch, self.right_before.as_ref(), "right")?;
        self.right = Some(Arc::new(batch));
        self.right_row = 0;
        Ok(())
    }

    /// Joins the present left batch as far as the present right batch goes.
    pub(super) fn step(&mut self) -> Result<Step> {
        let Some(left) = self.left.clone() else {
            return Ok(Step::Joined(RecordBatch::new_empty(Arc::clone(&self.shape.output))));
        };
        while self.left_row < left.len() {
            let row = self.left_row;
            if !left.is_live(row) {
                self.gather.pick_nothing();
                self.left_row += 1;
                continue;
            }
            if !self.is_begun {
                self.forget_other_key(&left, row);
                self.is_begun = true;
            }
            if !self.advance(&left, row)? {
                return Ok(Step::Right);
            }
            self.settle(left.time(row))?;
            self.left_row += 1;
            self.is_begun = false;
        }
        let right = self.gather.finish()?;
        let columns = left.batch.columns().iter().cloned().chain(right).collect();
        Ok(Step::Joined(RecordBatch::try_new(Arc::clone(&self.shape.output), columns)?))
    }

    /// The newest right row belongs to the key of the left row before; to another key it says nothing.
    fn forget_other_key(&mut self, left: &Arc<Keyed>, row: usize) {
        if self.newest.is_none() {
            return;
        }
        let before = (0..row).rev().find(|before| left.is_live(*before));
        let is_same = match (before, &self.left_before) {
            (Some(before), _) => left.compare_keys(row, left, before) == Ordering::Equal,
            (None, Some((batch, before))) => left.compare_keys(row, batch, *before) == Ordering::Equal,
            (None, None) => true,
        };
        if !is_same {
            self.newest = None;
            self.kept = None;
        }
    }

    /// Moves the right side up to the left row. False: it ended before, and the next batch is needed.
    fn advance(&mut self, left: &Keyed, row: usize) -> Result<bool> {
        let Some(right) = self.right.clone() else {
            return Ok(self.right_is_over);
        };
        let time = left.time(row);
        while self.right_row < right.len() {
            let at = self.right_row;
            if right.is_live(at) {
                match right.compare_keys(at, left, row) {
                    Ordering::Less => {}
                    Ordering::Greater => return Ok(true),
                    Ordering::Equal => {
                        let is_due = right.time(at) < time || (!self.shape.strict && right.time(at) == time);
                        if !is_due {
                            return Ok(true);
                        }
                        self.offer(&right, at)?;
                    }
                }
            }
            self.right_row += 1;
        }
        Ok(false)
    }

    /// A right row that is not older than the newest so far.
    fn offer(&mut self, right: &Arc<Keyed>, row: usize) -> Result<()> {
        let time = right.time(row);
        if let Some(newest) = self.newest
            && newest.time == time
        {
            let old = if newest.is_here { Some(right) } else { self.kept.as_ref() };
            if let Some(old) = old
                && !self.ties.is_newer((old, newest.row), (right, row))?
            {
                return Ok(());
            }
        }
        self.newest = Some(Newest { row, time, is_here: true });
        Ok(())
    }

    /// Gives the present left row its right row, or none.
    fn settle(&mut self, time: i64) -> Result<()> {
        let young = |newest: &Newest| match self.shape.age_max {
            // A difference that overflows is older than any limit.
            Some(age_max) => time.checked_sub(newest.time).is_some_and(|age| age <= age_max),
            None => true,
        };
        let found = self.newest.filter(young).and_then(|newest| {
            let batch = if newest.is_here { self.right.as_ref() } else { self.kept.as_ref() };
            batch.map(|batch| (batch, newest.row))
        });
        match found {
            Some((batch, row)) => {
                self.matched += 1;
                self.gather.pick(batch.number, &batch.batch, row)
            }
            None => {
                self.gather.pick_nothing();
                Ok(())
            }
        }
    }
}

fn in_order(batch: &Keyed, before: Option<&(Arc<Keyed>, usize)>, side: &str) -> Result<()> {
    if batch.ascends(before.map(|(batch, row)| (batch.as_ref(), *row))) {
        return Ok(());
    }
    exec_err!(
        "the {side} side of the point-in-time join does not ascend by keys and time, although it says so; correct the order \
         that its table declares"
    )
}
