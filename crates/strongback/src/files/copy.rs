//! Whole areas, within a transaction of another slice: sharing files with a second owner, and letting them go.

use syntax::paths::ArtifactPath;

use super::{MANIFEST_FILES_MAX, below, hold, manifest, read, remove, store};
use crate::{bind, db::Sql, error::Result, objects::ObjectId};

/// Lets the area `to` have the files that lie below a directory of another area, under paths relative to that
/// directory. The bytes are shared. What `to` has already stays. Answers how many files there were to copy, at most as many
/// as a manifest lists.
///
/// The caller authorises, and names it in its own event.
pub fn copy(tx: &mut Sql<'_>, from: &str, dir: &ArtifactPath, to: &str) -> Result<u64> {
    let (low, high) = below(dir);
    // Nobody may let the last row of an object go while it is being copied.
    let most = MANIFEST_FILES_MAX as i64 + 1;
    let found = tx.all(&store::BELOW_LOCK, bind![from, &low, &high, most], read)?;
    manifest::check_count(found.len())?;
    if found.is_empty() {
        return Ok(0);
    }
    let (now, by) = (tx.now(), tx.caller().id);
    let rest_at = low.chars().count() as i64 + 1;
    tx.execute(&store::TREE_COPY, bind![from, &low, &high, to, rest_at, now, by])?;
    Ok(found.len() as u64)
}

/// Lets all files of an area go; answers the objects to hand to [`crate::objects::Objects::remove`] *after* the commit.
///
/// The caller authorises, and names it in its own event.
pub fn clear(tx: &mut Sql<'_>, area: &str) -> Result<Vec<ObjectId>> {
    let root = ArtifactPath::root();
    hold::keep(tx, area, &root)?;
    remove::tree_delete(tx, area, &root).map(|(_, garbage)| garbage)
}
