//! One table for every kind of named thing.

use std::collections::HashSet;

use serde_json::{Map, Value as Json};

use super::{names, store};
use crate::{
    bind,
    db::{Row, Sql},
    error::{Error, Result},
};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $label:literal;)+) => {
        /// What a named thing is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$doc])* $variant,)+ }

        impl Kind {
            /// As it is stored.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name,)+ }
            }

            /// As a message says it.
            pub fn label(self) -> &'static str {
                match self { $(Kind::$variant => $label,)+ }
            }

            /// From how it is stored.
            pub fn parse(name: &str) -> Result<Self> {
                match name {
                    $($name => Ok(Kind::$variant),)+
                    other => Err(Error::internal(format!("an asset has the unknown kind {other:?}"))),
                }
            }
        }
    };
}

kinds! {
    /// The root; one a server.
    Metastore = "metastore", "metastore";
    /// The first level of a name, and the boundary between tenants.
    Catalog = "catalog", "catalog";
    /// The second level.
    Schema = "schema", "schema";
    /// A table.
    Table = "table", "table";
    /// An experiment.
    Experiment = "experiment", "experiment";
    /// A registered model.
    Model = "model", "registered model";
    /// A command that runners run.
    Command = "command", "command";
    /// Rows that a model is trained on.
    TrainingSet = "training_set", "training set";
    /// What watches an endpoint or a table.
    Monitor = "monitor", "monitor";
    /// Where a model answers requests.
    Endpoint = "endpoint", "endpoint";
}

impl Kind {
    /// What lies in a schema and is called by a name of three levels.
    pub const IN_SCHEMA: [Self; 7] = [
        Self::Table,
        Self::Model,
        Self::Experiment,
        Self::Command,
        Self::TrainingSet,
        Self::Endpoint,
        Self::Monitor,
    ];

    /// What people give away by its name.
    pub const GIVEN: [Self; 9] = [
        Self::Catalog,
        Self::Schema,
        Self::Table,
        Self::Experiment,
        Self::Model,
        Self::Command,
        Self::TrainingSet,
        Self::Endpoint,
        Self::Monitor,
    ];
}

/// A named thing.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Internal id.
    pub id: i64,
    /// The id that leaves the server.
    pub uuid: String,
    /// The asset above it; none for the metastore.
    pub parent_id: Option<i64>,
    /// What it is.
    pub kind: Kind,
    /// Last part of its name, as given.
    pub leaf: String,
    /// The name by which a flat face created it; that face gets it back byte for byte.
    pub wire_name: Option<String>,
    /// `principal.id` of its owner.
    pub owner_id: i64,
    /// Description.
    pub comment: Option<String>,
    /// Free properties, text to text.
    pub properties: Map<String, Json>,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// `principal.id`
    pub created_by: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
    /// `principal.id`
    pub updated_by: i64,
    /// Counts its changes: lock and etag.
    pub revision: i64,
}

/// What is needed to make one.
#[derive(Debug, Clone, Copy)]
pub struct NewAsset<'a> {
    /// The asset above it.
    pub parent_id: Option<i64>,
    /// What it is.
    pub kind: Kind,
    /// Last part of its name, as given.
    pub leaf: &'a str,
    /// The leaf as names of this kind compare: lower case for three-level names, unchanged for wire names.
    pub leaf_key: &'a str,
    /// The name on a flat face.
    pub wire_name: Option<&'a str>,
    /// `principal.id` of its owner.
    pub owner_id: i64,
    /// Description.
    pub comment: Option<&'a str>,
    /// Free properties.
    pub properties: Option<&'a Map<String, Json>>,
}

/// Makes an asset. Whether the name is free is the caller's question, since each face has its own words for it.
pub fn create(tx: &mut Sql<'_>, new: &NewAsset<'_>) -> Result<Asset> {
    create_as(tx, &uuid::Uuid::now_v7().to_string(), new)
}

/// The same with an id that was given before, as to what lies in a place that is named by it.
pub fn create_as(tx: &mut Sql<'_>, uuid: &str, new: &NewAsset<'_>) -> Result<Asset> {
    let properties =
        new.properties.map_or_else(|| "{}".to_owned(), |map| Json::Object(map.clone()).to_string());
    let (now, by) = (tx.now(), tx.caller().id);
    let name = (new.leaf, new.leaf_key, new.wire_name);
    tx.one(
        &store::ASSET_INSERT,
        bind![
            uuid,
            new.parent_id,
            new.kind.name(),
            name.0,
            name.1,
            name.2,
            new.owner_id,
            new.comment,
            &properties,
            now,
            by
        ],
        read,
    )
}

/// Gives an asset that comes from another store the times that it had there: made, changed last.
pub fn backdate(tx: &mut Sql<'_>, id: i64, (created_at, updated_at): (i64, i64)) -> Result<()> {
    tx.execute(&store::ASSET_BACKDATE, bind![id, created_at, updated_at]).map(drop)
}

/// The living asset of this kind and leaf below a parent.
pub fn find(sql: &mut Sql<'_>, parent_id: Option<i64>, kind: Kind, leaf_key: &str) -> Result<Option<Asset>> {
    match parent_id {
        Some(parent) => sql.first(&store::ASSET_BY_LEAF, bind![parent, kind.name(), leaf_key], read),
        None => sql.first(&store::ASSET_ROOT, bind![kind.name()], read),
    }
}

/// The living asset with this name on a flat face.
pub fn find_by_wire_name(sql: &mut Sql<'_>, kind: Kind, wire_name: &str) -> Result<Option<Asset>> {
    sql.first(&store::ASSET_BY_WIRE, bind![kind.name(), wire_name], read)
}

/// The living asset with this id.
pub fn get(sql: &mut Sql<'_>, id: i64) -> Result<Option<Asset>> {
    sql.first(&store::ASSET_BY_ID, bind![id], read)
}

/// The living asset with this id that leaves the server.
pub fn by_uuid(sql: &mut Sql<'_>, uuid: &str) -> Result<Option<Asset>> {
    sql.first(&store::ASSET_BY_UUID, bind![uuid], read)
}

/// The asset with this id that leaves the server, also a deleted one.
pub fn ever_by_uuid(sql: &mut Sql<'_>, uuid: &str) -> Result<Option<Asset>> {
    sql.first(&store::ASSET_EVER, bind![uuid], read)
}

/// The UUID of an asset, also of a deleted one.
pub fn uuid_of(sql: &mut Sql<'_>, id: i64) -> Result<Option<String>> {
    sql.first(&store::ASSET_UUID, bind![id], |row| row.get(0))
}

/// The number of the asset with this UUID, also of a deleted one.
pub fn id_of(sql: &mut Sql<'_>, uuid: &str) -> Result<Option<i64>> {
    sql.first(&store::ASSET_ID, bind![uuid], |row| row.get(0))
}

/// Living assets of a kind below a parent, by leaf.
pub fn list(sql: &mut Sql<'_>, parent_id: i64, kind: Kind) -> Result<Vec<Asset>> {
    sql.all(&store::ASSET_LIST, bind![parent_id, kind.name()], read)
}

/// How many living assets lie below one, of all kinds.
pub fn count_children(sql: &mut Sql<'_>, parent_id: i64) -> Result<i64> {
    sql.one(&store::ASSET_CHILDREN, bind![parent_id], |row| row.get(0))
}

/// Stores name, owner, comment and properties as they are now in `asset`, and counts its revision up. The row is
/// locked by it, so that a change that reads before it writes should begin with [`lock`].
pub fn update(tx: &mut Sql<'_>, asset: &Asset, leaf_key: &str) -> Result<Asset> {
    let (now, by) = (tx.now(), tx.caller().id);
    let properties = Json::Object(asset.properties.clone()).to_string();
    tx.one(
        &store::ASSET_UPDATE,
        bind![
            asset.id,
            asset.parent_id,
            &asset.leaf,
            leaf_key,
            asset.wire_name.as_deref(),
            asset.owner_id,
            asset.comment.as_deref(),
            &properties,
            now,
            by
        ],
        read,
    )
}

/// Reads an asset and keeps others from changing it until the transaction ends.
pub fn lock(tx: &mut Sql<'_>, id: i64) -> Result<Asset> {
    tx.first(&store::ASSET_LOCK, bind![id], read)?
        .ok_or_else(|| Error::missing("What the request is about was deleted at the same moment."))
}

/// Gives an asset to another owner; answers the new revision.
pub fn set_owner(tx: &mut Sql<'_>, id: i64, owner_id: i64) -> Result<i64> {
    let (now, by) = (tx.now(), tx.caller().id);
    tx.one(&store::ASSET_SET_OWNER, bind![id, owner_id, now, by], |row| row.get(0))
}

/// How many living assets of which kinds lie directly below one.
pub fn child_kinds(sql: &mut Sql<'_>, id: i64) -> Result<Vec<(String, i64)>> {
    sql.all(&store::ASSET_CHILD_KINDS, bind![id], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// An asset that went with the one above it.
#[derive(Debug)]
pub struct Gone {
    /// Its internal id.
    pub id: i64,
    /// What it was.
    pub kind: Kind,
    /// Its last revision.
    pub revision: i64,
}

/// Deletes all that lies below an asset, two levels deep, and answers what that was, by id.
pub fn delete_below(tx: &mut Sql<'_>, id: i64) -> Result<Vec<Gone>> {
    // Whoever is creating something below a child holds a lock on that child: wait for it, then delete.
    tx.all(&store::ASSET_CHILDREN_LOCK, bind![id], |row| row.get::<i64>(0))?;
    let (now, by) = (tx.now(), tx.caller().id);
    let mut gone = tx.all(&store::ASSET_DELETE_BELOW, bind![id, now, by], |row| {
        Ok(Gone { id: row.get(0)?, kind: Kind::parse(&row.get::<String>(1)?)?, revision: row.get(2)? })
    })?;
    gone.sort_unstable_by_key(|asset| asset.id);
    Ok(gone)
}

/// Assets whose deletion took along something that is shown by this name.
pub fn deleted_above(sql: &mut Sql<'_>, name: &str) -> Result<HashSet<i64>> {
    let mut above = HashSet::new();
    let leaf = name.rsplit('.').next().unwrap_or_default();
    let found = sql.all(&store::ASSET_DELETED_WITH, bind![leaf, name], |row| {
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))
    })?;
    for (id, with) in found {
        if display_name(sql, id)? == name {
            above.insert(with);
        }
    }
    Ok(above)
}

/// Counts the revision up because something that belongs to the asset changed; answers the new revision. It also locks.
pub fn touch(tx: &mut Sql<'_>, id: i64) -> Result<i64> {
    let (now, by) = (tx.now(), tx.caller().id);
    tx.one(&store::ASSET_TOUCH, bind![id, now, by], |row| row.get(0))
}

/// Deletes an asset: its name is free again, the row stays for history.
pub fn delete(tx: &mut Sql<'_>, id: i64) -> Result<i64> {
    let (now, by) = (tx.now(), tx.caller().id);
    tx.one(&store::ASSET_DELETE, bind![id, now, by], |row| row.get(0))
}

/// The name of an asset: its wire name if that means it, else `catalog.schema.leaf` or as many levels as it has. Also for
/// deleted ones, so that history stays readable.
pub fn display_name(sql: &mut Sql<'_>, id: i64) -> Result<String> {
    let found = sql.first(&store::ASSET_NAME, bind![id], |row| {
        let part = |at| row.get::<Option<String>>(at);
        Ok((part(0)?, part(1)?, part(2)?, part(3)?, part(4)?))
    })?;
    let Some((Some(kind), leaf, wire, parent, grand)) = found else {
        return Ok(format!("asset {id}"));
    };
    let kind = Kind::parse(&kind)?;
    // An endpoint is governed by its three levels; its wire name is how flat faces address it.
    if let Some(wire) = wire.filter(|_| kind != Kind::Endpoint)
        && !(kind == Kind::Model && names::is_governed(sql, &wire)?)
    {
        return Ok(wire);
    }
    let leaf = leaf.unwrap_or_default();
    Ok(match (kind, parent, grand) {
        (Kind::Metastore | Kind::Catalog, ..) => leaf,
        (Kind::Schema, Some(catalog), _) => format!("{catalog}.{leaf}"),
        (_, Some(schema), Some(catalog)) => format!("{catalog}.{schema}.{leaf}"),
        _ => leaf,
    })
}

pub(super) fn read(row: &Row<'_>) -> Result<Asset> {
    let properties: String = row.get(8)?;
    Ok(Asset {
        id: row.get(0)?,
        uuid: row.get(1)?,
        parent_id: row.get(2)?,
        kind: Kind::parse(&row.get::<String>(3)?)?,
        leaf: row.get(4)?,
        wire_name: row.get(5)?,
        owner_id: row.get(6)?,
        comment: row.get(7)?,
        properties: serde_json::from_str(&properties).map_err(Error::internal)?,
        created_at: row.get(9)?,
        created_by: row.get(10)?,
        updated_at: row.get(11)?,
        updated_by: row.get(12)?,
        revision: row.get(13)?,
    })
}
