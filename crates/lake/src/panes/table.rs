//! All panes of a source: folded from its rows, asked for features.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;

use super::bounds::{Bounds, LOOK_EVERY};
use super::error::PaneError;
use super::pane::Pane;
use super::plan::PanePlan;
use super::rows::{Entity, Rows};

/// Panes by entity and index.
#[derive(Debug)]
pub struct Panes {
    pub(super) plan: Arc<PanePlan>,
    pub(super) entities: BTreeMap<Entity, BTreeMap<i64, Pane>>,
    /// Types of the key columns, once rows were seen.
    pub(super) key_types: Option<Vec<DataType>>,
    /// The newest event time so far, in microseconds.
    pub(super) newest: Option<i64>,
    pub(super) bounds: Bounds,
    /// About how many bytes the panes take.
    bytes: usize,
}

impl Panes {
    /// Without rows.
    pub fn new(plan: Arc<PanePlan>) -> Self {
        let bounds = Bounds::default();
        Self { plan, entities: BTreeMap::new(), key_types: None, newest: None, bounds, bytes: 0 }
    }

    /// Without rows, where the newest event time was known at some moment.
    pub fn since(plan: Arc<PanePlan>, newest_micros: Option<i64>) -> Self {
        Self { newest: newest_micros, ..Self::new(plan) }
    }

    /// The same, which goes on only within these bounds.
    #[must_use]
    pub fn within(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// Of a whole source.
    pub fn of(plan: Arc<PanePlan>, rows: &Rows) -> Result<Self, PaneError> {
        Self::new(plan).and_all(rows)
    }

    /// With all rows of a source, where there were none.
    pub fn and_all(mut self, rows: &Rows) -> Result<Self, PaneError> {
        self.agree(rows)?;
        let (plan, bounds) = (Arc::clone(&self.plan), self.bounds.clone());
        fold(&plan, rows, &bounds, |entity, index, pane| {
            self.put(entity, index, pane);
            bounds.check(self.bytes)
        })?;
        self.newest = rows.placed.iter().map(|row| rows.times[*row]).max();
        Ok(self)
    }

    /// Panes that were stored, of one entity, beside the newest event time at that moment.
    pub fn restore(&mut self, entity: Entity, panes: Vec<(i64, Pane)>, newest_micros: Option<i64>) {
        self.newest = self.newest.max(newest_micros);
        for (index, pane) in panes {
            self.put(entity.clone(), index, pane);
        }
    }

    /// What they are panes of.
    pub fn plan(&self) -> &PanePlan {
        &self.plan
    }

    /// Refuses to go on beyond its bounds.
    pub fn check(&self) -> Result<(), PaneError> {
        self.bounds.check(self.bytes)
    }

    /// The newest event time so far, in microseconds.
    pub fn newest_micros(&self) -> Option<i64> {
        self.newest
    }

    /// The entities that have panes, in the order of their values.
    pub fn entities(&self) -> impl Iterator<Item = &Entity> {
        self.entities.keys()
    }

    /// The panes of an entity, by index.
    pub fn of_entity(&self, entity: &Entity) -> Vec<(i64, &Pane)> {
        let panes = self.entities.get(entity).into_iter().flatten();
        panes.map(|(index, pane)| (*index, pane)).collect()
    }

    /// The features of an entity at a time, in microseconds, in the declared order.
    pub fn features(&self, entity: &Entity, micros: i64) -> Vec<Option<f64>> {
        let end = self.plan.pane_of(micros);
        let seen = self
            .entities
            .get(entity)
            .into_iter()
            .flat_map(|panes| panes.range(end.saturating_sub(self.plan.panes_max())..end));
        let seen: Vec<(i64, &Pane)> = seen.map(|(index, pane)| (*index, pane)).collect();
        self.plan.features(&seen, end)
    }

    pub(super) fn put(&mut self, entity: Entity, index: i64, pane: Pane) {
        self.bytes += entity.as_ref().len() + size_of::<(i64, Pane)>() + size_of_val(pane.columns.as_slice());
        self.entities.entry(entity).or_default().insert(index, pane);
    }

    /// Refuses rows whose keys have other types than those before: equal values would not be equal.
    pub(super) fn agree(&mut self, rows: &Rows) -> Result<(), PaneError> {
        let known = self.key_types.get_or_insert_with(|| rows.key_types.clone());
        let names = &self.plan.declared().keys;
        let mut pairs = names.iter().zip(known.iter().zip(&rows.key_types));
        match pairs.find(|(_, (known, found))| known != found) {
            Some((name, (_, found))) => Err(PaneError::Type {
                column: name.clone(),
                found: found.to_string(),
                need: "the rows before had another; keep the key's type",
            }),
            None => Ok(()),
        }
    }
}

/// Folds rows into panes: the one place where values meet. Gives each pane that has rows, by entity and index.
pub(super) fn fold(
    plan: &PanePlan,
    rows: &Rows,
    bounds: &Bounds,
    mut take: impl FnMut(Entity, i64, Pane) -> Result<(), PaneError>,
) -> Result<(), PaneError> {
    let place = |row: usize| (rows.entities.row(row), rows.times[row], rows.row_keys.row(row));
    let mut order = rows.placed.clone();
    order.sort_unstable_by(|a, b| place(*a).cmp(&place(*b)));
    let mut open: Option<(usize, i64, Pane)> = None;
    for (at, row) in order.iter().copied().enumerate() {
        if at.is_multiple_of(LOOK_EVERY) {
            bounds.check(0)?;
        }
        if let Some(before) = at.checked_sub(1).and_then(|at| order.get(at).copied())
            && place(before) == place(row)
            && !rows.same_values(before, row)
        {
            return Err(PaneError::SameRowKey { micros: rows.times[row] });
        }
        let index = plan.pane_of(rows.times[row]);
        let is_same = open.as_ref().is_some_and(|(first, open_index, _)| {
            *open_index == index && rows.entities.row(*first) == rows.entities.row(row)
        });
        if !is_same && let Some((first, index, pane)) = open.take() {
            take(rows.entity(first), index, pane)?;
        }
        let (_, _, pane) = open.get_or_insert_with(|| (row, index, Pane::empty(plan.columns().len())));
        pane.push(rows.values(row));
    }
    if let Some((first, index, pane)) = open {
        take(rows.entity(first), index, pane)?;
    }
    Ok(())
}
