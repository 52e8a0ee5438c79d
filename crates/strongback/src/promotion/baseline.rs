//! The training set of a version: what the rows that it learned from were.
//!
//! The run of a version names it with the tag `strongback.training_set`: a training set, or a table at a version
//! (`catalog.schema.name@7`). Whoever may change the run says so; the report names what was compared, and a file of gates that says
//! `against` leaves it to nobody.
//!
//! What must stay true: the rows of a baseline never change, and are not the rows that are compared with it.

use syntax::{gates::TableRef, names::FullName};

use super::{rows::Source, subject::Known};
use crate::{
    catalog::{Action, asset},
    db::Sql,
    error::{Error, Result},
    registry::versions::Version,
    tables::managed,
    tracking::run,
};

/// The tag of a run that names the training set.
pub use crate::tracking::run::TRAINING_SET_TAG as TAG;

/// The rows that a version learned from, for a caller who may read them; none where its run names no training set.
pub fn find(sql: &mut Sql<'_>, version: &Version) -> Result<Option<Source>> {
    if version.run_id.is_empty() {
        return Ok(None);
    }
    let Some(run) = run::find(sql, &version.run_id)? else { return Ok(None) };
    let Some(named) = run.document.tag(TAG) else { return Ok(None) };
    let Some(read) = run::training_data(sql, &run)? else { return resolve(sql, &parse(named)?).map(Some) };
    let name = asset::display_name(sql, read.asset.id)?;
    if asset::get(sql, read.asset.id)?.is_none() {
        return Err(Error::missing(format!(
            "the {} '{name}' that version {} learned from was deleted; name rows to compare with by 'against' in the gates",
            read.asset.kind.label(),
            version.version
        )));
    }
    resolve(sql, &TableRef { name, version: read.version }).map(Some)
}

/// The training set, or the table at a version, that is meant.
pub fn resolve(sql: &mut Sql<'_>, wanted: &TableRef) -> Result<Source> {
    let found = managed::get(sql, &managed::parse(&wanted.name)?, Action::Read)?;
    let version = found.baseline_version(sql, wanted.version)?;
    Ok(Source { asset_id: found.asset.id, name: found.name, table: found.table, version })
}

/// Refuses a baseline that is what it is to be compared with.
pub fn apart(baseline: Known<Source>, evaluation: &Known<Source>) -> Known<Source> {
    match (baseline, evaluation) {
        (Ok(baseline), Ok(rows)) if baseline.is_same_as(rows) => Err(same(rows)),
        (baseline, _) => baseline,
    }
}

/// Why rows are no baseline of themselves.
pub fn same(rows: &Source) -> String {
    format!(
        "the training rows are the evaluation rows ({}), and nothing drifts from itself; evaluate on rows that the candidate did \
         not learn from",
        rows.shown()
    )
}

fn parse(named: &str) -> Result<TableRef> {
    let wrong = || {
        Error::invalid(format!(
            "The run's tag {TAG} names no training set and no table: '{named}'. Write catalog.schema.name, or \
             catalog.schema.name@version."
        ))
    };
    let (name, version) = FullName::parse_versioned(named).map_err(|_| wrong())?;
    Ok(TableRef { name: name.to_string(), version })
}
