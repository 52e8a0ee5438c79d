//! What a run says that its model was made from, as it is called now.

use crate::{
    catalog::{Action, Kind, asset, authorize::is_allowed},
    db::Sql,
    error::Result,
    tracking::run::{self, Run},
};

/// Training data, as a run names it and as it is known here.
pub(super) enum Learned {
    /// Nothing here has the name that the run gives.
    Said(String),
    /// The caller may not read what the run names.
    Hidden(String),
    /// It is, or was, here.
    Known(Data),
}

/// A training set, or a table.
pub(super) struct Data {
    /// Its name of today.
    pub name: String,
    /// Version of the table that the run named.
    pub version: Option<u64>,
    /// SHA-256 of a training set.
    pub digest: Option<String>,
    /// Whether it was deleted since.
    pub is_deleted: bool,
}

/// What the run names as its training data, if it names any.
pub(super) fn learned_from(sql: &mut Sql<'_>, run: &Run) -> Result<Option<Learned>> {
    let Some(said) = run.document.tag(run::TRAINING_SET_TAG) else { return Ok(None) };
    let Some(run::TrainingData { asset: read, version }) = run::training_data(sql, run)? else {
        return Ok(Some(Learned::Said(said.to_owned())));
    };
    if !is_allowed(sql, Action::Read, read.id)? {
        return Ok(Some(Learned::Hidden(said.to_owned())));
    }
    let digest = match read.kind {
        Kind::TrainingSet => read.properties.get("sha256").and_then(serde_json::Value::as_str),
        _ => None,
    };
    Ok(Some(Learned::Known(Data {
        name: asset::display_name(sql, read.id)?,
        version,
        digest: digest.map(str::to_owned),
        is_deleted: asset::get(sql, read.id)?.is_none(),
    })))
}
