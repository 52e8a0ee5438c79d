//! Removing a file, or all that lies below a directory.

use serde_json::json;
use syntax::paths::ArtifactPath;

use super::{Guard, below, hold::hold, read, store, unnamed};
use crate::{
    bind,
    context::Ctx,
    db::{Change, Sql},
    error::Result,
    events::{Event, EventKind},
    objects::ObjectId,
};

/// Removes the file at a path and all files below it; answers how many.
pub async fn remove(ctx: &Ctx, guard: &Guard, path: &ArtifactPath) -> Result<u64> {
    let (guard, path) = (guard.clone(), path.clone());
    let (count, garbage) = ctx
        .write(move |tx| {
            let place = hold(tx, &guard, &path)?;
            let (count, garbage) = tree_delete(tx, &place.area, &path)?;
            if count == 0 {
                return Ok(Change::Nothing((0, Vec::new())));
            }
            let event = Event::new(EventKind::ArtifactDelete)
                .asset(place.asset, 0)
                .subject(place.subject.as_str())
                .detail(json!({ "path": path.as_str(), "files": count }));
            Ok(Change::Made((count, garbage), event))
        })
        .await?;
    ctx.app.objects.remove(garbage).await;
    Ok(count)
}

/// Removes rows; answers how many, and the objects that nothing names since.
pub(super) fn tree_delete(tx: &mut Sql<'_>, area: &str, path: &ArtifactPath) -> Result<(u64, Vec<ObjectId>)> {
    let (low, high) = below(path);
    let found = tx.all(&store::TREE_LOCK, bind![area, path.as_str(), &low, &high], read)?;
    if found.is_empty() {
        return Ok((0, Vec::new()));
    }
    tx.execute(&store::TREE_DELETE, bind![area, path.as_str(), &low, &high])?;
    let objects: Vec<ObjectId> = found.iter().map(|file| file.object).collect();
    Ok((found.len() as u64, unnamed(tx, &objects)?))
}
