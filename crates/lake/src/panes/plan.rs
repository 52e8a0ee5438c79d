//! A declaration made ready: positions instead of names, windows as counts of panes.

use syntax::features::{Aggregate, FeatureTable};

use super::error::PaneError;
use super::pane::Pane;

/// What a feature is computed from.
#[derive(Debug, Clone, Copy)]
struct Output {
    aggregate: Aggregate,
    /// Position among the aggregated columns. None: rows are counted.
    column: Option<usize>,
    /// Position among the windows.
    window: usize,
}

/// A checked declaration.
#[derive(Debug, Clone)]
pub struct PanePlan {
    declared: FeatureTable,
    /// The aggregated columns, each once, in the order of their first use.
    columns: Vec<String>,
    /// Panes of each window, each length once.
    windows: Vec<i64>,
    outputs: Vec<Output>,
}

impl PanePlan {
    /// Checks the declaration.
    pub fn new(declared: FeatureTable) -> Result<Self, PaneError> {
        declared.check()?;
        let (mut columns, mut windows, mut outputs) = (vec![], vec![], vec![]);
        for feature in &declared.features {
            let column = feature.column.clone().map(|column| position(&mut columns, column));
            // The check has shown that the width is not 0 and divides the window.
            let panes = feature.window.micros() / declared.pane.micros();
            let window = position(&mut windows, panes);
            outputs.push(Output { aggregate: feature.aggregate, column, window });
        }
        Ok(Self { declared, columns, windows, outputs })
    }

    /// What was declared.
    pub fn declared(&self) -> &FeatureTable {
        &self.declared
    }

    /// The aggregated columns, in the order in which panes keep them.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Panes of each window.
    pub(super) fn windows(&self) -> &[i64] {
        &self.windows
    }

    /// Panes of the longest window: how far back a request looks.
    pub fn panes_max(&self) -> i64 {
        self.windows.iter().copied().max().unwrap_or(0)
    }

    /// Index of the pane that holds a time, in microseconds.
    pub fn pane_of(&self, micros: i64) -> i64 {
        micros.div_euclid(self.declared.pane.micros())
    }

    /// First microsecond of a pane.
    pub fn start_of(&self, pane: i64) -> i64 {
        pane.saturating_mul(self.declared.pane.micros())
    }

    /// What an entity has whose windows hold no rows: 0 for counts, none for the rest. A training row that matches no
    /// published row has these.
    pub fn nothing(&self) -> Vec<Option<f64>> {
        self.features(&[], 0)
    }

    /// The features as they stand when all panes below `end` are over. `panes` ascend by index.
    pub(super) fn features(&self, panes: &[(i64, &Pane)], end: i64) -> Vec<Option<f64>> {
        let merged: Vec<Pane> = self
            .windows
            .iter()
            .map(|length| {
                let from = panes.partition_point(|(index, _)| *index < end.saturating_sub(*length));
                let to = panes.partition_point(|(index, _)| *index < end);
                let mut window = Pane::empty(self.columns.len());
                for (_, pane) in panes.get(from..to).unwrap_or_default() {
                    window.merge(pane);
                }
                window
            })
            .collect();
        self.outputs.iter().map(|output| output.of(&merged)).collect()
    }
}

impl Output {
    fn of(&self, merged: &[Pane]) -> Option<f64> {
        let window = merged.get(self.window)?;
        match self.column {
            Some(column) => window.columns.get(column)?.aggregate(self.aggregate),
            None => Some(window.rows as f64),
        }
    }
}

fn position<T: PartialEq>(all: &mut Vec<T>, one: T) -> usize {
    all.iter().position(|other| *other == one).unwrap_or_else(|| {
        all.push(one);
        all.len() - 1
    })
}

/// The single request: the stored panes of one entity, and a time.
#[derive(Debug, Clone)]
pub struct Request<'p> {
    plan: &'p PanePlan,
    panes: Vec<(i64, Pane)>,
}

impl<'p> Request<'p> {
    /// `panes` ascend by index and have the plan's columns, as [`super::decode_panes`] gives them.
    pub fn new(plan: &'p PanePlan, panes: Vec<(i64, Pane)>) -> Self {
        Self { plan, panes }
    }

    /// The feature vector at a time, in microseconds, in the declared order.
    pub fn features(&self, micros: i64) -> Vec<Option<f64>> {
        let panes: Vec<(i64, &Pane)> = self.panes.iter().map(|(index, pane)| (*index, pane)).collect();
        self.plan.features(&panes, self.plan.pane_of(micros))
    }
}
