//! The smallest, largest or latest of a metric's values: of a fresh run, and as a column that is put together for one search.

use std::rc::Rc;

use syntax::search::{Aggregate, Function};

use crate::tracking::columns::{Column, Kind};
use crate::tracking::document::{Damaged, RunDocument};

/// The value that a fresh run has.
pub(super) fn number(document: &RunDocument, aggregate: &Aggregate) -> Option<f64> {
    if let Some(literal) = aggregate.literal().and_then(|key| document.metric(key)) {
        return Some(literal.latest.value.get());
    }
    let metric = document.metric(aggregate.key())?;
    match aggregate.function() {
        Function::Last => Some(metric.latest.value.get()),
        Function::Min => metric.bounds()?.min(),
        Function::Max => metric.bounds()?.max(),
    }
}

/// The columns of a segment that an aggregate is put together from.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The latest values of the metric that is literally called so.
    pub(super) literal: Option<Rc<Column>>,
    /// The latest values of the metric.
    pub(super) latest: Option<Rc<Column>>,
    /// Its smallest or largest values where they are not the latest.
    pub(super) apart: Option<Rc<Column>>,
}

/// The column of values that are kept apart from the latest.
pub(super) fn kind_apart(function: Function) -> Option<Kind> {
    match function {
        Function::Min => Some(Kind::MetricMin),
        Function::Max => Some(Kind::MetricMax),
        Function::Last => None,
    }
}

impl Parts {
    /// The aggregate of every row of a segment.
    pub(super) fn column(self, function: Function, rows: usize) -> Result<Option<Rc<Column>>, Damaged> {
        let Some(latest) = self.latest else { return Ok(self.literal) };
        if function == Function::Last && self.literal.is_none() {
            return Ok(Some(latest));
        }
        let value = |row: usize| {
            let of = |column: &Column| column.slot(row).and_then(|slot| column.float_at(slot));
            let stored = |column: &Option<Rc<Column>>| column.as_deref().and_then(of);
            let newest = || of(&latest).filter(|value| function == Function::Last || !value.is_nan());
            stored(&self.literal).or_else(|| stored(&self.apart)).or_else(newest)
        };
        let cells: Vec<(u16, u64)> =
            (0..rows).filter_map(|row| Some((row as u16, value(row)?.to_bits()))).collect();
        Ok(Column::of_floats(rows, &cells)?.map(Rc::new))
    }
}
