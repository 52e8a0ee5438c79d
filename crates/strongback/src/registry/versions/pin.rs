//! Pinning: what settles the files of a version when it becomes ready.
//!
//! What must stay true: the files of a pinned version lie in its own area and never change, whatever happens to the run
//! or the logged model that they came from; its digest says which files they are; a ready version that is not pinned has
//! no files in this server.

use syntax::{paths::ArtifactPath, source::SourceUri};

use super::Version;
use crate::{
    db::Sql,
    error::{Code, Error, Result},
    files::{self, Manifest, Place},
    registry::{location, models::Model, provenance::Copied, signature},
};

/// Which files a version is made of, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Their digest.
    pub manifest: Manifest,
    /// When they were settled, milliseconds since the epoch.
    pub at: i64,
}

/// For an event: the digest, so that the chain vouches for it.
pub fn detail(pin: Option<&Pin>) -> serde_json::Value {
    pin.map_or(serde_json::Value::Null, |Pin { manifest, .. }| {
        serde_json::json!({ "digest": manifest.digest, "files": manifest.files, "bytes": manifest.bytes })
    })
}

/// Gives a version that is ready at once the files that lie at its source now, as rows of its own on the same bytes.
pub(super) fn from_source(
    tx: &mut Sql<'_>,
    source: &(Place, ArtifactPath),
    own: &Place,
    told: &signature::Told,
) -> Result<Pin> {
    let (place, dir) = source;
    files::copy(tx, &place.area, dir, &own.area)?;
    own_files(tx, own, told)
}

/// The same from the version that it is a copy of. None if that one is not pinned.
pub(super) fn from_version(tx: &mut Sql<'_>, copied: &Copied, own: &Place) -> Result<Option<Pin>> {
    let Some(pin) = &copied.pin else { return Ok(None) };
    let from = location::own(copied.model_id, copied.version);
    files::copy(tx, &from.area, &ArtifactPath::root(), &own.area)?;
    let manifest = files::seal(tx, &own.area)?;
    if manifest != pin.manifest {
        // Its files change in no other way.
        return Err(Error::missing(format!("Version {} was deleted while it was copied.", copied.version)));
    }
    Ok(Some(Pin { manifest, at: tx.now() }))
}

/// Settles what was uploaded for a version. None if it has no files here and needs none, because they are elsewhere.
pub(super) fn uploaded(
    tx: &mut Sql<'_>,
    model: &Model,
    version: &Version,
    told: &signature::Told,
) -> Result<Option<Pin>> {
    let pin = own_files(tx, &location::own(model.id, version.version), told)?;
    if pin.manifest.files > 0 {
        return Ok(Some(pin));
    }
    let is_expected = match SourceUri::parse(&version.origin) {
        Ok(SourceUri::Local { .. }) => true,
        _ => location::kept(tx, &version.origin, &version.logged_model)?.is_some(),
    };
    if is_expected {
        return Err(Error::invalid(format!(
            "Version {} of {} has no files. Upload them to /Models/{}/{}/{}/{} with the Files API, then finalize it.",
            version.version,
            model.name(),
            model.catalog,
            model.schema,
            model.leaf,
            version.version
        )));
    }
    Ok(None)
}

/// Settles what lies in the area of a version.
pub(super) fn own_files(tx: &mut Sql<'_>, own: &Place, told: &signature::Told) -> Result<Pin> {
    let manifest = files::seal(tx, &own.area)?;
    let mlmodel = signature::find(tx, own, &ArtifactPath::root())?;
    if mlmodel.map(|file| file.object) != told.mlmodel {
        return Err(Error::new(
            Code::ResourceConflict,
            "The MLmodel file was changed while the version was made of it. Try again when nobody changes it.",
        ));
    }
    Ok(Pin { manifest, at: tx.now() })
}
