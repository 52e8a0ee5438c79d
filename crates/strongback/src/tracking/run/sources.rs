//! The tag by which a run names the table its data came from.
//!
//! A tag `feature_store_table` that names a known table becomes lineage: the table feeds the experiment, and this run
//! is an occurrence of it. One that names none, or one that the caller may not read, is kept, since it is the client's,
//! and a second tag says what is wrong.

use serde_json::json;
use syntax::names::FullName;

use super::Run;
use crate::{
    catalog::{
        Action, Asset, Kind,
        authorize::is_allowed,
        lineage::{self, EdgeKind, Fact, NodeRef},
        names,
    },
    db::Sql,
    error::Result,
    tracking::{document::RunDocument, limits},
};

/// The tag that clients set.
const TABLE_TAG: &str = "feature_store_table";
/// The tag that the server adds when the first one helps nobody.
const WARNING_TAG: &str = "strongback.warning.feature_store_table";

/// What the run's tag means.
#[derive(Debug)]
pub(super) struct Source {
    /// The table that it names.
    table: Option<Asset>,
    /// Whether the document changed: the warning was set or taken away.
    pub is_changed: bool,
}

/// Whether setting this tag, to whatever value, says where data came from.
pub(super) fn is_source_tag(key: &str) -> bool {
    key == TABLE_TAG
}

/// Finds the table that the run's tag names, and sets the warning or takes it away as it fits.
pub(super) fn resolve(sql: &mut Sql<'_>, document: &mut RunDocument) -> Result<Source> {
    let (table, warning) = match document.tag(TABLE_TAG) {
        None => (None, None),
        Some(name) => look_up(sql, name)?,
    };
    let is_changed = match warning {
        Some(warning) => document.set_tag(WARNING_TAG, &warning),
        None => document.delete_tag(WARNING_TAG),
    };
    Ok(Source { table, is_changed })
}

/// The table of this name, or what is to be said about the name.
fn look_up(sql: &mut Sql<'_>, name: &str) -> Result<(Option<Asset>, Option<String>)> {
    let shown = limits::cut(name, 300);
    let Ok(full) = FullName::parse(name) else {
        let warning = format!(
            "'{shown}' is not the name of a table: names have three levels, catalog.schema.table. No lineage was recorded."
        );
        return Ok((None, Some(warning)));
    };
    let warning = match names::leaf(sql, &full, Kind::Table)? {
        Some(table) if is_allowed(sql, Action::Read, table.id)? => return Ok((Some(table), None)),
        Some(_) => format!(
            "Whoever set the tag may not read the table '{shown}', so no lineage was recorded. Ask its owner, or an \
             administrator, then set the tag {TABLE_TAG} again."
        ),
        None => format!(
            "The table '{shown}' is not known here, so no lineage was recorded. Declare it, then set the tag \
             {TABLE_TAG} again."
        ),
    };
    Ok((None, Some(warning)))
}

/// Records the table that [`resolve`] found: it feeds the experiment, by this run. Whether that is news.
pub(super) fn record(tx: &mut Sql<'_>, run: &Run, source: Option<&Source>) -> Result<bool> {
    let Some(table) = source.and_then(|source| source.table.as_ref()) else { return Ok(false) };
    let how = json!({ "tag": TABLE_TAG });
    let fact = Fact { run_uuid: &run.uuid, detail: Some(&how), ..Fact::default() };
    let (source, target) = (NodeRef::Asset(table.id), NodeRef::Asset(run.experiment_id));
    lineage::record(tx, source, target, EdgeKind::Reads, fact)
}
