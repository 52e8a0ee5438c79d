//! Lineage: what feeds what, from tables and data sets through runs and model versions to endpoints, what they record, and what
//! watches that.
//!
//! Nodes and edges are definitions, written once: a table, a data set, an experiment, a model. What a single run or
//! version had to do with an edge is a [`Fact`]. A run is not a node: its experiment is, and the run stands in the
//! facts; [`walk`] passes through an experiment only from edge to edge that share a run, so that a model does not
//! inherit what other runs of its experiment read.
//!
//! What must stay true:
//! - lineage is recorded in the transaction of the mutation that it belongs to, and makes no event of its own;
//! - recording is idempotent, and writes nothing when nothing is new;
//! - an edge row is never updated, so that concurrent runs do not wait for each other.

pub mod store;
pub mod walk;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::{Kind, asset};
use crate::{bind, db::Sql, error::Result};

/// Kind of the nodes that are assets.
pub const ASSET: &str = "asset";
/// Kind of the nodes that are data sets as MLflow's clients describe them.
pub const DATASET: &str = "dataset";

/// Something that takes part in lineage.
#[derive(Debug, Clone, Copy)]
pub enum NodeRef<'a> {
    /// An asset, by `asset.id`.
    Asset(i64),
    /// A data set that a client described. Name and source are its identity, the digest is its version.
    Dataset {
        /// As the client calls it.
        name: &'a str,
        /// Digest of its content; becomes the version in the fact where that has none.
        digest: &'a str,
        /// Where it comes from, as the client wrote it.
        source: &'a str,
    },
    /// Anything else, e.g. a table that nobody declared.
    External {
        /// What it is, e.g. `job`; neither `asset` nor `dataset`.
        kind: &'a str,
        /// Its name, which is its identity.
        name: &'a str,
    },
}

impl NodeRef<'_> {
    fn version(&self) -> &str {
        match self {
            Self::Dataset { digest, .. } => digest,
            _ => "",
        }
    }
}

/// What an edge means, read from source to target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgeKind {
    /// The target reads the source: data set or table → experiment, table → monitor.
    Reads,
    /// The source makes the target: experiment → model.
    Produces,
    /// The target is computed from the source: table → feature table, table → training set.
    Derives,
    /// The target was made from the source as it is: model → model, by copying a version.
    Copies,
    /// The target answers by the source: model → endpoint, of a version by a configuration.
    Serves,
    /// The target looks inputs up in the source: feature table → endpoint, by a configuration.
    Feeds,
    /// The source writes down in the target what it did: endpoint → payload table.
    Logs,
    /// The target was judged on the source: table → model.
    Judges,
}

impl EdgeKind {
    /// As it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Produces => "produces",
            Self::Derives => "derives",
            Self::Copies => "copies",
            Self::Serves => "serves",
            Self::Feeds => "feeds",
            Self::Logs => "logs",
            Self::Judges => "judges",
        }
    }
}

/// One occurrence of an edge. Empty texts where something does not apply.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fact<'a> {
    /// The run that took part, 32 hex digits.
    pub run_uuid: &'a str,
    /// Version of the source: digest, table version, model version.
    pub source_version: &'a str,
    /// Version of the target.
    pub target_version: &'a str,
    /// More about it, e.g. how it became known.
    pub detail: Option<&'a Json>,
}

/// Records that `source` feeds `target`. Answers whether anything was new; if not, nothing was written.
///
/// It authorises nothing: the mutation that it belongs to does.
pub fn record(
    tx: &mut Sql<'_>,
    source: NodeRef<'_>,
    target: NodeRef<'_>,
    kind: EdgeKind,
    fact: Fact<'_>,
) -> Result<bool> {
    let (source_id, target_id) = (node_id(tx, source)?, node_id(tx, target)?);
    let now = tx.now();
    let key = bind![source_id, target_id, kind.name()];
    let edge_id = match tx.first(&store::EDGE_ID, key, |row| row.get(0))? {
        Some(id) => id,
        None => {
            tx.execute(&store::EDGE_INSERT, bind![source_id, target_id, kind.name(), now])?;
            tx.one(&store::EDGE_ID, key, |row| row.get::<i64>(0))?
        }
    };
    let or =
        |given: &'_ str, other: &'_ str| if given.is_empty() { other.to_owned() } else { given.to_owned() };
    let source_version = or(fact.source_version, source.version());
    let target_version = or(fact.target_version, target.version());
    let key = bind![edge_id, fact.run_uuid, &target_version, &source_version];
    if tx.first(&store::FACT_EXISTS, key, |row| row.get::<i64>(0))?.is_some() {
        return Ok(false);
    }
    let detail = fact.detail.map_or_else(|| "{}".to_owned(), Json::to_string);
    let new = bind![edge_id, fact.run_uuid, &target_version, &source_version, now, &detail];
    Ok(tx.execute(&store::FACT_INSERT, new)? > 0)
}

/// How facts name a version of a table: a training set has but one, which they name by its digest.
pub fn version_of(sql: &mut Sql<'_>, asset_id: i64, version: u64) -> Result<String> {
    let set = asset::get(sql, asset_id)?.filter(|found| found.kind == Kind::TrainingSet);
    let digest = set.and_then(|set| Some(set.properties.get("sha256")?.as_str()?.to_owned()));
    Ok(digest.unwrap_or_else(|| version.to_string()))
}

/// The node of an asset, if it ever took part in anything.
pub fn node_of_asset(sql: &mut Sql<'_>, asset_id: i64) -> Result<Option<i64>> {
    sql.first(&store::NODE_OF_ASSET, bind![asset_id], |row| row.get(0))
}

fn node_id(tx: &mut Sql<'_>, node: NodeRef<'_>) -> Result<i64> {
    if let NodeRef::Asset(asset_id) = node {
        if let Some(id) = node_of_asset(tx, asset_id)? {
            return Ok(id);
        }
        tx.execute(&store::NODE_INSERT, bind![ASSET, asset_id, "", "", "{}"])?;
        return tx.one(&store::NODE_OF_ASSET, bind![asset_id], |row| row.get(0));
    }
    let (kind, key, name, detail) = match node {
        NodeRef::Dataset { name, source, .. } => {
            (DATASET, dataset_key(name, source), name, json!({ "source": source }))
        }
        NodeRef::External { kind, name } => (kind, name.to_owned(), name, json!({})),
        NodeRef::Asset(_) => return Err(crate::error::Error::internal("an asset is keyed by its id")),
    };
    if let Some(id) = tx.first(&store::NODE_BY_KEY, bind![kind, &key], |row| row.get(0))? {
        return Ok(id);
    }
    tx.execute(&store::NODE_INSERT, bind![kind, None::<i64>, &key, name, &detail.to_string()])?;
    tx.one(&store::NODE_BY_KEY, bind![kind, &key], |row| row.get(0))
}

/// Identity of a data set: sources may be long, keys should not.
fn dataset_key(name: &str, source: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    hash.update([0]);
    hash.update(source.as_bytes());
    hex::encode(hash.finalize())
}
