//! What an endpoint stands on and what it leaves, as lineage: the model that it serves and the feature tables that it looks
//! inputs up in, by configuration, and its payload table.
//!
//! What must stay true: it is recorded in the transaction that makes a configuration, or the payload table. What an endpoint of
//! an earlier server lacks is recorded when its version is loaded; recorded again, it is nothing new.

use super::{config, lookup, payload};
use crate::{
    catalog::{
        asset,
        lineage::{self, EdgeKind, Fact, NodeRef},
    },
    context::Ctx,
    db::Sql,
    error::Result,
    registry::versions,
};

/// Records what a configuration stands on.
pub(super) fn record(tx: &mut Sql<'_>, endpoint_id: i64, n: i64, served: (i64, i64)) -> Result<()> {
    let (model_id, number) = served;
    let (endpoint, target_version, source_version) =
        (NodeRef::Asset(endpoint_id), n.to_string(), number.to_string());
    let fact = Fact { source_version: &source_version, target_version: &target_version, ..Fact::default() };
    lineage::record(tx, NodeRef::Asset(model_id), endpoint, EdgeKind::Serves, fact)?;
    let Some(version) = versions::get(tx, model_id, number)? else { return Ok(()) };
    for table in lookup::tables_of(tx, endpoint_id, &version)? {
        let fact = Fact { target_version: &target_version, ..Fact::default() };
        lineage::record(tx, NodeRef::Asset(table), endpoint, EdgeKind::Feeds, fact)?;
    }
    Ok(())
}

/// Records what is known of an endpoint and was not recorded when it came to be.
pub(super) async fn complete(ctx: &Ctx, endpoint_id: i64) -> Result<()> {
    ctx.app
        .db
        .derive(move |tx| {
            if asset::get(tx, endpoint_id)?.is_none() {
                return Ok(());
            }
            let newest = config::newest(tx, endpoint_id)?;
            record(tx, endpoint_id, newest.n, (newest.model_id, newest.version))?;
            match payload::recorded_table(tx, endpoint_id)? {
                Some(table) => payload::record_lineage(tx, endpoint_id, table),
                None => Ok(()),
            }
        })
        .await
}
