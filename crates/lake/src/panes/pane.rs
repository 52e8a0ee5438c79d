//! One pane: what is kept of its rows.

use super::moments::Moments;

/// How many rows, and the moments of each aggregated column.
#[derive(Debug, Clone, PartialEq)]
pub struct Pane {
    pub(super) rows: u64,
    pub(super) columns: Vec<Moments>,
}

impl Pane {
    /// Of no rows.
    pub fn empty(columns: usize) -> Self {
        Self { rows: 0, columns: vec![Moments::NONE; columns] }
    }

    /// Takes the next row. `values` has one entry a column.
    pub(super) fn push(&mut self, values: impl Iterator<Item = Option<f64>>) {
        self.rows += 1;
        for (moments, value) in self.columns.iter_mut().zip(values) {
            if let Some(value) = value {
                moments.push(value);
            }
        }
    }

    /// Takes the next pane.
    pub(super) fn merge(&mut self, next: &Self) {
        self.rows += next.rows;
        for (moments, other) in self.columns.iter_mut().zip(&next.columns) {
            moments.merge(other);
        }
    }
}
