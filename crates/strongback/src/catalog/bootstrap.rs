//! What every metastore begins with: the metastore itself, and the default schema for plain MLflow names.

use super::{
    asset::{self, Asset, Kind, NewAsset},
    authorize::authorize_admin,
    principal,
};
use crate::{
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    events::{Event, EventKind, key},
};

/// Catalog of the default schema.
pub const DEFAULT_CATALOG: &str = "main";
/// The default schema.
pub const DEFAULT_SCHEMA: &str = "default";

/// Makes metastore, catalog `main` and schema `main.default` on a new store; nothing on one that has them. The store
/// belongs to this data directory from then on.
pub async fn run(ctx: &Ctx) -> Result<()> {
    let public = key::public(&ctx.app.signing_key);
    ctx.write(move |tx| {
        if asset::find(tx, None, Kind::Metastore, "")?.is_some() {
            key::require(tx, &public)?;
            return Ok(Change::Nothing(()));
        }
        authorize_admin(tx, "create the metastore")?;
        key::begin(tx, &public)?;
        let root = built_in(tx, None, Kind::Metastore, "metastore", principal::ADMINS)?;
        let catalog = built_in(tx, Some(root.id), Kind::Catalog, DEFAULT_CATALOG, principal::ADMINS)?;
        built_in(tx, Some(catalog.id), Kind::Schema, DEFAULT_SCHEMA, principal::ADMINS)?;
        Ok(Change::Made((), Event::new(EventKind::MetastoreCreate).asset(root.id, root.revision)))
    })
    .await
}

fn built_in(
    tx: &mut Sql<'_>,
    parent_id: Option<i64>,
    kind: Kind,
    leaf: &str,
    owner_id: i64,
) -> Result<Asset> {
    asset::create(
        tx,
        &NewAsset {
            parent_id,
            kind,
            leaf,
            leaf_key: leaf,
            wire_name: None,
            owner_id,
            comment: None,
            properties: None,
        },
    )
}

/// The metastore.
pub fn metastore(sql: &mut Sql<'_>) -> Result<Asset> {
    asset::find(sql, None, Kind::Metastore, "")?.ok_or_else(|| Error::internal("the metastore is missing"))
}

/// The default schema.
pub fn default_schema(sql: &mut Sql<'_>) -> Result<Asset> {
    let root = metastore(sql)?;
    let gone = || {
        Error::missing(
            "The default schema main.default does not exist any more. Create it again: strongback schema create main.default",
        )
    };
    let catalog = asset::find(sql, Some(root.id), Kind::Catalog, DEFAULT_CATALOG)?.ok_or_else(gone)?;
    asset::find(sql, Some(catalog.id), Kind::Schema, DEFAULT_SCHEMA)?.ok_or_else(gone)
}

/// Refuses to rename or delete the catalog and schema where plain MLflow names live: they are found by name.
pub fn refuse_built_in(sql: &mut Sql<'_>, asset: &Asset, what: &str) -> Result<()> {
    let is_built_in = match asset.kind {
        Kind::Metastore => true,
        Kind::Catalog => asset.leaf == DEFAULT_CATALOG,
        Kind::Schema => default_schema(sql)?.id == asset.id,
        _ => false,
    };
    if is_built_in {
        return Err(Error::invalid(format!(
            "The {} '{}' cannot be {what}: plain MLflow names live in {DEFAULT_CATALOG}.{DEFAULT_SCHEMA}.",
            asset.kind.label(),
            asset.leaf
        )));
    }
    Ok(())
}
