//! The tables beside a watched one: where its sketches and figures land, and where its labels are.
//!
//! What must stay true: a definition is text and keeps the names that it was declared with. What lies in the schema of the
//! monitor is looked for where that schema is now, whatever it is called.

use syntax::names::{FullName, fold_case};

use super::monitor::{Monitor, beside};
use crate::{
    catalog,
    db::Sql,
    error::{Code, Result},
    tables::managed,
};

/// Names of the tables beside a watched one.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// What is watched, and the monitor.
    pub watched: FullName,
    /// Sketches of windows and of baselines.
    pub sketch: FullName,
    /// Figures.
    pub drift: FullName,
    /// Labels.
    pub labels: FullName,
}

impl Names {
    /// What became of reading or writing one of the monitor's own tables. Where something else has the name by now, it says what
    /// that is about, and what to do: nothing of the windows is lost, they wait.
    pub(super) fn own<T>(&self, table: &FullName, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| match error.code() {
            Code::InvalidParameterValue => {
                let (table, watched) = (managed::show(table), managed::show(&self.watched));
                let message = format!(
                    "What is told of '{watched}' lands in '{table}', and another table has that name: {} Delete \
                     that table, once its rows are elsewhere; the windows wait, and are computed with: strongback monitor run \
                     {watched}",
                    error.message()
                );
                error.with_message(message)
            }
            _ => error,
        })
    }
}

/// Of a name that is watched.
pub(super) fn names(watched: &FullName) -> Names {
    Names {
        watched: watched.clone(),
        sketch: beside(watched, "_sketch"),
        drift: beside(watched, "_drift"),
        labels: beside(watched, "_labels"),
    }
}

/// Of a monitor as it is called now; its labels may lie elsewhere.
pub(super) fn names_of(sql: &mut Sql<'_>, monitor: &Monitor) -> Result<Names> {
    let definition = &monitor.definition;
    let now = catalog::names::full_name_of(sql, monitor.asset.id)?;
    let elsewhere = definition.labels.as_ref().and_then(|labels| labels.table.as_deref());
    Ok(match elsewhere {
        Some(table) => Names { labels: moved(&definition.watch, &now, table)?, ..names(&now) },
        None => names(&now),
    })
}

/// What a definition names, by its name now: what was declared in the schema of the monitor lies where that is now.
pub(super) fn moved(watch: &str, now: &FullName, name: &str) -> Result<FullName> {
    let (declared, named) = (managed::parse(watch)?, managed::parse(name)?);
    let schema = |name: &FullName| (fold_case(&name.catalog), fold_case(&name.schema));
    Ok(match schema(&declared) == schema(&named) {
        true => FullName { leaf: named.leaf, ..now.clone() },
        false => named,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_schema_of_the_monitor_moves_with_it() {
        let now = managed::parse("live.fraud.cards").unwrap();
        let of = |name| managed::show(&moved("prod.risk.cards", &now, name).unwrap());
        assert_eq!(of("Prod.risk.truth"), "live.fraud.truth");
        assert_eq!(of("prod.other.truth"), "prod.other.truth");
    }
}
