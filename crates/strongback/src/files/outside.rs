//! Files that lie outside: listed and given out as those that are kept here.

use axum::response::Response;
use futures::{StreamExt as _, TryStreamExt as _};
use http::request::Parts;
use syntax::paths::ArtifactPath;

use super::{
    Entry,
    answer::{Facts, respond},
    missing,
};
use crate::{
    error::{Error, Result},
    objects::{Spot, Whole},
};

/// Answers GET and HEAD for a file that lies outside.
pub async fn serve_outside(spot: &Spot, path: &ArtifactPath, head: &Parts) -> Result<Response> {
    let (bucket, key) = spot.at(path.as_str());
    let found = bucket.find(&key).await?.ok_or_else(|| missing(path))?;
    let made = || format!("\"{}-{}\"", found.size, found.modified_at);
    let facts = Facts {
        size: found.size,
        etag: found.etag.filter(|tag| tag.starts_with('"')).unwrap_or_else(made),
        changed_at: found.modified_at,
    };
    let read = async |range| {
        let stream = bucket.read(&key, range).await.map_err(Error::from)?;
        Ok(stream.map_or(Whole::Gone, |bytes| Whole::Bytes(bytes.map_err(std::io::Error::other).boxed())))
    };
    respond(&facts, path, head, read).await?.ok_or_else(|| missing(path))
}

/// What lies directly in a directory outside, in the order of the names' bytes.
pub async fn list_outside(spot: &Spot, dir: &ArtifactPath) -> Result<Vec<Entry>> {
    let (bucket, key) = spot.at(dir.as_str());
    let (directories, objects) = bucket.list_with_directories(&key).await?;
    let files = objects.into_iter().map(|object| Entry {
        name: object.name,
        size: Some(object.size),
        modified_at: object.modified_at,
    });
    let directories = directories.into_iter().map(|name| Entry { name, size: None, modified_at: 0 });
    let mut entries: Vec<Entry> = files.chain(directories).collect();
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}
