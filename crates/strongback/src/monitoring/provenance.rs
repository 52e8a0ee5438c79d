//! What a monitor looks at, as lineage: the table that it watches, the one that it compares with, and labels once there are some.

use crate::{
    catalog::lineage::{self, EdgeKind, Fact, NodeRef},
    db::Sql,
    error::Result,
};

/// Records that a monitor reads these tables, at a version where it keeps to one. Recorded again, it is nothing new.
pub(super) fn record(
    tx: &mut Sql<'_>,
    monitor: i64,
    tables: impl IntoIterator<Item = (i64, Option<u64>)>,
) -> Result<()> {
    for (table, version) in tables {
        let version = match version {
            Some(version) => lineage::version_of(tx, table, version)?,
            None => String::new(),
        };
        let fact = Fact { source_version: &version, ..Fact::default() };
        lineage::record(tx, NodeRef::Asset(table), NodeRef::Asset(monitor), EdgeKind::Reads, fact)?;
    }
    Ok(())
}
