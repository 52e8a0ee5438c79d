//! Who may change what of an area at the same time, where several writers share one database.
//!
//! A change of a path excludes every change of that path and below it, and no other: files that lie beside each other
//! are stored at the same time. A change of the root is one of the whole area. So a file and a directory of one name
//! cannot come to be at once, and what is sealed gets no file afterwards.

use syntax::paths::ArtifactPath;

use super::{Guard, Place, store};
use crate::{bind, db::Sql, error::Result};

/// The place that a guard finds, with a path there kept from others until the transaction ends.
pub(super) fn hold(tx: &mut Sql<'_>, guard: &Guard, path: &ArtifactPath) -> Result<Place> {
    let place = guard(tx)?;
    keep(tx, &place.area, path)?;
    // What the guard saw before may be what somebody else changed while this waited.
    guard(tx)
}

/// Keeps a path, with all below it, from others until the transaction ends.
pub(super) fn keep(tx: &mut Sql<'_>, area: &str, path: &ArtifactPath) -> Result<()> {
    let key = |path: &ArtifactPath| format!("{area}\n{path}");
    let mut above: Vec<ArtifactPath> = std::iter::successors(path.parent(), ArtifactPath::parent).collect();
    // From the root down, so that two changes never wait for each other.
    above.reverse();
    for dir in &above {
        tx.first(&store::PATH_SHARE, bind![&key(dir)], |_| Ok(()))?;
    }
    tx.first(&store::PATH_KEEP, bind![&key(path)], |_| Ok(()))?;
    Ok(())
}
