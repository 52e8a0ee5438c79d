//! The feature table: a row for each moment at which an entity's features change.
//!
//! Features change where a pane ends and enters the windows, and where it leaves one. A row stands at the first microsecond of
//! the new values, so that the newest row at or before `t` has the features at `t`: what a point-in-time join finds is what the
//! kernel computes. Before its first row an entity has [`PanePlan::nothing`](super::PanePlan::nothing).

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{Field, Schema};
use syntax::features::Aggregate;

use super::error::PaneError;
use super::increment::Touched;
use super::pane::Pane;
use super::rows::{Entity, encoder};
use super::table::Panes;

/// A row of the feature table.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Whose features.
    pub entity: Entity,
    /// From when on, in microseconds.
    pub micros: i64,
    /// In the declared order.
    pub features: Vec<Option<f64>>,
}

impl Panes {
    /// All rows, by entity and time.
    pub fn publish_all(&self) -> Result<Vec<Published>, PaneError> {
        let mut rows = vec![];
        for (entity, panes) in &self.entities {
            self.publish_at(entity, &self.moments(panes.keys().copied())?, &mut rows)?;
        }
        Ok(rows)
    }

    /// The rows that touched panes change or add, by entity and time. Each replaces the row of its entity and time.
    pub fn publish(&self, touched: &Touched) -> Result<Vec<Published>, PaneError> {
        let reach = self.plan.panes_max();
        let mut rows = vec![];
        for (entity, indices) in &touched.panes {
            let mut moments = self.moments(indices.iter().copied())?;
            for index in indices {
                // Other panes near by have moments of their own at which this one is seen.
                let near =
                    self.entities.get(entity).into_iter().flat_map(|panes| {
                        panes.range(index.saturating_sub(reach)..=index.saturating_add(reach))
                    });
                let seen = index.saturating_add(1)..=index.saturating_add(1).saturating_add(reach);
                let near = self.moments(near.map(|(index, _)| *index))?;
                moments.extend(near.into_iter().filter(|moment| seen.contains(moment)));
            }
            self.publish_at(entity, &moments, &mut rows)?;
        }
        Ok(rows)
    }

    /// The pane indices at whose start the features may change: where one of these panes has just ended, or just left a window.
    fn moments(&self, panes: impl Iterator<Item = i64>) -> Result<BTreeSet<i64>, PaneError> {
        let mut moments = BTreeSet::new();
        for index in panes {
            self.bounds.check(moments.len() * size_of::<i64>())?;
            let ended = index.saturating_add(1);
            moments.insert(ended);
            moments.extend(self.plan.windows().iter().map(|length| ended.saturating_add(*length)));
        }
        Ok(moments)
    }

    fn publish_at(
        &self,
        entity: &Entity,
        moments: &BTreeSet<i64>,
        rows: &mut Vec<Published>,
    ) -> Result<(), PaneError> {
        let panes: Vec<(i64, &Pane)> = self.of_entity(entity);
        let features = self.plan.declared().features.len();
        let row_bytes = size_of::<Published>() + entity.as_ref().len() + features * size_of::<Option<f64>>();
        for moment in moments {
            self.bounds.check((rows.len() + 1).saturating_mul(row_bytes))?;
            rows.push(Published {
                entity: entity.clone(),
                micros: self.plan.start_of(*moment),
                features: self.plan.features(&panes, *moment),
            });
        }
        Ok(())
    }

    /// Rows as columns: the keys, the timestamp (microseconds, UTC), the features. Counts are integers, all else floats.
    pub fn to_batch(&self, rows: &[Published]) -> Result<RecordBatch, PaneError> {
        let declared = self.plan.declared();
        let kinds = self.key_types.as_deref().unwrap_or_default();
        let mut columns: Vec<(String, ArrayRef)> = vec![];
        if !declared.keys.is_empty() {
            let converter = encoder(kinds)?;
            let parser = converter.parser();
            let keys = converter.convert_rows(rows.iter().map(|row| parser.parse(row.entity.as_ref())))?;
            columns.extend(declared.keys.iter().cloned().zip(keys));
        }
        let times: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.micros)).collect();
        columns.push((declared.timestamp.clone(), Arc::new(times.with_timezone("UTC"))));
        for (index, feature) in declared.features.iter().enumerate() {
            let values = rows.iter().map(|row| row.features.get(index).copied().flatten());
            let column: ArrayRef = if feature.aggregate == Aggregate::Count {
                Arc::new(values.map(|value| value.map(|count| count as i64)).collect::<Int64Array>())
            } else {
                Arc::new(values.collect::<Float64Array>())
            };
            columns.push((feature.name.clone(), column));
        }
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, column)| {
                let is_row_of = declared.keys.contains(name) || *name == declared.timestamp;
                Field::new(name, column.data_type().clone(), !is_row_of)
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }
}
