//! The tags by which a run names the table or the training set its data came from.
//!
//! A tag `feature_store_table` that names a known table becomes lineage: the table feeds the experiment, and this run
//! is an occurrence of it; so does `strongback.training_set` with a training set, whose digest is the version, or with a table at a
//! version. One that names none, or one that the caller may not read, is kept, since it is the client's, and a second tag says
//! what is wrong.
//!
//! What must stay true: a name is looked up when its tag is set, and by whoever sets it. What a run learned from is known by its id
//! from then on, which the server keeps in a tag of its own, that no client sets or deletes.

use serde_json::json;
use syntax::names::FullName;

use super::Run;
use crate::{
    catalog::{
        Action, Asset, Kind, asset,
        authorize::is_allowed,
        lineage::{self, EdgeKind, Fact, NodeRef},
        names,
    },
    db::Sql,
    error::{Error, Result},
    tracking::{document::RunDocument, limits},
};

/// A tag that says where data came from.
#[derive(Debug)]
struct SourceTag {
    /// The tag that clients set.
    tag: &'static str,
    /// The tag that the server adds when the first one helps nobody.
    warning: &'static str,
    /// The tag in which the server keeps the id of what the first one named, where somebody asks for it later.
    id: Option<&'static str>,
    /// What it names: the first of these that has the name.
    kinds: &'static [Kind],
    /// An example of such a name.
    example: &'static str,
    /// What makes one.
    remedy: &'static str,
}

/// The tag by which a run names the training set that its model was made from.
pub const TRAINING_SET_TAG: &str = "strongback.training_set";
/// The tag in which the server keeps the id of what that one named, and its version.
pub const TRAINING_SET_ID_TAG: &str = "strongback.training_set_id";
const TRAINING_SET_KINDS: &[Kind] = &[Kind::TrainingSet, Kind::Table];

const TAGS: [SourceTag; 2] = [
    SourceTag {
        tag: "feature_store_table",
        warning: "strongback.warning.feature_store_table",
        id: None,
        kinds: &[Kind::Table],
        example: "catalog.schema.table",
        remedy: "Declare it",
    },
    SourceTag {
        tag: TRAINING_SET_TAG,
        warning: "strongback.warning.training_set",
        id: Some(TRAINING_SET_ID_TAG),
        kinds: TRAINING_SET_KINDS,
        example: "catalog.schema.name",
        remedy: "Make it with strongback training-set create",
    },
];

/// The source type of a data set that is a training set kept here.
const TRAINING_SET_SOURCE: &str = "strongback_training_set";

/// What tags that were set mean.
#[derive(Debug)]
pub(super) struct Sources {
    found: Vec<Source>,
    /// Whether the document changed: a tag of the server's was set or taken away.
    pub is_changed: bool,
}

/// What one of them names.
#[derive(Debug)]
struct Source {
    tag: &'static str,
    asset: Asset,
    /// The version that stands behind the name.
    version: Option<u64>,
}

/// Whether a tag is the server's alone: a client's value of it, as one that copies runs sends it, is passed over.
pub(super) fn is_servers(key: &str) -> bool {
    TAGS.iter().any(|known| known.id == Some(key))
}

/// Refuses to delete a tag that is the server's alone.
pub(super) fn refuse_servers(key: &str) -> Result<()> {
    match TAGS.iter().find(|known| known.id == Some(key)) {
        Some(known) => Err(Error::invalid(format!(
            "The tag '{key}' is the server's and goes with '{}'. Delete that one.",
            known.tag
        ))),
        None => Ok(()),
    }
}

/// Finds what those of the run's tags name that were set or deleted, and sets the server's own or takes them away as it fits.
pub(super) fn resolve(
    sql: &mut Sql<'_>,
    document: &mut RunDocument,
    is_touched: impl Fn(&str) -> bool,
) -> Result<Sources> {
    let mut sources = Sources { found: Vec::new(), is_changed: false };
    for known in TAGS.iter().filter(|known| is_touched(known.tag)) {
        let (found, warning) = match document.tag(known.tag) {
            None => (None, None),
            Some(name) => look_up(sql, known, name)?,
        };
        let id = found.as_ref().map(|found| match found.version {
            Some(version) => format!("{}@{version}", found.asset.uuid),
            None => found.asset.uuid.clone(),
        });
        for (tag, value) in [(Some(known.warning), warning), (known.id, id)] {
            let Some(tag) = tag else { continue };
            sources.is_changed |= match value {
                Some(value) => document.set_tag(tag, &value),
                None => document.delete_tag(tag),
            };
        }
        sources.found.extend(found);
    }
    Ok(sources)
}

/// What has this name, or what is to be said about the name.
fn look_up(
    sql: &mut Sql<'_>,
    known: &'static SourceTag,
    name: &str,
) -> Result<(Option<Source>, Option<String>)> {
    let shown = limits::cut(name, 300);
    let (label, tag) = (known.kinds[0].label(), known.tag);
    if FullName::parse(name).is_err() && FullName::parse_versioned(name).is_err() {
        let warning = format!(
            "'{shown}' is not the name of a {label}: names have three levels, {}. No lineage was recorded.",
            known.example
        );
        return Ok((None, Some(warning)));
    }
    let warning = match names::versioned(sql, name, known.kinds)? {
        Some((asset, version)) if is_allowed(sql, Action::Read, asset.id)? => {
            return Ok((Some(Source { tag, asset, version }), None));
        }
        Some(_) => format!(
            "Whoever set the tag may not read the {label} '{shown}', so no lineage was recorded. Ask its owner, or an \
             administrator, then set the tag {tag} again."
        ),
        None => format!(
            "The {label} '{shown}' is not known here, so no lineage was recorded. {}, then set the tag \
             {tag} again.",
            known.remedy
        ),
    };
    Ok((None, Some(warning)))
}

/// What a run's model was made from.
#[derive(Debug)]
pub struct TrainingData {
    /// The training set, or the table.
    pub asset: Asset,
    /// The version that the run named.
    pub version: Option<u64>,
}

/// What a run's model was made from, as the run's tag named it when it was set: it may have another name by now, or be deleted, and
/// another may have its name. Where the tag named nothing then, what it names today. It authorises nothing.
pub fn training_data(sql: &mut Sql<'_>, run: &Run) -> Result<Option<TrainingData>> {
    let Some(kept) = run.document.tag(TRAINING_SET_ID_TAG) else {
        let Some(named) = run.document.tag(TRAINING_SET_TAG) else { return Ok(None) };
        let found = names::versioned(sql, named, TRAINING_SET_KINDS)?;
        return Ok(found.map(|(asset, version)| TrainingData { asset, version }));
    };
    let (id, version) = kept.split_once('@').map_or((kept, None), |(id, version)| (id, version.parse().ok()));
    Ok(asset::ever_by_uuid(sql, id)?.map(|asset| TrainingData { asset, version }))
}

/// Records what [`resolve`] found: it feeds the experiment, by this run. Whether that is news.
pub(super) fn record(tx: &mut Sql<'_>, run: &Run, sources: &Sources) -> Result<bool> {
    let mut is_news = false;
    for source in &sources.found {
        is_news |= record_one(tx, run, &source.asset, source.version, &json!({ "tag": source.tag }))?;
    }
    Ok(is_news)
}

fn record_one(
    tx: &mut Sql<'_>,
    run: &Run,
    asset: &Asset,
    version: Option<u64>,
    how: &serde_json::Value,
) -> Result<bool> {
    // A training set never changes: its digest is its version.
    let version = match asset.kind {
        Kind::TrainingSet => {
            asset.properties.get("sha256").and_then(serde_json::Value::as_str).map(str::to_owned)
        }
        _ => version.map(|version| version.to_string()),
    };
    let fact = Fact {
        run_uuid: &run.uuid,
        source_version: version.as_deref().unwrap_or_default(),
        detail: Some(how),
        ..Fact::default()
    };
    let (source, target) = (NodeRef::Asset(asset.id), NodeRef::Asset(run.experiment_id));
    lineage::record(tx, source, target, EdgeKind::Reads, fact)
}

/// Records a data set that is a training set kept here, by its name in `source` (as it is, or as `name` of a JSON object). `false`
/// where it is none, or none that the caller may read: then it is a data set like any other.
pub(super) fn record_training_set(
    tx: &mut Sql<'_>,
    run: &Run,
    source_type: &str,
    source: &str,
) -> Result<bool> {
    if source_type != TRAINING_SET_SOURCE {
        return Ok(false);
    }
    let said: Option<serde_json::Value> = serde_json::from_str(source).ok();
    let name = said.as_ref().and_then(|said| said["name"].as_str()).unwrap_or(source);
    let Ok(full) = FullName::parse(name) else { return Ok(false) };
    match names::leaf(tx, &full, Kind::TrainingSet)? {
        Some(found) if is_allowed(tx, Action::Read, found.id)? => {
            record_one(tx, run, &found, None, &json!({ "input": TRAINING_SET_SOURCE }))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}
