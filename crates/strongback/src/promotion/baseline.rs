//! The training set of a version: what the rows that it learned from were.
//!
//! The run of a version names it with the tag `strongback.training_set`: `catalog.schema.name` or `catalog.schema.name@7`.

use syntax::{gates::TableRef, names::FullName};

use super::rows::{self, Source};
use crate::{
    db::Sql,
    error::{Error, Result},
    registry::versions::Version,
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
    run.document.tag(TAG).map(|named| rows::resolve(sql, &parse(named)?)).transpose()
}

fn parse(named: &str) -> Result<TableRef> {
    let wrong = || {
        Error::invalid(format!(
            "The run's tag {TAG} names no table: '{named}'. Write catalog.schema.name@version."
        ))
    };
    let (name, version) = match named.rsplit_once('@') {
        Some((name, version)) => (name, Some(version.parse().map_err(|_| wrong())?)),
        None => (named, None),
    };
    FullName::parse(name).map_err(|_| wrong())?;
    Ok(TableRef { name: name.to_owned(), version })
}
