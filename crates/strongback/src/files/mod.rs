//! Files: logical paths over immutable objects.
//!
//! A file is a row (area, path) that names an object, its size and its digest. An *area* is the root of what belongs to
//! one thing: a run's artifacts, a logged model, a version of a registered model. This slice is the engine; its faces
//! are MLflow's artifact proxy (in `tracking`) and the Files API (in `registry`).
//!
//! What must stay true:
//! - a row exists only once its bytes are durable, and what a row names is never changed; overwriting replaces the row;
//! - an upload is an operation: the intent is committed before the first byte is kept, the outcome with the row. A crash
//!   between the two leaves nothing that anybody can see ([`recover`]);
//! - an object goes when no row names it any more: areas may share objects ([`copy`]);
//! - every read and write runs the caller's [`Guard`] in its own transaction, and once more when the bytes are there;
//! - a name is a file or a directory, never both, also where two are stored at once (`hold`); directories exist only
//!   because files lie below them.

mod answer;
mod copy;
mod hold;
pub mod http;
mod list;
mod manifest;
mod operations;
mod outside;
mod presign;
mod put;
mod range;
mod recover;
mod remove;
pub mod sign;
mod store;
mod upload;
mod verify;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use syntax::paths::{ArtifactPath, PathError, SEGMENT_BYTES_MAX};

pub use answer::serve;
pub use copy::{clear, copy};
pub use list::{ENTRIES_MAX, Entry, all, is_directory, list};
pub use manifest::{MANIFEST_FILES_MAX, Manifest, manifest, seal};
pub use outside::{list_outside, serve_outside, too_many_entries};
pub use presign::{Presigned, presign};
pub use put::put;
pub use recover::{keep_clean, recover, sweep};
pub use remove::remove;
pub(crate) use store::STATEMENTS;
pub use upload::{PARTS_MAX, PartGiven, abort, begin, complete, part, path_of};
pub use verify::{Damage, Report, verify};

use crate::{
    bind,
    db::{Row, Sql},
    error::{Error, Result},
    objects::ObjectId,
};

/// Bytes a file at most.
pub const FILE_BYTES_MAX: u64 = 100 << 30;

/// Where files lie and who answers for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The root that paths are relative to, e.g. `exp/7/run/<32 hex digits>`.
    pub area: String,
    /// The asset whose rights were asked, for the event.
    pub asset: i64,
    /// What the files belong to when that is no asset: a run, a logged model, a version.
    pub subject: String,
}

impl Place {
    /// The place of the files of one version of an asset: they are read by whoever may read the asset, and change no more
    /// once the version is ready.
    pub fn of_version(asset: i64, number: i64) -> Self {
        Self { area: format!("model/{asset}/{number}"), asset, subject: number.to_string() }
    }
}

/// Finds the place that a request means and authorises the caller for it, in the transaction that it is given.
/// It may run several times.
pub type Guard = Arc<dyn Fn(&mut Sql<'_>) -> Result<Place> + Send + Sync>;

/// What becomes of a file that is there already. It is looked at when an upload begins and, since that may be hours
/// before, once more in the transaction that stores the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Existing {
    /// The new one takes its place.
    #[default]
    Replaced,
    /// It stays, and the new one is refused.
    Kept,
    /// The new one takes the place of one that an import stored; any other stays, and the new one is refused.
    Carried,
}

/// A stored file.
#[derive(Debug, Clone)]
pub struct File {
    /// Below its area.
    pub path: String,
    /// The object that holds its bytes.
    pub object: ObjectId,
    /// Bytes.
    pub size: u64,
    /// Digest of its bytes.
    pub sha256: Vec<u8>,
    /// When it was put there, milliseconds since the epoch.
    pub created_at: i64,
    /// Whether an import stored it.
    pub is_carried: bool,
}

impl File {
    /// The digest in quotes, as an entity tag.
    pub fn etag(&self) -> String {
        format!("\"{}\"", hex::encode(&self.sha256))
    }
}

/// The file at a path of an area.
pub fn find(sql: &mut Sql<'_>, area: &str, path: &ArtifactPath) -> Result<Option<File>> {
    sql.first(&store::FILE_GET, bind![area, path.as_str()], read)
}

/// Whether anything is stored at all. Asks for no rights: for whoever opens the store.
pub fn any(sql: &mut Sql<'_>) -> Result<bool> {
    Ok(sql.first(&store::FILE_ANY, bind![], |_| Ok(()))?.is_some())
}

/// The file that must be at a path of an area.
pub fn get(sql: &mut Sql<'_>, area: &str, path: &ArtifactPath) -> Result<File> {
    find(sql, area, path)?.ok_or_else(|| missing(path))
}

/// The error for a file that is not there.
pub fn missing(path: &ArtifactPath) -> Error {
    Error::missing(format!("There is no file at '{path}'."))
}

impl From<PathError> for Error {
    fn from(error: PathError) -> Self {
        Self::invalid(error.to_string())
    }
}

/// A row of the statements that list a file's columns.
fn read(row: &Row<'_>) -> Result<File> {
    Ok(File {
        path: row.get(0)?,
        object: row.get::<String>(1)?.parse()?,
        size: row.get::<i64>(2)? as u64,
        sha256: row.get(3)?,
        created_at: row.get(4)?,
        is_carried: row.get::<i64>(5)? != 0,
    })
}

/// Those of some objects that no row names, to be removed after the commit.
fn unnamed(tx: &mut Sql<'_>, objects: &[ObjectId]) -> Result<Vec<ObjectId>> {
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let texts: Vec<String> = objects.iter().map(ToString::to_string).collect();
    let texts = serde_json::to_string(&texts).map_err(Error::internal)?;
    let named =
        tx.all(&store::OBJECTS_NAMED, bind![&texts], |row| row.get::<String>(0)?.parse::<ObjectId>())?;
    Ok(objects.iter().filter(|id| !named.contains(id)).copied().collect())
}

/// The paths below a directory are those from the first of these on and before the second, in byte order, whatever
/// characters they are made of.
fn below(dir: &ArtifactPath) -> (String, String) {
    if dir.is_root() {
        // Longer than any segment, of the last character that there is: every path sorts before it.
        return (String::new(), char::MAX.to_string().repeat(SEGMENT_BYTES_MAX / char::MAX.len_utf8() + 1));
    }
    (format!("{dir}/"), past(dir.as_str()))
}

/// The first place in the order of paths behind all that can lie below a directory: `0` is what follows `/`.
fn past(dir: &str) -> String {
    format!("{dir}0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_what_lies_below_and_nothing_else() {
        let (low, high) = below(&ArtifactPath::parse("a/b").unwrap());
        let is_below = |path: &str| path >= low.as_str() && path < high.as_str();
        assert!(is_below("a/b/c") && is_below("a/b/ü") && is_below("a/b/c/d") && is_below("a/b/\u{10ffff}"));
        assert!(!is_below("a/b") && !is_below("a/b.txt") && !is_below("a/bc/d") && !is_below("a/b0"));
        let (low, high) = below(&ArtifactPath::root());
        let longest = char::MAX.to_string().repeat(SEGMENT_BYTES_MAX / 4);
        let below = format!("{longest}/{longest}");
        for path in ["!", "a", "ü/x", "\u{1f600}", &longest, &below] {
            assert!(path >= low.as_str() && path < high.as_str(), "{path}");
        }
    }
}
