//! The tags by which a run names the table or the training set its data came from.
//!
//! A tag `feature_store_table` that names a known table becomes lineage: the table feeds the experiment, and this run
//! is an occurrence of it; so does `strongback.training_set` with a training set, whose digest is the version. One that
//! names none, or one that the caller may not read, is kept, since it is the client's, and a second tag says what is wrong.

use serde_json::json;
use syntax::names::{FullName, fold_case};

use super::Run;
use crate::{
    catalog::{
        Action, Asset, Kind, asset,
        authorize::is_allowed,
        lineage::{self, EdgeKind, Fact, NodeRef},
        names,
    },
    db::Sql,
    error::Result,
    tracking::{document::RunDocument, limits},
};

/// A tag that says where data came from.
#[derive(Debug)]
struct SourceTag {
    /// The tag that clients set.
    tag: &'static str,
    /// The tag that the server adds when the first one helps nobody.
    warning: &'static str,
    /// What it names.
    kind: Kind,
    /// An example of such a name.
    example: &'static str,
    /// What makes one.
    remedy: &'static str,
}

/// The tag by which a run names the training set that its model was made from.
pub const TRAINING_SET_TAG: &str = "strongback.training_set";

const TAGS: [SourceTag; 2] = [
    SourceTag {
        tag: "feature_store_table",
        warning: "strongback.warning.feature_store_table",
        kind: Kind::Table,
        example: "catalog.schema.table",
        remedy: "Declare it",
    },
    TRAINING_SET,
];

const TRAINING_SET: SourceTag = SourceTag {
    tag: TRAINING_SET_TAG,
    warning: "strongback.warning.training_set",
    kind: Kind::TrainingSet,
    example: "catalog.schema.name",
    remedy: "Make it with strongback training-set create",
};

/// The source type of a data set that is a training set kept here.
const TRAINING_SET_SOURCE: &str = "strongback_training_set";

/// What the run's tags mean.
#[derive(Debug)]
pub(super) struct Source {
    /// What they name.
    found: Vec<(&'static str, Asset)>,
    /// Whether the document changed: a warning was set or taken away.
    pub is_changed: bool,
}

/// Whether setting this tag, to whatever value, says where data came from.
pub(super) fn is_source_tag(key: &str) -> bool {
    TAGS.iter().any(|known| known.tag == key)
}

/// Finds what the run's tags name, and sets warnings or takes them away as it fits.
pub(super) fn resolve(sql: &mut Sql<'_>, document: &mut RunDocument) -> Result<Source> {
    let mut source = Source { found: Vec::new(), is_changed: false };
    for known in &TAGS {
        let (found, warning) = match document.tag(known.tag) {
            None => (None, None),
            Some(name) => look_up(sql, known, name)?,
        };
        source.found.extend(found.map(|asset| (known.tag, asset)));
        source.is_changed |= match warning {
            Some(warning) => document.set_tag(known.warning, &warning),
            None => document.delete_tag(known.warning),
        };
    }
    Ok(source)
}

/// What has this name, or what is to be said about the name.
fn look_up(sql: &mut Sql<'_>, known: &SourceTag, name: &str) -> Result<(Option<Asset>, Option<String>)> {
    let shown = limits::cut(name, 300);
    let (label, tag) = (known.kind.label(), known.tag);
    let Ok(full) = FullName::parse(name) else {
        let warning = format!(
            "'{shown}' is not the name of a {label}: names have three levels, {}. No lineage was recorded.",
            known.example
        );
        return Ok((None, Some(warning)));
    };
    let warning = match names::leaf(sql, &full, known.kind)? {
        Some(found) if is_allowed(sql, Action::Read, found.id)? => return Ok((Some(found), None)),
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

/// The training set that a run read, as it was when the run's tag was set: it may have another name by now, or be deleted, and
/// another may have its name. None where the tag named none then. It authorises nothing.
pub fn training_set(sql: &mut Sql<'_>, run: &Run) -> Result<Option<Asset>> {
    let known = &TRAINING_SET;
    let Some(named) = run.document.tag(known.tag) else { return Ok(None) };
    if run.document.tag(known.warning).is_some() {
        return Ok(None);
    }
    let read = lineage::read_by_run(sql, run.experiment_id, &run.uuid, known.kind)?;
    // The tag may have been set more than once, and back: the one that it names, if that still has its name.
    for id in &read {
        if fold_case(&asset::display_name(sql, *id)?) == fold_case(named) {
            return asset::get_ever(sql, *id);
        }
    }
    read.first().map_or(Ok(None), |id| asset::get_ever(sql, *id))
}

/// Records what [`resolve`] found: it feeds the experiment, by this run. Whether that is news.
pub(super) fn record(tx: &mut Sql<'_>, run: &Run, source: Option<&Source>) -> Result<bool> {
    let mut is_news = false;
    for (tag, asset) in source.iter().flat_map(|source| &source.found) {
        is_news |= record_one(tx, run, asset, &json!({ "tag": tag }))?;
    }
    Ok(is_news)
}

fn record_one(tx: &mut Sql<'_>, run: &Run, asset: &Asset, how: &serde_json::Value) -> Result<bool> {
    // A training set never changes: its digest is its version.
    let version = match asset.kind {
        Kind::TrainingSet => asset.properties.get("sha256").and_then(serde_json::Value::as_str),
        _ => None,
    };
    let fact = Fact {
        run_uuid: &run.uuid,
        source_version: version.unwrap_or_default(),
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
            record_one(tx, run, &found, &json!({ "input": TRAINING_SET_SOURCE }))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}
