//! Which of several right rows of equal keys and equal time is the newest.

use std::cmp::Ordering;

use datafusion::arrow::array::{ArrayRef, DynComparator, make_comparator};
use datafusion::arrow::compute::SortOptions;
use datafusion::common::exec_err;
use datafusion::error::Result;

use super::keyed::Keyed;

/// Ranks right rows that tie. Ties are rare: comparators are made when the first occurs between two batches, and kept.
pub(super) struct Ties {
    /// Numbers of the two batches that the comparators compare.
    between: Option<(u64, u64)>,
    /// By the tie-break columns.
    ranks: Vec<DynComparator>,
    /// By all columns of the right side.
    columns: Vec<DynComparator>,
}

impl Ties {
    pub(super) fn new() -> Self {
        Self { between: None, ranks: vec![], columns: vec![] }
    }

    /// Whether the second row is the newer one. Rows that are equal in everything are told apart by nobody.
    pub(super) fn is_newer(
        &mut self,
        (old, old_row): (&Keyed, usize),
        (new, new_row): (&Keyed, usize),
    ) -> Result<bool> {
        if self.between != Some((old.number, new.number)) {
            self.ranks = comparators(&old.ranks, &new.ranks)?;
            self.columns = comparators(old.batch.columns(), new.batch.columns())?;
            self.between = Some((old.number, new.number));
        }
        let by_rank = first_difference(&self.ranks, old_row, new_row);
        if by_rank != Ordering::Equal {
            return Ok(by_rank == Ordering::Less);
        }
        let by_columns = first_difference(&self.columns, old_row, new_row);
        if !self.ranks.is_empty() && by_columns != Ordering::Equal {
            return exec_err!(
                "two different right rows of the point-in-time join have the same keys, the same time ({}) and the same \
                 tie-break values; name a tie-break column that tells them apart",
                new.time(new_row)
            );
        }
        Ok(by_columns == Ordering::Less)
    }
}

fn comparators(old: &[ArrayRef], new: &[ArrayRef]) -> Result<Vec<DynComparator>> {
    // Ascending, nulls first, floats in their total order: as a sort by these columns would have it.
    let options = SortOptions { descending: false, nulls_first: true };
    let pairs = old.iter().zip(new);
    Ok(pairs.map(|(old, new)| make_comparator(old, new, options)).collect::<Result<_, _>>()?)
}

fn first_difference(comparators: &[DynComparator], old_row: usize, new_row: usize) -> Ordering {
    let orders = comparators.iter().map(|compare| compare(old_row, new_row));
    orders.into_iter().find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
}
