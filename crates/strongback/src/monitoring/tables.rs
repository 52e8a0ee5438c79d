//! The tables beside a watched one: where its sketches and figures land, and where its labels are.

use syntax::names::FullName;

use super::monitor::{Monitor, beside};
use crate::{error::Result, tables::managed};

/// Names of the tables beside a watched one.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// Sketches of windows and of baselines.
    pub sketch: FullName,
    /// Figures.
    pub drift: FullName,
    /// Labels.
    pub labels: FullName,
}

/// Of a name that is watched.
pub(super) fn names(watched: &FullName) -> Names {
    Names {
        sketch: beside(watched, "_sketch"),
        drift: beside(watched, "_drift"),
        labels: beside(watched, "_labels"),
    }
}

/// Of a monitor, whose labels may lie elsewhere.
pub(super) fn names_of(monitor: &Monitor) -> Result<Names> {
    let definition = &monitor.definition;
    let of_watched = names(&managed::parse(&definition.watch)?);
    let elsewhere = definition.labels.as_ref().and_then(|labels| labels.table.as_deref());
    Ok(match elsewhere {
        Some(table) => Names { labels: managed::parse(table)?, ..of_watched },
        None => of_watched,
    })
}
