//! New rows: which panes they change, and folding exactly those again.
//!
//! The caller appends the rows to the source, reads the source's rows of the touched panes, folds these again, and publishes
//! what sees them. A pane is always folded from all of its rows, so it does not matter in how many pieces they came.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::error::PaneError;
use super::rows::{Entity, Rows};
use super::table::{Panes, fold};

/// Panes that new rows fall into.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    pub(super) panes: BTreeMap<Entity, BTreeSet<i64>>,
}

impl Touched {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.panes.is_empty()
    }

    /// Entity and pane index, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&Entity, i64)> {
        self.panes.iter().flat_map(|(entity, panes)| panes.iter().map(move |index| (entity, *index)))
    }

    /// Lowest and highest index: source rows outside of these panes need not be read.
    pub fn span(&self) -> Option<(i64, i64)> {
        let low = self.panes.values().filter_map(BTreeSet::first).min()?;
        let high = self.panes.values().filter_map(BTreeSet::last).max()?;
        Some((*low, *high))
    }

    /// Those within a span of indices, and the others.
    pub fn split(self, span: RangeInclusive<i64>) -> (Self, Self) {
        let (mut within, mut beyond) = (Self::default(), Self::default());
        for (entity, panes) in self.panes {
            let (inner, outer): (BTreeSet<i64>, BTreeSet<i64>) =
                panes.into_iter().partition(|index| span.contains(index));
            for (part, panes) in [(&mut within, inner), (&mut beyond, outer)] {
                if !panes.is_empty() {
                    part.panes.insert(entity.clone(), panes);
                }
            }
        }
        (within, beyond)
    }

    /// The entities, each with its lowest and highest index.
    pub fn entities(&self) -> impl Iterator<Item = (&Entity, i64, i64)> {
        self.panes.iter().filter_map(|(entity, panes)| Some((entity, *panes.first()?, *panes.last()?)))
    }

    fn has(&self, entity: &Entity, index: i64) -> bool {
        self.panes.get(entity).is_some_and(|panes| panes.contains(&index))
    }
}

/// What new rows are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arrival {
    /// The panes to fold again.
    pub touched: Touched,
    /// Positions of rows that came more than the lateness behind the newest event before them. They must not enter the source.
    pub too_late: Vec<usize>,
}

impl Panes {
    /// Places new rows and moves the newest event time on. Rows of one call are not late to each other, and none is late to an
    /// event that has not happened by `now_micros`: a row that is dated years ahead would make all others late.
    pub fn arrive(&mut self, rows: &Rows, now_micros: i64) -> Result<Arrival, PaneError> {
        self.agree(rows)?;
        let lateness = self.plan.declared().lateness.micros();
        let oldest = self.newest.map(|newest| newest.min(now_micros).saturating_sub(lateness));
        let mut arrival = Arrival::default();
        for row in rows.placed.iter().copied() {
            let time = rows.times[row];
            if oldest.is_some_and(|oldest| time < oldest) {
                arrival.too_late.push(row);
                continue;
            }
            self.newest = self.newest.max(Some(time));
            let panes = arrival.touched.panes.entry(rows.entity(row)).or_default();
            panes.insert(self.plan.pane_of(time));
        }
        Ok(arrival)
    }

    /// Folds the touched panes again. `source` holds all source rows of these panes, the new ones too; other rows in it are
    /// passed over. A touched pane without rows goes away.
    pub fn refold(&mut self, touched: &Touched, source: &Rows) -> Result<(), PaneError> {
        self.agree(source)?;
        let mut folded = vec![];
        fold(&self.plan, source, &self.bounds, |entity, index, pane| {
            if touched.has(&entity, index) {
                folded.push((entity, index, pane));
            }
            Ok(())
        })?;
        for (entity, index) in touched.iter() {
            if let Some(panes) = self.entities.get_mut(entity) {
                panes.remove(&index);
            }
        }
        for (entity, index, pane) in folded {
            self.put(entity, index, pane);
        }
        Ok(())
    }
}
