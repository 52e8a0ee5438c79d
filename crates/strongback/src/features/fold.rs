//! Computing: from rows of the source to rows of the table and panes of the online store. Nothing here waits.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use lake::{
    arrow::array::RecordBatch,
    feed::Columns,
    panes::{
        Bounds, Entity, KeyKind, Pane, PaneError, PanePlan, Panes, PassedOver, Published, Rows, Touched,
        encode_key, encode_pane,
    },
};

use super::state::StoredPane;
use crate::error::{Code, Error, Result};

/// What was computed.
pub(super) struct Folded {
    /// Rows for the table.
    pub rows: RecordBatch,
    /// The earliest moment of those, microseconds since the epoch.
    pub from_micros: Option<i64>,
    /// Rows up to this moment are not expected to change soon.
    pub settled_micros: i64,
    pub panes: Vec<StoredPane>,
    pub newest_micros: Option<i64>,
    pub key_kinds: Vec<KeyKind>,
    /// Rows of the source that belong to no pane.
    passed_over: PassedOver,
}

impl Folded {
    pub(super) fn rows_passed_over(&self) -> usize {
        let passed = self.passed_over;
        passed.no_time + passed.no_key + passed.impossible_time
    }
}

/// New rows of a source, with the stored panes that stand near them.
pub(super) struct Arrived {
    plan: Arc<PanePlan>,
    now_micros: i64,
    panes: Panes,
    rows: Rows,
    touched: Touched,
    keys: BTreeMap<Entity, Vec<u8>>,
    /// Lowest and highest index among touched panes that are stored: the source's rows of those are needed.
    pub span: Option<(i64, i64)>,
    /// How many rows came later than the definition allows for.
    pub too_late: usize,
}

fn unfit(error: PaneError) -> Error {
    let said = match error {
        PaneError::ToEnd => return Error::new(Code::InvalidState, "The job was told to end."),
        PaneError::TooLarge { .. } => format!("{error} (query_memory_mb)"),
        error => error.to_string(),
    };
    Error::invalid(format!("The features cannot be computed: {said}."))
}

/// The columns of a source that are read, and those that are computed from its rows.
pub(super) fn columns(plan: &PanePlan) -> Columns {
    let declared = plan.declared();
    let all =
        declared.keys.iter().chain([&declared.timestamp]).chain(&declared.row_key).chain(plan.columns());
    let mut seen = HashSet::new();
    let (mut stored, mut computed) = (Vec::new(), Vec::new());
    for name in all.filter(|name| seen.insert(name.as_str())) {
        match declared.expressions.iter().find(|expression| expression.name == *name) {
            Some(expression) => computed.push(expression.clone()),
            None => stored.push(name.clone()),
        }
    }
    Columns { stored, computed }
}

/// Computes everything.
pub(super) fn whole(
    plan: &Arc<PanePlan>,
    source: &RecordBatch,
    now_micros: i64,
    bounds: Bounds,
) -> Result<Folded> {
    let rows = Rows::read(plan, source).map_err(unfit)?;
    let panes = Panes::new(Arc::clone(plan)).within(bounds).and_all(&rows).map_err(unfit)?;
    let entities: Vec<&Entity> = panes.entities().collect();
    let keys = panes.keys_of(entities.iter().copied()).map_err(unfit)?;
    let mut stored = Vec::new();
    for (entity, key) in entities.iter().zip(&keys) {
        panes.check().map_err(unfit)?;
        let key = encode_key(key);
        let of_entity = panes.of_entity(entity).into_iter();
        stored.extend(of_entity.map(|(index, pane)| (key.clone(), index, encode_pane(pane))));
    }
    let published = panes.publish_all().map_err(unfit)?;
    folded(plan, now_micros, &panes, &published, stored, rows.passed_over())
}

/// Places new rows, beside the newest event that was there and the clock, and finds what is stored near them. `near` answers
/// the panes of a key from one index to another.
pub(super) fn arrive(
    plan: &Arc<PanePlan>,
    gained: &RecordBatch,
    newest_micros: Option<i64>,
    now_micros: i64,
    bounds: Bounds,
    near: impl Fn(&[u8], (i64, i64)) -> Result<Vec<(i64, Pane)>>,
) -> Result<Arrived> {
    let rows = Rows::read(plan, gained).map_err(unfit)?;
    let mut panes = Panes::since(Arc::clone(plan), newest_micros).within(bounds);
    let arrival = panes.arrive(&rows, now_micros).map_err(unfit)?;
    let touched = arrival.touched;
    let entities: Vec<(Entity, i64, i64)> =
        touched.entities().map(|(entity, low, high)| (entity.clone(), low, high)).collect();
    let of_entities = panes.keys_of(entities.iter().map(|(entity, ..)| entity)).map_err(unfit)?;
    let (mut keys, mut known) = (BTreeMap::new(), HashSet::new());
    let reach = plan.panes_max();
    for ((entity, low, high), key) in entities.into_iter().zip(&of_entities) {
        let key = encode_key(key);
        let found = near(&key, (low.saturating_sub(reach), high.saturating_add(reach)))?;
        known.extend(found.iter().map(|(index, _)| (key.clone(), *index)));
        panes.restore(entity.clone(), found, None);
        panes.check().map_err(unfit)?;
        keys.insert(entity, key);
    }
    let is_known =
        |entity: &Entity, index| keys.get(entity).is_some_and(|key| known.contains(&(key.clone(), index)));
    let again: Vec<i64> =
        touched.iter().filter(|(entity, index)| is_known(entity, *index)).map(|(_, index)| index).collect();
    let span = again.iter().min().copied().zip(again.iter().max().copied());
    let plan = Arc::clone(plan);
    let too_late = arrival.too_late.len();
    Ok(Arrived { plan, now_micros, panes, rows, touched, keys, span, too_late })
}

impl Arrived {
    /// Folds the touched panes. `source` holds all rows of the source in the panes of [`Self::span`].
    pub(super) fn fold(mut self, source: Option<&RecordBatch>) -> Result<Folded> {
        let mut fresh = self.touched.clone();
        if let (Some((low, high)), Some(source)) = (self.span, source) {
            let (again, beyond) = fresh.split(low..=high);
            let rows = Rows::read(&self.plan, source).map_err(unfit)?;
            self.panes.refold(&again, &rows).map_err(unfit)?;
            fresh = beyond;
        }
        self.panes.refold(&fresh, &self.rows).map_err(unfit)?;
        let mut stored = Vec::new();
        for (entity, low, high) in self.touched.entities() {
            let Some(key) = self.keys.get(entity) else { continue };
            let near = self.panes.of_entity(entity).into_iter();
            let changed = near.filter(|(index, _)| (low..=high).contains(index));
            stored.extend(changed.map(|(index, pane)| (key.clone(), index, encode_pane(pane))));
        }
        let published = self.panes.publish(&self.touched).map_err(unfit)?;
        folded(&self.plan, self.now_micros, &self.panes, &published, stored, self.rows.passed_over())
    }
}

fn folded(
    plan: &PanePlan,
    now_micros: i64,
    panes: &Panes,
    published: &[Published],
    stored: Vec<StoredPane>,
    passed_over: PassedOver,
) -> Result<Folded> {
    let newest_micros = panes.newest_micros();
    // What is dated ahead of the clock settles nothing before it.
    let happened = newest_micros.map(|newest| newest.min(now_micros));
    let after = happened.map_or(i64::MIN, |newest| plan.start_of(plan.pane_of(newest).saturating_add(1)));
    Ok(Folded {
        rows: panes.to_batch(published).map_err(unfit)?,
        from_micros: published.iter().map(|row| row.micros).min(),
        settled_micros: after,
        panes: stored,
        newest_micros,
        key_kinds: panes.key_kinds().map_err(unfit)?,
        passed_over,
    })
}
