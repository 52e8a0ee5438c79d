//! The tag by which a run names the table its data came from.
//!
//! A tag `feature_store_table` that names a known table becomes lineage: the table feeds the experiment, and this run
//! is an occurrence of it. One that names none is kept, since it is the client's, and a second tag says what is wrong.

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

/// Whether a change of this tag may change lineage.
pub(super) fn is_source_tag(key: &str) -> bool {
    key == TABLE_TAG
}

/// The table that the run's tag names. The warning is set or taken away as it fits.
pub(super) fn resolve(sql: &mut Sql<'_>, document: &mut RunDocument) -> Result<Option<Asset>> {
    let Some(name) = document.tag(TABLE_TAG).map(str::to_owned) else { return Ok(None) };
    let shown = limits::cut(&name, 300);
    let warning = match FullName::parse(&name) {
        Err(_) => format!(
            "'{shown}' is not the name of a table: names have three levels, catalog.schema.table. No lineage was recorded."
        ),
        Ok(full) => {
            if let Some(table) = visible_table(sql, &full)? {
                document.delete_tag(WARNING_TAG);
                return Ok(Some(table));
            }
            format!(
                "The table '{shown}' is not known here, so no lineage was recorded. Declare it, then set the tag \
                 {TABLE_TAG} again."
            )
        }
    };
    document.set_tag(WARNING_TAG, &warning);
    Ok(None)
}

/// The table of this name, if the caller may know that it is there.
fn visible_table(sql: &mut Sql<'_>, name: &FullName) -> Result<Option<Asset>> {
    match names::leaf(sql, name, Kind::Table)? {
        Some(table) if is_allowed(sql, Action::Read, table.id)? => Ok(Some(table)),
        _ => Ok(None),
    }
}

/// Records the table that [`resolve`] found: it feeds the experiment, by this run.
pub(super) fn record(tx: &mut Sql<'_>, run: &Run, table: Option<Asset>) -> Result<()> {
    let Some(table) = table else { return Ok(()) };
    let how = json!({ "tag": TABLE_TAG });
    let fact = Fact { run_uuid: &run.uuid, detail: Some(&how), ..Fact::default() };
    let (source, target) = (NodeRef::Asset(table.id), NodeRef::Asset(run.experiment_id));
    lineage::record(tx, source, target, EdgeKind::Reads, fact).map(drop)
}
